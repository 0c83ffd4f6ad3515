//! On Linux: a descriptor of the process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A hold on the process that has a number now. It is readable once that process has ended.
#[derive(Debug)]
pub struct Hold(OwnedFd);

impl Hold {
    /// Takes hold of it.
    pub fn of(pid: Pid) -> io::Result<Hold> {
        Ok(Hold(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// The same hold in the program that takes the place of another.
    pub fn handed_over(fd: OwnedFd, _pid: Pid) -> Hold {
        Hold(fd)
    }

    /// Signals it; an error if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.0, signal)?)
    }
}

impl AsFd for Hold {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
