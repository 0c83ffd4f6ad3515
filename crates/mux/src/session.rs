//! One downstream conversation: what a client has asked, and what it is still owed.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use wire::{Frame, Method, Outgoing, RequestId};

use crate::{
    agreement::Subscribing,
    class::Class,
    era::Era,
    event::{Link, Opening},
    exchange::MintedId,
    ids::{Epoch, LineNumber, SessionId, UpstreamId},
    inquiry::Inquiry,
    keeping::KeptLines,
    limits::Limits,
    listen::Listening,
    moment::Moment,
    offers::Offers,
    replay::Replay,
    rounds::Rounds,
    scales::{Scales, Weighed},
    verbosity::Level,
    wishes::log_level_of,
};

/// A client and all that belongs to it.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) opening: Opening,
    /// When it was opened.
    pub(crate) since: Moment,
    pub(crate) state: State,
    /// Name and version, as the client said.
    pub(crate) client: Option<String>,
    /// The same as JSON, as the client wrote it, unless it is very long.
    #[serde(default)]
    pub(crate) client_info: Option<Box<str>>,
    pub(crate) class: Class,
    /// How it speaks: as in the modern era from its first request of that on, unless it says `initialize`.
    #[serde(default)]
    pub(crate) era: Era,
    /// What it wants to be told of, by the requests that said so.
    #[serde(default, with = "crate::frozen::forms::pairs")]
    pub(crate) listening: BTreeMap<RequestId, Listening>,
    /// Its subscriptions of which its server has not said whether it agrees.
    #[serde(default, with = "crate::frozen::forms::pairs")]
    pub(crate) subscribing: BTreeMap<RequestId, Subscribing>,
    /// Its requests whose servers ask before they answer.
    #[serde(default, with = "crate::frozen::forms::pairs")]
    pub(crate) inquiries: BTreeMap<RequestId, Inquiry>,
    /// Requests that were answered with questions, and for which it has to come back.
    #[serde(default)]
    pub(crate) rounds: Rounds,
    /// The version that the client was answered in.
    pub(crate) version: String,
    /// What the client was told that its server can do.
    pub(crate) offers: Offers,
    /// Every request of the client that has no answer yet.
    pub(crate) open: BTreeMap<RequestId, Whereabouts>,
    pub(crate) queue: Queue,
    /// Lines whose announcement has not left yet.
    pub(crate) announcing: BTreeMap<LineNumber, Announcing>,
    pub(crate) level: Option<Level>,
    pub(crate) asks: SessionAsks,
    /// Lines that its shim keeps though they were answered.
    pub(crate) kept: KeptLines,
    /// What was replayed to it, until that has ended.
    pub(crate) replay: Replay,
    /// The version that the client asked an earlier daemon for, until there is a handshake to tell what it
    /// was answered.
    pub(crate) reinstated: Option<String>,
    /// Lines that are done and that the shim has not been told of.
    pub(crate) untold: Vec<LineNumber>,
    pub(crate) batches: BTreeMap<LineNumber, Batch>,
    /// Bytes of the answers in them.
    pub(crate) batched_bytes: usize,
    /// What is held here of its messages and of the answers to them.
    #[serde(skip)]
    pub(crate) scales: Scales,
    /// The line that its client is in the middle of, if that has been found at fault already.
    #[serde(default)]
    pub(crate) overrun: Option<Overrun>,
    /// Ids of the requests whose answers are in them.
    pub(crate) batched_ids: BTreeSet<RequestId>,
    /// Its client has closed its input.
    pub(crate) is_ending: bool,
    pub(crate) is_paused: bool,
    /// Set while much waits for its client to read: what was heard of it since.
    pub(crate) blocked: Option<Heard>,
    /// When it last said something, or ceased to listen.
    #[serde(default)]
    pub(crate) heard_at: Moment,
    /// Whether what it has brought of its server was taken from it.
    #[serde(default)]
    pub(crate) has_handed_over: bool,
    /// Whether it listens for what belongs to none of its lines.
    #[serde(default)]
    pub(crate) listens: bool,
}

/// What a message that waits costs beside its bytes: what was read of it, its place in the queue, and its
/// id.
const MESSAGE_COST: usize = 512;

/// How many messages of a client were heard since something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard(pub(crate) usize);

/// How far a session has come.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It has not said `initialize`, or that failed.
    New,
    /// It waits for its upstream's handshake.
    Waiting(UpstreamId, Initialize),
    /// It waits for that without having said `initialize`: it is of the modern era.
    Awaiting(UpstreamId),
    /// It is served.
    Attached(UpstreamId),
}

/// An `initialize` that has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Initialize {
    pub(crate) id: RequestId,
    pub(crate) line: LineNumber,
    /// The version that the client asked for.
    pub(crate) version: String,
    pub(crate) since: Moment,
}

/// Where an open request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Whereabouts {
    /// It is the `initialize`.
    Initialize,
    /// In the session's queue.
    Held(LineNumber),
    /// At the upstream, or announced for it.
    Upstream(MintedId),
    /// It is a wish to be told of changes, which has no end of its own.
    Listening,
    /// It is a subscription that its server is asked for with those of others.
    Subscribing,
    /// Its client has to answer something before it goes on.
    Asking(LineNumber),
}

/// Messages that wait for their turn: askable calls apart from other requests, which pass them.
///
/// A notification stays behind the calls that were there before it: what it says may be about them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) calls: VecDeque<Held>,
    pub(crate) others: VecDeque<Held>,
    pub(crate) bytes: usize,
    /// How many of them want an answer.
    requests: usize,
}

/// One message that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) line: LineNumber,
    pub(crate) frame: Weighed<Frame>,
    pub(crate) since: Moment,
    pub(crate) stage: Stage,
}

/// How far a message that waits has been before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// No process has seen it.
    Fresh,
    /// A process had it, and ended before it answered, or the daemon did. It goes once more and then never
    /// again.
    Repeated,
}

/// Announcements of one line that are on their way to the shim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announcing {
    /// How many: a process may end before the first has left, and the line be announced for the next.
    pub(crate) on_their_way: usize,
    /// What goes when the last of them has left; `None` while the line waits again.
    pub(crate) minted: Option<MintedId>,
}

/// Asks that wait for this client's answer, by the id that the client sees.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionAsks {
    /// The id that the upstream chose.
    pub(crate) open: BTreeMap<u64, RequestId>,
    issued: u64,
}

/// The answers of a batch, until all are there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) left: usize,
    pub(crate) answers: Vec<Weighed<Outgoing>>,
    pub(crate) ids: Vec<RequestId>,
}

/// A line at fault of which the client has been told before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overrun {
    pub(crate) line: LineNumber,
    pub(crate) told: ToldOfOverrun,
}

/// Whether that was already the line's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToldOfOverrun {
    /// Under the id of the request that it was to be. That must not have a second answer.
    AsItsAnswer,
    /// Under none. Its end may tell whose it was.
    WithoutId,
}

impl Session {
    /// When it is told, if it begins to wait for its server now, that it has waited too long: what it says right after
    /// it was opened has waited since it came.
    pub(crate) fn start_due(&self, now: Moment, limits: &Limits) -> Moment {
        let since_it_came = self.opening.waited.saturating_sub(now - self.since);
        now + limits.start_patience.saturating_sub(since_it_came)
    }

    pub(crate) fn new(
        id: SessionId,
        opening: Opening,
        (epoch, scales): (Epoch, Scales),
        now: Moment,
    ) -> Self {
        Session {
            id,
            opening,
            since: now,
            state: State::New,
            client: None,
            client_info: None,
            class: Class::default(),
            era: Era::default(),
            listening: BTreeMap::new(),
            subscribing: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            rounds: Rounds::default(),
            version: String::new(),
            offers: Offers::default(),
            open: BTreeMap::new(),
            queue: Queue::default(),
            announcing: BTreeMap::new(),
            level: None,
            asks: SessionAsks::new(epoch),
            kept: KeptLines::default(),
            replay: Replay::default(),
            reinstated: None,
            untold: Vec::new(),
            batches: BTreeMap::new(),
            batched_bytes: 0,
            scales,
            overrun: None,
            batched_ids: BTreeSet::new(),
            is_ending: false,
            is_paused: false,
            blocked: None,
            heard_at: now,
            has_handed_over: false,
            listens: false,
        }
    }

    /// Weighs what is held of its messages once more, after a thaw.
    pub(crate) fn weigh_again(&mut self) {
        let Queue { calls, others, .. } = &mut self.queue;
        for held in calls.iter_mut().chain(others) {
            held.frame.hang_on(&self.scales);
        }
        for inquiry in self.inquiries.values_mut() {
            inquiry.weigh_again(&self.scales);
        }
        self.rounds.weigh_again(&self.scales);
        for batch in self.batches.values_mut() {
            for answer in &mut batch.answers {
                answer.hang_on(&self.scales);
            }
        }
    }

    /// The upstream that it waits for or is served by.
    pub(crate) fn upstream(&self) -> Option<UpstreamId> {
        match &self.state {
            State::New => None,
            State::Waiting(upstream, _) | State::Awaiting(upstream) | State::Attached(upstream) => {
                Some(*upstream)
            }
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.state, State::Attached(_))
    }

    /// Requests that do not wait: they are at the upstream, or the `initialize`.
    pub(crate) fn in_flight(&self) -> usize {
        let told = self.listening.len() + self.subscribing.len();
        let elsewhere = self.queue.requests + told + self.asking();
        self.open.len().saturating_sub(elsewhere)
    }

    /// The same, without the `initialize`.
    pub(crate) fn at_server(&self) -> usize {
        let parked = self.rounds.at_server().count();
        match &self.state {
            State::Waiting(..) => self.in_flight().saturating_sub(1),
            State::New | State::Awaiting(_) | State::Attached(_) => self.in_flight() + parked,
        }
    }

    /// Whether the client still waits for an answer under this id.
    pub(crate) fn is_in_use(&self, id: &RequestId) -> bool {
        self.open.contains_key(id) || self.batched_ids.contains(id)
    }

    /// Whether it is owed nothing any more.
    pub(crate) fn is_settled(&self) -> bool {
        let is_asked_back = !self.rounds.is_empty();
        self.open.is_empty() && self.queue.is_empty() && self.batches.is_empty() && !is_asked_back
    }

    /// Whether the `initialize` has failed without which it is nothing.
    pub(crate) fn is_stillborn(&self) -> bool {
        self.opening.link == Link::Posts && self.state == State::New
    }

    pub(crate) fn keeps_lines(&self) -> bool {
        self.opening.link == Link::Keeping
    }

    /// Whether somebody keeps those of its lines whose effects hold, for the next daemon: its shim, or the edge.
    pub(crate) fn has_keepsakes(&self) -> bool {
        matches!(self.opening.link, Link::Keeping | Link::Posts)
    }

    /// Whether it says once more what it has said to an earlier daemon.
    pub(crate) fn is_replayed(&self) -> bool {
        self.replay.has_begun()
    }

    /// Whether it should not be read for now. Whoever is asked something must be heard: the call that
    /// makes the server ask may be what all else waits for. Who does not read, and has said much in place
    /// of the answer, is not heard for that any longer.
    pub(crate) fn wants_pause(&self, limits: &Limits) -> bool {
        if self.is_asked() {
            self.blocked
                .is_some_and(|heard| heard.0 >= limits.heard_unread)
        } else {
            self.is_full(limits) || self.blocked.is_some()
        }
    }

    /// Whether as much of it waits as may. What is remembered of a message counts, too: many short ones
    /// would take more than they have bytes.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        let messages = self.scales.messages();
        let bytes = self.scales.bytes() + messages * MESSAGE_COST;
        self.queue.len() >= limits.session_queue
            || (bytes > limits.session_queue_bytes && messages > 1)
    }
}

impl Queue {
    pub(crate) fn push(&mut self, held: Held) {
        self.add(&held);
        let is_behind_calls = held.is_notification() && !self.calls.is_empty();
        if held.is_askable() || is_behind_calls {
            self.calls.push_back(held);
        } else {
            self.others.push_back(held);
        }
    }

    /// Puts a message before all others: it was at the server already, or nearly.
    pub(crate) fn push_front(&mut self, held: Held) {
        self.add(&held);
        if held.is_askable() {
            self.calls.push_front(held);
        } else {
            self.others.push_front(held);
        }
    }

    fn add(&mut self, held: &Held) {
        self.bytes += held.frame.len();
        self.requests += usize::from(held.frame.id().is_some());
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len() + self.others.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.others.is_empty()
    }

    /// Whether something of this method waits in it.
    pub(crate) fn holds(&self, method: &Method) -> bool {
        let mut all = self.calls.iter().chain(&self.others);
        all.any(|held| held.frame.method() == Some(method))
    }

    /// Whether a call waits in it.
    pub(crate) fn has_call(&self) -> bool {
        self.calls.iter().any(Held::is_askable)
    }

    /// Takes out the notification that waits for nothing in it any more.
    pub(crate) fn take_notification(&mut self) -> Option<Held> {
        let other = self.others.front();
        let overtakes = |held: &Held| other.is_some_and(|other| other.line < held.line);
        let part = if other.is_some_and(Held::is_notification) {
            &mut self.others
        } else if self.calls.front().is_none_or(overtakes) {
            return None;
        } else {
            &mut self.calls
        };
        let held = part.pop_front_if(|held| held.is_notification());
        self.subtract(held)
    }

    /// The line of the first request in it that wants log messages of this severity.
    pub(crate) fn line_that_hears(&self, level: Level) -> Option<LineNumber> {
        let mut held = self.calls.iter().chain(&self.others);
        let hears = |held: &&Held| log_level_of(&held.frame).is_some_and(|least| level >= least);
        held.find(hears).map(|held| held.line)
    }

    /// What the message on this line asks for.
    pub(crate) fn method_on(&self, line: LineNumber) -> Option<Method> {
        let mut held = self.calls.iter().chain(&self.others);
        held.find(|held| held.line == line)?.frame.method().cloned()
    }

    pub(crate) fn take_other(&mut self) -> Option<Held> {
        let held = self.others.pop_front();
        self.subtract(held)
    }

    pub(crate) fn take_call(&mut self) -> Option<Held> {
        let held = self.calls.pop_front();
        self.subtract(held)
    }

    /// Takes out the message on this line: its client has thought better of it.
    pub(crate) fn take_line(&mut self, line: LineNumber, id: &RequestId) -> Option<Held> {
        let on_line = |held: &Held| held.line == line && held.frame.id() == Some(id);
        let held = match self.calls.iter().position(on_line) {
            Some(at) => self.calls.remove(at),
            None => self
                .others
                .iter()
                .position(on_line)
                .and_then(|at| self.others.remove(at)),
        };
        self.subtract(held)
    }

    /// Takes out everything.
    pub(crate) fn take_all(&mut self) -> Vec<Held> {
        self.bytes = 0;
        self.requests = 0;
        let mut all: Vec<Held> = self.others.drain(..).chain(self.calls.drain(..)).collect();
        all.sort_by_key(|held| held.line);
        all
    }

    fn subtract(&mut self, held: Option<Held>) -> Option<Held> {
        if let Some(held) = &held {
            self.bytes -= held.frame.len();
            self.requests -= usize::from(held.frame.id().is_some());
        }
        held
    }
}

impl Held {
    fn is_notification(&self) -> bool {
        self.frame.id().is_none()
    }

    pub(crate) fn is_askable(&self) -> bool {
        self.frame.id().is_some() && self.frame.method().is_some_and(Method::is_askable)
    }
}

impl SessionAsks {
    pub(crate) fn new(epoch: Epoch) -> Self {
        SessionAsks {
            open: BTreeMap::new(),
            issued: epoch.begin(),
        }
    }

    /// Mints the id under which the client sees an ask.
    pub(crate) fn open(&mut self, upstream_id: RequestId) -> u64 {
        let id = self.issue();
        self.open.insert(id, upstream_id);
        id
    }

    /// An id under which the client can be asked something.
    pub(crate) fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }
}
