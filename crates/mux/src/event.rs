//! All that can happen to the pooler.

use alloc::{boxed::Box, collections::BTreeSet, string::String, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{Fault, Frame};

use crate::{
    class::Class,
    era::Era,
    ids::{LineNumber, SessionId, Ticket, UpstreamId},
    kept_words::KeptWords,
    refusal::Refusal,
    verdict::Finding,
};

/// What happened, as the edge saw it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client came. Its server is routed when it says `initialize`.
    SessionOpened {
        /// Chosen by the edge, never used before but by the same client.
        session: SessionId,
        /// All that the edge knows of it.
        opening: Opening,
    },
    /// A client said something.
    SessionFrame {
        /// Who.
        session: SessionId,
        /// The line that the message stood on.
        line: LineNumber,
        /// What.
        frame: Frame,
    },
    /// A client sent several messages as one, which 2025-03-26 alone allows.
    SessionBatch {
        /// Who.
        session: SessionId,
        /// The line that the batch stood on.
        line: LineNumber,
        /// Its messages, each of which may be at fault.
        frames: Vec<Result<Frame, Fault>>,
    },
    /// A client is in the middle of a line that is no message, whatever comes of it: it is too long, or
    /// there is no room for it. At its end [`Event::SessionFault`] comes, which may know more of it.
    SessionOverrun {
        /// Who.
        session: SessionId,
        /// The line at fault.
        line: LineNumber,
        /// What is wrong with it, and what its beginning tells.
        fault: Fault,
    },
    /// A client sent what is no message.
    SessionFault {
        /// Who.
        session: SessionId,
        /// The line at fault.
        line: LineNumber,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A client said something to an earlier daemon that did not live to finish it.
    SessionReplayed {
        /// Who.
        session: SessionId,
        /// The line that it stood on.
        line: LineNumber,
        /// What became of it then.
        past: Past,
        /// What.
        said: Said,
    },
    /// All that a client said to earlier daemons, and that was not finished, has been told.
    SessionReplayEnded {
        /// Who.
        session: SessionId,
    },
    /// A client will say nothing more, but still listens.
    SessionEnding {
        /// Who.
        session: SessionId,
    },
    /// A client is gone.
    SessionClosed {
        /// Who.
        session: SessionId,
    },
    /// A session has not read for so long that what waited for it was dropped. The edge has answered
    /// the dropped answers with [`Refusal::TooSlow`]; what is still open is for the core to end.
    SessionCut {
        /// Who.
        session: SessionId,
    },
    /// A session has begun to listen for what belongs to none of its lines, or ceased to.
    SessionListens {
        /// Who.
        session: SessionId,
        /// Whether it does now.
        listens: bool,
    },
    /// So much waits for a session to read that it should read before it says more.
    SessionBlocked {
        /// Who.
        session: SessionId,
    },
    /// A session that was blocked has read a good part of what waited for it, or it was dropped.
    SessionWritable {
        /// Who.
        session: SessionId,
    },
    /// The announcement of [`crate::Action::Announce`] has left for the shim.
    Announced {
        /// Whose line.
        session: SessionId,
        /// Which line.
        line: LineNumber,
    },
    /// The process of a server has outlived the daemon that started it. Told before any session opens.
    UpstreamInherited {
        /// What it was called and goes on being called.
        upstream: UpstreamId,
        /// The last that [`crate::Action::Record`] said of it.
        record: Record,
        /// Whether it is on its way out already, and nobody can talk to it any more.
        is_ending: bool,
    },
    /// A server's process runs. It has not spoken yet.
    UpstreamStarted {
        /// Which.
        upstream: UpstreamId,
        /// What it was started from; `None` if that is not known, or if it was reached and not started.
        program: Option<Program>,
    },
    /// A server's process could not be started, or what was started could not be greeted at all.
    UpstreamStartFailed {
        /// Which.
        upstream: UpstreamId,
        /// Why, for a person: the program, the folder, the system's word.
        why: String,
    },
    /// A server said something.
    UpstreamFrame {
        /// Which.
        upstream: UpstreamId,
        /// What.
        frame: Frame,
        /// The request of ours on whose own stream it came, by the id that the server sees; `None` where there
        /// is one stream for everything, or if it came on that of none.
        within: Option<u64>,
    },
    /// A server wrote what is no message to its standard output.
    UpstreamFault {
        /// Which.
        upstream: UpstreamId,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A server wrote to its standard error. Told only for the first lines after a start.
    UpstreamComplained {
        /// Which.
        upstream: UpstreamId,
        /// The line, cleaned of control characters and cut to a sane length.
        line: String,
    },
    /// As many bytes wait for a server to read as may.
    UpstreamBlocked {
        /// Which.
        upstream: UpstreamId,
    },
    /// A server that was blocked has read what waited for it.
    UpstreamWritable {
        /// Which.
        upstream: UpstreamId,
    },
    /// A server's process is gone, and what it said has been heard. Of one that died, something that it
    /// started may be left: until that is gone as well, a start of the next one takes so much longer.
    UpstreamExited {
        /// Which.
        upstream: UpstreamId,
        /// How its process ended.
        exit: Exit,
        /// Requests that it was sent and of which not a byte was written: no process has seen them.
        unwritten: Vec<Frame>,
    },
    /// An administrator wants something.
    AdminAsked {
        /// To answer by.
        ticket: Ticket,
        /// What.
        ask: AdminAsk,
    },
    /// What the edge holds of messages, on their way in and out, has changed a good deal.
    Buffered {
        /// How much that is, in bytes.
        bytes: usize,
    },
    /// The moment of [`crate::Mux::next_deadline`] has come.
    DeadlineReached,
    /// The daemon is to end: sessions are told, upstreams are stopped.
    Shutdown,
}

/// What the next daemon must know of a server's process; opaque to the edge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record(#[serde(with = "crate::frozen::forms::text")] pub Bytes);

impl fmt::Debug for Record {
    /// Records hold environment values, which are never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes)", self.0.len())
    }
}

/// What became of a line of a session while an earlier daemon had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It was answered and what it brought about still holds ([`crate::Then::Keep`]).
    Kept,
    /// It may have gone to the server.
    Sent,
    /// The same, and an earlier daemon has replayed it before.
    Repeated,
}

/// What a line of a session held.
#[derive(Clone, Debug)]
pub enum Said {
    /// One message.
    One(Frame),
    /// Several, each of which may be at fault.
    Batch(Vec<Result<Frame, Fault>>),
}

/// What the edge knows of a session when it opens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The server's configured name, or the label of an ad-hoc command.
    pub server: Arc<str>,
    /// Where it came in.
    pub front: Front,
    /// What kind of link it has.
    pub link: Link,
    /// Why nothing can be started for it; unless it joins what runs, every request is answered so.
    #[serde(with = "crate::frozen::forms::refused")]
    pub refused: Option<Refusal>,
    /// Which upstreams it may share.
    pub route: Route,
    /// How widely upstreams of this server are shared.
    pub scope: Scope,
    /// Why the scope is what it is, for `status`.
    pub scope_reason: Arc<str>,
    /// How widely they are shared where the server is spoken to as in the modern era, if that is different: one
    /// that may keep something of each session keeps nothing in an era that has none.
    #[serde(default)]
    pub modern_scope: Option<Scope>,
    /// Its workspace, absolute and canonical; `None` if it is bound to none.
    pub workspace: Option<Arc<str>>,
    /// Whether its server's asks need a process of the session's own.
    pub asks: Asks,
    /// A class that the configuration fixes for all sessions of this server.
    pub fixed_class: Option<Class>,
    /// When its upstream stops after its last session.
    pub idle_timeout: IdleTimeout,
    /// Longest life of a request at its server, where that is not the one of all.
    pub request_timeout: Option<Duration>,
    /// Longest life of a request without progress, where that is not the one of all.
    pub request_idle_timeout: Option<IdleTimeout>,
    /// What its sessions hear when a process is replaced that they had called.
    pub on_restart: OnRestart,
    /// What its server said of itself at earlier starts, at most once for each class and era. `None` if nothing
    /// of that kind is used or kept.
    pub kept: Option<Vec<Arc<KeptWords>>>,
    /// What was found of its server before, if that is kept without what it said.
    #[serde(default)]
    pub found: Option<Finding>,
    /// When its server's process is started, where the session is served without one.
    pub start: Start,
    /// Whether it joins whatever upstream of its server runs.
    pub joins: Joins,
    /// Names of variables that look like credentials, that the client has and that its server will not get.
    pub withheld: Vec<Arc<str>>,
    /// Whether an earlier daemon had it: its lines are replayed.
    pub resumes: bool,
    /// How long it has waited to be opened: what it wants first has waited as long.
    #[serde(default)]
    pub waited: Duration,
    /// How long it may say nothing, be owed nothing and listen to nothing before it is over. `None` if its
    /// end shows.
    #[serde(default)]
    pub silence_max: Option<Duration>,
    /// The era in which its server is spoken to, where the configuration says so.
    #[serde(default)]
    pub era: Option<Era>,
    /// What names it to whoever goes on with a request of it later (2026-07-28, multi-round-trip requests):
    /// nobody can guess it. `None` if nobody can.
    #[serde(default)]
    pub handle: Option<Arc<str>>,
    /// What holds for calls of its server's tools besides.
    #[serde(default)]
    pub rules: Arc<CallRules>,
}

/// What holds for calls of a server's tools, because the configuration says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRules {
    /// What one call at a time may use.
    pub device: Option<Device>,
    /// Which of them are answered, when another session repeats them, with the result of the first.
    pub once: Option<OnceRule>,
}

impl Device {
    pub(crate) fn is_used_by(&self, tool: &str) -> bool {
        let tools = self.tools.as_ref();
        tools.is_none_or(|tools| tools.contains(tool))
    }
}

/// Calls that are carried out once for all sessions which make them within some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnceRule {
    /// The tools that it is for.
    pub tools: BTreeSet<Box<str>>,
    /// The arguments by whose text a call is known as a repeat; `None` for all of them.
    pub key: Option<Vec<Box<str>>>,
    /// For how long after the first result a call counts as its repeat.
    pub ttl: Duration,
}

/// Something that one call at a time may use, whichever session of whichever server makes it: a pair of
/// speakers, a printer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name. Servers that name the same one share it.
    pub name: Arc<str>,
    /// The tools that use it; `None` for all of the server.
    pub tools: Option<BTreeSet<Box<str>>>,
}

/// What must be equal for two sessions to share an upstream, but for what the core adds itself:
/// the capability class, the era and, for scope `session`, the session.
///
/// Opaque to the core. The edge puts in the program, the arguments, the declared environment, the
/// directory, the configured name and, for scope `workspace`, the workspace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route(pub Arc<[u8]>);

impl fmt::Debug for Route {
    /// Routes hold environment values, which are never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({} bytes)", self.0.len())
    }
}

/// What a process is started from: equal for two starts of a route if and only if its files are the same and were
/// not written to in between.
///
/// Opaque to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program(pub [u8; 32]);

/// How widely an upstream is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// By all sessions.
    Global,
    /// By the sessions of one workspace.
    Workspace,
    /// By nobody: each session has its own.
    Session,
}

impl Scope {
    /// The name in the configuration and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Global => "global",
            Scope::Workspace => "workspace",
            Scope::Session => "session",
        }
    }
}

/// Where sessions come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Front {
    /// Over the unix socket, from a shim.
    Stdio,
    /// Over the unix socket, from a verb of the command line.
    Cli,
    /// Over HTTP.
    Http,
    /// Over a WebSocket.
    Ws,
}

impl Front {
    /// The name in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Front::Stdio => "stdio",
            Front::Cli => "cli",
            Front::Http => "http",
            Front::Ws => "ws",
        }
    }
}

/// What the other end of a session's link hears of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Link {
    /// It keeps them until they are done, and wants to hear what is held, sent and done.
    Keeping,
    /// Nothing.
    Plain,
    /// Each line is a request of its own to which there is a response: it hears at once of each line that ends
    /// without an answer, and what belongs to a line goes with the answer to it. Such a session begins with
    /// `initialize`, and is over if that fails.
    Posts,
}

/// What becomes of a server's asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asks {
    /// They go to the session they belong to; upstreams are shared.
    Shared,
    /// The server asks outside of calls: each session gets a process of its own.
    Session,
}

/// When something ends with which nothing happens: an upstream without a session, a request without
/// progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdleTimeout {
    /// After this time.
    After(Duration),
    /// Only when it is told to.
    Never,
}

/// What sessions hear when a process is replaced that they had called, and that may have remembered
/// something of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnRestart {
    /// A warning, and everything goes on.
    Continue,
    /// An error to the next call of each.
    Error,
}

/// When a process is started of which what it said at its last start is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// With the first request that it is needed for.
    OnDemand,
    /// As soon as there is a session.
    WithSession,
}

/// Which upstream a session may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Joins {
    /// One of its own route and class.
    OwnRoute,
    /// Any that runs for a server of this name in the same workspace, or for all; if none does, one of its own.
    AnyRunning,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The way to it is lost, whatever has become of it.
    Disconnected,
    /// It lives, and knows nothing any more of what was said to it.
    Forgetful,
    /// Nobody knows.
    Unknown,
}

/// The signal that no process can refuse, the same everywhere.
const KILL: i32 = 9;

impl Exit {
    /// Whether it may have been the system's doing, for want of memory.
    pub(crate) fn may_be_for_want_of_memory(self) -> bool {
        self == Exit::Signal(KILL)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal(KILL) => write!(f, "was killed ({KILL})"),
            Exit::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Exit::Disconnected => f.write_str("was disconnected"),
            Exit::Forgetful => f.write_str("had forgotten the session"),
            Exit::Unknown => f.write_str("is gone"),
        }
    }
}

/// What an administrator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAsk {
    /// Stop every upstream of this server, once it has answered what it works on, and start those
    /// that have sessions.
    Restart {
        /// The configured name or label.
        server: Arc<str>,
        /// Longest wait for these answers.
        patience: Duration,
    },
}

/// What an administrator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAnswer {
    /// So many upstreams were stopped and, where they have sessions, run again.
    Restarted {
        /// How many.
        upstreams: usize,
    },
    /// No upstream of that server runs.
    NothingRuns,
    /// The new process did not come up.
    Failed {
        /// Why, for a person.
        why: String,
    },
}
