//! Whether a file of a project is everybody's who has the project.

use std::{
    io,
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

/// Whether version control has a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tracked {
    Yes,
    No,
    /// It cannot be asked.
    Unknown(String),
}

/// Whether version control has this file.
///
/// Nobody is asked in a folder that is not trusted, whose settings name programs that git runs, and
/// no other version control than git: there, it has all.
pub(super) fn tracked(file: &Path, is_trusted: bool) -> Tracked {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Tracked::No;
    };
    match version_control(folder) {
        Ok(None) => return Tracked::No,
        Ok(Some(Control::Git)) if is_trusted => {}
        Ok(Some(Control::Git | Control::Other)) => return Tracked::Yes,
        Err(error) => return Tracked::Unknown(error.to_string()),
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
    match git.status() {
        Ok(status) => match status.code() {
            Some(0) => Tracked::Yes,
            // It says that this is none of its files.
            Some(1) => Tracked::No,
            _other => Tracked::Unknown(format!("git does not say, {status}")),
        },
        Err(error) => Tracked::Unknown(format!("git cannot be run: {error}")),
    }
}

/// What keeps the versions of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    Git,
    Other,
}

/// By the mark that is nearest to a folder.
fn version_control(folder: &Path) -> io::Result<Option<Control>> {
    for folder in folder.ancestors() {
        if folder.join(".git").try_exists()? {
            return Ok(Some(Control::Git));
        }
        for mark in MARKS {
            if folder.join(mark).try_exists()? {
                return Ok(Some(Control::Other));
            }
        }
    }
    Ok(None)
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
        assert_eq!(
            tracked(&file, true),
            Tracked::No,
            "outside of version control"
        );
        git(folder.path(), &["init", "--quiet"]);
        let (hook, mark) = (folder.path().join("hook"), folder.path().join("mark"));
        fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        git(
            folder.path(),
            &["config", "core.fsmonitor", hook.to_str().unwrap()],
        );
        let _ = fs::remove_file(&mark);
        assert_eq!(tracked(&file, true), Tracked::No, "not added");
        assert!(!mark.exists(), "its monitor was run");
        git(
            folder.path(),
            &["-c", "core.fsmonitor=false", "add", ".mcp.json"],
        );
        let _ = fs::remove_file(&mark);
        assert_eq!(tracked(&file, true), Tracked::Yes, "added");
        assert!(!mark.exists(), "its monitor was run");
    }

    #[test]
    fn in_a_folder_that_is_not_trusted_all_is_tracked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".mcp.json");
        fs::write(&file, "{}").unwrap();
        assert_eq!(
            tracked(&file, false),
            Tracked::No,
            "outside of version control"
        );
        git(folder.path(), &["init", "--quiet"]);
        assert_eq!(tracked(&file, true), Tracked::No, "git has it not");
        assert_eq!(tracked(&file, false), Tracked::Yes);
    }

    #[test]
    fn a_folder_that_looks_like_a_bare_repository_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        git(folder.path(), &["init", "--quiet"]);
        git(&inner, &["init", "--quiet", "--bare"]);
        let file = inner.join(".mcp.json");
        fs::write(&file, "{}").unwrap();
        git(&inner, &["config", "core.bare", "false"]);
        git(
            &inner,
            &["config", "core.worktree", inner.to_str().unwrap()],
        );
        let answer = tracked(&file, true);
        assert!(
            matches!(answer, Tracked::Unknown(_)),
            "its settings were heeded"
        );
    }

    #[test]
    fn where_git_does_not_say_nobody_knows_and_others_are_not_asked() {
        for mark in MARKS {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(mark)).unwrap();
            let file = folder.path().join(".mcp.json");
            fs::write(&file, "{}").unwrap();
            let answer = tracked(&file, true);
            let is_asked = mark == ".git";
            assert_eq!(is_asked, matches!(answer, Tracked::Unknown(_)), "{mark}");
            assert_eq!(!is_asked, answer == Tracked::Yes, "{mark}");
        }
    }
}
