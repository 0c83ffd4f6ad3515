//! Clients, as they see themselves: what they have read, and what they say.

use std::collections::VecDeque;

use bytes::Bytes;
use mux::{Era, Event, Refusal, SessionId};
use wire::{Frame, Message};

use super::{
    words::{self, Back, Request, Shape},
    world::World,
};
use crate::{payload::Owner, world::Held};

/// How often in a row a client comes back without an answer that dallies: more often than it is asked again.
const DALLIES: usize = 10;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// With a handshake.
    Legacy,
    /// Without, on a link that stays.
    Modern,
    /// Without, by one request that is a session of its own.
    Post,
    /// It asks `server/discover`, and says `initialize` after all.
    Probe,
}

/// A client and what it knows.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub(super) struct Client {
    pub(super) id: SessionId,
    pub(super) nature: Nature,
    class: u8,
    pub(super) down: VecDeque<Bytes>,
    pub(super) lines: u64,
    ids: u64,
    pub(super) is_greeted: bool,
    pub(super) has_said_hello: bool,
    /// Whether it is a post that has asked.
    has_asked: bool,
    has_ended: bool,
    pub(super) is_closed: bool,
    pub(super) is_paused: bool,
    /// Whether it does not read, and the core knows.
    pub(super) is_stalled: bool,
    /// What it waits for.
    pub(super) open: Vec<Request>,
    /// What it was asked, by id.
    pub(super) asked: Vec<u64>,
    /// What it may come back for, and what it has come back for.
    pub(super) returns: Vec<Return>,
    spent: Vec<Return>,
}

/// A request that was answered with questions.
#[derive(Clone, Debug)]
pub(super) struct Return {
    shape: Shape,
    /// As JSON.
    state: Option<String>,
    names: Vec<String>,
}

impl Client {
    pub(super) fn new(id: SessionId, nature: Nature, class: u8) -> Self {
        Client {
            id,
            nature,
            class,
            down: VecDeque::new(),
            lines: 0,
            ids: 0,
            is_greeted: false,
            has_said_hello: false,
            has_asked: false,
            has_ended: false,
            is_closed: false,
            is_paused: false,
            is_stalled: false,
            open: Vec::new(),
            asked: Vec::new(),
            returns: Vec::new(),
            spent: Vec::new(),
        }
    }

    /// Whether it may still say something.
    pub(super) fn can_speak(&self) -> bool {
        !self.has_ended && !self.is_closed && !self.is_paused
    }

    /// How it speaks now.
    fn era(&self) -> Era {
        match self.nature {
            Nature::Legacy => Era::Legacy,
            Nature::Modern | Nature::Post => Era::Modern,
            Nature::Probe if self.has_said_hello => Era::Legacy,
            Nature::Probe => Era::Modern,
        }
    }

    fn can_ask(&self) -> bool {
        self.can_speak()
            && match self.era() {
                Era::Legacy => self.is_greeted,
                Era::Modern => !self.has_asked,
            }
    }

    pub(super) fn can_come_back(&self) -> bool {
        self.can_speak() && self.era() == Era::Modern && !self.returns.is_empty()
    }

    /// It reads something.
    fn read(&mut self, bytes: Bytes) {
        let Ok(frame) = Frame::parse(bytes) else {
            return;
        };
        match &frame.message {
            Message::Request { id, .. } => self.asked.extend(id.as_number()),
            Message::Notification { params, .. } => {
                let named = params.request_id.as_ref();
                let shown = named.and_then(|(shown, _)| shown.as_number());
                self.asked.retain(|known| Some(*known) != shown);
            }
            Message::Response {
                id, result, error, ..
            } => {
                let named = id.as_ref().map(ToString::to_string);
                let at = self
                    .open
                    .iter()
                    .position(|open| Some(&open.id) == named.as_ref());
                let Some(request) = at.map(|at| self.open.remove(at)) else {
                    return;
                };
                if request.shape == Shape::Hello {
                    self.is_greeted |= error.is_none();
                    // One that was lost may be asked for again.
                    let is_lost = error
                        .as_ref()
                        .is_some_and(|error| frame.json(error).contains(Refusal::TooSlow.reason()));
                    let mut open = self.open.iter();
                    let is_greeting = is_lost || open.any(|open| open.shape == Shape::Hello);
                    self.has_said_hello &= error.is_none() || self.is_greeted || is_greeting;
                }
                let asked = result.as_ref().and_then(|result| frame.members(result));
                let asked = asked.unwrap_or_default();
                let find = |name: &str| asked.iter().find(|member| member.name == name);
                if let Some(questions) = find("inputRequests") {
                    let questions = frame.members(&questions.at).unwrap_or_default();
                    self.returns.push(Return {
                        shape: request.shape,
                        state: find("requestState").map(|state| state.value.to_owned()),
                        names: questions
                            .iter()
                            .map(|member| member.name.to_string())
                            .collect(),
                    });
                }
            }
        }
    }
}

impl World {
    /// One of those for whom it is so.
    fn client(&self, who: u8, is_so: impl Fn(&Client) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.clients.len())
            .filter(|at| is_so(&self.clients[*at]))
            .collect();
        crate::play::nth(&fitting, who)
    }

    /// A client asks something.
    fn ask(&mut self, at: usize, shape: Shape, back: Option<Back>, what: u8) -> Held {
        let client = &mut self.clients[at];
        client.ids += 1;
        let id = words::nth_id(client.ids);
        let era = if shape == Shape::Hello {
            Era::Legacy
        } else {
            client.era()
        };
        let owner = Owner::Session(client.id);
        let (session, class) = (client.id, client.class);
        client.has_asked |= client.nature == Nature::Post;
        let mark = self.judge.name(owner, None);
        let token = what.is_multiple_of(2) && !matches!(shape, Shape::Hello | Shape::Listen(_));
        let request = Request {
            shape,
            mark,
            era,
            class,
            token: token.then(|| words::nth_id(u64::from(what / 2 % 5))),
            id,
            level: (era == Era::Modern && what / 8 % 2 == 1).then_some(what / 16 % 3),
            back,
        };
        self.judge.said[mark.number].shape = Some(shape);
        self.judge.client_asks(session, &request);
        let text = request.render();
        self.clients[at].open.push(request);
        self.say(at, text)
    }

    pub(super) fn hello(&mut self, who: u8, what: u8) -> Held {
        let again = what.is_multiple_of(16);
        let at = self.client(who, |client| {
            let may = matches!(client.nature, Nature::Legacy | Nature::Probe);
            client.can_speak() && may && (!client.has_said_hello || again)
        });
        let Some(at) = at else { return Ok(()) };
        self.clients[at].has_said_hello = true;
        self.ask(at, Shape::Hello, None, what)
    }

    pub(super) fn ask_any(&mut self, who: u8, what: u8) -> Held {
        let Some(at) = self.client(who, Client::can_ask) else {
            return Ok(());
        };
        let client = &self.clients[at];
        let n = what % 3;
        let shape = match (client.era(), what % 16) {
            // Whoever is served without a process asks for lists first.
            (_, 3..7) if self.is_recalled(at) && what >= 64 => Shape::Plain(n),
            (Era::Modern, 0..3) => Shape::Discover,
            (Era::Modern, _) if client.nature == Nature::Probe && what < 200 => Shape::Discover,
            (_, 3..10) => Shape::Call(n),
            (_, 10) => Shape::Prompt,
            (_, 11) => Shape::Read(n % 2),
            (Era::Modern, 13..) => Shape::Plain(n),
            (Era::Legacy, 12 | 13) if !(what / 16).is_multiple_of(4) => Shape::Plain(n),
            (Era::Modern, _) | (_, 12) => Shape::List(n),
            (Era::Legacy, 13) => Shape::Ping,
            (Era::Legacy, 14 | 15) => Shape::SetLevel(n),
            (Era::Legacy, 0) => Shape::Unsubscribe(n),
            (Era::Legacy, _) => Shape::Subscribe(n),
        };
        if self.is_asked_plainly(at, shape) {
            // Nobody could tell the one from the other.
            return Ok(());
        }
        self.ask(at, shape, None, what)
    }

    /// Whether a client is served without a process.
    fn is_recalled(&self, at: usize) -> bool {
        let session = self.judge.sessions.get(&self.clients[at].id);
        let upstream = session.and_then(|session| session.upstream);
        upstream.is_some_and(|upstream| !self.judge.servers.contains_key(&upstream))
    }

    /// Whether a session of the same server waits for the same, and it has no name in it.
    fn is_asked_plainly(&self, at: usize, shape: Shape) -> bool {
        let sessions = || self.judge.sessions.values();
        let name = self.judge.sessions.get(&self.clients[at].id);
        let mut others = sessions().filter(|it| Some(it.name) == name.map(|it| it.name));
        matches!(shape, Shape::Plain(_))
            && others.any(|it| it.open.values().any(|open| open.request.shape == shape))
    }

    pub(super) fn listen(&mut self, who: u8, what: u8) -> Held {
        let at = self.client(who, |client| {
            client.can_ask() && client.era() == Era::Modern && client.nature != Nature::Probe
        });
        let Some(at) = at else { return Ok(()) };
        self.ask(at, Shape::Listen(what % 64), None, 1)
    }

    /// A client comes back for what it was answered with questions: as it should, with a part of the answers, for
    /// another request, or with a handle that was used, is another's, or is none.
    pub(super) fn come_back(&mut self, who: u8, what: u8) -> Held {
        let how = what % 8;
        if how == 7 {
            return self.come_back_wrongly(who, what / 8);
        }
        let Some(at) = self.client(who, Client::can_come_back) else {
            return Ok(());
        };
        let client = &mut self.clients[at];
        let which = usize::from(what / 8) % client.returns.len();
        if how == 6 {
            let Return { shape, state, .. } = client.returns[which].clone();
            let tool = if let Shape::Call(at) = shape {
                at + 1
            } else {
                0
            };
            let other = Shape::Call(tool % 3);
            if state
                .as_ref()
                .is_some_and(|state| state.starts_with("\"mcpool."))
            {
                self.judge.saw(super::judge::Seen::HandleOfOtherRequest);
            }
            let back = Back {
                state,
                answers: Vec::new(),
            };
            return self.ask(at, other, Some(back), what);
        }
        self.come_back_well(at, which, usize::from(how == 5), what)
    }

    /// A client comes back for the same again and again, and each time without an answer.
    pub(super) fn dally(&mut self, who: u8, what: u8) -> Held {
        let Some(at) = self.client(who, Client::can_come_back) else {
            return Ok(());
        };
        for _ in 0..DALLIES {
            let client = &mut self.clients[at];
            while !client.is_stalled
                && let Some(bytes) = client.down.pop_front()
            {
                self.reads += 1;
                client.read(bytes);
            }
            let is_ours = |back: &Return| {
                let state = back.state.as_ref();
                state.is_some_and(|state| state.starts_with("\"mcpool."))
            };
            let which = client.returns.iter().rposition(is_ours);
            let Some(which) = which.filter(|_| client.can_come_back()) else {
                return Ok(());
            };
            self.come_back_well(at, which, usize::MAX, what)?;
        }
        Ok(())
    }

    pub(super) fn come_back_well(
        &mut self,
        at: usize,
        which: usize,
        left_out: usize,
        what: u8,
    ) -> Held {
        let client = &mut self.clients[at];
        let back = client.returns.remove(which);
        let owner = Owner::Session(client.id);
        client.spent.push(back.clone());
        let session = self.judge.sessions.get(&client.id);
        let is_ours = back
            .state
            .as_ref()
            .filter(|state| state.starts_with("\"mcpool."));
        let is_good =
            is_ours.is_none_or(|state| session.is_some_and(|it| it.parked.contains_key(state)));
        if !is_good {
            self.judge.saw(super::judge::Seen::HandleTooLate);
        }
        let most = back.names.len().saturating_sub(left_out);
        let mut answers = Vec::new();
        for name in back.names.into_iter().take(most) {
            let mark = self.judge.name(owner, None);
            let answer = words::accepted(mark);
            self.judge.is_worded(mark, answer.clone());
            answers.push((name, answer));
        }
        let state = back.state;
        self.ask(at, back.shape, Some(Back { state, answers }), what)
    }

    fn come_back_wrongly(&mut self, who: u8, what: u8) -> Held {
        let at = self.client(who, |client| {
            client.can_ask() && client.era() == Era::Modern
        });
        let Some(at) = at else { return Ok(()) };
        let others = self
            .clients
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at);
        let others: Vec<Return> = others
            .flat_map(|(_, client)| client.returns.clone())
            .collect();
        let made_up = Return {
            shape: Shape::Call(0),
            state: Some(r#""mcpool.of1.1000""#.to_owned()),
            names: vec!["1".to_owned()],
        };
        let (seen, back) = match what % 4 {
            0 if !self.clients[at].spent.is_empty() => {
                let spent = self.clients[at].spent.first().cloned();
                (super::judge::Seen::HandleUsed, spent.unwrap_or(made_up))
            }
            1 => (super::judge::Seen::HandleMadeUp, made_up),
            _another if !others.is_empty() => {
                (super::judge::Seen::HandleOfAnother, others[0].clone())
            }
            _nothing => return Ok(()),
        };
        // What servers of the modern era call theirs is between them and their clients.
        let is_ours = back
            .state
            .as_ref()
            .is_some_and(|state| state.starts_with("\"mcpool."));
        if !is_ours {
            return Ok(());
        }
        self.judge.saw(seen);
        let answers = back
            .names
            .into_iter()
            .map(|name| (name, "{}".to_owned()))
            .collect();
        let state = back.state;
        self.ask(at, back.shape, Some(Back { state, answers }), what)
    }

    pub(super) fn reply(&mut self, who: u8, what: u8) -> Held {
        let at = self.client(who, |client| client.can_speak() && !client.asked.is_empty());
        let Some(at) = at else { return Ok(()) };
        let client = &mut self.clients[at];
        let shown = client
            .asked
            .remove(usize::from(what / 4) % client.asked.len());
        let session = client.id;
        if what % 4 == 3 {
            self.judge.client_replies(session, shown, None);
            let error = r#"{"code":-1,"message":"no"}"#;
            return self.say(
                at,
                format!(r#"{{"jsonrpc":"2.0","id":{shown},"error":{error}}}"#),
            );
        }
        let mark = self.judge.name(Owner::Session(session), None);
        let answer = words::accepted(mark);
        self.judge.is_worded(mark, answer.clone());
        self.judge
            .client_replies(session, shown, Some((&answer, mark)));
        self.say(
            at,
            format!(r#"{{"jsonrpc":"2.0","id":{shown},"result":{answer}}}"#),
        )
    }

    pub(super) fn cancel(&mut self, who: u8, what: u8) -> Held {
        // A post is cancelled by closing it.
        let at = self.client(who, |client| {
            client.can_speak() && !client.open.is_empty() && client.nature != Nature::Post
        });
        let Some(at) = at else { return Ok(()) };
        let client = &mut self.clients[at];
        let which = usize::from(what) % client.open.len();
        if client.open[which].shape == Shape::Hello {
            return Ok(());
        }
        let (session, named) = (client.id, client.open.remove(which).id);
        self.judge.client_cancels(session, &named);
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{named}}}}}"#
        );
        self.say(at, text)
    }

    pub(super) fn end(&mut self, who: u8) -> Held {
        let Some(at) = self.client(who, Client::can_speak) else {
            return Ok(());
        };
        let client = &mut self.clients[at];
        client.has_ended = true;
        let session = client.id;
        self.judge.client_ends(session);
        self.handle(Event::SessionEnding { session })
    }

    pub(super) fn leave(&mut self, who: u8) -> Held {
        let Some(at) = self.client(who, |client| !client.is_closed) else {
            return Ok(());
        };
        let client = &mut self.clients[at];
        (client.is_closed, client.is_stalled) = (true, false);
        let session = client.id;
        self.judge.gone(session);
        self.handle(Event::SessionClosed { session })
    }

    /// A client ceases to read, or reads on.
    pub(super) fn stall_client(&mut self, who: u8) -> Held {
        let Some(at) = self.client(who, |client| !client.is_closed) else {
            return Ok(());
        };
        let client = &mut self.clients[at];
        client.is_stalled = !client.is_stalled;
        let (session, is_stalled) = (client.id, client.is_stalled);
        if let Some(known) = self.judge.sessions.get_mut(&session) {
            known.is_stalled = is_stalled;
        }
        self.judge.saw(super::judge::Seen::ClientStalled);
        self.handle(if is_stalled {
            Event::SessionBlocked { session }
        } else {
            Event::SessionWritable { session }
        })
    }

    /// A client that does not read loses what waits for it.
    pub(super) fn cut_client(&mut self, who: u8) -> Held {
        let is_cut = |client: &Client| client.is_stalled && !client.is_closed;
        let Some(at) = self.client(who, is_cut) else {
            return Ok(());
        };
        let client = &mut self.clients[at];
        let session = client.id;
        let lost = client
            .down
            .drain(..)
            .filter_map(|bytes| Frame::parse(bytes).ok());
        let answers = lost.filter(|frame| frame.kind() == wire::Kind::Response);
        // Whatever it was, its client hears that it is lost.
        let refused: Vec<Bytes> = answers
            .map(|frame| Refusal::TooSlow.to_response(frame.id()).to_vec().into())
            .collect();
        client.down.extend(refused);
        self.judge.client_is_cut(session);
        self.handle(Event::SessionCut { session })
    }

    /// The first of those who do not read, by place among those who are there.
    pub(super) fn stalled_client(&self) -> Option<u8> {
        let mut there = self.clients.iter().filter(|client| !client.is_closed);
        let at = there.position(|client| client.is_stalled)?;
        u8::try_from(at).ok()
    }

    pub(super) fn read(&mut self, who: u8, what: u8) {
        let Some(at) = self.client(who, |client| !client.is_stalled && !client.down.is_empty())
        else {
            return;
        };
        self.reads += 1;
        let client = &mut self.clients[at];
        for _ in 0..=what % 4 {
            if let Some(bytes) = client.down.pop_front() {
                client.read(bytes);
            }
        }
    }
}
