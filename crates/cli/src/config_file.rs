//! Reading the configuration file, and replacing it without ever leaving half of it.
//!
//! **Invariant:** whatever happens in between, the file holds the old text or the
//! whole new one; and of two edits at the same time none is lost.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, OFlags, fgetxattr, flock, fremovexattr};

/// The mode of a new file: it may hold values of `env`.
const PRIVATE: u32 = 0o600;

/// The attribute with the access control list of a file, on Linux (acl(5)).
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Whether a file has an access control list. A file in its place would come without it, and
/// what its mode says of the group is the mask of the list: the group might read more.
pub(crate) fn has_access_list(file: &File) -> bool {
    // Without room, it is asked how long it is.
    fgetxattr(file, ACCESS_LIST, &mut [0_u8; 0][..]).is_ok()
}

/// Takes off the list that a new file has from its folder.
pub(crate) fn without_access_list(file: &File) -> io::Result<()> {
    if has_access_list(file) {
        fremovexattr(file, ACCESS_LIST)?;
    }
    Ok(())
}

/// The text of the file; a missing one is an empty one.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    match read_file(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Waits for nobody, as a pipe in the place of the file would make us.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

/// The text of a file that is one.
pub(crate) fn read_file(path: &Path) -> io::Result<String> {
    let mut file = open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Replaces the text by what `change` makes of it; an error leaves it as it is.
pub(crate) fn edit<E>(
    path: &Path,
    change: impl FnOnce(&str) -> Result<String, E>,
) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    edit_within(path, 0o777, change)
}

/// The same, and the file is its owner's alone then.
pub(crate) fn edit_private<E>(
    path: &Path,
    change: impl FnOnce(&str) -> Result<String, E>,
) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    edit_within(path, PRIVATE, change)
}

/// Removes the file if there is nothing in it.
pub(crate) fn remove_empty(path: &Path) -> anyhow::Result<()> {
    let target = followed(path)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let locked = locked(folder)?;
    if target.exists() && read(&target)?.is_empty() {
        fs::remove_file(&target)
            .and_then(|()| locked.sync_all())
            .with_context(|| format!("cannot remove {}", target.display()))?;
    }
    Ok(())
}

/// The folder, held until it is closed: two edits come one after the other.
fn locked(folder: &Path) -> anyhow::Result<File> {
    let handle = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    flock(&handle, FlockOperation::LockExclusive)
        .with_context(|| format!("cannot lock {}", folder.display()))?;
    Ok(handle)
}

/// An edit after which the file has no mode outside of this one.
fn edit_within<E>(
    path: &Path,
    mode_max: u32,
    change: impl FnOnce(&str) -> Result<String, E>,
) -> anyhow::Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let target = followed(path)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let folder_handle = locked(folder)?;
    let edited = change(&read(&target)?)?;
    replace(&target, folder, mode_max, &edited)
        .and_then(|()| folder_handle.sync_all())
        .with_context(|| format!("cannot write {}", target.display()))
}

/// The file itself, where it is a symbolic link to it, as in a folder of dotfiles.
fn followed(path: &Path) -> anyhow::Result<PathBuf> {
    let Ok(target) = fs::read_link(path) else {
        return Ok(path.to_path_buf());
    };
    let target = path.parent().unwrap_or(Path::new("/")).join(target);
    if fs::read_link(&target).is_ok() {
        bail!(
            "{} is a link to a link; edit {} itself",
            path.display(),
            target.display()
        );
    }
    Ok(target)
}

fn replace(target: &Path, folder: &Path, mode_max: u32, text: &str) -> io::Result<()> {
    let mode = match open(target) {
        Ok(file) if has_access_list(&file) => {
            return Err(io::Error::other(
                "it has an access control list, which would be lost; take it off, or edit it by hand",
            ));
        }
        Ok(file) => file.metadata()?.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => PRIVATE,
        Err(error) => return Err(error),
    };
    // Made with mode 0600, and removed again if anything fails.
    let mut temporary = tempfile::Builder::new()
        .prefix(".config-")
        .tempfile_in(folder)?;
    without_access_list(temporary.as_file())?;
    temporary.write_all(text.as_bytes())?;
    temporary
        .as_file()
        .set_permissions(Permissions::from_mode(mode & mode_max))?;
    temporary.as_file().sync_all()?;
    temporary.persist(target)?;
    Ok(())
}

/// A list by which the user 12345 may read a file too, as the system keeps it; whether it was given.
///
/// There are file systems without such lists.
#[cfg(test)]
pub(crate) fn give_access_list(path: &Path) -> bool {
    // Tag, permissions, and whose they are: the owner, a user, the group, the mask, others.
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 4, 12345),
        (0x04, 0, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, whose) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(whose.to_le_bytes());
    }
    rustix::fs::setxattr(path, ACCESS_LIST, &list, rustix::fs::XattrFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, os::unix::fs::symlink, thread};

    use super::*;

    fn append(path: &Path, text: &str) -> anyhow::Result<()> {
        edit(path, |before| {
            Ok::<_, Infallible>(format!("{before}{text}"))
        })
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.toml");
        append(&path, "a").unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        append(&path, "b").unwrap();
        assert_eq!((read(&path).unwrap().as_str(), mode(&path)), ("ab", 0o640));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("dotfile"), folder.path().join("link"));
        fs::write(&real, "a").unwrap();
        symlink("dotfile", &link).unwrap();
        append(&link, "b").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&real).unwrap(), "ab");
        let second = folder.path().join("second");
        symlink("link", &second).unwrap();
        assert!(append(&second, "c").is_err());
    }

    #[test]
    fn a_refused_change_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        append(&path, "a").unwrap();
        let refused = edit(&path, |_| Err::<String, _>(io::Error::other("no")));
        assert!(refused.is_err());
        assert_eq!(read(&path).unwrap(), "a");
    }

    #[test]
    fn a_file_with_an_access_control_list_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "a").unwrap();
        if give_access_list(&path) {
            let refused = append(&path, "b").unwrap_err();
            assert!(format!("{refused:#}").contains("access control list"));
            assert_eq!(read(&path).unwrap(), "a");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn edits_at_the_same_time_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| append(&path, "x").unwrap());
            }
        });
        assert_eq!(read(&path).unwrap().len(), 16);
    }
}
