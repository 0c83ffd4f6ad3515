//! What waits for one session of the modern era over HTTP: for the response to each of its rounds.
//!
//! Such a session is one request, and what its client says again to go on with it. Each of these posts is a round
//! with a response of its own. Nobody listens beside them, and nobody comes back to one: what is for no round is
//! dropped.
//!
//! A client that gives up one of several posts is still there: it is gone with the last.
//!
//! **Invariant:** a message goes to one response, whole, or to none; the answer is the last of its response.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::Arc,
};

use mux::{Answered, LineNumber};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use wire::Outgoing;

use super::{
    Backlog, ConnectionId, Denial, Flushed, Overflow, Parcel, Room, Sent, Tube, outlet::too_slow,
};

/// Bytes that may be on their way to a client, but for one message of any size.
const HANDED_MAX: usize = 64 << 10;

/// One piece of a response, on its way from the hub to whoever writes that.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// A message; there is more to come.
    Part(Parcel),
    /// The message that answers, and the end.
    Answer(Parcel),
    /// What was asked is not done, and nothing has come of it.
    Refused(Denial),
}

impl From<Denial> for Chunk {
    fn from(denial: Denial) -> Self {
        Chunk::Refused(denial)
    }
}

/// All ways out to one session.
#[derive(Debug)]
pub(crate) struct Rounds {
    room: Arc<Room>,
    drained: Arc<Notify>,
    limit: usize,
    /// Those that have no answer yet: one, unless its client goes on before it is asked to.
    open: Vec<Round>,
    /// All bytes that were ever pushed.
    pushed: u64,
    /// Bytes and messages that are not on their way yet.
    behind: usize,
    behind_messages: usize,
    /// Whether its client has gone and nobody has heard that it has.
    was_left: bool,
    /// Whether its client has given up a post, and had another then.
    has_lost: bool,
}

#[derive(Debug)]
struct Round {
    line: LineNumber,
    to: Tube<Chunk>,
    queue: VecDeque<Entry>,
    /// Whether the core is done with it.
    has_ended: bool,
}

/// Where responses go that were handed over, by the connections that they had.
pub(crate) type RoundTubes = BTreeMap<ConnectionId, Tube<Chunk>>;

/// All ways out to one session as they are handed over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct FrozenRounds(Vec<FrozenRound>);

#[derive(Debug, Serialize, Deserialize)]
struct FrozenRound {
    line: LineNumber,
    connection: u64,
    queue: Vec<(Outgoing, Option<Answered>)>,
    has_ended: bool,
}

#[derive(Debug)]
struct Entry {
    parcel: Parcel,
    answers: Option<Answered>,
}

impl Rounds {
    pub(crate) fn new(limit: usize, unread: &Arc<Room>) -> Self {
        Rounds {
            room: unread.part(),
            drained: Arc::default(),
            limit,
            open: Vec::new(),
            pushed: 0,
            behind: 0,
            behind_messages: 0,
            was_left: false,
            has_lost: false,
        }
    }

    /// Whether its client has gone as the program before us ended.
    pub(crate) fn was_left(&self) -> bool {
        self.was_left
    }

    /// A post was given up. Says whether its client is still there, with another.
    pub(crate) fn lose(&mut self) -> bool {
        let is_attended = self.is_attended();
        self.has_lost |= is_attended;
        is_attended
    }

    fn is_attended(&self) -> bool {
        let mut open = self.open.iter();
        open.any(|round| !round.to.is_closed())
    }

    /// Whether a post that was given up has no answer yet, and no other is left.
    fn is_deserted(&self) -> bool {
        let mut open = self.open.iter();
        self.has_lost && !self.is_attended() && open.any(|round| !round.has_ended)
    }

    /// A post has come, whose response this leads to.
    pub(crate) fn open(&mut self, line: LineNumber, to: Tube<Chunk>) {
        self.open.push(Round {
            line,
            to,
            queue: VecDeque::new(),
            has_ended: false,
        });
    }

    /// Puts in a message where it belongs.
    pub(crate) fn push(
        &mut self,
        message: Outgoing,
        answered: Option<Answered>,
        part_of: Option<LineNumber>,
    ) {
        let line = answered.as_ref().map(|answered| answered.line).or(part_of);
        let mut round = self.open.iter_mut().find(|round| Some(round.line) == line);
        if let Some(round) = &mut round {
            round.has_ended |= answered.is_some();
        }
        let Some(round) = round.filter(|round| !round.to.is_closed()) else {
            tracing::debug!("nobody waits for a message, and it is dropped");
            return;
        };
        self.pushed += message.len() as u64;
        self.behind += message.len();
        self.behind_messages += 1;
        let parcel = Parcel::new(message, &self.room, &self.drained);
        let answers = answered;
        round.queue.push_back(Entry { parcel, answers });
    }

    /// The core is done with these posts.
    pub(crate) fn done(&mut self, lines: &[LineNumber]) {
        for round in &mut self.open {
            round.has_ended |= lines.contains(&round.line);
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
        self.behind_messages == 0
    }

    pub(crate) fn freeze(&self) -> FrozenRounds {
        let entries = |round: &Round| {
            let entries = round.queue.iter();
            let entries = entries.map(|it| (it.parcel.message().clone(), it.answers.clone()));
            entries.collect()
        };
        let rounds = self.open.iter().map(|round| FrozenRound {
            line: round.line,
            // It was let go, and so it seems to be gone.
            connection: round.to.connection.0,
            queue: entries(round),
            has_ended: round.has_ended,
        });
        FrozenRounds(rounds.collect())
    }

    /// Goes on with those of the program before us, and with the responses that were handed over as well.
    pub(crate) fn thaw(
        frozen: FrozenRounds,
        limit: usize,
        unread: &Arc<Room>,
        tubes: &mut RoundTubes,
    ) -> Self {
        let mut rounds = Rounds::new(limit, unread);
        rounds.was_left = !frozen.0.is_empty();
        for round in frozen.0 {
            let connection = ConnectionId(round.connection);
            let Some(tube) = tubes.remove(&connection) else {
                // Nothing is said any more to one whose connection has not come along.
                let (nowhere, _gone) = Tube::to(connection);
                rounds.open(round.line, nowhere);
                rounds.done(&[round.line][..usize::from(round.has_ended)]);
                rounds.has_lost = true;
                continue;
            };
            rounds.was_left = false;
            rounds.open(round.line, tube);
            for (message, answers) in round.queue {
                rounds.push(message, answers, Some(round.line));
            }
            if round.has_ended {
                rounds.done(&[round.line]);
            }
        }
        rounds
    }

    /// The connections of those who read have come into other hands.
    pub(crate) fn reconnect(&mut self, tubes: &mut RoundTubes) {
        for round in &mut self.open {
            if let Some(to) = tubes.remove(&round.to.connection) {
                round.to = to;
            }
        }
    }

    /// Whether all that was handed over has been taken in by now.
    pub(crate) fn are_taken(&self) -> bool {
        self.open.iter().all(|round| round.to.is_taken())
    }

    /// The connections of those who read.
    pub(crate) fn readers(&self) -> impl Iterator<Item = ConnectionId> {
        self.open.iter().map(|round| round.to.connection)
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
        (self.behind, self.behind_messages) = (0, 0);
        for round in &mut self.open {
            for entry in mem::take(&mut round.queue) {
                let Some(answered) = entry.answers else {
                    continue;
                };
                let parcel = Parcel::new(too_slow(&answered), &self.room, &self.drained);
                self.behind += parcel.len();
                self.behind_messages += 1;
                let answers = Some(answered);
                round.queue.push_back(Entry { parcel, answers });
            }
        }
    }

    /// Hands on what goes.
    pub(crate) fn flush(&mut self) -> Flushed {
        let mut rounds = mem::take(&mut self.open);
        rounds.retain_mut(|round| self.goes_on(round));
        self.open = rounds;
        if self.is_deserted() {
            Flushed::Broken
        } else if self.is_empty() {
            Flushed::All
        } else {
            Flushed::Blocked
        }
    }

    /// Whether a round still has something to say after what it was given now.
    fn goes_on(&mut self, round: &mut Round) -> bool {
        while let Some(next) = round.queue.front() {
            let handed = self.room.taken() - self.behind;
            let goes = handed == 0 || handed + next.parcel.len() <= HANDED_MAX;
            if !goes || !round.to.can_take() && !round.to.is_closed() {
                return true;
            }
            let Some(Entry { parcel, answers }) = round.queue.pop_front() else {
                return true;
            };
            self.behind -= parcel.len();
            self.behind_messages -= 1;
            let is_last = answers.is_some();
            let chunk = if is_last {
                Chunk::Answer(parcel)
            } else {
                Chunk::Part(parcel)
            };
            match round.to.send(chunk) {
                Sent::Yes if is_last => return false,
                // There was a place for it, and nobody else has taken that.
                Sent::Yes | Sent::Full => {}
                Sent::Gone => {
                    self.forget(round);
                    return false;
                }
            }
        }
        !round.has_ended
    }

    /// Its client has gone.
    fn forget(&mut self, round: &mut Round) {
        for entry in round.queue.drain(..) {
            self.behind -= entry.parcel.len();
            self.behind_messages -= 1;
        }
    }

    /// The longest message that waits.
    #[cfg(feature = "audit")]
    pub(crate) fn longest(&self) -> usize {
        let entries = self.open.iter().flat_map(|round| &round.queue);
        entries.map(|entry| entry.parcel.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
