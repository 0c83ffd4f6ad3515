//! What the judge writes down. Nothing here decides anything.

use std::collections::{BTreeMap, BTreeSet};

use mux::{Era, Moment, SessionId, UpstreamId};

use crate::{
    eras::words::{Asks, LISTS, Request, Shape, URIS, wholes_of},
    payload::Mark,
};

pub(crate) use crate::peers::Process;

/// One message and its fate.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) mark: Mark,
    pub(crate) at: Moment,
    /// What it asks, if it is a request of a client's.
    pub(crate) shape: Option<Shape>,
    /// The request of a session that it is because of.
    pub(crate) cause: Option<Mark>,
    /// What of it must arrive as it is.
    pub(crate) words: String,
    /// Who has heard it, by session and wish.
    pub(crate) heard: BTreeSet<(SessionId, String)>,
}

/// Something that must happen at once. Ids are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A server hears that nobody waits for a request.
    Cancelled(UpstreamId, u64),
    /// A question of a server is answered.
    AskAnswered(UpstreamId, String),
    /// A request is answered, whatever with.
    Answered(SessionId, String),
    /// A session hears a message, because of a wish if that has a name.
    Hears(SessionId, usize, String),
    /// A wish of this name, which is acknowledged, hears that a resource has changed before that.
    HearsBehind(SessionId, String, usize),
    /// A request of a client that was asked in its course is answered, asked about, or goes on.
    Goes(SessionId, String),
    /// A client hears that it need not answer.
    Withdrawn(SessionId, u64),
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// The server that it is for, and whether it shares that.
    pub(crate) name: &'static str,
    pub(crate) is_shared: bool,
    pub(crate) is_post: bool,
    /// The era in which its server is spoken to, where that was set.
    pub(crate) fixed: Option<Era>,
    /// How its client speaks; `None` until it does.
    pub(crate) era: Option<Era>,
    pub(crate) class: u8,
    pub(crate) upstream: Option<UpstreamId>,
    /// Whether its `initialize` was answered.
    pub(crate) is_greeted: bool,
    /// The `initialize` with which it ceases to be of the modern era, in this step.
    pub(crate) turning: Option<String>,
    /// Set if that was refused.
    pub(crate) was_turned_away: bool,
    /// What it waits for, by id.
    pub(crate) open: BTreeMap<String, Open>,
    /// What it was asked and has not answered, by the id that it was shown.
    pub(crate) asked: BTreeMap<u64, Question>,
    pub(crate) shown_last: u64,
    /// Requests that it was answered with questions, by handle.
    pub(crate) parked: BTreeMap<String, Parked>,
    /// What it is subscribed to, and from which severity on it wants log messages, as far as that is settled.
    pub(crate) topics: BTreeMap<&'static str, Option<bool>>,
    pub(crate) level: Option<u8>,
    /// Set if it may be another one.
    pub(crate) is_level_unsure: bool,
    /// Changes of lists that it may hear of, if it is of the legacy era.
    pub(crate) news: [u32; 3],
    pub(crate) is_ending: bool,
    pub(crate) ending_since: Option<Moment>,
    /// Whether its client does not read.
    pub(crate) is_stalled: bool,
    /// When what waited for it was lost last.
    pub(crate) cut_at: Option<u64>,
}

/// A question that was put to a client of the legacy era.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// By a server that waits for the answer to this id.
    Asked(UpstreamId, String),
    /// In place of the answer to the request with this id, under this name.
    Inquired(String, String),
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) request: Request,
    /// The request that its server works on: another, if its client has come back for it.
    pub(crate) origin: Mark,
    /// That one, which goes to another process if no process has seen it.
    pub(crate) first: Option<Request>,
    pub(crate) tick: u64,
    pub(crate) since: Moment,
    /// Where it was written last.
    pub(crate) sent: Option<(UpstreamId, u64)>,
    pub(crate) writes: u32,
    /// How often its server has answered it with questions to a client of the legacy era.
    pub(crate) rounds: u32,
    /// How often in a row its client has come back without an answer to each question, if it is of the modern era.
    pub(crate) unanswered: u32,
    pub(crate) inquiry: Option<Inquiry>,
    /// What has been said in answer to it.
    pub(crate) answer: Option<(usize, Kind)>,
    /// Set if it changes a wish, and another that does was under way beside it: nobody knows which has counted.
    pub(crate) overlaps: bool,
    /// Set if it must be refused: its handle is not good.
    pub(crate) has_bad_handle: bool,
    /// What its client is told of, if it is a wish.
    pub(crate) wish: Option<Wish>,
}

/// Questions in place of an answer, put to a client of the legacy era one by one.
#[derive(Debug, Default)]
pub(crate) struct Inquiry {
    /// As JSON.
    pub(crate) state: String,
    /// By name: the question's number, what it asks, and whether it was put.
    pub(crate) asks: BTreeMap<String, (usize, Asks, bool)>,
    /// By name, as JSON.
    pub(crate) answers: BTreeMap<String, String>,
    /// Set if one of its answers was no.
    pub(crate) is_refused: bool,
}

impl Inquiry {
    /// Whether its client has something to answer.
    pub(crate) fn waits(&self) -> bool {
        let mut asks = self.asks.iter();
        asks.any(|(name, (_, asks, _))| asks.is_for_clients() && !self.answers.contains_key(name))
    }
}

/// What a listener was promised and may hear.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) bits: u8,
    /// When it was acknowledged, if it is.
    pub(crate) acknowledged_at: Option<u64>,
    /// What of it a server has agreed to meanwhile.
    pub(crate) agreed: u8,
    /// What of it a server has been asked for since.
    pub(crate) asked: u8,
    /// Resources that have changed before it is acknowledged, and what it had been asked for by then.
    pub(crate) missed: BTreeMap<usize, u8>,
    /// Those of which it has heard then.
    pub(crate) heard: BTreeSet<usize>,
    /// Changes of lists that it may hear of, and whether it must.
    pub(crate) news: [(u32, bool); 3],
}

/// What kind of answer a server has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Result,
    Error,
    /// A resource is not there.
    NotFound,
    /// A user has to visit an address first.
    Address,
    /// Questions, in the modern era.
    Questions,
}

/// A request that a client of the modern era was answered with questions, and that a server is still at.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) upstream: UpstreamId,
    pub(crate) minted: u64,
    /// The request that the server works on.
    pub(crate) origin: Mark,
    /// What has to be asked again.
    pub(crate) request: Request,
    /// What was asked first, if that is another.
    pub(crate) first: Option<Request>,
    /// Names and ids at the server of the questions that the client has.
    pub(crate) asks: BTreeMap<String, String>,
    /// How often in a row its client has come back without an answer to each of them.
    pub(crate) unanswered: u32,
    pub(crate) until: Moment,
    /// What has become of it.
    pub(crate) outcome: Outcome,
}

/// What has become of a parked request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A server is at it.
    Open,
    /// This is its answer.
    Answered(usize, Kind),
    /// Its server is gone.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) class: Option<u8>,
    pub(crate) is_shared: bool,
    pub(crate) process: Process,
    /// Whether it does not read.
    pub(crate) is_stalled: bool,
    /// How it was spoken to first.
    pub(crate) era: Option<Era>,
    /// When it said what it is.
    pub(crate) greeted_at: Option<u64>,
    /// What it said then, by number.
    pub(crate) greeting: usize,
    /// Whether any process of it ever has.
    pub(crate) has_spoken: bool,
    pub(crate) initialized: u32,
    pub(crate) given: BTreeMap<u64, Given>,
    /// What it has asked and has no answer to, by id.
    pub(crate) asks: BTreeMap<String, Ask>,
    /// What it was asked for on our own account, by id: wishes, in the modern era.
    pub(crate) listens: BTreeMap<u64, String>,
    /// Of which resources its process has said that it tells.
    pub(crate) tells: BTreeSet<usize>,
    /// When each list has changed last.
    pub(crate) changed_at: [Option<Moment>; 3],
}

/// A request that a process was given.
#[derive(Debug)]
pub(crate) struct Given {
    /// Of a session, unless it is the pooler's own.
    pub(crate) claim: Option<(SessionId, Mark)>,
    pub(crate) is_over: bool,
    pub(crate) cancelled: Option<Moment>,
}

/// What a server of the legacy era asks.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) number: usize,
    pub(crate) asks: Asks,
    /// Whom it was put to.
    pub(crate) put: Option<SessionId>,
    /// The request on whose stream it came, if it came on one.
    pub(crate) within: Option<u64>,
    /// The answer that the client gave, by number.
    pub(crate) reply: Option<usize>,
    /// Set if its client said that it does not answer.
    pub(crate) is_refused: bool,
    /// Set if its client has come back without an answer, and what it was asked for is over, or it did so too often.
    pub(crate) is_left: bool,
}

impl Session {
    /// A session that has said nothing yet.
    pub(crate) fn new(id: SessionId, name: &'static str) -> Self {
        Session {
            id,
            name,
            is_shared: true,
            is_post: false,
            fixed: None,
            era: None,
            class: 0,
            upstream: None,
            is_greeted: false,
            turning: None,
            was_turned_away: false,
            open: BTreeMap::new(),
            asked: BTreeMap::new(),
            shown_last: 0,
            parked: BTreeMap::new(),
            topics: BTreeMap::new(),
            level: None,
            is_level_unsure: false,
            news: [0; 3],
            is_ending: false,
            ending_since: None,
            is_stalled: false,
            cut_at: None,
        }
    }
}

impl Session {
    /// It may hear once more that each list has changed.
    pub(crate) fn may_hear_of_lists(&mut self) {
        for list in 0..self.news.len() {
            self.may_hear_of(list);
        }
    }

    /// It may hear once more that a list has changed.
    pub(crate) fn may_hear_of(&mut self, list: usize) {
        self.news[list] += 1;
        let wishes = self.open.values_mut().filter_map(|open| open.wish.as_mut());
        for wish in wishes {
            wish.news[list].0 += 1;
        }
    }

    /// Whether nobody knows from which severity on it wants log messages.
    pub(crate) fn may_want_other_level(&self) -> bool {
        let mut open = self.open.values();
        self.is_level_unsure || open.any(|open| matches!(open.request.shape, Shape::SetLevel(_)))
    }

    /// Nobody will learn what became of such a change.
    pub(crate) fn forgets(&mut self, shape: Shape) {
        if let Shape::Subscribe(at) | Shape::Unsubscribe(at) = shape {
            self.topics.insert(URIS[usize::from(at)], None);
        }
        self.is_level_unsure |= matches!(shape, Shape::SetLevel(_));
    }
}

/// The bit of a resource in a wish.
pub(crate) fn bit_of(uri: usize) -> u8 {
    1 << (LISTS.len() + uri)
}

/// The bits of resources in a wish.
pub(crate) fn bits_of(uris: impl Iterator<Item = usize>) -> u8 {
    uris.fold(0, |all, at| all | bit_of(at))
}

impl Wish {
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledged_at.is_some()
    }

    /// Whether it is told of a resource: for itself, or for what it is a part of.
    pub(crate) fn wants(&self, uri: usize) -> bool {
        self.bits & bits_of(wholes_of(uri)) != 0
    }

    /// A resource changes before it is acknowledged: of what is agreed to it hears then.
    pub(crate) fn misses(&mut self, uri: usize) {
        if self.wants(uri) {
            *self.missed.entry(uri).or_default() |= self.asked & bits_of(wholes_of(uri));
        }
    }

    /// What it must hear of now that it is acknowledged.
    pub(crate) fn must_hear(&self) -> impl Iterator<Item = usize> {
        let missed = self.missed.iter();
        let told = missed.filter(|(_, asked)| *asked & self.bits != 0);
        told.map(|(uri, _)| *uri)
    }
}

impl Open {
    /// Whether it changes what its session is subscribed to.
    pub(crate) fn changes_topics(&self) -> bool {
        matches!(
            self.request.shape,
            Shape::Subscribe(_) | Shape::Unsubscribe(_)
        )
    }

    /// Whether it subscribes its session to a resource, or to what that is a part of.
    pub(crate) fn subscribes_to(&self, uri: usize) -> bool {
        let mut wholes = wholes_of(uri);
        matches!(self.request.shape, Shape::Subscribe(at) if wholes.any(|whole| whole == usize::from(at)))
    }

    /// Whether this server has it.
    pub(crate) fn is_at_server(&self, id: UpstreamId) -> bool {
        self.sent.is_some_and(|(at, _)| at == id)
    }
}

impl Server {
    pub(crate) fn new(name: &'static str) -> Self {
        Server {
            name,
            class: None,
            is_shared: true,
            process: Process::None,
            is_stalled: false,
            era: None,
            greeted_at: None,
            greeting: 0,
            has_spoken: false,
            initialized: 0,
            given: BTreeMap::new(),
            asks: BTreeMap::new(),
            listens: BTreeMap::new(),
            tells: BTreeSet::new(),
            changed_at: [None; 3],
        }
    }
}

macro_rules! sights {
    ($($(#[$doc:meta])* $seen:ident = $name:literal,)*) => {
        /// What eras have to do with one another, as far as it has truly happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Seen {
            $($(#[$doc])* $seen,)*
        }

        impl Seen {
            /// All of them.
            pub(crate) const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The name in reports.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Seen::$seen => $name,)*
                }
            }
        }
    };
}

sights! {
    /// An answer reached a client: of which era, from a server of which.
    LegacyAtLegacy = "legacy at legacy",
    LegacyAtModern = "legacy at modern",
    ModernAtLegacy = "modern at legacy",
    ModernAtModern = "modern at modern",
    /// A server did not speak as it was spoken to.
    TurnedToLegacy = "turned to legacy",
    TurnedToModern = "turned to modern",
    /// A client that had asked `server/discover` said `initialize`.
    FellBack = "fell back",
    NotTurned = "not let back",
    /// A client of the modern era was answered with what a server of the legacy era asked.
    Parked = "parked",
    CameBack = "came back",
    CameBackForOutcome = "came back for an answer",
    CameBackToDeath = "came back to a death",
    AskedOnReturn = "asked again on return",
    AskedTheSameAgain = "asked the same again",
    LeftUnanswered = "left unanswered",
    /// A handle that was not good.
    HandleUsed = "handle used twice",
    HandleOfAnother = "handle of another",
    HandleOfOtherRequest = "handle of another request",
    HandleMadeUp = "handle made up",
    HandleTooLate = "handle too late",
    /// A client of the legacy era was asked what a server of the modern era asks in place of an answer.
    Inquired = "inquired",
    WentAgain = "went again",
    WentManyTimes = "went many times",
    InquiryCancelled = "inquiry cancelled",
    InquiryRefused = "inquiry refused",
    InquiryAtDeath = "inquiry at a death",
    ParkedAtDeath = "parked at a death",
    Passed = "questions passed through",
    AddressFirst = "address first",
    NotFound = "not found",
    Listened = "acknowledged",
    ListenCancelled = "listening cancelled",
    ListenEnded = "listening ended",
    NotTold = "resource not told of",
    HeardChange = "heard of a change",
    HeardUpdate = "heard of a resource",
    HeardBehind = "heard of a resource behind",
    HeardBefore = "heard of a resource before the answer",
    HeardLog = "heard a log",
    /// A server said on the stream of a request what belongs to that.
    AskedWithin = "asked on a stream",
    LoggedWithin = "logged on a stream",
    /// A call uses what one call at a time may use.
    DeviceUsed = "device used",
    /// A call was answered with what another was answered with.
    Repeated = "answered with the result of another",
    /// Somebody ceased to read, or read on.
    ServerStalled = "server stalled",
    ClientStalled = "client stalled",
    PostAnswered = "post answered",
    PostClosedEarly = "post closed early",
    PostParked = "post parked",
    NeedsSession = "needs a session",
    /// What a server had said at an earlier start was kept, was told, or was asked for again.
    KeptWords = "words kept",
    TakenBack = "words taken back",
    Recalled = "words recalled",
    KeptGreeting = "greeted from kept words",
    KeptPage = "list told from kept words",
    Compared = "kept list compared",
    ListOutdated = "kept list outdated",
    /// Who was served from the words of one era is served by a process of the other.
    Moved = "moved to the other era",
    /// What was on its way to somebody was lost.
    ServerCut = "server cut off",
    ServerForgot = "server that forgot",
    ClientCut = "client cut",
}
