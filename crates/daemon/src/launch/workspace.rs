//! Whether what a shim calls its workspace is one.
//!
//! **Invariant:** a workspace that passes is an existing folder, named by its only absolute path,
//! and is none that holds everything.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What became of a shim's claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is a workspace.
    Bound,
    /// It is a folder that binds to nothing: the root, the home folder, the temporary folder.
    TooWide,
    /// It is no canonical path of a folder; for a person.
    Bad(String),
}

/// Folders that hold everything and so tell nothing.
#[derive(Debug)]
pub(crate) struct TooWide(Vec<PathBuf>);

impl TooWide {
    /// Those of the daemon's user, and `more` of the session.
    pub(crate) fn new<'a>(home: &'a Path, more: impl IntoIterator<Item = &'a Path>) -> Self {
        let folders = ["/", "/tmp", "/var/tmp"].map(Path::new);
        let all = folders.into_iter().chain([home]).chain(more);
        TooWide(all.filter_map(|path| fs::canonicalize(path).ok()).collect())
    }

    /// Judges what a shim has found out in its own words.
    pub(crate) fn judge(&self, claimed: &Path) -> Claim {
        let canonical = match fs::canonicalize(claimed) {
            Ok(canonical) => canonical,
            Err(error) => return bad(claimed, &error),
        };
        if !claimed.is_absolute() || canonical.as_os_str() != claimed.as_os_str() {
            return Claim::Bad(format!(
                "the workspace `{}` is not a canonical path",
                claimed.display()
            ));
        }
        if !canonical.is_dir() {
            return bad(claimed, &io::ErrorKind::NotADirectory.into());
        }
        if self.0.contains(&canonical) {
            Claim::TooWide
        } else {
            Claim::Bound
        }
    }
}

fn bad(claimed: &Path, error: &io::Error) -> Claim {
    Claim::Bad(format!(
        "`{}` cannot be the workspace: {error}",
        claimed.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_folder_is_a_workspace_and_nothing_else_is() {
        let temporary = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(temporary.path()).unwrap();
        let project = home.join("project");
        fs::create_dir(&project).unwrap();
        let file = home.join("file");
        fs::write(&file, "").unwrap();
        let link = home.join("link");
        std::os::unix::fs::symlink(&project, &link).unwrap();
        let wide = TooWide::new(&home, []);
        assert_eq!(wide.judge(&project), Claim::Bound);
        for path in [&home, Path::new("/"), Path::new("/tmp")] {
            assert_eq!(wide.judge(path), Claim::TooWide, "{}", path.display());
        }
        for path in [
            file.as_path(),
            &link,
            &home.join("missing"),
            Path::new("relative"),
            &home.join("project/../project"),
            &home.join("project/"),
        ] {
            assert!(
                matches!(wide.judge(path), Claim::Bad(_)),
                "{}",
                path.display()
            );
        }
    }
}
