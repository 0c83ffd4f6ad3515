//! One upstream, as its processes know it.

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
};

use serde::{Deserialize, Serialize};
use wire::{Method, ProgressToken, RequestId};

use super::print::Print;
use crate::{
    Class, Era, Route, SessionId,
    missed::{ADDRESS_MAX, RESOURCES_MAX},
};

/// What there is of an upstream's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Process {
    /// Nothing.
    #[default]
    None,
    /// It was asked for.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end.
    Stopping,
}

/// Ids that may be given to requests which are over before the server sees them, one after another.
const SKIPPED_MAX: u64 = 1 << 20;

/// Where in an id it says which daemon gave it out.
const EPOCH_BITS: u32 = 32;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Server {
    pub(super) process: Process,
    /// On whose behalf the process was started: the route, and the session if it is for that alone.
    pub(super) launched: Option<(Route, Option<SessionId>)>,
    /// What it was told that its clients can do.
    pub(super) class: Option<Class>,
    pub(super) is_initialized: bool,
    /// How it was greeted.
    #[serde(default)]
    pub(super) era: Era,
    /// Whether more waits for it than may: then requests of sessions wait elsewhere.
    pub(super) is_blocked: bool,
    /// What it was greeted under.
    pub(super) greeting: Option<u64>,
    /// The version that it has said it speaks.
    pub(super) spoken: Option<String>,
    /// Pages of lists that it was asked for on our own account.
    pub(super) compared: BTreeSet<Print>,
    /// Every id below that it has seen, over all its processes, but for those in `skipped`.
    issued: u64,
    skipped: BTreeSet<u64>,
    /// Requests that the process has and that are neither answered nor cancelled.
    pub(super) sent: BTreeMap<u64, Working>,
    /// Results of its tools that sessions have got, where other sessions may get them, too.
    #[serde(default)]
    pub(super) results: BTreeSet<Print>,
    /// Of one that was taken over, the resources that it has told of since. Whoever comes back may not have heard.
    #[serde(default)]
    pub(super) told_of: Option<BTreeSet<Box<str>>>,
    /// What it has asked and has no answer to.
    pub(super) asks: BTreeMap<RequestId, Ask>,
    /// Sessions whose `initialize` was answered with it, and those of the modern era that have come to it.
    pub(super) attached: BTreeSet<SessionId>,
    /// Sessions of the modern era that have come while nobody could serve them: its next process does.
    #[serde(default)]
    pub(super) waiting: BTreeSet<SessionId>,
    /// Whether sessions are served without a process.
    #[serde(default)]
    pub(super) is_recalled: bool,
}

/// A request that a process works on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Working {
    /// Of a request that is counted in a group.
    pub(super) print: Option<Print>,
    pub(super) is_askable: bool,
    /// The answer, which waits for those to the rest of a batch.
    pub(super) answer: Option<Print>,
    /// The same, for a client of the other era.
    #[serde(default)]
    pub(super) answer_across: Option<Print>,
    /// Whose it is, once progress has shown it.
    pub(super) owner: Option<SessionId>,
}

/// A request of a server's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) print: Option<Print>,
    /// The same as a client of the modern era is asked it.
    #[serde(default)]
    pub(super) question: Option<Box<str>>,
    pub(super) method: Method,
    pub(super) token: Option<ProgressToken>,
    /// Who was asked, and under which id.
    pub(super) shown: Option<(SessionId, u64)>,
    /// How often it asked under this id again, for which it has no answer either.
    pub(super) again: usize,
}

impl Server {
    /// Takes note of an id that the server sees. Says whether it never saw it before, and whether it
    /// can be one of ours at all.
    #[must_use]
    pub(super) fn issue(&mut self, id: u64) -> bool {
        if self.issued == 0 {
            // Every daemon of a guardian counts from another number.
            self.issued = id >> EPOCH_BITS << EPOCH_BITS;
        }
        if id <= self.issued {
            return self.skipped.remove(&id);
        }
        if id - self.issued > SKIPPED_MAX {
            return false;
        }
        self.skipped.extend(self.issued + 1..id);
        self.issued = id;
        true
    }

    /// It tells that a resource has changed.
    pub(super) fn tells_of(&mut self, uri: &str) {
        if let Some(told_of) = &mut self.told_of {
            told_of.insert(uri.into());
        }
    }

    /// Whether whoever comes back may hear that a resource has changed. Where it has told of many, or of one whose
    /// address is long, that may be every one.
    pub(super) fn has_told_of(&self, uri: &str) -> bool {
        let is_too_much = |all: &BTreeSet<Box<str>>| {
            all.len() > RESOURCES_MAX || all.iter().any(|it| it.len() > ADDRESS_MAX)
        };
        let told_of = self.told_of.as_ref();
        told_of.is_some_and(|all| all.contains(uri) || is_too_much(all))
    }

    /// Whether whoever comes is served at once.
    pub(super) fn serves(&self) -> bool {
        self.is_recalled || self.is_initialized && self.process == Process::Running
    }

    /// One that has waited is served.
    pub(super) fn serve(&mut self, session: SessionId) {
        if self.waiting.remove(&session) {
            self.attached.insert(session);
        }
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.process, Process::Running | Process::Stopping)
    }

    /// The only session attached.
    pub(super) fn only_session(&self) -> Option<SessionId> {
        let mut attached = self.attached.iter().copied();
        attached.next().filter(|_| attached.next().is_none())
    }
}
