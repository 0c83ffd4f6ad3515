//! What we expect: who is owed what, who may hear what, what each server has seen.
//!
//! The model knows the protocol and what scripted peers mean, not how the core goes about it. It is
//! told what reaches the core before the core is; what the core does is held against it in
//! [`crate::invariants`].
//!
//! The model itself is this file, `servers`, and of `invariants::asks` the function `owner_of_ask`, which
//! says whom a question is for: about 350 lines of code that say what each message means, and to whom.
//! `books` is its data, with what is looked up in it; it decides nothing. A function returns `None` where
//! what it is told means nothing to anybody.
//!
//! **Invariant:** every message that was ever said has one entry that says who may hear it.

use mux::{LineNumber, SessionId, UpstreamId};
use wire::{About, Fault, Named, Purpose, RequestId};

use crate::{
    payload::{Ident, Message, Shape},
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
            Shape::Told => {
                let since = session.is_served.then_some(self.tick);
                self.meant_for(message, Audience::ItsServer).since = since;
            }
            Shape::Initialized | Shape::RootsChanged => {}
            Shape::Progress => {
                let (upstream, ask) = *session.asked.get(&message.token.number()?)?;
                if ask.token != Ident::None {
                    self.meant_for(message, Audience::Server(upstream)).token = ask.token;
                    self.due.push(Due::Relayed(upstream, message.mark.number));
                }
            }
            Shape::Result | Shape::Error => {
                let (upstream, ask) = session.asked.remove(&message.id.number()?)?;
                self.meant_for(message, Audience::Server(upstream)).id = ask.id;
                self.due.push(Due::Relayed(upstream, message.mark.number));
            }
            _request => {
                let key = message.id.id()?;
                if session.owed.contains_key(&key) {
                    self.due.push(Due::InUse(id, key));
                    return None;
                }
                let is_first = !session.is_served && !session.has_said_hello();
                if let (Shape::Hello { class, .. }, true) = (message.shape, is_first) {
                    session.declared = class;
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
        let owed = session.owed.get_mut(&key);
        // One of a batch may have been answered already, together with others that have not.
        let owed = owed.filter(|owed| !owed.message.is_hello() && !owed.is_over)?;
        (owed.is_over, owed.is_cancelled) = (true, true);
        let (minted, shape) = (owed.minted, owed.message.shape);
        session.owed.retain(|_, it| it.in_batch || !it.is_over);
        session.wish(shape, Wish::lose, Wish::lose);
        let (upstream, minted) = minted?;
        self.meant_for(message, Audience::Server(upstream)).id = Ident::Number(minted);
        self.due.push(Due::Cancel(upstream, minted));
        Some(())
    }

    /// A line of a client that is no message is about to reach the core.
    pub(crate) fn client_fault(&mut self, id: SessionId, fault: &Fault) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        let (about, ids) = (fault.about(), ids_of(&fault.about().named));
        let named = fault.id().filter(|named| !session.owed.contains_key(named));
        // What it was told before the end of the line is told once, and under one id.
        let told = session.overrun.take();
        let is_told = told.is_some_and(|as_its_answer| as_its_answer || named.is_none());
        // Nobody waits for a word about an answer but the server.
        if !is_told && (about.purpose != Purpose::Answer || ids.is_empty()) {
            self.due.push(Due::Malformed(id, named.cloned()));
        }
        let may_answer = matches!(about.purpose, Purpose::Answer | Purpose::Either);
        self.ends_asks(id, |shown| may_answer && may_mean(about, shown))
    }

    /// A client is in the middle of a line that is no message, as the core is about to hear.
    pub(crate) fn client_overrun(&mut self, id: SessionId, fault: &Fault) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        let about = fault.about();
        if about.purpose == Purpose::Answer && about.certain_id().is_some() {
            return self.ends_asks(id, |shown| may_mean(about, shown));
        }
        let named = fault.id().filter(|named| !session.owed.contains_key(named));
        let named = named.filter(|_| about.purpose == Purpose::Question);
        session.overrun = Some(named.is_some());
        self.due.push(Due::Malformed(id, named.cloned()));
        Some(())
    }

    /// A session has answered these asks, or never will.
    fn ends_asks(&mut self, id: SessionId, is_over: impl Fn(u64) -> bool) -> Option<()> {
        let asked = &mut self.sessions.get_mut(&id)?.asked;
        for (_, (upstream, ask)) in asked.extract_if(.., |shown, _| is_over(*shown)) {
            self.due.push(Due::AskAnswered(upstream, ask.id.id()?));
        }
        Some(())
    }

    /// A session can answer nothing more: it says so, or does not read.
    pub(crate) fn deaf(&mut self, id: SessionId) -> Option<()> {
        self.ends_asks(id, |_| true)
    }

    /// A session was cut: all that it is owed ends now.
    pub(crate) fn cut(&mut self, id: SessionId) -> Option<()> {
        self.deaf(id);
        let session = self.sessions.get_mut(&id)?;
        session.cut_at = Some(self.tick + 1);
        for (key, _) in session.owed.iter().filter(|(_, owed)| !owed.in_batch) {
            self.due.push(Due::Answered(id, key.clone()));
        }
        Some(())
    }

    /// A session is gone, by its own wish or the core's.
    pub(crate) fn gone(&mut self, id: SessionId) -> Option<()> {
        self.deaf(id);
        let owed = self.sessions.remove(&id)?.owed.into_values();
        let left = owed.filter(|owed| !owed.is_over);
        for (upstream, minted) in left.filter_map(|owed| owed.minted) {
            self.due.push(Due::Cancel(upstream, minted));
        }
        Some(())
    }

    /// A process is gone. What it was given and may not be given twice is answered now, but for what was
    /// never written to it.
    pub(crate) fn exited(&mut self, id: UpstreamId, unwritten: &[u64]) {
        self.servers.entry(id).and_modify(Server::end);
        for (session_id, session) in &mut self.sessions {
            for (shown, _) in session.asked.extract_if(.., |_, (at, _)| *at == id) {
                self.due.push(Due::Withdrawn(*session_id, shown));
            }
            for (key, owed) in &mut session.owed {
                let may_go_again = owed.message.shape.is_read_only() && owed.writes < 2;
                let must_end = !owed.in_batch && !may_go_again;
                match owed.minted.take_if(|(at, _)| *at == id) {
                    Some((_, minted)) if unwritten.contains(&minted) => owed.writes -= 1,
                    Some(_) if must_end => self.due.push(Due::Answered(*session_id, key.clone())),
                    Some(_) | None => {}
                }
            }
        }
    }

    /// The core has found a server for a session.
    pub(crate) fn routed(&mut self, id: SessionId, upstream: UpstreamId) -> Option<()> {
        let session = self.sessions.get_mut(&id)?;
        session.upstream = Some(upstream);
        // One of a session alone that has served nobody is as good as a new one.
        let key = self.servers.get_mut(&upstream)?.key.as_mut()?;
        key.alone = key.alone.and(session.key.alone);
        Some(())
    }
}

/// Whether a line at fault may have been about what has this number.
fn may_mean(about: &About, number: u64) -> bool {
    let mut numbers = ids_of(&about.named).iter().filter_map(RequestId::as_number);
    about.named == Named::Unknown || numbers.any(|known| known == number)
}
