//! All that reaches the hub from the tasks around it.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use guardian::protocol::Report;
use mux::{LineNumber, Program, SessionId, UpstreamId};
use shim::{direct::Direct, preface::SessionAsk};
use tokio::{
    net::UnixStream,
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use crate::{
    admin,
    front::{
        Caller, Freedom, Generation, HttpFault, Key, ModernPost, Over, Place, Post, Presence, Visit,
    },
    kept_sessions,
    launch::Launch,
    link::{ConnectionId, Denial, Lines, NoRoom, Room, Sign, Socket, Tube},
    upgrade::UpgradeWish,
    upstream,
};

use super::{http::deny, revive::Revived};

/// One process of an upstream. A restarted upstream keeps its id and gets another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// Something that happened outside of the hub.
#[derive(Debug)]
pub(crate) enum Input {
    /// Somebody wants a session.
    Came(Box<Arrival>),
    /// It was found out what a session gets, and what is kept of its server.
    LookedUp(Box<LookedUp>),
    /// Nobody is to wait for that, and this says why.
    NotLookedUp(Box<Arrival>, SessionId, HttpFault),
    /// A session wrote lines.
    Lines { session: SessionId, lines: Lines },
    /// A client has wanted to say something for long, and was not read.
    Unheard(SessionId),
    /// A session at the other end of a WebSocket has to be told something of the connection; of a close, it
    /// is over with that.
    Signed { session: SessionId, sign: Sign },
    /// This token counts from now on, and no other.
    Revoked(Generation),
    /// A client will say nothing more, but still listens.
    Ending(SessionId),
    /// A client is gone.
    Closed(SessionId),
    /// A process wrote lines to its standard output.
    Output { process: ProcessId, lines: Lines },
    /// Something else came out of a process.
    Heard { process: ProcessId, heard: Heard },
    /// News of a server that runs elsewhere.
    Remote {
        process: ProcessId,
        news: upstream::News,
    },
    /// Somebody wants something over HTTP.
    Visited(Box<Visit>),
    /// Somebody asks something over HTTP, in the modern era, with a place among the sessions that there may be.
    Posted(Box<ModernPost>, OwnedSemaphorePermit),
    /// The answer over this connection is waited for so long that the response becomes a stream.
    AnswerLasts { key: Key, connection: ConnectionId },
    /// What was kept of a session over HTTP was found, or was not.
    Sought(
        Key,
        Box<Result<Option<kept_sessions::KeptSession>, kept_sessions::Late>>,
    ),
    /// Some time has passed for what clients over HTTP may come back to.
    ClockStrikes,
    /// The response to this line is to end, should it still go on.
    PollDue(SessionId, LineNumber),
    /// Whoever listened for a session over HTTP has gone.
    ListenerLeft(SessionId),
    /// There is room again in a peer's way in, or nobody who would make some.
    Room(Peer),
    /// The session that was closed has had time enough to read its last messages.
    LeftLongEnough(SessionId),
    /// The guardian told something.
    Reported { guardian: u64, report: Report },
    /// The guardian has ended.
    GuardianEnded { guardian: u64 },
    /// A process is gone and somebody still holds its output open, for too long now.
    OutputOverdue(ProcessId),
    /// Whoever ran a server without a daemon was waited for: it has ended, or this is still so.
    Looked {
        upstream: UpstreamId,
        holder: Option<Direct>,
    },
    /// It was looked at what is to be started.
    ProgramSeen {
        upstream: UpstreamId,
        /// `None` if that is not known.
        program: Option<Program>,
    },
    /// An administrator asks.
    Asked(AdminCall),
    /// The daemon was asked to end.
    Quit,
}

impl Input {
    /// Counts it no longer to what waits to be taken in.
    pub(super) fn count_out(&mut self) {
        match self {
            Input::Lines { lines, .. } | Input::Output { lines, .. } => lines.count_out(),
            Input::Visited(visit) => visit.count_out(),
            Input::Posted(post, _) => post.share = None,
            Input::Came(_)
            | Input::Signed { .. }
            | Input::Revoked(_)
            | Input::Unheard(_)
            | Input::AnswerLasts { .. }
            | Input::ClockStrikes
            | Input::Sought(..)
            | Input::PollDue(..)
            | Input::ListenerLeft(_)
            | Input::LookedUp(_)
            | Input::NotLookedUp(..)
            | Input::Ending(_)
            | Input::Closed(_)
            | Input::Heard { .. }
            | Input::Remote { .. }
            | Input::Room(_)
            | Input::LeftLongEnough(_)
            | Input::Reported { .. }
            | Input::GuardianEnded { .. }
            | Input::OutputOverdue(_)
            | Input::ProgramSeen { .. }
            | Input::Looked { .. }
            | Input::Asked(_)
            | Input::Quit => {}
        }
    }

    /// Whether more of the same comes at once: the next piece of what one read brought. That of a session
    /// does only while it is read.
    pub(super) fn goes_on(&self, is_read: impl Fn(SessionId) -> bool) -> bool {
        match self {
            Input::Lines { session, lines } => lines.goes_on() && is_read(*session),
            Input::Output { lines, .. } => lines.goes_on(),
            Input::Came(_)
            | Input::Signed { .. }
            | Input::Revoked(_)
            | Input::Visited(_)
            | Input::Posted(..)
            | Input::AnswerLasts { .. }
            | Input::ClockStrikes
            | Input::Sought(..)
            | Input::PollDue(..)
            | Input::ListenerLeft(_)
            | Input::Unheard(_)
            | Input::LookedUp(_)
            | Input::NotLookedUp(..)
            | Input::Ending(_)
            | Input::Closed(_)
            | Input::Heard { .. }
            | Input::Remote { .. }
            | Input::Room(_)
            | Input::LeftLongEnough(_)
            | Input::Reported { .. }
            | Input::GuardianEnded { .. }
            | Input::OutputOverdue(_)
            | Input::ProgramSeen { .. }
            | Input::Looked { .. }
            | Input::Asked(_)
            | Input::Quit => false,
        }
    }
}

/// What came out of a process beside the protocol.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A line on its standard error, cleaned.
    Complaint(String),
    /// Nobody can write to its standard output any more.
    OutputEnded {
        /// Bytes of a last line that has no end.
        unfinished: usize,
    },
    /// Nobody can write to its standard error any more.
    ErrorsEnded,
}

/// Who has something to read from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Session(SessionId),
    Process(ProcessId),
    Guardian(u64),
}

/// A session at the door.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) entrance: Entrance,
    /// Since when it waits.
    pub(crate) since: Instant,
    /// The folder that the shim runs in.
    pub(crate) cwd: PathBuf,
    /// The shim's file mode creation mask.
    pub(crate) umask: u32,
    pub(crate) ask: Arc<SessionAsk>,
    pub(crate) freedom: Freedom,
    /// Its place among the sessions that there may be.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// How it has come in.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// Over the unix socket, and this was read behind the preface.
    Socket(Socket, Bytes),
    /// Over HTTP, with its `initialize`.
    Http(Box<Beginner>),
    /// Over HTTP, to an earlier daemon.
    Revived(Box<Revived>),
    /// Over HTTP, with the one request that it is.
    Modern(Box<ModernPost>),
    /// Over a WebSocket.
    WebSocket(Box<Talk>),
}

/// Somebody who begins a session over HTTP.
#[derive(Debug)]
pub(crate) struct Beginner {
    pub(crate) place: Place,
    pub(crate) caller: Caller,
    /// The `initialize`.
    pub(crate) post: Post,
    /// Where the answer goes.
    pub(crate) reply: Tube,
    pub(crate) presence: Arc<Presence>,
}

/// A WebSocket for a session.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) socket: Socket,
    /// What was read behind the handshake.
    pub(crate) early: Bytes,
    pub(crate) place: Place,
    /// The token that it was let in by, if it was by one.
    pub(crate) token: Option<Generation>,
}

impl Entrance {
    /// What it has come in over.
    pub(crate) fn over(&self) -> Over {
        match self {
            Entrance::Socket(..) => Over::Preface,
            Entrance::Http(_) | Entrance::Revived(_) | Entrance::Modern(_) => Over::Http,
            Entrance::WebSocket(_) => Over::WebSocket,
        }
    }

    /// Whether whoever comes in like this is told when nothing is begun for it. If so, it is.
    pub(crate) fn denies(&self, denial: impl FnOnce() -> Denial) -> bool {
        match self {
            Entrance::Socket(..) | Entrance::Revived(_) | Entrance::WebSocket(..) => return false,
            Entrance::Http(beginner) => deny(&beginner.reply, denial()),
            Entrance::Modern(post) => deny(&post.reply, denial()),
        }
        true
    }

    /// Counts what was posted again, as it is to wait for longer.
    pub(super) fn count_in(&mut self, room: &Arc<Room>) -> Result<(), NoRoom> {
        match self {
            Entrance::Http(beginner) => beginner.post.count_in(room),
            Entrance::Modern(post) => post.count_in(room),
            // What was read of the first two is little, and what waits for the third is counted where that is.
            Entrance::Socket(..) | Entrance::WebSocket(_) | Entrance::Revived(_) => Ok(()),
        }
    }

    /// Whether whoever came in over a socket has gone.
    pub(super) fn is_left(&self) -> bool {
        match self {
            Entrance::Socket(socket, _) => socket.is_left(),
            Entrance::WebSocket(talk) => talk.socket.is_left(),
            Entrance::Http(_) | Entrance::Revived(_) | Entrance::Modern(_) => false,
        }
    }

    /// What the client calls the session, if it has said so.
    pub(super) fn session_key(&self) -> Option<&str> {
        match self {
            Entrance::Socket(..) => None,
            Entrance::Http(beginner) => beginner.place.session_key.as_deref(),
            Entrance::Revived(revived) => revived.row.place.session_key.as_deref(),
            Entrance::Modern(post) => post.place.session_key.as_deref(),
            Entrance::WebSocket(talk) => talk.place.session_key.as_deref(),
        }
    }
}

/// A session of which it is known what it gets, with what its server said of itself, as far as that is kept.
#[derive(Debug)]
pub(crate) struct LookedUp {
    pub(crate) arrival: Arrival,
    pub(crate) id: SessionId,
    pub(crate) launch: Launch,
}

/// An administrator's question with the way to answer it.
#[derive(Debug)]
pub(crate) enum AdminCall {
    Status(oneshot::Sender<admin::Draft>),
    Restart {
        server: String,
        patience: Duration,
        reply: oneshot::Sender<mux::AdminAnswer>,
    },
    /// The whole state, to try with another program.
    Rehearse(oneshot::Sender<Result<Vec<u8>, String>>),
    /// Another program is to go on here.
    Upgrade(UpgradeWish),
    /// Answered when everything has ended, by whoever outlives the hub.
    Stop(UnixStream),
}
