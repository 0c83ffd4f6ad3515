//! How an upstream goes down: by itself, on request, or because nobody needs it; and what follows.

use alloc::{format, vec::Vec};
use core::time::Duration;

use wire::Frame;

use crate::{
    action::{Action, Outbox},
    backoff::{Deaths, Rest},
    event::{Exit, IdleTimeout},
    exchange::{Exchange, MintedId},
    fact::Fact,
    ids::{SessionId, UpstreamId},
    lanes::Lanes,
    moment::Moment,
    mux::Mux,
    pulse::Pulse,
    refusal::Refusal,
    resend::End,
    session::State as SessionState,
    start::greeting_method,
    timers::Timer,
    upstream::{Origin, State, StopCause},
    verdict::Proof,
};

impl Mux {
    pub(crate) fn refuse_all_waiting(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        if let Some(refusal) = self.refusal_while_down(upstream_id) {
            self.refuse_waiting(upstream_id, &refusal, out);
        }
    }

    /// Why a request cannot even wait, if the upstream is given up for now.
    pub(crate) fn refusal_while_down(&self, upstream_id: UpstreamId) -> Option<Refusal> {
        let upstream = self.upstreams.get(&upstream_id)?;
        let State::Failed { until } = upstream.state else {
            return None;
        };
        let server = upstream.server.clone();
        (until > self.now).then(|| Refusal::StillFailing {
            server,
            retry_in: until - self.now,
        })
    }

    pub(crate) fn refuse_waiting(
        &mut self,
        upstream_id: UpstreamId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let waiting = core::mem::take(&mut upstream.waiting);
        let attached: Vec<SessionId> = upstream.attached.iter().copied().collect();
        for session in waiting.into_iter().chain(attached) {
            self.refuse_session_waits(session, refusal, out);
        }
    }

    /// Ends whatever of a session waits: its `initialize`, all that is in its queue, and what its server is asked
    /// for with what others want.
    pub(crate) fn refuse_session_waits(
        &mut self,
        session_id: SessionId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        self.timers.clear(Timer::StartPatience(session_id));
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let held = session.queue.take_all();
        for held in &held {
            self.uncount_waiting(Some(held));
        }
        self.give_up_turn(session_id);
        self.refuse_initialize(session_id, refusal, out);
        for held in held {
            match held.frame.id() {
                Some(id) => self.refuse(session_id, id, held.line, refusal.clone(), out),
                None => self.line_is_done(session_id, held.line, out),
            }
        }
        self.refuse_awaiting(session_id, refusal, out);
        self.resume_if_room(session_id, out);
        self.close_if_drained(session_id, out);
    }

    /// Ends a session's wait for the handshake. It may say `initialize` again.
    fn refuse_initialize(&mut self, session_id: SessionId, refusal: &Refusal, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let (upstream_id, initialize) = match &session.state {
            SessionState::New | SessionState::Attached(_) => return,
            SessionState::Awaiting(upstream_id) => (*upstream_id, None),
            SessionState::Waiting(upstream_id, initialize) => {
                (*upstream_id, Some((initialize.id.clone(), initialize.line)))
            }
        };
        session.state = SessionState::New;
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.waiting.retain(|waiting| *waiting != session_id);
            upstream.turns.remove(session_id);
        }
        if let Some((id, line)) = initialize {
            self.refuse(session_id, &id, line, refusal.clone(), out);
        }
    }

    /// The process is gone.
    pub(crate) fn on_exited(
        &mut self,
        upstream_id: UpstreamId,
        exit: Exit,
        unwritten: Vec<Frame>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        if !upstream.has_process() {
            return;
        }
        let greeting = greeting_method(upstream.key.era);
        let was_greeted = upstream.is_ready() || matches!(upstream.state, State::Draining { .. });
        let why = format!("it {exit} before it answered `{greeting}`");
        if !was_greeted {
            self.note_ungreeted(upstream_id, &why);
        }
        // It may have ended because of what it was asked.
        let verdict = self.verdict_of_end(upstream_id, exit, out);
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let is_expected = matches!(upstream.state, State::Draining { .. });
        out.tell(Fact::UpstreamExited {
            upstream: upstream_id,
            exit,
            expected: is_expected,
            open: upstream.exchanges.claimed(),
        });
        self.take_back_unwritten(upstream_id, &unwritten);
        let open = self.end_process(upstream_id, Some(exit), out);
        let end = if is_expected {
            End::Expected
        } else {
            End::Unexpected(exit)
        };
        self.settle_open(upstream_id, open, unwritten, end, out);
        if let Some(proof) = verdict {
            self.turn_to_other_era(upstream_id, proof, out);
        } else if !was_greeted {
            let why = self.why_ungreeted(upstream_id, &why);
            self.give_up_start(upstream_id, &why, out);
        }
        self.follow_up(upstream_id, out);
    }

    /// There never was a process.
    pub(crate) fn on_start_failed(&mut self, upstream_id: UpstreamId, why: &str, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let was_wanted = match upstream.state {
            State::Starting | State::Initializing => true,
            // It was stopped on its way.
            State::Draining { .. } => false,
            State::Ready { .. } => {
                self.on_exited(upstream_id, Exit::Unknown, Vec::new(), out);
                return;
            }
            State::Stopped | State::Backoff | State::Rested | State::Failed { .. } => return,
        };
        out.tell(Fact::UpstreamStartFailed {
            upstream: upstream_id,
            why: why.into(),
        });
        self.end_process(upstream_id, None, out);
        if was_wanted {
            self.give_up_start(upstream_id, why, out);
        }
        self.follow_up(upstream_id, out);
    }

    /// Takes the process out of all books, before anybody is told: who is told may leave, and
    /// whoever comes must find the upstream without a process. Names what it still owed.
    fn end_process(
        &mut self,
        upstream_id: UpstreamId,
        exit: Option<Exit>,
        out: &mut Outbox,
    ) -> Vec<(MintedId, Exchange)> {
        self.withdraw_asks(upstream_id, out);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return Vec::new();
        };
        let open = upstream.exchanges.close_all();
        upstream.lanes = Lanes::default();
        upstream.brief.lose_calls();
        upstream.once.forget_results();
        upstream.heard = None;
        upstream.unheard_in_a_row = 0;
        upstream.recorded = None;
        upstream.origin = Origin::Here;
        upstream.sessions_awaited_until = Moment::default();
        upstream.subscriptions.forget_asking();
        upstream.is_blocked = false;
        upstream.memory.lose();
        upstream.noise.begin_anew();
        upstream.pulse = Pulse::default();
        for timer in [
            Timer::Pulse(upstream_id),
            Timer::Greeting(upstream_id),
            Timer::Listen(upstream_id),
            // It was for this process; the deaths of one that nobody needs are forgotten in their own time.
            Timer::Idle(upstream_id),
            Timer::Probation(upstream_id),
            Timer::Noise(upstream_id),
            Timer::RequestTimeout(upstream_id),
            Timer::RestartPatience(upstream_id),
        ] {
            self.timers.clear(timer);
        }
        self.enter_rest(upstream_id, exit, out);
        open
    }

    /// Decides what comes after a process.
    fn enter_rest(&mut self, upstream_id: UpstreamId, exit: Option<Exit>, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let was_retiring = core::mem::take(&mut upstream.is_retiring);
        let served = match upstream.state {
            // We asked for it, or were about to.
            State::Draining {
                cause: StopCause::Asked | StopCause::OtherEra(Proof::Half | Proof::Whole),
            } => {
                upstream.state = State::Stopped;
                upstream.deaths = Deaths::default();
                return;
            }
            State::Ready { .. } if was_retiring => {
                upstream.state = State::Stopped;
                upstream.deaths = Deaths::default();
                return;
            }
            State::Draining {
                cause: StopCause::NotGreeted | StopCause::OtherEra(Proof::Silence),
            }
            | State::Starting
            | State::Initializing => None,
            State::Ready { since } => Some(self.now - since),
            // There was none.
            State::Stopped | State::Backoff | State::Rested | State::Failed { .. } => return,
        };
        let seed = upstream_id.0 ^ (upstream.starts << 20);
        let budget = match exit {
            // It answers, and may well say the same again.
            Some(Exit::Forgetful) => self.limits.revivals_max,
            Some(Exit::Code(_) | Exit::Signal(_) | Exit::Disconnected | Exit::Unknown) | None => {
                self.limits.deaths_max
            }
        };
        let deaths = &mut upstream.deaths;
        let until = match deaths.add(self.now, served, &self.limits, (budget, seed)) {
            Rest::For(wait) => {
                upstream.state = State::Backoff;
                self.now + wait
            }
            Rest::TooMany => {
                let until = self.now + self.limits.failed_rest;
                upstream.state = State::Failed { until };
                out.tell(Fact::UpstreamFailed {
                    upstream: upstream_id,
                });
                until
            }
        };
        self.timers.set(Timer::Rested(upstream_id), until);
    }

    /// Whoever still needs an upstream without a process waits, is refused, or has it started again.
    fn follow_up(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let state = upstream.state;
        let has_messages = |id: &SessionId| {
            let session = self.sessions.get(id);
            session.is_some_and(|session| !session.queue.is_empty())
        };
        let waits: Vec<SessionId> = upstream
            .attached
            .iter()
            .copied()
            .filter(has_messages)
            .collect();
        for session in waits {
            let timer = Timer::StartPatience(session);
            if !self.timers.is_set(timer) {
                self.timers
                    .set(timer, self.now + self.limits.start_patience);
            }
        }
        self.settle(upstream_id, state, out);
    }

    /// Enters a state without a process.
    pub(crate) fn settle(&mut self, upstream_id: UpstreamId, state: State, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let is_failed = matches!(state, State::Failed { .. });
        let is_stopped = state == State::Stopped;
        upstream.state = state;
        if is_stopped {
            upstream.deaths = Deaths::default();
        }
        let is_wanted = upstream.is_wanted() && !self.is_shutting_down;
        if is_failed {
            self.refuse_all_waiting(upstream_id, out);
        } else if is_stopped && is_wanted {
            self.start(upstream_id, out);
        } else if is_stopped {
            self.after_restart(upstream_id, None, out);
            self.forget_if_over(upstream_id);
        }
    }

    pub(crate) fn on_rested(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        match upstream.state {
            State::Backoff | State::Failed { .. } => {}
            // Nobody has come for so long that its deaths are forgotten.
            State::Rested => {
                self.settle(upstream_id, State::Stopped, out);
                return;
            }
            State::Stopped
            | State::Starting
            | State::Initializing
            | State::Ready { .. }
            | State::Draining { .. } => return,
        }
        if upstream.is_wanted() {
            self.start(upstream_id, out);
        } else {
            upstream.state = State::Rested;
            let until = self.now + self.limits.good_service;
            self.timers.set(Timer::Rested(upstream_id), until);
        }
    }

    /// Nobody is left: waits the idle time, then stops the process.
    pub(crate) fn idle_if_unwanted(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        if upstream.is_wanted() {
            return;
        }
        match upstream.state {
            // A rest that nobody waits for is over when its time is.
            State::Stopped | State::Backoff | State::Rested | State::Failed { .. } => {
                self.forget_if_over(upstream_id);
                return;
            }
            State::Draining { .. } => return,
            // The next session is to find it running, however long that takes.
            State::Starting | State::Initializing if upstream.is_awaited => return,
            State::Starting | State::Initializing | State::Ready { .. } => {}
        }
        let grace = if upstream.is_awaited {
            self.limits.start_patience
        } else {
            Duration::ZERO
        };
        let may_return = upstream.sessions_awaited_until.max(self.now) - self.now;
        let wait = match upstream.idle_timeout {
            // Nobody else will ever come to a process of one session.
            _any if upstream.key.session.is_some() => may_return,
            IdleTimeout::Never => return,
            IdleTimeout::After(wait) => wait.max(grace).max(may_return),
        };
        if wait.is_zero() {
            self.stop(upstream_id, out);
        } else {
            self.timers.set(Timer::Idle(upstream_id), self.now + wait);
        }
    }

    pub(crate) fn on_idle(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        if self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| !upstream.is_wanted())
        {
            self.stop(upstream_id, out);
        }
    }

    /// Asks a process to end; [`crate::Event::UpstreamExited`] tells when it has.
    pub(crate) fn stop(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        match upstream.state {
            State::Starting | State::Initializing | State::Ready { .. } => {
                upstream.state = State::Draining {
                    cause: StopCause::Asked,
                };
                self.timers.clear(Timer::Greeting(upstream_id));
                self.timers.clear(Timer::Idle(upstream_id));
                self.timers.clear(Timer::RestartPatience(upstream_id));
                out.tell(Fact::UpstreamStopping {
                    upstream: upstream_id,
                });
                out.act(Action::StopUpstream {
                    upstream: upstream_id,
                });
                self.touch_record(upstream_id);
            }
            State::Backoff | State::Rested | State::Failed { .. } => {
                self.timers.clear(Timer::Rested(upstream_id));
                self.settle(upstream_id, State::Stopped, out);
            }
            State::Stopped | State::Draining { .. } => {}
        }
    }
}
