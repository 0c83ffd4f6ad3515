//! What servers say, and who may hear it.

use std::collections::BTreeSet;

use mux::UpstreamId;
use wire::{Fault, Named, Purpose};

use super::{Audience, Due, Model, Session};
use crate::{
    payload::{self, DECLARED, Ident, Mark, Message, Owner, Shape},
    peers::{Key, Process},
    wish::Wish,
};

impl Model {
    /// Something of a server is about to reach the core.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn server_says(&mut self, id: UpstreamId, message: &Message) {
        let is_ready = self.servers[&id].greeting.is_some();
        let audience = match message.shape {
            Shape::Greeting { .. } | Shape::Result | Shape::Error | Shape::UrlError => {
                return self.answered(id, message);
            }
            Shape::Ping
            | Shape::Roots
            | Shape::Sampling { .. }
            | Shape::Elicit { .. }
            | Shape::Inquiry => return self.asks(id, message),
            Shape::Cancelled => return self.withdraws(id, message),
            _early if !is_ready => Audience::Nobody,
            Shape::Progress => return self.progresses(id, message),
            Shape::Log(_) => self.cause(id, message),
            Shape::Told => self.cause(id, message),
            Shape::ListChanged(list) => {
                for session in self
                    .sessions
                    .values_mut()
                    .filter(|session| session.is_at(id))
                {
                    let (may, must) = &mut session.news[usize::from(list)];
                    (*may, *must) = (*may + 1, *must || session.promised == Some(0));
                }
                Audience::Sharers(id)
            }
            Shape::Updated(at) => self.subscribers(id, message, payload::uri(at)),
            Shape::Settled => {
                let question = message.about.map_or(usize::MAX, |question| question.number);
                let asked = self
                    .servers
                    .get_mut(&id)
                    .and_then(|server| server.questions.remove(&question));
                asked.map_or(Audience::Nobody, Audience::Session)
            }
            _never_said => Audience::Nobody,
        };
        self.meant_for(message, audience);
    }

    /// Whose business it is what a server says because of a call.
    pub(crate) fn cause(&self, id: UpstreamId, message: &Message) -> Audience {
        let Some(cause) = message.about else {
            return Audience::Anyone(id);
        };
        let call = self.servers[&id]
            .sent
            .values()
            .rfind(|sent| sent.claim.is_some_and(|(_, mark)| mark == cause));
        let ghost_life = self.limits.ghost_life;
        // A server that goes on for long after it was told not to lies about the cause.
        let is_true = call
            .filter(|call| call.shape.is_some_and(Shape::is_askable) && !call.is_over)
            .is_some_and(|call| {
                call.cancelled
                    .is_none_or(|since| self.now < since + ghost_life)
            });
        match cause.owner {
            Owner::Session(session) if is_true => Audience::Session(session),
            Owner::Session(_) | Owner::Server(_) => Audience::Anyone(id),
        }
    }

    fn answered(&mut self, id: UpstreamId, message: &Message) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let Some(minted) = message.id.number() else {
            return;
        };
        let Some(sent) = server.sent.get_mut(&minted).filter(|sent| !sent.is_over) else {
            return;
        };
        sent.is_over = true;
        let claim = sent.claim.filter(|_| sent.cancelled.is_none());
        if matches!(sent.shape, Some(Shape::Hello { .. })) {
            self.greeted(id, message);
            return;
        }
        let Some((session_id, request)) = claim else {
            return;
        };
        self.doubt_asks_of(id, request);
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(owed) = session
            .owed
            .values_mut()
            .find(|owed| owed.message.mark == request)
        else {
            return;
        };
        if owed.minted != Some((id, minted)) || owed.is_over {
            return;
        }
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

    /// Who honestly asks because of a call does not answer it meanwhile.
    fn doubt_asks_of(&mut self, id: UpstreamId, call: Mark) {
        let asks = self.servers.get(&id).into_iter();
        let open = asks
            .flat_map(|server| server.asks.values().flatten())
            .filter(|(_, to)| to.is_none());
        for (number, _) in open {
            if let Some(said) = self.said.get_mut(*number)
                && said.message.about == Some(call)
                && said.audience != Audience::Nobody
            {
                said.audience = Audience::Anyone(id);
            }
        }
    }

    /// A server has answered our own greeting.
    fn greeted(&mut self, id: UpstreamId, message: &Message) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let (Shape::Greeting { declares, .. }, Process::Running) = (message.shape, server.process)
        else {
            return;
        };
        if DECLARED[usize::from(declares)].contains("tasks") {
            self.private.extend(server.key.as_ref().map(Key::route));
        }
        let promised = self
            .sessions
            .values_mut()
            .filter(|session| session.is_at(id));
        for session in promised {
            // Another process may have other lists.
            let is_promised = session.promised == Some(0);
            for (may, must) in &mut session.news {
                (*may, *must) = (*may + 1, *must || is_promised);
            }
        }
        (server.greeting, server.handshake, server.whole_since) =
            (Some(*message), Some(*message), Some(self.tick));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    fn asks(&mut self, id: UpstreamId, message: &Message) {
        let Some(key) = message.id.id() else { return };
        let server = &self.servers[&id];
        let is_new = !server.asks.contains_key(&key) && server.greeting.is_some();
        let audience = match message.shape {
            Shape::Sampling { .. } | Shape::Elicit { .. } | Shape::Inquiry if is_new => {
                self.cause(id, message)
            }
            _answered_at_once => Audience::Nobody,
        };
        self.asking = Some((id, key.clone()));
        if audience == Audience::Nobody {
            self.due.push(Due::AskAnswered(id, key.clone()));
        }
        let asks = self
            .servers
            .get_mut(&id)
            .map(|server| server.asks.entry(key).or_default());
        if let Some(asks) = asks {
            asks.push((message.mark.number, None));
        }
        self.meant_for(message, audience);
    }

    fn withdraws(&mut self, id: UpstreamId, message: &Message) {
        let Some(server) = self
            .servers
            .get_mut(&id)
            .filter(|server| server.greeting.is_some())
        else {
            return;
        };
        let asks = message
            .id
            .id()
            .and_then(|key| server.asks.remove(&key))
            .unwrap_or_default();
        for (asked, (session_id, shown)) in asks
            .into_iter()
            .filter_map(|(asked, shown)| Some((asked, shown?)))
        {
            if let Some(session) = self.sessions.get_mut(&session_id)
                && session.asked.remove(&shown).is_some()
            {
                self.said[asked].audience = Audience::Nobody;
                self.meant_for(message, Audience::Session(session_id)).id = Ident::Number(shown);
                self.due.push(Due::Hear(session_id, message.mark.number));
            }
        }
    }

    fn progresses(&mut self, id: UpstreamId, message: &Message) {
        let sent = message
            .token
            .number()
            .and_then(|minted| Some((minted, self.servers[&id].sent.get(&minted)?)));
        let Some((minted, sent)) =
            sent.filter(|(_, sent)| !sent.is_over && sent.cancelled.is_none())
        else {
            return;
        };
        let Some((session_id, request)) = sent.claim else {
            return;
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let owed = session
            .owed
            .values()
            .find(|owed| owed.message.mark == request && owed.minted == Some((id, minted)));
        if let Some(owed) = owed.filter(|owed| owed.message.token != Ident::None && !owed.is_over) {
            let token = owed.message.token;
            self.meant_for(message, Audience::Session(session_id)).token = token;
            self.due.push(Due::Hear(session_id, message.mark.number));
        }
    }

    fn subscribers(&mut self, id: UpstreamId, message: &Message, uri: &str) -> Audience {
        let here = || {
            self.sessions
                .iter()
                .filter(|(_, session)| session.is_at(id))
        };
        let wants =
            |session: &Session, uri: &str| session.topics.get(uri).map_or(Some(false), Wish::now);
        let is_exact = here().any(|(_, session)| wants(session, uri) != Some(false));
        let (mut may, mut must) = (BTreeSet::new(), Vec::new());
        for (session_id, session) in here() {
            for whole in session.topics.keys() {
                // A server may name a part of what was subscribed to.
                let is_part = uri
                    .strip_prefix(whole)
                    .is_some_and(|rest| rest.starts_with('/'));
                let certain =
                    wants(session, whole).filter(|_| *whole == uri || (is_part && !is_exact));
                if (*whole == uri || is_part) && wants(session, whole) != Some(false) {
                    may.insert(*session_id);
                    must.extend(
                        certain
                            .filter(|certain| *certain)
                            .map(|_| Due::Hear(*session_id, message.mark.number)),
                    );
                }
            }
        }
        must.dedup();
        self.due.extend(must);
        Audience::Each(may)
    }

    /// A line of a server that is no message is about to reach the core.
    pub(crate) fn server_fault(&mut self, id: UpstreamId, fault: &Fault) {
        let about = fault.about();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        match (about.purpose, fault.id()) {
            (Purpose::Noise, _) | (Purpose::Question, None) => {}
            (Purpose::Question, Some(named)) => {
                server
                    .asks
                    .entry(named.clone())
                    .or_default()
                    .push((usize::MAX, None));
                self.due.push(Due::AskAnswered(id, named.clone()));
                self.asking = Some((id, named.clone()));
            }
            (Purpose::Answer | Purpose::Either, named) => {
                let hit = |minted: u64| match &about.named {
                    Named::Nobody => false,
                    Named::One(one) => one.as_number() == Some(minted),
                    Named::Several(several) => {
                        several.iter().any(|one| one.as_number() == Some(minted))
                    }
                    Named::Unknown => true,
                };
                let owed = self
                    .sessions
                    .values_mut()
                    .flat_map(|session| session.owed.values_mut());
                for owed in owed.filter(|owed| {
                    owed.minted
                        .is_some_and(|(at, minted)| at == id && hit(minted))
                }) {
                    (owed.is_spoilt, owed.is_over) = (true, owed.in_batch);
                }
                let sent = named.and_then(|named| server.sent.get_mut(&named.as_number()?));
                if let Some(sent) = sent {
                    sent.is_over = true;
                }
            }
        }
    }
}
