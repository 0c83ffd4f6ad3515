//! Reports on their way to the daemon.
//!
//! **Invariant:** the guardian never waits for a daemon that does not read.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::protocol::{Report, send_with_fds};

/// A daemon that leaves this many bytes of reports unread is as good as gone: it is
/// thousands of them. What servers have left for it does not count.
const LEN_MAX: usize = 1 << 20;

/// What was reported and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parcels: VecDeque<Parcel>,
    broken: bool,
}

/// Bytes, and the descriptors that go with the first of them.
#[derive(Debug)]
struct Parcel {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
    /// Whether more may be appended.
    open: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, report: &Report) {
        let bytes = encoded(report);
        match self.parcels.back_mut() {
            Some(last) if last.open => last.bytes.extend_from_slice(&bytes),
            Some(_) | None => self.put(bytes, Vec::new(), true),
        }
        let waiting = self.parcels.iter().filter(|parcel| parcel.open);
        if waiting.map(|parcel| parcel.bytes.len()).sum::<usize>() > LEN_MAX {
            self.break_off();
        }
    }

    /// Pushes a report with descriptors, which arrive no later than it.
    pub(crate) fn push_with_fds(&mut self, report: &Report, fds: Vec<OwnedFd>) {
        self.put(encoded(report), fds, false);
    }

    fn put(&mut self, bytes: Vec<u8>, fds: Vec<OwnedFd>, open: bool) {
        if !self.broken {
            self.parcels.push_back(Parcel { bytes, fds, open });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Whether nobody will ever read what is pushed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Writes what goes without waiting.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) {
        while let Some(parcel) = self.parcels.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = parcel.fds.iter().map(AsFd::as_fd).collect();
            match send_with_fds(socket, &parcel.bytes, &fds) {
                Ok(len) => {
                    parcel.fds.clear();
                    parcel.bytes.drain(..len);
                    if parcel.bytes.is_empty() {
                        self.parcels.pop_front();
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => self.break_off(),
            }
        }
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.parcels = VecDeque::new();
    }
}

fn encoded(report: &Report) -> Vec<u8> {
    match report.encode() {
        Ok(bytes) => bytes,
        // Paths have no NUL, a record that has one was not taken, and none is that long.
        Err(error) => {
            debug_assert!(false, "a report that cannot be encoded: {error}");
            Vec::new()
        }
    }
}
