//! Elsewhere: an event queue that hears of the end of the process.
//!
//! Between the look at it and the signal the process may end and its number be given away; that is as
//! close as it gets there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// A hold on the process that has a number now. It is readable once that process has ended.
#[derive(Debug)]
pub struct Hold {
    queue: OwnedFd,
    pid: Pid,
}

impl Hold {
    /// Takes hold of it.
    pub fn of(pid: Pid) -> io::Result<Hold> {
        let queue = kqueue()?;
        let filter = EventFilter::Proc {
            pid,
            flags: ProcessEvents::EXIT,
        };
        let wish = Event::new(filter, EventFlags::ADD, ptr::null_mut());
        let mut none: Vec<Event> = Vec::new();
        // SAFETY: the wish names a process, and no descriptor that somebody could close.
        unsafe { kevent(&queue, &[wish], &mut none, Some(Duration::ZERO)) }?;
        Ok(Hold { queue, pid })
    }

    /// The same hold in the program that takes the place of another.
    pub fn handed_over(queue: OwnedFd, pid: Pid) -> Hold {
        Hold { queue, pid }
    }

    /// Signals it; an error if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.has_ended()? {
            return Err(Errno::SRCH.into());
        }
        Ok(kill_process(self.pid, signal)?)
    }
}

impl AsFd for Hold {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
