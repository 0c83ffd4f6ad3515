//! Elsewhere: an event queue that hears of the folder, and of the one file that is open.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, VnodeEvents, kevent, kqueue};
use rustix::io::{Errno, FdFlags};

/// What has happened in a folder since it is watched.
#[derive(Debug)]
pub struct Changes {
    queue: OwnedFd,
    /// Watched for as long as it is open.
    folder: File,
}

impl Changes {
    /// Watches it from now on.
    pub fn of(folder: &Path) -> io::Result<Changes> {
        let queue = kqueue()?;
        rustix::io::fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        let changes = Changes {
            queue,
            folder: File::open(folder)?,
        };
        changes.hear_of(&changes.folder)?;
        Ok(changes)
    }

    /// Blocks until something was written, made or moved in the folder since the last call; `open` is the
    /// file that the caller has read to its end. It may also return for nothing.
    pub fn wait(&self, open: Option<&File>) -> io::Result<()> {
        if let Some(mut open) = open {
            self.hear_of(open)?;
            // Of what was written before we listened the queue says nothing.
            if open.metadata()?.len() > open.stream_position()? {
                return Ok(());
            }
        }
        let mut events: Vec<Event> = Vec::with_capacity(8);
        let room = rustix::buffer::spare_capacity(&mut events);
        // SAFETY: nothing is wished for, so no descriptor is named.
        match unsafe { kevent(&self.queue, &[], room, None) } {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn hear_of(&self, file: &File) -> io::Result<()> {
        let flags = VnodeEvents::WRITE | VnodeEvents::EXTEND | VnodeEvents::RENAME;
        let vnode = file.as_raw_fd();
        let filter = EventFilter::Vnode { vnode, flags };
        let wish = Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, ptr::null_mut());
        let mut none: Vec<Event> = Vec::new();
        // SAFETY: the descriptor is open now; once it is closed the queue forgets it.
        unsafe { kevent(&self.queue, &[wish], &mut none, Some(Duration::ZERO)) }?;
        Ok(())
    }
}
