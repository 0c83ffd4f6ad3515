//! A connection whose requests must come in time.
//!
//! hyper counts the time for a head from the end of the request before. A connection may rest for longer than a
//! head may take, so that is counted here, from a head's first byte on.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// From the first byte of a request to the end of its head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Whether a request is being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(Arc<AtomicBool>);

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Busy);

impl Busy {
    pub(super) fn begin(&self) -> Answering {
        self.0.store(true, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct Timed {
    stream: TcpStream,
    busy: Busy,
    /// Set while a head is on its way: when it must be there.
    head_due: Option<Pin<Box<Sleep>>>,
    /// Whether something was read since the last request was answered.
    has_begun: bool,
}

impl Timed {
    pub(super) fn new(stream: TcpStream, busy: Busy) -> Self {
        Timed {
            stream,
            busy,
            head_due: None,
            has_begun: false,
        }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.busy.is_busy() {
            self.has_begun = false;
            self.head_due = None;
            return Poll::Pending;
        }
        if !self.has_begun {
            return Poll::Pending;
        }
        let due = self
            .head_due
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + HEAD_PATIENCE)));
        ready!(due.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before && !self.busy.is_busy() {
                    self.has_begun = true;
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_head(context),
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
