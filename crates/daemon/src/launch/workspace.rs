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
    /// Those of the daemon's user.
    pub(crate) fn new(home: &Path) -> Self {
        let all = ["/", "/tmp", "/var/tmp"]
            .map(Path::new)
            .into_iter()
            .chain([home]);
        TooWide(all.filter_map(|path| fs::canonicalize(path).ok()).collect())
    }

    /// Judges what a shim claims. `own` are folders of its session that hold everything, too.
    pub(crate) fn judge<'a>(
        &self,
        claimed: &Path,
        mut own: impl Iterator<Item = &'a Path>,
    ) -> Claim {
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
        let is_own = |path: &Path| {
            path == canonical || fs::canonicalize(path).is_ok_and(|path| path == canonical)
        };
        if self.0.contains(&canonical) || own.any(is_own) {
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
        let wide = TooWide::new(&home);
        let judge = |path: &Path| wide.judge(path, [].into_iter());
        assert_eq!(judge(&project), Claim::Bound);
        assert_eq!(
            wide.judge(&project, [link.as_path()].into_iter()),
            Claim::TooWide
        );
        for path in [&home, Path::new("/"), Path::new("/tmp")] {
            assert_eq!(judge(path), Claim::TooWide, "{}", path.display());
        }
        for path in [
            file.as_path(),
            &link,
            &home.join("missing"),
            Path::new("relative"),
            &home.join("project/../project"),
            &home.join("project/"),
        ] {
            assert!(matches!(judge(path), Claim::Bad(_)), "{}", path.display());
        }
    }
}
