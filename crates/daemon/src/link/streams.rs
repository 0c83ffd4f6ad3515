//! What waits for one session over HTTP: for each of its posts, and for its listener.
//!
//! What belongs to a post goes to the response to it, everything else to whoever listens. Each of these is a
//! stream that outlives the responses that it is read by: a client whose connection is cut comes back with the
//! number of the last event that it has heard, and hears what came behind it. A client that goes away has not
//! cancelled anything.
//!
//! **Invariant:** a message goes to one stream, whole; only what a session could not read is dropped, and never
//! what it is asked.

mod frozen;
mod post;
mod stream;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use mux::{Answered, LineNumber};
use tokio::sync::{Notify, oneshot};
use wire::Outgoing;

use super::{
    Backlog, Beginning, ConnectionId, EventId, Flushed, Overflow, Piece, Room, Sent, StreamId,
    Tube, outlet::too_slow,
};
use crate::{front::Key, kept_sessions::Written};
pub(crate) use frozen::FrozenStreams;
use post::Post;
pub(crate) use post::{NothingLeft, Primes, Wants};
use stream::{From, Means, Stream, Tally};

/// Streams of posts that are answered, and that somebody may still come back to.
const ENDED_MAX: usize = 32;

/// Bytes that are kept of all streams; then the oldest goes that has ended.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// How often the clock strikes until nobody comes back to what is over.
const ENDED_AGE_MAX: u8 = 5;

/// How often it strikes until nobody comes back to what goes on, so that questions have to be heard elsewhere.
const LEFT_AGE_MAX: u8 = 1;

/// All ways out to one session.
#[derive(Debug)]
pub(crate) struct Streams {
    means: Means,
    tally: Tally,
    limit: usize,
    /// In boxes, as a map of large ones keeps their room when they have gone.
    posts: BTreeMap<LineNumber, Box<Post>>,
    /// Those of which something is to be written, each as often as there was something.
    touched: Vec<LineNumber>,
    /// Those that are over, the oldest first.
    ended: VecDeque<LineNumber>,
    listener: Stream,
    /// Ends with the listener's way: whoever watches it holds that open.
    over: Option<oneshot::Sender<()>>,
    /// What is given out with the answer that the session begins with.
    begins: Option<(LineNumber, Beginning)>,
    /// What all numbers are behind that an earlier daemon may have given out.
    base: u64,
    /// Posts whose responses have become streams since anybody has looked.
    begun: Vec<LineNumber>,
}

impl Streams {
    /// Those of a session that begins with the answer to its first post.
    pub(crate) fn new(key: Key, limit: usize, unread: &Arc<Room>) -> Self {
        let beginning = Beginning { key, written: None };
        Streams {
            begins: Some((LineNumber(1), beginning)),
            ..Streams::revived(0, limit, unread)
        }
    }

    /// Those of a session that an earlier daemon had, which may have given out numbers up to this one.
    pub(crate) fn revived(base: u64, limit: usize, unread: &Arc<Room>) -> Self {
        Streams {
            means: Means {
                room: unread.part(),
                whole: Arc::clone(unread),
                drained: Arc::default(),
            },
            tally: Tally::default(),
            limit,
            posts: BTreeMap::new(),
            touched: Vec::new(),
            ended: VecDeque::new(),
            listener: Stream::behind(base),
            over: None,
            begins: None,
            base,
            begun: Vec::new(),
        }
    }

    /// What the session is known by is given out when this is done.
    pub(crate) fn begins_when(&mut self, written: Written) {
        if let Some((_, beginning)) = &mut self.begins {
            beginning.written = Some(written);
        }
    }

    /// A post of an earlier daemon, whose client may come back to its stream.
    pub(crate) fn reopen(&mut self, line: LineNumber) {
        let post = Post {
            has_begun: true,
            ..Post::new(Stream::behind(self.base), (Wants::Answer, Primes::No))
        };
        self.posts.insert(line, Box::new(post));
    }

    /// Posts whose responses have become streams since this was asked last.
    pub(crate) fn take_begun(&mut self) -> Vec<LineNumber> {
        mem::take(&mut self.begun)
    }

    /// A post has come, whose response this leads to.
    pub(crate) fn open(&mut self, line: LineNumber, kind: (Wants, Primes), to: Tube) {
        let mut stream = Stream::behind(0);
        stream.attach(to, From::TheNew, &self.means, &mut self.tally);
        self.posts.insert(line, Box::new(Post::new(stream, kind)));
        if kind.0 == Wants::Receipt {
            self.touched.push(line);
        }
    }

    /// The response to a post that has just come is a stream, however soon there is an answer.
    pub(crate) fn begin_at(&mut self, line: LineNumber) {
        if let Some(post) = self.posts.get_mut(&line)
            && matches!(post.begin(line), Sent::Yes)
        {
            self.begun.push(line);
        }
    }

    /// The response over this connection is waited for so long that it becomes a stream.
    pub(crate) fn begin(&mut self, connection: ConnectionId) {
        let mut posts = self.posts.iter_mut();
        let found = posts.find(|(_, post)| !post.has_begun && post.stream.leads_to(connection));
        if let Some((line, post)) = found {
            // If it cannot be told, much is on its way already.
            if matches!(post.begin(*line), Sent::Yes) {
                self.begun.push(*line);
            }
        }
    }

    /// Ends the response to a post that goes on, so that its client comes back for the rest; once, as whoever has
    /// come back waits on no response that may be cut.
    pub(crate) fn interrupt(&mut self, line: LineNumber) {
        let Some(post) = self.posts.get_mut(&line) else {
            return;
        };
        if post.has_ended || post.was_resumed || !post.stream.is_read() {
            return;
        }
        if !post.has_begun {
            if !matches!(post.begin(line), Sent::Yes) {
                return;
            }
            self.begun.push(line);
        }
        if matches!(post.stream.send(Piece::Interlude), Sent::Yes) {
            post.stream.part(&self.means, &mut self.tally);
            post.age = 0;
        }
    }

    /// Somebody listens for what belongs to no post, until what is returned ends. Hands the way back if
    /// somebody does already.
    pub(crate) fn listen(
        &mut self,
        to: Tube,
        primes: Primes,
    ) -> Result<oneshot::Receiver<()>, Tube> {
        if self.is_listened_to() {
            return Err(to);
        }
        let id = EventId {
            stream: StreamId::LISTENER,
            number: self.listener.mark(),
        };
        let told = Some(id).filter(|_| primes == Primes::Yes);
        // It is known that somebody listens before there is anything to hear.
        let _first = to.send(Piece::Begun(told));
        Ok(self.attach_listener(to, From::TheNew))
    }

    /// Somebody goes on behind the last event that they have heard of a stream. If that is what belongs to no
    /// post, until what is returned ends.
    ///
    /// A client may keep that number only while it hears one, so it is told again.
    pub(crate) fn resume(
        &mut self,
        last: EventId,
        primes: Primes,
        to: Tube,
    ) -> Result<Option<oneshot::Receiver<()>>, NothingLeft> {
        let from = From::Behind(last.number);
        let told = Piece::Begun(Some(last).filter(|_| primes == Primes::Yes));
        let Some(line) = last.stream.line() else {
            let _first = to.send(told);
            return Ok(Some(self.attach_listener(to, from)));
        };
        let Some(post) = self.posts.get_mut(&line).filter(|post| post.has_begun) else {
            return Err(NothingLeft::Forgotten(to));
        };
        if post.has_ended && post.stream.ends_with(last.number) {
            return Err(NothingLeft::Heard(to));
        }
        let _first = to.send(told);
        let (means, tally) = (&self.means, &mut self.tally);
        post.stream.attach(to, from, means, tally);
        post.was_resumed = true;
        post.age = 0;
        self.touched.push(line);
        Ok(None)
    }

    fn attach_listener(&mut self, to: Tube, from: From) -> oneshot::Receiver<()> {
        let (means, tally) = (&self.means, &mut self.tally);
        self.listener.attach(to, from, means, tally);
        let (over, is_over) = oneshot::channel();
        self.over = Some(over);
        is_over
    }

    /// Whether the session begins with an answer that nobody waits for.
    pub(crate) fn was_left(&self) -> bool {
        let line = self.begins.as_ref().map(|(line, _)| line);
        let post = line.and_then(|line| self.posts.get(line));
        post.is_some_and(|post| !post.stream.is_read())
    }

    /// Whether anybody reads any of them.
    pub(crate) fn is_read(&self) -> bool {
        self.is_listened_to() || self.posts.values().any(|post| post.stream.is_read())
    }

    pub(crate) fn is_listened_to(&self) -> bool {
        self.listener.is_read()
    }

    /// Puts in a message where it belongs.
    pub(crate) fn push(
        &mut self,
        message: Outgoing,
        answered: Option<Answered>,
        part_of: Option<LineNumber>,
    ) {
        let line = answered.as_ref().map(|answered| answered.line).or(part_of);
        let post = line.and_then(|line| Some((line, self.posts.get_mut(&line)?)));
        let is_answer = answered.is_some();
        match post {
            Some((line, post)) => {
                post.has_ended |= is_answer;
                self.touched.push(line);
                if post.has_begun || post.stream.is_read() {
                    let (means, tally) = (&self.means, &mut self.tally);
                    post.stream.push(message, answered, means, tally);
                } else if !is_answer {
                    // Nobody can come back to it. What is asked meanwhile is heard elsewhere.
                    self.push_apart(message);
                }
            }
            None if !is_answer => self.push_apart(message),
            // It was the answer to something that is over.
            None => {}
        }
    }

    /// For whoever listens.
    fn push_apart(&mut self, message: Outgoing) {
        let (means, tally) = (&self.means, &mut self.tally);
        self.listener.push(message, None, means, tally);
    }

    /// The core is done with these posts.
    pub(crate) fn done(&mut self, lines: &[LineNumber]) {
        for line in lines {
            if let Some(post) = self.posts.get_mut(line) {
                post.has_ended = true;
                self.touched.push(*line);
            }
        }
    }

    /// The clock has struck, as it does now and then: what nobody comes back to is forgotten.
    pub(crate) fn grow_older(&mut self) {
        self.listener.grow_older(ENDED_AGE_MAX, &mut self.tally);
        let mut questions = Vec::new();
        for post in self.posts.values_mut() {
            if post.stream.is_read() {
                post.age = 0;
                post.stream.grow_older(ENDED_AGE_MAX, &mut self.tally);
                continue;
            }
            post.age = post.age.saturating_add(1);
            if post.age > LEFT_AGE_MAX && !post.has_ended {
                questions.extend(post.stream.take_questions(&mut self.tally));
            }
        }
        for question in questions {
            self.push_apart(question);
        }
        while let Some(line) = self.ended.front()
            && self
                .posts
                .get(line)
                .is_none_or(|post| post.age > ENDED_AGE_MAX)
        {
            self.forget_oldest();
        }
    }

    /// Forgets what is kept that was handed over, as others need the room; says whether there was any.
    pub(crate) fn forget_handed(&mut self) -> bool {
        let before = self.tally.kept;
        let streams = self.posts.values_mut().map(|post| &mut post.stream);
        for stream in streams.chain([&mut self.listener]) {
            stream.forget_handed(&mut self.tally);
        }
        self.tally.kept < before
    }

    /// Bytes that are kept for who comes back.
    pub(crate) fn kept(&self) -> usize {
        self.tally.kept
    }

    /// Bytes that wait for somebody to read.
    pub(crate) fn waiting(&self) -> usize {
        self.means.room.taken()
    }

    /// Bytes that were ever taken.
    pub(crate) fn taken(&self) -> u64 {
        self.tally.pushed.saturating_sub(self.waiting() as u64)
    }

    /// Bytes that wait behind those on their way.
    pub(crate) fn behind_head(&self) -> usize {
        self.tally.behind
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tally.behind_messages == 0 && self.touched.is_empty()
    }

    pub(crate) fn overflow(&self) -> Overflow {
        Overflow::of(self.tally.behind, self.limit)
    }

    pub(crate) fn backlog(&self) -> Backlog {
        // No line of its own is told to be done.
        Backlog::of(self.tally.behind, self.tally.behind_messages, 0, self.limit)
    }

    /// What hears of it when something has been read.
    pub(crate) fn drained(&self) -> Arc<Notify> {
        Arc::clone(&self.means.drained)
    }

    /// Drops what is not on its way. A dropped answer becomes an error that says so.
    pub(crate) fn cut(&mut self) {
        let streams = self.posts.values_mut().map(|post| &mut post.stream);
        for stream in streams.chain([&mut self.listener]) {
            stream.cut(too_slow, &self.means, &mut self.tally);
        }
    }

    /// Hands on what goes. A session that is `closing` does not begin any more.
    pub(crate) fn flush(&mut self, is_closing: bool) -> Flushed {
        let mut touched = mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched.retain(|line| self.flush_post(*line, is_closing) == Flushed::Blocked);
        self.touched = touched;
        let is_heard = self.flush_listener();
        if self.touched.is_empty() && is_heard {
            Flushed::All
        } else {
            Flushed::Blocked
        }
    }

    fn flush_post(&mut self, line: LineNumber, is_closing: bool) -> Flushed {
        let Some(post) = self.posts.get_mut(&line) else {
            return Flushed::All;
        };
        while let Some((next, waiting)) = post.stream.next() {
            let is_answer = next.answers.is_some();
            let is_last = post.has_ended && waiting == 1 && !post.has_begun;
            let is_fault = is_last && !is_answer && next.is_response();
            if !post.has_begun && !is_answer && !is_fault {
                // It has a place, as this is looked at each time.
                let _told = post.begin(line);
                self.begun.push(line);
                continue;
            }
            if post.has_begun {
                post.stream.keep_next(&self.means, &mut self.tally);
            }
            let Some(entry) = post.stream.take(&mut self.tally) else {
                break;
            };
            let stream = StreamId::of(line);
            let id = EventId {
                stream,
                number: entry.number,
            };
            let parcel = entry.parcel;
            let piece = if is_answer {
                let begins = self.begins.take_if(|(begins, _)| *begins == line);
                let begins = begins.filter(|_| !is_closing).map(|(_, begins)| begins);
                Piece::Answer { id, parcel, begins }
            } else if is_fault {
                Piece::Fault(parcel)
            } else {
                Piece::Part { id, parcel }
            };
            let is_over = is_answer || is_fault;
            match post.stream.send(piece) {
                Sent::Yes if is_over => {
                    self.end(line);
                    return Flushed::All;
                }
                Sent::Yes => {}
                Sent::Full | Sent::Gone => break,
            }
        }
        self.close_post(line)
    }

    /// All that goes of a post now is on its way: what is left to be told of it?
    fn close_post(&mut self, line: LineNumber) -> Flushed {
        let Some(post) = self.posts.get_mut(&line) else {
            return Flushed::All;
        };
        if !post.stream.is_read() {
            self.part_from(line);
            return Flushed::All;
        }
        if post.stream.has_waiting() {
            return Flushed::Blocked;
        }
        let last = match post.wants {
            Wants::Receipt => Piece::Done,
            Wants::Answer if post.has_ended => Piece::Over,
            Wants::Answer => return Flushed::All,
        };
        match post.stream.send(last) {
            Sent::Full => Flushed::Blocked,
            Sent::Yes | Sent::Gone => {
                self.end(line);
                Flushed::All
            }
        }
    }

    /// Nobody reads a post. If anybody can come back to it, it waits for them; else it is heard by whoever
    /// listens what the client was asked.
    fn part_from(&mut self, line: LineNumber) {
        let Some(post) = self.posts.get_mut(&line) else {
            return;
        };
        if post.has_begun {
            post.stream.part(&self.means, &mut self.tally);
            if post.has_ended {
                self.end(line);
            }
            return;
        }
        let is_over = post.has_ended || post.wants == Wants::Receipt;
        for entry in post.stream.drain(&mut self.tally) {
            if entry.answers.is_none() {
                let (means, tally) = (&self.means, &mut self.tally);
                self.listener.push(entry.parcel.open(), None, means, tally);
            }
        }
        if is_over && let Some(mut post) = self.posts.remove(&line) {
            post.stream.forget(&mut self.tally);
        }
    }

    /// Nothing more comes of a post. If its response is a stream, somebody may come back to it.
    fn end(&mut self, line: LineNumber) {
        let Some(post) = self.posts.get_mut(&line) else {
            return;
        };
        if !post.has_begun {
            post.stream.forget(&mut self.tally);
            self.posts.remove(&line);
            return;
        }
        post.stream.part(&self.means, &mut self.tally);
        if !self.ended.contains(&line) {
            self.ended.push_back(line);
        }
        while self.ended.len() > ENDED_MAX
            || (self.tally.kept > KEPT_BYTES_MAX && self.ended.len() > 1)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.ended.pop_front();
        if let Some(mut post) = oldest.and_then(|line| self.posts.remove(&line)) {
            post.stream.forget(&mut self.tally);
        }
    }

    /// Whether all that there is for whoever listens is on its way, or kept.
    fn flush_listener(&mut self) -> bool {
        while self.listener.next().is_some() {
            self.listener.keep_next(&self.means, &mut self.tally);
            let Some(entry) = self.listener.take(&mut self.tally) else {
                break;
            };
            let id = EventId {
                stream: StreamId::LISTENER,
                number: entry.number,
            };
            let parcel = entry.parcel;
            match self.listener.send(Piece::Part { id, parcel }) {
                Sent::Yes => {}
                Sent::Full | Sent::Gone => break,
            }
        }
        if self.listener.was_left() {
            self.over = None;
            self.listener.part(&self.means, &mut self.tally);
        }
        !self.listener.has_waiting()
    }

    /// The longest message that waits.
    #[cfg(feature = "audit")]
    pub(crate) fn longest(&self) -> usize {
        let streams = self.posts.values().map(|post| &post.stream);
        let streams = streams.chain([&self.listener]);
        streams.map(Stream::longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
