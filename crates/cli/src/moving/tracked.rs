//! Whether a file of a project is everybody's who has the project.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use shim::workspace::MARKS;

/// Variables by which git would look elsewhere.
const ELSEWHERE: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_CEILING_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// Whether version control has this file. Where it cannot be asked, it may have it.
///
/// Nobody is asked in a folder that is not trusted: its settings name programs that git runs.
pub(super) fn is_tracked(file: &Path, is_trusted: bool) -> bool {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return false;
    };
    let mut above = folder.ancestors();
    if !above.any(|folder| MARKS.iter().any(|mark| folder.join(mark).exists())) {
        return false;
    }
    if !is_trusted {
        return true;
    }
    let mut git = Command::new("git");
    for variable in ELSEWHERE {
        git.env_remove(variable);
    }
    // Neither a hook nor a monitor of the project's is run for the question, nor what brings
    // objects that are not there, nor what is heeded in a folder that only looks like a repository.
    git.args([
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "safe.bareRepository=explicit",
    ])
    .args(["--literal-pathspecs", "ls-files", "--error-unmatch", "--"])
    .arg(name)
    .current_dir(folder)
    .env("GIT_OPTIONAL_LOCKS", "0")
    .env("GIT_NO_LAZY_FETCH", "1")
    .env("GIT_ALLOW_PROTOCOL", "none")
    .env("GIT_TERMINAL_PROMPT", "0")
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::null());
    // 1 says that it is none of its files.
    git.status().map_or(true, |status| status.code() != Some(1))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
        let output = git.args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn what_git_has_is_tracked_and_nothing_of_the_project_is_run_to_know_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".mcp.json");
        fs::write(&file, "{}").unwrap();
        assert!(!is_tracked(&file, true), "outside of version control");
        git(folder.path(), &["init", "--quiet"]);
        let (hook, mark) = (folder.path().join("hook"), folder.path().join("mark"));
        fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        git(
            folder.path(),
            &["config", "core.fsmonitor", hook.to_str().unwrap()],
        );
        let _ = fs::remove_file(&mark);
        assert!(!is_tracked(&file, true), "not added");
        assert!(!mark.exists(), "its monitor was run");
        git(
            folder.path(),
            &["-c", "core.fsmonitor=false", "add", ".mcp.json"],
        );
        let _ = fs::remove_file(&mark);
        assert!(is_tracked(&file, true), "added");
        assert!(!mark.exists(), "its monitor was run");
    }

    #[test]
    fn in_a_folder_that_is_not_trusted_all_is_tracked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".mcp.json");
        fs::write(&file, "{}").unwrap();
        assert!(!is_tracked(&file, false), "outside of version control");
        git(folder.path(), &["init", "--quiet"]);
        assert!(!is_tracked(&file, true), "git has it not");
        assert!(is_tracked(&file, false));
    }

    #[test]
    fn a_folder_that_looks_like_a_bare_repository_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        git(&inner, &["init", "--quiet", "--bare"]);
        fs::create_dir(inner.join(".hg")).unwrap();
        let file = inner.join(".mcp.json");
        fs::write(&file, "{}").unwrap();
        git(&inner, &["config", "core.bare", "false"]);
        git(
            &inner,
            &["config", "core.worktree", inner.to_str().unwrap()],
        );
        assert!(is_tracked(&file, true), "its settings were heeded");
    }

    #[test]
    fn where_nobody_can_be_asked_it_may_be_tracked() {
        for mark in MARKS {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(mark)).unwrap();
            let file = folder.path().join(".mcp.json");
            fs::write(&file, "{}").unwrap();
            assert!(is_tracked(&file, true), "{mark}");
        }
    }
}
