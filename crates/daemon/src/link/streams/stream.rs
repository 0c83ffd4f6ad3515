//! One stream of a session: what waits for whoever reads it, and what is kept for who comes back to it.
//!
//! **Invariant:** events have growing numbers, and what is kept lies before what waits. Whoever goes on behind
//! the last that it has heard hears each of the others once, as far as they are still kept.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use mux::Answered;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use wire::{Frame, Kind, Outgoing};

use super::super::{ConnectionId, Parcel, Piece, Room, Sent, Tube};

/// Bytes that may be on their way to one response, but for one message of any size.
pub(super) const HANDED_MAX: usize = 64 << 10;

/// Events that are kept, and their bytes, but for one of any size. Then the oldest goes that was handed over,
/// or else that nobody waits for.
pub(super) const KEPT_MAX: usize = 256;
const KEPT_BYTES_MAX: usize = 8 << 20;

/// What streams count together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// All bytes that ever waited for somebody.
    pub(super) pushed: u64,
    /// Bytes and messages that are not on their way yet to somebody who is there.
    pub(super) behind: usize,
    pub(super) behind_messages: usize,
    /// Bytes that are kept.
    pub(super) kept: usize,
}

/// Where messages are counted, and who hears when one was read.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// For what waits for responses.
    pub(super) room: Arc<Room>,
    /// For what is kept, which is nobody's fault who reads.
    pub(super) whole: Arc<Room>,
    pub(super) drained: Arc<Notify>,
}

/// Where somebody who reads begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// With what nobody was given.
    TheNew,
    /// Behind this one.
    Behind(u64),
}

/// One stream, whether anybody reads it or not.
#[derive(Debug)]
pub(super) struct Stream {
    way: Option<Way>,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// The number of the last event.
    last: u64,
}

/// The way to one response.
#[derive(Debug)]
struct Way {
    to: Tube,
    room: Arc<Room>,
    queue: VecDeque<Entry>,
    queued_bytes: usize,
}

/// A stream as it is handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenStream {
    /// The connection of whoever reads it.
    read_by: Option<u64>,
    /// What waits for that.
    waiting: Vec<FrozenEntry>,
    kept: Vec<FrozenKept>,
    last: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenEntry {
    number: u64,
    message: Outgoing,
    answers: Option<Answered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FrozenKept {
    entry: FrozenEntry,
    was_handed: bool,
    age: u8,
}

/// A message that is an event of its stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) parcel: Parcel,
    pub(super) answers: Option<Answered>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    /// Whether it was on its way to somebody.
    was_handed: bool,
    is_question: bool,
    /// How often the clock has struck since.
    age: u8,
}

impl Stream {
    /// One whose events have numbers behind this one.
    pub(super) fn behind(last: u64) -> Self {
        Stream {
            way: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            last,
        }
    }

    /// Somebody reads it from now on, instead of whoever did.
    pub(super) fn attach(&mut self, to: Tube, from: From, means: &Means, tally: &mut Tally) {
        self.part(means, tally);
        let mut way = Way {
            to,
            room: means.room.part(),
            queue: VecDeque::new(),
            queued_bytes: 0,
        };
        tally.kept -= mem::take(&mut self.kept_bytes);
        for kept in mem::take(&mut self.kept) {
            let is_wanted = match from {
                From::TheNew => !kept.was_handed,
                From::Behind(last) => kept.entry.number > last,
            };
            if is_wanted {
                let parcel = kept.entry.parcel.moved_to(&way.room);
                way.push(
                    Entry {
                        parcel,
                        ..kept.entry
                    },
                    tally,
                );
            }
        }
        self.way = Some(way);
    }

    /// Puts in a message, for whoever reads or will.
    pub(super) fn push(
        &mut self,
        message: Outgoing,
        answers: Option<Answered>,
        means: &Means,
        tally: &mut Tally,
    ) {
        if self.was_left() {
            self.part(means, tally);
        }
        self.last += 1;
        let number = self.last;
        if let Some(way) = &mut self.way {
            let parcel = Parcel::new(message, &way.room, &means.drained);
            let entry = Entry {
                number,
                parcel,
                answers,
            };
            return way.push(entry, tally);
        }
        let parcel = Parcel::new(message, &means.whole, &means.drained);
        let entry = Entry {
            number,
            parcel,
            answers,
        };
        self.keep(entry, false, tally);
    }

    /// Whether somebody reads it.
    pub(super) fn is_read(&self) -> bool {
        self.way.as_ref().is_some_and(|way| !way.to.is_closed())
    }

    /// Whether whoever read it has gone since anybody looked.
    pub(super) fn was_left(&self) -> bool {
        self.way.as_ref().is_some_and(|way| way.to.is_closed())
    }

    /// Whether this is the number of its last event.
    pub(super) fn ends_with(&self, number: u64) -> bool {
        self.last <= number
    }

    /// Whether it is read by somebody over this connection.
    pub(super) fn leads_to(&self, connection: ConnectionId) -> bool {
        self.is_read()
            && self
                .way
                .as_ref()
                .is_some_and(|way| way.to.connection == connection)
    }

    /// The way to whoever reads it.
    pub(super) fn tube(&self) -> Option<Tube> {
        let way = self.way.as_ref().filter(|way| !way.to.is_closed())?;
        Some(way.to.clone())
    }

    /// Whether all that was handed over has been taken in there.
    pub(super) fn is_taken(&self, slow: &BTreeSet<ConnectionId>) -> bool {
        let to = self.way.as_ref().map(|way| &way.to);
        to.is_none_or(|to| to.is_taken() || slow.contains(&to.connection))
    }

    /// The connection of whoever reads it has come into other hands.
    pub(super) fn reconnect(&mut self, tubes: &mut BTreeMap<ConnectionId, Tube>) {
        if let Some(way) = &mut self.way
            && let Some(tube) = tubes.remove(&way.to.connection)
        {
            way.to = tube;
        }
    }

    /// Whether something waits for somebody who is there.
    pub(super) fn has_waiting(&self) -> bool {
        self.way.as_ref().is_some_and(|way| !way.queue.is_empty())
    }

    /// The number behind which everything is that nobody was given.
    pub(super) fn mark(&self) -> u64 {
        let new = self.kept.iter().find(|kept| !kept.was_handed);
        let new = new.map(|kept| kept.entry.number);
        let waiting = self.way.as_ref().and_then(|way| way.queue.front());
        let first = new.or(waiting.map(|entry| entry.number));
        first.map_or(self.last, |first| first - 1)
    }

    /// The next event, if it may be on its way now, and how many there are with it.
    pub(super) fn next(&self) -> Option<(&Entry, usize)> {
        let way = self.way.as_ref().filter(|way| way.to.can_take())?;
        let next = way.queue.front()?;
        way.has_room_for(next.parcel.len())
            .then_some((next, way.queue.len()))
    }

    /// Takes out what [`Stream::next`] has shown.
    pub(super) fn take(&mut self, tally: &mut Tally) -> Option<Entry> {
        let way = self.way.as_mut()?;
        let entry = way.queue.pop_front()?;
        way.count_out(&entry, tally);
        Some(entry)
    }

    pub(super) fn send(&self, piece: Piece) -> Sent {
        self.way
            .as_ref()
            .map_or(Sent::Gone, |way| way.to.send(piece))
    }

    /// Keeps what is about to be handed over, should it not arrive. If there is no room, it is believed to.
    pub(super) fn keep_next(&mut self, means: &Means, tally: &mut Tally) {
        let entry = self.way.as_ref().and_then(|way| way.queue.front());
        let Some(entry) = entry.filter(|it| means.whole.lacking(it.parcel.len()) == 0) else {
            return;
        };
        let copy = Entry {
            number: entry.number,
            parcel: entry.parcel.copied_to(&means.whole),
            answers: entry.answers.clone(),
        };
        self.keep(copy, true, tally);
    }

    /// Nobody reads it any more: what waits is kept.
    pub(super) fn part(&mut self, means: &Means, tally: &mut Tally) {
        for entry in self.drain(tally) {
            let parcel = entry.parcel.moved_to(&means.whole);
            self.keep(Entry { parcel, ..entry }, false, tally);
        }
    }

    /// The same, and hands out what waits.
    pub(super) fn drain(&mut self, tally: &mut Tally) -> VecDeque<Entry> {
        let Some(mut way) = self.way.take() else {
            return VecDeque::new();
        };
        for entry in &way.queue {
            tally.behind -= entry.parcel.len();
            tally.behind_messages -= 1;
        }
        mem::take(&mut way.queue)
    }

    /// Drops what waits, but that there was an answer.
    pub(super) fn cut(
        &mut self,
        instead: impl Fn(&Answered) -> Outgoing,
        means: &Means,
        tally: &mut Tally,
    ) {
        let Some(way) = &mut self.way else {
            return;
        };
        for entry in mem::take(&mut way.queue) {
            way.count_out(&entry, tally);
            if let Some(answered) = entry.answers {
                let parcel = Parcel::new(instead(&answered), &way.room, &means.drained);
                let entry = Entry {
                    number: entry.number,
                    parcel,
                    answers: Some(answered),
                };
                way.push(entry, tally);
            }
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self, tally: &mut Tally) {
        self.drain(tally);
        self.kept.clear();
        tally.kept -= mem::take(&mut self.kept_bytes);
    }

    /// The clock has struck: what was handed over that long ago has arrived, or is missed by nobody.
    pub(super) fn grow_older(&mut self, age_max: u8, tally: &mut Tally) {
        for kept in &mut self.kept {
            kept.age = kept.age.saturating_add(1);
        }
        while let Some(first) = self.kept.front()
            && first.was_handed
            && first.age > age_max
        {
            self.drop_kept(0, tally);
        }
    }

    /// Forgets what was handed over: it has most likely arrived, and others need the room.
    pub(super) fn forget_handed(&mut self, tally: &mut Tally) {
        while self.kept.front().is_some_and(|kept| kept.was_handed) {
            self.drop_kept(0, tally);
        }
    }

    /// Takes out what is asked in it and nobody has heard.
    pub(super) fn take_questions(&mut self, tally: &mut Tally) -> Vec<Outgoing> {
        let mut questions = Vec::new();
        let is_unheard = |kept: &Kept| kept.is_question && !kept.was_handed;
        while let Some(at) = self.kept.iter().position(is_unheard) {
            questions.extend(self.drop_kept(at, tally).map(|it| it.parcel.open()));
        }
        questions
    }

    fn keep(&mut self, entry: Entry, was_handed: bool, tally: &mut Tally) {
        let bytes = entry.parcel.len();
        self.kept_bytes += bytes;
        tally.kept += bytes;
        self.kept.push_back(Kept {
            is_question: is_question(entry.parcel.message()),
            entry,
            was_handed,
            age: 0,
        });
        while self.kept.len() > 1
            && (self.kept.len() > KEPT_MAX || self.kept_bytes > KEPT_BYTES_MAX)
        {
            let may_go = |kept: &Kept| !kept.is_question && kept.entry.answers.is_none();
            let was_handed = self.kept.iter().position(|kept| kept.was_handed);
            let oldest = was_handed.or_else(|| self.kept.iter().position(may_go));
            let Some(oldest) = oldest else {
                return;
            };
            let dropped = self.drop_kept(oldest, tally);
            if was_handed.is_none() && dropped.is_some() {
                tracing::debug!("nobody listens, and a notification is dropped");
            }
        }
    }

    fn drop_kept(&mut self, at: usize, tally: &mut Tally) -> Option<Entry> {
        let kept = self.kept.remove(at)?;
        self.kept_bytes -= kept.entry.parcel.len();
        tally.kept -= kept.entry.parcel.len();
        Some(kept.entry)
    }

    pub(super) fn freeze(&self) -> FrozenStream {
        let waiting = self.way.iter().flat_map(|way| &way.queue);
        FrozenStream {
            // That was let go, and so it seems to be gone.
            read_by: self.way.as_ref().map(|way| way.to.connection.0),
            waiting: waiting.map(Entry::freeze).collect(),
            kept: self.kept.iter().map(Kept::freeze).collect(),
            last: self.last,
        }
    }

    /// Goes on with one of the program before us, and with whoever reads it, if they were handed over as well.
    pub(super) fn thaw(
        frozen: FrozenStream,
        tubes: &mut BTreeMap<ConnectionId, Tube>,
        means: &Means,
        tally: &mut Tally,
    ) -> Self {
        let mut stream = Stream::behind(frozen.last);
        for kept in frozen.kept {
            let entry = kept.entry.thaw(&means.whole, means);
            stream.keep(entry, kept.was_handed, tally);
            if let Some(last) = stream.kept.back_mut() {
                last.age = kept.age;
            }
        }
        let reader = frozen.read_by.map(ConnectionId);
        if let Some(tube) = reader.and_then(|id| tubes.remove(&id)) {
            let mut way = Way {
                to: tube,
                room: means.room.part(),
                queue: VecDeque::new(),
                queued_bytes: 0,
            };
            for entry in frozen.waiting {
                let entry = entry.thaw(&way.room, means);
                way.push(entry, tally);
            }
            stream.way = Some(way);
        } else {
            for entry in frozen.waiting {
                stream.keep(entry.thaw(&means.whole, means), false, tally);
            }
        }
        stream
    }

    /// The longest message that waits.
    #[cfg(feature = "audit")]
    pub(super) fn longest(&self) -> usize {
        let entries = self.way.iter().flat_map(|way| &way.queue);
        entries.map(|entry| entry.parcel.len()).max().unwrap_or(0)
    }
}

impl Entry {
    /// Whether it is one, even if of no request. What was told of a call just before it was cancelled is none.
    pub(super) fn is_response(&self) -> bool {
        kind_of(self.parcel.message()) == Some(Kind::Response)
    }

    fn freeze(&self) -> FrozenEntry {
        FrozenEntry {
            number: self.number,
            message: self.parcel.message().clone(),
            answers: self.answers.clone(),
        }
    }
}

impl Kept {
    fn freeze(&self) -> FrozenKept {
        FrozenKept {
            entry: self.entry.freeze(),
            was_handed: self.was_handed,
            age: self.age,
        }
    }
}

impl FrozenEntry {
    fn thaw(self, room: &Arc<Room>, means: &Means) -> Entry {
        Entry {
            number: self.number,
            parcel: Parcel::new(self.message, room, &means.drained),
            answers: self.answers,
        }
    }
}

impl Way {
    fn push(&mut self, entry: Entry, tally: &mut Tally) {
        let bytes = entry.parcel.len();
        tally.pushed += bytes as u64;
        tally.behind += bytes;
        tally.behind_messages += 1;
        self.queued_bytes += bytes;
        if self.queue.capacity() == 0 {
            // Most have one alone.
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(entry);
    }

    fn count_out(&mut self, entry: &Entry, tally: &mut Tally) {
        self.queued_bytes -= entry.parcel.len();
        tally.behind -= entry.parcel.len();
        tally.behind_messages -= 1;
    }

    /// Whether more may be on its way.
    fn has_room_for(&self, bytes: usize) -> bool {
        let handed = self.room.taken() - self.queued_bytes;
        handed == 0 || handed + bytes <= HANDED_MAX
    }
}

/// Whether somebody waits for an answer to it.
fn is_question(message: &Outgoing) -> bool {
    kind_of(message) == Some(Kind::Request)
}

/// What a message is, read once more: for what happens seldom.
fn kind_of(message: &Outgoing) -> Option<Kind> {
    let bytes = match message.pieces() {
        [whole] => whole.clone(),
        _several => Bytes::from(message.to_vec()),
    };
    Frame::parse(bytes).ok().map(|frame| frame.kind())
}
