//! Replacing a file that its owner rewrites all the time.
//!
//! The new file takes the place of the old one by an exchange of the two, so what was there
//! at that very moment can be looked at afterwards. If it is not what the new one was made
//! from, it goes back: between looking and replacing there is no gap in which the change of
//! another would be lost. Meanwhile we hold leases on both, so that nobody reads ours before
//! it is settled that it stays, nor writes to the old one after it is out of sight.
//!
//! **Invariant:** whenever we are killed, the file is one that was there before, or the whole
//! new one.

mod attributes;
mod exchange;

use std::{
    borrow::Cow,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::fs::OFlags;
use sys::lease::Lease;
use thiserror::Error;

use self::{
    attributes::Attributes,
    exchange::{Exchange, Watched, content, inode},
};
use super::failpoint;
use crate::config_file::{has_access_list, without_access_list};

/// The largest file that is read; no client's is near it.
const BYTES_MAX: u64 = 10 * 1024 * 1024;

/// How often it is looked whether somebody still has the file open, a millisecond apart.
const OPEN_TRIES: usize = 20;

/// A file as it was read.
#[derive(Clone)]
pub(crate) struct Original {
    /// Where it is, without a link in its last part.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    mode: u32,
    group: u32,
    attributes: Attributes,
}

/// Why a file is left as it is.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error("it is not a file")]
    NotAFile,
    #[error("it is larger than 10 MiB")]
    TooLarge,
    #[error("it belongs to another user")]
    Foreign,
    #[error("it is read-only")]
    ReadOnly,
    #[error("it has several names, as hard links")]
    ManyNames,
    #[error("it has an access control list, which would be lost")]
    AccessList,
    #[error("it is a link to a link")]
    LinkToLink,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What came of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The new text is there.
    Done,
    /// Somebody else has changed the file, and that stays.
    Changed,
}

impl Original {
    /// Reads a file; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Refused> {
        let target = followed(path)?;
        let Some(mut file) = open(&target)? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Refused::NotAFile);
        }
        if metadata.len() > BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Refused::Foreign);
        }
        if metadata.mode() & 0o200 == 0 {
            return Err(Refused::ReadOnly);
        }
        if metadata.nlink() > 1 {
            return Err(Refused::ManyNames);
        }
        if has_access_list(&file) {
            return Err(Refused::AccessList);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(Original {
            path: target,
            bytes,
            mode: metadata.mode() & 0o7777,
            group: metadata.gid(),
            attributes: Attributes::of(&file)?,
        }))
    }

    /// The same, to be replaced by a file of this mode, if nobody has given it another since an
    /// import made it its owner's alone.
    pub(crate) fn with_mode_of_before(mut self, mode: u32) -> Self {
        if self.mode == mode & 0o600 {
            self.mode = mode;
        }
        self
    }

    /// Puts other bytes in the place of those that were read, if they are there still.
    pub(crate) fn replace(&self, new: &[u8]) -> io::Result<Replaced> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        failpoint::step();
        let mut temporary = tempfile::Builder::new()
            .prefix(&format!(".{name}.mcpool-"))
            .tempfile_in(folder)?;
        failpoint::step();
        temporary.write_all(new)?;
        failpoint::step();
        let file = temporary.as_file();
        without_access_list(file)?;
        resemble(file, self.mode, self.group, &self.attributes)?;
        failpoint::step();
        file.sync_all()?;
        failpoint::step();
        let Some(old) = self.still_there()? else {
            return Ok(Replaced::Changed);
        };
        // From here on what lies aside may be somebody else's: it is removed when that is sure.
        let (file, aside) = temporary.keep().map_err(|error| error.error)?;
        self.exchange(file, &aside, old)
    }

    /// Puts the new file, which lies aside, in the place of the old one. Whatever fails, the new
    /// one does not stay there: it has what the old one has.
    fn exchange(&self, file: File, aside: &Path, old: Watched) -> io::Result<Replaced> {
        let ours = file.metadata().map(|metadata| metadata.ino());
        let made = Watched::of(file).and_then(|new| {
            let mut exchange = Exchange {
                path: &self.path,
                aside,
                read: Cow::Borrowed(&self.bytes),
                old,
                new,
            };
            exchange.make()
        });
        let is_settled = made.is_ok();
        if is_settled {
            failpoint::step();
        }
        if is_settled || ours.is_ok_and(|ours| inode(aside).is_ok_and(|inode| inode == ours)) {
            let removed = remove(aside);
            return made.and_then(|replaced| removed.map(|()| replaced));
        }
        made
    }

    /// The file, if it is as it was read; nobody else has it open then, if the system can say so.
    fn still_there(&self) -> io::Result<Option<Watched>> {
        let Some(mut file) = open(&self.path)? else {
            return Ok(None);
        };
        for _ in 0..OPEN_TRIES {
            match Lease::take(file) {
                Ok(lease) => {
                    let is_same = content(lease.file())? == self.bytes;
                    return is_same.then(|| Watched::leased(lease)).transpose();
                }
                Err(refused) => file = refused,
            }
            // Somebody is reading or writing it.
            thread::sleep(Duration::from_millis(1));
        }
        let is_same = content(&file)? == self.bytes;
        is_same.then(|| Watched::of(file)).transpose()
    }
}

/// Gives a file what another one has beside its text.
fn resemble(file: &File, mode: u32, group: u32, attributes: &Attributes) -> io::Result<()> {
    attributes.give(file)?;
    if file.metadata()?.gid() != group {
        fchown(file, None, Some(group))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Opens a file, if there is one. A pipe in its place must not hold us up.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Removes what lies aside. Where files cannot be exchanged, it does not.
fn remove(aside: &Path) -> io::Result<()> {
    match fs::remove_file(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The file itself, where it is a symbolic link to it, as in a folder of dotfiles.
fn followed(path: &Path) -> Result<PathBuf, Refused> {
    let Ok(target) = fs::read_link(path) else {
        return Ok(path.to_path_buf());
    };
    let target = path.parent().unwrap_or(Path::new("/")).join(target);
    if fs::read_link(&target).is_ok() {
        return Err(Refused::LinkToLink);
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn original(path: &Path) -> Original {
        Original::read(path).unwrap().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_new_file_has_the_mode_of_the_old_one_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(original(&path).replace(b"new").unwrap(), Replaced::Done);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn the_new_file_has_what_the_user_has_noted_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let (name, note) = ("user.mcpool-note", "mine");
        let flags = rustix::fs::XattrFlags::empty();
        // Where a file has no such notes, none can be lost.
        let is_noted = rustix::fs::setxattr(&path, name, note.as_bytes(), flags).is_ok();
        assert_eq!(original(&path).replace(b"new").unwrap(), Replaced::Done);
        let mut noted = [0; 16];
        let length = rustix::fs::getxattr(&path, name, &mut noted[..]);
        let noted = length.ok().map(|length| &noted[..length]);
        assert_eq!(noted, is_noted.then_some(note.as_bytes()));
    }

    #[test]
    fn what_another_has_written_since_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let read_before = original(&path);
        fs::write(&path, "theirs").unwrap();
        assert_eq!(read_before.replace(b"new").unwrap(), Replaced::Changed);
        fs::remove_file(&path).unwrap();
        assert_eq!(read_before.replace(b"new").unwrap(), Replaced::Changed);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn an_exchange_that_fails_leaves_nothing_aside() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, aside) = (at("a.json"), at("aside"));
        fs::write(&path, "old").unwrap();
        let mut read = original(&path);
        let old = read.still_there().unwrap().unwrap();
        let new = File::create(&aside).unwrap();
        // A file cannot take the place of the folder that it is in.
        read.path = folder.path().to_path_buf();
        read.exchange(new, &aside, old).unwrap_err();
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("dotfile"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        symlink("dotfile", &link).unwrap();
        assert_eq!(original(&link).replace(b"new").unwrap(), Replaced::Done);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn what_cannot_be_written_over_safely_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("link", at("second")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("twice"), "x").unwrap();
        fs::hard_link(at("twice"), at("other-name")).unwrap();
        fs::write(at("read-only"), "x").unwrap();
        fs::set_permissions(at("read-only"), Permissions::from_mode(0o400)).unwrap();
        File::create(at("large"))
            .unwrap()
            .set_len(BYTES_MAX + 1)
            .unwrap();
        for (name, expected) in [
            ("second", "it is a link to a link"),
            ("folder", "it is not a file"),
            ("twice", "it has several names, as hard links"),
            ("read-only", "it is read-only"),
            ("large", "it is larger than 10 MiB"),
        ] {
            let refused = Original::read(&at(name)).map(|_| ()).unwrap_err();
            assert_eq!(refused.to_string(), expected, "{name}");
        }
        if crate::config_file::give_access_list(&at("file")) {
            let refused = Original::read(&at("file")).map(|_| ()).unwrap_err();
            assert!(matches!(refused, Refused::AccessList), "{refused}");
        }
        assert!(Original::read(&at("missing")).unwrap().is_none());
        assert!(Original::read(&at("file/inner")).unwrap().is_none());
    }
}
