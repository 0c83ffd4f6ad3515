//! Lines that stay with their shim though they were answered: the next daemon must learn what they have
//! brought about.
//!
//! **Invariant:** of what holds of a session, one line stays, the last that brought it about. A shim is told
//! that a line goes only behind the answer to the line in whose place it stood.

use alloc::{boxed::Box, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use wire::{Method, Outgoing, RequestId};

use crate::{
    action::{Action, Notice, Outbox, Then},
    exchange::{Effect, Owner},
    ids::{LineNumber, SessionId, UpstreamId},
    mux::Mux,
    session::Whereabouts,
};

/// What a line stays for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Keepsake {
    /// The client has been greeted.
    Greeting,
    /// How much it wants to hear of its server's log.
    Level,
    /// It is subscribed to this resource.
    Subscription(Box<str>),
}

/// The lines of one session that stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeptLines(
    #[serde(with = "crate::frozen::forms::pairs")] BTreeMap<Keepsake, LineNumber>,
);

impl Mux {
    /// Answers a request whose line stays with the shim.
    pub(crate) fn answer_and_keep(
        &mut self,
        session_id: SessionId,
        (id, line): (&RequestId, LineNumber),
        frame: Outgoing,
        keepsake: Keepsake,
        out: &mut Outbox,
    ) {
        // The answers of a batch are one message, and the line is done with it.
        let stays = self
            .sessions
            .get(&session_id)
            .is_some_and(|session| session.has_keepsakes() && !session.batches.contains_key(&line));
        if stays {
            self.answer_and_then(session_id, (id, line), frame, Then::Keep, out);
            self.keep(session_id, line, keepsake, out);
        } else {
            self.answer(session_id, id, line, frame, out);
            self.keep_no_longer(session_id, &keepsake, out);
        }
    }

    /// Takes note that a line stays, in the place of another.
    pub(crate) fn keep(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        keepsake: Keepsake,
        out: &mut Outbox,
    ) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && session.has_keepsakes()
            && let Some(before) = session.kept.0.insert(keepsake, line)
            && before != line
        {
            Mux::forget_line(session_id, before, out);
        }
    }

    /// What a line stayed for holds no longer.
    pub(crate) fn keep_no_longer(
        &mut self,
        session_id: SessionId,
        keepsake: &Keepsake,
        out: &mut Outbox,
    ) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && let Some(line) = session.kept.0.remove(keepsake)
        {
            Mux::forget_line(session_id, line, out);
        }
    }

    /// The request that is open of a session and stands alone on this line.
    pub fn open_on_line(
        &self,
        session_id: SessionId,
        line: LineNumber,
    ) -> Option<(RequestId, Method)> {
        let session = self.sessions.get(&session_id)?;
        if session.batches.contains_key(&line) {
            return None;
        }
        let upstream = self.upstreams.get(&session.upstream()?)?;
        session.open.iter().find_map(|(id, whereabouts)| {
            let method = match whereabouts {
                Whereabouts::Initialize | Whereabouts::Listening | Whereabouts::Asking(_) => {
                    return None;
                }
                Whereabouts::Subscribing => {
                    let subscribing = session.subscribing.get(id)?;
                    if subscribing.line != line {
                        return None;
                    }
                    Method::ResourcesSubscribe
                }
                Whereabouts::Held(held) if *held == line => session.queue.method_on(line)?,
                Whereabouts::Held(_) => return None,
                Whereabouts::Upstream(minted) => match &upstream.exchanges.get(*minted)?.owner {
                    Owner::Session(claim) if claim.line == line => claim.method.clone(),
                    Owner::Session(_) | Owner::Ourselves(_) => return None,
                },
            };
            Some((id.clone(), method))
        })
    }

    fn forget_line(session: SessionId, line: LineNumber, out: &mut Outbox) {
        let notice = Notice::Done(alloc::vec![line]);
        out.act(Action::Notify { session, notice });
    }

    /// What the line of a request stays for that the upstream has answered, after that has taken effect.
    pub(crate) fn keepsake_of(
        &self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        effect: &Effect,
        is_success: bool,
    ) -> Option<Keepsake> {
        let session = self.sessions.get(&session_id)?;
        let upstream = self.upstreams.get(&upstream_id)?;
        // Its client may have wished something else meanwhile.
        let holds = match effect {
            Effect::Nothing | Effect::Listed(_) => false,
            Effect::Subscribed(uri) => upstream.subscriptions.has(uri, session_id),
            Effect::Verbosity { level, .. } => session.level == Some(*level),
        };
        let keepsake = match effect {
            Effect::Nothing | Effect::Listed(_) => return None,
            Effect::Subscribed(uri) => Keepsake::Subscription(uri.clone()),
            Effect::Verbosity { .. } => Keepsake::Level,
        };
        (is_success && holds).then_some(keepsake)
    }
}
