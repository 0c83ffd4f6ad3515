//! A connection whose requests must come in time, and whose client must take its answers.
//!
//! hyper counts the time for a head from the end of the request before. A connection may rest for longer than a
//! head may take, so that is counted here, from a head's first byte on. It knows no time for what it writes.
//!
//! **Invariant:** what was taken to be written is written, in its order, or goes along with the connection.

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

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Generation, Key, Presence,
    comer::Watched,
    look::{Age, Orders},
    presence::Round,
};
use crate::link::{ConnectionId, Share};

/// From the first byte of a request to the end of its head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take nothing of a response. A stream may wait for it for as long as it likes: that is
/// bounded otherwise.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

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
    /// The same of one that begins a session.
    beginning: Mutex<Option<Arc<Presence>>>,
    /// Whether no request begins on any connection.
    pause: Pause,
    /// What is to be woken when one may begin again.
    waker: Mutex<Option<Waker>>,
    orders: Orders,
    age: Mutex<Age>,
    /// Whether the body of the request has taken too long to come.
    is_too_slow: AtomicBool,
}

/// Whether requests that have not begun are left where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Pause(Arc<Halted>);

#[derive(Debug, Default)]
struct Halted {
    is_on: AtomicBool,
    /// Whether what clients do not take is taken from whoever writes it, to go along.
    is_late: AtomicBool,
    /// Has whoever looks after connections look again.
    stir: Notify,
}

impl Pause {
    pub(super) fn set(&self, is_on: bool) {
        self.0.is_on.store(is_on, Ordering::Relaxed);
        self.0.is_late.store(false, Ordering::Relaxed);
    }

    /// Clients have had their time to take what is written to them.
    pub(super) fn is_late(&self) {
        self.0.is_late.store(true, Ordering::Relaxed);
    }

    /// There is something to look after.
    pub(super) fn stir(&self) {
        self.0.stir.notify_one();
    }

    /// Returns when there is something to look after, or was since it returned last.
    pub(super) async fn stirred(&self) {
        self.0.stir.notified().await;
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    fn has_become_late(&self) -> bool {
        self.0.is_late.load(Ordering::Relaxed)
    }
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
    /// Whether some of the request's body has not been read.
    pub(super) has_body: bool,
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

    /// It is one that begins a session.
    pub(super) fn is_beginning(&self, presence: Arc<Presence>) {
        *lock(&self.0.beginning) = Some(presence);
    }

    pub(super) fn beginning(&self) -> Option<Arc<Presence>> {
        lock(&self.0.beginning).clone()
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

    /// What it is told from outside.
    pub(super) fn orders(&self) -> &Orders {
        &self.0.orders
    }

    /// Whether nothing would be lost if it kept no more than its socket. Who is a stranger may have to go.
    pub(super) fn can_rest(&self) -> bool {
        let course = self.course();
        let is_at_rest = course.stage == Stage::AtRest && !course.is_last;
        is_at_rest && self.has_passed() && !self.is_unwritten()
    }

    /// It is looked at once more.
    pub(super) fn grow_older(&self) -> Age {
        let mut age = lock(&self.0.age);
        age.grow((self.count(), self.course().stage));
        *age
    }

    /// The body that comes has taken too long.
    pub(super) fn is_too_slow(&self) {
        self.0.is_too_slow.store(true, Ordering::Relaxed);
        self.0.orders.wake();
    }

    pub(super) fn has_become_too_slow(&self) -> bool {
        self.0.is_too_slow.load(Ordering::Relaxed)
    }

    /// Whether there is anything of the request that has to be read before the next begins.
    pub(super) fn has_body(&self, has_body: bool) {
        lock(&self.0.course).has_body = has_body;
    }

    /// Whether what comes is to be left where it is, until the connection is woken.
    fn is_paused(&self, context: &Context<'_>) -> bool {
        if self.is_busy() || !self.0.pause.is_on() {
            return false;
        }
        self.is_to_be_woken(context);
        true
    }

    /// Whether what is written is taken though its client does not take it. One that comes back for a stream is
    /// cut off instead.
    fn is_taken_along(&self) -> bool {
        let is_stream = || self.course().stage == Stage::Streams && self.round().is_none();
        self.0.pause.has_become_late() && !is_stream()
    }

    fn is_to_be_woken(&self, context: &Context<'_>) {
        *lock(&self.0.waker) = Some(context.waker().clone());
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
        self.0.is_too_slow.store(false, Ordering::Relaxed);
        self.0.is_answering.store(true, Ordering::Relaxed);
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.0.is_answering.load(Ordering::Relaxed)
    }

    /// Whether a request has come whole, and its client waits for what comes of it.
    fn waits_for_answer(&self) -> bool {
        self.is_busy() && matches!(self.course().stage, Stage::AtTheHub | Stage::Streams)
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.0.course().stage == Stage::Streams {
            self.0.0.pause.stir();
        }
        self.0.is_at(Stage::AtRest);
        *lock(&self.0.0.round) = None;
        *lock(&self.0.0.beginning) = None;
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
    /// What was taken to be written and is not.
    unwritten: BytesMut,
    /// Its place in memory.
    place: Option<Share>,
    /// Set while the other end takes nothing: when it must have taken something.
    write_due: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, busy: Busy) -> Self {
        Timed {
            stream,
            busy,
            head_due: None,
            begun_at: None,
            unwritten: BytesMut::new(),
            place: None,
            write_due: None,
        }
    }

    /// One to which this is still to be written, that has this place in memory.
    pub(super) fn behind(mut self, unwritten: &[u8], place: Share) -> Self {
        self.unwritten = unwritten.into();
        self.place = Some(place);
        self
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// The stream itself, and what is still to be written to it.
    pub(super) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.unwritten)
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

impl<S: AsyncWrite + Unpin> Timed<S> {
    /// Writes what comes before anything else.
    fn poll_unwritten(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_unwritten() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.unwritten))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.advance(written);
            self.write_due = None;
        }
        self.place = None;
        Poll::Ready(Ok(()))
    }

    /// Returns when all of it is written; what goes along with the connection never is.
    pub(super) async fn written(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_written(context)).await
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_unwritten(context) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending if self.busy.is_taken_along() => {
                self.busy.note_write(false);
                self.busy.is_to_be_woken(context);
                Poll::Pending
            }
            Poll::Pending => self.poll_patience(context).map(Err),
        }
    }

    /// Writes these slices, or keeps them to go along.
    fn poll_slices(
        &mut self,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.poll_unwritten(context) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if let Poll::Ready(written) = written {
            self.write_due = None;
            self.busy.note_write(false);
            return Poll::Ready(written);
        }
        if self.busy.is_taken_along() {
            let before = self.unwritten.len();
            for slice in slices {
                self.unwritten.extend_from_slice(slice);
            }
            self.busy.note_write(false);
            return Poll::Ready(Ok(self.unwritten.len() - before));
        }
        let late = ready!(self.poll_patience(context));
        Poll::Ready(Err(late))
    }

    /// Nothing can be written now: until when that may last.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.busy.note_write(true);
        self.busy.is_to_be_woken(context);
        if self.busy.course().stage == Stage::Streams {
            self.write_due = None;
            return Poll::Pending;
        }
        let due = self
            .write_due
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_PATIENCE)));
        ready!(due.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncWrite + Watched + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_slices(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_slices(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes whenever it looks after the connection, and is told not to look for its end itself while a
        // request is being answered: it would want room for 8 KiB each time, to read what is not there.
        if self.busy.waits_for_answer() && self.stream.poll_gone(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        match self.poll_unwritten(context) {
            Poll::Ready(written) => written?,
            Poll::Pending if self.busy.is_taken_along() => self.busy.note_write(false),
            Poll::Pending => return self.poll_patience(context).map(Err),
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing else is to come, wherever the rest is written.
        let is_unchunked = self.busy.course().is_unchunked;
        self.busy.is_last(is_unchunked);
        ready!(self.poll_written(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
