//! How an upstream goes down: by itself, on request, or because nobody needs it; and what follows.

use alloc::{format, sync::Arc, vec::Vec};

use crate::{
    action::{Action, Outbox},
    backoff::Attempt,
    event::{Exit, IdleTimeout},
    exchange::{Effect, Exchange, Owner},
    fact::Fact,
    ids::{SessionId, UpstreamId},
    lanes::Lanes,
    mux::Mux,
    refusal::Refusal,
    session::State as SessionState,
    timers::Timer,
    upstream::State,
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

    /// Ends whatever of a session waits: its `initialize` and all that is in its queue.
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
        if session.is_paused {
            session.is_paused = false;
            out.act(Action::ResumeSession {
                session: session_id,
            });
        }
        if let SessionState::Waiting(_, initialize) = &session.state {
            let (id, line) = (initialize.id.clone(), initialize.line);
            session.state = SessionState::New;
            self.refuse(session_id, &id, line, refusal.clone(), out);
        }
        for held in held {
            self.uncount_waiting(Some(&held));
            match held.frame.id() {
                Some(id) => self.refuse(session_id, id, held.line, refusal.clone(), out),
                None => self.line_is_done(session_id, held.line, out),
            }
        }
        self.give_up_turn(session_id);
        self.close_if_drained(session_id, out);
    }

    /// The process and all that it started are gone.
    pub(crate) fn on_exited(&mut self, upstream_id: UpstreamId, exit: Exit, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let is_expected = matches!(upstream.state, State::Draining { .. });
        let was_greeted = matches!(upstream.state, State::Ready { .. } | State::Draining { .. });
        out.tell(Fact::UpstreamExited {
            upstream: upstream_id,
            exit,
            expected: is_expected,
            open: upstream.exchanges.claimed(),
        });
        self.withdraw_asks(upstream_id, out);
        self.refuse_open(upstream_id, exit, is_expected, out);
        if !was_greeted {
            self.give_up_start(
                upstream_id,
                &format!("it {exit} before it answered `initialize`"),
                out,
            );
        }
        self.timers.clear(Timer::Greeting(upstream_id));
        self.rest(upstream_id, out);
    }

    /// Every request that the process still owed an answer gets one from us.
    pub(crate) fn refuse_open(
        &mut self,
        upstream_id: UpstreamId,
        exit: Exit,
        is_expected: bool,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let server: Arc<str> = upstream.server.clone();
        upstream.lanes = Lanes::default();
        let open = upstream.exchanges.close_all();
        for (_, exchange) in open {
            let Owner::Session(claim) = exchange.owner else {
                continue;
            };
            if let (Effect::Subscribed(uri), Some(upstream)) =
                (&claim.effect, self.upstreams.get_mut(&upstream_id))
            {
                upstream.subscriptions.forget_if_unused(uri);
            }
            let maybe_executed = exchange.unsent.is_none() && !claim.method.is_read_only();
            let refusal = if is_expected {
                Refusal::UpstreamStopped {
                    server: server.clone(),
                    maybe_executed,
                }
            } else {
                Refusal::UpstreamExited {
                    server: server.clone(),
                    exit,
                    maybe_executed,
                }
            };
            if let Some(session) = self.sessions.get_mut(&claim.session) {
                session.announcing.remove(&claim.line);
            }
            self.refuse(claim.session, &claim.id, claim.line, refusal, out);
        }
        self.timers.clear(Timer::RequestTimeout(upstream_id));
    }

    /// Decides what follows the end of a process.
    pub(crate) fn rest(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let is_wanted = upstream.is_wanted();
        let attempt = match upstream.state {
            // We asked for it.
            State::Draining { attempt } if attempt == Attempt::default() => {
                self.settle(upstream_id, State::Stopped, out);
                return;
            }
            // It could not be greeted: counted already.
            State::Draining { attempt } => attempt,
            State::Starting { attempt } | State::Initializing { attempt } => attempt.next(),
            // It served well and then died: count from the beginning.
            State::Ready { since, .. } if self.now >= since + self.limits.good_service => {
                Attempt(1)
            }
            State::Ready { attempt, .. } => attempt.next(),
            // A second report about a process already given up.
            State::Stopped | State::Backoff { .. } | State::Failed { .. } => return,
        };
        let seed = upstream_id.0 ^ (upstream.starts << 20);
        let next = if let Some(delay) = attempt.delay(&self.limits, seed) {
            self.timers
                .set(Timer::Rested(upstream_id), self.now + delay);
            State::Backoff { attempt }
        } else {
            out.tell(Fact::UpstreamFailed {
                upstream: upstream_id,
            });
            let until = self.now + self.limits.failed_rest;
            self.timers.set(Timer::Rested(upstream_id), until);
            State::Failed { until }
        };
        debug_assert!(
            is_wanted || !matches!(next, State::Stopped),
            "nobody wants it and it rests"
        );
        self.settle(upstream_id, next, out);
    }

    /// Enters a state without a process.
    pub(crate) fn settle(&mut self, upstream_id: UpstreamId, state: State, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let is_failed = matches!(state, State::Failed { .. });
        let is_stopped = state == State::Stopped;
        upstream.state = state;
        if is_failed {
            self.refuse_all_waiting(upstream_id, out);
        } else if is_stopped
            && upstream.is_wanted()
            && !self.is_shutting_down
            && self.launcher_of(upstream_id).is_some()
        {
            self.start(upstream_id, Attempt::default(), out);
            return;
        }
        if is_stopped {
            self.after_restart(upstream_id, None, out);
            self.forget_if_over(upstream_id);
        }
    }

    pub(crate) fn on_rested(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let attempt = match upstream.state {
            State::Backoff { attempt } => attempt,
            // Half open: one more death and it counts as failed again.
            State::Failed { .. } => Attempt(self.limits.backoff_attempts),
            State::Stopped
            | State::Starting { .. }
            | State::Initializing { .. }
            | State::Ready { .. }
            | State::Draining { .. } => return,
        };
        if self.is_shutting_down || !upstream.is_wanted() {
            self.settle(upstream_id, State::Stopped, out);
        } else {
            self.start(upstream_id, attempt, out);
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
        if !upstream.has_process() {
            // A rest that nobody waits for is over when its time is.
            self.forget_if_over(upstream_id);
            return;
        }
        match upstream.idle_timeout {
            // Nobody else will ever come to a process of one session.
            _any if upstream.key.session.is_some() => self.stop(upstream_id, out),
            IdleTimeout::Never => {}
            IdleTimeout::After(wait) if wait.is_zero() => self.stop(upstream_id, out),
            IdleTimeout::After(wait) => self.timers.set(Timer::Idle(upstream_id), self.now + wait),
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
            State::Starting { .. } | State::Initializing { .. } | State::Ready { .. } => {
                upstream.state = State::Draining {
                    attempt: Attempt::default(),
                };
                self.timers.clear(Timer::Greeting(upstream_id));
                self.timers.clear(Timer::Idle(upstream_id));
                out.tell(Fact::UpstreamStopping {
                    upstream: upstream_id,
                });
                out.act(Action::StopUpstream {
                    upstream: upstream_id,
                });
            }
            State::Backoff { .. } | State::Failed { .. } => {
                self.timers.clear(Timer::Rested(upstream_id));
                self.settle(upstream_id, State::Stopped, out);
            }
            State::Stopped | State::Draining { .. } => {}
        }
    }

    /// The oldest request has become as old as requests may.
    pub(crate) fn on_request_timeout(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let life = self.limits.request_timeout;
        while let Some((minted, opened)) = self
            .upstreams
            .get(&upstream_id)
            .and_then(|u| u.exchanges.oldest())
        {
            if opened + life > self.now {
                break;
            }
            let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
                return;
            };
            let is_ours = matches!(
                upstream.exchanges.get(minted),
                Some(Exchange {
                    owner: Owner::Ourselves(_),
                    ..
                })
            );
            if is_ours {
                upstream.exchanges.close(minted);
                continue;
            }
            out.cancel(upstream_id, crate::from_session::cancellation(minted));
            self.fail_exchange(
                upstream_id,
                minted,
                &Refusal::TookTooLong { after: life },
                out,
            );
        }
        self.watch_request_timeout(upstream_id);
    }

    pub(crate) fn watch_request_timeout(&mut self, upstream_id: UpstreamId) {
        let timer = Timer::RequestTimeout(upstream_id);
        match self
            .upstreams
            .get(&upstream_id)
            .and_then(|upstream| upstream.exchanges.oldest())
        {
            Some((_, opened)) if !self.timers.is_set(timer) => {
                self.timers.set(timer, opened + self.limits.request_timeout);
            }
            Some(_) => {}
            None => self.timers.clear(timer),
        }
    }
}
