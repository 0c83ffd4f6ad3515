//! The whole of the state, and the door to it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    action::Outbox,
    devices::Devices,
    event::{AdminAsk, Event, Route},
    fact::Fact,
    ids::{Epoch, SessionId, Ticket, UpstreamId},
    lanes::Conduct,
    limits::Limits,
    moment::Moment,
    routing::{Reason, RouteKey},
    scales::Scales,
    session::Session,
    snapshot::{SessionSnapshot, Snapshot, UpstreamSnapshot},
    timers::{Timer, Timers},
    upstream::{State, Upstream},
    verdict::Verdict,
};

/// The pooler's mind.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mux {
    #[serde(skip)]
    pub(crate) limits: Limits,
    /// Which of its guardian's daemons this is.
    pub(crate) epoch: Epoch,
    /// The moment of the event that is being handled.
    pub(crate) now: Moment,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) upstreams: BTreeMap<UpstreamId, Upstream>,
    #[serde(with = "crate::frozen::forms::pairs")]
    pub(crate) routes: BTreeMap<RouteKey, UpstreamId>,
    /// Routes whose servers cannot be shared, and why.
    #[serde(deserialize_with = "crate::frozen::forms::reasons::deserialize")]
    pub(crate) unshareable: BTreeMap<Route, Reason>,
    /// What has been seen of the tools of each route.
    pub(crate) conduct: BTreeMap<Route, Conduct>,
    /// In which era the server of a route was found not to speak.
    #[serde(default, alias = "refused_eras")]
    pub(crate) verdicts: BTreeMap<Route, Verdict>,
    pub(crate) timers: Timers,
    pub(crate) upstreams_issued: u64,
    /// Messages that wait in all sessions' queues together.
    pub(crate) waiting: usize,
    /// What is held here of messages.
    #[serde(skip)]
    pub(crate) scales: Scales,
    /// Bytes of messages that the edge holds.
    pub(crate) buffered_elsewhere: usize,
    /// Restarts that an administrator waits for, and how many upstreams each still lacks.
    pub(crate) restarts: BTreeMap<Ticket, Restart>,
    /// Upstreams of which the next daemon would have to know something else.
    pub(crate) unrecorded: BTreeSet<UpstreamId>,
    /// What one call at a time may use, while somebody does or waits for it.
    #[serde(default)]
    pub(crate) devices: Devices,
    pub(crate) is_shutting_down: bool,
}

/// A restart that is under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Restart {
    pub(crate) upstreams: usize,
    pub(crate) left: usize,
}

impl Mux {
    /// A mind with nothing on it, whose ids are none of those of earlier epochs.
    pub fn new(limits: Limits, epoch: Epoch) -> Self {
        let mut mux = Mux {
            limits,
            epoch,
            now: Moment::default(),
            sessions: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            routes: BTreeMap::new(),
            unshareable: BTreeMap::new(),
            conduct: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            timers: Timers::default(),
            upstreams_issued: epoch.begin(),
            waiting: 0,
            scales: Scales::default(),
            buffered_elsewhere: 0,
            restarts: BTreeMap::new(),
            unrecorded: BTreeSet::new(),
            devices: Devices::default(),
            is_shutting_down: false,
        };
        mux.watch_desertion();
        mux
    }

    /// Takes in what happened at `now` and puts what must be done into `out`.
    ///
    /// Infallible: faults of a peer become frames to that peer, and a contradiction of our own a fact.
    pub fn handle(&mut self, now: Moment, event: Event, out: &mut Outbox) {
        debug_assert!(now >= self.now, "time runs forward");
        self.now = now;
        self.take_in(event, out);
        self.pass_devices_on(out);
        self.watch_desertion();
        self.leave_records(out);
    }

    #[expect(clippy::too_many_lines, reason = "one arm per event reads better")]
    fn take_in(&mut self, event: Event, out: &mut Outbox) {
        match event {
            Event::SessionOpened { session, opening } => {
                self.on_session_opened(session, opening, out);
            }
            Event::SessionFrame {
                session,
                line,
                frame,
            } => self.on_session_frame(session, line, frame, out),
            Event::SessionBatch {
                session,
                line,
                frames,
            } => self.on_session_batch(session, line, frames, out),
            Event::SessionOverrun {
                session,
                line,
                fault,
            } => self.on_session_overrun(session, line, fault, out),
            Event::SessionFault {
                session,
                line,
                fault,
            } => self.on_session_fault(session, line, fault, out),
            Event::SessionReplayed {
                session,
                line,
                past,
                said,
            } => self.on_session_replayed(session, line, past, said, out),
            Event::SessionReplayEnded { session } => self.on_session_replay_ended(session, out),
            Event::SessionEnding { session } => self.on_session_ending(session, out),
            Event::SessionClosed { session } => self.on_session_closed(session, out),
            Event::SessionCut { session } => self.on_session_cut(session, out),
            Event::SessionListens { session, listens } => self.on_session_listens(session, listens),
            Event::SessionBlocked { session } => self.on_session_blocked(session, out),
            Event::SessionWritable { session } => self.on_session_writable(session, out),
            Event::Announced { session, line } => self.on_announced(session, line, out),
            Event::UpstreamInherited {
                upstream,
                record,
                is_ending,
            } => {
                self.on_upstream_inherited(upstream, &record, is_ending, out);
            }
            Event::UpstreamStarted { upstream, program } => {
                self.on_started(upstream, program, out);
            }
            Event::UpstreamStartFailed { upstream, why } => {
                self.on_start_failed(upstream, &why, out);
            }
            Event::UpstreamFrame {
                upstream,
                frame,
                within,
            } => {
                self.on_upstream_said(upstream, Ok((frame, within)), out);
            }
            Event::UpstreamFault { upstream, fault } => {
                self.on_upstream_said(upstream, Err(fault), out);
            }
            Event::UpstreamComplained { upstream, line } => self.on_complained(upstream, line),
            Event::UpstreamBlocked { upstream } => self.on_blocked(upstream),
            Event::UpstreamWritable { upstream } => self.on_writable(upstream, out),
            Event::UpstreamExited {
                upstream,
                exit,
                unwritten,
            } => self.on_exited(upstream, exit, unwritten, out),
            Event::AdminAsked {
                ticket,
                ask: AdminAsk::Restart { server, patience },
            } => self.on_restart_asked(ticket, &server, patience, out),
            Event::Buffered { bytes } => self.buffered_elsewhere = bytes,
            Event::DeadlineReached => self.on_deadline(out),
            Event::Shutdown => self.on_shutdown(out),
        }
    }

    /// When to be called with [`Event::DeadlineReached`], and why; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<(Moment, Timer)> {
        self.timers.next()
    }

    /// Bytes of messages that are held here, whatever they wait for.
    pub fn held_bytes(&self) -> usize {
        self.scales.all_bytes()
    }

    /// Bytes of messages that the edge holds, as far as it has said so.
    pub fn buffered_elsewhere(&self) -> usize {
        self.buffered_elsewhere
    }

    /// Whether everything has ended after [`Event::Shutdown`].
    pub fn is_finished(&self) -> bool {
        self.is_shutting_down
            && self
                .upstreams
                .values()
                .all(|upstream| !upstream.has_process())
    }

    /// What there is, for `status`.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            upstreams: self
                .upstreams
                .values()
                .map(|upstream| snapshot_of_upstream(upstream, &self.timers))
                .collect(),
            sessions: self.sessions.values().map(snapshot_of_session).collect(),
        }
    }

    fn on_deadline(&mut self, out: &mut Outbox) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::StartPatience(session) => self.on_start_patience(session, out),
                Timer::DrainPatience(session) => self.on_drain_patience(session, out),
                Timer::RoundPatience(session) => self.on_round_patience(session, out),
                Timer::Inquiry(session) => self.on_inquiry_due(session, out),
                Timer::Silence(session) => self.on_silence(session, out),
                Timer::Greeting(upstream) => self.on_greeting_timeout(upstream, out),
                Timer::Idle(upstream) => self.on_idle(upstream, out),
                Timer::Rested(upstream) => self.on_rested(upstream, out),
                Timer::Listen(upstream) => self.listen_to(upstream, out),
                Timer::AgreementPatience(session) => self.on_agreement_patience(session, out),
                Timer::LastOfOneRequest(upstream) => self.on_last_of_one_request(upstream),
                Timer::Probation(upstream) => self.on_probation(upstream, out),
                Timer::Noise(upstream) => self.on_noise_over(upstream, out),
                Timer::Pulse(upstream) => self.on_pulse(upstream, out),
                Timer::ChangeWindow(upstream) => self.on_window_ended(upstream, out),
                Timer::OwnerPatience(upstream) => self.on_owner_patience(upstream, out),
                Timer::RequestTimeout(upstream) => self.on_request_timeout(upstream, out),
                Timer::Deserted => self.on_deserted(out),
                Timer::RestartPatience(upstream) => self.stop(upstream, out),
            }
        }
    }

    pub(crate) fn clear_timers_of(&mut self, upstream: UpstreamId) {
        let timers = [
            Timer::Greeting(upstream),
            Timer::Idle(upstream),
            Timer::Rested(upstream),
            Timer::Listen(upstream),
            Timer::LastOfOneRequest(upstream),
            Timer::Probation(upstream),
            Timer::Noise(upstream),
            Timer::Pulse(upstream),
            Timer::ChangeWindow(upstream),
            Timer::OwnerPatience(upstream),
            Timer::RequestTimeout(upstream),
            Timer::RestartPatience(upstream),
        ];
        for timer in timers {
            self.timers.clear(timer);
        }
    }

    /// Says that two parts of the state do not fit together, which tests take for a failure.
    pub(crate) fn contradiction(what: &'static str, out: &mut Outbox) {
        debug_assert!(false, "{what}");
        out.tell(Fact::Contradiction { what });
    }
}

fn snapshot_of_upstream(upstream: &Upstream, timers: &Timers) -> UpstreamSnapshot {
    let retry_at = match upstream.state {
        State::Backoff | State::Failed { .. } => timers.moment_of(Timer::Rested(upstream.id)),
        State::Stopped
        | State::Starting
        | State::Initializing
        | State::Ready { .. }
        | State::Draining { .. }
        | State::Rested => None,
    };
    UpstreamSnapshot {
        id: upstream.id,
        server: upstream.server.clone(),
        state: upstream.state_name(),
        scope: upstream.scope,
        scope_reason: upstream.scope_reason.clone(),
        workspace: upstream.workspace.clone(),
        class: upstream.class(),
        sessions: upstream.attached.len() + upstream.waiting.len(),
        in_flight: upstream.exchanges.claimed(),
        undecided: upstream.undecided.len(),
        restarts: upstream.starts.saturating_sub(1),
        deaths: upstream.deaths.in_a_row(),
        retry_at,
        version: upstream
            .handshake
            .as_ref()
            .map(|handshake| handshake.version.clone()),
        withheld: upstream.withheld.clone(),
        dropped: upstream
            .dropped
            .iter()
            .map(|(reason, count)| (reason.name(), *count))
            .collect::<Vec<_>>(),
        faults: upstream.noise.lines,
        is_degraded: upstream.noise.is_degraded,
        private: upstream.private,
    }
}

fn snapshot_of_session(session: &Session) -> SessionSnapshot {
    SessionSnapshot {
        id: session.id,
        server: session.opening.server.clone(),
        front: session.opening.front,
        client: session.client.clone(),
        workspace: session.opening.workspace.clone(),
        since: session.since,
        in_flight: session.open.len(),
        at_server: session.at_server(),
        held: session.queue.len(),
        held_bytes: session.queue.bytes,
        asks: session.questions() - session.rounds.to_come(),
        is_paused: session.is_paused,
        upstream: session.upstream(),
    }
}
