//! Whether a file of a project is everybody's who has the project.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What marks a folder as the top of something, as for the workspace of a session.
const MARKS: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

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
pub(super) fn is_tracked(file: &Path) -> bool {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return false;
    };
    let mut above = folder.ancestors();
    if !above.any(|folder| MARKS.iter().any(|mark| folder.join(mark).exists())) {
        return false;
    }
    let mut git = Command::new("git");
    for variable in ELSEWHERE {
        git.env_remove(variable);
    }
    // Neither a hook nor a monitor of the project's is run for the question.
    git.args([
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
    ])
    .args(["--literal-pathspecs", "ls-files", "--error-unmatch", "--"])
    .arg(name)
    .current_dir(folder)
    .env("GIT_OPTIONAL_LOCKS", "0")
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
        assert!(!is_tracked(&file), "outside of version control");
        git(folder.path(), &["init", "--quiet"]);
        let (hook, mark) = (folder.path().join("hook"), folder.path().join("mark"));
        fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        git(
            folder.path(),
            &["config", "core.fsmonitor", hook.to_str().unwrap()],
        );
        let _ = fs::remove_file(&mark);
        assert!(!is_tracked(&file), "not added");
        assert!(!mark.exists(), "its monitor was run");
        git(
            folder.path(),
            &["-c", "core.fsmonitor=false", "add", ".mcp.json"],
        );
        let _ = fs::remove_file(&mark);
        assert!(is_tracked(&file), "added");
        assert!(!mark.exists(), "its monitor was run");
    }

    #[test]
    fn where_nobody_can_be_asked_it_may_be_tracked() {
        for mark in MARKS {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(mark)).unwrap();
            let file = folder.path().join(".mcp.json");
            fs::write(&file, "{}").unwrap();
            assert!(is_tracked(&file), "{mark}");
        }
    }
}
