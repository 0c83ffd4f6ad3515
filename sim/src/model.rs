//! What we expect: who is owed what, who may hear what, what each server has seen.
//!
//! The model knows the protocol and what scripted peers mean, not how the core goes about it. It is
//! told what reaches the core before the core is; what the core does is held against it in
//! [`crate::invariants`].
//!
//! **Invariant:** every message that was ever said has one entry that says who may hear it.

use mux::{DropReason, Fact, LineNumber, SessionId, UpstreamId};
use wire::{About, Fault, Named, Purpose};

use crate::{
    payload::{Ident, Mark, Message, Owner, Shape},
    peers::{Key, Process},
    wish::Wish,
};

mod books;
mod servers;

pub(crate) use books::*;

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
        });
        message
    }

    fn meant_for(&mut self, message: &Message, audience: Audience) -> &mut Said {
        let said = &mut self.said[message.mark.number];
        said.audience = audience;
        said
    }

    /// Something of a client is about to reach the core.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn client_says(
        &mut self,
        id: SessionId,
        line: LineNumber,
        message: &Message,
        in_batch: bool,
    ) {
        let (now, tick) = (self.now, self.tick);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match message.shape {
            Shape::Cancelled => self.cancelled(id, message),
            Shape::Told => drop(self.meant_for(message, Audience::ItsServer)),
            Shape::Initialized | Shape::RootsChanged => {}
            Shape::Progress => {
                let asked = message
                    .token
                    .number()
                    .and_then(|shown| session.asked.get(&shown));
                if let Some((upstream, _, token)) =
                    asked.cloned().filter(|(.., token)| *token != Ident::None)
                {
                    self.meant_for(message, Audience::Server(upstream)).token = token;
                }
            }
            Shape::Result | Shape::Error => {
                let asked = message
                    .id
                    .number()
                    .and_then(|shown| session.asked.remove(&shown));
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
                let is_first = !session.is_served
                    && !session.owed.values().any(|owed| owed.message.is_hello());
                if let (Shape::Hello { version, class }, true) = (message.shape, is_first) {
                    (session.version, session.key.class) =
                        (version, session.key.fixed_class.unwrap_or(class));
                }
                session.wish(message.shape, Wish::begin, Wish::begin);
                let owed = Owed {
                    message: *message,
                    line,
                    in_batch,
                    since: now,
                    tick,
                    minted: None,
                    writes: 0,
                    is_spoilt: false,
                    is_over: false,
                    is_cancelled: false,
                };
                session.owed.insert(key, owed);
                self.meant_for(message, Audience::ItsServer);
            }
        }
    }

    fn cancelled(&mut self, id: SessionId, message: &Message) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(key) = message.id.id() else { return };
        let Some(owed) = session
            .owed
            .get_mut(&key)
            .filter(|owed| !owed.message.is_hello())
        else {
            return;
        };
        let (minted, shape) = (owed.minted, owed.message.shape);
        if owed.in_batch {
            // It may have been answered already, together with others that have not.
            if std::mem::replace(&mut owed.is_over, true) {
                return;
            }
            owed.is_cancelled = true;
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
    pub(crate) fn client_fault(&mut self, id: SessionId, fault: &Fault, in_batch: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
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
            let asked = ids
                .iter()
                .filter_map(|shown| session.asked.remove(&shown.as_number()?));
            self.due
                .extend(asked.map(|(upstream, ask, _)| Due::AskAnswered(upstream, ask)));
        }
    }

    /// A session can answer nothing more: it says so, or does not read.
    pub(crate) fn deaf(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        for (upstream, ask, _) in std::mem::take(&mut session.asked).into_values() {
            self.due.push(Due::AskAnswered(upstream, ask));
        }
    }

    /// A session was cut: all that it is owed ends now.
    pub(crate) fn cut(&mut self, id: SessionId) {
        self.deaf(id);
        let tick = self.tick;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.cut_at = Some(tick + 1);
        let owed = session.owed.iter().filter(|(_, owed)| !owed.in_batch);
        self.due
            .extend(owed.map(|(key, _)| Due::Answered(id, key.clone())));
    }

    /// A session is gone, by its own wish or the core's.
    pub(crate) fn gone(&mut self, id: SessionId) {
        self.deaf(id);
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        for owed in session.owed.values().filter(|owed| !owed.is_over) {
            let Some((upstream, minted)) = owed.minted else {
                continue;
            };
            if self.servers[&upstream].process == Process::Running {
                self.due.push(Due::Cancel(upstream, minted));
            }
        }
    }

    /// A process is gone. What it was given and may not be given twice is answered now, but for what was
    /// never written to it. Says whether there was such a request of a session that waits.
    pub(crate) fn exited(&mut self, id: UpstreamId, unwritten: &[u64]) -> bool {
        let mut returned = false;
        let Some(server) = self.servers.get_mut(&id) else {
            return returned;
        };
        let sent = std::mem::take(&mut server.sent);
        let over = sent.into_iter().map(|(minted, sent)| {
            (
                minted,
                Sent {
                    is_over: true,
                    ..sent
                },
            )
        });
        let (key, handshake) = (server.key.take(), server.handshake);
        *server = Server {
            key,
            handshake,
            sent: over.collect(),
            ..Server::default()
        };
        for (session_id, session) in &mut self.sessions {
            for shown in session
                .asked
                .extract_if(.., |_, (at, ..)| *at == id)
                .map(|(shown, _)| shown)
            {
                self.due.push(Due::Withdrawn(*session_id, shown));
            }
            for (key, owed) in &mut session.owed {
                if let Some((_, minted)) = owed.minted.take_if(|(at, _)| *at == id) {
                    if unwritten.contains(&minted) {
                        returned = true;
                        owed.writes -= 1;
                    } else if !owed.in_batch
                        && (!owed.message.shape.is_read_only() || owed.writes >= 2)
                    {
                        self.due.push(Due::Answered(*session_id, key.clone()));
                    }
                }
            }
        }
        returned
    }

    /// Whether a server of this route ever said that it cannot be shared.
    pub(crate) fn is_private(&self, key: &Key) -> bool {
        self.private.contains(&key.route())
    }

    /// What the core says of where sessions went, and of what it could not say.
    pub(crate) fn fact(&mut self, fact: &Fact) {
        if let Fact::SessionRouted { session, upstream } = fact
            && let Some(session) = self.sessions.get_mut(session)
        {
            session.upstream = Some(*upstream);
            // One of a session alone that has served nobody is as good as a new one.
            if let Some(server) = self.servers.get_mut(upstream)
                && let Some(key) = server.key.as_mut().filter(|key| key.alone.is_some())
            {
                key.alone = session.key.alone;
            }
        }
        // A server that asks and asks and does not read gets no answer.
        if let Fact::Dropped {
            reason: DropReason::NotRead,
            ..
        } = fact
            && let Some((id, ask)) = self.asking.take()
        {
            self.due
                .retain(|due| *due != Due::AskAnswered(id, ask.clone()));
            let server = self.servers.get_mut(&id);
            let last = server.and_then(|server| server.asks.get_mut(&ask)?.pop());
            if let Some(said) = last.and_then(|(number, _)| self.said.get_mut(number)) {
                said.audience = Audience::Nobody;
            }
            self.forget_answered(id);
        }
    }

    /// Asks of which none is open are no asks.
    pub(crate) fn forget_answered(&mut self, id: UpstreamId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.asks.retain(|_, asks| !asks.is_empty());
        }
    }
}
