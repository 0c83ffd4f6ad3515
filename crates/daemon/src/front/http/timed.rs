//! A connection whose requests must come in time.
//!
//! hyper counts the time for a head from the end of the request before. A connection may rest for longer than a
//! head may take, so that is counted here, from a head's first byte on.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// From the first byte of a request to the end of its head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Whether a request is being answered, and how many there were.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(Arc<Requests>);

#[derive(Debug, Default)]
struct Requests {
    is_answering: AtomicBool,
    count: AtomicU64,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Busy);

impl Busy {
    pub(super) fn begin(&self) -> Answering {
        self.0.is_answering.store(true, Ordering::Relaxed);
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.0.is_answering.load(Ordering::Relaxed)
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.is_answering.store(false, Ordering::Relaxed);
    }
}

/// The connection.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    busy: Busy,
    /// Set while a head is on its way: when it must be there.
    head_due: Option<Pin<Box<Sleep>>>,
    /// How many requests there were when the head began that is on its way.
    begun_at: Option<u64>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, busy: Busy) -> Self {
        Timed {
            stream,
            busy,
            head_due: None,
            begun_at: None,
        }
    }

    /// The stream alone.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // With the head there is a request.
        let is_on_its_way = self.begun_at == Some(self.busy.count());
        if self.busy.is_busy() || !is_on_its_way {
            self.head_due = None;
            return Poll::Pending;
        }
        let due = self
            .head_due
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + HEAD_PATIENCE)));
        ready!(due.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before && !self.busy.is_busy() {
                    self.begun_at = Some(self.busy.count());
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_head(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_must_be_there_soon_after_its_first_byte_and_rest_has_no_end_here() {
        let (mut client, server) = duplex(100);
        let busy = Busy::default();
        let mut timed = Timed::new(server, busy.clone());
        let mut buffer = [0; 10];
        let rests = time::timeout(10 * HEAD_PATIENCE, timed.read(&mut buffer)).await;
        assert!(rests.is_err(), "nothing has begun");
        client.write_all(b"GET").await.unwrap();
        assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
        let began = Instant::now();
        let late = timed.read(&mut buffer).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), HEAD_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_answered_nothing_is_due() {
        let (mut client, server) = duplex(100);
        let busy = Busy::default();
        let mut timed = Timed::new(server, busy.clone());
        let mut buffer = [0; 10];
        client.write_all(b"GET").await.unwrap();
        assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
        let answering = busy.begin();
        let waits = time::timeout(10 * HEAD_PATIENCE, timed.read(&mut buffer)).await;
        assert!(waits.is_err());
        drop(answering);
        let rests = time::timeout(10 * HEAD_PATIENCE, timed.read(&mut buffer)).await;
        assert!(rests.is_err(), "the next has not begun");
    }
}
