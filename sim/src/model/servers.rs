//! What servers say, and who may hear it.

use std::collections::BTreeSet;

use mux::UpstreamId;
use wire::{Fault, Named, Purpose, RequestId};

use super::{Audience, Due, Model, Sent, ids_of};
use crate::{
    payload::{self, DECLARED, Ident, LISTS, Mark, Message, Owner, Shape},
    peers::{Key, Process},
};

impl Model {
    /// Something of a server is about to reach the core.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn server_says(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let audience = match message.shape {
            answer if answer.is_answer() => return self.answered(id, message),
            Shape::Ping | Shape::Roots => return self.asks(id, message),
            ask if ask.is_for_clients() => return self.asks(id, message),
            _early if self.servers[&id].greeting.is_none() => Audience::Nobody,
            Shape::Cancelled => return self.withdraws(id, message),
            Shape::Progress => return self.progresses(id, message),
            Shape::Log(_) | Shape::Told => self.cause(id, message),
            Shape::ListChanged(list) => {
                self.lists_change(id, usize::from(list)..=usize::from(list));
                Audience::Sharers(id)
            }
            Shape::Updated(at) => self.subscribers(id, message, payload::uri(at)),
            Shape::Settled => {
                let questions = &mut self.servers.get_mut(&id)?.questions;
                let asked = questions.remove(&message.about?.number);
                asked.map_or(Audience::Nobody, Audience::Session)
            }
            _never_said => Audience::Nobody,
        };
        self.meant_for(message, audience);
        Some(())
    }

    /// Whose business it is what a server says because of a call.
    pub(crate) fn cause(&self, id: UpstreamId, message: &Message) -> Audience {
        // A server that goes on for long after it was told not to lies about the cause.
        let is_asked_for = |sent: &Sent| {
            sent.shape.is_some_and(Shape::is_askable) && !sent.is_over && {
                let since = sent.cancelled;
                since.is_none_or(|since| self.now < since + self.limits.ghost_life)
            }
        };
        let server = &self.servers[&id];
        let call = message
            .about
            .filter(|call| server.sent_for(*call).is_some_and(is_asked_for));
        match call.map(|call| call.owner) {
            Some(Owner::Session(session)) => Audience::Session(session),
            Some(Owner::Server(_)) | None => Audience::Anyone(id),
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
        let claim = sent.claim.filter(|_| sent.cancelled.is_none());
        let (session, request) = claim?;
        self.doubt_asks_of(id, request);
        let owed = self.owed_for(session, request, (id, minted))?;
        owed.is_over = owed.in_batch;
        let (own_id, in_batch) = (owed.message.id, owed.in_batch);
        if message.shape == Shape::UrlError {
            let questions = &mut self.servers.get_mut(&id)?.questions;
            questions.insert(message.mark.number, session);
        }
        let said = self.meant_for(message, Audience::Session(session));
        (said.id, said.answers) = (own_id, Some(request));
        if !in_batch {
            self.due.push(Due::Hear(session, message.mark.number));
        }
        Some(())
    }

    /// Who honestly asks because of a call does not answer it meanwhile.
    fn doubt_asks_of(&mut self, id: UpstreamId, call: Mark) {
        let asks = self.servers.get(&id).into_iter();
        let asks = asks.flat_map(|server| server.asks.values().flatten());
        for (number, _) in asks.filter(|(_, to)| to.is_none()) {
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
        let (Shape::Greeting { declares, .. }, Process::Running) = (message.shape, server.process)
        else {
            return None;
        };
        (server.greeting, server.handshake) = (Some(*message), Some(*message));
        server.whole_since = Some(self.tick);
        if DECLARED[usize::from(declares)].contains("tasks") {
            self.private.extend(server.key.as_ref().map(Key::route));
        }
        // Another process may have other lists.
        self.lists_change(id, 0..=LISTS.len() - 1);
        Some(())
    }

    /// Who is served may hear that lists have changed, and must if it was promised to.
    fn lists_change(&mut self, id: UpstreamId, lists: std::ops::RangeInclusive<usize>) {
        let here = self.sessions.values_mut();
        for session in here.filter(|session| session.is_at(id)) {
            for (may, must) in &mut session.news[lists.clone()] {
                *may += 1;
                *must |= session.promised == Some(0);
            }
        }
    }

    fn asks(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let key = message.id.id()?;
        let server = &self.servers[&id];
        let is_new = !server.asks.contains_key(&key) && server.greeting.is_some();
        let audience = if is_new && message.shape.is_for_clients() {
            self.cause(id, message)
        } else {
            self.due.push(Due::AskAnswered(id, key.clone()));
            Audience::Nobody
        };
        self.asking = Some((id, key.clone()));
        self.servers.get_mut(&id)?.ask(key, message.mark.number);
        self.meant_for(message, audience);
        Some(())
    }

    fn withdraws(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let asks = &mut self.servers.get_mut(&id)?.asks;
        let asks = asks.remove(&message.id.id()?)?.into_iter();
        for (asked, (session_id, shown)) in asks.filter_map(|(asked, to)| Some((asked, to?))) {
            let session = self.sessions.get_mut(&session_id);
            if session.is_some_and(|session| session.asked.remove(&shown).is_some()) {
                self.said[asked].audience = Audience::Nobody;
                self.meant_for(message, Audience::Session(session_id)).id = Ident::Number(shown);
                self.due.push(Due::Hear(session_id, message.mark.number));
            }
        }
        Some(())
    }

    fn progresses(&mut self, id: UpstreamId, message: &Message) -> Option<()> {
        let minted = message.token.number()?;
        let sent = self.servers[&id].sent.get(&minted);
        let sent = sent.filter(|sent| !sent.is_over && sent.cancelled.is_none())?;
        let (session, request) = sent.claim?;
        let token = self.owed_for(session, request, (id, minted))?.message.token;
        if token != Ident::None {
            self.meant_for(message, Audience::Session(session)).token = token;
            self.due.push(Due::Hear(session, message.mark.number));
        }
        Some(())
    }

    fn subscribers(&mut self, id: UpstreamId, message: &Message, uri: &str) -> Audience {
        // A server may name a part of what was subscribed to.
        let is_part = |whole: &str| {
            let rest = uri.strip_prefix(whole);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let mut topics = self.topics_at(id);
        topics.retain(|(_, _, wanted)| *wanted != Some(false));
        let is_exact = topics.iter().any(|(_, topic, _)| *topic == uri);
        topics.retain(|(_, topic, _)| *topic == uri || is_part(topic));
        let is_meant = |(_, topic, wanted): &&(_, &str, _)| {
            *wanted == Some(true) && (*topic == uri || !is_exact)
        };
        let must = topics.iter().filter(is_meant);
        let must: BTreeSet<_> = must.map(|(session, ..)| *session).collect();
        let hear = |session| Due::Hear(session, message.mark.number);
        self.due.extend(must.into_iter().map(hear));
        Audience::Each(topics.into_iter().map(|(session, ..)| session).collect())
    }

    /// A line of a server that is no message is about to reach the core.
    pub(crate) fn server_fault(&mut self, id: UpstreamId, fault: &Fault) -> Option<()> {
        let (about, named) = (fault.about(), fault.id());
        let server = self.servers.get_mut(&id)?;
        match about.purpose {
            Purpose::Noise => {}
            Purpose::Question => {
                let named = named?.clone();
                server.ask(named.clone(), usize::MAX);
                self.due.push(Due::AskAnswered(id, named.clone()));
                self.asking = Some((id, named));
            }
            Purpose::Answer | Purpose::Either => {
                let minted = named.and_then(RequestId::as_number);
                let sent = minted.and_then(|minted| server.sent.get_mut(&minted));
                if let Some(sent) = sent {
                    sent.is_over = true;
                }
                let hits = ids_of(&about.named).iter();
                let hits: BTreeSet<_> = hits.filter_map(RequestId::as_number).collect();
                let is_hit = |(at, minted): (UpstreamId, u64)| {
                    at == id && (about.named == Named::Unknown || hits.contains(&minted))
                };
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
