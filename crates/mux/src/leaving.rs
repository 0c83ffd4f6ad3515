//! How requests and sessions end before their time: cancelled, cut, or gone with their client.

use alloc::vec::Vec;

use wire::{Frame, Message, Method, RequestId};

use crate::{
    action::Outbox,
    exchange::{Effect, Errand, Exchange, MintedId, Owner},
    fact::Fact,
    from_session::cancellation,
    ids::{SessionId, UpstreamId},
    mux::Mux,
    refusal::Refusal,
    session::Whereabouts,
    timers::Timer,
};

impl Mux {
    /// Ends an exchange that its session no longer waits for, and tells the server so, once.
    ///
    /// `said` is the client's own cancellation, which is forwarded as it is but for the id.
    pub(crate) fn cancel_exchange(
        &mut self,
        session_id: SessionId,
        minted: MintedId,
        said: Option<&Frame>,
        out: &mut Outbox,
    ) {
        let Some(upstream_id) = self
            .sessions
            .get(&session_id)
            .and_then(crate::session::Session::upstream)
        else {
            return;
        };
        let ghost_until = self.now + self.limits.ghost_life;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(exchange) = upstream.exchanges.close(minted) else {
            return;
        };
        let Exchange {
            owner: Owner::Session(claim),
            unsent,
            ..
        } = exchange
        else {
            return;
        };
        if let Effect::Subscribed(uri) = &claim.effect {
            upstream.subscriptions.forget_if_unused(uri);
        }
        let may_speak_yet = unsent.is_none().then_some(ghost_until);
        upstream.lanes.end(minted, may_speak_yet);
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.announcing.remove(&claim.line);
        }
        if unsent.is_none() {
            let words = said
                .and_then(|frame| renamed(frame, minted))
                .unwrap_or_else(|| cancellation(minted));
            out.cancel(upstream_id, words);
        }
        self.end_unanswered(session_id, claim.line, out);
        self.after_exchange(upstream_id, out);
    }

    /// Cancels an exchange and answers its session with a refusal.
    pub(crate) fn cancel_and_refuse(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        minted: MintedId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let was_sent = self
            .upstreams
            .get(&upstream_id)
            .and_then(|upstream| upstream.exchanges.get(minted))
            .is_some_and(|exchange| exchange.unsent.is_none());
        if was_sent {
            out.cancel(upstream_id, cancellation(minted));
        }
        let ghost_until = self.now + self.limits.ghost_life;
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.lanes.end(minted, was_sent.then_some(ghost_until));
        }
        debug_assert!(
            self.sessions.contains_key(&session_id),
            "a session that is gone has nothing open"
        );
        self.fail_exchange(upstream_id, minted, refusal, out);
    }

    /// A session does not read. Its open requests end, and the server need not work on them.
    pub(crate) fn on_session_cut(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        out.tell(Fact::SessionCut {
            session: session_id,
            open: session.open.len(),
        });
        self.end_asks_of(session_id, &Refusal::OwnerGone, out);
        self.refuse_everything(session_id, &Refusal::TooSlow, out);
    }

    /// A session is gone. What it held is free at once.
    pub(crate) fn on_session_closed(&mut self, session_id: SessionId, out: &mut Outbox) {
        if !self.sessions.contains_key(&session_id) {
            return;
        }
        self.timers.clear(Timer::StartPatience(session_id));
        self.timers.clear(Timer::DrainPatience(session_id));
        self.end_asks_of(session_id, &Refusal::OwnerGone, out);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.batches.clear();
        // Set first, so that nothing below takes the session for one that has just been drained.
        session.is_ending = false;
        for held in session.queue.take_all() {
            self.uncount_waiting(Some(&held));
        }
        self.give_up_turn(session_id);
        for minted in self.minted_of(session_id) {
            self.cancel_exchange(session_id, minted, None, out);
        }
        let upstream = self
            .sessions
            .remove(&session_id)
            .and_then(|session| session.upstream());
        out.tell(Fact::SessionClosed {
            session: session_id,
        });
        if let Some(upstream_id) = upstream {
            self.detach(session_id, upstream_id, out);
        }
    }

    fn minted_of(&self, session_id: SessionId) -> Vec<MintedId> {
        let Some(session) = self.sessions.get(&session_id) else {
            return Vec::new();
        };
        let minted = session
            .open
            .values()
            .filter_map(|whereabouts| match whereabouts {
                Whereabouts::Upstream(minted) => Some(*minted),
                Whereabouts::Initialize | Whereabouts::Held(_) => None,
            });
        minted.collect()
    }

    fn detach(&mut self, session_id: SessionId, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        upstream.attached.remove(&session_id);
        upstream.waiting.retain(|waiting| *waiting != session_id);
        upstream.turns.retain(|turn| *turn != session_id);
        upstream
            .elicitations
            .retain(|_, owner| *owner != session_id);
        for uri in upstream.subscriptions.release(session_id) {
            self.run_errand(
                upstream_id,
                Errand::Unsubscribe,
                &Method::ResourcesUnsubscribe,
                ("uri", &uri),
                out,
            );
        }
        self.tell_level_of(upstream_id, out);
        let has_undecided = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| !upstream.undecided.is_empty());
        if has_undecided {
            self.decide_asks(upstream_id, out);
        }
        self.release(upstream_id, out);
        self.idle_if_unwanted(upstream_id, out);
    }
}

/// A client's cancellation with the id that the server knows.
fn renamed(frame: &Frame, minted: MintedId) -> Option<wire::Outgoing> {
    let Message::Notification { params, .. } = &frame.message else {
        return None;
    };
    let (_, span) = params.request_id.as_ref()?;
    Some(frame.rewrite(&mut [(span.clone(), RequestId::from(minted).as_bytes())]))
}
