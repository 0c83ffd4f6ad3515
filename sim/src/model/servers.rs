//! What servers say, and who may hear it.

use mux::UpstreamId;
use wire::{Fault, Purpose, RequestId};

use super::{Audience, Due, Model, Sent, may_mean};
use crate::{
    payload::{self, DECLARED, Ident, LISTS, Mark, Message, Shape},
    peers::{Key, Process},
};

impl Model {
    /// Something of a server is about to reach the core.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn server_says(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let audience = match message.shape {
            answer if answer.is_answer() => return self.answered(id, message),
            Shape::Ping | Shape::Roots => return self.asks(id, message.id.id()?, Some(message)),
            ask if ask.is_for_clients() => return self.asks(id, message.id.id()?, Some(message)),
            _early if !self.servers[&id].is_greeted => return None,
            Shape::Cancelled => return self.withdraws(id, message),
            Shape::Progress => return self.progresses(id, message),
            Shape::Log(_) | Shape::Told => self.cause(id, message),
            Shape::ListChanged(list) => self.list_changes(id, usize::from(list)),
            Shape::Updated(at) => self.subscribers(id, message, payload::uri(at)),
            Shape::Settled => {
                let question = self.said.get_mut(message.about?.number)?;
                let (session, _) = question.put_to.take_if(|(_, by)| *by == id)?;
                Audience::Session(session)
            }
            _never_said => return None,
        };
        self.meant_for(message, audience);
        Some(())
    }

    /// Whose business it is what a server says because of a call.
    pub(crate) fn cause(&self, id: UpstreamId, message: &Message) -> Audience {
        // A server that goes on for long after it was told not to lies about the cause.
        let is_fresh = |since| self.now < since + self.limits.ghost_life;
        let is_asked_for = |sent: &&Sent| {
            let is_askable = sent.shape.is_some_and(Shape::is_askable);
            is_askable && !sent.is_over && sent.cancelled.is_none_or(is_fresh)
        };
        let server = &self.servers[&id];
        let sent = message.about.and_then(|call| server.sent_for(call));
        match sent.filter(is_asked_for).and_then(|sent| sent.claim) {
            Some((session, _)) => Audience::Session(session),
            None => Audience::Anyone(id),
        }
    }

    fn answered(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let minted = message.id.number()?;
        let server = self.servers.get_mut(&id)?;
        let sent = server.sent.get_mut(&minted).filter(|sent| !sent.is_over)?;
        sent.is_over = true;
        if matches!(sent.shape, Some(Shape::Hello { .. })) {
            return self.greeted(id, message);
        }
        let (session, request) = sent.claim.filter(|_| sent.cancelled.is_none())?;
        self.doubt_asks_of(id, request);
        let owed = self.owed_for(session, (id, minted))?;
        owed.is_over = owed.in_batch;
        let (own_id, in_batch) = (owed.message.id, owed.in_batch);
        let said = self.meant_for(message, Audience::Session(session));
        // It may put a question by address.
        (said.id, said.answers, said.put_to) = (own_id, Some(request), Some((session, id)));
        if !in_batch {
            self.due.push(Due::Hear(session, message.mark.number));
        }
        Some(())
    }

    /// Who honestly asks because of a call does not answer it meanwhile.
    fn doubt_asks_of(&mut self, id: UpstreamId, call: Mark) {
        for number in self.servers[&id].asks.values().flatten() {
            if let Some(said) = self.said.get_mut(*number)
                && said.message.about == Some(call)
                && said.audience != Audience::Nobody
            {
                said.audience = Audience::Anyone(id);
            }
        }
    }

    /// A server has answered our own greeting.
    fn greeted(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let server = self.servers.get_mut(&id)?;
        let is_running = server.process == Process::Running;
        let declares = message.declares().filter(|_| is_running)?;
        (server.is_greeted, server.handshake) = (true, Some(*message));
        server.whole_since = Some(self.tick);
        if DECLARED[usize::from(declares)].contains("tasks") {
            self.private.extend(server.key.as_ref().map(Key::route));
        }
        // Another process may have other lists.
        for list in 0..LISTS.len() {
            self.list_changes(id, list);
        }
        Some(())
    }

    /// Who is served may hear that a list has changed, and must if it was promised to.
    fn list_changes(&mut self, id: UpstreamId, list: usize) -> Audience {
        let here = self.sessions.values_mut();
        for session in here.filter(|session| session.is_at(id)) {
            let (may, must) = session.news[list];
            session.news[list] = (may + 1, must || session.promised == Some(0));
        }
        Audience::Sharers(id)
    }

    /// A server asks, in a message or in a line that is none.
    fn asks(&mut self, id: UpstreamId, key: RequestId, message: Option<&Message>) -> Option<()> {
        let server = self.servers.get_mut(&id)?;
        let is_new = server.is_greeted && !server.asks.contains_key(&key);
        let number = message.map_or(usize::MAX, |message| message.mark.number);
        server.ask(key.clone(), number);
        self.asking = Some((id, key.clone()));
        if let Some(message) = message.filter(|it| is_new && it.shape.is_for_clients()) {
            let audience = self.cause(id, message);
            self.meant_for(message, audience);
            if self.owner_of_ask(id, number).is_some() {
                self.due.push(Due::Decided(id, number));
            }
        } else {
            self.due.push(Due::AskAnswered(id, key));
        }
        Some(())
    }

    fn withdraws(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let asks = self.servers.get_mut(&id)?.asks.remove(&message.id.id()?)?;
        let is_over = |(_, ask): &(_, Message)| asks.contains(&ask.mark.number);
        let (session, shown) = self.sessions.iter_mut().find_map(|(session, known)| {
            let mut asked = known.asked.extract_if(.., |_, ask| is_over(ask));
            Some((*session, asked.next()?.0))
        })?;
        self.meant_for(message, Audience::Session(session)).id = Ident::Number(shown);
        self.due.push(Due::Hear(session, message.mark.number));
        Some(())
    }

    fn progresses(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let minted = message.token.number()?;
        let sent = self.servers[&id].sent.get(&minted);
        let sent = sent.filter(|sent| !sent.is_over && sent.cancelled.is_none())?;
        let (session, _) = sent.claim?;
        let token = self.owed_for(session, (id, minted))?.message.token;
        if token != Ident::None {
            self.meant_for(message, Audience::Session(session)).token = token;
            self.due.push(Due::Hear(session, message.mark.number));
        }
        Some(())
    }

    fn subscribers(&mut self, id: UpstreamId, message: &Message, uri: &str) -> Audience {
        let mut topics = self.topics_at(id);
        topics.retain(|(_, topic, wanted)| {
            // A server may name a part of what was subscribed to.
            let is_part = uri.starts_with(&format!("{topic}/"));
            *wanted != Some(false) && (*topic == uri || is_part)
        });
        for (session, _, wanted) in &topics {
            let hear = Due::Hear(*session, message.mark.number);
            if *wanted == Some(true) && !self.due.contains(&hear) {
                self.due.push(hear);
            }
        }
        Audience::Each(topics.into_iter().map(|(session, ..)| session).collect())
    }

    /// A line of a server that is no message is about to reach the core.
    pub(crate) fn server_fault(&mut self, id: UpstreamId, fault: &Fault) -> Option<()> {
        let (about, named) = (fault.about(), fault.id());
        let server = self.servers.get_mut(&id)?;
        match about.purpose {
            Purpose::Noise => {}
            Purpose::Question => return self.asks(id, named?.clone(), None),
            Purpose::Answer | Purpose::Either => {
                let minted = named.and_then(RequestId::as_number);
                if let Some(sent) = minted.and_then(|minted| server.sent.get_mut(&minted)) {
                    sent.is_over = true;
                }
                let is_hit = |(at, minted)| at == id && may_mean(about, minted);
                let owed = self.sessions.values_mut();
                let owed = owed.flat_map(|session| session.owed.values_mut());
                for owed in owed.filter(|owed| owed.minted.is_some_and(is_hit)) {
                    (owed.is_spoilt, owed.is_over) = (true, owed.in_batch);
                }
            }
        }
        Some(())
    }
}
