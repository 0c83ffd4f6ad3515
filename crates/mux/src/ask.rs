//! Requests from a server to a client, and whose they are.
//!
//! In this order: `ping` we answer; `roots/list` we answer from the binding; what came on the stream of a call
//! goes to the session of that; the rest goes to the only session attached, or to the only one with an askable
//! call open. What is ambiguous waits a little for the calls to thin out, and is refused if they do not.
//!
//! **Invariant:** an ask reaches the session whose call caused it, or none.

use alloc::{boxed::Box, format, sync::Arc};

use wire::{Frame, Message, Method, Outgoing, Params, RequestId};

use crate::{
    action::Outbox,
    class::Capability,
    era::Era,
    fact::{DropReason, Fact},
    ids::{SessionId, UpstreamId},
    lanes::Cause,
    mux::Mux,
    refusal::Refusal,
    stream::{Stream, Whose},
    timers::Timer,
    upstream::{Ask, Undecided},
};

impl Mux {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "methods that need no treatment of their own pass through"
    )]
    pub(crate) fn on_ask(
        &mut self,
        upstream_id: UpstreamId,
        frame: Frame,
        stream: Stream,
        out: &mut Outbox,
    ) {
        let Message::Request { id, method, .. } = &frame.message else {
            return;
        };
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        match method {
            Method::Ping => Mux::tell_upstream(upstream_id, result(id, "{}"), out),
            Method::RootsList => self.answer_roots((upstream_id, stream), id, out),
            _one_in_use if upstream.has_open_ask(id) => {
                Mux::refuse_ask(upstream_id, &frame, Refusal::IdInUse, out);
            }
            Method::SamplingCreate | Method::ElicitationCreate => {
                if !upstream.class().can_be_asked() {
                    let refusal = Refusal::NotCapable {
                        method: method.clone(),
                    };
                    Mux::refuse_ask(upstream_id, &frame, refusal, out);
                    return;
                }
                let is_crowded = self.is_crowded(frame.len());
                match stream {
                    Stream::Common => {}
                    Stream::Own(whose) if !is_crowded => {
                        return self.put_ask(upstream_id, whose, &frame, out);
                    }
                    Stream::Own(_) => {
                        return Mux::refuse_ask(upstream_id, &frame, Refusal::Overloaded, out);
                    }
                    Stream::Left => {
                        return Mux::refuse_ask(upstream_id, &frame, Refusal::OwnerGone, out);
                    }
                }
                let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
                    return;
                };
                let is_full = upstream.undecided.len() >= self.limits.session_asks;
                if is_full || is_crowded {
                    Mux::refuse_ask(upstream_id, &frame, Refusal::Overloaded, out);
                    return;
                }
                let frame = upstream.scales.weigh(frame);
                let since = self.now;
                upstream.undecided.push_back(Undecided { frame, since });
                self.touch_record(upstream_id);
                self.settle_asks(upstream_id, out);
            }
            unknown => {
                // In the modern era there is nothing else that a client can be asked (2026-07-28, `InputRequest`).
                let whose = self.concerned(upstream_id, stream).filter(|whose| {
                    let session = self.sessions.get(&whose.session);
                    session.is_some_and(|session| session.era == Era::Legacy)
                });
                if let Some(whose) = whose {
                    self.put_ask(upstream_id, whose, &frame, out);
                } else {
                    let refusal = Refusal::NoSuchMethod {
                        method: unknown.clone(),
                    };
                    Mux::refuse_ask(upstream_id, &frame, refusal, out);
                }
            }
        }
    }

    /// What a server may ask before it has answered our greeting: whether we are there.
    pub(crate) fn answer_early(upstream_id: UpstreamId, frame: &Frame, out: &mut Outbox) {
        let Message::Request { id, method, .. } = &frame.message else {
            return;
        };
        if *method == Method::Ping {
            Mux::tell_upstream(upstream_id, result(id, "{}"), out);
        } else {
            Mux::refuse_unclear(upstream_id, frame, out);
        }
    }

    /// Decides what can be decided, and lets go what has waited for that.
    pub(crate) fn settle_asks(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        if upstream.lanes.is_undecided || !upstream.undecided.is_empty() {
            self.decide_asks(upstream_id, out);
        }
        let waits = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| upstream.turns.len() > 0);
        if waits {
            self.release(upstream_id, out);
        }
    }

    /// Gives every ask that waits to its owner, now that it may have become clear who that is.
    pub(crate) fn decide_asks(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        loop {
            let cause = self.cause(upstream_id);
            let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
                return;
            };
            let Some(undecided) = upstream.undecided.pop_front() else {
                upstream.lanes.all_is_decided();
                self.timers.clear(Timer::OwnerPatience(upstream_id));
                return;
            };
            if cause != Cause::Unclear {
                self.unrecorded.insert(upstream_id);
            }
            match cause {
                Cause::Session(owner) => {
                    self.note_asking(upstream_id, Some(owner), out);
                    self.put_ask(upstream_id, Whose::of(owner), &undecided.frame, out);
                }
                Cause::Ghost => {
                    Mux::refuse_ask(upstream_id, &undecided.frame, Refusal::OwnerGone, out);
                }
                Cause::Nobody => Mux::refuse_unclear(upstream_id, &undecided.frame, out),
                Cause::Unclear => {
                    let patience = undecided.since + self.limits.owner_patience;
                    upstream.undecided.push_front(undecided);
                    upstream.lanes.is_undecided = true;
                    self.timers.set(Timer::OwnerPatience(upstream_id), patience);
                    return;
                }
            }
        }
    }

    /// Asks that have waited too long for the calls to thin out are refused, and the tools of these
    /// calls run apart from now on.
    pub(crate) fn on_owner_patience(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        self.decide_asks(upstream_id, out);
        let mut is_noted = false;
        while let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && let Some(oldest) = upstream.undecided.front()
            && oldest.since + self.limits.owner_patience <= self.now
        {
            let undecided = upstream.undecided.pop_front();
            self.touch_record(upstream_id);
            if !is_noted {
                self.note_asking(upstream_id, None, out);
                is_noted = true;
            }
            if let Some(Undecided { frame, .. }) = undecided {
                Mux::refuse_unclear(upstream_id, &frame, out);
            }
        }
        self.settle_asks(upstream_id, out);
    }

    /// Whose call made the server speak. The only session attached is meant whatever it does, unless
    /// a call of another that has just left may still be at work.
    fn cause(&mut self, upstream_id: UpstreamId) -> Cause {
        let now = self.now;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return Cause::Nobody;
        };
        let judged_at = upstream.judged_at(now);
        match (upstream.lanes.cause(judged_at), upstream.only_session()) {
            (Cause::Nobody, Some(only)) => Cause::Session(only),
            (cause, _) => cause,
        }
    }

    /// Who is meant by a message without a reference, if that is clear.
    pub(crate) fn owner_of_message(&mut self, upstream_id: UpstreamId) -> Option<SessionId> {
        match self.cause(upstream_id) {
            Cause::Session(owner) => Some(owner),
            Cause::Nobody | Cause::Ghost | Cause::Unclear => None,
        }
    }

    /// Whose a message is that nobody here understands: of the stream on which it came, else of the only session
    /// attached, if nobody else's call can have made the server speak.
    pub(crate) fn concerned(&mut self, upstream_id: UpstreamId, stream: Stream) -> Option<Whose> {
        let whose = self.whose(upstream_id, stream)?;
        let only = self.upstreams.get(&upstream_id)?.only_session();
        (stream != Stream::Common || only == Some(whose.session)).then_some(whose)
    }

    fn put_ask(&mut self, upstream_id: UpstreamId, whose: Whose, frame: &Frame, out: &mut Outbox) {
        let owner = whose.session;
        let Message::Request {
            id,
            id_span,
            method,
            params,
        } = &frame.message
        else {
            return;
        };
        let class = self.askable_class(whose, upstream_id);
        let Some(session) = self.sessions.get_mut(&owner) else {
            Mux::refuse_ask(upstream_id, frame, Refusal::OwnerGone, out);
            return;
        };
        let is_modern = session.era == Era::Modern;
        let refusal = if session.is_ending {
            Some(Refusal::OwnerGone)
        } else if needed(method, params, frame).is_some_and(|capability| !class.has(capability)) {
            Some(Refusal::NotCapable {
                method: method.clone(),
            })
        } else if session.questions() >= self.limits.session_asks {
            Some(Refusal::Overloaded)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            Mux::refuse_ask(upstream_id, frame, refusal, out);
            return;
        }
        let shown_id = session.asks.open(id.clone());
        let number = RequestId::from(shown_id);
        let token = params.meta_token.as_ref();
        let mut edits = alloc::vec![(id_span.clone(), number.as_bytes())];
        edits.extend(token.map(|(_, span)| (span.clone(), number.as_bytes())));
        let shown = frame.rewrite(&mut edits);
        let token = token.map(|(token, _)| token.clone());
        self.touch_record(upstream_id);
        // Its answer must be read, whatever else it has said.
        self.resume_if_room(owner, out);
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.asks.insert(
                id.clone(),
                Ask {
                    session: owner,
                    shown_id,
                    token,
                },
            );
        }
        if let Some(elicitation) = params
            .elicitation_id
            .as_ref()
            .filter(|_| !is_modern)
            .and_then(|span| frame.text(span))
        {
            self.note_elicitation(upstream_id, owner, Box::from(elicitation.as_ref()));
        }
        if is_modern {
            self.put_input_request(upstream_id, whose, shown_id, frame, out);
        } else {
            self.tell_with(owner, self.line_of(whose), shown, out);
        }
    }

    fn refuse_unclear(upstream_id: UpstreamId, frame: &Frame, out: &mut Outbox) {
        if let Some(method) = frame.method().cloned() {
            Mux::refuse_ask(upstream_id, frame, Refusal::OwnerUnclear { method }, out);
        }
    }

    fn refuse_ask(upstream_id: UpstreamId, frame: &Frame, refusal: Refusal, out: &mut Outbox) {
        if let Message::Request { id, method, .. } = &frame.message {
            Mux::tell_upstream(upstream_id, refusal.to_response(Some(id)), out);
            out.tell(Fact::AskRefused {
                upstream: upstream_id,
                method: method.clone(),
                refusal,
            });
        }
    }

    /// A client has answered an ask.
    pub(crate) fn on_ask_answered(
        &mut self,
        session_id: SessionId,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Message::Response { id, id_span, .. } = &frame.message else {
            return;
        };
        if self.take_inquired(session_id, frame, out) {
            return;
        }
        let Some((upstream_id, upstream_request)) =
            id.as_ref().and_then(|id| self.take_ask(session_id, id))
        else {
            if let Some(upstream) = self
                .sessions
                .get(&session_id)
                .and_then(crate::session::Session::upstream)
            {
                self.drop_message(upstream, DropReason::UnknownResponse, out);
            }
            return;
        };
        let answer = if self.is_crowded(frame.len()) {
            Refusal::Overloaded.to_response(Some(&upstream_request))
        } else {
            frame.rewrite(&mut [(id_span.clone(), upstream_request.as_bytes())])
        };
        Mux::tell_upstream(upstream_id, answer, out);
        self.pause_if_enough(session_id, out);
    }

    /// Answers an ask for a client that cannot.
    pub(crate) fn end_ask(
        &mut self,
        session_id: SessionId,
        shown: &RequestId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        if let Some((upstream_id, upstream_request)) = self.take_ask(session_id, shown) {
            Mux::tell_upstream(
                upstream_id,
                refusal.to_response(Some(&upstream_request)),
                out,
            );
        }
    }

    pub(crate) fn end_asks_of(
        &mut self,
        session_id: SessionId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let open: alloc::vec::Vec<u64> = session.asks.open.keys().copied().collect();
        for shown in open {
            self.end_ask(session_id, &RequestId::from(shown), refusal, out);
        }
    }

    pub(crate) fn take_ask(
        &mut self,
        session_id: SessionId,
        shown: &RequestId,
    ) -> Option<(UpstreamId, RequestId)> {
        let session = self.sessions.get_mut(&session_id)?;
        let shown = shown.as_number()?;
        let upstream_request = session.asks.open.remove(&shown)?;
        session.rounds.withdraw(shown);
        let upstream_id = session.upstream()?;
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        upstream.asks.remove(&upstream_request)?;
        // The server may go on only now with what made it ask.
        upstream.exchanges.move_on(session_id, self.now);
        self.touch_record(upstream_id);
        Some((upstream_id, upstream_request))
    }

    /// A client tells how far it is with an ask.
    pub(crate) fn on_ask_progress(
        &mut self,
        session_id: SessionId,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Message::Notification { params, .. } = &frame.message else {
            return;
        };
        let found = params.token.as_ref().and_then(|(token, span)| {
            let session = self.sessions.get(&session_id)?;
            let upstream_request = session.asks.open.get(&token.as_number()?)?;
            let upstream = self.upstreams.get(&session.upstream()?)?;
            let token = upstream.asks.get(upstream_request)?.token.as_ref()?;
            Some((
                upstream.id,
                frame.rewrite(&mut [(span.clone(), token.as_bytes())]),
            ))
        });
        let Some((upstream_id, frame)) = found else {
            return;
        };
        let is_blocked = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| upstream.is_blocked);
        if is_blocked {
            // More will follow; a request that waits must not wait longer for it.
            self.drop_message(upstream_id, DropReason::NotRead, out);
        } else {
            Mux::tell_upstream(upstream_id, frame, out);
        }
    }

    /// A server no longer wants to know.
    pub(crate) fn on_ask_cancelled(
        &mut self,
        upstream_id: UpstreamId,
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let Some((id, span)) = &params.request_id else {
            return;
        };
        // Of the modern era a server cancels nothing of its own (2026-07-28, cancellation).
        if upstream.key.era == Era::Modern && self.take_end_of_listening(upstream_id, id, out) {
            return;
        }
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let before = upstream.undecided.len();
        upstream
            .undecided
            .retain(|undecided| undecided.frame.id() != Some(id));
        if upstream.undecided.len() < before {
            self.touch_record(upstream_id);
            self.settle_asks(upstream_id, out);
            return;
        }
        match upstream.asks.remove(id) {
            Some(ask) => {
                self.touch_record(upstream_id);
                if self.withdraw_ask(&ask) {
                    return;
                }
                let number = RequestId::from(ask.shown_id);
                self.tell_with(
                    ask.session,
                    self.line_at_work(ask.session),
                    frame.rewrite(&mut [(span.clone(), number.as_bytes())]),
                    out,
                );
                self.pause_if_enough(ask.session, out);
            }
            None => self.drop_message(upstream_id, DropReason::UnknownCancellation, out),
        }
    }

    /// A client need not answer any more; says whether it need not hear of that either.
    fn withdraw_ask(&mut self, ask: &Ask) -> bool {
        let Some(session) = self.sessions.get_mut(&ask.session) else {
            return true;
        };
        session.asks.open.remove(&ask.shown_id);
        session.rounds.withdraw(ask.shown_id);
        session.era == Era::Modern
    }

    /// The process is gone: clients need not answer what it asked.
    pub(crate) fn withdraw_asks(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        upstream.undecided.clear();
        upstream.elicitations.clear();
        self.timers.clear(Timer::OwnerPatience(upstream_id));
        for (_, ask) in core::mem::take(&mut upstream.asks) {
            if !self.withdraw_ask(&ask) {
                self.tell_with(
                    ask.session,
                    self.line_at_work(ask.session),
                    crate::from_session::cancellation(ask.shown_id, "the server has ended"),
                    out,
                );
                self.pause_if_enough(ask.session, out);
            }
        }
    }

    /// Remembers that the tools whose calls are open, of one session or of all, ask.
    fn note_asking(&mut self, upstream_id: UpstreamId, of: Option<SessionId>, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let conduct = self.conduct.entry(upstream.key.route.clone()).or_default();
        for tool in upstream.lanes.tools_open(of) {
            if conduct.saw_ask(&tool, self.limits.tools_remembered) {
                out.act_tell_separated(upstream_id, &tool);
            }
        }
    }

    /// Remembers that the tools whose calls are open log.
    pub(crate) fn note_logging(
        &mut self,
        upstream_id: UpstreamId,
        of: SessionId,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let conduct = self.conduct.entry(upstream.key.route.clone()).or_default();
        let mut is_news = false;
        for tool in upstream.lanes.tools_open(Some(of)) {
            if conduct.saw_log(&tool, self.limits.tools_remembered) {
                out.act_tell_separated(upstream_id, &tool);
                is_news = true;
            }
        }
        // A tool that nobody knew is known now; while nobody listens it may run beside others.
        if is_news {
            self.settle_asks(upstream_id, out);
        }
    }
}

impl Outbox {
    fn act_tell_separated(&mut self, upstream: UpstreamId, tool: &str) {
        self.tell(Fact::ToolSeparated {
            upstream,
            tool: Arc::from(tool),
        });
    }
}

/// What a client must have declared to be asked this.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "methods that need no treatment of their own pass through"
)]
pub(crate) fn needed(method: &Method, params: &Params, frame: &Frame) -> Option<Capability> {
    match method {
        Method::SamplingCreate if params.has_tools => Some(Capability::SamplingTools),
        Method::SamplingCreate => Some(Capability::Sampling),
        Method::ElicitationCreate => {
            let mode = params.mode.as_ref().and_then(|span| frame.text(span));
            Some(if mode.as_deref() == Some("url") {
                Capability::ElicitationUrl
            } else {
                Capability::ElicitationForm
            })
        }
        _unknown => None,
    }
}

pub(crate) fn result(id: &RequestId, result: &str) -> Outgoing {
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}
