//! Who is in a world: clients and servers as scripted peers see themselves, and the ways to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use mux::{
    Answered, Asks, Capability, Class, Exit, Front, IdleTimeout, Joins, LineNumber, Link,
    OnRestart, Opening, Refusal, Route, Scope, SessionId, Start,
};
use wire::{Frame, LineSplitter, Message as Wired, Method, Outgoing};

use crate::{
    model::Model,
    payload::{Ident, LEVELS, Mark, Message, Shape, URIS, mark_of},
    queue::{Queue, Stamps},
};

/// What sessions share a server by, as a person would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The server's name.
    pub(crate) name: &'static str,
    /// The workspace, where it counts.
    pub(crate) workspace: Option<Arc<str>>,
    /// The folder that its server is bound to.
    pub(crate) bound: Option<Arc<str>>,
    /// What the client declared, by place in the list of classes.
    pub(crate) class: u8,
    /// A class that counts in place of that.
    pub(crate) fixed_class: Option<u8>,
    /// Set for a session that shares with nobody.
    pub(crate) alone: Option<SessionId>,
    /// Whether it takes any server of the name.
    pub(crate) joins: bool,
    /// The folder that it is told to be in.
    pub(crate) folder: Option<Arc<str>>,
    /// Why nothing is started for it.
    pub(crate) is_refused: bool,
}

impl Key {
    /// What the edge makes its route of.
    pub(crate) fn route(&self) -> (&'static str, Option<Arc<str>>) {
        (self.name, self.workspace.clone())
    }

    /// Whether two sessions are to be served by one server.
    pub(crate) fn shares_with(&self, other: &Key) -> bool {
        let is_alone = self.alone.is_some() || other.alone.is_some();
        !is_alone && self.route() == other.route() && self.class == other.class
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Process {
    /// There is none.
    #[default]
    None,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It was told to stop.
    Stopping,
}

/// The names of the servers in a world.
pub(crate) const NAMES: [&str; 4] = ["echo", "all", "own", "asker"];

/// How many kinds of sessions there are.
pub(crate) const KINDS: u8 = 10;

/// What the edge knows of a session of a kind, and what we know of it.
pub(crate) fn opening(
    kind: u8,
    keeps: bool,
    id: SessionId,
    idle_timeout: IdleTimeout,
) -> (Opening, Key) {
    let kind = kind % KINDS;
    let name = match kind {
        4 | 5 => NAMES[1],
        6 => NAMES[2],
        7 => NAMES[3],
        _shared => NAMES[0],
    };
    let scope = match kind {
        4 | 5 => Scope::Global,
        6 => Scope::Session,
        _shared => Scope::Workspace,
    };
    let folder: Arc<str> = match kind {
        1 => "/w/other".into(),
        4..=6 => format!("/w/of{}", id.0).into(),
        _shared => "/w/one".into(),
    };
    let asks = if kind == 7 {
        Asks::Session
    } else {
        Asks::Shared
    };
    let is_alone = scope == Scope::Session || asks == Asks::Session;
    let key = Key {
        name,
        workspace: (scope == Scope::Workspace).then(|| folder.clone()),
        bound: (scope != Scope::Global).then(|| folder.clone()),
        class: 0,
        fixed_class: (kind == 3).then_some(1),
        alone: is_alone.then_some(id),
        joins: kind == 8,
        folder: Some(folder.clone()),
        is_refused: kind == 9,
    };
    let route = format!("{name} {:?}", key.workspace);
    let refused = key.is_refused.then(|| Refusal::BadConfiguration {
        what: "it is broken".into(),
    });
    let opening = Opening {
        server: name.into(),
        front: Front::Stdio,
        link: if keeps { Link::Keeping } else { Link::Plain },
        refused,
        route: Route(route.into_bytes().into()),
        scope,
        scope_reason: "so it was written".into(),
        modern_scope: None,
        found: None,
        workspace: Some(folder),
        asks,
        fixed_class: key
            .fixed_class
            .map(|_| Class::of([Capability::Sampling, Capability::Roots])),
        idle_timeout,
        request_timeout: None,
        request_idle_timeout: None,
        on_restart: OnRestart::Continue,
        kept: None,
        start: Start::OnDemand,
        joins: joins(&key),
        withheld: Vec::new(),
        resumes: false,
        waited: Duration::ZERO,
        silence_max: None,
        era: None,
        handle: None,
        rules: Arc::default(),
    };
    (opening, key)
}

fn joins(key: &Key) -> Joins {
    if key.joins {
        Joins::AnyRunning
    } else {
        Joins::OwnRoute
    }
}

/// A client and its link.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a state of its own, and any of them go together"
)]
pub(crate) struct Client {
    pub(crate) id: SessionId,
    /// The lines that the core has seen.
    pub(crate) lines: u64,
    pub(crate) splitter: LineSplitter,
    pub(crate) up: Queue<Up>,
    pub(crate) down: Queue<Down>,
    pub(crate) down_bytes: usize,
    pub(crate) is_stalled: bool,
    pub(crate) is_paused: bool,
    /// Whether the core knows that it has much to read.
    pub(crate) is_blocked: bool,
    pub(crate) has_ended: bool,
    /// Whether the core has closed it.
    pub(crate) is_closed: bool,
    pub(crate) has_said_hello: bool,
    /// Requests that it waits for, as it sees it.
    pub(crate) open: Vec<Message>,
    /// Questions that it has read, by the id that it was shown, and whether progress is wanted.
    pub(crate) asked: Vec<(u64, bool)>,
    pub(crate) batches: u64,
}

/// Something on its way from a client.
#[derive(Debug)]
pub(crate) enum Up {
    /// A line, and the messages on it.
    Line {
        bytes: Bytes,
        messages: Vec<Message>,
    },
    /// The end of a line that was found too long before it.
    LineEnd { messages: Vec<Message> },
    /// The end of its input.
    End,
    /// The end of its link.
    Close,
}

/// Something on its way to a client.
#[derive(Debug)]
pub(crate) enum Down {
    Message(Outgoing, Option<Answered>),
    Announcement(LineNumber),
    Close,
}

impl Down {
    /// What it counts for in a queue, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Down::Message(frame, _) => frame.len() + 1,
            Down::Announcement(_) | Down::Close => 8,
        }
    }
}

/// A server's process and its pipes.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a state of its own, and any of them go together"
)]
pub(crate) struct Peer {
    pub(crate) process: Process,
    /// Whether it was stopped before it ran.
    pub(crate) never_ran: bool,
    pub(crate) inbox: Queue<Outgoing>,
    pub(crate) inbox_bytes: usize,
    /// Whether the core was told that it does not read.
    pub(crate) is_blocked: bool,
    pub(crate) outbox: Queue<Output>,
    pub(crate) splitter: LineSplitter,
    pub(crate) is_hung: bool,
    /// The id of the `initialize` that it has not answered.
    pub(crate) hello: Option<u64>,
    pub(crate) is_greeted: bool,
    /// What it works on.
    pub(crate) works: Vec<Work>,
    /// What it asked and has no answer to.
    pub(crate) asked: Vec<Question>,
    /// Ids of requests that are over.
    pub(crate) over: Vec<u64>,
    /// Ids under which it ever asked.
    pub(crate) ask_ids: BTreeSet<Ident>,
    pub(crate) asks_issued: u64,
    /// Questions by address that it may say are settled.
    pub(crate) by_address: Vec<Mark>,
    /// Resources of which it tells, and its log level; `None` where that is unclear.
    pub(crate) topics: BTreeMap<&'static str, Option<bool>>,
    pub(crate) level: Option<u8>,
}

/// A request that a server works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) minted: u64,
    pub(crate) mark: Option<Mark>,
    pub(crate) shape: Option<Shape>,
    pub(crate) has_token: bool,
    /// How far an honest server is with it.
    pub(crate) progress: u8,
    /// What it changes of what the server tells.
    pub(crate) change: Option<Change>,
}

/// What a request changes of what a server tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// Whether it tells of a resource.
    Topic(&'static str, bool),
    /// How severe a log message must be.
    Level(u8),
}

impl Change {
    fn of(frame: &Frame) -> Option<Self> {
        let Wired::Request { method, params, .. } = &frame.message else {
            return None;
        };
        let uri = params.uri.as_ref().and_then(|span| frame.text(span));
        let topic = uri.and_then(|uri| URIS.into_iter().find(|known| *known == uri));
        let level = params.level.as_ref().and_then(|span| frame.text(span));
        let level = level.and_then(|level| LEVELS.into_iter().position(|known| known == level));
        match method.name() {
            "resources/subscribe" => topic.map(|topic| Change::Topic(topic, true)),
            "resources/unsubscribe" => topic.map(|topic| Change::Topic(topic, false)),
            "logging/setLevel" => level
                .and_then(|level| u8::try_from(level).ok())
                .map(Change::Level),
            _other => None,
        }
    }
}

/// What a server asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) id: Ident,
    pub(crate) about: Option<Mark>,
}

/// Something on its way from a server.
#[derive(Debug)]
pub(crate) enum Output {
    /// A line, and the messages on it.
    Line {
        bytes: Bytes,
        messages: Vec<Message>,
    },
    /// The beginning of a line that never ends.
    Half(Bytes),
    /// A line on standard error.
    Complaint(String),
    /// The end of its process.
    Exit(Exit),
}

impl Peer {
    /// A process that is being started.
    pub(crate) fn new(message_bytes: usize, stamps: &Stamps) -> Self {
        Peer {
            process: Process::Starting,
            never_ran: false,
            inbox: Queue::new(stamps),
            inbox_bytes: 0,
            is_blocked: false,
            outbox: Queue::new(stamps),
            splitter: LineSplitter::new(message_bytes),
            is_hung: false,
            hello: None,
            is_greeted: false,
            works: Vec::new(),
            asked: Vec::new(),
            over: Vec::new(),
            ask_ids: BTreeSet::new(),
            asks_issued: 0,
            by_address: Vec::new(),
            topics: BTreeMap::new(),
            level: None,
        }
    }

    /// It has heard of a change, or has failed to make it: then nobody knows.
    pub(crate) fn change(&mut self, change: Option<Change>, is_clear: bool) {
        match change {
            Some(Change::Topic(topic, tells)) => {
                self.topics.insert(topic, is_clear.then_some(tells));
            }
            Some(Change::Level(level)) => self.level = is_clear.then_some(level),
            None => {}
        }
    }

    /// Whether its process still writes.
    pub(crate) fn is_alive(&self) -> bool {
        let has_exited = self
            .outbox
            .iter()
            .any(|output| matches!(output, Output::Exit(_)));
        matches!(self.process, Process::Running | Process::Stopping) && !has_exited
    }
}

impl Peer {
    /// It reads something, and remembers what it is to do about it.
    pub(crate) fn read(&mut self, frame: &Outgoing, model: &Model) {
        let Ok(frame) = Frame::parse(frame.to_vec().into()) else {
            return;
        };
        let text = String::from_utf8_lossy(&frame.unchanged().to_vec()).into_owned();
        let mark = mark_of(&text);
        match &frame.message {
            Wired::Request {
                id,
                method: Method::Initialize,
                ..
            } => self.hello = id.as_number(),
            Wired::Request { id, params, .. } => {
                let change = Change::of(&frame);
                // It does what it is told in the order in which it hears it, whenever it answers.
                self.change(change, true);
                self.works.push(Work {
                    minted: id.as_number().unwrap_or_default(),
                    mark,
                    shape: mark.and_then(|mark| Some(model.said.get(mark.number)?.message.shape)),
                    has_token: params.meta_token.is_some(),
                    progress: 0,
                    change,
                });
            }
            Wired::Notification {
                method: Method::Cancelled,
                params,
            } => {
                let minted = params
                    .request_id
                    .as_ref()
                    .and_then(|(id, _)| id.as_number());
                let dropped = self
                    .works
                    .extract_if(.., |work| Some(work.minted) == minted);
                let marks: Vec<_> = dropped.filter_map(|work| work.mark).collect();
                self.over.extend(minted);
                // It no longer wants to know; whoever was asked has heard of it.
                self.asked
                    .iter_mut()
                    .filter(|question| question.about.is_some_and(|about| marks.contains(&about)))
                    .for_each(|question| question.about = None);
            }
            Wired::Notification { .. } => {}
            Wired::Response { id, .. } => {
                if let Some(at) = self
                    .asked
                    .iter()
                    .rposition(|question| question.id.id() == *id)
                {
                    self.asked.remove(at);
                }
            }
        }
    }
}

impl Client {
    /// A client that has come.
    pub(crate) fn new(id: SessionId, message_bytes: usize, stamps: &Stamps) -> Self {
        Client {
            id,
            lines: 0,
            splitter: LineSplitter::new(message_bytes),
            up: Queue::new(stamps),
            down: Queue::new(stamps),
            down_bytes: 0,
            is_stalled: false,
            is_paused: false,
            is_blocked: false,
            has_ended: false,
            is_closed: false,
            has_said_hello: false,
            open: Vec::new(),
            asked: Vec::new(),
            batches: 0,
        }
    }

    /// It reads something, and remembers what it was asked.
    pub(crate) fn read(&mut self, frame: &Outgoing) {
        let text = frame.to_vec();
        let frames = Frame::parse_batch(&text.clone().into(), usize::MAX)
            .unwrap_or_else(|| vec![Frame::parse(text.into())]);
        for frame in frames.into_iter().flatten() {
            match &frame.message {
                Wired::Request { id, params, .. } => {
                    let token = params
                        .meta_token
                        .as_ref()
                        .and_then(|(token, _)| token.as_number());
                    self.asked
                        .extend(id.as_number().map(|shown| (shown, token.is_some())));
                }
                Wired::Notification {
                    method: Method::Cancelled,
                    params,
                } => {
                    let shown = params
                        .request_id
                        .as_ref()
                        .and_then(|(id, _)| id.as_number());
                    self.asked.retain(|(known, _)| Some(*known) != shown);
                }
                Wired::Notification { .. } => {}
                Wired::Response { id, error, .. } => {
                    let at = self.open.iter().position(|message| message.id.id() == *id);
                    if let Some(message) = at.map(|at| self.open.remove(at)) {
                        // Once refused, it may try again.
                        self.has_said_hello &= !message.is_hello() || error.is_none();
                    }
                }
            }
        }
    }

    /// Whether its client may still say something.
    pub(crate) fn can_speak(&self) -> bool {
        !self.has_ended && !self.is_closed
    }
}
