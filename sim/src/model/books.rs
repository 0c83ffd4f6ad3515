//! What the model writes down, and how it is looked up. Nothing here decides anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mux::{Limits, LineNumber, Moment, SessionId, UpstreamId};
use wire::{Named, RequestId};

use crate::{
    payload::{self, Ident, LEVELS, Mark, Message, Owner, Shape},
    peers::{Key, Process},
    wish::Wish,
};

/// Everything that we expect.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    pub(crate) now: Moment,
    /// Counts the events.
    pub(crate) tick: u64,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) servers: BTreeMap<UpstreamId, Server>,
    /// What was said, by the number of its mark.
    pub(crate) said: Vec<Said>,
    /// What must come of the event that is being handled.
    pub(crate) due: Vec<Due>,
    /// What a server has asked just now.
    pub(crate) asking: Option<(UpstreamId, RequestId)>,
    /// Requests that servers were told to cancel just now.
    pub(crate) abandoned: Vec<(UpstreamId, u64)>,
    /// Servers that declared what cannot be shared.
    pub(crate) private: BTreeSet<(&'static str, Option<Arc<str>>)>,
    /// What clients have told that may not have reached a server yet, by the number of its mark.
    pub(crate) told: Vec<usize>,
    /// What the core was told of the bytes that wait on the links.
    pub(crate) buffered: usize,
    pub(crate) is_shutting_down: bool,
}

/// Most bytes that are kept besides what a request is: our id and token in place of its own, and what
/// answers it as long as the rest of its batch is not answered.
const BESIDES: (usize, usize) = (64, 1024);

/// What is remembered of a message counts towards the bytes of its session.
const MESSAGE_COST: usize = 512;

/// How much waits, in messages and bytes. Never less than there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Messages that a server has not been given.
    pub(crate) messages: usize,
    /// Bytes of those, and of what is kept while a server works on it.
    pub(crate) bytes: usize,
    /// How many these bytes are of.
    pub(crate) kept: usize,
}

/// One message and its fate.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) message: Message,
    pub(crate) audience: Audience,
    /// The id and the token under which it must arrive, where they are known.
    pub(crate) id: Ident,
    pub(crate) token: Ident,
    /// The request that it answers.
    pub(crate) answers: Option<Mark>,
    /// Whom it was put to and by which server, until that is settled.
    pub(crate) put_to: Option<(SessionId, UpstreamId)>,
    /// Since when its server is to hear it, unless there is an excuse.
    pub(crate) since: Option<u64>,
}

/// Who may hear a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Nobody,
    /// The server of the session that said it, once.
    ItsServer,
    /// This server, once.
    Server(UpstreamId),
    /// This session, once.
    Session(SessionId),
    /// Any one session of this server, once: nobody knows whose business it is.
    Anyone(UpstreamId),
    /// Each session of this server.
    Sharers(UpstreamId),
    /// Each of these, once.
    Each(BTreeSet<SessionId>),
}

/// Something that must happen at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A server hears that nobody waits for a request.
    Cancel(UpstreamId, u64),
    /// A session hears a message.
    Hear(SessionId, usize),
    /// A request is answered, whatever with.
    Answered(SessionId, RequestId),
    /// A request under an id in use is refused.
    InUse(SessionId, RequestId),
    /// A line that is no message is refused.
    Malformed(SessionId, Option<RequestId>),
    /// An ask of a server is answered.
    AskAnswered(UpstreamId, RequestId),
    /// An ask of a server, of which it is clear whom it is for, is put to it or refused.
    Decided(UpstreamId, usize),
    /// A server hears a message of a client's.
    Relayed(UpstreamId, usize),
    /// A client hears that it need not answer.
    Withdrawn(SessionId, u64),
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: Key,
    /// What its client can do, by place in the list of classes.
    pub(crate) declared: u8,
    pub(crate) upstream: Option<UpstreamId>,
    /// Whether its `initialize` has been answered.
    pub(crate) is_served: bool,
    /// The version that it was answered in.
    pub(crate) spoken: Option<&'static str>,
    /// What its server declared when it came, by place in the list of that.
    pub(crate) promised: Option<u8>,
    pub(crate) owed: BTreeMap<RequestId, Owed>,
    /// Whether it has been told of the line that it is in the middle of, and if so, whether as an answer.
    pub(crate) overrun: Option<bool>,
    /// What it was asked by whom and has not answered, by the id that it was shown.
    pub(crate) asked: BTreeMap<u64, (UpstreamId, Message)>,
    pub(crate) shown_last: u64,
    pub(crate) topics: BTreeMap<&'static str, Wish<bool>>,
    pub(crate) level: Wish<u8>,
    /// Its lines that are not done, and how far each is.
    pub(crate) lines: BTreeMap<LineNumber, Line>,
    pub(crate) keeps: bool,
    /// Changes of lists that it has not heard of: those it may hear, and whether it must.
    pub(crate) news: [(u32, bool); 3],
    pub(crate) ending_since: Option<Moment>,
    pub(crate) cut_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It has arrived.
    Said,
    /// Its shim is told that it waits. So many announcements of before are still on their way.
    Held(u32),
    /// Its shim is told that it goes, and has not heard of so many announcements.
    Announcing(u32),
    /// Its shim has heard that it goes.
    Announced,
    /// It has been answered, and stays for the next daemon.
    Kept,
}

impl Line {
    /// An announcement has reached the shim; the last one counts.
    pub(crate) fn announced(&mut self) {
        *self = match *self {
            Line::Held(left) => Line::Held(left.saturating_sub(1)),
            Line::Announcing(left) if left > 1 => Line::Announcing(left - 1),
            Line::Announcing(_) => Line::Announced,
            other @ (Line::Said | Line::Announced | Line::Kept) => other,
        };
    }
}

/// A request that has no answer yet.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Owed {
    pub(crate) message: Message,
    pub(crate) line: LineNumber,
    pub(crate) in_batch: bool,
    pub(crate) since: Moment,
    pub(crate) tick: u64,
    /// Where it was written last, and how often in all.
    pub(crate) minted: Option<(UpstreamId, u64)>,
    pub(crate) writes: u32,
    /// There was no room for it. One of a batch says so with all others of it.
    pub(crate) is_too_much: bool,
    /// Its answer came and could not be used.
    pub(crate) is_spoilt: bool,
    /// It is in a batch, and answered or cancelled there.
    pub(crate) is_over: bool,
    /// Nobody waits for it any more.
    pub(crate) is_cancelled: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) key: Option<Key>,
    pub(crate) process: Process,
    /// Whether it has said what it is.
    pub(crate) is_greeted: bool,
    /// What the last process that did said of itself.
    pub(crate) handshake: Option<Message>,
    /// Since when it has served without a break.
    pub(crate) whole_since: Option<u64>,
    /// Whether the core was told that it does not read.
    pub(crate) is_blocked: bool,
    pub(crate) initialized: u32,
    /// Sessions whose requests its process has seen.
    pub(crate) users: BTreeSet<SessionId>,
    pub(crate) sent: BTreeMap<u64, Sent>,
    /// The numbers of what it asked and has no answer to.
    pub(crate) asks: BTreeMap<RequestId, Vec<usize>>,
}

/// A request that a process was given.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Of a session, unless it is the pooler's own.
    pub(crate) claim: Option<(SessionId, Mark)>,
    pub(crate) shape: Option<Shape>,
    pub(crate) cancelled: Option<Moment>,
    /// Answered, or gone with its process.
    pub(crate) is_over: bool,
}

impl Model {
    /// A name for a message that is about to be said.
    pub(crate) fn describe(
        &mut self,
        owner: Owner,
        shape: Shape,
        about: Option<Mark>,
        id: Ident,
        token: Ident,
    ) -> Message {
        let number = self.said.len();
        let message = Message {
            shape,
            mark: Mark { owner, number },
            about,
            id,
            token,
        };
        self.said.push(Said {
            message,
            audience: Audience::Nobody,
            id,
            token,
            answers: None,
            put_to: None,
            since: None,
        });
        message
    }

    /// Writes down who may hear a message.
    pub(super) fn meant_for(&mut self, message: &Message, audience: Audience) -> &mut Said {
        if (message.shape, &audience) == (Shape::Told, &Audience::ItsServer) {
            self.told.push(message.mark.number);
        }
        let said = &mut self.said[message.mark.number];
        said.audience = audience;
        said
    }

    /// How much of a session waits.
    fn waiting_of(&self, id: SessionId, session: &Session) -> Waiting {
        let mut waiting = Waiting::default();
        for owed in session.owed.values() {
            let waits = owed.minted.is_none() && !owed.is_over && !owed.message.is_hello();
            let answer = if owed.in_batch { BESIDES.1 } else { 0 };
            waiting.messages += usize::from(waits);
            waiting.bytes += owed.message.render().len() + BESIDES.0 + answer;
            waiting.kept += 1 + usize::from(owed.in_batch);
        }
        let told = self.told.iter().map(|number| &self.said[*number]);
        let told = told.filter(|said| said.audience == Audience::ItsServer);
        for said in told.filter(|said| said.message.mark.owner == Owner::Session(id)) {
            waiting.messages += 1;
            waiting.bytes += said.message.render().len();
            waiting.kept += 1;
        }
        waiting
    }

    /// Whether so much waits in all, with what has come just now and this, that something may be refused.
    pub(crate) fn is_crowded(&self, more: usize) -> bool {
        let sessions = self.sessions.iter();
        let waiting: Vec<Waiting> = sessions.map(|(id, it)| self.waiting_of(*id, it)).collect();
        let asks = self.servers.values().flat_map(|it| it.asks.values());
        let asks = asks.flatten().filter_map(|number| self.said.get(*number));
        let asked: usize = asks.map(|said| said.message.render().len()).sum();
        let bytes: usize = waiting.iter().map(|waiting| waiting.bytes).sum();
        let messages: usize = waiting.iter().map(|waiting| waiting.messages).sum();
        messages > self.limits.waiting
            || bytes + asked + self.buffered + more > self.limits.buffered_bytes
    }

    /// Whether a session, which is heard because it is asked something, has said more than may wait.
    pub(crate) fn has_said_enough(&self, id: SessionId) -> bool {
        let session = self.sessions.get(&id).filter(|it| !it.asked.is_empty());
        session.is_some_and(|session| {
            let waiting = self.waiting_of(id, session);
            let bytes = waiting.bytes + waiting.kept * MESSAGE_COST;
            waiting.messages > self.limits.session_queue || bytes > self.limits.session_queue_bytes
        })
    }

    /// What was told and can wait no longer is not counted any more.
    pub(crate) fn forget_told(&mut self) {
        let (said, sessions, servers) = (&self.said, &self.sessions, &self.servers);
        self.told.retain(|number| {
            let Owner::Session(id) = said[*number].message.mark.owner else {
                return false;
            };
            let server = sessions.get(&id).and_then(|it| servers.get(&it.upstream?));
            let waits = server.is_some_and(|server| server.whole_since.is_none())
                || sessions.get(&id).is_some_and(Session::has_waiting);
            said[*number].audience == Audience::ItsServer && waits
        });
    }

    /// The request of a session that waits for the answer to what a server was given under this id.
    pub(super) fn owed_for(
        &mut self,
        session: SessionId,
        place: (UpstreamId, u64),
    ) -> Option<&mut Owed> {
        let mut owed = self.sessions.get_mut(&session)?.owed.values_mut();
        owed.find(|owed| owed.minted == Some(place) && !owed.is_over)
    }

    /// Whether a server of this route ever said that it cannot be shared.
    pub(crate) fn is_private(&self, key: &Key) -> bool {
        self.private.contains(&key.route())
    }

    /// Each topic of each session of a server, and whether it is wanted, as far as that is certain.
    pub(super) fn topics_at(&self, id: UpstreamId) -> Vec<(SessionId, &'static str, Option<bool>)> {
        let sessions = self.sessions.iter();
        let here = sessions.filter(|(_, session)| session.is_at(id));
        here.flat_map(|(session, known)| {
            let topics = known.topics.iter();
            topics.map(move |(topic, wish)| (*session, *topic, wish.now()))
        })
        .collect()
    }
}

/// The ids that a line at fault names, as far as they are known.
pub(super) fn ids_of(named: &Named) -> &[RequestId] {
    match named {
        Named::One(one) => std::slice::from_ref(one),
        Named::Several(several) => several,
        Named::Nobody | Named::Unknown => &[],
    }
}

impl Owed {
    /// A request that has just been made.
    pub(super) fn new(
        message: Message,
        (line, in_batch): (LineNumber, bool),
        (since, tick): (Moment, u64),
    ) -> Self {
        Owed {
            message,
            line,
            in_batch,
            since,
            tick,
            minted: None,
            writes: 0,
            is_too_much: false,
            is_spoilt: false,
            is_over: false,
            is_cancelled: false,
        }
    }
}

impl Server {
    /// What it was given last because of this call.
    pub(super) fn sent_for(&self, call: Mark) -> Option<&Sent> {
        let is_for = |sent: &&Sent| sent.claim.is_some_and(|(_, mark)| mark == call);
        self.sent.values().rfind(is_for)
    }

    /// It asks this.
    pub(super) fn ask(&mut self, id: RequestId, number: usize) {
        self.asks.entry(id).or_default().push(number);
    }

    /// It waits no longer for an answer to what it asked last under this id.
    pub(crate) fn unask(&mut self, id: &RequestId) -> Option<usize> {
        let last = self.asks.get_mut(id).and_then(Vec::pop);
        self.asks.retain(|_, asks| !asks.is_empty());
        last
    }

    /// Its process is gone, and with it all but what the process was given and what it said it is.
    pub(super) fn end(&mut self) {
        let mut sent = std::mem::take(&mut self.sent);
        for sent in sent.values_mut() {
            sent.is_over = true;
        }
        *self = Server {
            key: self.key.take(),
            handshake: self.handshake,
            sent,
            ..Server::default()
        };
    }
}

impl Session {
    /// A session that has said nothing yet.
    pub(crate) fn new(key: Key, keeps: bool) -> Self {
        Session {
            key,
            declared: 0,
            upstream: None,
            is_served: false,
            spoken: None,
            promised: None,
            owed: BTreeMap::new(),
            asked: BTreeMap::new(),
            shown_last: 0,
            topics: BTreeMap::new(),
            level: Wish::default(),
            lines: BTreeMap::new(),
            keeps,
            news: [(0, false); 3],
            ending_since: None,
            overrun: None,
            cut_at: None,
        }
    }

    /// Whether a request of it has not reached a server.
    pub(crate) fn has_waiting(&self) -> bool {
        let mut owed = self.owed.values();
        owed.any(|owed| owed.minted.is_none() && !owed.is_over)
    }

    /// Topics that it may be subscribed to.
    pub(crate) fn topics_at_most(&self) -> usize {
        let topics = self.topics.values();
        topics.filter(|wish| wish.now() != Some(false)).count()
    }

    /// Whether it waits for the answer to its `initialize`.
    pub(super) fn has_said_hello(&self) -> bool {
        self.owed.values().any(|owed| owed.message.is_hello())
    }

    /// Whether it is served by this server.
    pub(crate) fn is_at(&self, upstream: UpstreamId) -> bool {
        self.is_served && self.upstream == Some(upstream)
    }

    /// Changes what we know of the wish that a request is about, if it is about one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn wish(
        &mut self,
        shape: Shape,
        topic: impl FnOnce(&mut Wish<bool>),
        level: impl FnOnce(&mut Wish<u8>),
    ) {
        match shape {
            Shape::Subscribe(at) | Shape::Unsubscribe(at) => topic(
                self.topics
                    .entry(payload::uri(at))
                    .or_insert(Wish::of(false)),
            ),
            Shape::SetLevel(at) if usize::from(at) < LEVELS.len() => level(&mut self.level),
            _other => {}
        }
    }
}
