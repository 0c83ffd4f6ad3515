//! What waits for one session over HTTP: for each of its posts, for its listener, and for want of one.
//!
//! What belongs to a post goes to the response to it, everything else to whoever listens. What there is no
//! response for is parked until somebody listens. Of a post whose client has gone it is only known that it is
//! still worked on: a client that goes away has not cancelled anything.
//!
//! **Invariant:** a message goes to one response, whole, or to none; only what a session could not read is
//! dropped, and never what it is asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use mux::{Answered, LineNumber};
use tokio::sync::{
    Notify,
    mpsc::{Sender, error::TrySendError},
    oneshot,
};
use wire::{Frame, Kind, Outgoing};

use super::{Backlog, Flushed, Overflow, Parcel, Piece, Room, outlet::too_slow};
use crate::front::Key;

/// Bytes that may be on their way to one response, but for one message of any size.
const HANDED_MAX: usize = 64 << 10;

/// Messages that are parked, and their bytes; then the oldest goes that is no question.
const PARKED_MAX: usize = 256;
const PARKED_BYTES_MAX: usize = 1 << 20;

/// All ways out to one session.
#[derive(Debug)]
pub(crate) struct Streams {
    /// For what waits for responses.
    room: Arc<Room>,
    /// For what is parked, which is nobody's fault who reads.
    whole: Arc<Room>,
    drained: Arc<Notify>,
    limit: usize,
    posts: BTreeMap<LineNumber, Post>,
    /// Those of which something is to be written.
    touched: BTreeSet<LineNumber>,
    listener: Option<Way>,
    /// Ends with the listener's way: whoever watches it holds that open.
    over: Option<oneshot::Sender<()>>,
    parked: VecDeque<Parked>,
    parked_bytes: usize,
    /// What is given out with the answer that the session begins with.
    begins: Option<(LineNumber, Key)>,
    /// All bytes that were ever pushed.
    pushed: u64,
    /// Bytes and messages that are not on their way yet.
    behind: usize,
    behind_messages: usize,
}

/// What a post waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The answer to a request.
    Answer,
    /// That it has been taken in.
    Receipt,
}

#[derive(Debug)]
struct Post {
    way: Way,
    wants: Wants,
    /// Whether a message is on its way already.
    has_begun: bool,
    /// Whether the core is done with it.
    has_ended: bool,
}

/// The way to one response.
#[derive(Debug)]
struct Way {
    to: Sender<Piece>,
    room: Arc<Room>,
    queue: VecDeque<Entry>,
    queued_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    parcel: Parcel,
    answers: Option<Answered>,
}

#[derive(Debug)]
struct Parked {
    parcel: Parcel,
    is_question: bool,
}

/// What became of the first entry of a way.
enum Sent {
    Yes,
    Full,
    Gone,
}

impl Way {
    fn new(to: Sender<Piece>, room: &Arc<Room>) -> Self {
        Way {
            to,
            room: room.part(),
            queue: VecDeque::new(),
            queued_bytes: 0,
        }
    }

    fn push(&mut self, message: Outgoing, answers: Option<Answered>, drained: &Arc<Notify>) {
        let parcel = Parcel::new(message, &self.room, drained);
        self.queued_bytes += parcel.len();
        self.queue.push_back(Entry { parcel, answers });
    }

    /// Whether more may be on its way.
    fn has_room_for(&self, bytes: usize) -> bool {
        let handed = self.room.taken() - self.queued_bytes;
        handed == 0 || handed + bytes <= HANDED_MAX
    }

    /// Takes out the first that may be on its way.
    fn take(&mut self) -> Option<Entry> {
        let bytes = self.queue.front()?.parcel.len();
        if !self.has_room_for(bytes) {
            return None;
        }
        self.queued_bytes -= bytes;
        self.queue.pop_front()
    }

    fn send(&self, piece: Piece) -> Sent {
        match self.to.try_send(piece) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(_)) => Sent::Full,
            Err(TrySendError::Closed(_)) => Sent::Gone,
        }
    }

    fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Whether somebody is there who has a place for another piece.
    fn can_take(&self) -> bool {
        !self.is_closed() && self.to.capacity() > 0
    }
}

impl Streams {
    /// Those of a session that begins with the answer to its first post.
    pub(crate) fn new(key: Key, limit: usize, unread: &Arc<Room>) -> Self {
        Streams {
            room: unread.part(),
            whole: Arc::clone(unread),
            drained: Arc::default(),
            limit,
            posts: BTreeMap::new(),
            touched: BTreeSet::new(),
            listener: None,
            over: None,
            parked: VecDeque::new(),
            parked_bytes: 0,
            begins: Some((LineNumber(1), key)),
            pushed: 0,
            behind: 0,
            behind_messages: 0,
        }
    }

    /// A post has come, whose response this leads to.
    pub(crate) fn open(&mut self, line: LineNumber, wants: Wants, to: Sender<Piece>) {
        let post = Post {
            way: Way::new(to, &self.room),
            wants,
            has_begun: false,
            has_ended: false,
        };
        self.posts.insert(line, post);
        self.touched.insert(line);
    }

    /// Somebody listens for what belongs to no post, until what is returned ends. Hands the way back if
    /// somebody does already.
    pub(crate) fn listen(
        &mut self,
        to: Sender<Piece>,
    ) -> Result<oneshot::Receiver<()>, Sender<Piece>> {
        if self.is_listened_to() {
            return Err(to);
        }
        // It is known that somebody listens before there is anything to hear.
        let _first = to.try_send(Piece::Done);
        self.part_from_listener();
        let mut way = Way::new(to, &self.room);
        for parked in self.parked.drain(..) {
            self.pushed += parked.parcel.len() as u64;
            self.behind += parked.parcel.len();
            self.behind_messages += 1;
            way.queued_bytes += parked.parcel.len();
            let parcel = parked.parcel.moved_to(&way.room);
            way.queue.push_back(Entry {
                parcel,
                answers: None,
            });
        }
        self.parked_bytes = 0;
        self.listener = Some(way);
        let (over, is_over) = oneshot::channel();
        self.over = Some(over);
        Ok(is_over)
    }

    pub(crate) fn is_listened_to(&self) -> bool {
        self.listener.as_ref().is_some_and(|way| !way.is_closed())
    }

    /// Puts in a message where it belongs.
    pub(crate) fn push(
        &mut self,
        message: Outgoing,
        answered: Option<Answered>,
        part_of: Option<LineNumber>,
    ) {
        let line = answered.as_ref().map(|answered| answered.line).or(part_of);
        let drained = Arc::clone(&self.drained);
        let post = line.and_then(|line| Some((line, self.posts.get_mut(&line)?)));
        match post {
            Some((line, post)) => {
                post.has_ended |= answered.is_some();
                self.touched.insert(line);
                if post.way.is_closed() {
                    // Nobody waits for the answer any more. What is asked meanwhile is heard elsewhere.
                    if answered.is_none() {
                        self.push_apart(message);
                    }
                    return;
                }
                self.pushed += message.len() as u64;
                self.behind += message.len();
                self.behind_messages += 1;
                post.way.push(message, answered, &drained);
            }
            None if answered.is_none() => self.push_apart(message),
            // It was the answer to something that is over.
            None => {}
        }
    }

    /// For whoever listens.
    fn push_apart(&mut self, message: Outgoing) {
        match self.listener.as_mut().filter(|way| !way.is_closed()) {
            Some(way) => {
                self.pushed += message.len() as u64;
                self.behind += message.len();
                self.behind_messages += 1;
                way.push(message, None, &self.drained);
            }
            None => self.park(Parcel::new(message, &self.whole, &self.drained)),
        }
    }

    fn park(&mut self, parcel: Parcel) {
        let is_question = is_question(parcel.message());
        self.parked_bytes += parcel.len();
        self.parked.push_back(Parked {
            parcel,
            is_question,
        });
        while self.parked.len() > PARKED_MAX || self.parked_bytes > PARKED_BYTES_MAX {
            let Some(oldest) = self.parked.iter().position(|parked| !parked.is_question) else {
                return;
            };
            if let Some(parked) = self.parked.remove(oldest) {
                self.parked_bytes -= parked.parcel.len();
                tracing::debug!("nobody listens, and a notification is dropped");
            }
        }
    }

    /// The core is done with these posts.
    pub(crate) fn done(&mut self, lines: &[LineNumber]) {
        for line in lines {
            if let Some(post) = self.posts.get_mut(line) {
                post.has_ended = true;
                self.touched.insert(*line);
            }
        }
    }

    /// Bytes that wait for somebody to read.
    pub(crate) fn waiting(&self) -> usize {
        self.room.taken()
    }

    /// Bytes that were ever taken.
    pub(crate) fn taken(&self) -> u64 {
        self.pushed.saturating_sub(self.waiting() as u64)
    }

    /// Bytes that wait behind those on their way.
    pub(crate) fn behind_head(&self) -> usize {
        self.behind
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.behind_messages == 0 && self.touched.is_empty()
    }

    pub(crate) fn overflow(&self) -> Overflow {
        Overflow::of(self.behind, self.limit)
    }

    pub(crate) fn backlog(&self) -> Backlog {
        // No line of its own is told to be done.
        Backlog::of(self.behind, self.behind_messages, 0, self.limit)
    }

    /// What hears of it when something has been read.
    pub(crate) fn drained(&self) -> Arc<Notify> {
        Arc::clone(&self.drained)
    }

    /// Drops what is not on its way. A dropped answer becomes an error that says so.
    pub(crate) fn cut(&mut self) {
        let ways = self.posts.values_mut().map(|post| &mut post.way);
        let mut left = (0, 0);
        for way in ways.chain(&mut self.listener) {
            way.queued_bytes = 0;
            for entry in mem::take(&mut way.queue) {
                if let Some(answered) = entry.answers {
                    way.push(too_slow(&answered), Some(answered), &self.drained);
                }
            }
            left = (left.0 + way.queued_bytes, left.1 + way.queue.len());
        }
        (self.behind, self.behind_messages) = left;
    }

    /// Hands on what goes. A session that is `closing` does not begin any more.
    pub(crate) fn flush(&mut self, is_closing: bool) -> Flushed {
        let mut left = BTreeSet::new();
        for line in mem::take(&mut self.touched) {
            if self.flush_post(line, is_closing) == Flushed::Blocked {
                left.insert(line);
            }
        }
        self.touched = left;
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
        while post.way.can_take()
            && let Some(Entry { parcel, answers }) = post.way.take()
        {
            self.behind -= parcel.len();
            self.behind_messages -= 1;
            let is_last = post.has_ended && post.way.queue.is_empty();
            let piece = if answers.is_some() {
                let begins = self.begins.take_if(|(begins, _)| *begins == line);
                let begins = begins.filter(|_| !is_closing).map(|(_, key)| key);
                Piece::Answer { parcel, begins }
            } else if is_last && !post.has_begun {
                Piece::Fault(parcel)
            } else {
                Piece::Part(parcel)
            };
            let is_over = !matches!(piece, Piece::Part(_));
            post.has_begun = true;
            match post.way.send(piece) {
                Sent::Yes if is_over => {
                    self.forget(line);
                    return Flushed::All;
                }
                Sent::Yes => {}
                Sent::Full | Sent::Gone => break,
            }
        }
        if post.way.is_closed() {
            let has_ended = post.has_ended || post.wants == Wants::Receipt;
            self.part_from(line);
            if has_ended {
                self.forget(line);
            }
            return Flushed::All;
        }
        if !post.way.queue.is_empty() {
            return Flushed::Blocked;
        }
        let last = match post.wants {
            Wants::Receipt => Piece::Done,
            Wants::Answer if post.has_ended => Piece::Over,
            Wants::Answer => return Flushed::All,
        };
        match post.way.send(last) {
            Sent::Full => Flushed::Blocked,
            Sent::Yes | Sent::Gone => {
                self.forget(line);
                Flushed::All
            }
        }
    }

    fn forget(&mut self, line: LineNumber) {
        if let Some(post) = self.posts.remove(&line) {
            self.behind -= post.way.queued_bytes;
            self.behind_messages -= post.way.queue.len();
        }
    }

    /// The client of a post has gone: what it was asked is heard by whoever listens.
    fn part_from(&mut self, line: LineNumber) {
        let Some(post) = self.posts.get_mut(&line) else {
            return;
        };
        self.behind -= mem::take(&mut post.way.queued_bytes);
        let queue = mem::take(&mut post.way.queue);
        self.behind_messages -= queue.len();
        for entry in queue {
            if entry.answers.is_none() {
                self.push_apart(entry.parcel.open());
            }
        }
    }

    /// Whether all that there is for whoever listens is on its way, or parked.
    fn flush_listener(&mut self) -> bool {
        while let Some(way) = &mut self.listener
            && way.can_take()
            && let Some(entry) = way.take()
        {
            self.behind -= entry.parcel.len();
            self.behind_messages -= 1;
            match way.send(Piece::Part(entry.parcel)) {
                Sent::Yes => {}
                Sent::Full | Sent::Gone => break,
            }
        }
        match &self.listener {
            Some(way) if way.is_closed() => {
                self.part_from_listener();
                true
            }
            Some(way) => way.queue.is_empty(),
            None => true,
        }
    }

    /// Whoever listened has gone: what it was not given is for the next one.
    fn part_from_listener(&mut self) {
        self.over = None;
        let Some(way) = self.listener.take() else {
            return;
        };
        self.behind -= way.queued_bytes;
        self.behind_messages -= way.queue.len();
        for entry in way.queue {
            let parcel = entry.parcel.moved_to(&self.whole);
            self.park(parcel);
        }
    }

    /// The longest message that waits.
    #[cfg(feature = "audit")]
    pub(crate) fn longest(&self) -> usize {
        let ways = self.posts.values().map(|post| &post.way);
        let entries = ways.chain(&self.listener).flat_map(|way| &way.queue);
        entries.map(|entry| entry.parcel.len()).max().unwrap_or(0)
    }
}

/// Whether somebody waits for an answer to it.
fn is_question(message: &Outgoing) -> bool {
    let bytes = match message.pieces() {
        [whole] => whole.clone(),
        _several => Bytes::from(message.to_vec()),
    };
    Frame::parse(bytes).is_ok_and(|frame| frame.kind() == Kind::Request)
}

#[cfg(test)]
mod tests;
