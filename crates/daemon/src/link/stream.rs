//! The system's side of a link: non-blocking reads and writes, one system call each.
//!
//! **Invariant:** a wake-up costs one read: a read that did not fill its buffer has emptied the
//! kernel's, so the stream counts as drained without a second read that says so.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use bytes::BufMut as _;
use tokio::net::unix::pipe;
use wire::{Line, LineSplitter};

use super::Socket;

/// Bytes taken by one read at most. Each may be a line, and each line takes memory of its own; and others
/// wait while the system copies them.
const READ_BYTES: usize = 64 << 10;

/// From this length on an unfinished line is read to where it stays, without a copy of ours.
const LONG_LINE_BYTES: usize = 64 << 10;

thread_local! {
    /// Where all links of the thread read to, so that an idle one costs no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Where messages come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Socket(Arc<Socket>),
    Pipe(Arc<pipe::Receiver>),
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All that there was.
    Bytes,
    /// As much as there was room for: most likely there is more.
    Full,
    /// Nothing: wait until it is readable.
    Nothing,
    /// The other side will write no more.
    End,
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.incoming().as_fd()
    }
}

impl Source {
    /// Waits until there is something to read, or an end.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.incoming().readable().await
    }

    /// Reads once and hands out every line that this ends.
    pub(crate) fn read(
        &self,
        splitter: &mut LineSplitter,
        on_line: impl FnMut(Line),
    ) -> io::Result<Found> {
        if splitter.leftover() >= LONG_LINE_BYTES
            && let Some(tail) = splitter.tail(READ_BYTES)
        {
            let read = self.incoming().try_read_buf(&mut tail.limit(READ_BYTES));
            let found = self.judge(&read, READ_BYTES)?;
            if let (Found::Bytes | Found::Full, Ok(len)) = (found, read) {
                splitter.grown(len, on_line);
            }
            return Ok(found);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let read = self.incoming().try_read(scratch);
            let found = self.judge(&read, READ_BYTES)?;
            if let (Found::Bytes | Found::Full, Ok(len)) = (found, read) {
                splitter.feed(scratch.get(..len).unwrap_or_default(), on_line);
            }
            Ok(found)
        })
    }

    /// Reads once and shows what that brought, in no lines.
    pub(crate) fn glance(&self, see: impl FnOnce(&[u8])) -> io::Result<Found> {
        self.scan(|read| see(read))
    }

    /// The same for who changes what was read where it stands.
    pub(crate) fn scan(&self, see: impl FnOnce(&mut [u8])) -> io::Result<Found> {
        SCRATCH.with_borrow_mut(|scratch| {
            let read = self.incoming().try_read(scratch);
            let found = self.judge(&read, scratch.len())?;
            if let (Found::Bytes | Found::Full, Ok(len)) = (found, read) {
                see(scratch.get_mut(..len).unwrap_or_default());
            }
            Ok(found)
        })
    }

    fn judge(&self, read: &io::Result<usize>, room: usize) -> io::Result<Found> {
        match read {
            Ok(0) => Ok(Found::End),
            Ok(len) if *len < room => {
                self.drained();
                Ok(Found::Bytes)
            }
            Ok(_) => Ok(Found::Full),
            Err(error) if is_passing(error) => Ok(Found::Nothing),
            Err(error) => Err(error.kind().into()),
        }
    }

    fn incoming(&self) -> &pipe::Receiver {
        match self {
            Source::Socket(socket) => socket.incoming(),
            Source::Pipe(pipe) => pipe,
        }
    }

    /// Tells the runtime that the next readiness is news.
    fn drained(&self) {
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // It gives our own error back.
        let _ours = self.incoming().try_io(nothing);
    }
}

/// Whether the same read may do better later.
fn is_passing(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::WouldBlock || kind == io::ErrorKind::Interrupted
}

/// Where messages go to.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    Socket(Arc<Socket>),
    Pipe(Arc<pipe::Sender>),
    #[cfg(test)]
    Memory(super::memory::Memory),
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Sink::Socket(socket) => socket.as_fd(),
            Sink::Pipe(pipe) => pipe.as_fd(),
            #[cfg(test)]
            // It has none.
            Sink::Memory(_) => rustix::stdio::stdin(),
        }
    }
}

impl Sink {
    /// Waits until there is room, or nobody who could make some.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Sink::Socket(socket) => socket.writable().await,
            Sink::Pipe(pipe) => pipe.writable().await,
            #[cfg(test)]
            Sink::Memory(_) => Ok(()),
        }
    }

    /// Writes as much as goes; `WouldBlock` if nothing does.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Sink::Socket(socket) => socket.try_write(slices),
            Sink::Pipe(pipe) => pipe.try_write_vectored(slices),
            #[cfg(test)]
            Sink::Memory(memory) => memory.try_write(slices),
        }
    }

    /// Tells the runtime that a write was cut short: the next room is news.
    pub(crate) fn filled(&self) {
        // A socket is watched anew whenever somebody waits for room.
        if let Sink::Pipe(pipe) = self {
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ours = pipe.try_io(nothing);
        }
    }
}
