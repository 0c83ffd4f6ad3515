//! Steps, carried out.

use std::time::Duration;

use bytes::Bytes;
use mux::{Exit, SessionId, UpstreamId};

use crate::{
    fault::Fault,
    payload::{Ident, LEVELS, Mark, Message, Owner, PLAIN, Shape, TOOLS, URIS},
    peers::{NAMES, Output, Process, Question, Up},
    step::{Answering, Replying, Step, Telling, Utterance, Want},
    world::{Held, World},
};

/// How much time may pass at once, in milliseconds.
const TIMES: [u64; 9] = [1, 90, 400, 1_000, 7_000, 24_000, 31_000, 70_000, 660_000];

/// A link of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    FromClient(usize),
    ToClient(usize),
    ToServer(UpstreamId),
    FromServer(UpstreamId),
}

/// An entry of a list, modulo its length.
pub(crate) fn nth<T: Copy>(of: &[T], at: u8) -> Option<T> {
    of.get(usize::from(at) % of.len().max(1)).copied()
}

impl World {
    /// Takes one step, and checks everything.
    pub fn play(&mut self, step: &Step) -> Held {
        self.tally.steps += 1;
        let was_late = self.is_late;
        self.trace.note(|| format!("== {step:?}"));
        self.take(step)?;
        self.perform()?;
        if was_late {
            self.ring()?;
        }
        self.check()
    }

    fn take(&mut self, step: &Step) -> Held {
        match *step {
            Step::Open { kind, keeps } if !self.is_shut_down && self.clients.len() < 12 => return self.open(kind, keeps),
            Step::Open { .. } => {}
            Step::Hello { client, id, version, class } => self.hello(client, id, version, class),
            Step::Request { client, what, which, id, token } => self.request(client, what, which, id, token),
            Step::Batch { client, count, salt } => self.batch(client, count, salt),
            Step::Cancel { client, which } => self.cancel(client, which),
            Step::Tell { client, what } => self.tell(client, what),
            Step::Reply { client, which, how } => self.reply(client, which, how),
            Step::Garbage { client, kind } => self.garbage(client, kind),
            Step::Churn { client, which, count } => self.churn(client, which, count),
            Step::End { client } => self.end(client),
            Step::Leave { client } => self.leave(client),
            Step::Stall { client, stops } => self.stall(client, stops),
            Step::Carry { link, count } => return self.carry(link, count),
            Step::Start { server, fails } => return self.start(server, fails),
            Step::Greet { server, version, declares } => self.greet(server, version, declares),
            Step::Answer { server, which, how } => self.answer(server, which, how),
            Step::Report { server, which } => self.report(server, which),
            Step::Inquire { server, which, what, id } => self.inquire(server, which, what, id),
            Step::Withdraw { server, which } => self.withdraw(server, which),
            Step::Utter { server, what, which } => self.utter(server, what, which),
            Step::Noise { server, kind } => self.noise(server, kind),
            Step::Crash { server, lost } => self.crash(server, lost),
            Step::Hang { server, stops } => self.hang(server, stops),
            Step::Exit { server, refuses } => self.leave_process(server, refuses),
            Step::Settle => return self.settle(),
            Step::Pass { how_long, late } => return self.pass(TIMES[usize::from(how_long) % TIMES.len()], late),
            Step::Restart { name } => {
                self.hit(Fault::Restarted);
                return self.restart(NAMES[usize::from(name) % NAMES.len()]);
            }
            Step::Shutdown if !self.is_shut_down => {
                self.hit(Fault::ShutDown);
                return self.shut_down();
            }
            Step::Shutdown => {}
        }
        Ok(())
    }

    /// Clients that may still say something.
    fn speaker(&self, at: u8) -> Option<usize> {
        let speakers: Vec<usize> = (0..self.clients.len()).filter(|at| self.clients[*at].can_speak()).collect();
        nth(&speakers, at)
    }

    /// Servers that are as far as that.
    fn server(&self, at: u8, is_so: impl Fn(&crate::peers::Peer) -> bool) -> Option<UpstreamId> {
        let fitting: Vec<UpstreamId> = self.servers.iter().filter(|(_, peer)| is_so(peer)).map(|(id, _)| *id).collect();
        nth(&fitting, at)
    }

    fn speaking(&self, at: u8) -> Option<UpstreamId> {
        self.server(at, |peer| peer.is_alive() && !peer.is_hung)
    }

    pub(crate) fn say(&mut self, at: usize, shape: Shape, about: Option<Mark>, id: Ident, token: Ident) -> Message {
        let owner = Owner::Session(self.clients[at].id);
        let message = self.model.describe(owner, shape, about, id, token);
        let bytes = Bytes::from(message.render());
        self.clients[at].up.push_back(Up::Line { bytes, messages: vec![message] });
        message
    }

    fn say_raw(&mut self, at: usize, text: impl Into<Bytes>) {
        self.clients[at].up.push_back(Up::Line { bytes: text.into(), messages: Vec::new() });
    }

    fn hello(&mut self, client: u8, id: u8, version: u8, class: u8) {
        let Some(at) = self.speaker(client) else { return };
        if std::mem::replace(&mut self.clients[at].has_said_hello, true) {
            self.hit(Fault::HelloAgain);
        }
        let shape = Shape::Hello { version: version % 5, class: class % 5 };
        let message = self.say(at, shape, None, Ident::chosen(id % 40), Ident::None);
        self.clients[at].open.push(message);
    }

    fn request(&mut self, client: u8, what: Want, which: u8, id: u8, token: u8) {
        let Some(at) = self.speaker(client) else { return };
        let within = |list: &[&str]| u8::try_from(usize::from(which) % list.len()).unwrap_or_default();
        let shape = match what {
            Want::Call => Shape::Call(within(&TOOLS)),
            Want::Prompt => Shape::Prompt,
            Want::Read => Shape::Read(within(&URIS)),
            Want::Subscribe => Shape::Subscribe(within(&URIS)),
            Want::Unsubscribe => Shape::Unsubscribe(within(&URIS)),
            Want::SetLevel => Shape::SetLevel(within(&LEVELS)),
            Want::Ping => Shape::Ping,
            Want::Discover => Shape::Discover,
            Want::Plain => Shape::Plain(within(&PLAIN)),
        };
        let id = Ident::chosen(id % 40);
        let token = if token.is_multiple_of(4) { Ident::None } else { Ident::chosen(token % 40) };
        self.note_collisions(at, id);
        let message = self.say(at, shape, None, id, token);
        self.clients[at].open.push(message);
    }

    fn note_collisions(&mut self, at: usize, id: Ident) {
        let client = &self.clients[at];
        if !client.has_said_hello {
            self.hit(Fault::TooEarly);
        }
        let client = &self.clients[at];
        let is_own = client.open.iter().any(|message| message.id == id);
        let upstream = |session: SessionId| self.model.sessions.get(&session).and_then(|session| session.upstream);
        let own = upstream(client.id);
        let others = self.clients.iter().filter(|other| other.id != client.id && own.is_some() && upstream(other.id) == own);
        let is_shared = others.flat_map(|other| &other.open).any(|message| message.id == id);
        if is_own {
            self.hit(Fault::IdReused);
        }
        if is_shared {
            self.hit(Fault::SameId);
        }
    }

    fn batch(&mut self, client: u8, count: u8, salt: u8) {
        let Some(at) = self.speaker(client) else { return };
        let owner = Owner::Session(self.clients[at].id);
        let mut messages = Vec::new();
        for member in 0..2 + count % 3 {
            let salt = salt.wrapping_add(member.wrapping_mul(29));
            let shape = match salt % 7 {
                0 | 1 => Shape::Call(salt / 7 % 6),
                2 => Shape::Plain(salt / 7 % 6),
                3 => Shape::Subscribe(salt / 7 % 5),
                4 => Shape::Ping,
                5 => Shape::Told,
                _read => Shape::Read(salt / 7 % 5),
            };
            self.clients[at].batches += 1;
            let id = if shape == Shape::Told { Ident::None } else { Ident::Number(10_000 + self.clients[at].batches) };
            messages.push(self.model.describe(owner, shape, None, id, Ident::None));
        }
        let texts: Vec<String> = messages.iter().map(Message::render).collect();
        let bytes = Bytes::from(format!("[{}]", texts.join(" ,")));
        self.clients[at].open.extend(messages.iter().filter(|message| message.id != Ident::None));
        self.clients[at].up.push_back(Up::Line { bytes, messages });
    }

    fn cancel(&mut self, client: u8, which: u8) {
        let Some(at) = self.speaker(client) else { return };
        let open = &self.clients[at].open;
        let id = match nth(open, which) {
            Some(message) if which != u8::MAX => {
                self.note_race(at, &message);
                self.clients[at].open.retain(|known| known.mark != message.mark || message.is_hello());
                message.id
            }
            _unknown => {
                self.hit(Fault::CancelUnknown);
                Ident::chosen(which % 40)
            }
        };
        self.say(at, Shape::Cancelled, None, id, Ident::None);
    }

    /// Whether the answer to what is cancelled is on its way.
    fn note_race(&mut self, at: usize, message: &Message) {
        let session = self.model.sessions.get(&self.clients[at].id);
        let owed = session.and_then(|session| session.owed.values().find(|owed| owed.message.mark == message.mark));
        let minted = owed.and_then(|owed| owed.minted);
        let is_answered = minted.is_some_and(|(upstream, minted)| self.servers.get(&upstream).is_some_and(|peer| peer.over.contains(&minted)));
        if is_answered {
            self.hit(Fault::CancelAtReply);
        }
    }

    fn tell(&mut self, client: u8, what: Telling) {
        let Some(at) = self.speaker(client) else { return };
        let (shape, token) = match what {
            Telling::Vendor => (Shape::Told, Ident::None),
            Telling::Initialized => (Shape::Initialized, Ident::None),
            Telling::Roots => (Shape::RootsChanged, Ident::None),
            Telling::Progress => {
                let wants = self.clients[at].asked.iter().find(|(_, wants)| *wants);
                (Shape::Progress, wants.map_or(Ident::Number(77), |(shown, _)| Ident::Number(*shown)))
            }
        };
        self.say(at, shape, None, Ident::None, token);
    }

    pub(crate) fn reply(&mut self, client: u8, which: u8, how: Replying) {
        let Some(at) = self.speaker(client) else { return };
        let asked = nth(&self.clients[at].asked, which).filter(|_| how != Replying::MadeUp);
        let shown = asked.map_or(u64::from(which), |(shown, _)| shown);
        self.clients[at].asked.retain(|(known, _)| Some(*known) != asked.map(|(shown, _)| shown));
        let is_open = self.model.sessions.get(&self.clients[at].id).is_some_and(|session| session.asked.contains_key(&shown));
        if !is_open || how == Replying::Twice {
            self.hit(Fault::LateReply);
        }
        let shape = if how == Replying::Error { Shape::Error } else { Shape::Result };
        self.say(at, shape, None, Ident::Number(shown), Ident::None);
        if how == Replying::Twice {
            self.say(at, Shape::Result, None, Ident::Number(shown), Ident::None);
        }
    }

    fn garbage(&mut self, client: u8, kind: u8) {
        let Some(at) = self.speaker(client) else { return };
        let kinds: [&'static [u8]; 14] = [
            b"hello?",
            b"{\"jsonrpc\":\"2.0\",\"id\":1",
            b"\xff\xfe{}",
            b"[]",
            b"[1]",
            b"[1,2]",
            b"17",
            br#"{"jsonrpc":"2.0","id":3,"id":4,"method":"tools/call","params":{}}"#,
            br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","method":"ping"}"#,
            br#"{"jsonrpc":"1.0","id":3,"method":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":[],"method":"tools/call"}"#,
            br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            br#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            br#"{"jsonrpc":"2.0","Id":3,"Method":"tools/call"}"#,
        ];
        match usize::from(kind) % (kinds.len() + 2) {
            at_limit if at_limit < kinds.len() => self.say_raw(at, kinds[at_limit]),
            early if early == kinds.len() => self.say_raw(at, long_line(r#""id":5,"method":"tools/call","#, self.limits.message_bytes, "")),
            _late => self.say_raw(at, long_line("", self.limits.message_bytes, r#","id":1,"result":{}"#)),
        }
    }

    fn churn(&mut self, client: u8, which: u8, count: u8) {
        self.hit(Fault::Churn);
        for turn in 0..2 + count % 5 {
            let what = if turn % 2 == 0 { Want::Subscribe } else { Want::Unsubscribe };
            self.request(client, what, which, which.wrapping_add(turn), 0);
        }
    }

    fn end(&mut self, client: u8) {
        let Some(at) = self.speaker(client) else { return };
        self.hit(Fault::Ended);
        self.clients[at].has_ended = true;
        self.clients[at].up.push_back(Up::End);
    }

    fn leave(&mut self, client: u8) {
        let here: Vec<usize> = (0..self.clients.len()).filter(|at| !self.clients[*at].is_closed).collect();
        let Some(at) = nth(&here, client) else { return };
        if matches!(self.clients[at].up.back(), Some(Up::Close)) {
            return;
        }
        self.hit(Fault::Vanished);
        if !self.clients[at].open.is_empty() {
            self.hit(Fault::VanishedBusy);
        }
        let client = &mut self.clients[at];
        client.has_ended = true;
        // What it had written may be lost with it.
        if client.up.len() % 2 == 1 {
            client.up.clear();
        }
        client.up.push_back(Up::Close);
        client.is_paused = false;
    }

    fn stall(&mut self, client: u8, stops: bool) {
        let Some(at) = self.speaker(client) else { return };
        if stops && !self.clients[at].is_stalled {
            self.hit(Fault::Stalled);
        }
        self.clients[at].is_stalled = stops;
    }

    /// Links that have something on them and are not held up.
    pub(crate) fn busy_links(&self) -> Vec<LinkEnd> {
        let mut links = Vec::new();
        for (at, client) in self.clients.iter().enumerate() {
            let is_closing = matches!(client.up.front(), Some(Up::Close));
            if !client.up.is_empty() && (!client.is_paused || is_closing) {
                links.push(LinkEnd::FromClient(at));
            }
            if !client.down.is_empty() && !client.is_stalled {
                links.push(LinkEnd::ToClient(at));
            }
        }
        for (id, peer) in &self.servers {
            let reads = matches!(peer.process, Process::Running | Process::Stopping);
            if !peer.inbox.is_empty() && !peer.is_hung && reads {
                links.push(LinkEnd::ToServer(*id));
            }
            if !peer.outbox.is_empty() {
                links.push(LinkEnd::FromServer(*id));
            }
        }
        links
    }

    fn carry(&mut self, link: u8, count: u8) -> Held {
        let links = self.busy_links();
        let Some(end) = nth(&links, link) else { return Ok(()) };
        if links.first() != Some(&end) {
            self.hit(Fault::Reordered);
        }
        // What comes in one turn is shown to the core before anything is done about it.
        for _ in 0..=count % 8 {
            if !self.carry_one(end)? {
                break;
            }
        }
        Ok(())
    }

    /// Says whether there may be more on the link.
    pub(crate) fn carry_one(&mut self, end: LinkEnd) -> Result<bool, crate::invariants::Broken> {
        match end {
            LinkEnd::FromClient(at) => {
                let is_last = matches!(self.clients[at].up.front(), Some(Up::Close));
                self.carry_up(at)?;
                Ok(!is_last && !self.clients[at].up.is_empty())
            }
            LinkEnd::ToClient(at) => {
                let is_last = matches!(self.clients[at].down.front(), Some(crate::peers::Down::Close));
                self.carry_down(at)?;
                Ok(!is_last && !self.clients[at].down.is_empty())
            }
            LinkEnd::ToServer(id) => {
                self.carry_in(id)?;
                Ok(self.servers.get(&id).is_some_and(|peer| !peer.inbox.is_empty()))
            }
            LinkEnd::FromServer(id) => {
                self.carry_out(id)?;
                Ok(self.servers.get(&id).is_some_and(|peer| !peer.outbox.is_empty()))
            }
        }
    }

    fn start(&mut self, server: u8, fails: bool) -> Held {
        let Some(id) = self.server(server, |peer| peer.process == Process::Starting) else { return Ok(()) };
        if fails {
            self.hit(Fault::StartFailed);
            return self.start_failed(id);
        }
        self.started(id)
    }

    pub(crate) fn speak(&mut self, id: UpstreamId, shape: Shape, about: Option<Mark>, named: Ident, token: Ident) -> Message {
        let message = self.model.describe(Owner::Server(id), shape, about, named, token);
        self.put_out(id, vec![message]);
        message
    }

    fn put_out(&mut self, id: UpstreamId, messages: Vec<Message>) {
        let text = match messages.as_slice() {
            [only] => only.render(),
            several => format!("[{}]", several.iter().map(Message::render).collect::<Vec<_>>().join(",")),
        };
        let peer = self.servers.get_mut(&id);
        peer.into_iter().for_each(|peer| peer.outbox.push_back(Output::Line { bytes: text.clone().into(), messages: messages.clone() }));
    }

    fn put_raw(&mut self, id: UpstreamId, text: impl Into<Bytes>) {
        let bytes = text.into();
        let peer = self.servers.get_mut(&id);
        peer.into_iter().for_each(|peer| peer.outbox.push_back(Output::Line { bytes: bytes.clone(), messages: Vec::new() }));
    }

    fn greet(&mut self, server: u8, version: u8, declares: u8) {
        let Some(id) = self.server(server, |peer| peer.hello.is_some() && peer.is_alive()) else { return };
        let Some(minted) = self.servers.get_mut(&id).and_then(|peer| peer.hello.take()) else { return };
        if declares == u8::MAX {
            self.hit(Fault::GreetingFailed);
            self.speak(id, Shape::Error, None, Ident::Number(minted), Ident::None);
            return;
        }
        let shape = Shape::Greeting { version: version % 4, declares: declares % 4 };
        self.speak(id, shape, None, Ident::Number(minted), Ident::None);
        self.servers.get_mut(&id).into_iter().for_each(|peer| peer.is_greeted = true);
    }

    fn answer(&mut self, server: u8, which: u8, how: Answering) {
        let Some(id) = self.speaking(server) else { return };
        let peer = &self.servers[&id];
        let work = nth(&peer.works, which);
        let (Some(work), false) = (work, matches!(how, Answering::MadeUp | Answering::Again)) else {
            let again = nth(&peer.over, which).filter(|_| how == Answering::Again);
            self.hit(if again.is_some() { Fault::Doubled } else { Fault::MadeUp });
            let minted = again.unwrap_or(u64::from(which) + 40);
            self.speak(id, Shape::Result, None, Ident::Number(minted), Ident::None);
            return;
        };
        match how {
            Answering::Quoted => {
                self.hit(Fault::WrongType);
                self.speak(id, Shape::Result, None, Ident::Quoted(work.minted), Ident::None);
            }
            Answering::Batch => self.answer_several(id, which),
            Answering::TooLong | Answering::Spoilt => self.answer_badly(id, which, how),
            Answering::Result | Answering::Error | Answering::Url | Answering::Twice => {
                let shape = match how {
                    Answering::Error => Shape::Error,
                    Answering::Url => Shape::UrlError,
                    _plain => Shape::Result,
                };
                self.answer_one(id, which, shape);
                if how == Answering::Twice {
                    self.hit(Fault::Doubled);
                    self.speak(id, Shape::Result, None, Ident::Number(work.minted), Ident::None);
                }
            }
            Answering::MadeUp | Answering::Again => {}
        }
    }

    /// Takes what a server works on off its table; what it asked because of it, it no longer wants to know.
    fn finish_work(&mut self, id: UpstreamId, which: u8) -> Option<(u64, Option<Mark>)> {
        let peer = self.servers.get_mut(&id)?;
        let at = usize::from(which) % peer.works.len().max(1);
        let work = (at < peer.works.len()).then(|| peer.works.remove(at))?;
        peer.over.push(work.minted);
        let asked = peer.asked.extract_if(.., |question| question.about.is_some() && question.about == work.mark);
        let asked: Vec<Question> = asked.collect();
        for question in asked {
            self.speak(id, Shape::Cancelled, None, question.id, Ident::None);
        }
        let sent = self.model.servers.get(&id).and_then(|server| server.sent.get(&work.minted));
        if sent.is_some_and(|sent| sent.cancelled.is_some()) {
            self.hit(Fault::LateAnswer);
        }
        Some((work.minted, work.mark))
    }

    pub(crate) fn answer_one(&mut self, id: UpstreamId, which: u8, shape: Shape) {
        let Some((minted, mark)) = self.finish_work(id, which) else { return };
        let message = self.speak(id, shape, mark, Ident::Number(minted), Ident::None);
        if shape == Shape::UrlError {
            self.servers.get_mut(&id).into_iter().for_each(|peer| peer.by_address.push(message.mark));
        }
    }

    fn answer_several(&mut self, id: UpstreamId, which: u8) {
        let mut messages = Vec::new();
        for _ in 0..3 {
            if let Some((minted, mark)) = self.finish_work(id, which) {
                messages.push(self.model.describe(Owner::Server(id), Shape::Result, mark, Ident::Number(minted), Ident::None));
            }
        }
        self.put_out(id, messages);
    }

    fn answer_badly(&mut self, id: UpstreamId, which: u8, how: Answering) {
        let Some((minted, _)) = self.finish_work(id, which) else { return };
        let named = format!(r#""id":{minted}"#);
        let text = match (how, which % 3) {
            (Answering::TooLong, 0) => long_line("", 66 << 10, &format!(r#","result":{{}},{named}"#)),
            (Answering::TooLong, _) => long_line(&format!(r#"{named},"result":{{}},"#), self.limits.message_bytes, ""),
            (_, 0) => format!(r#"{{"jsonrpc":"2.0",{named},{named},"result":{{}}}}"#),
            _spoilt => format!(r#"{{"jsonrpc":"2.0",{named},"result":{{}},"error":{{}}}}"#),
        };
        self.put_raw(id, text);
    }

    fn report(&mut self, server: u8, which: u8) {
        let Some(id) = self.speaking(server) else { return };
        let peer = &self.servers[&id];
        let work = nth(&peer.works, which).filter(|_| which != u8::MAX);
        let minted = work.map_or_else(|| nth(&peer.over, which).unwrap_or(4000), |work| work.minted);
        if work.is_none() {
            self.hit(Fault::LateProgress);
        }
        self.speak(id, Shape::Progress, None, Ident::None, Ident::Number(minted));
    }

    fn inquire(&mut self, server: u8, which: u8, what: u8, named: u8) {
        let Some(id) = self.speaking(server) else { return };
        let peer = &self.servers[&id];
        let callers: Vec<Mark> = peer.works.iter().filter(|work| work.shape.is_some_and(Shape::is_askable)).filter_map(|work| work.mark).collect();
        let about = nth(&callers, which).filter(|_| which != u8::MAX);
        let owners: Vec<Owner> = callers.iter().map(|mark| mark.owner).collect();
        let is_used = peer.asked.iter().any(|question| question.id == Ident::chosen(named % 40));
        let has_left = about.is_some_and(|about| matches!(about.owner, Owner::Session(session) if !self.model.sessions.contains_key(&session)));
        if !peer.is_greeted {
            self.hit(Fault::SpokeEarly);
        }
        if is_used {
            self.hit(Fault::AskReused);
        }
        match about {
            None => self.hit(Fault::AskedUncalled),
            Some(_) if has_left => self.hit(Fault::AskedDeparted),
            Some(about) if owners.iter().any(|owner| *owner != about.owner) => self.hit(Fault::AskedWhileBusy),
            Some(_) => {}
        }
        self.ask(id, about, what, Ident::chosen(named % 40));
    }

    pub(crate) fn ask(&mut self, id: UpstreamId, about: Option<Mark>, what: u8, named: Ident) {
        let shape = match what % 8 {
            0..3 => Shape::Sampling { tools: what % 8 == 2 },
            3 => Shape::Elicit { url: false },
            4 => Shape::Elicit { url: true },
            5 => Shape::Roots,
            6 => Shape::Ping,
            _unknown => Shape::Inquiry,
        };
        let token = if what / 8 % 3 == 0 { Ident::chosen(what / 8) } else { Ident::None };
        let message = self.speak(id, shape, about, named, token);
        if let Some(peer) = self.servers.get_mut(&id) {
            peer.asked.push(Question { id: named, mark: message.mark, about });
            if shape == (Shape::Elicit { url: true }) {
                peer.by_address.push(message.mark);
            }
        }
    }

    fn withdraw(&mut self, server: u8, which: u8) {
        let Some(id) = self.speaking(server) else { return };
        let asked = nth(&self.servers[&id].asked, which);
        let named = asked.map_or(Ident::chosen(which % 40), |question| question.id);
        let peer = self.servers.get_mut(&id);
        peer.into_iter().for_each(|peer| peer.asked.retain(|question| question.id != named));
        self.speak(id, Shape::Cancelled, None, named, Ident::None);
    }

    fn utter(&mut self, server: u8, what: Utterance, which: u8) {
        let Some(id) = self.speaking(server) else { return };
        let peer = &self.servers[&id];
        if !peer.is_greeted {
            self.hit(Fault::SpokeEarly);
        }
        let peer = &self.servers[&id];
        let callers: Vec<Mark> = peer.works.iter().filter(|work| work.shape.is_some_and(Shape::is_askable)).filter_map(|work| work.mark).collect();
        let (shape, about, times) = match what {
            Utterance::Log => (Shape::Log(which / 16 % 8), nth(&callers, which), 1),
            Utterance::IdleLog => (Shape::Log(which % 8), None, 1),
            Utterance::ListChanged => (Shape::ListChanged(which % 3), None, 1),
            Utterance::Storm => {
                self.hit(Fault::Storm);
                (Shape::ListChanged(which % 3), None, 6)
            }
            Utterance::Updated => (Shape::Updated(which % 5), None, 1),
            Utterance::Vendor => (Shape::Told, nth(&callers, which).filter(|_| which.is_multiple_of(2)), 1),
            Utterance::Settled => {
                let about = nth(&peer.by_address, which);
                if about.is_some() {
                    self.hit(Fault::Settled);
                }
                (Shape::Settled, about, 1)
            }
            Utterance::Complaint => {
                let cause = callers.first().map_or(String::new(), |mark| format!(" ^{mark}^"));
                let peer = self.servers.get_mut(&id);
                peer.into_iter().for_each(|peer| peer.outbox.push_back(Output::Complaint(format!("trouble{cause}"))));
                return;
            }
        };
        for _ in 0..times {
            self.speak(id, shape, about, Ident::None, Ident::None);
        }
    }

    fn noise(&mut self, server: u8, kind: u8) {
        let Some(id) = self.speaking(server) else { return };
        let kinds: [&'static [u8]; 8] = [
            b"Listening on stdio",
            b"\xff\xfe",
            b"[]",
            b"{\"jsonrpc\":\"2.0\",\"id\":1",
            br#"{"jsonrpc":"2.0","method":5}"#,
            br#"{"jsonrpc":"2.0","id":9,"method":"ping","id":9}"#,
            br#"{"level":"info","message":"not for you"}"#,
            b"null",
        ];
        let text = match usize::from(kind) % (kinds.len() + 1) {
            plain if plain < kinds.len() => Bytes::from_static(kinds[plain]),
            _long => long_line(r#""id":5,"method":"sampling/createMessage","#, self.limits.message_bytes, "").into(),
        };
        self.put_raw(id, text);
    }

    fn crash(&mut self, server: u8, lost: u8) {
        let Some(id) = self.server(server, |peer| peer.is_alive() && peer.process == Process::Running) else { return };
        let Some(peer) = self.servers.get_mut(&id) else { return };
        if lost % 3 > 0 && !peer.outbox.is_empty() {
            let kept = usize::from(lost / 3) % peer.outbox.len();
            let cut = peer.outbox.split_off(kept);
            if let Some(Output::Line { bytes, .. }) = cut.front().filter(|_| lost % 3 == 2) {
                peer.outbox.push_back(Output::Half(bytes.slice(..bytes.len() / 2)));
            }
            self.hit(Fault::CutOff);
        }
        let exit = if lost % 2 == 0 { Exit::Code(1) } else { Exit::Signal(9) };
        let peer = self.servers.get_mut(&id);
        peer.into_iter().for_each(|peer| peer.outbox.push_back(Output::Exit(exit)));
    }

    fn hang(&mut self, server: u8, stops: bool) {
        let Some(id) = self.server(server, |peer| peer.is_hung != stops) else { return };
        if stops {
            self.hit(Fault::Hung);
        }
        self.servers.get_mut(&id).into_iter().for_each(|peer| peer.is_hung = stops);
    }

    fn leave_process(&mut self, server: u8, refuses: bool) {
        let is_waiting = |peer: &crate::peers::Peer| peer.process == Process::Stopping && !peer.outbox.iter().any(|output| matches!(output, Output::Exit(_)));
        let Some(id) = self.server(server, is_waiting) else { return };
        if refuses {
            self.hit(Fault::Stubborn);
            return;
        }
        let peer = self.servers.get_mut(&id);
        peer.into_iter().for_each(|peer| peer.outbox.push_back(Output::Exit(Exit::Code(0))));
    }

    pub(crate) fn pass(&mut self, millis: u64, late: bool) -> Held {
        if !self.busy_links().is_empty() {
            self.hit(Fault::Delayed);
        }
        let end = self.now() + Duration::from_millis(millis);
        if late {
            if self.next_deadline().is_some_and(|next| next < end) {
                self.hit(Fault::Overslept);
            }
            self.model.now = end;
            self.is_late = true;
            return Ok(());
        }
        while let Some(next) = self.next_deadline().filter(|next| *next <= end) {
            self.model.now = self.now().max(next);
            self.ring()?;
        }
        self.model.now = end;
        Ok(())
    }
}

/// A line that is longer than a message may be.
fn long_line(before: &str, bytes: usize, after: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0",{before}"x":"{}"{after}}}"#, "y".repeat(bytes))
}
