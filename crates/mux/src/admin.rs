//! What an administrator can ask for, and the end of everything.

use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

use crate::{
    action::{Action, Outbox},
    event::{AdminAnswer, IdleTimeout},
    ids::{SessionId, Ticket, UpstreamId},
    inquiry::Inquiry,
    mux::{Mux, Restart},
    refusal::Refusal,
    session::{Session, Whereabouts},
    timers::Timer,
    upstream::{State, Upstream},
};

impl Mux {
    pub(crate) fn on_restart_asked(
        &mut self,
        ticket: Ticket,
        server: &Arc<str>,
        patience: Duration,
        out: &mut Outbox,
    ) {
        let of_server = self
            .upstreams
            .values()
            .filter(|upstream| upstream.server == *server);
        let ids: Vec<UpstreamId> = of_server.map(|upstream| upstream.id).collect();
        if ids.is_empty() {
            out.act(Action::AnswerAdmin {
                ticket,
                answer: AdminAnswer::NothingRuns,
            });
            return;
        }
        self.restarts.insert(
            ticket,
            Restart {
                upstreams: ids.len(),
                left: ids.len(),
            },
        );
        for id in ids {
            if let Some(upstream) = self.upstreams.get_mut(&id) {
                upstream.restarting.push(ticket);
            }
            self.retire(id, patience, out);
            let stopped = self
                .upstreams
                .get(&id)
                .filter(|upstream| upstream.state == State::Stopped);
            match stopped.map(Upstream::is_wanted) {
                // It had no process yet, and somebody who waits to see it run.
                Some(true) => self.start(id, out),
                // Nor anybody to start one for: it is restarted as it is.
                Some(false) => {
                    self.after_restart(id, None, out);
                    self.forget_if_over(id);
                }
                None => {}
            }
        }
    }

    /// An upstream that was to be restarted has come up, or will not.
    pub(crate) fn after_restart(
        &mut self,
        upstream_id: UpstreamId,
        failure: Option<&str>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        for ticket in core::mem::take(&mut upstream.restarting) {
            let Some(restart) = self.restarts.get_mut(&ticket) else {
                continue;
            };
            restart.left -= 1;
            let answer = match failure {
                Some(why) => AdminAnswer::Failed { why: why.into() },
                None if restart.left == 0 => AdminAnswer::Restarted {
                    upstreams: restart.upstreams,
                },
                None => continue,
            };
            self.restarts.remove(&ticket);
            out.act(Action::AnswerAdmin { ticket, answer });
        }
    }

    /// Sees to it that the daemon does not stay for ever when nobody needs it.
    pub(crate) fn watch_desertion(&mut self) {
        let IdleTimeout::After(kept) = self.limits.daemon_idle_timeout else {
            return;
        };
        let is_deserted = self.is_deserted();
        if is_deserted != self.timers.is_set(Timer::Deserted) {
            if is_deserted {
                self.timers.set(Timer::Deserted, self.now + kept);
            } else {
                self.timers.clear(Timer::Deserted);
            }
        }
    }

    fn is_deserted(&self) -> bool {
        !self.is_shutting_down && self.sessions.is_empty() && self.upstreams.is_empty()
    }

    pub(crate) fn on_deserted(&mut self, out: &mut Outbox) {
        if self.is_deserted() {
            out.act(Action::EndDaemon);
        }
    }

    pub(crate) fn on_shutdown(&mut self, out: &mut Outbox) {
        self.is_shutting_down = true;
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session_id in sessions {
            self.refuse_everything(session_id, &Refusal::ShuttingDown, out);
            self.end_listening(session_id, out);
            // One that was only waiting for that is closed already.
            if self.sessions.contains_key(&session_id) {
                self.close(session_id, out);
            }
        }
        let upstreams: Vec<UpstreamId> = self.upstreams.keys().copied().collect();
        for upstream in upstreams {
            self.stop(upstream, out);
        }
    }

    /// Ends every request of a session with the same refusal, wherever it is.
    pub(crate) fn refuse_everything(
        &mut self,
        session_id: SessionId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let upstream = self.sessions.get(&session_id).and_then(Session::upstream);
        self.refuse_session_waits(session_id, refusal, out);
        let Some(upstream_id) = upstream else {
            return;
        };
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let at_upstream: Vec<u64> = session
            .open
            .values()
            .filter_map(|whereabouts| match whereabouts {
                Whereabouts::Upstream(minted) => Some(*minted),
                Whereabouts::Initialize
                | Whereabouts::Held(_)
                | Whereabouts::Asking(_)
                | Whereabouts::Listening
                | Whereabouts::Subscribing => None,
            })
            .collect();
        self.end_inquiries(session_id, Inquiry::rests, refusal, out);
        for minted in at_upstream {
            self.cancel_and_refuse(upstream_id, minted, refusal, out);
        }
        self.release(upstream_id, out);
        self.idle_if_unwanted(upstream_id, out);
    }
}
