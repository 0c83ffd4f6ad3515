//! Whoever has come, over one kind of socket or the other.

use std::{
    io::{self, IoSlice},
    mem,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connection that we have been asked for.
#[derive(Debug)]
pub(super) enum Comer {
    /// To an address.
    Tcp(TcpStream),
    /// To the unix socket.
    Unix(UnixStream),
    /// To an address over TLS, which somebody else speaks for us.
    Secure(UnixStream),
}

/// Which kind of socket it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    #[default]
    Tcp,
    Unix,
    Secure,
}

impl Comer {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Comer::Tcp(_) => Kind::Tcp,
            Comer::Unix(_) => Kind::Unix,
            Comer::Secure(_) => Kind::Secure,
        }
    }

    /// One of this kind that was taken apart.
    pub(super) fn of(kind: Kind, descriptor: OwnedFd) -> io::Result<Self> {
        match kind {
            Kind::Tcp => {
                let stream = std::net::TcpStream::from(descriptor);
                stream.set_nonblocking(true)?;
                Ok(Comer::Tcp(TcpStream::from_std(stream)?))
            }
            Kind::Unix => {
                let stream = std::os::unix::net::UnixStream::from(descriptor);
                stream.set_nonblocking(true)?;
                Ok(Comer::Unix(UnixStream::from_std(stream)?))
            }
            // Whoever has spoken TLS is not there any more.
            Kind::Secure => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Returns when nothing comes from it any more, which it has said or which is so; never if something has come.
    pub(super) async fn has_gone(&self) {
        std::future::poll_fn(|context| self.poll_gone(context)).await;
    }

    /// Ready when nothing comes from it any more, which it has said or which is so; never if something has come.
    fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        let look = || {
            let mut byte = [0];
            let (read, _) = rustix::net::recv(self, &mut byte[..], RecvFlags::PEEK)?;
            Ok(read)
        };
        loop {
            let is_ready = match self {
                Comer::Tcp(stream) => stream.poll_read_ready(context),
                Comer::Unix(stream) | Comer::Secure(stream) => stream.poll_read_ready(context),
            };
            if ready!(is_ready).is_err() {
                return Poll::Ready(());
            }
            let looked = match self {
                Comer::Tcp(stream) => stream.try_io(Interest::READABLE, look),
                Comer::Unix(stream) | Comer::Secure(stream) => {
                    stream.try_io(Interest::READABLE, look)
                }
            };
            match looked {
                Ok(0) => return Poll::Ready(()),
                Ok(_something) => return Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_gone) => return Poll::Ready(()),
            }
        }
    }

    /// Returns when something may have come, or nothing comes any more.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Comer::Tcp(stream) => stream.readable().await,
            Comer::Unix(stream) | Comer::Secure(stream) => stream.readable().await,
        }
    }

    /// Its socket, which nobody waits for any more.
    pub(super) fn into_descriptor(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Comer::Tcp(stream) => stream.into_std()?.into(),
            Comer::Unix(stream) | Comer::Secure(stream) => stream.into_std()?.into(),
        })
    }
}

impl AsFd for Comer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Comer::Tcp(stream) => stream.as_fd(),
            Comer::Unix(stream) | Comer::Secure(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Comer {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Comer::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Comer::Unix(stream) | Comer::Secure(stream) => {
                Pin::new(stream).poll_read(context, buffer)
            }
        }
    }
}

impl AsyncWrite for Comer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Comer::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Comer::Unix(stream) | Comer::Secure(stream) => {
                Pin::new(stream).poll_write(context, bytes)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Comer::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Comer::Unix(stream) | Comer::Secure(stream) => {
                Pin::new(stream).poll_write_vectored(context, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Comer::Tcp(stream) => stream.is_write_vectored(),
            Comer::Unix(stream) | Comer::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Comer::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Comer::Unix(stream) | Comer::Secure(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Comer::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Comer::Unix(stream) | Comer::Secure(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// A stream that can be seen to have ended while nobody reads from it.
pub(super) trait Watched {
    /// Ready when nothing comes any more; never if something has come and is not read.
    fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()>;
}

/// A connection of which something was read before.
#[derive(Debug)]
pub(super) struct Rewound {
    read: Bytes,
    comer: Comer,
}

impl Rewound {
    pub(super) fn new(read: Bytes, comer: Comer) -> Self {
        Rewound { read, comer }
    }

    pub(super) fn comer(&self) -> &Comer {
        &self.comer
    }

    /// Has this read before anything else.
    pub(super) fn put_back(&mut self, read: Bytes) {
        self.read = if self.read.is_empty() {
            read
        } else {
            [read, mem::take(&mut self.read)].concat().into()
        };
    }

    /// Whether something was read that is to be read again.
    pub(super) fn has_unread(&self) -> bool {
        !self.read.is_empty()
    }

    pub(super) fn into_parts(self) -> (Comer, Bytes) {
        (self.comer, self.read)
    }
}

impl Watched for Rewound {
    fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_unread() {
            return Poll::Pending;
        }
        self.comer.poll_gone(context)
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.comer).poll_read(context, buffer);
        }
        let length = self.read.len().min(buffer.remaining());
        buffer.put_slice(self.read.get(..length).unwrap_or_default());
        self.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.comer).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.comer).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.comer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.comer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.comer).poll_shutdown(context)
    }
}
