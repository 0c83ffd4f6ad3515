//! The books of what clients and servers may rely on, kept beside the core by whoever mistrusts it.
//!
//! An [`Audit`] is shown every event, and every action and fact that came of it; it never looks into the
//! core. Tests keep these books for every transcript and every daemon of an end-to-end run. Between two
//! events they can be written down, and gone on with in another program, as the core can.
//!
//! **Invariant:** a [`Violation`] is a fault of the core. Where messages that are alike to the byte leave
//! open which of them is meant, the books take the reading that favours the core.

mod client;
mod eras;
mod group;
mod heard;
mod inherited;
mod print;
mod recalled;
mod rest;
mod server;
mod telling;
#[cfg(test)]
mod tests;
mod to_server;
mod to_session;

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    fmt,
    string::String,
    sync::Arc,
    vec::Vec,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{Frame, Method, Outgoing, RequestId};

use crate::{Action, DropReason, Fact, KeptWords, Refusal, Route, SessionId, UpstreamId};

pub use server::Process;

use client::{Asking, Client};
use group::{Asked, Group};
use print::Print;
use server::Server;

/// Violations that are told; the rest is only counted.
const KEPT_MAX: u64 = 100;

/// What must hold in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// I1: every request has one outcome, unless who asked has cancelled it or left.
    OneOutcome,
    /// I2: nothing reaches anybody but its owner.
    OwnerOnly,
    /// I3: what does something is done at most once.
    AtMostOnce,
    /// I4: what is in flight at servers is what sessions have in flight.
    SameTable,
    /// I5: nothing goes to a session that is closed.
    NothingToClosed,
    /// I6: what runs is what was asked for.
    WantedChildren,
    /// I7: every queue is within its cap.
    WithinCaps,
}

/// Something that must never happen, and did. No payloads: names and ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// Where, for a person.
    pub words: String,
}

/// The books.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Audit {
    clients: BTreeMap<SessionId, Client>,
    servers: BTreeMap<UpstreamId, Server>,
    groups: BTreeMap<Print, Group>,
    /// What is known of what servers said at earlier starts, by route.
    kept: BTreeMap<Route, Vec<Arc<KeptWords>>>,
    /// Routes of which every session gets a server of its own.
    private_routes: BTreeSet<Route>,
    /// Every session that there ever was.
    seen: BTreeSet<SessionId>,
    #[serde(skip)]
    step: Step,
    /// Taken out by whoever writes them down.
    #[serde(skip)]
    found: Vec<Violation>,
    count: Count,
}

/// How much the books have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Events.
    pub events: u64,
    /// Messages, in and out.
    pub messages: u64,
    /// Violations.
    pub violations: u64,
}

/// One event and what comes of it.
#[derive(Debug, Default)]
struct Step {
    told: Vec<Told>,
    /// Wishes that are acknowledged, with what has changed before that is told behind it.
    missed: BTreeMap<(SessionId, Box<str>), BTreeSet<Box<str>>>,
    /// Answers that clients give.
    ask_answers: Vec<OfAsk>,
    /// What clients tell of how far they are.
    ask_progress: Vec<OfAsk>,
    /// Answers that servers give to what they have.
    given: Vec<(UpstreamId, Print)>,
    /// Requests under ids that were in use; each may have an answer of its own.
    doubled: Vec<Asked>,
    /// Sessions that said what cannot be answered under its id, once for each time.
    faulty: Vec<SessionId>,
    /// Whether an announcement has left: what was announced goes, whatever waits for its server by now.
    has_announced: bool,
    /// What a server asks.
    asked: Option<(UpstreamId, RequestId)>,
    /// The request on whose own stream a server asks or tells something.
    within: Option<(UpstreamId, u64)>,
    /// An answer of a server of the modern era that is questions.
    inquired: Option<Inquired>,
    /// A client of the modern era that says `initialize`.
    turning: Option<SessionId>,
    /// Requests that are over without an answer, to be taken out of their groups at the end of the step.
    leaving: Vec<(Asking, Asked)>,
    /// Groups to be looked at then.
    touched: BTreeSet<Print>,
    /// Servers' asks that nobody need answer any more, of which the client must hear.
    withdrawn: Vec<(SessionId, u64)>,
    /// Servers' asks whose client has gone, and which must be answered for it.
    orphaned: Vec<(UpstreamId, RequestId)>,
    /// Those of them that must be passed on.
    due: Vec<(UpstreamId, u64)>,
    /// A client that was greeted by an earlier daemon, and the version that it had asked for.
    recalled: Option<(SessionId, String)>,
    /// A client that says what it has said to an earlier daemon.
    replayed: Option<SessionId>,
    /// A server of an earlier daemon, which must be stopped or answered what it had asked.
    inherited: Option<UpstreamId>,
    /// Requests that a line at fault may have answered, of which the server may hear that nobody waits.
    doubtful: BTreeSet<(UpstreamId, u64)>,
}

/// What a server tells in a step.
#[derive(Debug)]
struct Told {
    upstream: UpstreamId,
    method: Method,
    print: Print,
    token: Option<u64>,
    uri: Option<Box<str>>,
}

/// An answer that is questions, for a client that has to be asked otherwise.
#[derive(Debug)]
struct Inquired {
    upstream: UpstreamId,
    minted: u64,
    /// Methods and parameters.
    questions: Vec<(Method, Box<str>)>,
}

/// What a client says in a step of what it was asked.
#[derive(Debug)]
struct OfAsk {
    session: SessionId,
    shown: u64,
    print: Print,
}

impl Audit {
    /// Takes in what the core has made of the event that was shown last.
    pub fn outcome(&mut self, actions: &[Action], facts: &[Fact]) {
        for fact in facts {
            self.learn(fact);
        }
        for action in actions {
            self.act(action);
        }
        self.end_step();
    }

    /// What was found since the last call, oldest first. Of very many, all but the first are only counted.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        core::mem::take(&mut self.found)
    }

    /// How much was seen, and how much found.
    pub fn count(&self) -> Count {
        self.count
    }

    /// Each session that is open, with the requests that it waits for.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, Vec<RequestId>)> {
        let owed = |client: &Client| client.open.keys().cloned().collect();
        self.clients
            .iter()
            .map(move |(id, client)| (*id, owed(client)))
    }

    /// Whether a session may still be answered what it has cancelled: its batch has not been.
    #[cfg(test)]
    pub(crate) fn is_excused(&self, session: SessionId, id: &RequestId) -> bool {
        let client = self.clients.get(&session);
        client.is_some_and(|client| client.excused.contains_key(id))
    }

    /// Every upstream that ever had a process, and what there is of one now.
    pub fn processes(&self) -> impl Iterator<Item = (UpstreamId, Process)> {
        self.servers
            .iter()
            .map(|(id, server)| (*id, server.process))
    }

    fn learn(&mut self, fact: &Fact) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others say again what events and actions show"
        )]
        match fact {
            Fact::SessionRouted { session, upstream } => self.routed(*session, *upstream),
            Fact::UpstreamPrivate { upstream, .. } => {
                let server = self.servers.get(upstream);
                let launched = server.and_then(|server| server.launched.as_ref());
                self.private_routes
                    .extend(launched.map(|(route, _)| route.clone()));
            }
            Fact::Refused {
                session,
                refusal: Refusal::AlreadyInitialized | Refusal::IdInUse,
            } => self.stay_modern(*session),
            Fact::UpstreamRecalled { upstream, .. } => {
                self.servers.entry(*upstream).or_default().is_recalled = true;
                self.serve_waiting(*upstream);
            }
            Fact::UpstreamReady { upstream, .. } => {
                self.servers.entry(*upstream).or_default().is_recalled = false;
                self.serve_waiting(*upstream);
            }
            Fact::UpstreamGreetingFailed { upstream, .. } => {
                self.servers.entry(*upstream).or_default().is_recalled = false;
            }
            Fact::Refused { session, refusal } if ends_waiting(refusal) => {
                self.wait_no_longer(*session);
            }
            Fact::Dropped {
                reason: DropReason::NotRead,
                ..
            } => self.overlook_ask(),
            Fact::Contradiction { what } => {
                self.find(
                    Invariant::SameTable,
                    format_args!("the core contradicts itself: {what}"),
                );
            }
            _told => {}
        }
    }

    /// Those that have waited are served. Who waits for no answer may have given up unseen: it is served when it asks.
    fn serve_waiting(&mut self, upstream: UpstreamId) {
        let server = self.servers.entry(upstream).or_default();
        for session in server.waiting.clone() {
            let client = self.clients.get(&session);
            if client.is_some_and(|client| !client.open.is_empty()) {
                server.serve(session);
            }
        }
    }

    /// A session that nobody could serve yet begins anew.
    fn wait_no_longer(&mut self, session: SessionId) {
        let client = self.clients.get(&session);
        let upstream = client.and_then(|client| client.upstream);
        if let Some(server) = upstream.and_then(|upstream| self.servers.get_mut(&upstream)) {
            server.waiting.remove(&session);
        }
    }

    fn routed(&mut self, session: SessionId, upstream: UpstreamId) {
        let Some(client) = self.clients.get_mut(&session) else {
            return self.find(
                Invariant::NothingToClosed,
                format_args!("{session} is gone and routed to {upstream}"),
            );
        };
        let client_is_modern = client.era == crate::Era::Modern;
        let begins_again = self.step.turning == Some(session);
        let before = client.upstream.replace(upstream);
        let before = before.and_then(|before| self.servers.get_mut(&before));
        // It was served, and moves.
        let was_served = before.is_some_and(|server| {
            !server.waiting.remove(&session) && server.attached.remove(&session) && !begins_again
        });
        if was_served || client_is_modern {
            let server = self.servers.entry(upstream).or_default();
            // Nothing is told it before it is served.
            if was_served || server.serves() {
                server.attached.insert(session);
            } else {
                server.waiting.insert(session);
            }
        }
        self.routed_again(session, upstream);
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::SendToSession {
                session,
                frame,
                answered,
                part_of: _,
            } => self.send_to_session(*session, frame, answered.as_ref()),
            Action::Notify { session, notice } => self.notify(*session, notice),
            Action::Announce { session, line } => self.announce(*session, *line),
            Action::PauseSession { session } => self.pause(*session, true),
            Action::ResumeSession { session } => self.pause(*session, false),
            Action::CloseSession { session } => self.close(*session),
            Action::StartUpstream {
                upstream,
                on_behalf_of,
            } => self.start(*upstream, *on_behalf_of),
            Action::SendToUpstream { upstream, frame } => self.send_to_upstream(*upstream, frame),
            Action::StopUpstream { upstream } => self.stop(*upstream),
            Action::KeepWords {
                upstream, words, ..
            } => self.keep(*upstream, words.as_ref()),
            Action::Record { .. }
            | Action::KeepFinding { .. }
            | Action::AnswerAdmin { .. }
            | Action::EndDaemon => {}
        }
    }

    /// Takes the messages of something on its way out, of which a batch has several.
    fn frames_of(&mut self, message: &Outgoing) -> Vec<Frame> {
        let bytes = match message.pieces() {
            [whole] => whole.clone(),
            _several => Bytes::from(message.to_vec()),
        };
        let parsed = match Frame::parse_batch(&bytes, usize::MAX) {
            Some(batch) => batch.into_iter().collect(),
            None => Frame::parse(bytes).map(|frame| Vec::from([frame])),
        };
        let frames = parsed.unwrap_or_else(|fault| {
            self.find(
                Invariant::OneOutcome,
                format_args!("what goes out is no message: {fault}"),
            );
            Vec::new()
        });
        self.count.messages += frames.len() as u64;
        frames
    }

    fn find(&mut self, invariant: Invariant, words: fmt::Arguments<'_>) {
        self.count.violations += 1;
        if self.count.violations <= KEPT_MAX {
            let words = std::format!("{words}");
            self.found.push(Violation { invariant, words });
        }
    }
}

impl Invariant {
    /// The number that it has in the documents.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::OneOutcome => "I1",
            Invariant::OwnerOnly => "I2",
            Invariant::AtMostOnce => "I3",
            Invariant::SameTable => "I4",
            Invariant::NothingToClosed => "I5",
            Invariant::WantedChildren => "I6",
            Invariant::WithinCaps => "I7",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant.name(), self.words)
    }
}

/// Whether whoever is refused so, and was not served yet, waits no longer.
fn ends_waiting(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::StillStarting { .. }
            | Refusal::StartFailed { .. }
            | Refusal::StillFailing { .. }
            | Refusal::UpstreamStopped { .. }
            | Refusal::TookTooLong { .. }
            | Refusal::TooSlow
            | Refusal::ShuttingDown
    )
}
