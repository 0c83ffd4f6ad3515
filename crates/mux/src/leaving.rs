//! How requests and sessions end before their time: cancelled, cut, or gone with their client.

use alloc::{boxed::Box, vec::Vec};

use wire::{Frame, Message, Outgoing, RequestId};

use crate::{
    action::Outbox,
    exchange::{Claim, Exchange, MintedId, Owner},
    fact::Fact,
    from_session::cancellation,
    ghosts::Spell,
    ids::{SessionId, UpstreamId},
    mux::Mux,
    refusal::Refusal,
    session::{Session, Whereabouts},
    timers::Timer,
};

/// Longest cancellation, in bytes, that is passed on as its client wrote it.
const CANCELLATION_BYTES_MAX: usize = 4096;

impl Mux {
    /// Ends an exchange that its session no longer waits for.
    ///
    /// `said` is the client's own cancellation, which is forwarded as it is but for the id.
    pub(crate) fn cancel_exchange(
        &mut self,
        session_id: SessionId,
        minted: MintedId,
        said: &Frame,
        out: &mut Outbox,
    ) {
        let Some(upstream_id) = self.sessions.get(&session_id).and_then(Session::upstream) else {
            return;
        };
        let words = renamed(said, minted);
        if let Some(claim) = self.abandon(upstream_id, minted, words, out) {
            self.end_unanswered(session_id, claim.line, out);
            self.resume_if_room(session_id, out);
            self.after_exchange(upstream_id, out);
        }
    }

    /// Cancels an exchange and answers its session with a refusal.
    pub(crate) fn cancel_and_refuse(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let words = cancellation(minted, refusal.reason());
        let server = self.upstreams.get(&upstream_id).map(|u| u.server.clone());
        let was_sent = self
            .upstreams
            .get(&upstream_id)
            .and_then(|upstream| upstream.exchanges.get(minted))
            .is_some_and(Exchange::is_sent);
        if let Some(claim) = self.abandon(upstream_id, minted, words, out) {
            let refusal = match server {
                // Whoever may ask again after a shutdown must know what has been done already.
                Some(server) if *refusal == Refusal::ShuttingDown => Refusal::UpstreamStopped {
                    server,
                    maybe_executed: was_sent && !claim.method.is_read_only(),
                },
                Some(_) | None => refusal.clone(),
            };
            self.refuse(claim.session, &claim.id, claim.line, refusal, out);
            self.after_exchange(upstream_id, out);
        }
    }

    /// Takes an exchange out of all books and tells the server, once, that nobody waits for it.
    pub(crate) fn abandon(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        words: Outgoing,
        out: &mut Outbox,
    ) -> Option<Box<Claim>> {
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        let exchange = upstream.exchanges.close(minted)?;
        let was_sent = exchange.is_sent();
        let Owner::Session(claim) = exchange.owner else {
            Mux::contradiction("an errand of ours was cancelled", out);
            return None;
        };
        if let Some(session) = self.sessions.get_mut(&claim.session) {
            session.announcing.remove(&claim.line);
        }
        if was_sent {
            self.haunt(upstream_id, minted);
            Mux::tell_upstream(upstream_id, words, out);
        } else {
            upstream.lanes.end(minted);
            self.note_call_over(upstream_id);
        }
        self.give_up_effect(upstream_id, minted, &claim.effect, out);
        Some(claim)
    }

    /// Nobody waits for a call any longer that the server may be at.
    pub(crate) fn haunt(&mut self, upstream_id: UpstreamId, minted: MintedId) {
        let spell = Spell {
            until: self.now + self.limits.ghost_life,
            awaited_until: self.now + self.limits.acknowledgement_patience,
        };
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let judged_at = upstream.judged_at(self.now);
        if upstream.lanes.haunt(minted, judged_at, spell) {
            self.touch_record(upstream_id);
        }
        self.note_call_over(upstream_id);
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
        self.pause_if_enough(session_id, out);
    }

    /// A session is gone. What it held is free at once.
    pub(crate) fn on_session_closed(&mut self, session_id: SessionId, out: &mut Outbox) {
        if !self.sessions.contains_key(&session_id) {
            return;
        }
        self.timers.clear(Timer::Silence(session_id));
        self.timers.clear(Timer::StartPatience(session_id));
        self.timers.clear(Timer::DrainPatience(session_id));
        self.timers.clear(Timer::Inquiry(session_id));
        self.timers.clear(Timer::AgreementPatience(session_id));
        self.timers.clear(Timer::RoundPatience(session_id));
        self.end_asks_of(session_id, &Refusal::OwnerGone, out);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let upstream = session.upstream();
        for held in session.queue.take_all() {
            self.uncount_waiting(Some(&held));
        }
        self.give_up_turn(session_id);
        for minted in self.minted_of(session_id) {
            if let Some(upstream) = upstream {
                let words = cancellation(minted, "the client has gone");
                self.abandon(upstream, minted, words, out);
            }
        }
        self.devices.forget(session_id);
        self.sessions.remove(&session_id);
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
                Whereabouts::Initialize
                | Whereabouts::Held(_)
                | Whereabouts::Asking(_)
                | Whereabouts::Listening
                | Whereabouts::Subscribing => None,
            });
        minted.chain(session.rounds.at_server()).collect()
    }

    pub(crate) fn detach(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let was_attached = upstream.attached.remove(&session_id);
        upstream.waiting.retain(|waiting| *waiting != session_id);
        upstream.turns.remove(session_id);
        upstream.lanes.give_up_next(session_id);
        upstream.memory.forget(session_id);
        upstream
            .elicitations
            .retain(|_, owner| *owner != session_id);
        upstream.listeners.remove(&session_id);
        for uri in upstream.subscriptions.release(session_id) {
            self.unsubscribe(upstream_id, &uri, out);
        }
        if was_attached {
            self.note_detached(session_id, upstream_id);
        }
        self.tell_level_again(upstream_id, out);
        self.settle_asks(upstream_id, out);
        self.stop_if_due(upstream_id, out);
        self.idle_if_unwanted(upstream_id, out);
    }
}

/// A client's cancellation with the id that the server knows.
fn renamed(said: &Frame, minted: MintedId) -> Outgoing {
    let request_id = match &said.message {
        Message::Notification { params, .. } => params.request_id.as_ref(),
        Message::Request { .. } | Message::Response { .. } => None,
    };
    match request_id {
        // It may have to wait, whatever its client wrote into it.
        _long if said.len() > CANCELLATION_BYTES_MAX => {
            cancellation(minted, "the client has cancelled it")
        }
        Some((_, span)) => said.rewrite(&mut [(span.clone(), RequestId::from(minted).as_bytes())]),
        None => cancellation(minted, "the client has cancelled it"),
    }
}
