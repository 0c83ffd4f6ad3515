//! What waits for one session of the modern era over HTTP: for the response to each of its rounds.
//!
//! Such a session is one request, and what its client says again to go on with it. Each of these posts is a round
//! with a response of its own. Nobody listens beside them, and nobody comes back to one: what is for no round is
//! dropped.
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
    /// Whether a client has gone of which nobody has heard that it has.
    was_left: bool,
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
        }
    }

    /// Whether a client has gone as the program before us ended.
    pub(crate) fn was_left(&self) -> bool {
        self.was_left
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
        let round = self.open.iter_mut().find(|round| Some(round.line) == line);
        let Some(round) = round.filter(|round| !round.to.is_closed()) else {
            tracing::debug!("nobody waits for a message, and it is dropped");
            return;
        };
        round.has_ended |= answered.is_some();
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
        for round in frozen.0 {
            // Nothing is said any more to one whose connection has not come along.
            let Some(tube) = tubes.remove(&ConnectionId(round.connection)) else {
                rounds.was_left = true;
                continue;
            };
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
        if self.is_empty() {
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
mod tests {
    use mux::Then;

    use super::*;
    use crate::link::{PIECES_MAX, TubeEnd};

    struct Scene {
        rounds: Rounds,
        room: Arc<Room>,
    }

    fn scene() -> Scene {
        let room = Room::new(1 << 30);
        Scene {
            rounds: Rounds::new(1 << 20, &room),
            room,
        }
    }

    impl Scene {
        fn post(&mut self, line: u64) -> TubeEnd<Chunk> {
            let (to, from) = Tube::to(ConnectionId(line));
            self.rounds.open(LineNumber(line), to);
            from
        }

        fn part(&mut self, line: u64, text: impl Into<String>) {
            let message = Outgoing::from(text.into());
            self.rounds.push(message, None, Some(LineNumber(line)));
        }

        fn answer(&mut self, line: u64, text: impl Into<String>) {
            let answered = Answered {
                line: LineNumber(line),
                id: line.into(),
                others: Vec::new(),
                then: Then::Done,
            };
            let message = Outgoing::from(text.into());
            self.rounds.push(message, Some(answered), None);
        }

        /// Nothing waits, and nothing takes any room.
        fn is_at_rest(&self) {
            assert!(self.rounds.is_empty() && self.rounds.open.is_empty());
            let sums = (self.rounds.behind_head(), self.rounds.waiting());
            assert_eq!((sums, self.room.taken()), ((0, 0), 0));
        }
    }

    /// What comes next, or how it ends.
    fn next(from: &mut TubeEnd<Chunk>) -> String {
        let text = |parcel: Parcel| String::from_utf8(parcel.open().to_vec()).unwrap();
        match from.try_recv() {
            Ok(Chunk::Part(parcel)) => text(parcel),
            Ok(Chunk::Answer(parcel)) => format!("answer {}", text(parcel)),
            Ok(Chunk::Refused(denial)) => format!("{denial:?}"),
            Err(error) => error.to_string(),
        }
    }

    const NOTHING: &str = "receiving on an empty channel";
    const END: &str = "receiving on a closed channel";

    #[test]
    fn each_round_gets_what_belongs_to_it_and_then_its_answer() {
        let mut scene = scene();
        let mut first = scene.post(1);
        scene.part(1, "a");
        assert_eq!(scene.rounds.flush(), Flushed::All);
        assert_eq!(next(&mut first), "a");
        assert_eq!(next(&mut first), NOTHING);
        scene.answer(1, "b");
        assert_eq!(scene.rounds.flush(), Flushed::All);
        let mut second = scene.post(2);
        scene.part(1, "late");
        scene.part(2, "c");
        scene.answer(2, "d");
        assert_eq!(scene.rounds.flush(), Flushed::All);
        assert_eq!(next(&mut first), "answer b");
        assert_eq!(next(&mut first), END);
        assert_eq!(next(&mut second), "c");
        assert_eq!(next(&mut second), "answer d");
        assert_eq!(next(&mut second), END);
        scene.is_at_rest();
    }

    #[test]
    fn a_round_that_is_done_without_an_answer_ends_and_what_is_for_none_is_dropped() {
        let mut scene = scene();
        scene
            .rounds
            .push(Outgoing::from("x".to_owned()), None, None);
        let mut first = scene.post(1);
        scene.part(1, "a");
        scene.rounds.done(&[LineNumber(1)]);
        assert_eq!(scene.rounds.flush(), Flushed::All);
        assert_eq!(next(&mut first), "a");
        assert_eq!(next(&mut first), END);
        scene.is_at_rest();
    }

    #[test]
    fn who_has_gone_is_owed_nothing() {
        let mut scene = scene();
        let first = scene.post(1);
        scene.part(1, "a");
        scene.part(1, "b");
        drop(first);
        scene.answer(1, "c");
        assert_eq!(scene.rounds.flush(), Flushed::All);
        scene.is_at_rest();
    }

    #[test]
    fn a_client_is_given_so_much_at_once_and_the_rest_when_it_has_read() {
        let mut scene = scene();
        let mut first = scene.post(1);
        let long = "x".repeat(HANDED_MAX);
        for text in [&*long, "b"] {
            scene.part(1, text);
        }
        scene.answer(1, "c");
        assert_eq!(scene.rounds.flush(), Flushed::Blocked);
        assert_eq!(scene.rounds.behind_head(), 2);
        assert_eq!(next(&mut first), long);
        assert_eq!(next(&mut first), NOTHING);
        assert_eq!(scene.rounds.flush(), Flushed::All);
        assert_eq!(next(&mut first), "b");
        assert_eq!(next(&mut first), "answer c");
        scene.is_at_rest();
        // So many messages are as much.
        let mut second = scene.post(2);
        for _ in 0..=PIECES_MAX {
            scene.part(2, "x");
        }
        assert_eq!(scene.rounds.flush(), Flushed::Blocked);
        assert_eq!(next(&mut second), "x");
        assert_eq!(scene.rounds.flush(), Flushed::All);
    }

    #[test]
    fn what_is_cut_leaves_the_answers_as_errors() {
        let mut scene = scene();
        let mut first = scene.post(1);
        let long = "x".repeat(2 * HANDED_MAX);
        for text in [&*long, &*long] {
            scene.part(1, text);
        }
        scene.answer(1, long.clone());
        assert_eq!(scene.rounds.flush(), Flushed::Blocked);
        scene.rounds.cut();
        assert_eq!(next(&mut first), long);
        assert_eq!(scene.rounds.flush(), Flushed::All);
        let cut = next(&mut first);
        assert!(cut.contains("too-slow"), "{cut}");
        assert_eq!(next(&mut first), END);
        scene.is_at_rest();
    }

    #[test]
    fn what_waits_is_handed_over_to_whoever_has_the_connection_then() {
        let mut scene = scene();
        let mut first = scene.post(1);
        scene.part(1, "a");
        assert_eq!(scene.rounds.flush(), Flushed::All);
        assert!(!scene.rounds.are_taken());
        assert_eq!(next(&mut first), "a");
        assert!(scene.rounds.are_taken());
        scene.part(1, "b");
        scene.answer(1, "c");
        // It is let go.
        drop(first);
        let frozen = serde_json::to_vec(&scene.rounds.freeze()).unwrap();
        let frozen = serde_json::from_slice(&frozen).unwrap();
        let (to, mut from) = Tube::to(ConnectionId(7));
        let mut tubes = RoundTubes::from([(ConnectionId(1), to)]);
        scene.rounds = Rounds::thaw(frozen, 1 << 20, &scene.room, &mut tubes);
        assert!(tubes.is_empty() && !scene.rounds.was_left());
        assert_eq!(
            scene.rounds.readers().collect::<Vec<_>>(),
            [ConnectionId(7)]
        );
        assert_eq!(scene.rounds.flush(), Flushed::All);
        assert_eq!(next(&mut from), "b");
        assert_eq!(next(&mut from), "answer c");
        assert_eq!(next(&mut from), END);
        scene.is_at_rest();
    }

    #[test]
    fn whoever_did_not_come_along_has_left() {
        let mut scene = scene();
        let first = scene.post(1);
        let frozen = scene.rounds.freeze();
        drop(first);
        let mut tubes = RoundTubes::new();
        scene.rounds = Rounds::thaw(frozen, 1 << 20, &scene.room, &mut tubes);
        assert!(scene.rounds.was_left());
        scene.is_at_rest();
    }
}
