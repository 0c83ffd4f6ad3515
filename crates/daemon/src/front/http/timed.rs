//! A connection whose requests must come in time.
//!
//! hyper counts the time for a head from the end of the request before. A connection may rest for longer than a
//! head may take, so that is counted here, from a head's first byte on.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use wire::RequestId;

use super::{Generation, Key, Presence};
use crate::link::ConnectionId;

/// From the first byte of a request to the end of its head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Whether a request is being answered, how far that is, and how many there were.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy(Arc<Requests>);

#[derive(Debug, Default)]
struct Requests {
    connection: ConnectionId,
    is_answering: AtomicBool,
    count: AtomicU64,
    /// Whether the other end has taken less than it was offered.
    is_unwritten: AtomicBool,
    has_passed: AtomicBool,
    /// The token that it was let in by last; none has the number 0.
    token: AtomicU64,
    course: Mutex<Course>,
    /// What is known of a request of the modern era that is at the hub.
    round: Mutex<Option<Round>>,
    /// Whether no request begins on any connection.
    pause: Pause,
    /// What is to be woken when one may begin again.
    waker: Mutex<Option<Waker>>,
}

/// Whether requests that have not begun are left where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Pause(Arc<AtomicBool>);

impl Pause {
    pub(super) fn set(&self, is_on: bool) {
        self.0.store(is_on, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request of the modern era.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) presence: Arc<Presence>,
    pub(super) id: Option<RequestId>,
    /// The event, if the answer is for a hook of an agent.
    pub(super) hook: Option<Arc<str>>,
}

/// How far a request is, and its connection with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) stage: Stage,
    /// The key that the request has come with.
    pub(super) key: Option<Key>,
    /// Whether the connection is over with the response.
    pub(super) is_last: bool,
    /// Whether a stream ends with the connection alone, for want of chunks.
    pub(super) is_unchunked: bool,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    #[default]
    AtRest,
    /// It is still coming, or is being looked at.
    Coming,
    /// It is at the hub, and nothing of the response has been written.
    AtTheHub,
    /// Its response is a stream.
    Streams,
    /// Its response is a whole.
    Written,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Busy);

impl Busy {
    /// That of a connection.
    pub(super) fn of(connection: ConnectionId, pause: Pause) -> Self {
        Busy(Arc::new(Requests {
            connection,
            pause,
            ..Requests::default()
        }))
    }

    pub(super) fn connection(&self) -> ConnectionId {
        self.0.connection
    }

    pub(super) fn course(&self) -> Course {
        *lock(&self.0.course)
    }

    /// The request has come so far.
    pub(super) fn is_at(&self, stage: Stage) {
        lock(&self.0.course).stage = stage;
    }

    /// What else is known of it.
    pub(super) fn is_of(&self, key: Option<Key>) {
        lock(&self.0.course).key = key;
    }

    /// It is one of the modern era, and at the hub.
    pub(super) fn is_round(&self, round: Round) {
        *lock(&self.0.round) = Some(round);
        self.is_at(Stage::AtTheHub);
    }

    pub(super) fn round(&self) -> Option<Round> {
        lock(&self.0.round).clone()
    }

    /// The request that comes is the last, and its client may not know chunks.
    pub(super) fn is_last(&self, is_unchunked: bool) {
        let mut course = lock(&self.0.course);
        course.is_last = true;
        course.is_unchunked = is_unchunked;
    }

    /// Whether what comes is to be left where it is, until the connection is woken.
    fn is_paused(&self, context: &Context<'_>) -> bool {
        if self.is_busy() || !self.0.pause.is_on() {
            return false;
        }
        *lock(&self.0.waker) = Some(context.waker().clone());
        true
    }

    /// Requests may begin again.
    pub(super) fn wake(&self) {
        if let Some(waker) = lock(&self.0.waker).take() {
            waker.wake();
        }
    }

    /// A request has passed the gate.
    pub(super) fn passes(&self) {
        self.0.has_passed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_passed(&self) -> bool {
        self.0.has_passed.load(Ordering::Relaxed)
    }

    /// A request was let in by this token.
    pub(super) fn has_token(&self, token: Generation) {
        self.0.token.store(token, Ordering::Relaxed);
    }

    pub(super) fn token(&self) -> Option<Generation> {
        Some(self.0.token.load(Ordering::Relaxed)).filter(|token| *token != 0)
    }

    /// Whether something is being written that is not taken.
    pub(super) fn is_unwritten(&self) -> bool {
        self.0.is_unwritten.load(Ordering::Relaxed)
    }

    pub(super) fn note_write(&self, is_unwritten: bool) {
        self.0.is_unwritten.store(is_unwritten, Ordering::Relaxed);
    }

    pub(super) fn begin(&self) -> Answering {
        self.is_at(Stage::Coming);
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
        self.0.is_at(Stage::AtRest);
        *lock(&self.0.0.round) = None;
        self.0.0.is_answering.store(false, Ordering::Relaxed);
    }
}

/// Nobody panics who holds it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The stream itself.
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
        if self.busy.is_paused(context) {
            return Poll::Pending;
        }
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
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.busy.note_write(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.busy.note_write(written.is_pending());
        written
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
    async fn during_a_pause_no_request_begins_and_one_that_has_begun_goes_on() {
        let (mut client, server) = duplex(100);
        let pause = Pause::default();
        let busy = Busy::of(ConnectionId(1), pause.clone());
        let mut timed = Timed::new(server, busy.clone());
        let mut buffer = [0; 10];
        pause.set(true);
        client.write_all(b"GET").await.unwrap();
        let rests = time::timeout(HEAD_PATIENCE, timed.read(&mut buffer)).await;
        assert!(rests.is_err(), "it is left where it is");
        let answering = busy.begin();
        assert_eq!(timed.read(&mut buffer).await.unwrap(), 3);
        drop(answering);
        client.write_all(b"POST").await.unwrap();
        let (read, ()) = tokio::join!(timed.read(&mut buffer), async {
            tokio::task::yield_now().await;
            pause.set(false);
            busy.wake();
        });
        assert_eq!(read.unwrap(), 4);
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
