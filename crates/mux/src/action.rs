//! All that the core can ask the edge to do.

use alloc::{
    sync::Arc,
    vec::{Drain, Vec},
};

use serde::{Deserialize, Serialize};
use wire::{Outgoing, RequestId};

use crate::{
    class::Class,
    era::Era,
    event::{AdminAnswer, Record},
    fact::Fact,
    ids::{LineNumber, SessionId, Ticket, UpstreamId},
    kept_words::KeptWords,
};

/// One thing to do. The edge does it at once and never waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Give a session a message.
    SendToSession {
        /// Whom.
        session: SessionId,
        /// What.
        frame: Outgoing,
        /// The request that this answers, if it answers one.
        answered: Option<Answered>,
        /// The line that a message belongs to which answers nothing, for a session with
        /// [`crate::Link::Posts`]: it goes where the answer to that line will go. `None` if it belongs to none.
        part_of: Option<LineNumber>,
    },
    /// Tell a shim about its lines, in the same write as whatever else is on its way to it.
    Notify {
        /// Whose shim.
        session: SessionId,
        /// What.
        notice: Notice,
    },
    /// Tell a shim that this line is about to be sent to the server, and report
    /// [`crate::Event::Announced`] when that has been written.
    Announce {
        /// Whose line.
        session: SessionId,
        /// Which line.
        line: LineNumber,
    },
    /// Read no more from a session until it is resumed.
    PauseSession {
        /// Whom.
        session: SessionId,
    },
    /// Read from a session again.
    ResumeSession {
        /// Whom.
        session: SessionId,
    },
    /// Close a session's link once what waits for it is written.
    CloseSession {
        /// Whom.
        session: SessionId,
    },
    /// Start a server's process with what this session came with.
    StartUpstream {
        /// What it is called from now on; a restart has the same.
        upstream: UpstreamId,
        /// Whose command line, environment and workspace.
        on_behalf_of: SessionId,
    },
    /// Give a server a message.
    SendToUpstream {
        /// Which.
        upstream: UpstreamId,
        /// What.
        frame: Outgoing,
    },
    /// Close a server's input and see to it that nothing of it is left.
    StopUpstream {
        /// Which.
        upstream: UpstreamId,
    },
    /// Leave with the guardian what the next daemon must know of a server's process, once all that it was
    /// given before has been written. It takes the place of what was left there before.
    Record {
        /// Which.
        upstream: UpstreamId,
        /// What, for [`crate::Event::UpstreamInherited`].
        record: Record,
    },
    /// Keep what a server said of itself, in place of what was kept of it for this class and era before.
    KeepWords {
        /// Which: its process runs, or has just ended.
        upstream: UpstreamId,
        /// What its sessions can do.
        class: Class,
        /// How it is spoken to.
        era: Era,
        /// What; `None` if nothing of it can be kept.
        words: Option<Arc<KeptWords>>,
    },
    /// Keep what was found of a server, in place of what was found of it before; of one that says nothing that is
    /// kept, it is all that there is.
    KeepFinding {
        /// Which: its process runs.
        upstream: UpstreamId,
        /// The era in which it does not speak; `None` if it speaks in that after all.
        refused: Option<Era>,
    },
    /// End the daemon, by [`crate::Event::Shutdown`]: nobody has needed it for as long as it is kept.
    EndDaemon,
    /// Answer an administrator.
    AnswerAdmin {
        /// Which question.
        ticket: Ticket,
        /// What.
        answer: AdminAnswer,
    },
}

/// The request that a message answers: what the edge needs to answer it otherwise, should it have to drop the message.
///
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The line of the request.
    pub line: LineNumber,
    /// The client's id.
    pub id: RequestId,
    /// The ids of the other requests of the same batch, all of which one message answers.
    pub others: Vec<RequestId>,
    /// What the shim that keeps the line is told with the message.
    pub then: Then,
}

/// What becomes of a line with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// It is done.
    Done,
    /// It stays: the next daemon must learn of what it has brought about, and do nothing else about it.
    Keep,
}

/// What a shim hears about the lines that it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The line waits in the daemon: it has not been sent to the server.
    Held(LineNumber),
    /// Nothing more will come of these lines; the shim may forget them.
    Done(Vec<LineNumber>),
}

/// Where the core puts what it wants done and told.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: Vec<Action>,
    facts: Vec<Fact>,
}

impl Outbox {
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// What is in it, as it was put in: for whoever keeps books.
    #[cfg(any(test, feature = "audit"))]
    pub fn contents(&self) -> (&[Action], &[Fact]) {
        (&self.actions, &self.facts)
    }

    /// Takes the actions out, in the order in which they must be done.
    pub fn actions(&mut self) -> Drain<'_, Action> {
        self.actions.drain(..)
    }

    /// Takes the facts out, in the order in which they happened.
    pub fn facts(&mut self) -> Drain<'_, Fact> {
        self.facts.drain(..)
    }
}
