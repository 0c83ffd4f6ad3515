//! What may come of an ask of a server, of its answer, and of what a client tells: it arrives, unless
//! something excuses that.

use std::collections::BTreeSet;

use mux::{Fact, Refusal, SessionId, UpstreamId};
use wire::RequestId;

use crate::{
    model::{Audience, Due, Model, Sent},
    payload::{CLASSES, Owner, Shape},
    peers::Process,
};

use super::{Broken, Held, ensure};

impl Model {
    /// Whether so much waits that there may be no room for what a session has just said.
    pub(super) fn has_no_room_for(&self, id: SessionId) -> bool {
        self.is_crowded(0) || self.has_said_enough(id)
    }

    /// A server ceases to read, or reads again.
    pub(crate) fn reads(&mut self, id: UpstreamId, reads: bool) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.is_blocked = !reads;
        }
    }

    /// Whether there may be no room for a request of a session, or for another subscription.
    pub(super) fn may_be_too_much(&self, id: SessionId, shape: Shape) -> bool {
        let session = self.sessions.get(&id);
        let has_many = session.is_some_and(|it| it.topics_at_most() >= self.limits.subscriptions);
        let subscribes = matches!(shape, Shape::Subscribe(_));
        (subscribes && has_many) || self.has_no_room_for(id)
    }

    /// What a client has told just now there was no room for, or a request of its batch.
    pub(crate) fn excuse(&mut self, fact: &Fact) {
        let Fact::Refused {
            session,
            refusal: Refusal::Overloaded,
        } = fact
        else {
            return;
        };
        let now = self.tick.checked_sub(1);
        let in_batches = self.batched_of(*session, now);
        for (key, shape) in in_batches {
            let is_too_much = self.may_be_too_much(*session, shape);
            let session = self.sessions.get_mut(session);
            if let Some(owed) = session.and_then(|it| it.owed.get_mut(&key)) {
                owed.is_too_much |= is_too_much;
            }
        }
        if self.has_no_room_for(*session) {
            let is_its = |owner| owner == Owner::Session(*session);
            self.said
                .iter_mut()
                .filter(|said| said.since == now && is_its(said.message.mark.owner))
                .for_each(|said| said.since = None);
        }
    }

    /// What of a session's batches may be refused now: it has just come, or is a subscription.
    fn batched_of(&self, id: SessionId, now: Option<u64>) -> Vec<(RequestId, Shape)> {
        let owed = self.sessions.get(&id).into_iter().flat_map(|it| &it.owed);
        owed.filter(|(_, owed)| {
            let subscribes = matches!(owed.message.shape, Shape::Subscribe(_));
            owed.in_batch && (Some(owed.tick) == now || subscribes)
        })
        .map(|(key, owed)| (key.clone(), owed.message.shape))
        .collect()
    }

    /// Everybody has done what is expected: whatever a client told its server has arrived, if both have
    /// been there all the time and no request of the client's waits, behind which it may be.
    pub(crate) fn check_all_is_heard(&mut self) -> Held {
        self.forget_told();
        let is_lost = |(id, since): (SessionId, u64)| {
            let session = self.sessions.get(&id)?;
            let server = self.servers.get(&session.upstream?)?;
            let was_cut = session.cut_at.is_some_and(|cut_at| cut_at > since);
            Some(!was_cut && !session.has_waiting() && server.whole_since? <= since)
        };
        let lost = self.said.iter().find(|said| {
            let Owner::Session(id) = said.message.mark.owner else {
                return false;
            };
            let waits = said.audience == Audience::ItsServer;
            let since = said.since.filter(|_| waits && !self.is_shutting_down);
            since.and_then(|since| is_lost((id, since))) == Some(true)
        });
        let lost = lost.map(|said| said.message);
        ensure!(lost.is_none(), "no server has heard {lost:?}");
        Ok(())
    }

    /// Whether an ask of a server has been put to a session.
    fn is_with_client(&self, ask: usize) -> bool {
        let mut asked = self.sessions.values().flat_map(|it| it.asked.values());
        asked.any(|(_, message)| message.mark.number == ask)
    }

    /// How many bytes there are of what is relayed.
    fn length_of(&self, due: &Due) -> usize {
        match due {
            Due::Relayed(_, number) => self.said[*number].message.render().len(),
            Due::Cancel(..)
            | Due::Hear(..)
            | Due::Answered(..)
            | Due::InUse(..)
            | Due::Malformed(..)
            | Due::AskAnswered(..)
            | Due::Decided(..)
            | Due::Withdrawn(..) => 0,
        }
    }

    /// Whom an ask of a server is for, where that is clear: to the session that alone has a call at work,
    /// or that is there alone and nothing is at work.
    pub(crate) fn owner_of_ask(&self, id: UpstreamId, number: usize) -> Option<SessionId> {
        let server = self.servers.get(&id).filter(|server| {
            server.is_greeted && server.process == Process::Running && server.initialized == 1
        })?;
        // What waits, and what has ended since it came, may be the cause of what follows.
        let mut asks = server.asks.values().flatten();
        if asks.any(|ask| *ask != number && !self.is_with_client(*ask)) {
            return None;
        }
        let asking = self.asking.as_ref();
        let is_new = asking.is_some_and(|(at, ask)| {
            *at == id && server.asks.get(ask).and_then(|asks| asks.last()) == Some(&number)
        });
        let is_at_work = |sent: &&Sent| {
            let is_askable = sent.shape.is_some_and(Shape::is_askable);
            is_askable && (!sent.is_over || (!is_new && sent.cancelled.is_some()))
        };
        let at_work = || server.sent.values().filter(is_at_work);
        let here = || {
            self.sessions
                .iter()
                .filter(|(_, it)| it.upstream == Some(id))
        };
        let wants = here().filter(|(_, it)| {
            let mut owed = it.owed.values();
            owed.any(|owed| owed.message.shape.is_askable() && !owed.is_over)
        });
        let callers = at_work().filter_map(|sent| Some(sent.claim?.0));
        let callers: BTreeSet<SessionId> = callers.chain(wants.map(|(id, _)| *id)).collect();
        let mut owners = callers.iter().chain(here().map(|(id, _)| id)).copied();
        let owner = owners
            .next()
            .filter(|owner| self.sessions.get(owner).is_some_and(|it| it.is_at(id)))?;
        let is_clear = if callers.is_empty() {
            here().count() == 1
        } else {
            callers.len() == 1 && at_work().any(|sent| sent.cancelled.is_none())
        };
        is_clear.then_some(owner)
    }

    /// An ask is answered with an error of the pooler's: not in place of a client's answer, and with reason.
    pub(super) fn check_ask_refused(
        &mut self,
        id: UpstreamId,
        ask: &RequestId,
        reason: &str,
        text: &str,
    ) -> Held {
        let said = &self.said;
        let is_ask = |number: &usize| said[*number].id.id().as_ref() == Some(ask);
        let reply = self
            .due
            .iter()
            .position(|due| matches!(due, Due::Relayed(at, number) if *at == id && is_ask(number)));
        if let Some(at) = reply {
            ensure!(
                reason == "overloaded" && self.is_crowded(self.length_of(&self.due[at])),
                "{id} gets an error, and its ask was answered: {text}"
            );
            self.due.swap_remove(at);
            return Ok(());
        }
        ensure!(
            self.may_be_refused(id, ask, reason) != Some(false),
            "what {id} asks is refused without a reason: {text}"
        );
        Ok(())
    }

    /// Whether an ask may be refused for this reason; `None` if there is no such ask.
    fn may_be_refused(&self, id: UpstreamId, ask: &RequestId, reason: &str) -> Option<bool> {
        let server = self.servers.get(&id)?;
        let asks = server.asks.get(ask)?;
        let number = *asks.last()?;
        let Some(said) = self.said.get(number) else {
            return Some(reason == "malformed");
        };
        let shape = said.message.shape;
        if !server.is_greeted {
            return Some(reason == "owner-unclear");
        }
        if asks.len() > 1 && shape.is_for_clients() {
            return Some(reason == "id-in-use");
        }
        let is_ended =
            shape.is_for_clients() && self.due.contains(&Due::AskAnswered(id, ask.clone()));
        let owner = self.owner_of_ask(id, number);
        let owner = owner.and_then(|owner| self.sessions.get(&owner));
        let is_ending = owner.is_none_or(|owner| owner.ending_since.is_some());
        let class = server.key.as_ref().map_or(0, |key| key.class);
        let can_be_asked = can(class, Shape::Sampling { tools: false })
            || can(class, Shape::Elicit { url: false })
            || can(class, Shape::Elicit { url: true });
        let here = self.sessions.values().filter(|it| it.upstream == Some(id));
        Some(match reason {
            "owner-gone" => is_ended || is_ending,
            "answer-too-long" | "answer-malformed" => is_ended,
            "owner-unclear" => owner.is_none(),
            "no-such-method" => shape == Shape::Inquiry && (owner.is_none() || here.count() > 1),
            "not-capable" if shape == Shape::Roots => !can(class, shape),
            "not-capable" => !can_be_asked || owner.is_none_or(|owner| !can(owner.declared, shape)),
            "overloaded" => {
                let most = self.limits.session_asks;
                let mut here = self.sessions.values().filter(|it| it.upstream == Some(id));
                let undecided = server.asks.values().flatten();
                let undecided = undecided.filter(|ask| !self.is_with_client(**ask));
                let has_full = here.any(|it| it.asked.len() >= most);
                has_full || undecided.count() > most || self.is_crowded(0)
            }
            _never => false,
        })
    }
}

/// Whether a client that declared this can do what it is asked.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a client may be asked nothing else"
)]
fn can(class: u8, shape: Shape) -> bool {
    let declared = CLASSES[usize::from(class)];
    let words: &[&str] = match shape {
        Shape::Roots => &[r#""roots""#],
        Shape::Sampling { tools: false } => &[r#""sampling""#],
        Shape::Sampling { tools: true } => &[r#""tools""#],
        Shape::Elicit { url: true } => &[r#""url""#],
        // One that names no way means forms.
        Shape::Elicit { url: false } => &[r#""form""#, r#""elicitation":{}"#],
        _unknown => return true,
    };
    words.iter().any(|word| declared.contains(word))
}
