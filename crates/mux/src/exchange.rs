//! Requests in flight to one upstream.
//!
//! An [`Exchange`] begins when a request is forwarded and ends with its only response. We choose the
//! id that the upstream sees and use the same number as the progress token, so one table answers
//! three questions: whose response, whose progress, whose cancellation.
//!
//! **Invariant:** an id is never used twice while the upstream lives, across restarts of its process and
//! of the daemon too. A late response is therefore unknown, never misdelivered.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use serde::{Deserialize, Serialize};
use wire::{Frame, Method, ProgressToken, RequestId};

use crate::{
    class::Class,
    era::Era,
    ids::{Epoch, LineNumber, SessionId},
    kept_words::{Listing, Wanted},
    moment::Moment,
    scales::{Scales, Weighed},
    verbosity::Level,
};

/// The id of a request as the upstream sees it.
pub(crate) type MintedId = u64;

/// Everything that one upstream still owes an answer to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exchanges {
    open: BTreeMap<MintedId, Exchange>,
    issued: MintedId,
    /// How many of them want log messages, by the severity from which on.
    #[serde(skip)]
    levels: [usize; Level::COUNT],
}

/// One request on its way to one response. It is small, as thousands may be open and the table moves them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) owner: Owner,
    pub(crate) opened: Moment,
    /// When it was last seen to get on: when it was opened, when there was progress, or when
    /// its session answered what it was asked.
    pub(crate) moved: Moment,
    pub(crate) kept: Kept,
    /// All of a request that its server may answer with questions, and that then goes once more.
    #[serde(default)]
    pub(crate) again: Option<Box<Weighed<Frame>>>,
}

/// What we still have of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Kept {
    /// Nothing: no other process may see it.
    Nothing,
    /// All of it: its announcement has not left, so the upstream has not seen it yet.
    Unsent(Box<Weighed<Frame>>),
    /// All of it: the next process gets it once more if this one ends before it answers.
    Repeatable(Box<Weighed<Frame>>),
}

/// Who waits for the response.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// A session.
    Session(Box<Claim>),
    /// We do, and only care whether it failed.
    Ourselves(Errand),
}

/// What a session is owed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) session: SessionId,
    /// The id that the session chose; its response carries exactly this.
    pub(crate) id: RequestId,
    /// The token that the session chose, if it asked for progress.
    pub(crate) token: Option<ProgressToken>,
    pub(crate) line: LineNumber,
    pub(crate) method: Method,
    pub(crate) effect: Effect,
    /// How the session speaks.
    #[serde(default)]
    pub(crate) era: Era,
    /// What a request that may be answered with questions asks, to be known again by.
    #[serde(default)]
    pub(crate) asks: Option<Box<str>>,
    /// What it says that its client can do, if that has to be known.
    #[serde(default)]
    pub(crate) class: Option<Class>,
    /// From which severity on it wants log messages because of this request (2026-07-28).
    #[serde(default)]
    pub(crate) log_level: Option<Level>,
}

/// What a successful response changes beside reaching its owner.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effect {
    Nothing,
    /// We know a page of a list.
    Listed(Wanted),
    /// The session is subscribed to this resource from now on.
    Subscribed(Box<str>),
    /// The upstream is as verbose as this from now on; before, the session wanted that.
    Verbosity {
        level: Level,
        before: Option<Level>,
    },
}

/// Why we asked on our own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Errand {
    Greet,
    Subscribe,
    Unsubscribe,
    SetLevel,
    Ping,
    /// What a server of the modern era is to tell of.
    Listen,
    /// What stands on this page of a list, counted from the first.
    Compare(Listing, usize),
}

impl Exchange {
    /// One of our own, which the upstream is about to see.
    pub(crate) fn of_errand(errand: Errand, opened: Moment) -> Self {
        Exchange {
            owner: Owner::Ourselves(errand),
            opened,
            moved: opened,
            kept: Kept::Nothing,
            again: None,
        }
    }

    /// From which severity on its session wants log messages because of it.
    fn log_level(&self) -> Option<Level> {
        match &self.owner {
            Owner::Session(claim) => claim.log_level,
            Owner::Ourselves(_) => None,
        }
    }

    /// Whether it has no end of its own, as long as all goes well.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self.owner, Owner::Ourselves(Errand::Listen))
    }

    /// Whether the upstream has seen it.
    pub(crate) fn is_sent(&self) -> bool {
        match self.kept {
            Kept::Unsent(_) => false,
            Kept::Nothing | Kept::Repeatable(_) => true,
        }
    }
}

impl Exchanges {
    /// Counts and weighs what is kept of requests once more, after a thaw.
    pub(crate) fn weigh_again<'a>(&mut self, scales_of: impl Fn(Option<SessionId>) -> &'a Scales) {
        self.levels = [0; Level::COUNT];
        for level in self.open.values().filter_map(Exchange::log_level) {
            self.levels[level as usize] += 1;
        }
        for exchange in self.open.values_mut() {
            let session = match &exchange.owner {
                Owner::Session(claim) => Some(claim.session),
                Owner::Ourselves(_) => None,
            };
            if let Some(frame) = &mut exchange.again {
                frame.hang_on(scales_of(session));
            }
            match &mut exchange.kept {
                Kept::Nothing => {}
                Kept::Unsent(frame) | Kept::Repeatable(frame) => frame.hang_on(scales_of(session)),
            }
        }
    }

    pub(crate) fn new(epoch: Epoch) -> Self {
        Exchanges {
            open: BTreeMap::new(),
            issued: epoch.begin(),
            levels: [0; Level::COUNT],
        }
    }

    pub(crate) fn open(&mut self, exchange: Exchange) -> MintedId {
        if let Some(level) = exchange.log_level() {
            self.levels[level as usize] += 1;
        }
        self.issued += 1;
        let previous = self.open.insert(self.issued, exchange);
        debug_assert!(previous.is_none(), "{} was issued twice", self.issued);
        self.issued
    }

    /// An earlier daemon has sent this, and its upstream still owes what comes of it.
    pub(crate) fn inherit(&mut self, id: MintedId, exchange: Exchange) {
        self.open.insert(id, exchange);
    }

    /// The requests by which the upstream is listened to, oldest first.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = MintedId> {
        let lasting = self.open.iter().filter(|(_, it)| it.is_lasting());
        lasting.map(|(id, _)| *id)
    }

    /// Ends the exchange that a response, or a cancellation, refers to.
    ///
    /// `None` means that nobody is waiting: a duplicate, an answer after the deadline, or a server
    /// that makes up ids. All three are dropped.
    pub(crate) fn close(&mut self, id: MintedId) -> Option<Exchange> {
        let exchange = self.open.remove(&id)?;
        if let Some(level) = exchange.log_level() {
            self.levels[level as usize] -= 1;
        }
        Some(exchange)
    }

    /// The most verbose level that any of them wants.
    pub(crate) fn wanted_level(&self) -> Option<Level> {
        let wanted = self.levels.iter().position(|count| *count > 0)?;
        Level::ALL.get(wanted).copied()
    }

    /// A request is asked once more, and wants log messages from this severity on from now on, or none.
    pub(crate) fn set_log_level(&mut self, id: MintedId, level: Option<Level>) {
        let Some(exchange) = self.open.get_mut(&id) else {
            return;
        };
        if let Owner::Session(claim) = &mut exchange.owner {
            let before = core::mem::replace(&mut claim.log_level, level);
            if let Some(before) = before {
                self.levels[before as usize] -= 1;
            }
            if let Some(level) = level {
                self.levels[level as usize] += 1;
            }
        }
    }

    pub(crate) fn get(&self, id: MintedId) -> Option<&Exchange> {
        self.open.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: MintedId) -> Option<&mut Exchange> {
        self.open.get_mut(&id)
    }

    /// Takes note that what this session waits for gets on.
    pub(crate) fn move_on(&mut self, session: SessionId, now: Moment) {
        for exchange in self.open.values_mut() {
            if matches!(&exchange.owner, Owner::Session(claim) if claim.session == session) {
                exchange.moved = now;
            }
        }
    }

    /// Ends everything: the upstream has gone.
    pub(crate) fn close_all(&mut self) -> Vec<(MintedId, Exchange)> {
        self.levels = [0; Level::COUNT];
        core::mem::take(&mut self.open).into_iter().collect()
    }

    /// The one that has waited longest.
    #[cfg(test)]
    pub(crate) fn oldest(&self) -> Option<(MintedId, Moment)> {
        self.iter()
            .map(|(id, exchange)| (id, exchange.opened))
            .next()
    }

    /// The last id that was given out.
    pub(crate) fn last_issued(&self) -> MintedId {
        self.issued
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Those that the upstream has seen.
    pub(crate) fn sent(&self) -> Vec<MintedId> {
        self.open
            .iter()
            .filter(|(_, exchange)| exchange.is_sent())
            .map(|(id, _)| *id)
            .collect()
    }

    /// All of them, in the order in which they were opened.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MintedId, &Exchange)> {
        self.open.iter().map(|(id, exchange)| (*id, exchange))
    }

    /// Since when there has been something to do for sessions, if there is.
    pub(crate) fn busy_since(&self) -> Option<Moment> {
        self.sent_claims().map(|(opened, _)| opened).next()
    }

    /// Whether a session's request of this method is at the upstream.
    pub(crate) fn has_sent(&self, method: &Method) -> bool {
        self.sent_claims().any(|(_, claim)| claim.method == *method)
    }

    /// What sessions wait for and the upstream has seen, oldest first.
    fn sent_claims(&self) -> impl Iterator<Item = (Moment, &Claim)> {
        let sent = self.open.values().filter(|exchange| exchange.is_sent());
        sent.filter_map(|exchange| match &exchange.owner {
            Owner::Session(claim) => Some((exchange.opened, &**claim)),
            Owner::Ourselves(_) => None,
        })
    }

    /// Ends all errands of this kind: nobody cares any longer.
    pub(crate) fn close_errands(&mut self, errand: Errand) {
        self.open.retain(|_, exchange| match &exchange.owner {
            Owner::Session(_) => true,
            Owner::Ourselves(ours) => *ours != errand,
        });
    }

    /// How many of them sessions wait for.
    pub(crate) fn claimed(&self) -> usize {
        self.open
            .values()
            .filter(|exchange| matches!(exchange.owner, Owner::Session(_)))
            .count()
    }
}
