//! Which workspace a session belongs to, and how we know.
//!
//! First match wins: `--workspace`, taken as given; `CLAUDE_PROJECT_DIR`; the
//! shim's own folder. The latter two are walked up to the nearest folder under
//! version control (a worktree is its own workspace), else taken as they are.
//!
//! **Invariant:** a workspace is never the root, the home folder itself or a
//! temporary folder itself: those hold everything, so they tell nothing. Such a
//! session is unbound.

use std::{
    env, error, fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::home;

/// What marks a folder as the top of something: what version control keeps there.
pub const MARKS: [&str; 4] = [".git", ".hg", ".jj", ".svn"];

/// The workspace of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its folder, absolute and without symbolic links.
    pub path: PathBuf,
    /// How we know.
    pub evidence: Evidence,
}

/// How the workspace of a session is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// `--workspace` says so.
    Flag,
    /// `CLAUDE_PROJECT_DIR` says so.
    ProjectDir,
    /// The shim was started there.
    Directory,
}

impl Evidence {
    /// All of them, strongest first.
    pub const ALL: [Evidence; 3] = [Evidence::Flag, Evidence::ProjectDir, Evidence::Directory];

    /// The word that stands for it on the link and in `status`.
    pub fn word(self) -> &'static str {
        match self {
            Evidence::Flag => "flag",
            Evidence::ProjectDir => "project-dir",
            Evidence::Directory => "directory",
        }
    }

    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        Evidence::ALL
            .into_iter()
            .find(|evidence| evidence.word().as_bytes() == word)
    }
}

/// The folder of `--workspace` or `--cwd` cannot be one.
#[derive(Debug)]
pub struct BadFolder {
    /// What it was to be.
    pub role: &'static str,
    /// What was given.
    pub path: PathBuf,
    /// What the system said, or that it is no folder.
    pub source: io::Error,
}

impl fmt::Display for BadFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` cannot be {}: {}",
            self.path.display(),
            self.role,
            self.source
        )
    }
}

// Its words have those of what caused it in them.
impl error::Error for BadFolder {}

/// The workspace of this process, `None` if there is nothing that could be one.
///
/// A bad `flag` is an error and never leads to the next evidence.
pub fn find(flag: Option<&Path>) -> Result<Option<Workspace>, BadFolder> {
    find_from(flag, env::current_dir().ok())
}

/// As [`find`], of somebody who is in another `directory` than this process.
pub(crate) fn find_from(
    flag: Option<&Path>,
    directory: Option<PathBuf>,
) -> Result<Option<Workspace>, BadFolder> {
    let project = env::var_os("CLAUDE_PROJECT_DIR").map(PathBuf::from);
    let clues = Clues {
        flag,
        project: project.as_deref(),
        directory,
        too_wide: too_wide_of_user(),
    };
    clues.judge()
}

/// What `--workspace` or `--cwd` says, without symbolic links.
pub(crate) fn folder_of(flag: &Path, role: &'static str) -> Result<PathBuf, BadFolder> {
    real_folder(flag).map_err(|source| BadFolder {
        role,
        path: flag.to_path_buf(),
        source,
    })
}

/// The workspace of somebody who is in this folder, of which nothing else is known.
pub fn around(folder: &Path) -> Option<PathBuf> {
    let clues = Clues {
        flag: None,
        project: None,
        directory: folder.is_absolute().then(|| folder.to_path_buf()),
        too_wide: too_wide_of_user(),
    };
    Some(clues.judge().ok()??.path)
}

/// Everything that the answer depends on.
struct Clues<'given> {
    flag: Option<&'given Path>,
    project: Option<&'given Path>,
    directory: Option<PathBuf>,
    too_wide: Vec<PathBuf>,
}

impl Clues<'_> {
    fn judge(&self) -> Result<Option<Workspace>, BadFolder> {
        if let Some(flag) = self.flag {
            let path = folder_of(flag, "the workspace")?;
            return Ok(self.unless_too_wide(path, Evidence::Flag));
        }
        // A relative or dead path in the environment is nobody's clear wish.
        let project = self
            .project
            .filter(|path| path.is_absolute())
            .and_then(|path| real_folder(path).ok());
        if let Some(path) = project {
            return Ok(self.unless_too_wide(self.walk_up(path), Evidence::ProjectDir));
        }
        let directory = self
            .directory
            .as_deref()
            .and_then(|path| real_folder(path).ok());
        Ok(
            directory
                .and_then(|path| self.unless_too_wide(self.walk_up(path), Evidence::Directory)),
        )
    }

    /// The nearest folder above with a mark, else the folder itself.
    ///
    /// Somebody who keeps the home folder itself under version control does not
    /// make one workspace of everything in it.
    fn walk_up(&self, folder: PathBuf) -> PathBuf {
        let top = folder
            .ancestors()
            .take_while(|candidate| !self.is_too_wide(candidate))
            .find(|candidate| {
                MARKS
                    .iter()
                    .any(|mark| fs::symlink_metadata(candidate.join(mark)).is_ok())
            })
            .map(Path::to_path_buf);
        top.unwrap_or(folder)
    }

    fn unless_too_wide(&self, path: PathBuf, evidence: Evidence) -> Option<Workspace> {
        (!self.is_too_wide(&path)).then_some(Workspace { path, evidence })
    }

    fn is_too_wide(&self, path: &Path) -> bool {
        path.parent().is_none() || self.too_wide.iter().any(|wide| wide == path)
    }
}

/// Those of the user that this process is of.
fn too_wide_of_user() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    too_wide(
        [home::from_environment(), home::of_user(user)]
            .into_iter()
            .flatten()
            .chain(env::var_os("TMPDIR").map(PathBuf::from)),
    )
}

/// The folders that hold everything, without symbolic links.
fn too_wide(of_user: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    of_user
        .chain(["/tmp".into(), "/var/tmp".into()])
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect()
}

fn real_folder(path: &Path) -> io::Result<PathBuf> {
    let path = fs::canonicalize(path)?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A home folder with a project (under version control) and a plain folder.
    struct Scene {
        _temporary: tempfile::TempDir,
        home: PathBuf,
    }

    impl Scene {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let home = fs::canonicalize(temporary.path()).unwrap().join("ada");
            for folder in ["project/.git", "project/src/deep", "plain/deep"] {
                fs::create_dir_all(home.join(folder)).unwrap();
            }
            Scene {
                _temporary: temporary,
                home,
            }
        }

        fn judge(
            &self,
            flag: Option<&str>,
            project: Option<&str>,
            directory: &str,
        ) -> Result<Option<(PathBuf, Evidence)>, BadFolder> {
            let flag = flag.map(|path| self.home.join(path));
            let project = project.map(|path| self.home.join(path));
            let found = Clues {
                flag: flag.as_deref(),
                project: project.as_deref(),
                directory: Some(self.home.join(directory)),
                too_wide: too_wide([self.home.clone()].into_iter()),
            }
            .judge()?;
            Ok(found.map(|found| {
                let path = found.path.strip_prefix(&self.home).unwrap();
                (path.to_path_buf(), found.evidence)
            }))
        }
    }

    #[test]
    fn a_flag_is_taken_as_given_and_wins() {
        let scene = Scene::new();
        let found = scene.judge(Some("project/src"), Some("plain"), "plain");
        assert_eq!(found.unwrap(), Some(("project/src".into(), Evidence::Flag)));
    }

    #[test]
    fn a_bad_flag_is_an_error_and_no_other_evidence_is_tried() {
        let scene = Scene::new();
        let error = scene.judge(Some("missing"), Some("project"), "project");
        assert!(error.unwrap_err().to_string().contains("missing"));
        fs::write(scene.home.join("file"), "").unwrap();
        assert!(scene.judge(Some("file"), None, "project").is_err());
    }

    #[test]
    fn the_client_s_project_comes_before_the_folder_and_both_are_walked_up() {
        let scene = Scene::new();
        let found = scene.judge(None, Some("project/src/deep"), "plain");
        assert_eq!(
            found.unwrap(),
            Some(("project".into(), Evidence::ProjectDir))
        );
        let found = scene.judge(None, None, "project/src/deep");
        assert_eq!(
            found.unwrap(),
            Some(("project".into(), Evidence::Directory))
        );
    }

    #[test]
    fn a_project_that_does_not_exist_leaves_the_folder_to_tell() {
        let scene = Scene::new();
        let found = scene.judge(None, Some("gone"), "plain");
        assert_eq!(found.unwrap(), Some(("plain".into(), Evidence::Directory)));
    }

    #[test]
    fn a_folder_under_no_version_control_is_taken_as_it_is() {
        let scene = Scene::new();
        let found = scene.judge(None, None, "plain/deep");
        assert_eq!(
            found.unwrap(),
            Some(("plain/deep".into(), Evidence::Directory))
        );
    }

    #[test]
    fn a_worktree_is_its_own_workspace() {
        let scene = Scene::new();
        let worktree = scene.home.join("project/worktree");
        fs::create_dir(&worktree).unwrap();
        fs::write(worktree.join(".git"), "gitdir: elsewhere").unwrap();
        let found = scene.judge(None, None, "project/worktree");
        assert_eq!(
            found.unwrap(),
            Some(("project/worktree".into(), Evidence::Directory))
        );
    }

    #[test]
    fn home_root_and_temporary_folders_are_no_workspace_however_they_are_named() {
        let scene = Scene::new();
        for folder in ["", "/", "/tmp", "/var/tmp"] {
            assert_eq!(scene.judge(None, None, folder).unwrap(), None, "{folder}");
            assert_eq!(scene.judge(None, Some(folder), "plain").unwrap(), None);
            assert_eq!(scene.judge(Some(folder), None, "plain").unwrap(), None);
        }
    }

    #[test]
    fn version_control_of_the_home_folder_binds_nothing_in_it() {
        let scene = Scene::new();
        fs::create_dir(scene.home.join(".git")).unwrap();
        assert_eq!(scene.judge(None, None, "").unwrap(), None);
        let found = scene.judge(None, None, "plain/deep");
        assert_eq!(
            found.unwrap(),
            Some(("plain/deep".into(), Evidence::Directory))
        );
    }

    #[test]
    fn symbolic_links_lead_to_the_one_real_folder() {
        let scene = Scene::new();
        symlink(scene.home.join("project"), scene.home.join("link")).unwrap();
        let found = scene.judge(Some("link"), None, "plain");
        assert_eq!(found.unwrap(), Some(("project".into(), Evidence::Flag)));
    }
}
