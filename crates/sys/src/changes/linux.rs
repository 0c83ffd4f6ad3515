//! On Linux: the kernel's list of what has happened there since.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// What has happened in a folder since it is watched.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Watches it from now on.
    pub fn of(folder: &Path) -> io::Result<Changes> {
        let changes = inotify::init(CreateFlags::CLOEXEC)?;
        let kinds = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE;
        inotify::add_watch(&changes, folder, kinds)?;
        Ok(Changes(changes))
    }

    /// Blocks until something was written, made or moved in the folder since the last call; `open` is the
    /// file that the caller has read to its end. It may also return for nothing.
    pub fn wait(&self, _open: Option<&File>) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        match Reader::new(&self.0, &mut buffer).next() {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
