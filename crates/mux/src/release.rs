//! Who goes next into an upstream: requests that need not wait go at once, the others by turns.
//!
//! **Invariant:** the messages and bytes counted as waiting are those in the sessions' queues.

use wire::{Frame, Message, Method, RequestId};

use crate::{
    action::{Action, Notice, Outbox},
    exchange::{Claim, Effect, Exchange, MintedId, Owner},
    ids::{LineNumber, SessionId, UpstreamId},
    lanes::{Circumstances, Manner, Tool, tool_key},
    mux::Mux,
    refusal::Refusal,
    session::{Held, Whereabouts},
    timers::Timer,
    upstream::State,
    verbosity::Level,
};

/// A call that its upstream may answer with an ask, and how it has to run.
struct Askable {
    tool: Tool,
    manner: Manner,
}

impl Mux {
    /// A request that is for the upstream: sends it, or holds it until its turn has come.
    pub(crate) fn submit(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frame: Frame,
        out: &mut Outbox,
    ) {
        let (Some(session), Some(id)) = (self.sessions.get(&session_id), frame.id().cloned())
        else {
            return;
        };
        let Some(upstream_id) = session.upstream() else {
            return;
        };
        if let Some(refusal) = self.refusal_while_down(upstream_id) {
            self.refuse(session_id, &id, line, refusal, out);
            return;
        }
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        if session.is_attached()
            && session.queue.is_empty()
            && self.may_send(session_id, upstream_id)
        {
            match self.admit(session_id, upstream_id, &frame, false) {
                Ok(askable) => {
                    self.send(
                        session_id,
                        upstream_id,
                        Held {
                            line,
                            frame,
                            since: self.now,
                        },
                        askable,
                        false,
                        out,
                    );
                    return;
                }
                Err(()) => self.watch_probation(upstream_id),
            }
        }
        self.hold(
            session_id,
            upstream_id,
            id,
            Held {
                line,
                frame,
                since: self.now,
            },
            out,
        );
    }

    fn hold(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        id: RequestId,
        held: Held,
        out: &mut Outbox,
    ) {
        let bytes = held.frame.len();
        let is_full = self.waiting >= self.limits.waiting
            || self.waiting_bytes + bytes > self.limits.waiting_bytes;
        if is_full && self.waiting > 0 {
            self.refuse(session_id, &id, held.line, Refusal::Overloaded, out);
            return;
        }
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.open.insert(id, Whereabouts::Held(held.line));
        self.enqueue(session_id, held, out);
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && !upstream.is_ready()
            && !self.timers.is_set(Timer::StartPatience(session_id))
        {
            self.timers.set(
                Timer::StartPatience(session_id),
                self.now + self.limits.start_patience,
            );
        }
        self.want(upstream_id, out);
        self.release(upstream_id, out);
    }

    /// Puts a message into its session's queue and the session into its upstream's turns.
    pub(crate) fn enqueue(&mut self, session_id: SessionId, held: Held, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        if session.keeps_lines() {
            out.act(Action::Notify {
                session: session_id,
                notice: Notice::Held(held.line),
            });
        }
        self.waiting += 1;
        self.waiting_bytes += held.frame.len();
        session.queue.push(held);
        if session.wants_pause(&self.limits) && !session.is_paused {
            session.is_paused = true;
            out.act(Action::PauseSession {
                session: session_id,
            });
        }
        if let Some(upstream) = session
            .upstream()
            .and_then(|id| self.upstreams.get_mut(&id))
        {
            upstream.queue_up(session_id);
        }
    }

    /// Sends what may go now, one message of each session in turn.
    pub(crate) fn release(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let mut without_luck = 0;
        loop {
            let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
                return;
            };
            if !upstream.is_ready() || upstream.is_blocked || without_luck >= upstream.turns.len() {
                break;
            }
            let Some(session_id) = upstream.turns.pop_front() else {
                break;
            };
            let Some(session) = self.sessions.get(&session_id) else {
                continue;
            };
            if session.queue.is_empty() {
                continue;
            }
            if self.release_one(session_id, upstream_id, out) {
                without_luck = 0;
            } else {
                without_luck += 1;
            }
            self.after_turn(session_id, upstream_id, out);
        }
        self.watch_probation(upstream_id);
    }

    /// Sends one message of a session's queue; says whether there was one that may go.
    fn release_one(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) -> bool {
        if !self
            .sessions
            .get(&session_id)
            .is_some_and(crate::session::Session::is_attached)
        {
            return false;
        }
        let may_request = self.may_send(session_id, upstream_id);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return false;
        };
        let next_is_notification = session
            .queue
            .others
            .front()
            .is_some_and(|held| held.frame.id().is_none());
        if next_is_notification || (may_request && !session.queue.others.is_empty()) {
            let Some(held) = session.queue.take_other() else {
                return false;
            };
            self.uncount_waiting(Some(&held));
            if next_is_notification {
                out.act(Action::SendToUpstream {
                    upstream: upstream_id,
                    frame: held.frame.unchanged(),
                });
                self.line_is_done(session_id, held.line, out);
            } else {
                self.send(session_id, upstream_id, held, None, true, out);
            }
            return true;
        }
        let Some(call) = session.queue.calls.front() else {
            return false;
        };
        if !may_request {
            return false;
        }
        let is_impatient = self.now >= call.since + self.limits.probation;
        let frame = call.frame.clone();
        let Ok(askable) = self.admit(session_id, upstream_id, &frame, is_impatient) else {
            return false;
        };
        let held = self
            .sessions
            .get_mut(&session_id)
            .and_then(|session| session.queue.take_call());
        let Some(held) = held else { return false };
        self.uncount_waiting(Some(&held));
        self.send(session_id, upstream_id, held, askable, true, out);
        true
    }

    fn after_turn(&mut self, session_id: SessionId, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        if session.is_paused && !session.wants_pause(&self.limits) {
            session.is_paused = false;
            out.act(Action::ResumeSession {
                session: session_id,
            });
        }
        if !session.queue.is_empty()
            && let Some(upstream) = self.upstreams.get_mut(&upstream_id)
        {
            upstream.queue_up(session_id);
        }
        self.close_if_drained(session_id, out);
    }

    fn may_send(&self, session_id: SessionId, upstream_id: UpstreamId) -> bool {
        let upstream_may = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|u| u.is_ready() && !u.is_blocked);
        let session_may = self
            .sessions
            .get(&session_id)
            .is_some_and(|s| s.in_flight() < self.limits.session_in_flight);
        upstream_may && session_may
    }

    /// Whether a request may go now, as far as other sessions' calls are concerned.
    fn admit(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        frame: &Frame,
        is_impatient: bool,
    ) -> Result<Option<Askable>, ()> {
        let Some(tool) = tool_of(frame) else {
            return Ok(None);
        };
        let is_logging = self.is_logging(upstream_id);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return Err(());
        };
        let circumstances = Circumstances {
            can_be_asked: upstream.class().can_be_asked(),
            is_logging,
        };
        let conduct = self.conduct.get(&upstream.key.route);
        let manner = conduct.map_or_else(
            || crate::lanes::Conduct::default().manner(&tool, circumstances),
            |conduct| conduct.manner(&tool, circumstances),
        );
        if upstream.lanes.admits(session_id, manner) {
            return Ok(Some(Askable { tool, manner }));
        }
        // Nobody waits longer for a tool to be tried alone than it would be tried.
        if is_impatient && manner == Manner::Probation {
            upstream.lanes.give_up_next(session_id);
            if upstream.lanes.admits(session_id, Manner::Together) {
                return Ok(Some(Askable {
                    tool,
                    manner: Manner::Together,
                }));
            }
        }
        Err(())
    }

    fn send(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        held: Held,
        askable: Option<Askable>,
        was_held: bool,
        out: &mut Outbox,
    ) {
        let Message::Request {
            id, method, params, ..
        } = &held.frame.message
        else {
            return;
        };
        let (Some(session), Some(upstream)) = (
            self.sessions.get_mut(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return;
        };
        let must_announce = was_held && session.keeps_lines() && !method.is_read_only();
        let claim = Claim {
            session: session_id,
            id: id.clone(),
            token: params.meta_token.as_ref().map(|(token, _)| token.clone()),
            line: held.line,
            method: method.clone(),
            effect: effect_of(&held.frame),
        };
        let minted = upstream.exchanges.open(Exchange {
            owner: Owner::Session(alloc::boxed::Box::new(claim)),
            opened: self.now,
            unsent: None,
        });
        session
            .open
            .insert(id.clone(), Whereabouts::Upstream(minted));
        if let Some(Askable { tool, manner }) = askable {
            upstream.lanes.begin(
                minted,
                session_id,
                tool,
                manner,
                self.now + self.limits.probation,
            );
        }
        if upstream.exchanges.len() == 1 {
            self.timers.set(
                Timer::RequestTimeout(upstream_id),
                self.now + self.limits.request_timeout,
            );
        }
        if must_announce {
            session.announcing.insert(held.line, minted);
            if let Some(exchange) = upstream.exchanges.get_mut(minted) {
                exchange.unsent = Some(held.frame);
            }
            out.act(Action::Announce {
                session: session_id,
                line: held.line,
            });
        } else {
            upstream.was_used = true;
            out.act(Action::SendToUpstream {
                upstream: upstream_id,
                frame: minted_request(&held.frame, minted),
            });
        }
    }

    /// The shim knows: the request may go.
    pub(crate) fn on_announced(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let (Some(minted), Some(upstream_id)) =
            (session.announcing.remove(&line), session.upstream())
        else {
            return;
        };
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let unsent = upstream
            .exchanges
            .get_mut(minted)
            .and_then(|exchange| exchange.unsent.take());
        if let Some(frame) = unsent {
            upstream.was_used = true;
            out.act(Action::SendToUpstream {
                upstream: upstream_id,
                frame: minted_request(&frame, minted),
            });
        }
    }

    pub(crate) fn on_blocked(&mut self, upstream: UpstreamId) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream) {
            upstream.is_blocked = true;
        }
    }

    pub(crate) fn on_writable(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.is_blocked = false;
        }
        self.release(upstream_id, out);
    }

    /// The first calls of tools have run alone for long enough.
    pub(crate) fn on_probation(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let now = self.now;
        let remembered_max = self.limits.tools_remembered;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let conduct = self.conduct.entry(upstream.key.route.clone()).or_default();
        for tool in upstream.lanes.end_probation(now) {
            conduct.saw(&tool, remembered_max);
        }
        self.release(upstream_id, out);
    }

    /// Sees to it that probation ends, for the call on it and for those that wait to begin theirs.
    pub(crate) fn watch_probation(&mut self, upstream_id: UpstreamId) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let probation = self.limits.probation;
        let first_call = |id: &SessionId| {
            self.sessions
                .get(id)?
                .queue
                .calls
                .front()
                .map(|held| held.since)
        };
        let waits = upstream.turns.iter().filter_map(first_call);
        let impatience = waits
            .map(|since| since + probation)
            .filter(|moment| *moment > self.now)
            .min();
        let next = [upstream.lanes.next_probation(), impatience]
            .into_iter()
            .flatten()
            .min();
        match next {
            Some(moment) if upstream.state != State::Stopped => {
                self.timers.set(Timer::Probation(upstream_id), moment);
            }
            _nothing => self.timers.clear(Timer::Probation(upstream_id)),
        }
    }

    pub(crate) fn uncount_waiting(&mut self, held: Option<&Held>) {
        if let Some(held) = held {
            self.waiting = self.waiting.saturating_sub(1);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(held.frame.len());
        }
    }

    /// A session's queue has changed without a turn: whoever waited behind its call need not.
    pub(crate) fn give_up_turn(&mut self, session_id: SessionId) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        if session.queue.calls.is_empty()
            && let Some(upstream) = session
                .upstream()
                .and_then(|id| self.upstreams.get_mut(&id))
        {
            upstream.lanes.give_up_next(session_id);
        }
    }
}

/// What the upstream may ask because of this request, if it is a call at all.
fn tool_of(frame: &Frame) -> Option<Tool> {
    let Message::Request { method, params, .. } = &frame.message else {
        return None;
    };
    if !method.is_askable() {
        return None;
    }
    // Resources are many and alike; one conduct serves all.
    let named = params
        .name
        .as_ref()
        .filter(|_| *method != Method::ResourcesRead);
    let name = named.and_then(|span| frame.text(span));
    Some(tool_key(method, name.as_deref().unwrap_or_default()))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all others only reach their owner"
)]
fn effect_of(frame: &Frame) -> Effect {
    let Message::Request { method, params, .. } = &frame.message else {
        return Effect::Nothing;
    };
    let text = |span: &Option<wire::Span>| span.as_ref().and_then(|span| frame.text(span));
    match method {
        Method::ResourcesSubscribe => {
            text(&params.uri).map_or(Effect::Nothing, |uri| Effect::Subscribed(uri.into()))
        }
        Method::SetLevel => text(&params.level)
            .and_then(|name| Level::from_name(&name))
            .map_or(Effect::Nothing, Effect::Verbosity),
        _plain => Effect::Nothing,
    }
}

/// The request as the upstream sees it: with our id, and with the same number for a token.
fn minted_request(frame: &Frame, minted: MintedId) -> wire::Outgoing {
    let Message::Request {
        id_span, params, ..
    } = &frame.message
    else {
        return frame.unchanged();
    };
    let number = RequestId::from(minted);
    match &params.meta_token {
        Some((_, token_span)) => frame.rewrite(&mut [
            (id_span.clone(), number.as_bytes()),
            (token_span.clone(), number.as_bytes()),
        ]),
        None => frame.rewrite(&mut [(id_span.clone(), number.as_bytes())]),
    }
}
