//! Folders that only their owner may change.
//!
//! **Invariant:** what passes [`ensure_private`] is a real folder (no symbolic
//! link), belongs to the effective user and cannot be written by anybody else, so
//! nobody else can have planted a file in it.

use std::{
    error, fmt, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// The bit of a folder in which everybody may make files, and none may remove those of others.
const STICKY: u32 = 0o1000;

/// Why a folder cannot be used.
#[derive(Debug)]
pub enum FolderError {
    /// It does not exist and cannot be made.
    CannotMake {
        /// The folder, or the parent of it that could not be made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else stands there: a file or a symbolic link.
    NotAFolder {
        /// What stands in the place of the folder.
        path: PathBuf,
    },
    /// It exists and cannot be opened.
    CannotOpen {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It belongs to another user.
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may write into it.
    TooOpen {
        /// The folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderError::CannotMake { path, source } => write!(
                f,
                "cannot make the folder {}: {source}; set MCPOOL_HOME to a folder that you can write to",
                path.display()
            ),
            FolderError::NotAFolder { path } => write!(
                f,
                "{} is a file or a symbolic link where mcpool needs a folder of its own; move it away",
                path.display()
            ),
            FolderError::CannotOpen { path, source } => {
                write!(f, "cannot open the folder {}: {source}", path.display())
            }
            FolderError::NotOurs {
                path,
                owner,
                user,
                mode,
            } => write!(
                f,
                "the folder {} belongs to user {owner} (mode {mode:04o}), not to user {user}; \
                 move it away, or set MCPOOL_HOME to a folder of your own",
                path.display()
            ),
            // Such as `/tmp`, which must stay so.
            FolderError::TooOpen { path, owner, mode } if mode & STICKY != 0 => write!(
                f,
                "the folder {} of user {owner} can be written by others (mode {mode:04o}), as it is for \
                 everybody; choose a place in a folder of your own",
                path.display()
            ),
            FolderError::TooOpen { path, owner, mode } => write!(
                f,
                "the folder {path} of user {owner} can be written by others (mode {mode:04o}); \
                 run: chmod go-w '{path}'",
                path = path.display()
            ),
        }
    }
}

// Its words have those of what caused it in them.
impl error::Error for FolderError {}

/// Makes the folder (mode 0700, parents too) if there is none, and checks it.
pub(crate) fn ensure_private(path: &Path) -> Result<(), FolderError> {
    if let Err(source) = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
    {
        // A link or a file in the place is told below, in better words.
        if source.kind() != io::ErrorKind::AlreadyExists {
            return Err(FolderError::CannotMake {
                path: path.to_path_buf(),
                source,
            });
        }
    }
    check_private(path)
}

/// Checks the folder if there is one.
pub(crate) fn check_if_there(path: &Path) -> Result<(), FolderError> {
    match check_private(path) {
        Err(FolderError::CannotOpen { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        checked => checked,
    }
}

/// Refuses a folder that another user owns or could change, and what is none.
pub fn check_private(path: &Path) -> Result<(), FolderError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOTDIR | Errno::LOOP => FolderError::NotAFolder {
            path: path.to_path_buf(),
        },
        other => FolderError::CannotOpen {
            path: path.to_path_buf(),
            source: other.into(),
        },
    })?;
    let stat = rustix::fs::fstat(&opened).map_err(|errno| FolderError::CannotOpen {
        path: path.to_path_buf(),
        source: errno.into(),
    })?;
    let (path, owner, mode) = (path.to_path_buf(), stat.st_uid, stat.st_mode & 0o7777);
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::useless_conversion, reason = "elsewhere it is narrower")
    )]
    let mode = u32::from(mode);
    let user = rustix::process::geteuid().as_raw();
    if owner != user {
        return Err(FolderError::NotOurs {
            path,
            owner,
            user,
            mode,
        });
    }
    if mode & 0o022 != 0 {
        return Err(FolderError::TooOpen { path, owner, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_missing_folder_is_made_for_its_owner_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/b");
        ensure_private(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused_with_the_mend() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("open");
        fs::create_dir(&folder).unwrap();
        for mode in [0o777, 0o720, 0o702] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            let error = ensure_private(&folder).unwrap_err().to_string();
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
            assert!(error.contains("chmod go-w"), "{error}");
        }
        // As `/tmp` has it, which nobody should be told to close.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
        let error = ensure_private(&folder).unwrap_err().to_string();
        assert!(
            error.contains("1777") && !error.contains("chmod"),
            "{error}"
        );
    }

    #[test]
    fn a_link_a_dangling_link_and_a_file_are_no_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let (real, link) = (temporary.path().join("real"), temporary.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let dangling = temporary.path().join("dangling");
        symlink(temporary.path().join("nothing"), &dangling).unwrap();
        let file = temporary.path().join("file");
        fs::write(&file, "mine").unwrap();
        for path in [&link, &dangling, &file] {
            let error = ensure_private(path).unwrap_err();
            assert!(matches!(error, FolderError::NotAFolder { .. }), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        if rustix::process::geteuid().is_root() {
            let temporary = tempfile::tempdir().unwrap();
            let folder = temporary.path().join("theirs");
            fs::create_dir(&folder).unwrap();
            std::os::unix::fs::chown(&folder, Some(65534), None).unwrap();
            let error = ensure_private(&folder).unwrap_err();
            assert!(matches!(error, FolderError::NotOurs { owner: 65534, .. }));
        } else {
            let error = ensure_private(Path::new("/")).unwrap_err();
            assert!(matches!(error, FolderError::NotOurs { owner: 0, .. }));
        }
    }
}
