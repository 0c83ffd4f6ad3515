//! Descriptors that the next program goes on with, by their numbers.
//!
//! **Invariant:** they stay open for nobody but the program that takes our place: no other is started
//! between [`Handed::stay`] and the upgrade.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

use sys::handed;

/// What is handed over.
#[derive(Debug, Default)]
pub(crate) struct Handed<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Handed<'a> {
    /// The number under which the next program finds it.
    pub(crate) fn over(&mut self, fd: BorrowedFd<'a>) -> RawFd {
        self.0.push(fd);
        fd.as_raw_fd()
    }

    /// Has all of them stay open when a program is executed.
    pub(crate) fn stay(&self) -> io::Result<()> {
        self.0.iter().try_for_each(handed::keep)
    }

    /// Takes that back.
    pub(crate) fn stay_no_longer(&self) -> io::Result<()> {
        self.0.iter().try_for_each(handed::keep_no_longer)
    }
}
