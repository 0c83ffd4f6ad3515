//! Sessions of the modern era (2026-07-28): no handshake, and each request says what it is of.
//!
//! Such a session is routed at its first request. Over stdio it may turn out to be a probe: a client that
//! says `initialize` after all is of the legacy era from then on.
//!
//! **Invariant:** a request that does not say what it must is refused before anybody else hears of it.

use alloc::string::{String, ToString};

use wire::{Frame, Message, Method, Modern, Params, RequestId};

use crate::{
    action::Outbox,
    class::Class,
    era::{Era, MODERN_VERSION},
    event::Link,
    exchange::Errand,
    fact::Fact,
    from_session::client_name,
    ids::{LineNumber, SessionId, UpstreamId},
    mux::Mux,
    refusal::Refusal,
    said::{check_method, check_sender, said_version},
    session::{Session, Stage, State, Whereabouts},
    timers::Timer,
    upstream::Upstream,
};

impl Session {
    /// Whether a request that claims to be of the modern era is taken for one.
    pub(crate) fn may_be_modern(&self) -> bool {
        self.state == State::New || self.era == Era::Modern
    }

    /// Whether it is one that lasts as long as its one request.
    pub(crate) fn is_of_one_request(&self) -> bool {
        self.opening.link == Link::Posts && self.era == Era::Modern
    }
}

impl Mux {
    /// A request that says by itself what it is of.
    pub(crate) fn on_modern_request(
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
        let (id, method) = (id.clone(), method.clone());
        let said = params.modern.as_deref();
        let checked = check(&frame, &method, params);
        self.learn_verdict(session_id);
        if let Err(refusal) = checked.and_then(|()| self.may_be_served(session_id, &method)) {
            self.refuse(session_id, &id, line, refusal, out);
            return;
        }
        self.read_sender(session_id, &frame, said);
        if self.resume_round(session_id, (&id, line), &frame, out) {
            return;
        }
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        if session.state == State::New {
            self.await_upstream(session_id, (&id, line), out);
        }
        let here = matches!(method, Method::Discover | Method::Listen);
        let is_greeted = |upstream| {
            self.upstreams
                .get(upstream)
                .is_some_and(Upstream::is_greeted)
        };
        match self.sessions.get(&session_id).map(|session| &session.state) {
            Some(State::Attached(upstream)) if here && is_greeted(upstream) => {
                let place = (session_id, *upstream);
                self.answer_modern(place, (&id, line), &frame, out);
            }
            Some(_) => self.submit(session_id, line, (frame, stage), out),
            None => {}
        }
    }

    /// Whether a client is served that speaks as in the modern era. One that could speak otherwise and is
    /// to, or has to, hears that there is no discovery.
    fn may_be_served(&self, session_id: SessionId, method: &Method) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get(&session_id) else {
            return Ok(());
        };
        let opening = &session.opening;
        if let Some(refusal) = self.refusal_of_unserved(session_id) {
            return Err(refusal);
        }
        // What is of one session alone would be of one request. Who is served already, and comes back for an answer,
        // was there before that showed.
        let is_new = session.upstream().is_none();
        let lacks_session =
            is_new && self.lacks_session(session, self.era_for(opening, Era::Modern));
        let is_probe = *method == Method::Discover;
        if lacks_session || is_probe && opening.era == Some(Era::Legacy) {
            return Err(Refusal::without_session(is_probe, &opening.server));
        }
        Ok(())
    }

    /// Whether a session is one of a single request, and would need to be a real one where its server is spoken
    /// to so.
    fn lacks_session(&self, session: &Session, era: Era) -> bool {
        session.opening.link == Link::Posts && self.is_alone(&session.opening, era)
    }

    /// Takes in who the client is and what it can do, which counts for all that it asks.
    fn read_sender(&mut self, session_id: SessionId, frame: &Frame, said: Option<&Modern>) {
        let (Some(session), Some(said)) = (self.sessions.get_mut(&session_id), said) else {
            return;
        };
        session.era = Era::Modern;
        session.version = MODERN_VERSION.to_string();
        if session.state == State::New {
            let declared = said.capabilities.as_ref();
            session.class = declared
                .map(|span| Class::declared(frame.json(span)))
                .unwrap_or_default();
        }
        if session.client.is_none() {
            let info = said.client_info.as_ref();
            session.client = info.and_then(|span| client_name(frame.json(span)));
        }
    }

    /// Finds or makes the upstream of a session that has not said `initialize`, and has it wait there.
    ///
    /// Where it is given up for now nobody waits, and the request with which the session came is refused.
    fn await_upstream(
        &mut self,
        session_id: SessionId,
        (id, line): (&RequestId, LineNumber),
        out: &mut Outbox,
    ) {
        let patience = self.start_due(session_id);
        let Some(upstream_id) = self.upstream_for(session_id) else {
            Mux::contradiction("a session could not be routed", out);
            return;
        };
        self.wait_at(session_id, upstream_id, out);
        self.recall(session_id, upstream_id, out);
        if self
            .upstreams
            .get(&upstream_id)
            .is_some_and(Upstream::is_ready)
        {
            self.attach_waiting(upstream_id, out);
        } else if self.attach_recalled(session_id, upstream_id, out) {
            // What it asks is answered from what is known, or goes when its server runs.
        } else if let Some(refusal) = self.refusal_while_down(upstream_id) {
            self.refuse(session_id, id, line, refusal, out);
            self.refuse_all_waiting(upstream_id, out);
        } else {
            self.timers.set(Timer::StartPatience(session_id), patience);
            self.want(upstream_id, out);
        }
    }

    fn wait_at(&mut self, session_id: SessionId, upstream_id: UpstreamId, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.state = State::Awaiting(upstream_id);
        }
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.waiting.push_back(session_id);
        }
        out.tell(Fact::SessionRouted {
            session: session_id,
            upstream: upstream_id,
        });
    }

    /// Has a session that waits for a handshake wait elsewhere.
    pub(crate) fn await_elsewhere(&mut self, session_id: SessionId, out: &mut Outbox) {
        if let Some(upstream_id) = self.upstream_for(session_id) {
            self.wait_at(session_id, upstream_id, out);
        }
    }

    /// Answers what needs nobody but the handshake.
    pub(crate) fn answer_modern(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        (id, line): (&RequestId, LineNumber),
        frame: &Frame,
        out: &mut Outbox,
    ) {
        if frame.method() == Some(&Method::Listen) {
            self.begin_listening((session_id, upstream_id), (id, line), frame, out);
            return;
        }
        let upstream = self.upstreams.get(&upstream_id);
        let Some(handshake) = upstream.and_then(|upstream| upstream.handshake.as_ref()) else {
            Mux::contradiction(
                "a session is attached to an upstream without a handshake",
                out,
            );
            return;
        };
        let age = upstream.map(|upstream| upstream.age_of_greeting(self.now));
        let answer = handshake.discovered(id, age.unwrap_or_default());
        self.answer(session_id, id, line, answer, out);
    }

    /// A client that has asked as a modern one does says `initialize`: it was a probe. Says whether it may
    /// be of the legacy era from now on.
    pub(crate) fn end_probe(&mut self, session_id: SessionId, out: &mut Outbox) -> bool {
        let Some(session) = self.sessions.get(&session_id) else {
            return false;
        };
        if session.era == Era::Legacy {
            return true;
        }
        let is_at_work =
            |whereabouts: &Whereabouts| matches!(whereabouts, Whereabouts::Upstream(_));
        // Where it goes to another server, what it was asked here and what it has parked here would be taken
        // for what others are asked and do there: numbers begin anew at each server.
        let is_bound = !session.rounds.is_empty() || session.is_asked();
        if is_bound || session.open.values().any(is_at_work) {
            return false;
        }
        let upstream_id = session.upstream();
        self.end_listening(session_id, out);
        let refusal = Refusal::NoSuchMethod {
            method: Method::Discover,
        };
        self.refuse_session_waits(session_id, &refusal, out);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return false;
        };
        session.era = Era::Legacy;
        session.state = State::New;
        session.version = String::new();
        if let Some(upstream_id) = upstream_id {
            self.detach(session_id, upstream_id, out);
        }
        true
    }

    /// Refuses what waits of a session of one request, if it would have to be a real one where its server is
    /// spoken to so. Says whether it would.
    pub(crate) fn turn_away_without_session(
        &mut self,
        session_id: SessionId,
        era: Era,
        out: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get(&session_id) else {
            return false;
        };
        if session.era == Era::Legacy || !self.lacks_session(session, era) {
            return false;
        }
        let is_probe = session.queue.holds(&Method::Discover);
        let refusal = Refusal::without_session(is_probe, &session.opening.server);
        self.refuse_session_waits(session_id, &refusal, out);
        self.end_listening(session_id, out);
        if let Some(session) = self.sessions.get_mut(&session_id)
            && let State::Attached(upstream_id) = session.state
        {
            session.state = State::New;
            self.detach(session_id, upstream_id, out);
        }
        true
    }

    /// Whether a server is alive, in the words of its era: the modern one has no `ping`.
    pub(crate) fn pulse_request(era: Era, id: u64) -> String {
        match era {
            Era::Legacy => alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#),
            Era::Modern => alloc::format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{"_meta":{}}}}}"#,
                crate::handshake::own_meta()
            ),
        }
    }

    /// What has to be done otherwise on our own account at a server of the modern era; says whether it was.
    pub(crate) fn run_modern_errand(
        &mut self,
        upstream_id: UpstreamId,
        errand: Errand,
        out: &mut Outbox,
    ) -> bool {
        let upstream = self.upstreams.get(&upstream_id);
        if upstream.is_none_or(|upstream| upstream.key.era == Era::Legacy) {
            return false;
        }
        match errand {
            Errand::Subscribe | Errand::Unsubscribe => self.listen_to(upstream_id, out),
            // Each request says it.
            Errand::SetLevel => {}
            Errand::Greet | Errand::Ping | Errand::Listen | Errand::Compare(..) => return false,
        }
        true
    }
}

impl Refusal {
    /// What a client hears that speaks as in the modern era and cannot be served so: who only asks what there is
    /// may speak otherwise.
    fn without_session(is_probe: bool, server: &alloc::sync::Arc<str>) -> Self {
        if is_probe {
            Refusal::NoSuchMethod {
                method: Method::Discover,
            }
        } else {
            Refusal::NeedsSession {
                server: server.clone(),
            }
        }
    }
}

/// Whether a request says what each must say, and is one that there is.
fn check(frame: &Frame, method: &Method, params: &Params) -> Result<(), Refusal> {
    let version = said_version(frame, params)?;
    if *version != *MODERN_VERSION {
        return Err(Refusal::UnsupportedVersion {
            requested: version.into(),
        });
    }
    check_sender(frame, params)?;
    check_method(method)
}
