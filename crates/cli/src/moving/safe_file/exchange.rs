//! The exchange of two files, and what may happen around it.
//!
//! **Invariant:** what somebody else has put there or written meanwhile is there in the end.

use std::{
    borrow::Cow,
    fs::{self, File, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use sys::lease::{Lease, Waiting};

use super::{super::failpoint, Attributes, Replaced, open, resemble};

/// What systems say whose file system exchanges no files: macOS has a number of its own for it.
const NO_EXCHANGE: [Errno; 4] = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP];

/// A file, which others may be kept from opening.
pub(super) struct Watched {
    inode: u64,
    file: Held,
}

enum Held {
    Leased(Lease),
    Open(File),
}

impl Watched {
    /// With a lease, if there is one to be had.
    pub(super) fn of(file: File) -> io::Result<Self> {
        match Lease::take(file) {
            Ok(lease) => Watched::leased(lease),
            Err(file) => Ok(Watched {
                inode: file.metadata()?.ino(),
                file: Held::Open(file),
            }),
        }
    }

    pub(super) fn leased(lease: Lease) -> io::Result<Self> {
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
pub(super) struct Exchange<'a> {
    pub(super) path: &'a Path,
    pub(super) aside: &'a Path,
    /// What the old one had when it was read.
    pub(super) read: Cow<'a, [u8]>,
    pub(super) old: Watched,
    pub(super) new: Watched,
}

impl Exchange<'_> {
    pub(super) fn make(&mut self) -> io::Result<Replaced> {
        let replaced = self.make_once()?;
        if replaced == Replaced::Done {
            return Ok(Replaced::Done);
        }
        while self.is_awaited_aside()? {
            if !self.become_newest()? {
                break;
            }
            if self.make_once()? == Replaced::Done {
                break;
            }
        }
        // What is there in the end is another's text, in whichever file.
        Ok(Replaced::Changed)
    }

    fn make_once(&mut self) -> io::Result<Replaced> {
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
        let is_overtaken = self.old.has_waiting_writer()? || self.old.has_changed(&self.read)?;
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
            rewrite(self.new.file(), &newest)?;
        }
        Ok(())
    }

    /// Whether somebody who has seen ours in the place of a third file is about to write to it: nobody
    /// would see that where it lies now.
    fn is_awaited_aside(&self) -> io::Result<bool> {
        let there = inode(self.path)?;
        let is_third = ![0, self.old.inode, self.new.inode].contains(&there);
        Ok(is_third && self.new.has_waiting_writer()?)
    }

    /// Makes ours the same as the file that is there, to be put in its place; says whether there is one.
    fn become_newest(&mut self) -> io::Result<bool> {
        let Some(newest) = open(self.path)? else {
            return Ok(false);
        };
        let (metadata, attributes) = (newest.metadata()?, Attributes::of(&newest)?);
        self.old = Watched::of(newest)?;
        self.read = Cow::Owned(content(self.old.file())?);
        rewrite(self.new.file(), &self.read)?;
        resemble(
            self.new.file(),
            metadata.mode(),
            metadata.gid(),
            &attributes,
        )?;
        self.new.file().sync_all()?;
        Ok(true)
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

/// The whole of an open file, from its beginning.
pub(super) fn content(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(io::SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes other bytes, whose file may be its owner's alone.
fn rewrite(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.set_len(0)?;
    file.seek(io::SeekFrom::Start(0))?;
    file.write_all(bytes)
}

/// Which file this is; 0, which none has, if there is none.
pub(super) fn inode(path: &Path) -> io::Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn swap(one: &Path, other: &Path) -> Result<(), Errno> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, thread};

    use super::{super::Original, *};

    /// A file that was read, and the exchange with another that is about to be made.
    fn about_to_exchange<'a>(path: &'a Path, aside: &'a Path) -> Exchange<'a> {
        fs::write(path, "old").unwrap();
        fs::write(aside, "new").unwrap();
        let new = OpenOptions::new().read(true).write(true).open(aside);
        Exchange {
            path,
            aside,
            read: Cow::Borrowed(b"old"),
            old: Original::read(path)
                .unwrap()
                .unwrap()
                .still_there()
                .unwrap()
                .unwrap(),
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
    fn who_has_seen_ours_in_the_place_of_theirs_writes_to_it_where_it_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (path, aside) = (at("a.json"), at("aside"));
        let mut exchange = about_to_exchange(&path, &aside);
        if matches!(exchange.new.file, Held::Open(_)) {
            // Where there are no leases, nobody can be seen waiting.
            return;
        }
        fs::write(at("theirs"), "theirs").unwrap();
        fs::set_permissions(at("theirs"), Permissions::from_mode(0o640)).unwrap();
        fs::rename(at("theirs"), &path).unwrap();
        let awaited = exchange.new.inode;
        thread::scope(|scope| {
            swap(&path, &aside).unwrap();
            scope.spawn(|| fs::write(&path, "newest").unwrap());
            while !exchange.new.has_waiting_writer().unwrap() {
                thread::yield_now();
            }
            swap(&path, &aside).unwrap();
            assert_eq!(exchange.make().unwrap(), Replaced::Changed);
            assert_eq!(inode(&path).unwrap(), awaited);
            assert_eq!(content(exchange.new.file()).unwrap(), b"theirs");
            drop(exchange);
        });
        assert_eq!(fs::read(&path).unwrap(), b"newest");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
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
            read: Cow::Borrowed(b"old"),
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
}
