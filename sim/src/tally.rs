//! What was seen, counted: so that what never happened is seen, too.

use std::collections::BTreeMap;

use mux::{DropReason, Fact};

use crate::{eras, fault::Fault};

/// Counts of everything that can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Worlds that were played.
    pub worlds: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// Messages that reached the core.
    pub heard: u64,
    /// Messages that the core gave to sessions and servers, each of which was checked.
    pub given: u64,
    /// What happened, by kind and name.
    pub seen: BTreeMap<(Kind, &'static str), u64>,
}

/// What is counted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What went wrong.
    Fault,
    /// What the core told.
    Fact,
    /// Why the core said no.
    Refusal,
    /// Why a message went to nobody.
    Drop,
    /// Where upstreams were.
    State,
    /// What woke the core.
    Timer,
    /// What eras have to do with one another.
    Era,
}

impl Kind {
    /// The name in reports, and everything that can be reached.
    pub fn all(self) -> (&'static str, Vec<&'static str>) {
        let list = |names: &[&'static str]| names.to_vec();
        match self {
            Kind::Fault => (
                "faults",
                Fault::ALL.iter().map(|fault| fault.name()).collect(),
            ),
            Kind::Fact => ("facts", list(&FACTS)),
            Kind::Refusal => ("refusals", list(&REFUSALS)),
            Kind::Drop => ("drops", list(&DROPS)),
            Kind::State => ("upstream states", list(&STATES)),
            Kind::Timer => ("timers", list(&TIMERS)),
            Kind::Era => ("matters of both eras", eras::sights()),
        }
    }

    /// Every kind.
    pub const ALL: [Kind; 7] = [
        Kind::Fault,
        Kind::Fact,
        Kind::Refusal,
        Kind::Drop,
        Kind::State,
        Kind::Timer,
        Kind::Era,
    ];
}

/// Words of refusals that the core, and not the edge, says.
const REFUSALS: [&str; 20] = [
    "no-longer-offered",
    "bad-configuration",
    "start-failed",
    "still-starting",
    "still-failing",
    "upstream-exited",
    "upstream-stopped",
    "took-too-long",
    "too-slow",
    "overloaded",
    "answer-too-long",
    "answer-malformed",
    "owner-unclear",
    "owner-gone",
    "not-capable",
    "no-such-method",
    "not-initialized",
    "already-initialized",
    "id-in-use",
    "malformed",
];

const STATES: [&str; 8] = [
    "unresponsive",
    "stopped",
    "starting",
    "initializing",
    "ready",
    "draining",
    "backoff",
    "failed",
];

const DROPS: [&str; 10] = [
    "not-read",
    "merged",
    "unknown-response",
    "unknown-progress",
    "unknown-cancellation",
    "unclear-log-message",
    "no-subscriber",
    "unknown-notification",
    "unknown-elicitation",
    "before-handshake",
];

const TIMERS: [&str; 12] = [
    "pulse",
    "noise",
    "change-window",
    "start-patience",
    "drain-patience",
    "greeting",
    "idle",
    "rested",
    "probation",
    "owner-patience",
    "request-timeout",
    "restart-patience",
];

const FACTS: [&str; 26] = [
    "session-opened",
    "session-routed",
    "session-closed",
    "session-cut",
    "refused",
    "session-fault",
    "upstream-starting",
    "upstream-start-failed",
    "upstream-ready",
    "upstream-greeting-failed",
    "upstream-unresponsive",
    "upstream-responsive",
    "upstream-narrowed",
    "upstream-degraded",
    "upstream-sound",
    "upstream-private",
    "upstream-retiring",
    "memory-lost",
    "upstream-stopping",
    "upstream-exited",
    "upstream-failed",
    "upstream-fault",
    "dropped",
    "ask-refused",
    "tool-separated",
    "restarted",
];

impl Tally {
    /// Takes note that something was seen.
    pub fn saw(&mut self, kind: Kind, name: &'static str) {
        *self.seen.entry((kind, name)).or_default() += 1;
    }

    /// Takes note of what the core told.
    pub fn fact(&mut self, fact: &Fact) {
        let name = match fact {
            Fact::SessionOpened { .. } => "session-opened",
            Fact::SessionRouted { .. } => "session-routed",
            Fact::SessionClosed { .. } => "session-closed",
            Fact::SessionCut { .. } => "session-cut",
            Fact::Refused { refusal, .. } => {
                self.saw(Kind::Refusal, refusal.reason());
                "refused"
            }
            Fact::SessionFault { .. } => "session-fault",
            Fact::UpstreamStarting { restarts, .. } => {
                if *restarts > 0 {
                    self.saw(Kind::Fact, "restarted");
                }
                "upstream-starting"
            }
            Fact::UpstreamStartFailed { .. } => "upstream-start-failed",
            Fact::UpstreamReady { .. } => "upstream-ready",
            Fact::UpstreamGreetingFailed { .. } => "upstream-greeting-failed",
            Fact::UpstreamUnresponsive { .. } => "upstream-unresponsive",
            Fact::UpstreamResponsive { .. } => "upstream-responsive",
            Fact::UpstreamNarrowed { .. } => "upstream-narrowed",
            Fact::UpstreamDegraded { .. } => "upstream-degraded",
            Fact::UpstreamSound { .. } => "upstream-sound",
            Fact::UpstreamPrivate { .. } => "upstream-private",
            Fact::UpstreamRetiring { .. } => "upstream-retiring",
            Fact::MemoryLost { .. } => "memory-lost",
            Fact::UpstreamStopping { .. } => "upstream-stopping",
            Fact::UpstreamExited { .. } => "upstream-exited",
            Fact::UpstreamFailed { .. } => "upstream-failed",
            Fact::UpstreamFault { .. } => "upstream-fault",
            Fact::Dropped { reason, .. } => {
                self.saw(Kind::Drop, DropReason::name(*reason));
                "dropped"
            }
            Fact::AskRefused { refusal, .. } => {
                self.saw(Kind::Refusal, refusal.reason());
                "ask-refused"
            }
            Fact::ToolSeparated { .. } => "tool-separated",
            // There is one daemon in each world.
            Fact::SessionResumed { .. }
            | Fact::SessionReplayed { .. }
            | Fact::UpstreamInherited { .. }
            | Fact::RecordUnreadable { .. } => return,
            // Counted among what eras have to do with one another.
            Fact::UpstreamOfOtherEra { .. }
            | Fact::UpstreamRecalled { .. }
            | Fact::ListOutdated { .. } => return,
            // Fails the world; there is nothing to count.
            Fact::Contradiction { .. } => return,
        };
        self.saw(Kind::Fact, name);
    }

    /// Adds what another saw.
    pub fn add(&mut self, other: &Tally) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.heard += other.heard;
        self.given += other.given;
        for (name, count) in &other.seen {
            *self.seen.entry(*name).or_default() += count;
        }
    }

    /// How often something was seen.
    pub fn count(&self, kind: Kind, name: &'static str) -> u64 {
        self.seen.get(&(kind, name)).copied().unwrap_or_default()
    }

    /// What of a kind was never seen.
    pub fn missing(&self, kind: Kind) -> Vec<&'static str> {
        let (_, all) = kind.all();
        all.into_iter()
            .filter(|name| self.count(kind, name) == 0)
            .collect()
    }
}
