//! What we expect: who is owed what, who may hear what, what each server has seen.
//!
//! The model knows the protocol and what scripted peers mean, not how the core goes about it. It is
//! told what reaches the core before the core is; what the core does is held against it in
//! [`crate::invariants`].
//!
//! The model itself is this file and `servers`: about 350 lines of code that say what each message means,
//! and to whom. `books` is its data and decides nothing. A function returns `None` where what it is told
//! means nothing to anybody.
//!
//! **Invariant:** every message that was ever said has one entry that says who may hear it.

use mux::{DropReason, Fact, LineNumber, SessionId, UpstreamId};
use wire::{Fault, Named, Purpose, RequestId};

use crate::{
    payload::{Ident, Message, Shape},
    peers::Process,
    wish::Wish,
};

mod books;
mod servers;

pub(crate) use books::*;

impl Model {
    /// Something of a client is about to reach the core.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike here")]
    pub(crate) fn client_says(
        &mut self,
        id: SessionId,
        line: LineNumber,
        message: &Message,
        in_batch: bool,
    ) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        match message.shape {
            Shape::Cancelled => self.cancelled(id, message)?,
            Shape::Told => drop(self.meant_for(message, Audience::ItsServer)),
            Shape::Initialized | Shape::RootsChanged => {}
            Shape::Progress => {
                let asked = session.asked.get(&message.token.number()?)?;
                let (upstream, token) = (asked.0, asked.2);
                if token != Ident::None {
                    self.meant_for(message, Audience::Server(upstream)).token = token;
                }
            }
            Shape::Result | Shape::Error => {
                let (upstream, ask, _) = session.asked.remove(&message.id.number()?)?;
                let own = self.servers[&upstream].asks[&ask][0].0;
                let own = self.said[own].message.id;
                self.meant_for(message, Audience::Server(upstream)).id = own;
                self.due.push(Due::AskAnswered(upstream, ask));
            }
            _request => {
                let key = message.id.id()?;
                if session.owed.contains_key(&key) {
                    self.due.push(Due::InUse(id, key));
                    return None;
                }
                let is_first = !session.is_served && !session.has_said_hello();
                if let (Shape::Hello { version, class }, true) = (message.shape, is_first) {
                    session.version = version;
                    session.key.class = session.key.fixed_class.unwrap_or(class);
                }
                session.wish(message.shape, Wish::begin, Wish::begin);
                let owed = Owed::new(*message, (line, in_batch), (self.now, self.tick));
                session.owed.insert(key, owed);
                self.meant_for(message, Audience::ItsServer);
            }
        }
        Some(())
    }

    fn cancelled(&mut self, id: SessionId, message: &Message) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        let key = message.id.id()?;
        let owed = session.owed.get_mut(&key)?;
        let (minted, shape) = (owed.minted, owed.message.shape);
        // One of a batch may have been answered already, together with others that have not.
        if owed.message.is_hello() || owed.is_over {
            return None;
        }
        if owed.in_batch {
            (owed.is_over, owed.is_cancelled) = (true, true);
        } else {
            session.owed.remove(&key);
        }
        session.wish(shape, Wish::lose, Wish::lose);
        let (upstream, minted) = minted?;
        self.meant_for(message, Audience::Server(upstream)).id = Ident::Number(minted);
        self.due.push(Due::Cancel(upstream, minted));
        Some(())
    }

    /// A line of a client that is no message is about to reach the core.
    pub(crate) fn client_fault(
        &mut self,
        id: SessionId,
        fault: &Fault,
        in_batch: bool,
    ) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        let about = fault.about();
        let ids = ids_of(&about.named);
        // Nobody waits for a word about an answer but the server.
        let is_answer = about.purpose == Purpose::Answer && !ids.is_empty();
        if !is_answer && !in_batch {
            let named = fault.id().filter(|named| !session.owed.contains_key(named));
            self.due.push(Due::Malformed(id, named.cloned()));
        }
        if !matches!(about.purpose, Purpose::Answer | Purpose::Either) {
            return None;
        }
        if about.named == Named::Unknown {
            return self.deaf(id);
        }
        let shown = ids.iter().filter_map(RequestId::as_number);
        let asked = shown.filter_map(|shown| session.asked.remove(&shown));
        self.due
            .extend(asked.map(|(upstream, ask, _)| Due::AskAnswered(upstream, ask)));
        Some(())
    }

    /// A session can answer nothing more: it says so, or does not read.
    pub(crate) fn deaf(&mut self, id: SessionId) -> Option<()> {
        let asked = std::mem::take(&mut self.sessions.get_mut(&id)?.asked);
        let asked = asked.into_values();
        self.due
            .extend(asked.map(|(upstream, ask, _)| Due::AskAnswered(upstream, ask)));
        Some(())
    }

    /// A session was cut: all that it is owed ends now.
    pub(crate) fn cut(&mut self, id: SessionId) -> Option<()> {
        self.deaf(id);
        let session = self.sessions.get_mut(&id)?;
        session.cut_at = Some(self.tick + 1);
        let owed = session.owed.iter().filter(|(_, owed)| !owed.in_batch);
        self.due
            .extend(owed.map(|(key, _)| Due::Answered(id, key.clone())));
        Some(())
    }

    /// A session is gone, by its own wish or the core's.
    pub(crate) fn gone(&mut self, id: SessionId) -> Option<()> {
        self.deaf(id);
        let session = self.sessions.remove(&id)?;
        let left = session.owed.values().filter(|owed| !owed.is_over);
        let left = left.filter_map(|owed| owed.minted);
        let left = left.filter(|(at, _)| self.servers[at].process == Process::Running);
        self.due
            .extend(left.map(|(upstream, minted)| Due::Cancel(upstream, minted)));
        Some(())
    }

    /// A process is gone. What it was given and may not be given twice is answered now, but for what was
    /// never written to it. Says whether there was such a request of a session that waits.
    pub(crate) fn exited(&mut self, id: UpstreamId, unwritten: &[u64]) -> bool {
        let mut returned = false;
        self.servers.entry(id).and_modify(Server::end);
        for (session_id, session) in &mut self.sessions {
            let asked = session.asked.extract_if(.., |_, (at, ..)| *at == id);
            self.due
                .extend(asked.map(|(shown, _)| Due::Withdrawn(*session_id, shown)));
            for (key, owed) in &mut session.owed {
                let Some((_, minted)) = owed.minted.take_if(|(at, _)| *at == id) else {
                    continue;
                };
                let may_go_again = owed.message.shape.is_read_only() && owed.writes < 2;
                if unwritten.contains(&minted) {
                    (returned, owed.writes) = (true, owed.writes - 1);
                } else if !owed.in_batch && !may_go_again {
                    self.due.push(Due::Answered(*session_id, key.clone()));
                }
            }
        }
        returned
    }

    /// What the core says of where sessions went, and of what it could not say.
    pub(crate) fn fact(&mut self, fact: &Fact) -> Option<()> {
        if let Fact::SessionRouted { session, upstream } = fact {
            let session = self.sessions.get_mut(session)?;
            session.upstream = Some(*upstream);
            // One of a session alone that has served nobody is as good as a new one.
            let key = self.servers.get_mut(upstream)?.key.as_mut()?;
            if key.alone.is_some() {
                key.alone = session.key.alone;
            }
        }
        // A server that asks and asks and does not read gets no answer.
        if let Fact::Dropped {
            reason: DropReason::NotRead,
            ..
        } = fact
        {
            let (id, ask) = self.asking.take()?;
            self.due
                .retain(|due| *due != Due::AskAnswered(id, ask.clone()));
            let (number, _) = self.servers.get_mut(&id)?.unask(&ask)?;
            self.said.get_mut(number)?.audience = Audience::Nobody;
        }
        Some(())
    }
}
