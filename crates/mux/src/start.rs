//! How an upstream comes up: started on demand, greeted once, and its sessions answered from that.
//!
//! **Invariant:** whoever waits for a start hears of its end, or that it takes too long.

use alloc::{format, string::String};
use core::time::Duration;

use wire::{Frame, Message, Method, Outgoing};

use crate::{
    action::{Action, Outbox},
    era::Era,
    event::Program,
    exchange::{Errand, Exchange, MintedId},
    fact::Fact,
    handshake::{Handshake, greeted, greeting},
    ids::{SessionId, UpstreamId},
    keeping::Keepsake,
    moment::Moment,
    mux::Mux,
    offers::Offer,
    recall::Comes,
    refusal::Refusal,
    session::{Initialize, State as SessionState},
    timers::Timer,
    upstream::{Standing, State, StopCause, Upstream},
    verdict::{Evidence, are_different},
};

impl Mux {
    /// Somebody needs this upstream: starts it, unless it runs, rests or is on its way.
    pub(crate) fn want(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        self.timers.clear(Timer::Idle(upstream_id));
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        match &upstream.state {
            State::Stopped => self.start(upstream_id, out),
            State::Rested => {
                self.timers.clear(Timer::Rested(upstream_id));
                self.start(upstream_id, out);
            }
            State::Failed { .. } => self.refuse_all_waiting(upstream_id, out),
            State::Starting
            | State::Initializing
            | State::Ready { .. }
            | State::Draining { .. }
            | State::Backoff => {}
        }
    }

    pub(crate) fn start(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let launcher = self.launcher_of(upstream_id);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let Some(on_behalf_of) = launcher else {
            // Only sessions are left that had joined it, and nobody knows its command line.
            upstream.state = State::Stopped;
            let refusal = Refusal::UpstreamStopped {
                server: upstream.server.clone(),
                maybe_executed: false,
            };
            self.refuse_waiting(upstream_id, &refusal, out);
            self.after_restart(upstream_id, None, out);
            self.forget_if_over(upstream_id);
            return;
        };
        upstream.state = State::Starting;
        upstream.is_awaited = false;
        upstream.starts += 1;
        upstream.standing = Standing::Strange;
        upstream.is_blocked = false;
        upstream.last_words.clear();
        out.tell(Fact::UpstreamStarting {
            upstream: upstream_id,
            server: upstream.server.clone(),
            restarts: upstream.starts - 1,
        });
        out.act(Action::StartUpstream {
            upstream: upstream_id,
            on_behalf_of,
        });
        self.touch_record(upstream_id);
    }

    /// A session with whose command line the upstream may be started: not one that only joined.
    pub(crate) fn launcher_of(&self, upstream_id: UpstreamId) -> Option<SessionId> {
        let upstream = self.upstreams.get(&upstream_id)?;
        let wanting = upstream.waiting.iter().chain(&upstream.attached).copied();
        let mut own = wanting.filter(|id| {
            self.sessions
                .get(id)
                .is_some_and(|session| session.opening.route == upstream.key.route)
        });
        own.next()
    }

    pub(crate) fn on_started(
        &mut self,
        upstream_id: UpstreamId,
        program: Option<Program>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.state != State::Starting {
            return;
        }
        upstream.state = State::Initializing;
        if are_different(upstream.program, program) {
            upstream.ungreeted_before = None;
        }
        upstream.program = program.or(upstream.program);
        let errand = Exchange::of_errand(Errand::Greet, self.now);
        let id = upstream.exchanges.open(errand);
        let (era, class) = (upstream.key.era, upstream.class());
        Mux::tell_upstream(upstream_id, greeting(id, era, class), out);
        let patience = self.greeting_patience(upstream_id);
        self.timers
            .set(Timer::Greeting(upstream_id), self.now + patience);
    }

    /// How long a server may take to answer our greeting.
    fn greeting_patience(&self, upstream_id: UpstreamId) -> Duration {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return self.limits.greeting_timeout;
        };
        let is_trial = upstream.key.era == Era::Modern
            && upstream.handshake.is_none()
            && !upstream.has_fixed_era(&self.sessions)
            && self.refused_era_for(&upstream.asked()).is_none();
        // Where it cannot be asked in another way, there is nothing to be won by asking in vain for less long.
        if is_trial {
            self.limits.discover_patience
        } else {
            self.limits.greeting_timeout
        }
    }

    /// A line on standard error while no session's request was sent: it may be quoted.
    pub(crate) fn on_complained(&mut self, upstream_id: UpstreamId, line: String) {
        let last_words = self.limits.last_words;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.standing == Standing::Used {
            return;
        }
        if upstream.last_words.len() >= last_words {
            upstream.last_words.pop_front();
        }
        upstream.last_words.push_back(line);
    }

    /// The server has answered our `initialize`.
    pub(crate) fn on_greeted(&mut self, upstream_id: UpstreamId, frame: &Frame, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.state != State::Initializing {
            return;
        }
        self.timers.clear(Timer::Greeting(upstream_id));
        let asked = upstream.asked();
        let era = upstream.key.era;
        let handshake = match read_greeting(era, frame) {
            Ok(handshake) => handshake,
            Err((evidence, why)) => {
                self.fail_greeting(upstream_id, evidence, &why, out);
                return;
            }
        };
        out.tell(Fact::UpstreamReady {
            upstream: upstream_id,
            version: handshake.version.clone(),
        });
        let has_tasks = handshake.offers.has(Offer::Tasks);
        let offers_less = upstream
            .handshake
            .as_ref()
            .is_some_and(|before| !handshake.replaces(before));
        if offers_less {
            out.tell(Fact::UpstreamNarrowed {
                upstream: upstream_id,
            });
        }
        let before = upstream.handshake.replace(handshake);
        upstream.greeted_at = self.now;
        upstream.greeted_program = upstream.program;
        (upstream.ungreeted, upstream.ungreeted_before) = (None, None);
        upstream.state = State::Ready { since: self.now };
        upstream.standing = Standing::Greeted;
        if era == Era::Legacy {
            Mux::tell_upstream(upstream_id, greeted(), out);
        }
        self.prove_era(upstream_id, &asked, out);
        self.touch_record(upstream_id);
        if has_tasks {
            self.make_private(upstream_id, out);
        }
        self.settle_reinstated(upstream_id);
        self.restore(upstream_id, out);
        let comes = self.end_recall(upstream_id, before.as_ref());
        if comes == Comes::Unseen {
            self.tell_lists_of_new_process(upstream_id, out);
        }
        self.tell_what_is_forgotten(upstream_id, out);
        self.refuse_what_is_lost(upstream_id, out);
        self.forget_patience(upstream_id);
        self.attach_waiting(upstream_id, out);
        self.after_restart(upstream_id, None, out);
        self.release(upstream_id, out);
        self.keep_words(upstream_id, out);
        if comes == Comes::BehindKeptWords {
            self.compare_lists(upstream_id, out);
        }
        self.idle_if_unwanted(upstream_id, out);
    }

    /// A server that has no answer to our `initialize` is stopped.
    pub(crate) fn fail_greeting(
        &mut self,
        upstream_id: UpstreamId,
        evidence: Evidence,
        why: &str,
        out: &mut Outbox,
    ) {
        self.note_ungreeted(upstream_id, why);
        let proof = self.judge(upstream_id, evidence, out);
        let why = self.why_ungreeted(upstream_id, why);
        out.tell(Fact::UpstreamGreetingFailed {
            upstream: upstream_id,
            why: why.clone(),
        });
        if let Some(proof) = proof {
            self.stop_for_other_era(upstream_id, proof, out);
            return;
        }
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        upstream.state = State::Draining {
            cause: StopCause::NotGreeted,
        };
        out.act(Action::StopUpstream {
            upstream: upstream_id,
        });
        self.give_up_start(upstream_id, &why, out);
    }

    /// Keeps what a process did in place of an answer to our greeting.
    pub(crate) fn note_ungreeted(&mut self, upstream_id: UpstreamId, why: &str) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.ungreeted = Some(why.into());
        }
    }

    /// That, and what was answered in the other era before, if that was no better.
    pub(crate) fn why_ungreeted(&self, upstream_id: UpstreamId, why: &str) -> String {
        let upstream = self.upstreams.get(&upstream_id);
        let before = upstream.and_then(|upstream| upstream.ungreeted_before.as_deref());
        before.map_or_else(
            || why.into(),
            |before| format!("{before}; asked otherwise, {why}"),
        )
    }

    pub(crate) fn on_greeting_timeout(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let method = greeting_method(upstream.key.era);
        let seconds = self.greeting_patience(upstream_id).as_secs();
        let why = format!("it did not answer `{method}` within {seconds} s");
        self.fail_greeting(upstream_id, Evidence::Silence, &why, out);
    }

    /// A new process knows nothing of what its predecessor was told.
    pub(crate) fn restore(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        upstream.level = None;
        let level = self.wanted_level(upstream_id);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        upstream.level = level;
        if upstream.key.era == Era::Modern {
            // It is asked for all of it at once.
            return self.listen_to(upstream_id, out);
        }
        let uris = upstream.subscriptions.uris();
        self.ask_for(upstream_id, &uris, out);
        if let Some(level) = level {
            self.run_errand(
                upstream_id,
                Errand::SetLevel,
                &Method::SetLevel,
                ("level", level.name()),
                out,
            );
        }
    }

    /// Asks a server something on our own account, and says under which id, if it was asked by a request of its own.
    pub(crate) fn run_errand(
        &mut self,
        upstream_id: UpstreamId,
        errand: Errand,
        method: &Method,
        (name, value): (&str, &str),
        out: &mut Outbox,
    ) -> Option<MintedId> {
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        if !upstream.is_ready() || self.run_modern_errand(upstream_id, errand, out) {
            return None;
        }
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        let exchange = Exchange::of_errand(errand, self.now);
        let id = upstream.exchanges.open(exchange);
        self.watch_request_timeout(upstream_id);
        let value = wire::quoted(value);
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"{name}":{value}}}}}"#
        );
        Mux::tell_upstream(upstream_id, Outgoing::from(request), out);
        Some(id)
    }

    /// Sessions that it served before have nothing to wait for any longer.
    fn forget_patience(&mut self, upstream_id: UpstreamId) {
        if let Some(upstream) = self.upstreams.get(&upstream_id) {
            for session in &upstream.attached {
                self.timers.clear(Timer::StartPatience(*session));
            }
        }
    }

    /// Has a session that waits for a handshake wait where it belongs by now.
    pub(crate) fn route_again(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let has_messages = !session.queue.is_empty();
        match core::mem::replace(&mut session.state, SessionState::New) {
            SessionState::Waiting(_, initialize) => {
                self.route(session_id, initialize, out);
            }
            SessionState::Awaiting(_) => self.await_elsewhere(session_id, out),
            served @ (SessionState::New | SessionState::Attached(_)) => {
                session.state = served;
                return;
            }
        }
        let session = self.sessions.get(&session_id);
        let Some(upstream_id) = session.and_then(crate::session::Session::upstream) else {
            return;
        };
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            && has_messages
        {
            upstream.turns.queue_up(session_id);
        }
        self.want(upstream_id, out);
        // One that joins what runs has nothing to wait for.
        let is_ready = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(Upstream::is_ready);
        if is_ready {
            self.attach_waiting(upstream_id, out);
            self.release(upstream_id, out);
        }
    }

    /// Answers every session that waited for the handshake.
    pub(crate) fn attach_waiting(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        loop {
            let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
                return;
            };
            let Some(session_id) = upstream.waiting.pop_front() else {
                return;
            };
            upstream.attached.insert(session_id);
            upstream.is_awaited = false;
            upstream.welcome(session_id);
            let offers = upstream.handshake.as_ref().map(|said| said.offers);
            self.note_attached(session_id, upstream_id);
            self.timers.clear(Timer::Idle(upstream_id));
            self.timers.clear(Timer::StartPatience(session_id));
            let Some(session) = self.sessions.get_mut(&session_id) else {
                continue;
            };
            let attached = SessionState::Attached(upstream_id);
            match core::mem::replace(&mut session.state, attached) {
                SessionState::Waiting(_, initialize) => {
                    self.answer_initialize(session_id, &initialize, out);
                    self.tell_level_again(upstream_id, out);
                }
                SessionState::Awaiting(_) => session.offers = offers.unwrap_or_default(),
                SessionState::New | SessionState::Attached(_) => {}
            }
        }
    }

    pub(crate) fn answer_initialize(
        &mut self,
        session_id: SessionId,
        initialize: &Initialize,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(handshake) = session
            .upstream()
            .and_then(|id| self.upstreams.get(&id))
            .and_then(|upstream| upstream.handshake.as_ref())
        else {
            Mux::contradiction(
                "a session is attached to an upstream without a handshake",
                out,
            );
            return;
        };
        session.version = handshake.version_for(&initialize.version);
        session.offers = handshake.offers;
        let answer = handshake.answer(&initialize.id, &session.version);
        let (id, line) = (&initialize.id, initialize.line);
        self.answer_and_keep(session_id, (id, line), answer, Keepsake::Greeting, out);
    }

    /// Tells everybody who waits for this start that it has failed.
    pub(crate) fn give_up_start(&mut self, upstream_id: UpstreamId, why: &str, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if let Some(known) = &mut upstream.known {
            known.distrust();
        }
        let refusal = Refusal::StartFailed {
            server: upstream.server.clone(),
            why: why.into(),
            last_words: upstream.quotable_words(),
            withheld: upstream.withheld.clone(),
        };
        self.refuse_waiting(upstream_id, &refusal, out);
        self.after_restart(upstream_id, Some(why), out);
    }

    /// When a session that begins to wait for its server now has waited as long as its client will.
    pub(crate) fn start_due(&self, session_id: SessionId) -> Moment {
        let session = self.sessions.get(&session_id);
        session.map_or(self.now, |it| it.start_due(self.now, &self.limits))
    }

    /// A session has waited as long as its client will. The start goes on.
    pub(crate) fn on_start_patience(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(upstream) = self
            .sessions
            .get(&session_id)
            .and_then(crate::session::Session::upstream)
            .and_then(|id| self.upstreams.get_mut(&id))
        else {
            return;
        };
        if upstream.is_ready() {
            return;
        }
        let upstream_id = upstream.id;
        upstream.is_awaited = true;
        let refusal = Refusal::StillStarting {
            server: upstream.server.clone(),
            after: self.limits.start_patience,
            last_words: upstream.quotable_words(),
            withheld: upstream.withheld.clone(),
        };
        self.refuse_session_waits(session_id, &refusal, out);
        self.give_back(upstream_id);
        self.idle_if_unwanted(upstream_id, out);
    }
}

/// A server's words, short enough for an error.
fn short(text: &str) -> String {
    const SHORT: usize = 300;
    let clean: String = text
        .chars()
        .filter(|character| !character.is_control())
        .take(SHORT)
        .collect();
    if clean.len() < text.len() {
        format!("{clean}…")
    } else {
        clean
    }
}

/// The answer to our greeting; or what is wrong with it, and what that says of the server.
fn read_greeting(era: Era, frame: &Frame) -> Result<Handshake, (Evidence, String)> {
    let (result, error) = match &frame.message {
        Message::Response { result, error, .. } => (result.as_ref(), error.as_ref()),
        Message::Request { .. } | Message::Notification { .. } => (None, None),
    };
    let read = result.and_then(|span| Handshake::read(&frame.share(span)));
    if let Some(handshake) = read.filter(|handshake| handshake.era == era) {
        return Ok(handshake);
    }
    let said = error.map_or("something that is no result", |span| frame.json(span));
    let evidence = if is_of_other_era(said) {
        Evidence::Refusal
    } else {
        Evidence::OtherAnswer
    };
    let (method, said) = (greeting_method(era), short(said));
    Err((evidence, format!("it answered `{method}` with {said}")))
}

/// What a server is asked first.
pub(crate) fn greeting_method(era: Era) -> &'static str {
    match era {
        Era::Legacy => "initialize",
        Era::Modern => "server/discover",
    }
}

/// Whether the error with which a server answers its greeting says that it may be of the other era: there is no
/// such method, it is one that only that era has (2026-07-28: -32020 to -32022), or the request is not as it has
/// to be. A server of the modern era may look first whether a request says its version in `_meta`, and has to
/// refuse one that does not with -32602.
fn is_of_other_era(error: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Failure {
        code: i64,
    }
    serde_json::from_str::<Failure>(error)
        .is_ok_and(|failure| matches!(failure.code, -32602..=-32600 | -32022..=-32020))
}
