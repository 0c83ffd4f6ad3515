//! A session's socket, watched for what comes and, only while it is full, for room.
//!
//! A socket that is watched for both tells of room whenever its peer has read something: a wake-up
//! for each message that nobody waits for, on one core two changes of process. The runtime's own
//! type for sockets watches for both; its types for the ends of pipes watch for one thing each, and
//! take any descriptor that can be read, or written.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt,
};
use tokio::{
    io::Interest,
    net::{UnixStream, unix::pipe},
};

/// Bytes that the system may take before its reader has. It is memory only while it is used.
const SEND_BYTES: usize = 1 << 20;

/// One end of a connection, non-blocking.
#[derive(Debug)]
pub(crate) struct Socket {
    incoming: pipe::Receiver,
    end: End,
}

/// What it means that the peer will say nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It may read on.
    OfItsWords,
    /// It has gone.
    OfIt,
}

impl Socket {
    /// Watches from now on only for what comes.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        Socket::of(OwnedFd::from(stream.into_std()?))
    }

    /// The same for one that was handed over.
    pub(crate) fn of(descriptor: OwnedFd) -> io::Result<Self> {
        // More at once for a large message; the system may allow less, which does no harm.
        let _as_it_is = sockopt::set_socket_send_buffer_size(&descriptor, SEND_BYTES);
        let incoming = pipe::Receiver::from_owned_fd_unchecked(descriptor)?;
        let end = End::OfItsWords;
        Ok(Socket { incoming, end })
    }

    /// One for a WebSocket, whose two ways end together.
    pub(crate) fn web(descriptor: OwnedFd) -> io::Result<Self> {
        let incoming = pipe::Receiver::from_owned_fd_unchecked(descriptor)?;
        let end = End::OfIt;
        Ok(Socket { incoming, end })
    }

    /// Where what the peer says comes from.
    pub(crate) fn incoming(&self) -> &pipe::Receiver {
        &self.incoming
    }

    /// Writes as much as goes; `WouldBlock` if nothing does.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::writev(self, slices)?)
    }

    /// Whether nobody is at the other end any more.
    pub(crate) fn is_left(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::empty())];
        // Whoever cannot be asked for is found to have gone later.
        let asked = poll(&mut fds, Some(&Timespec::default()));
        asked.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// Waits until there is room, or nobody who could make some.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.outgoing()?.writable().await
    }

    /// Returns when nobody is at the other end any more. It works beside whoever reads.
    pub(crate) async fn gone(&self) -> io::Result<()> {
        match self.end {
            End::OfItsWords => {
                let outgoing = self.outgoing()?;
                loop {
                    if outgoing.ready(Interest::WRITABLE).await?.is_write_closed() {
                        return Ok(());
                    }
                    let _ours = outgoing.try_io(nothing);
                }
            }
            End::OfIt => {
                let copy = rustix::io::fcntl_dupfd_cloexec(self, 0)?;
                let incoming = pipe::Receiver::from_owned_fd_unchecked(copy)?;
                loop {
                    if incoming.ready(Interest::READABLE).await?.is_read_closed() {
                        return Ok(());
                    }
                    let _ours = incoming.try_io(nothing);
                }
            }
        }
    }

    /// A watch for room. News of it is of no use to others, so it is one of its own.
    pub(crate) fn outgoing(&self) -> io::Result<pipe::Sender> {
        let copy = rustix::io::fcntl_dupfd_cloexec(self, 0)?;
        pipe::Sender::from_owned_fd_unchecked(copy)
    }
}

/// Tells the runtime that the next readiness is news.
fn nothing() -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.incoming.as_fd()
    }
}
