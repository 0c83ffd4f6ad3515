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

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{CWD, OFlags, RenameFlags, renameat_with},
    io::Errno,
};
use sys::lease::{Lease, Waiting};
use thiserror::Error;

use super::failpoint;
use crate::config_file::{has_access_list, without_access_list};

/// The largest file that is read; no client's is near it.
const BYTES_MAX: u64 = 10 * 1024 * 1024;

/// How often it is looked whether somebody still has the file open, a millisecond apart.
const OPEN_TRIES: usize = 20;

/// What systems say whose file system exchanges no files: macOS has a number of its own for it.
const NO_EXCHANGE: [Errno; 4] = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP];

/// A file as it was read.
#[derive(Clone)]
pub(crate) struct Original {
    /// Where it is, without a link in its last part.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    mode: u32,
    group: u32,
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
        if file.metadata()?.gid() != self.group {
            fchown(file, None, Some(self.group))?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))?;
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
                read: &self.bytes,
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

/// A file, which others may be kept from opening.
struct Watched {
    inode: u64,
    file: Held,
}

enum Held {
    Leased(Lease),
    Open(File),
}

impl Watched {
    /// With a lease, if there is one to be had.
    fn of(file: File) -> io::Result<Self> {
        match Lease::take(file) {
            Ok(lease) => Watched::leased(lease),
            Err(file) => Ok(Watched {
                inode: file.metadata()?.ino(),
                file: Held::Open(file),
            }),
        }
    }

    fn leased(lease: Lease) -> io::Result<Self> {
        Ok(Watched {
            inode: lease.file().metadata()?.ino(),
            file: Held::Leased(lease),
        })
    }

    fn file(&self) -> &File {
        match &self.file {
            Held::Leased(lease) => lease.file(),
            Held::Open(file) => file,
        }
    }

    fn has_waiting_writer(&self) -> io::Result<bool> {
        match &self.file {
            Held::Leased(lease) => Ok(lease.waiting()? == Waiting::Writer),
            Held::Open(_) => Ok(false),
        }
    }

    /// Whether somebody has written to it whom no lease has kept from that.
    fn has_changed(&self, read: &[u8]) -> io::Result<bool> {
        match &self.file {
            Held::Leased(_) => Ok(false),
            Held::Open(file) => Ok(content(file)? != read),
        }
    }
}

/// The new file takes the place of the old one, and the old one lies aside.
struct Exchange<'a> {
    path: &'a Path,
    aside: &'a Path,
    /// What the old one had when it was read.
    read: &'a [u8],
    old: Watched,
    new: Watched,
}

impl Exchange<'_> {
    fn make(&mut self) -> io::Result<Replaced> {
        failpoint::step();
        match swap(self.path, self.aside) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Replaced::Changed),
            // A file system without exchange. What is left is a gap of microseconds.
            Err(errno) if NO_EXCHANGE.contains(&errno) => {
                fs::rename(self.aside, self.path)?;
                self.sync_folder()?;
                return Ok(Replaced::Done);
            }
            Err(errno) => return Err(errno.into()),
        }
        failpoint::step();
        // Another file has come in the moment before: it goes back, and is seen by who waits for ours.
        if inode(self.aside)? != self.old.inode {
            return self.put_back();
        }
        self.sync_folder()?;
        failpoint::step();
        // Somebody has had the old file in sight when it went, and is about to write to it.
        let is_overtaken = self.old.has_waiting_writer()? || self.old.has_changed(self.read)?;
        if is_overtaken && inode(self.path)? == self.new.inode {
            return self.put_back();
        }
        Ok(Replaced::Done)
    }

    /// Exchanges until what comes out is what went in: then the newest is there.
    fn put_back(&mut self) -> io::Result<Replaced> {
        let mut went_in = self.new.inode;
        loop {
            let goes_in = inode(self.aside)?;
            match swap(self.path, self.aside) {
                // Somebody has removed the file, and that stays.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            failpoint::step();
            if [went_in, goes_in].contains(&inode(self.aside)?) {
                break;
            }
            went_in = goes_in;
        }
        self.show_newest_to_readers()?;
        Ok(Replaced::Changed)
    }

    /// Who has opened ours waits for our lease, and would read what is not there any more.
    fn show_newest_to_readers(&self) -> io::Result<()> {
        let is_aside = inode(self.aside)? == self.new.inode;
        let is_watched = matches!(self.new.file, Held::Leased(_));
        if is_aside
            && is_watched
            && let Some(newest) = self.newest()?
        {
            let mut file = self.new.file();
            file.set_len(0)?;
            file.seek(io::SeekFrom::Start(0))?;
            file.write_all(&newest)?;
        }
        Ok(())
    }

    /// What is in the place of the file now. The old one is read where we have it.
    fn newest(&self) -> io::Result<Option<Vec<u8>>> {
        if inode(self.path)? == self.old.inode {
            return content(self.old.file()).map(Some);
        }
        match fs::read(self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
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

/// The whole of an open file, from its beginning.
fn content(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(io::SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Which file this is; 0, which none has, if there is none.
fn inode(path: &Path) -> io::Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
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

fn swap(one: &Path, other: &Path) -> Result<(), Errno> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
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

    /// A file that was read, and the exchange with another that is about to be made.
    fn about_to_exchange<'a>(path: &'a Path, aside: &'a Path) -> Exchange<'a> {
        fs::write(path, "old").unwrap();
        fs::write(aside, "new").unwrap();
        let new = OpenOptions::new().read(true).write(true).open(aside);
        Exchange {
            path,
            aside,
            read: b"old",
            old: original(path).still_there().unwrap().unwrap(),
            new: Watched::of(new.unwrap()).unwrap(),
        }
    }

    #[test]
    fn what_another_puts_there_at_the_last_moment_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, aside) = (at("a.json"), at("aside"));
        let mut exchange = about_to_exchange(&path, &aside);
        fs::write(at("theirs"), "theirs").unwrap();
        fs::rename(at("theirs"), &path).unwrap();
        assert_eq!(exchange.make().unwrap(), Replaced::Changed);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(
            content(exchange.new.file()).unwrap(),
            b"theirs",
            "who has ours open reads what is there"
        );
    }

    #[test]
    fn what_another_writes_to_the_old_one_where_there_are_no_leases_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, aside) = (at("a.json"), at("aside"));
        fs::write(&path, "old").unwrap();
        fs::write(&aside, "new").unwrap();
        let mut exchange = Exchange {
            path: &path,
            aside: &aside,
            read: b"old",
            old: Watched {
                inode: inode(&path).unwrap(),
                file: Held::Open(File::open(&path).unwrap()),
            },
            new: Watched::of(
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&aside)
                    .unwrap(),
            )
            .unwrap(),
        };
        fs::write(&path, "theirs").unwrap();
        assert_eq!(exchange.make().unwrap(), Replaced::Changed);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
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
    fn what_another_puts_in_the_place_of_ours_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, aside) = (at("a.json"), at("aside"));
        let mut exchange = about_to_exchange(&path, &aside);
        // Theirs has come before ours, and the newest after it.
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, at("ours")).unwrap();
        fs::write(&path, "newest").unwrap();
        fs::write(&aside, "theirs").unwrap();
        assert_eq!(exchange.put_back().unwrap(), Replaced::Changed);
        assert_eq!(fs::read(&path).unwrap(), b"newest");
    }

    #[test]
    fn who_has_the_old_one_in_sight_writes_to_it_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, aside) = (at("a.json"), at("aside"));
        let mut exchange = about_to_exchange(&path, &aside);
        if matches!(exchange.old.file, Held::Open(_)) {
            // Where there are no leases, nobody can be seen waiting.
            return;
        }
        thread::scope(|scope| {
            scope.spawn(|| fs::write(&path, "theirs").unwrap());
            while !exchange.old.has_waiting_writer().unwrap() {
                thread::yield_now();
            }
            assert_eq!(exchange.make().unwrap(), Replaced::Changed);
            drop(exchange);
        });
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
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
