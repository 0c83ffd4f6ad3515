//! The lock of the living daemon: the truth about whether there is one.
//!
//! The kernel drops the lock with the process that holds it, so a file that a
//! crash left behind means nothing, and neither does a socket. The content of the
//! file is advice for those who find it locked: the daemon's process id and where
//! it listens.
//!
//! **Invariant:** whoever holds a [`DaemonLock`] is the only daemon of its places,
//! and may therefore remove a socket that stands in its way.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;

/// How often a lock is tried that somebody else holds.
const RETRY: Duration = Duration::from_millis(5);

/// More than any content that a daemon writes: a number and a path.
const CONTENT_MAX: u64 = 8 * 1024;

/// The daemon's claim to be the only one, for as long as this value lives.
#[derive(Debug)]
pub struct DaemonLock {
    file: File,
}

/// What the lock file says of the daemon that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id. For people; never a thing to send a signal to.
    pub pid: u32,
    /// Where it listens.
    pub socket: PathBuf,
}

impl AsFd for DaemonLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl DaemonLock {
    /// The lock that the daemon's program before this one held, in the same process. It holds as long as
    /// its file is open.
    pub fn handed_over(file: File) -> Self {
        DaemonLock { file }
    }

    /// Takes the lock, or tells with `None` that a daemon lives.
    ///
    /// A shim that looks whether the lock is held holds it itself for an instant,
    /// so a daemon should have some `patience`: a few 100 ms.
    pub fn take(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        loop {
            let file = open_to_lock(path)?;
            if !try_for(&file, patience)? {
                return Ok(None);
            }
            // A daemon that ends removes the file. Who had it open already now holds a
            // lock that nobody else will ever see.
            if is_at(&file, path)? {
                return Ok(Some(DaemonLock { file }));
            }
        }
    }

    /// Says for all to read who holds the lock and where it listens.
    pub fn announce(&mut self, pid: u32, socket: &Path) -> io::Result<()> {
        let mut content = format!("{pid}\n").into_bytes();
        content.extend_from_slice(socket.as_os_str().as_bytes());
        content.push(b'\n');
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&content)
    }

    /// Forgets the announcement, before the lock is dropped in an orderly end.
    fn withdraw(&mut self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Whether the file at `path`, where it was taken, is still the one that is locked.
    ///
    /// If somebody has removed it, another daemon may have made and locked the next one;
    /// then nothing there is ours any more.
    pub fn is_in_place(&self, path: &Path) -> io::Result<bool> {
        is_at(&self.file, path)
    }

    /// Removes the file, and then lets go of the lock: nothing is left behind.
    ///
    /// As [`DaemonLock::abandon`].
    pub fn remove(mut self, path: &Path) -> io::Result<()> {
        self.abandon(path)
    }

    /// Removes the file: the lock is held on, of a file that nobody else will ever see.
    ///
    /// `path` is where it was taken. Those who find the lock held in between see that
    /// nothing is announced any more. A file there that is another's stays.
    pub fn abandon(&mut self, path: &Path) -> io::Result<()> {
        self.withdraw()?;
        if self.is_in_place(path)? {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// What the lock file says, whether or not it is locked: enough to try to connect.
///
/// `None` for a file that is missing, cannot be read, or says nothing useful.
pub fn announced(path: &Path) -> Option<Holder> {
    parse(&content(&open_to_read(path).ok()?)?)
}

/// Whether a daemon lives: `Some` while the lock is held, with what it announced.
pub fn holder(path: &Path) -> io::Result<Option<Held>> {
    let file = match open_to_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(Held {
            by: content(&file).as_deref().and_then(parse),
        })),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The lock is held: a daemon lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it announced; `None` while it has not yet, or does no longer.
    pub by: Option<Holder>,
}

/// Opens, and makes if needed, a file whose only use is to be locked.
pub(crate) fn open_to_lock(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(as_it_is())
        .open(path);
    must_be_file(opened?)
}

/// Takes the exclusive lock within `patience`, or tells that it could not.
pub(crate) fn try_for(file: &File, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(RETRY),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Whether this open file is what the path names now.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((own.dev(), own.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_to_read(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(as_it_is())
        .open(path);
    must_be_file(opened?)
}

/// Follows no link, and waits at no pipe for somebody at its other end.
fn as_it_is() -> i32 {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    flags.bits().cast_signed()
}

/// A pipe could be locked just as well, and its content would be another's.
fn must_be_file(opened: File) -> io::Result<File> {
    if opened.metadata()?.is_file() {
        Ok(opened)
    } else {
        Err(io::Error::other("it is not a file; move it away"))
    }
}

fn content(file: &File) -> Option<Vec<u8>> {
    struct FromStart<'file>(&'file File, u64);
    impl Read for FromStart<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read_at(buffer, self.1)?;
            self.1 += read as u64;
            Ok(read)
        }
    }
    let mut bytes = Vec::new();
    FromStart(file, 0)
        .take(CONTENT_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

fn parse(content: &[u8]) -> Option<Holder> {
    let mut lines = content.split(|byte| *byte == b'\n');
    let pid = str::from_utf8(lines.next()?).ok()?.parse().ok()?;
    let socket = lines.next()?;
    // Without its newline the path may be cut short.
    lines.next()?;
    let socket = Path::new(OsStr::from_bytes(socket));
    socket.is_absolute().then(|| Holder {
        pid,
        socket: socket.to_path_buf(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn example() -> Holder {
        Holder {
            pid: 42,
            socket: "/run/user/7/mcpool/mcpool.sock".into(),
        }
    }

    #[test]
    fn only_one_holds_the_lock_and_it_is_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.lock");
        let first = DaemonLock::take(&path, Duration::ZERO).unwrap();
        assert!(first.is_some());
        assert!(DaemonLock::take(&path, Duration::ZERO).unwrap().is_none());
        drop(first);
        assert!(DaemonLock::take(&path, Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn a_held_lock_names_its_holder_and_the_same_content_unlocked_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.lock");
        assert_eq!(holder(&path).unwrap(), None);
        let mut lock = DaemonLock::take(&path, Duration::ZERO).unwrap().unwrap();
        assert_eq!(holder(&path).unwrap(), Some(Held { by: None }));
        lock.announce(42, &example().socket).unwrap();
        let by = Some(example());
        assert_eq!(holder(&path).unwrap(), Some(Held { by }));
        drop(lock);
        assert_eq!(holder(&path).unwrap(), None);
        assert_eq!(announced(&path), Some(example()));
    }

    #[test]
    fn an_announcement_replaces_a_longer_one_and_can_be_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.lock");
        let mut lock = DaemonLock::take(&path, Duration::ZERO).unwrap().unwrap();
        lock.announce(1, Path::new("/a/much/longer/path.sock"))
            .unwrap();
        lock.announce(42, &example().socket).unwrap();
        assert_eq!(announced(&path), Some(example()));
        lock.withdraw().unwrap();
        assert_eq!(announced(&path), None);
    }

    #[test]
    fn a_removed_lock_leaves_no_file_and_is_not_held_by_who_had_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.lock");
        let mut first = DaemonLock::take(&path, Duration::ZERO).unwrap().unwrap();
        first.announce(42, &example().socket).unwrap();
        let early = open_to_lock(&path).unwrap();
        first.remove(&path).unwrap();
        assert!(!path.exists());
        // It can be locked, and means nothing.
        assert!(try_for(&early, Duration::ZERO).unwrap());
        assert!(!is_at(&early, &path).unwrap());
        let next = DaemonLock::take(&path, Duration::ZERO).unwrap();
        assert!(next.is_some());
        assert!(!is_at(&early, &path).unwrap());
    }

    #[test]
    fn a_lock_whose_file_was_taken_away_does_not_remove_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.lock");
        let first = DaemonLock::take(&path, Duration::ZERO).unwrap().unwrap();
        assert!(first.is_in_place(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!first.is_in_place(&path).unwrap());
        let second = DaemonLock::take(&path, Duration::ZERO).unwrap().unwrap();
        first.remove(&path).unwrap();
        assert!(second.is_in_place(&path).unwrap());
        assert!(holder(&path).unwrap().is_some());
    }

    #[test]
    fn content_that_is_cut_or_strange_names_nobody() {
        for content in [
            "",
            "42",
            "42\n",
            "42\n/run/cut",
            "x\n/run/a\n",
            "42\nrelative\n",
        ] {
            assert_eq!(parse(content.as_bytes()), None, "{content:?}");
        }
    }

    #[test]
    fn what_is_no_file_is_no_lock_and_nobody_waits_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [&pipe, folder.path()] {
            assert!(DaemonLock::take(path, Duration::ZERO).is_err());
            assert!(holder(path).is_err());
            assert_eq!(announced(path), None);
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let path = folder.path().join("daemon.lock");
        symlink(&victim, &path).unwrap();
        assert!(DaemonLock::take(&path, Duration::ZERO).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
}
