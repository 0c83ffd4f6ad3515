//! What servers say, and whom it reaches.

use alloc::{boxed::Box, vec::Vec};

use wire::{Frame, Message, Method, Outgoing, Params, RequestId, Span};

use crate::{
    action::{Action, Outbox},
    bridge,
    class::Capability,
    era::Era,
    exchange::{Claim, Effect, Errand, Exchange, Kept, MintedId, Owner},
    fact::{DropReason, Fact},
    handshake::Handshake,
    ids::{LineNumber, SessionId, UpstreamId},
    lanes::CallEnd,
    listen::{Unheard, with_meta},
    lists::List,
    mux::Mux,
    refusal::Refusal,
    stream::Stream,
    upstream::{Origin, Standing, Upstream},
    verbosity::{Level, UNASKED},
};

/// The error by which a server of 2025-11-25 sends a user to an address (`URLElicitationRequired`).
const URL_ELICITATION_REQUIRED: i64 = -32042;

impl Mux {
    pub(crate) fn on_upstream_frame(
        &mut self,
        upstream: UpstreamId,
        frame: Frame,
        within: Option<MintedId>,
        out: &mut Outbox,
    ) {
        let Some(known) = self.upstreams.get(&upstream) else {
            return;
        };
        // One that is stopped before it has answered the greeting is early to its end.
        let is_early = known.standing == Standing::Strange;
        match &frame.message {
            Message::Response { id, .. } => self.on_response(upstream, id.as_ref(), &frame, out),
            Message::Request { .. } if self.is_deaf(upstream, out) => {}
            Message::Request { .. } if is_early => Mux::answer_early(upstream, &frame, out),
            Message::Request { .. } => {
                let stream = self.stream_of(upstream, within);
                self.on_ask(upstream, frame, stream, out);
            }
            Message::Notification { .. } if is_early => {
                self.drop_message(upstream, DropReason::BeforeHandshake, out);
            }
            Message::Notification { method, params } => {
                let stream = self.stream_of(upstream, within);
                self.on_upstream_notification((upstream, stream), method, params, &frame, out);
            }
        }
    }

    fn on_response(
        &mut self,
        upstream_id: UpstreamId,
        id: Option<&RequestId>,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let minted = id.and_then(RequestId::as_number);
        let end = match &frame.message {
            Message::Response {
                result: Some(_), ..
            } => CallEnd::Completed,
            Message::Response { result: None, .. }
            | Message::Request { .. }
            | Message::Notification { .. } => CallEnd::BrokenOff,
        };
        let mut is_laid = false;
        let closed = minted.and_then(|minted| {
            let upstream = self.upstreams.get_mut(&upstream_id)?;
            is_laid = upstream.lanes.lay_ghost(minted, end);
            // Nothing has been sent under this id yet, so no answer to it can be genuine.
            if !upstream.exchanges.get(minted)?.is_sent() {
                return None;
            }
            Some((minted, upstream.exchanges.close(minted)?))
        });
        let Some((minted, exchange)) = closed else {
            self.drop_message(upstream_id, DropReason::UnknownResponse, out);
            if is_laid {
                self.after_exchange(upstream_id, out);
            }
            return;
        };
        match exchange.owner {
            Owner::Ourselves(errand) => {
                self.on_errand_done(upstream_id, (errand, minted), frame, out);
            }
            Owner::Session(claim) => {
                let again = exchange.again.or(match exchange.kept {
                    Kept::Repeatable(frame) => Some(frame),
                    Kept::Nothing | Kept::Unsent(_) => None,
                });
                match self.questions_to(upstream_id, &claim, frame) {
                    Some(result) => {
                        self.end_call(upstream_id, minted);
                        self.inquire(
                            upstream_id,
                            &claim,
                            again.map(|again| *again),
                            (frame, result),
                            out,
                        );
                        self.after_exchange(upstream_id, out);
                    }
                    None => self.on_claim_answered(upstream_id, minted, &claim, frame, out),
                }
            }
        }
    }

    /// Where a server asks something in its result that the client has to be asked otherwise.
    fn questions_to<'a>(
        &self,
        upstream_id: UpstreamId,
        claim: &Claim,
        frame: &'a Frame,
    ) -> Option<&'a Span> {
        let Message::Response {
            result: Some(result),
            ..
        } = &frame.message
        else {
            return None;
        };
        let upstream = self.upstreams.get(&upstream_id)?;
        let is_bridged = upstream.key.era == Era::Modern && claim.era == Era::Legacy;
        (is_bridged && claim.method.is_askable() && bridge::wants_input(frame, result))
            .then_some(result)
    }

    fn on_claim_answered(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        claim: &Claim,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Message::Response { result, error, .. } = &frame.message else {
            return;
        };
        self.end_call(upstream_id, minted);
        self.end_once(upstream_id, minted, frame);
        let refusal = self.refusal_of_answer(upstream_id, claim, frame);
        let result = result.as_ref().filter(|_| refusal.is_none());
        if let (Effect::Listed(wanted), Some(result)) = (&claim.effect, result)
            && bridge::kind_of(frame, result).is_none()
        {
            let result = frame.json(result);
            self.on_listed(upstream_id, minted, wanted, result, out);
        }
        let place = (claim.session, upstream_id);
        self.take_effect(place, minted, &claim.effect, result.is_some(), out);
        if let Some(error) = error.as_ref().filter(|_| claim.era == Era::Legacy) {
            self.note_url_elicitations(upstream_id, claim.session, frame.json(error));
        }
        if let Some(refusal) = refusal {
            self.refuse(claim.session, &claim.id, claim.line, refusal, out);
            self.after_exchange(upstream_id, out);
            return;
        }
        let answer = self.answer_in_era(upstream_id, claim, frame);
        let asked = (&claim.id, claim.line);
        match self.keepsake_of(place, &claim.effect, result.is_some()) {
            Some(keepsake) => self.answer_and_keep(claim.session, asked, answer, keepsake, out),
            None => self.answer(claim.session, &claim.id, claim.line, answer, out),
        }
        self.after_exchange(upstream_id, out);
    }

    /// Why a server's answer cannot be told to the session that has asked, which speaks otherwise.
    fn refusal_of_answer(
        &self,
        upstream_id: UpstreamId,
        claim: &Claim,
        frame: &Frame,
    ) -> Option<Refusal> {
        let Message::Response { result, error, .. } = &frame.message else {
            return None;
        };
        match (claim.era, self.upstreams.get(&upstream_id)?.key.era) {
            (Era::Legacy, Era::Modern) => {
                let kind = bridge::kind_of(frame, result.as_ref()?)?.into_owned();
                Some(Refusal::AnswerUntranslatable { kind })
            }
            (Era::Modern, Era::Legacy) => {
                let capability = Capability::ElicitationUrl;
                let declared = claim.class.is_none_or(|class| class.has(capability));
                let is_needed = bridge::sends_to_addresses(frame, error.as_ref()?);
                (is_needed && !declared).then_some(Refusal::LacksCapability { capability })
            }
            (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => None,
        }
    }

    /// A server's answer as the session reads it that has asked.
    fn answer_in_era(&self, upstream_id: UpstreamId, claim: &Claim, frame: &Frame) -> Outgoing {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return frame.unchanged();
        };
        answer_in_era(upstream, frame, (claim.era, &claim.id), &claim.method)
    }

    /// What follows the end of any exchange: others may go, and asks may have become clear.
    pub(crate) fn after_exchange(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        self.settle_asks(upstream_id, out);
        self.stop_if_due(upstream_id, out);
    }

    /// A call has been answered: its tool has shown what it does.
    pub(crate) fn end_call(&mut self, upstream_id: UpstreamId, minted: MintedId) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(tool) = upstream.lanes.end(minted) else {
            return;
        };
        if upstream.class().can_be_asked() {
            self.conduct
                .entry(upstream.key.route.clone())
                .or_default()
                .saw(&tool, self.limits.tools_remembered);
        }
        self.note_call_over(upstream_id);
    }

    fn on_errand_done(
        &mut self,
        upstream_id: UpstreamId,
        (errand, minted): (Errand, MintedId),
        frame: &Frame,
        out: &mut Outbox,
    ) {
        match errand {
            Errand::Greet => self.on_greeted(upstream_id, frame, out),
            Errand::Subscribe => self.on_subscribed(upstream_id, minted, Some(frame), out),
            // A server that refuses these goes on as it was; nobody waits for it.
            Errand::Unsubscribe | Errand::SetLevel => {}
            Errand::Listen => {
                let is_error = matches!(frame.message, Message::Response { result: None, .. });
                let how = if is_error {
                    Unheard::Refused(frame)
                } else {
                    Unheard::Ended
                };
                self.on_unheard(upstream_id, minted, how, out);
            }
            Errand::Compare(listing, at) => {
                self.on_compared(upstream_id, minted, (listing, at), frame, out);
            }
            // That it answers at all is what we wanted to know.
            Errand::Ping => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "methods that need no treatment of their own pass through"
    )]
    fn on_upstream_notification(
        &mut self,
        (upstream_id, stream): (UpstreamId, Stream),
        method: &Method,
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        match method {
            Method::Progress => self.on_progress(upstream_id, params, frame, out),
            Method::Cancelled => self.on_ask_cancelled(upstream_id, params, frame, out),
            Method::LogMessage => {
                self.on_log_message((upstream_id, stream), params, frame, out);
            }
            Method::ToolsListChanged => {
                self.on_list_changed(upstream_id, List::Tools, frame, out);
            }
            Method::PromptsListChanged => {
                self.on_list_changed(upstream_id, List::Prompts, frame, out);
            }
            Method::ResourcesListChanged => {
                self.on_list_changed(upstream_id, List::Resources, frame, out);
            }
            Method::ResourceUpdated => self.on_resource_updated(upstream_id, params, frame, out),
            Method::ElicitationComplete => {
                self.on_elicitation_complete(upstream_id, params, frame, out);
            }
            Method::ListenAcknowledged => {
                self.on_listen_acknowledged(upstream_id, params, frame, out);
            }
            _unknown => match self.concerned(upstream_id, stream) {
                Some(whose) => {
                    let line = whose.request.and_then(|(_, line)| line);
                    self.tell_with(whose.session, line, frame.unchanged(), out);
                }
                None => self.drop_message(upstream_id, DropReason::UnknownNotification, out),
            },
        }
    }

    fn on_progress(
        &mut self,
        upstream_id: UpstreamId,
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let now = self.now;
        let found = params.token.as_ref().and_then(|(token, span)| {
            let exchange = self
                .upstreams
                .get_mut(&upstream_id)?
                .exchanges
                .get_mut(token.as_number()?)?;
            let owned = owner_of_progress(exchange, frame, span)?;
            exchange.moved = now;
            Some(owned)
        });
        match found {
            Some((session, line, frame)) => self.tell_with(session, Some(line), frame, out),
            None => self.drop_message(upstream_id, DropReason::UnknownProgress, out),
        }
    }

    fn on_log_message(
        &mut self,
        (upstream_id, stream): (UpstreamId, Stream),
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let level = params
            .level
            .as_ref()
            .and_then(|span| frame.text(span))
            .and_then(|name| Level::from_name(&name));
        let Some(whose) = self.whose(upstream_id, stream) else {
            self.drop_message(upstream_id, DropReason::UnclearLogMessage, out);
            return;
        };
        let owner = whose.session;
        let anybody_asked = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| upstream.level.is_some());
        let Some(session) = self.sessions.get(&owner) else {
            return;
        };
        match session.era {
            Era::Legacy => {
                let least = session.level.or(anybody_asked.then_some(UNASKED));
                let is_wanted = match (level, least) {
                    (Some(level), Some(least)) => level >= least,
                    _unfiltered => true,
                };
                if is_wanted {
                    self.tell_with(owner, self.line_of(whose), frame.unchanged(), out);
                }
            }
            Era::Modern => {
                let line = level.and_then(|level| self.line_that_hears(whose, upstream_id, level));
                if line.is_some() {
                    self.tell_with(owner, line, frame.unchanged(), out);
                }
            }
        }
        if stream == Stream::Common {
            self.note_logging(upstream_id, owner, out);
        }
    }

    fn on_resource_updated(
        &mut self,
        upstream_id: UpstreamId,
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let uri = params.uri.as_ref().and_then(|span| frame.text(span));
        let uri = uri.unwrap_or_default();
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.origin == Origin::EarlierDaemon {
            upstream.missed.note(&uri);
        }
        let words = match upstream.key.era {
            // It names our own request.
            Era::Modern => with_meta(frame, None),
            Era::Legacy => frame.unchanged(),
        };
        let mut hearers = upstream.subscriptions.subscribers(&uri);
        // A wish hears of it behind its acknowledgement. Who subscribes with a request hears of it at once: its own
        // server could tell it before the answer, too.
        hearers.extend(upstream.subscriptions.waiting(&uri));
        if hearers.is_empty() {
            self.drop_message(upstream_id, DropReason::NoSubscriber, out);
        }
        for session in hearers {
            if self.is_modern(session) {
                self.tell_updated(session, &uri, frame, out);
            } else {
                Mux::tell_session(session, words.clone(), out);
            }
        }
    }

    fn on_elicitation_complete(
        &mut self,
        upstream_id: UpstreamId,
        params: &Params,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let id = params
            .elicitation_id
            .as_ref()
            .and_then(|span| frame.text(span));
        let owner = id.and_then(|id| {
            self.upstreams
                .get_mut(&upstream_id)?
                .elicitations
                .remove(id.as_ref())
        });
        match owner {
            Some(owner) => Mux::tell_session(owner, frame.unchanged(), out),
            None => self.drop_message(upstream_id, DropReason::UnknownElicitation, out),
        }
    }

    /// Remembers whom a question by address was put to, so that its settlement finds them.
    pub(crate) fn note_elicitation(
        &mut self,
        upstream_id: UpstreamId,
        session: SessionId,
        id: Box<str>,
    ) {
        let remembered_max = self.limits.session_asks;
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            let held = upstream
                .elicitations
                .values()
                .filter(|owner| **owner == session)
                .count();
            if held < remembered_max {
                upstream.elicitations.insert(id, session);
            }
        }
    }

    fn note_url_elicitations(&mut self, upstream_id: UpstreamId, session: SessionId, error: &str) {
        #[derive(serde::Deserialize)]
        struct Failure {
            code: i64,
            #[serde(default)]
            data: Option<Data>,
        }
        #[derive(serde::Deserialize)]
        struct Data {
            #[serde(default)]
            elicitations: Vec<Elicitation>,
        }
        #[derive(serde::Deserialize)]
        struct Elicitation {
            #[serde(rename = "elicitationId")]
            id: Box<str>,
        }
        let Ok(Failure {
            code: URL_ELICITATION_REQUIRED,
            data: Some(data),
        }) = serde_json::from_str(error)
        else {
            return;
        };
        for elicitation in data.elicitations {
            self.note_elicitation(upstream_id, session, elicitation.id);
        }
    }

    /// Whether a server that does not read has asked so much meanwhile that it gets no more answers: they
    /// would wait here without end.
    pub(crate) fn is_deaf(&mut self, upstream_id: UpstreamId, out: &mut Outbox) -> bool {
        let asks_max = self.limits.session_asks;
        let Some(upstream) = self
            .upstreams
            .get_mut(&upstream_id)
            .filter(|upstream| upstream.is_blocked)
        else {
            return false;
        };
        upstream.asked_blocked += 1;
        let is_deaf = upstream.asked_blocked > asks_max;
        if is_deaf {
            self.drop_message(upstream_id, DropReason::NotRead, out);
        }
        is_deaf
    }

    pub(crate) fn drop_message(
        &mut self,
        upstream_id: UpstreamId,
        reason: DropReason,
        out: &mut Outbox,
    ) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            *upstream.dropped.entry(reason).or_default() += 1;
        }
        out.tell(Fact::Dropped {
            upstream: upstream_id,
            reason,
        });
    }

    /// Gives a server a message of our own.
    pub(crate) fn tell_upstream(upstream: UpstreamId, frame: Outgoing, out: &mut Outbox) {
        out.act(Action::SendToUpstream { upstream, frame });
    }
}

fn owner_of_progress(
    exchange: &Exchange,
    frame: &Frame,
    span: &Span,
) -> Option<(SessionId, LineNumber, Outgoing)> {
    let Owner::Session(claim) = &exchange.owner else {
        return None;
    };
    let token = claim.token.as_ref().filter(|_| exchange.is_sent())?;
    Some((
        claim.session,
        claim.line,
        frame.rewrite(&mut [(span.clone(), token.as_bytes())]),
    ))
}

/// A server's answer as a session of that era reads it that has asked under this id.
pub(crate) fn answer_in_era(
    upstream: &Upstream,
    frame: &Frame,
    (era, id): (Era, &RequestId),
    method: &Method,
) -> Outgoing {
    let Message::Response { id_span, .. } = &frame.message else {
        return frame.unchanged();
    };
    if upstream.key.era == era {
        return frame.rewrite(&mut [(id_span.clone(), id.as_bytes())]);
    }
    let info = upstream.handshake.as_ref().and_then(Handshake::server_info);
    bridge::answer(frame, (era, id), method, info.as_deref())
}
