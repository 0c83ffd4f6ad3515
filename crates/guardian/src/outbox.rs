//! Reports on their way to the daemon.
//!
//! **Invariant:** the guardian never waits for a daemon that does not read.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::protocol::Report;

/// A daemon that leaves this many bytes of reports unread is as good as gone: it is
/// thousands of them.
const LEN_MAX: usize = 1 << 20;

/// What was reported and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    broken: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, report: &Report) {
        if self.broken {
            return;
        }
        match report.encode() {
            Ok(bytes) => self.bytes.extend_from_slice(&bytes),
            // Paths have no NUL, and none is that long.
            Err(error) => debug_assert!(false, "a report that cannot be encoded: {error}"),
        }
        if self.bytes.len() > LEN_MAX {
            self.break_off();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether nobody will ever read what is pushed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Writes what goes without waiting.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) {
        while !self.bytes.is_empty() {
            match rustix::net::send(
                socket,
                &self.bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(len) => drop(self.bytes.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.break_off(),
            }
        }
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.bytes = Vec::new();
    }
}
