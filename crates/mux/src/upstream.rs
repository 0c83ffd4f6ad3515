//! A running server and its lifecycle.
//!
//! **Invariant:** there is at most one process for an upstream, and a new one is asked for only
//! after the edge has reported the end of the last.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    sync::Arc,
    vec::Vec,
};

use core::time::Duration;

use serde::{Deserialize, Serialize};
use wire::{Frame, ProgressToken, RequestId};

use crate::{
    backoff::Deaths,
    class::Class,
    event::{IdleTimeout, OnRestart, Opening, Program, Record, Scope},
    exchange::Exchanges,
    fact::DropReason,
    handshake::Handshake,
    ids::{Epoch, SessionId, Ticket, UpstreamId},
    lanes::Lanes,
    limits::Limits,
    listen::Heard,
    lists::Changes,
    memory::Memory,
    missed::Missed,
    moment::Moment,
    noise::Noise,
    once::Once,
    pulse::Pulse,
    recall::Known,
    record::Brief,
    routing::{Reason, RouteKey},
    scales::{Scales, Weighed},
    session::Session,
    subscribe::Subscriptions,
    terms::Terms,
    turns::Turns,
    verbosity::Level,
    verdict::{Proof, are_different},
};

/// A server and all that belongs to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Upstream {
    pub(crate) id: UpstreamId,
    pub(crate) key: RouteKey,
    pub(crate) server: Arc<str>,
    pub(crate) scope: Scope,
    pub(crate) scope_reason: Arc<str>,
    /// The workspace that it is bound to; a server for all has none, whoever started it.
    pub(crate) workspace: Option<Arc<str>>,
    pub(crate) idle_timeout: IdleTimeout,
    /// How long its requests may live.
    pub(crate) terms: Terms,
    pub(crate) withheld: Vec<Arc<str>>,
    pub(crate) state: State,
    /// Its unexpected ends, as far as they count.
    pub(crate) deaths: Deaths,
    /// Sessions that it serves.
    pub(crate) attached: BTreeSet<SessionId>,
    /// Sessions that wait for its handshake, in the order in which they came.
    pub(crate) waiting: VecDeque<SessionId>,
    pub(crate) handshake: Option<Handshake>,
    /// When it said that.
    #[serde(default)]
    pub(crate) greeted_at: Moment,
    /// What the process was started from that said that, if it is known.
    #[serde(default)]
    pub(crate) greeted_program: Option<Program>,
    /// What the last process was started from of which that is known.
    #[serde(default)]
    pub(crate) program: Option<Program>,
    /// What the last process did in place of an answer to our greeting, for a person.
    #[serde(default)]
    pub(crate) ungreeted: Option<Arc<str>>,
    /// The same of the one that was asked in the other era before, if it has answered in neither.
    #[serde(default)]
    pub(crate) ungreeted_before: Option<Arc<str>>,
    /// What is known of what it says of itself, unless nothing of that is kept.
    pub(crate) known: Option<Known>,
    pub(crate) exchanges: Exchanges,
    pub(crate) lanes: Lanes,
    /// Calls that other sessions may repeat.
    #[serde(default)]
    pub(crate) once: Once,
    pub(crate) turns: Turns,
    /// Set while messages are being released to it.
    pub(crate) releasing: Releasing,
    pub(crate) subscriptions: Subscriptions,
    /// How it is listened to, if it is of the modern era.
    #[serde(default)]
    pub(crate) heard: Option<Heard>,
    /// How often in a row it has ended that soon.
    #[serde(default)]
    pub(crate) unheard_in_a_row: u32,
    /// What sessions that are not back yet have not heard of.
    #[serde(default)]
    pub(crate) missed: Missed,
    /// Its signs of life.
    pub(crate) pulse: Pulse,
    /// Changes of its lists.
    pub(crate) changes: Changes,
    /// Sessions that have set a log level.
    pub(crate) listeners: BTreeSet<SessionId>,
    /// The level that the server was last told and has agreed to.
    pub(crate) level: Option<Level>,
    /// Its asks that wait for an answer, by the id that it chose.
    pub(crate) asks: BTreeMap<RequestId, Ask>,
    /// Asks whose owner is unclear.
    pub(crate) undecided: VecDeque<Undecided>,
    /// What is held here of them.
    #[serde(skip)]
    pub(crate) scales: Scales,
    /// Questions by address, and whom they were put to.
    pub(crate) elicitations: BTreeMap<Box<str>, SessionId>,
    /// What its sessions hear when it is replaced.
    pub(crate) on_restart: OnRestart,
    /// What its processes know of its sessions.
    pub(crate) memory: Memory,
    /// Set while it works on what it has before it is stopped, and is given nothing new.
    pub(crate) is_retiring: bool,
    /// Set while it comes up though whoever wanted it has given up waiting.
    pub(crate) is_awaited: bool,
    /// Set while the server does not read.
    pub(crate) is_blocked: bool,
    /// Asks that it has put since.
    pub(crate) asked_blocked: usize,
    /// How far this process and the sessions know each other.
    pub(crate) standing: Standing,
    /// What this process wrote to standard error until then.
    pub(crate) last_words: VecDeque<String>,
    pub(crate) starts: u64,
    /// Why it serves one session only, though its scope is wider.
    #[serde(deserialize_with = "crate::frozen::forms::reason::deserialize")]
    pub(crate) private: Option<Reason>,
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    pub(crate) noise: Noise,
    /// Who has started this process.
    pub(crate) origin: Origin,
    /// Those that it serves for one request each.
    #[serde(default)]
    pub(crate) brief: Brief,
    /// What the guardian keeps of this process.
    pub(crate) recorded: Option<Record>,
    /// Until when sessions of an earlier daemon may come back to it.
    pub(crate) sessions_awaited_until: Moment,
    /// Whom to tell when it has been restarted.
    pub(crate) restarting: Vec<Ticket>,
}

/// Who has started a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// We have.
    Here,
    /// A daemon that is no more.
    EarlierDaemon,
}

/// Where an upstream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// No process, and nobody who needs one.
    Stopped,
    /// A process is being started.
    Starting,
    /// It runs and has been greeted.
    Initializing,
    /// It serves.
    Ready { since: Moment },
    /// It is being stopped. What happens then depends on who needs it.
    Draining { cause: StopCause },
    /// It died; it may be started again after a rest.
    Backoff,
    /// It died and has rested, and nobody has needed it since. Its deaths are not forgotten yet.
    Rested,
    /// It died too often; it may be tried once more after a long rest.
    Failed { until: Moment },
}

/// Why a process is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StopCause {
    /// Somebody wants that, or nobody wants it any longer.
    Asked,
    /// It could not be greeted, which counts as a death.
    NotGreeted,
    /// It did not answer as its era wants it, and those who wait for it are to be served in the other one.
    OtherEra(Proof),
}

/// Whether messages are being released to an upstream: what happens meanwhile may let others go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Releasing {
    No,
    Yes,
    /// And from the beginning once more.
    Again,
}

/// How far this process and the sessions know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// It has not answered our greeting. Nothing that it says is for sessions.
    Strange,
    /// It has, and was sent nothing of a session's.
    Greeted,
    /// It was sent a session's request: its standard error may quote it.
    Used,
}

/// An ask that is with a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) session: SessionId,
    /// The id under which the session sees it.
    pub(crate) shown_id: u64,
    /// The token that the server chose, if it wants progress.
    pub(crate) token: Option<ProgressToken>,
}

/// Why a server is shared more widely than it would be in the other era.
const NO_SESSIONS: &str = "auto: it is spoken to in an era that has no sessions";

/// An ask that waits for its owner to become clear.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Undecided {
    pub(crate) frame: Weighed<Frame>,
    pub(crate) since: Moment,
}

impl Upstream {
    /// Whether somebody who wants it has said in which era it speaks.
    pub(crate) fn has_fixed_era(&self, sessions: &BTreeMap<SessionId, Session>) -> bool {
        let mut wanting = self.waiting.iter().chain(&self.attached);
        wanting.any(|session| {
            let session = sessions.get(session);
            session.is_none_or(|session| session.opening.era.is_some())
        })
    }

    pub(crate) fn new(
        id: UpstreamId,
        key: RouteKey,
        opening: &Opening,
        limits: &Limits,
        (epoch, scales): (Epoch, Scales),
    ) -> Self {
        let scope = opening.scope_in(key.era);
        Upstream {
            id,
            server: opening.server.clone(),
            scope: if key.session.is_some() {
                Scope::Session
            } else {
                scope
            },
            scope_reason: if scope == opening.scope {
                opening.scope_reason.clone()
            } else {
                Arc::from(NO_SESSIONS)
            },
            workspace: opening.workspace.clone().filter(|_| scope != Scope::Global),
            idle_timeout: opening.idle_timeout,
            terms: Terms::of(opening, limits),
            withheld: opening.withheld.clone(),
            key,
            state: State::Stopped,
            deaths: Deaths::default(),
            attached: BTreeSet::new(),
            waiting: VecDeque::new(),
            handshake: None,
            greeted_at: Moment::default(),
            greeted_program: None,
            program: None,
            ungreeted: None,
            ungreeted_before: None,
            known: opening.kept.is_some().then(Known::default),
            exchanges: Exchanges::new(epoch),
            lanes: Lanes::default(),
            once: Once::default(),
            turns: Turns::default(),
            releasing: Releasing::No,
            subscriptions: Subscriptions::default(),
            heard: None,
            unheard_in_a_row: 0,
            missed: Missed::default(),
            pulse: Pulse::default(),
            changes: Changes::default(),
            listeners: BTreeSet::new(),
            level: None,
            asks: BTreeMap::new(),
            undecided: VecDeque::new(),
            scales,
            elicitations: BTreeMap::new(),
            on_restart: opening.on_restart,
            memory: Memory::default(),
            is_retiring: false,
            is_awaited: false,
            is_blocked: false,
            asked_blocked: 0,
            standing: Standing::Strange,
            last_words: VecDeque::new(),
            starts: 0,
            private: None,
            dropped: BTreeMap::new(),
            noise: Noise::default(),
            origin: Origin::Here,
            brief: Brief::default(),
            recorded: None,
            sessions_awaited_until: Moment::default(),
            restarting: Vec::new(),
        }
    }

    pub(crate) fn class(&self) -> Class {
        self.key.class
    }

    /// How long ago it said what it is, if it has said so to us. What it said at an earlier start it may not say now.
    pub(crate) fn age_of_greeting(&self, now: Moment) -> Duration {
        let known = self.known.as_ref();
        let is_ours = self.origin == Origin::Here;
        if is_ours && !known.is_some_and(Known::is_of_earlier_start) {
            now - self.greeted_at
        } else {
            Duration::MAX
        }
    }

    /// Whether it serves no two sessions, though it may wait for the one that it will serve.
    pub(crate) fn is_of_one_session(&self) -> bool {
        self.key.session.is_some() || self.scope == Scope::Session
    }

    /// A session is here. If the process is for that alone, nobody else is waited for.
    pub(crate) fn welcome(&mut self, session: SessionId) {
        if self.key.session == Some(session) {
            self.sessions_awaited_until = Moment::default();
        }
    }

    /// Whether it works where this session does.
    pub(crate) fn has_folders_of(&self, opening: &Opening) -> bool {
        self.scope == Scope::Global || self.workspace == opening.workspace
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// Whether it is known what it says of itself: its process does so, or an earlier one did.
    pub(crate) fn is_greeted(&self) -> bool {
        self.handshake.is_some()
    }

    /// Whether its process was started from another program than the one that said what is known of it.
    pub(crate) fn has_changed(&self) -> bool {
        are_different(self.greeted_program, self.program)
    }

    /// Whether messages may go to it now.
    pub(crate) fn takes_messages(&self) -> bool {
        self.is_ready() && !self.is_blocked && !self.is_retiring && !self.pulse.is_unresponsive
    }

    /// Whether a process exists, or is on its way.
    pub(crate) fn has_process(&self) -> bool {
        match &self.state {
            State::Starting
            | State::Initializing
            | State::Ready { .. }
            | State::Draining { .. } => true,
            State::Stopped | State::Backoff | State::Rested | State::Failed { .. } => false,
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !self.attached.is_empty() || !self.waiting.is_empty()
    }

    /// Whether it has asked something under this id and waits for the answer.
    pub(crate) fn has_open_ask(&self, id: &RequestId) -> bool {
        let mut undecided = self.undecided.iter();
        self.asks.contains_key(id) || undecided.any(|ask| ask.frame.id() == Some(id))
    }

    /// The moment at which causes are judged. While an ask waits, that is when it came: a call that may
    /// have been its cause then may be so as long as it waits.
    pub(crate) fn judged_at(&self, now: Moment) -> Moment {
        let oldest = self.undecided.front();
        oldest.map_or(now, |undecided| undecided.since.min(now))
    }

    /// The only session attached, if there is exactly one.
    pub(crate) fn only_session(&self) -> Option<SessionId> {
        let mut attached = self.attached.iter();
        match (attached.next(), attached.next()) {
            (Some(only), None) => Some(*only),
            _none_or_several => None,
        }
    }

    pub(crate) fn state_name(&self) -> &'static str {
        match &self.state {
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Initializing => "initializing",
            State::Ready { .. } if self.is_retiring => "draining",
            State::Ready { .. } if self.pulse.is_unresponsive => "unresponsive",
            State::Ready { .. } => "ready",
            State::Draining { .. } => "draining",
            State::Backoff | State::Rested => "backoff",
            State::Failed { .. } => "failed",
        }
    }

    /// What it wrote to standard error, unless that may quote some session's request.
    pub(crate) fn quotable_words(&self) -> Vec<String> {
        if self.standing == Standing::Used {
            Vec::new()
        } else {
            self.last_words.iter().cloned().collect()
        }
    }
}
