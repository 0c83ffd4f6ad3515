//! Steps of servers.

use bytes::Bytes;
use mux::{Exit, UpstreamId};

use super::{long_line, nth};
use crate::{
    fault::Fault,
    payload::{Ident, Mark, Message, Owner, Shape},
    peers::{Output, Process, Question},
    step::{Answering, Utterance},
    world::{Held, World},
};

impl World {
    pub(super) fn start(&mut self, server: u8, fails: bool) -> Held {
        let Some(id) = self.server(server, |peer| peer.process == Process::Starting) else {
            return Ok(());
        };
        if fails {
            self.hit(Fault::StartFailed);
            return self.start_failed(id);
        }
        self.started(id)
    }

    pub(crate) fn speak(
        &mut self,
        id: UpstreamId,
        shape: Shape,
        about: Option<Mark>,
        named: Ident,
        token: Ident,
    ) -> Message {
        let message = self
            .model
            .describe(Owner::Server(id), shape, about, named, token);
        self.put_out(id, vec![message]);
        message
    }

    pub(super) fn put_out(&mut self, id: UpstreamId, messages: Vec<Message>) {
        let text = match messages.as_slice() {
            [only] => only.render(),
            several => format!(
                "[{}]",
                several
                    .iter()
                    .map(Message::render)
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        };
        if let Some(peer) = self.servers.get_mut(&id) {
            let bytes = text.into();
            peer.outbox.push_back(Output::Line { bytes, messages });
        }
    }

    pub(super) fn put_raw(&mut self, id: UpstreamId, text: impl Into<Bytes>) {
        let bytes = text.into();
        let peer = self.servers.get_mut(&id);
        if let Some(peer) = peer {
            peer.outbox.push_back(Output::Line {
                bytes: bytes.clone(),
                messages: Vec::new(),
            });
        }
    }

    pub(super) fn greet(&mut self, server: u8, version: u8, declares: u8) {
        let Some(id) = self.server(server, |peer| peer.hello.is_some() && peer.is_alive()) else {
            return;
        };
        let Some(minted) = self.servers.get_mut(&id).and_then(|peer| peer.hello.take()) else {
            return;
        };
        if declares == u8::MAX {
            self.hit(Fault::GreetingFailed);
            self.speak(id, Shape::Error, None, Ident::Number(minted), Ident::None);
            return;
        }
        let shape = Shape::Greeting {
            version: version % 4,
            declares: declares % 4,
        };
        self.speak(id, shape, None, Ident::Number(minted), Ident::None);
        if let Some(peer) = self.servers.get_mut(&id) {
            peer.is_greeted = true;
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(super) fn answer(&mut self, server: u8, which: u8, how: Answering) {
        let Some(id) = self.speaking(server) else {
            return;
        };
        let peer = &self.servers[&id];
        let work = nth(&peer.works, which);
        let (Some(work), false) = (work, matches!(how, Answering::MadeUp | Answering::Again))
        else {
            let again = nth(&peer.over, which).filter(|_| how == Answering::Again);
            self.hit(if again.is_some() {
                Fault::Doubled
            } else {
                Fault::MadeUp
            });
            let minted = again.unwrap_or(u64::from(which) + 40);
            self.speak(id, Shape::Result, None, Ident::Number(minted), Ident::None);
            return;
        };
        match how {
            Answering::Quoted => {
                self.hit(Fault::WrongType);
                self.speak(
                    id,
                    Shape::Result,
                    None,
                    Ident::Quoted(work.minted),
                    Ident::None,
                );
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
                    self.speak(
                        id,
                        Shape::Result,
                        None,
                        Ident::Number(work.minted),
                        Ident::None,
                    );
                }
            }
            Answering::MadeUp | Answering::Again => {}
        }
    }

    /// Takes what a server works on off its table; what it asked because of it, it no longer wants to know.
    pub(super) fn finish_work(
        &mut self,
        id: UpstreamId,
        which: u8,
        is_clear: bool,
    ) -> Option<(u64, Option<Mark>)> {
        let peer = self.servers.get_mut(&id)?;
        let at = usize::from(which) % peer.works.len().max(1);
        let work = (at < peer.works.len()).then(|| peer.works.remove(at))?;
        peer.over.push(work.minted);
        if !is_clear {
            peer.change(work.change, false);
        }
        let asked = peer.asked.extract_if(.., |question| {
            question.about.is_some() && question.about == work.mark
        });
        let asked: Vec<Question> = asked.collect();
        for question in asked {
            self.speak(id, Shape::Cancelled, None, question.id, Ident::None);
        }
        let sent = self
            .model
            .servers
            .get(&id)
            .and_then(|server| server.sent.get(&work.minted));
        if sent.is_some_and(|sent| sent.cancelled.is_some()) {
            self.hit(Fault::LateAnswer);
        }
        Some((work.minted, work.mark))
    }

    pub(crate) fn answer_one(&mut self, id: UpstreamId, which: u8, shape: Shape) {
        let Some((minted, mark)) = self.finish_work(id, which, shape == Shape::Result) else {
            return;
        };
        let message = self.speak(id, shape, mark, Ident::Number(minted), Ident::None);
        if shape == Shape::UrlError
            && let Some(peer) = self.servers.get_mut(&id)
        {
            peer.by_address.push(message.mark);
        }
    }

    pub(super) fn answer_several(&mut self, id: UpstreamId, which: u8) {
        let mut messages = Vec::new();
        for _ in 0..3 {
            if let Some((minted, mark)) = self.finish_work(id, which, true) {
                messages.push(self.model.describe(
                    Owner::Server(id),
                    Shape::Result,
                    mark,
                    Ident::Number(minted),
                    Ident::None,
                ));
            }
        }
        self.put_out(id, messages);
    }

    pub(super) fn answer_badly(&mut self, id: UpstreamId, which: u8, how: Answering) {
        let Some((minted, _)) = self.finish_work(id, which, false) else {
            return;
        };
        let named = format!(r#""id":{minted}"#);
        let text = match (how, which % 3) {
            // Its id stands in neither part that is kept: it may have been any answer.
            (Answering::TooLong, 0) => {
                let behind = "z".repeat(5 << 10);
                let rest = format!(r#","result":{{}},{named},"z":"{behind}""#);
                long_line("", 66 << 10, &rest)
            }
            (Answering::TooLong, 1) => {
                long_line("", 66 << 10, &format!(r#","result":{{}},{named}"#))
            }
            (Answering::TooLong, _) => long_line(
                &format!(r#"{named},"result":{{}},"#),
                self.limits.message_bytes,
                "",
            ),
            (_, 0) => format!(r#"{{"jsonrpc":"2.0",{named},{named},"result":{{}}}}"#),
            _spoilt => format!(r#"{{"jsonrpc":"2.0",{named},"result":{{}},"error":{{}}}}"#),
        };
        self.put_raw(id, text);
    }

    pub(super) fn report(&mut self, server: u8, which: u8) {
        let Some(id) = self.speaking(server) else {
            return;
        };
        let peer = &self.servers[&id];
        let work = nth(&peer.works, which).filter(|_| which != u8::MAX);
        let minted = work.map_or_else(
            || nth(&peer.over, which).unwrap_or(4000),
            |work| work.minted,
        );
        if work.is_none() {
            self.hit(Fault::LateProgress);
        }
        self.speak(
            id,
            Shape::Progress,
            None,
            Ident::None,
            Ident::Number(minted),
        );
    }

    pub(super) fn inquire(&mut self, server: u8, which: u8, what: u8, named: u8) {
        let Some(id) = self.speaking(server) else {
            return;
        };
        let peer = &self.servers[&id];
        let callers: Vec<Mark> = peer
            .works
            .iter()
            .filter(|work| work.shape.is_some_and(Shape::is_askable))
            .filter_map(|work| work.mark)
            .collect();
        let about = nth(&callers, which).filter(|_| which != u8::MAX);
        let owners: Vec<Owner> = callers.iter().map(|mark| mark.owner).collect();
        let mut named = Ident::chosen(named % 40);
        let is_used = peer.ask_ids.contains(&named);
        let is_open = peer.asked.iter().any(|question| question.id == named);
        // A server that uses an id twice does not know itself what it is answered.
        let about = about.filter(|_| !is_used || !which.is_multiple_of(4));
        if is_used && about.is_some() {
            named = self.fresh_ask_id(id);
        }
        let has_left = about.is_some_and(|about| matches!(about.owner, Owner::Session(session) if !self.model.sessions.contains_key(&session)));
        if !self.servers[&id].is_greeted {
            self.hit(Fault::SpokeEarly);
        }
        if is_open && about.is_none() {
            self.hit(Fault::AskReused);
        }
        match about {
            None => self.hit(Fault::AskedUncalled),
            Some(_) if has_left => self.hit(Fault::AskedDeparted),
            Some(about) if owners.iter().any(|owner| *owner != about.owner) => {
                self.hit(Fault::AskedWhileBusy);
            }
            Some(_) => {}
        }
        self.ask(id, about, what, named);
    }

    /// An id under which this server has asked nothing.
    pub(crate) fn fresh_ask_id(&mut self, id: UpstreamId) -> Ident {
        let peer = self.servers.get_mut(&id);
        let issued = peer.map_or(0, |peer| {
            peer.asks_issued += 1;
            peer.asks_issued
        });
        Ident::Number(1000 + issued)
    }

    pub(crate) fn ask(&mut self, id: UpstreamId, about: Option<Mark>, what: u8, named: Ident) {
        let shape = match what % 8 {
            0..3 => Shape::Sampling {
                tools: what % 8 == 2,
            },
            3 => Shape::Elicit { url: false },
            4 => Shape::Elicit { url: true },
            5 => Shape::Roots,
            6 => Shape::Ping,
            _unknown => Shape::Inquiry,
        };
        let token = if (what / 8).is_multiple_of(3) {
            Ident::chosen(what / 8)
        } else {
            Ident::None
        };
        let message = self.speak(id, shape, about, named, token);
        if let Some(peer) = self.servers.get_mut(&id) {
            peer.ask_ids.insert(named);
            peer.asked.push(Question { id: named, about });
            if shape == (Shape::Elicit { url: true }) {
                peer.by_address.push(message.mark);
            }
        }
    }

    pub(super) fn withdraw(&mut self, server: u8, which: u8) {
        let Some(id) = self.speaking(server) else {
            return;
        };
        let asked = nth(&self.servers[&id].asked, which);
        let named = asked.map_or(Ident::chosen(which % 40), |question| question.id);
        let peer = self.servers.get_mut(&id);
        if let Some(peer) = peer {
            peer.asked.retain(|question| question.id != named);
        }
        self.speak(id, Shape::Cancelled, None, named, Ident::None);
    }

    pub(super) fn utter(&mut self, server: u8, what: Utterance, which: u8) {
        let Some(id) = self.speaking(server) else {
            return;
        };
        let peer = &self.servers[&id];
        if !peer.is_greeted {
            self.hit(Fault::SpokeEarly);
        }
        let peer = &self.servers[&id];
        let callers: Vec<Mark> = peer
            .works
            .iter()
            .filter(|work| work.shape.is_some_and(Shape::is_askable))
            .filter_map(|work| work.mark)
            .collect();
        let (shape, about, times) = match what {
            Utterance::Log => (Shape::Log(which / 16 % 8), nth(&callers, which), 1),
            Utterance::IdleLog => (Shape::Log(which % 8), None, 1),
            Utterance::ListChanged => (Shape::ListChanged(which % 3), None, 1),
            Utterance::Storm => {
                self.hit(Fault::Storm);
                (Shape::ListChanged(which % 3), None, 6)
            }
            Utterance::Updated => (Shape::Updated(which % 5), None, 1),
            Utterance::Vendor => (
                Shape::Told,
                nth(&callers, which).filter(|_| which.is_multiple_of(2)),
                1,
            ),
            Utterance::Settled => {
                let about = nth(&peer.by_address, which);
                if about.is_some() {
                    self.hit(Fault::Settled);
                }
                (Shape::Settled, about, 1)
            }
            Utterance::Complaint => {
                let cause = callers
                    .first()
                    .map_or(String::new(), |mark| format!(" ^{mark}^"));
                let peer = self.servers.get_mut(&id);
                if let Some(peer) = peer {
                    peer.outbox
                        .push_back(Output::Complaint(format!("trouble{cause}")));
                }
                return;
            }
        };
        for _ in 0..times {
            self.speak(id, shape, about, Ident::None, Ident::None);
        }
    }

    pub(super) fn noise(&mut self, server: u8, kind: u8) {
        let Some(id) = self.speaking(server) else {
            return;
        };
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
            _long => long_line(
                r#""id":5,"method":"sampling/createMessage","#,
                self.limits.message_bytes,
                "",
            )
            .into(),
        };
        self.put_raw(id, text);
    }

    pub(super) fn crash(&mut self, server: u8, lost: u8) {
        let Some(id) = self.server(server, |peer| {
            peer.is_alive() && peer.process == Process::Running
        }) else {
            return;
        };
        let Some(peer) = self.servers.get_mut(&id) else {
            return;
        };
        if !lost.is_multiple_of(3) && !peer.outbox.is_empty() {
            let kept = usize::from(lost / 3) % peer.outbox.len();
            let first = peer.outbox.cut(kept);
            if let Some(Output::Line { bytes, .. }) = first.filter(|_| lost % 3 == 2) {
                peer.outbox
                    .push_back(Output::Half(bytes.slice(..bytes.len() / 2)));
            }
            self.hit(Fault::CutOff);
        }
        let exit = if lost.is_multiple_of(2) {
            Exit::Code(1)
        } else {
            Exit::Signal(9)
        };
        let peer = self.servers.get_mut(&id);
        if let Some(peer) = peer {
            peer.outbox.push_back(Output::Exit(exit));
        }
    }

    pub(super) fn hang(&mut self, server: u8, stops: bool) {
        let Some(id) = self.server(server, |peer| peer.is_hung != stops) else {
            return;
        };
        if stops {
            self.hit(Fault::Hung);
        }
        if let Some(peer) = self.servers.get_mut(&id) {
            peer.is_hung = stops;
        }
    }

    pub(super) fn leave_process(&mut self, server: u8, refuses: bool) {
        let is_waiting = |peer: &crate::peers::Peer| {
            peer.process == Process::Stopping
                && !peer
                    .outbox
                    .iter()
                    .any(|output| matches!(output, Output::Exit(_)))
        };
        let Some(id) = self.server(server, is_waiting) else {
            return;
        };
        if refuses {
            self.hit(Fault::Stubborn);
            return;
        }
        let peer = self.servers.get_mut(&id);
        if let Some(peer) = peer {
            peer.outbox.push_back(Output::Exit(Exit::Code(0)));
        }
    }
}
