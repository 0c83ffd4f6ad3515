//! What clients say, and what comes of it.

use alloc::{string::String, vec::Vec};

use wire::{Fault, Frame, Kind, Message, Method, Outgoing, Params, RequestId};

use crate::{
    action::{Action, Outbox},
    class::Class,
    era::{BATCH_VERSION, Era},
    event::Opening,
    fact::Fact,
    ids::{LineNumber, SessionId},
    inquiry::Inquiry,
    mux::Mux,
    refusal::Refusal,
    session::{Batch, Held, Initialize, Session, Stage, State, Whereabouts},
    terms::Lack,
    timers::Timer,
    upstream::Upstream,
};

/// Longest name of a client that `status` shows, in characters.
const CLIENT_NAME_MAX: usize = 80;

/// Longest description of a client that servers are given, in bytes.
const CLIENT_INFO_MAX: usize = 4096;

impl Mux {
    pub(crate) fn on_session_opened(&mut self, id: SessionId, opening: Opening, out: &mut Outbox) {
        // Its shim has come back before the end of its last link was seen.
        self.on_session_closed(id, out);
        let server = opening.server.clone();
        out.tell(if opening.resumes {
            Fact::SessionResumed {
                session: id,
                server,
            }
        } else {
            Fact::SessionOpened {
                session: id,
                server,
            }
        });
        if let Some(most) = opening.silence_max {
            self.timers.set(Timer::Silence(id), self.now + most);
        }
        let means = (self.epoch, self.scales.of_another());
        self.sessions
            .insert(id, Session::new(id, opening, means, self.now));
        if self.is_shutting_down {
            out.act(Action::CloseSession { session: id });
            self.sessions.remove(&id);
            self.timers.clear(Timer::Silence(id));
        }
    }

    pub(crate) fn on_session_frame(
        &mut self,
        session: SessionId,
        line: LineNumber,
        frame: Frame,
        out: &mut Outbox,
    ) {
        let now = self.now;
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        known.heard_at = now;
        if known.blocked.is_some() {
            self.count_heard(session, out);
        }
        match frame.kind() {
            Kind::Request => self.on_request(session, line, (frame, Stage::Fresh), out),
            Kind::Notification => self.on_notification(session, line, frame, out),
            Kind::Response => {
                self.on_ask_answered(session, &frame, out);
                self.line_is_done(session, line, out);
            }
        }
    }

    pub(crate) fn on_session_batch(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frames: Vec<Result<Frame, Fault>>,
        out: &mut Outbox,
    ) {
        if !self.open_batch(session_id, line, &frames, out) {
            return;
        }
        for frame in frames {
            match frame {
                Ok(frame) => self.on_session_frame(session_id, line, frame, out),
                Err(fault) => self.on_session_fault(session_id, line, fault, out),
            }
        }
    }

    /// Prepares for the messages of a batch; says whether it is one.
    pub(crate) fn open_batch(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frames: &[Result<Frame, Fault>],
        out: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return false;
        };
        if session.version != BATCH_VERSION {
            self.on_session_fault(session_id, line, Fault::NotAnObject, out);
            return false;
        }
        // A batch that is empty or no JSON has one answer, which is not in an array.
        if let [Err(fault)] = frames {
            self.on_session_fault(session_id, line, fault.clone(), out);
            return false;
        }
        // What wants no answer counts, too: the line is not done before it has gone.
        session.batches.insert(
            line,
            Batch {
                left: frames.len(),
                ..Batch::default()
            },
        );
        true
    }

    pub(crate) fn on_request(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        (frame, stage): (Frame, Stage),
        out: &mut Outbox,
    ) {
        let Message::Request {
            id, method, params, ..
        } = &frame.message
        else {
            return;
        };
        if self.refuse_in_use(session_id, line, id, out) {
            return;
        }
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        if params.modern.is_some() && session.may_be_modern() {
            self.on_modern_request(session_id, line, (frame, stage), out);
            return;
        }
        let unserved = self.refusal_of_unserved(session_id);
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let id = id.clone();
        match (method, unserved) {
            (Method::Ping, _) => self.answer_empty(session_id, &id, line, out),
            (Method::Discover, _) => {
                let refusal = Refusal::NoSuchMethod {
                    method: Method::Discover,
                };
                self.refuse(session_id, &id, line, refusal, out);
            }
            (_any, Some(refusal)) => self.refuse(session_id, &id, line, refusal, out),
            (Method::Initialize, None) => {
                let initialize = self.read_initialize(session_id, &frame, params, &id, line);
                self.on_initialize(session_id, initialize, out);
            }
            (_any, None) if session.state == State::New => {
                self.refuse(session_id, &id, line, Refusal::NotInitialized, out);
            }
            // One that has to say what it is of and does not.
            (_any, None) if session.era == Era::Modern => {
                self.on_modern_request(session_id, line, (frame, stage), out);
            }
            // A modern server would serve it, and tell its changes to all.
            (Method::Listen, None) => {
                let refusal = Refusal::NoSuchMethod {
                    method: Method::Listen,
                };
                self.refuse(session_id, &id, line, refusal, out);
            }
            (_any, None) => self.submit(session_id, line, (frame, stage), out),
        }
    }

    /// Refuses a request whose id another has that is still open; says whether it is one.
    pub(crate) fn refuse_in_use(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        id: &RequestId,
        out: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get(&session_id) else {
            return false;
        };
        if !session.is_in_use(id) {
            return false;
        }
        // The first goes on; this answer cannot be told from its own, but silence would be worse.
        let refusal = Refusal::IdInUse;
        out.tell(Fact::Refused {
            session: session_id,
            refusal: refusal.clone(),
        });
        if session.batches.contains_key(&line) {
            let answer = refusal.to_response(Some(id));
            self.answer_in_batch(session_id, None, line, answer, out);
        } else {
            self.tell_with(session_id, Some(line), refusal.to_response(Some(id)), out);
            self.line_is_done(session_id, line, out);
        }
        true
    }

    /// Why nothing can be started for a session; it may still join what runs.
    pub(crate) fn refusal_of_unserved(&self, session_id: SessionId) -> Option<Refusal> {
        let session = self.sessions.get(&session_id)?;
        let refusal = session.opening.refused.clone()?;
        let is_unserved =
            session.upstream().is_none() && self.running_to_join(session_id).is_none();
        is_unserved.then_some(refusal)
    }

    pub(crate) fn read_initialize(
        &mut self,
        session_id: SessionId,
        frame: &Frame,
        params: &Params,
        id: &RequestId,
        line: LineNumber,
    ) -> (Initialize, Class) {
        let text = |span: &Option<wire::Span>| {
            span.as_ref()
                .and_then(|span| frame.text(span))
                .map(String::from)
        };
        let declared = params
            .capabilities
            .as_ref()
            .map(|span| Class::declared(frame.json(span)));
        if let Some(session) = self.sessions.get_mut(&session_id) {
            let info = params.client_info.as_ref().map(|span| frame.json(span));
            session.client = info.and_then(client_name);
            session.client_info = info
                .filter(|info| info.len() <= CLIENT_INFO_MAX && info.starts_with('{'))
                .map(Into::into);
        }
        let version = text(&params.protocol_version).unwrap_or_default();
        (
            Initialize {
                id: id.clone(),
                line,
                version,
                since: self.now,
            },
            declared.unwrap_or_default(),
        )
    }

    fn on_initialize(
        &mut self,
        session_id: SessionId,
        (initialize, class): (Initialize, Class),
        out: &mut Outbox,
    ) {
        let may_begin = self.end_probe(session_id, out);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        if !may_begin
            || session.batches.contains_key(&initialize.line)
            || (session.state != State::New && session.class != class)
        {
            self.refuse(
                session_id,
                &initialize.id,
                initialize.line,
                Refusal::AlreadyInitialized,
                out,
            );
            return;
        }
        match &session.state {
            State::New => {}
            State::Waiting(..) | State::Awaiting(_) => {
                self.refuse(
                    session_id,
                    &initialize.id,
                    initialize.line,
                    Refusal::AlreadyInitialized,
                    out,
                );
                return;
            }
            // Who has come from elsewhere was greeted there, and nobody knows how.
            State::Attached(upstream_id)
                if !self
                    .upstreams
                    .get(upstream_id)
                    .is_some_and(Upstream::is_greeted) =>
            {
                let refusal = Refusal::AlreadyInitialized;
                self.refuse(session_id, &initialize.id, initialize.line, refusal, out);
                return;
            }
            // The same client says hello again: it hears the same answer.
            State::Attached(_) => {
                self.answer_initialize(session_id, &initialize, out);
                return;
            }
        }
        session.class = class;
        session
            .open
            .insert(initialize.id.clone(), Whereabouts::Initialize);
        let patience = session.start_due(self.now, &self.limits);
        let Some(upstream) = self.route(session_id, initialize, out) else {
            Mux::contradiction("a session could not be routed", out);
            return;
        };
        self.recall(session_id, upstream, out);
        if self
            .upstreams
            .get(&upstream)
            .is_some_and(Upstream::is_ready)
        {
            self.attach_waiting(upstream, out);
        } else if !self.attach_recalled(session_id, upstream, out) {
            self.timers.set(Timer::StartPatience(session_id), patience);
            self.want(upstream, out);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "methods that need no treatment of their own pass through"
    )]
    fn on_notification(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frame: Frame,
        out: &mut Outbox,
    ) {
        let Message::Notification { method, params } = &frame.message else {
            return;
        };
        match method {
            Method::Cancelled => {
                if let Some((id, _)) = params.request_id.clone() {
                    self.on_client_cancelled(session_id, &id, &frame, out);
                }
                self.line_is_done(session_id, line, out);
            }
            Method::Progress => {
                self.on_ask_progress(session_id, &frame, out);
                self.line_is_done(session_id, line, out);
            }
            // The upstream heard it from us, and roots are answered from the binding.
            Method::Initialized | Method::RootsListChanged => {
                self.line_is_done(session_id, line, out);
            }
            _unknown => self.forward_notification(session_id, line, frame, out),
        }
    }

    /// A notification that we do not know goes where requests go, behind those that wait.
    fn forward_notification(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        frame: Frame,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let Some(upstream_id) = session.upstream() else {
            self.line_is_done(session_id, line, out);
            return;
        };
        if self.refusal_while_down(upstream_id).is_some() {
            self.line_is_done(session_id, line, out);
            return;
        }
        if self.is_crowded(frame.len()) {
            self.drop_overloading(session_id, line, out);
            return;
        }
        let held = Held {
            line,
            frame: session.scales.weigh(frame),
            since: self.now,
            stage: Stage::Fresh,
        };
        let goes_at_once = session.is_attached()
            && session.queue.is_empty()
            && self
                .upstreams
                .get(&upstream_id)
                .is_some_and(Upstream::takes_messages);
        if goes_at_once {
            self.send_notification(session_id, upstream_id, &held, out);
        } else if self.is_full() || self.has_said_enough(session_id) {
            self.drop_overloading(session_id, line, out);
        } else {
            self.enqueue(session_id, held, out);
            self.expect_start(session_id, upstream_id, out);
        }
    }

    /// A notification is dropped, because there is no room for it.
    fn drop_overloading(&mut self, session: SessionId, line: LineNumber, out: &mut Outbox) {
        out.tell(Fact::Refused {
            session,
            refusal: Refusal::Overloaded,
        });
        self.line_is_done(session, line, out);
    }

    fn on_client_cancelled(
        &mut self,
        session_id: SessionId,
        id: &RequestId,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        match session.open.get(id).copied() {
            // The specification forbids to cancel `initialize`; what is over cannot be cancelled.
            None | Some(Whereabouts::Initialize) => {}
            Some(Whereabouts::Asking(_)) => self.end_inquiry(session_id, id, None, out),
            Some(Whereabouts::Listening) => self.cancel_listening(session_id, id, out),
            Some(Whereabouts::Subscribing) => self.cancel_subscribing(session_id, id, out),
            Some(Whereabouts::Held(line)) => {
                session.open.remove(id);
                session.inquiries.remove(id);
                let upstream = session.upstream();
                let held = session.queue.take_line(line, id);
                let waits_for_nothing = session.is_attached() && session.queue.is_empty();
                self.uncount_waiting(held.as_ref());
                drop(held);
                if waits_for_nothing {
                    // What comes next has a patience of its own.
                    self.timers.clear(Timer::StartPatience(session_id));
                }
                self.give_up_turn(session_id);
                self.resume_if_room(session_id, out);
                self.end_unanswered(session_id, line, out);
                if let Some(upstream) = upstream {
                    self.release(upstream, out);
                }
            }
            Some(Whereabouts::Upstream(minted)) => {
                session.open.remove(id);
                session.inquiries.remove(id);
                self.cancel_exchange(session_id, minted, frame, out);
            }
        }
        self.close_if_drained(session_id, out);
    }

    /// A request is over without an answer.
    pub(crate) fn end_unanswered(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        out: &mut Outbox,
    ) {
        if self
            .sessions
            .get(&session_id)
            .is_some_and(|session| session.batches.contains_key(&line))
        {
            self.unanswered_in_batch(session_id, line, out);
        } else {
            self.line_is_done(session_id, line, out);
        }
    }

    pub(crate) fn on_session_ending(&mut self, session_id: SessionId, out: &mut Outbox) {
        let patience = self.now + self.limits.drain_patience;
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.is_ending = true;
        // It may be told once more, after an upgrade.
        self.timers
            .set_no_later(Timer::DrainPatience(session_id), patience);
        // It could go on for ever.
        self.end_listening(session_id, out);
        // It can answer nothing more, nor come back.
        self.end_inquiries(session_id, Inquiry::waits, &Refusal::InputRefused, out);
        self.end_rounds(session_id, out);
        self.end_asks_of(session_id, &Refusal::OwnerGone, out);
        self.close_if_drained(session_id, out);
    }

    /// A session that closed its input has waited for its answers for long enough.
    pub(crate) fn on_drain_patience(&mut self, session_id: SessionId, out: &mut Outbox) {
        let refusal = Refusal::TookTooLong {
            after: self.limits.drain_patience,
            lack: Lack::Answer,
        };
        self.refuse_everything(session_id, &refusal, out);
        // The last answer closes the session; one that was only told things has none to wait for.
        if self.sessions.contains_key(&session_id) {
            self.close(session_id, out);
        }
    }

    /// Closes a session's link, behind whatever is on its way to it. Its shim hears what is done: the
    /// rest it would answer by itself, or look for the next daemon at once.
    pub(crate) fn close(&mut self, session_id: SessionId, out: &mut Outbox) {
        self.tell_done(session_id, out);
        out.act(Action::CloseSession {
            session: session_id,
        });
        self.on_session_closed(session_id, out);
    }
}

/// Name and version of a client, cleaned for display.
pub(crate) fn client_name(info: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct ClientInfo {
        name: String,
        #[serde(default)]
        version: String,
    }
    let info: ClientInfo = serde_json::from_str(info).ok()?;
    let name = alloc::format!("{} {}", info.name, info.version);
    let clean = name
        .trim()
        .chars()
        .filter(|character| !character.is_control());
    Some(clean.take(CLIENT_NAME_MAX).collect())
}

/// Our own cancellation of a request, for either side.
pub(crate) fn cancellation(id: u64, reason: &str) -> Outgoing {
    let reason = wire::quoted(reason);
    Outgoing::from(alloc::format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":{reason}}}}}"#
    ))
}
