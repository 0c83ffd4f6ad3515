//! What we expect: who is owed what, who may hear what, what each server has seen.
//!
//! The model knows the protocol and what scripted peers mean, not how the core goes about it. It is
//! told what reaches the core before the core is; what the core does is held against it in
//! [`crate::invariants`].
//!
//! **Invariant:** every message that was ever said has one entry that says who may hear it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mux::{Fact, Limits, LineNumber, Moment, SessionId, UpstreamId};
use wire::{About, Fault, Named, Purpose, RequestId};

use crate::{
    payload::{self, DECLARED, Ident, LEVELS, Mark, Message, Owner, Shape},
    peers::{Key, Process},
    wish::Wish,
};

/// Everything that we expect.
#[derive(Debug)]
pub struct Model {
    pub limits: Limits,
    pub now: Moment,
    /// Counts the events.
    pub tick: u64,
    pub sessions: BTreeMap<SessionId, Session>,
    pub servers: BTreeMap<UpstreamId, Server>,
    /// What was said, by the number of its mark.
    pub said: Vec<Said>,
    /// What must come of the event that is being handled.
    pub due: Vec<Due>,
    /// Requests that servers were told to cancel just now.
    pub abandoned: Vec<(UpstreamId, u64)>,
    /// Servers that declared what cannot be shared.
    pub private: BTreeSet<(&'static str, Option<Arc<str>>)>,
    pub is_shutting_down: bool,
}

/// One message and its fate.
#[derive(Debug)]
pub struct Said {
    pub message: Message,
    pub audience: Audience,
    /// The id and the token under which it must arrive, where they are known.
    pub id: Ident,
    pub token: Ident,
    /// The request that it answers.
    pub answers: Option<Mark>,
}

/// Who may hear a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
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
pub enum Due {
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
    /// A client hears that it need not answer.
    Withdrawn(SessionId, u64),
}

#[derive(Debug)]
pub struct Session {
    pub key: Key,
    pub upstream: Option<UpstreamId>,
    /// Whether its `initialize` has been answered.
    pub is_served: bool,
    /// The version that it asked for, and the one that it was answered in.
    pub version: u8,
    pub spoken: Option<&'static str>,
    /// What its server declared when it came, by place in the list of that.
    pub promised: Option<u8>,
    pub owed: BTreeMap<RequestId, Owed>,
    /// What it was asked, by the id that it was shown.
    pub asked: BTreeMap<u64, (UpstreamId, RequestId, Ident)>,
    pub shown_last: u64,
    pub topics: BTreeMap<&'static str, Wish<bool>>,
    pub level: Wish<u8>,
    /// Its lines that are not done, and how far each is.
    pub lines: BTreeMap<LineNumber, Line>,
    pub keeps: bool,
    /// Changes of lists that it has not heard of: those it may hear, and whether it must.
    pub news: [(u32, bool); 3],
    pub ending_since: Option<Moment>,
    pub cut_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It has arrived.
    Said,
    /// Its shim is told that it waits. So many announcements of before are still on their way.
    Held(u32),
    /// Its shim is told that it goes, and has not heard of so many announcements.
    Announcing(u32),
    /// Its shim has heard that it goes.
    Announced,
}

impl Line {
    /// An announcement has reached the shim; the last one counts.
    pub fn announced(&mut self) {
        *self = match *self {
            Line::Held(left) => Line::Held(left.saturating_sub(1)),
            Line::Announcing(left) if left > 1 => Line::Announcing(left - 1),
            Line::Announcing(_) => Line::Announced,
            other => other,
        };
    }
}

/// A request that has no answer yet.
#[derive(Debug)]
pub struct Owed {
    pub message: Message,
    pub line: LineNumber,
    pub in_batch: bool,
    pub since: Moment,
    pub tick: u64,
    /// Where it was written last, and how often in all.
    pub minted: Option<(UpstreamId, u64)>,
    pub writes: u32,
    /// Its answer came and could not be used.
    pub is_spoilt: bool,
    /// It is in a batch, and answered or cancelled there.
    pub is_over: bool,
}

#[derive(Debug, Default)]
pub struct Server {
    pub key: Option<Key>,
    pub process: Process,
    /// What it said of itself, once it has.
    pub greeting: Option<Message>,
    /// The same, of the last process that did.
    pub handshake: Option<Message>,
    /// Since when it has served without a break.
    pub whole_since: Option<u64>,
    pub hellos: u32,
    pub initialized: u32,
    pub sent: BTreeMap<u64, Sent>,
    /// What it asked and has no answer to, and whom that was put to.
    pub asks: BTreeMap<RequestId, Vec<(usize, Option<(SessionId, u64)>)>>,
    /// Questions by address, and whom they were put to.
    pub questions: BTreeMap<usize, SessionId>,
}

/// A request that a process was given.
#[derive(Debug)]
pub struct Sent {
    /// Of a session, unless it is the pooler's own.
    pub claim: Option<(SessionId, Mark)>,
    pub shape: Option<Shape>,
    pub cancelled: Option<Moment>,
    /// Answered, or gone with its process.
    pub is_over: bool,
}

impl Model {
    /// A name for a message that is about to be said.
    pub fn describe(&mut self, owner: Owner, shape: Shape, about: Option<Mark>, id: Ident, token: Ident) -> Message {
        let number = self.said.len();
        let message = Message { shape, mark: Mark { owner, number }, about, id, token };
        self.said.push(Said { message, audience: Audience::Nobody, id, token, answers: None });
        message
    }

    fn meant_for(&mut self, message: &Message, audience: Audience) -> &mut Said {
        let said = &mut self.said[message.mark.number];
        said.audience = audience;
        said
    }

    /// Something of a client is about to reach the core.
    pub fn from_client(&mut self, id: SessionId, line: LineNumber, message: &Message, in_batch: bool) {
        let (now, tick) = (self.now, self.tick);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match message.shape {
            Shape::Cancelled => self.cancelled(id, message),
            Shape::Told => drop(self.meant_for(message, Audience::ItsServer)),
            Shape::Initialized | Shape::RootsChanged => {}
            Shape::Progress => {
                let asked = message.token.number().and_then(|shown| session.asked.get(&shown));
                if let Some((upstream, _, token)) = asked.cloned().filter(|(.., token)| *token != Ident::None) {
                    self.meant_for(message, Audience::Server(upstream)).token = token;
                }
            }
            Shape::Result | Shape::Error => {
                let asked = message.id.number().and_then(|shown| session.asked.remove(&shown));
                if let Some((upstream, ask, _)) = asked {
                    let own = self.servers[&upstream].asks[&ask][0].0;
                    let own = self.said[own].message.id;
                    self.meant_for(message, Audience::Server(upstream)).id = own;
                    self.due.push(Due::AskAnswered(upstream, ask));
                }
            }
            _request => {
                let Some(key) = message.id.id() else { return };
                if session.owed.contains_key(&key) {
                    self.due.push(Due::InUse(id, key));
                    return;
                }
                let is_first = !session.is_served && !session.owed.values().any(|owed| owed.message.is_hello());
                if let (Shape::Hello { version, class }, true) = (message.shape, is_first) {
                    (session.version, session.key.class) = (version, session.key.fixed_class.unwrap_or(class));
                }
                session.wish(message.shape, |wish| wish.begin(), |wish| wish.begin());
                let owed = Owed {
                    message: *message, line, in_batch, since: now, tick,
                    minted: None, writes: 0, is_spoilt: false, is_over: false,
                };
                session.owed.insert(key, owed);
                self.meant_for(message, Audience::ItsServer);
            }
        }
    }

    fn cancelled(&mut self, id: SessionId, message: &Message) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(key) = message.id.id() else { return };
        let Some(owed) = session.owed.get_mut(&key).filter(|owed| !owed.message.is_hello()) else { return };
        let (minted, shape) = (owed.minted, owed.message.shape);
        if owed.in_batch {
            // It may have been answered already, together with others that have not.
            if std::mem::replace(&mut owed.is_over, true) { return }
        } else {
            session.owed.remove(&key);
        }
        session.wish(shape, Wish::lose, Wish::lose);
        if let Some((upstream, minted)) = minted {
            self.meant_for(message, Audience::Server(upstream)).id = Ident::Number(minted);
            self.due.push(Due::Cancel(upstream, minted));
        }
    }

    /// A line of a client that is no message is about to reach the core.
    pub fn client_fault(&mut self, id: SessionId, fault: &Fault, in_batch: bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let About { named, purpose } = fault.about();
        let is_answer = matches!(purpose, Purpose::Answer | Purpose::Either);
        let ids = match named {
            Named::One(one) => std::slice::from_ref(one),
            Named::Several(several) => several,
            Named::Nobody | Named::Unknown => &[],
        };
        if *purpose == Purpose::Answer && !ids.is_empty() {
            // Nobody waits for a word about it but the server.
        } else if !in_batch {
            let named = fault.id().filter(|named| !session.owed.contains_key(named));
            self.due.push(Due::Malformed(id, named.cloned()));
        }
        if is_answer && *named == Named::Unknown {
            self.deaf(id);
        } else if is_answer {
            let asked = ids.iter().filter_map(|shown| session.asked.remove(&shown.as_number()?));
            self.due.extend(asked.map(|(upstream, ask, _)| Due::AskAnswered(upstream, ask)));
        }
    }

    /// A session can answer nothing more: it says so, or does not read.
    pub fn deaf(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        for (upstream, ask, _) in std::mem::take(&mut session.asked).into_values() {
            self.due.push(Due::AskAnswered(upstream, ask));
        }
    }

    /// A session was cut: all that it is owed ends now.
    pub fn cut(&mut self, id: SessionId) {
        self.deaf(id);
        let tick = self.tick;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.cut_at = Some(tick + 1);
        let owed = session.owed.iter().filter(|(_, owed)| !owed.in_batch);
        self.due.extend(owed.map(|(key, _)| Due::Answered(id, key.clone())));
    }

    /// A session is gone, by its own wish or the core's.
    pub fn gone(&mut self, id: SessionId) {
        self.deaf(id);
        let Some(session) = self.sessions.remove(&id) else { return };
        for owed in session.owed.values().filter(|owed| !owed.is_over) {
            let Some((upstream, minted)) = owed.minted else { continue };
            if self.servers[&upstream].process == Process::Running {
                self.due.push(Due::Cancel(upstream, minted));
            }
        }
    }

    /// Something of a server is about to reach the core.
    pub fn from_server(&mut self, id: UpstreamId, message: &Message) {
        let is_ready = self.servers[&id].greeting.is_some();
        let audience = match message.shape {
            Shape::Greeting { .. } | Shape::Result | Shape::Error | Shape::UrlError => return self.answered(id, message),
            Shape::Ping | Shape::Roots | Shape::Sampling { .. } | Shape::Elicit { .. } | Shape::Inquiry => return self.asks(id, message),
            Shape::Cancelled => return self.withdraws(id, message),
            _early if !is_ready => Audience::Nobody,
            Shape::Progress => return self.progresses(id, message),
            Shape::Log(_) => self.cause(id, message),
            Shape::Told => self.cause(id, message),
            Shape::ListChanged(list) => {
                for session in self.sessions.values_mut().filter(|session| session.is_at(id)) {
                    let (may, must) = &mut session.news[usize::from(list)];
                    (*may, *must) = (*may + 1, true);
                }
                Audience::Sharers(id)
            }
            Shape::Updated(at) => self.subscribers(id, message, payload::uri(at)),
            Shape::Settled => {
                let question = message.about.map_or(usize::MAX, |question| question.number);
                let asked = self.servers.get_mut(&id).and_then(|server| server.questions.remove(&question));
                asked.map_or(Audience::Nobody, Audience::Session)
            }
            _never_said => Audience::Nobody,
        };
        self.meant_for(message, audience);
    }

    /// Whose business it is what a server says because of a call.
    pub fn cause(&self, id: UpstreamId, message: &Message) -> Audience {
        let Some(cause) = message.about else { return Audience::Anyone(id) };
        let call = self.servers[&id].sent.values().rfind(|sent| sent.claim.is_some_and(|(_, mark)| mark == cause));
        let ghost_life = self.limits.ghost_life;
        // A server that goes on for long after it was told not to lies about the cause.
        let is_true = call.filter(|call| call.shape.is_some_and(Shape::is_askable) && !call.is_over)
            .is_some_and(|call| call.cancelled.is_none_or(|since| self.now < since + ghost_life));
        match cause.owner {
            Owner::Session(session) if is_true => Audience::Session(session),
            Owner::Session(_) | Owner::Server(_) => Audience::Anyone(id),
        }
    }

    fn answered(&mut self, id: UpstreamId, message: &Message) {
        let tick = self.tick;
        let Some(server) = self.servers.get_mut(&id) else { return };
        let Some(minted) = message.id.number() else { return };
        let Some(sent) = server.sent.get_mut(&minted).filter(|sent| !sent.is_over) else { return };
        sent.is_over = true;
        if sent.shape.is_some_and(|shape| matches!(shape, Shape::Hello { .. })) {
            if let (Shape::Greeting { declares, .. }, Process::Running) = (message.shape, server.process) {
                if DECLARED[usize::from(declares)].contains("tasks") {
                    self.private.extend(server.key.as_ref().map(Key::route));
                }
                let promised = self.sessions.values_mut().filter(|session| session.is_at(id));
                for session in promised {
                    // Another process may have other lists.
                    session.news.iter_mut().for_each(|(may, _)| *may += 1);
                    session.news[0].1 |= session.promised == Some(0);
                }
                (server.greeting, server.handshake, server.whole_since) = (Some(*message), Some(*message), Some(tick));
            }
            return;
        }
        let Some((session_id, request)) = sent.claim.filter(|_| sent.cancelled.is_none()) else { return };
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let Some(owed) = session.owed.values_mut().find(|owed| owed.message.mark == request) else { return };
        if owed.minted != Some((id, minted)) || owed.is_over { return }
        owed.is_over = owed.in_batch;
        let (own_id, in_batch) = (owed.message.id, owed.in_batch);
        if message.shape == Shape::UrlError {
            server.questions.insert(message.mark.number, session_id);
        }
        let said = self.meant_for(message, Audience::Session(session_id));
        (said.id, said.answers) = (own_id, Some(request));
        if !in_batch {
            self.due.push(Due::Hear(session_id, message.mark.number));
        }
    }

    fn asks(&mut self, id: UpstreamId, message: &Message) {
        let Some(key) = message.id.id() else { return };
        let server = &self.servers[&id];
        let is_new = !server.asks.contains_key(&key) && server.greeting.is_some();
        let audience = match message.shape {
            Shape::Sampling { .. } | Shape::Elicit { .. } | Shape::Inquiry if is_new => self.cause(id, message),
            _answered_at_once => Audience::Nobody,
        };
        if audience == Audience::Nobody {
            self.due.push(Due::AskAnswered(id, key.clone()));
        }
        let asks = self.servers.get_mut(&id).map(|server| server.asks.entry(key).or_default());
        asks.into_iter().for_each(|asks| asks.push((message.mark.number, None)));
        self.meant_for(message, audience);
    }

    fn withdraws(&mut self, id: UpstreamId, message: &Message) {
        let Some(server) = self.servers.get_mut(&id).filter(|server| server.greeting.is_some()) else { return };
        let asks = message.id.id().and_then(|key| server.asks.remove(&key)).unwrap_or_default();
        for (asked, (session_id, shown)) in asks.into_iter().filter_map(|(asked, shown)| Some((asked, shown?))) {
            if let Some(session) = self.sessions.get_mut(&session_id) && session.asked.remove(&shown).is_some() {
                self.said[asked].audience = Audience::Nobody;
                self.meant_for(message, Audience::Session(session_id)).id = Ident::Number(shown);
                self.due.push(Due::Hear(session_id, message.mark.number));
            }
        }
    }

    fn progresses(&mut self, id: UpstreamId, message: &Message) {
        let sent = message.token.number().and_then(|minted| Some((minted, self.servers[&id].sent.get(&minted)?)));
        let Some((minted, sent)) = sent.filter(|(_, sent)| !sent.is_over && sent.cancelled.is_none()) else { return };
        let Some((session_id, request)) = sent.claim else { return };
        let Some(session) = self.sessions.get(&session_id) else { return };
        let owed = session.owed.values().find(|owed| owed.message.mark == request && owed.minted == Some((id, minted)));
        if let Some(owed) = owed.filter(|owed| owed.message.token != Ident::None && !owed.is_over) {
            let token = owed.message.token;
            self.meant_for(message, Audience::Session(session_id)).token = token;
            self.due.push(Due::Hear(session_id, message.mark.number));
        }
    }

    fn subscribers(&mut self, id: UpstreamId, message: &Message, uri: &str) -> Audience {
        let here = || self.sessions.iter().filter(|(_, session)| session.is_at(id));
        let wants = |session: &Session, uri: &str| session.topics.get(uri).map_or(Some(false), Wish::now);
        let is_exact = here().any(|(_, session)| wants(session, uri) != Some(false));
        let (mut may, mut must) = (BTreeSet::new(), Vec::new());
        for (session_id, session) in here() {
            for whole in session.topics.keys() {
                // A server may name a part of what was subscribed to.
                let is_part = uri.strip_prefix(whole).is_some_and(|rest| rest.starts_with('/'));
                let certain = wants(session, whole).filter(|_| *whole == uri || (is_part && !is_exact));
                if (*whole == uri || is_part) && wants(session, whole) != Some(false) {
                    may.insert(*session_id);
                    must.extend(certain.filter(|certain| *certain).map(|_| Due::Hear(*session_id, message.mark.number)));
                }
            }
        }
        must.dedup();
        self.due.extend(must);
        Audience::Each(may)
    }

    /// A line of a server that is no message is about to reach the core.
    pub fn server_fault(&mut self, id: UpstreamId, fault: &Fault) {
        let about = fault.about();
        let Some(server) = self.servers.get_mut(&id) else { return };
        match (about.purpose, fault.id()) {
            (Purpose::Noise, _) | (Purpose::Question, None) => {}
            (Purpose::Question, Some(named)) => {
                server.asks.entry(named.clone()).or_default().push((usize::MAX, None));
                self.due.push(Due::AskAnswered(id, named.clone()));
            }
            (Purpose::Answer | Purpose::Either, named) => {
                let hit = |minted: u64| match &about.named {
                    Named::Nobody => false,
                    Named::One(one) => one.as_number() == Some(minted),
                    Named::Several(several) => several.iter().any(|one| one.as_number() == Some(minted)),
                    Named::Unknown => true,
                };
                let owed = self.sessions.values_mut().flat_map(|session| session.owed.values_mut());
                for owed in owed.filter(|owed| owed.minted.is_some_and(|(at, minted)| at == id && hit(minted))) {
                    (owed.is_spoilt, owed.is_over) = (true, owed.in_batch);
                }
                let sent = named.and_then(|named| server.sent.get_mut(&named.as_number()?));
                sent.into_iter().for_each(|sent| sent.is_over = true);
            }
        }
    }

    /// A process is gone. What it was given and may not be given twice is answered now.
    pub fn exited(&mut self, id: UpstreamId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let sent = std::mem::take(&mut server.sent);
        let over = sent.into_iter().map(|(minted, sent)| (minted, Sent { is_over: true, ..sent }));
        let (key, handshake) = (server.key.take(), server.handshake);
        *server = Server { key, handshake, sent: over.collect(), ..Server::default() };
        for (session_id, session) in &mut self.sessions {
            for shown in session.asked.extract_if(.., |_, (at, ..)| *at == id).map(|(shown, _)| shown) {
                self.due.push(Due::Withdrawn(*session_id, shown));
            }
            for (key, owed) in &mut session.owed {
                if owed.minted.is_some_and(|(at, _)| at == id) {
                    owed.minted = None;
                    if !owed.in_batch && !(owed.message.shape.is_read_only() && owed.writes < 2) {
                        self.due.push(Due::Answered(*session_id, key.clone()));
                    }
                }
            }
        }
    }

    /// Whether a server of this route ever said that it cannot be shared.
    pub fn is_private(&self, key: &Key) -> bool {
        self.private.contains(&key.route())
    }

    /// What the core says of where sessions went.
    pub fn fact(&mut self, fact: &Fact) {
        if let Fact::SessionRouted { session, upstream } = fact {
            let session = self.sessions.get_mut(session);
            session.into_iter().for_each(|session| session.upstream = Some(*upstream));
        }
    }
}

impl Session {
    /// A session that has said nothing yet.
    pub fn new(key: Key, keeps: bool) -> Self {
        Session {
            key,
            upstream: None,
            is_served: false,
            version: 0,
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
            cut_at: None,
        }
    }

    /// Whether it is served by this server.
    pub fn is_at(&self, upstream: UpstreamId) -> bool {
        self.is_served && self.upstream == Some(upstream)
    }

    /// Changes what we know of the wish that a request is about, if it is about one.
    pub fn wish(&mut self, shape: Shape, topic: impl FnOnce(&mut Wish<bool>), level: impl FnOnce(&mut Wish<u8>)) {
        match shape {
            Shape::Subscribe(at) | Shape::Unsubscribe(at) => topic(self.topics.entry(payload::uri(at)).or_insert(Wish::of(false))),
            Shape::SetLevel(at) if usize::from(at) < LEVELS.len() => level(&mut self.level),
            _other => {}
        }
    }
}
