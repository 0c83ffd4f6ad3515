//! All that is worth telling a human. No payloads: names, ids, counts and reasons.

use alloc::{string::String, sync::Arc};
use core::time::Duration;

use serde::{Deserialize, Serialize};
use wire::{Fault, Method};

use crate::{
    era::Era,
    event::Exit,
    ids::{SessionId, UpstreamId},
    refusal::Refusal,
};

/// Something that happened, for logs, counters and whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A session opened.
    SessionOpened {
        /// Who.
        session: SessionId,
        /// For which server.
        server: Arc<str>,
    },
    /// A session that an earlier daemon had is here again.
    SessionResumed {
        /// Who.
        session: SessionId,
        /// For which server.
        server: Arc<str>,
    },
    /// All lines that a session had with an earlier daemon have been told.
    SessionReplayed {
        /// Who.
        session: SessionId,
        /// How many they were.
        lines: usize,
        /// Requests in them that could not be done again and were refused.
        refused: usize,
    },
    /// A session said hello and has its upstream.
    SessionRouted {
        /// Who.
        session: SessionId,
        /// Where to.
        upstream: UpstreamId,
    },
    /// A server was found not to speak in this era; its sessions are served in the other.
    UpstreamOfOtherEra {
        /// Which process was asked.
        upstream: UpstreamId,
        /// How it was asked.
        era: Era,
    },
    /// A session is gone.
    SessionClosed {
        /// Who.
        session: SessionId,
    },
    /// A session does not read; what waited for it was dropped and its open requests were ended.
    SessionCut {
        /// Who.
        session: SessionId,
        /// Requests that were still open.
        open: usize,
    },
    /// A request was answered with "no".
    Refused {
        /// Whose request.
        session: SessionId,
        /// Why.
        refusal: Refusal,
    },
    /// A client sent what is no message.
    SessionFault {
        /// Who.
        session: SessionId,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A server's process of an earlier daemon goes on under this one.
    UpstreamInherited {
        /// Which.
        upstream: UpstreamId,
        /// Of which server.
        server: Arc<str>,
        /// Sessions that it had.
        sessions: usize,
        /// Whether it serves; if not, it is stopped.
        is_ready: bool,
    },
    /// What an earlier daemon has left of a server's process cannot be read, so that process is stopped.
    RecordUnreadable {
        /// Which.
        upstream: UpstreamId,
        /// What is wrong with it; no part of it.
        why: &'static str,
    },
    /// A server is being started.
    UpstreamStarting {
        /// Which.
        upstream: UpstreamId,
        /// Of which server.
        server: Arc<str>,
        /// How many times it was started before.
        restarts: u64,
    },
    /// Sessions of a server are served without a process, from what it said at an earlier start.
    UpstreamRecalled {
        /// Which.
        upstream: UpstreamId,
        /// Of which server.
        server: Arc<str>,
    },
    /// A list that sessions were given without a process is another one, now that there is one.
    ListOutdated {
        /// Whose.
        upstream: UpstreamId,
        /// The method that asks for it.
        list: &'static str,
    },
    /// A server could not be started.
    UpstreamStartFailed {
        /// Which.
        upstream: UpstreamId,
        /// Why.
        why: String,
    },
    /// A server has answered the handshake.
    UpstreamReady {
        /// Which.
        upstream: UpstreamId,
        /// The version that it speaks.
        version: String,
    },
    /// A server answered the handshake with an error, or too late.
    UpstreamGreetingFailed {
        /// Which.
        upstream: UpstreamId,
        /// What it said, or that it said nothing.
        why: String,
    },
    /// A server offers less after a restart than its sessions were told, or speaks an older version.
    UpstreamNarrowed {
        /// Which.
        upstream: UpstreamId,
    },
    /// A server is not shared for this reason.
    UpstreamPrivate {
        /// Which.
        upstream: UpstreamId,
        /// Why.
        why: &'static str,
    },
    /// A server with something to do says nothing and answers no ping; what is new waits.
    UpstreamUnresponsive {
        /// Which.
        upstream: UpstreamId,
        /// For how long it has said nothing.
        quiet: Duration,
        /// Requests that it owes an answer.
        open: usize,
    },
    /// An unresponsive server has spoken.
    UpstreamResponsive {
        /// Which.
        upstream: UpstreamId,
    },
    /// A server is to be restarted and answers what it works on before that.
    UpstreamRetiring {
        /// Which.
        upstream: UpstreamId,
        /// Requests that it owes an answer.
        open: usize,
    },
    /// A server was started again, and sessions had called the process before.
    MemoryLost {
        /// Which.
        upstream: UpstreamId,
        /// How many of them are still there.
        sessions: usize,
    },
    /// A server is asked to stop.
    UpstreamStopping {
        /// Which.
        upstream: UpstreamId,
    },
    /// A server's process is gone.
    UpstreamExited {
        /// Which.
        upstream: UpstreamId,
        /// How.
        exit: Exit,
        /// Whether we had asked it to.
        expected: bool,
        /// Requests that it still owed an answer.
        open: usize,
    },
    /// A server keeps dying and rests.
    UpstreamFailed {
        /// Which.
        upstream: UpstreamId,
    },
    /// A server wrote what is no message.
    UpstreamFault {
        /// Which.
        upstream: UpstreamId,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A server writes so much that is no message that nobody should rely on it.
    UpstreamDegraded {
        /// Which.
        upstream: UpstreamId,
        /// All that it ever wrote.
        lines: u64,
    },
    /// A degraded server has been quiet for long enough.
    UpstreamSound {
        /// Which.
        upstream: UpstreamId,
    },
    /// A message of a server went to nobody.
    Dropped {
        /// Whose message.
        upstream: UpstreamId,
        /// Why.
        reason: DropReason,
    },
    /// A server asked something and nobody could be found whose business it is.
    AskRefused {
        /// Which server.
        upstream: UpstreamId,
        /// What it asked.
        method: Method,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// A tool was seen to ask, or to log, and has its calls run apart from now on.
    ToolSeparated {
        /// Of which server.
        upstream: UpstreamId,
        /// The tool.
        tool: Arc<str>,
    },
    /// The core caught itself in a contradiction. Never expected; the message names the place.
    Contradiction {
        /// What does not fit.
        what: &'static str,
    },
}

/// Why a message of a server went to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// A response that nobody waits for: late, doubled or made up.
    UnknownResponse,
    /// Progress of a request that is over or never was.
    UnknownProgress,
    /// A cancellation of an ask that is over or never was.
    UnknownCancellation,
    /// A log message that several sessions may have caused.
    UnclearLogMessage,
    /// A notification that nobody subscribed to.
    NoSubscriber,
    /// A notification of a kind that we do not know, with several sessions attached.
    UnknownNotification,
    /// The settlement of a question that nobody was asked.
    UnknownElicitation,
    /// A message before the handshake was over.
    BeforeHandshake,
    /// An ask of a server that does not read what it is answered, or progress for one.
    NotRead,
    /// A change of a list that was followed by another before anybody could be told.
    Merged,
}

impl DropReason {
    /// A stable word for programs.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::UnknownResponse => "unknown-response",
            DropReason::UnknownProgress => "unknown-progress",
            DropReason::UnknownCancellation => "unknown-cancellation",
            DropReason::UnclearLogMessage => "unclear-log-message",
            DropReason::NoSubscriber => "no-subscriber",
            DropReason::UnknownNotification => "unknown-notification",
            DropReason::UnknownElicitation => "unknown-elicitation",
            DropReason::BeforeHandshake => "before-handshake",
            DropReason::NotRead => "not-read",
            DropReason::Merged => "merged",
        }
    }
}
