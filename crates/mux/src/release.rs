//! Who goes next into an upstream: requests that need not wait go at once, the others by turns.
//!
//! **Invariant:** the messages counted as waiting are those in the sessions' queues.

use core::time::Duration;

use wire::{Frame, Outgoing, RequestId};

use crate::{
    action::{Action, Notice, Outbox},
    askable::{Askable, Call},
    ids::{LineNumber, SessionId, UpstreamId},
    lanes::{Circumstances, Conduct, Manner},
    mux::Mux,
    once::Repeat,
    refusal::Refusal,
    session::{Heard, Held, Session, Stage, State as SessionState, Whereabouts},
    timers::Timer,
    upstream::{Releasing, Standing, Upstream},
};

/// What becomes of a request now.
enum Admission {
    /// It goes to the server.
    Goes(Option<Askable>),
    /// It repeats a call of which there is a result.
    Answered(Outgoing),
}

/// Other sessions' calls are in the way.
struct Barred;

/// What a request did before its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// It came just now.
    Nothing,
    /// It waited, and its session may have been told so.
    Held,
}

impl Mux {
    /// A request that is for the upstream: sends it, or holds it until its turn has come.
    ///
    /// It goes at once if nothing of its session waits, so that nobody overtakes those who do.
    pub(crate) fn submit(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        (frame, stage): (Frame, Stage),
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
        if let Some(refusal) = self.refusal_of_lost((session_id, upstream_id), &frame) {
            self.refuse(session_id, &id, line, refusal, out);
            return;
        }
        if let Some(answer) = self.answer_recalled((session_id, upstream_id), &frame) {
            self.answer(session_id, &id, line, answer, out);
            return;
        }
        if self.is_crowded(frame.len()) {
            self.refuse(session_id, &id, line, Refusal::Overloaded, out);
            return;
        }
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let held = Held {
            line,
            frame: session.scales.weigh(frame),
            since: self.now,
            stage,
        };
        if session.is_attached()
            && session.queue.is_empty()
            && self.may_send(session_id, upstream_id)
        {
            let place = (session_id, upstream_id);
            let call = Call::of(&held.frame, &session.opening.rules);
            match self.admit(place, call, Duration::ZERO) {
                Ok(Admission::Goes(askable)) => {
                    self.send(place, held, askable, Before::Nothing, out);
                    return;
                }
                Ok(Admission::Answered(answer)) => {
                    self.answer(session_id, &id, line, answer, out);
                    return;
                }
                Err(Barred) => {}
            }
        }
        self.hold(session_id, upstream_id, id, held, out);
    }

    fn hold(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        id: RequestId,
        held: Held,
        out: &mut Outbox,
    ) {
        if self.is_full() || self.has_said_enough(session_id) {
            self.give_up_turn(session_id);
            self.refuse(session_id, &id, held.line, Refusal::Overloaded, out);
            return;
        }
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.open.insert(id, Whereabouts::Held(held.line));
        }
        self.enqueue(session_id, held, out);
        self.expect_start(session_id, upstream_id, out);
    }

    /// Whether so many messages wait that no other may.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= self.limits.waiting
    }

    /// Whether there is no room for so many bytes more. For one message there always is.
    pub(crate) fn is_crowded(&self, bytes: usize) -> bool {
        let buffered = self.scales.all_bytes() + self.buffered_elsewhere;
        buffered > 0 && buffered + bytes > self.limits.buffered_bytes
    }

    /// Whether a session that is read because it was asked something has filled its queue.
    pub(crate) fn has_said_enough(&self, session_id: SessionId) -> bool {
        self.sessions
            .get(&session_id)
            .is_some_and(|session| session.is_full(&self.limits) && session.is_asked())
    }

    /// A message waits: sees to it that its upstream comes up, or that its session hears that it does not.
    pub(crate) fn expect_start(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        out: &mut Outbox,
    ) {
        let timer = Timer::StartPatience(session_id);
        let is_ready = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(Upstream::is_ready);
        if !is_ready && !self.timers.is_set(timer) {
            self.timers.set(timer, self.start_due(session_id));
        }
        self.want(upstream_id, out);
        self.release(upstream_id, out);
    }

    /// Puts a message into its session's queue and the session into its upstream's turns.
    pub(crate) fn enqueue(&mut self, session_id: SessionId, held: Held, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        // A batch counts as sent as soon as it is here: some of it may be. And what the server had once is
        // never again as good as not sent.
        let may_be_news = held.stage == Stage::Fresh;
        if may_be_news && session.keeps_lines() && !session.batches.contains_key(&held.line) {
            out.act(Action::Notify {
                session: session_id,
                notice: Notice::Held(held.line),
            });
        }
        session.queue.push(held);
        self.count_waiting(session_id, out);
        let session = self.sessions.get(&session_id);
        if let Some(upstream) = session
            .and_then(Session::upstream)
            .and_then(|id| self.upstreams.get_mut(&id))
        {
            upstream.turns.queue_up(session_id);
        }
    }

    /// Counts a message that is in its session's queue now, which may be long enough with that.
    pub(crate) fn count_waiting(&mut self, session_id: SessionId, out: &mut Outbox) {
        self.waiting += 1;
        self.pause_if_enough(session_id, out);
    }

    /// Reads no more from a session that has enough here.
    pub(crate) fn pause_if_enough(&mut self, session_id: SessionId, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && session.wants_pause(&self.limits)
            && !session.is_paused
        {
            session.is_paused = true;
            out.act(Action::PauseSession {
                session: session_id,
            });
        }
    }

    /// So much waits for a client that it must read first.
    pub(crate) fn on_session_blocked(&mut self, session_id: SessionId, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.blocked = Some(Heard::default());
        }
        self.pause_if_enough(session_id, out);
    }

    pub(crate) fn on_session_writable(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.blocked = None;
        let upstream = session.upstream();
        self.resume_if_room(session_id, out);
        if let Some(upstream) = upstream {
            self.release(upstream, out);
        }
    }

    /// A client that does not read has said something.
    pub(crate) fn count_heard(&mut self, session_id: SessionId, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && let Some(Heard(count)) = &mut session.blocked
        {
            *count += 1;
            self.pause_if_enough(session_id, out);
        }
    }

    /// Sends what may go now, one message of each session in turn.
    pub(crate) fn release(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        if self.is_shutting_down {
            return;
        }
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.releasing != Releasing::No {
            // A session that was closed on the way out, deep inside of the loop below.
            upstream.releasing = Releasing::Again;
            return;
        }
        upstream.releasing = Releasing::Yes;
        let mut without_luck = 0;
        loop {
            let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
                return;
            };
            if upstream.releasing == Releasing::Again {
                upstream.releasing = Releasing::Yes;
                without_luck = 0;
            }
            if !upstream.takes_messages() || without_luck >= upstream.turns.len() {
                upstream.releasing = Releasing::No;
                break;
            }
            let Some(session_id) = upstream.turns.next() else {
                continue;
            };
            // What it waited with may have been cancelled.
            let waits = self
                .sessions
                .get(&session_id)
                .is_some_and(|session| !session.queue.is_empty());
            if !waits {
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
        let may_request = self.may_send(session_id, upstream_id);
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return false;
        };
        if session.state != SessionState::Attached(upstream_id) {
            return false;
        }
        if let Some(held) = session.queue.take_notification() {
            self.uncount_waiting(Some(&held));
            self.send_notification(session_id, upstream_id, &held, out);
            return true;
        }
        if may_request && let Some(held) = session.queue.take_other() {
            self.uncount_waiting(Some(&held));
            self.send((session_id, upstream_id), held, None, Before::Held, out);
            return true;
        }
        self.release_call(session_id, upstream_id, may_request, out)
    }

    fn release_call(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        may_request: bool,
        out: &mut Outbox,
    ) -> bool {
        let (Some(session), Some(upstream)) = (
            self.sessions.get(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return false;
        };
        let Some(call) = session.queue.calls.front() else {
            return false;
        };
        if !may_request {
            // Nobody waits for a session that has too much open already.
            upstream.lanes.give_up_next(session_id);
            return false;
        }
        if upstream.lanes.is_closed_to(session_id) {
            return false;
        }
        let waited = self.now - call.since;
        let place = (session_id, upstream_id);
        let call = Call::of(&call.frame, &session.opening.rules);
        let Ok(admission) = self.admit(place, call, waited) else {
            return false;
        };
        let held = self
            .sessions
            .get_mut(&session_id)
            .and_then(|session| session.queue.take_call());
        let Some(held) = held else { return false };
        self.uncount_waiting(Some(&held));
        match (admission, held.frame.id()) {
            (Admission::Goes(askable), _) => {
                self.send(place, held, askable, Before::Held, out);
            }
            (Admission::Answered(answer), Some(id)) => {
                self.answer(session_id, id, held.line, answer, out);
            }
            // Only a request is answered.
            (Admission::Answered(_), None) => {}
        }
        true
    }

    /// A notification that we do not know goes as it is.
    pub(crate) fn send_notification(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        held: &Held,
        out: &mut Outbox,
    ) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.standing = Standing::Used;
        }
        Mux::tell_upstream(upstream_id, held.frame.unchanged(), out);
        self.line_is_done(session_id, held.line, out);
    }

    fn after_turn(&mut self, session_id: SessionId, upstream_id: UpstreamId, out: &mut Outbox) {
        self.resume_if_room(session_id, out);
        if let Some(session) = self.sessions.get(&session_id)
            && !session.queue.is_empty()
            && session.upstream() == Some(upstream_id)
            && let Some(upstream) = self.upstreams.get_mut(&upstream_id)
        {
            upstream.turns.queue_up(session_id);
        }
        self.close_if_drained(session_id, out);
    }

    /// Reads from a session again whose queue has become short enough.
    pub(crate) fn resume_if_room(&mut self, session_id: SessionId, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && session.is_paused
            && !session.wants_pause(&self.limits)
        {
            session.is_paused = false;
            out.act(Action::ResumeSession {
                session: session_id,
            });
        }
    }

    fn may_send(&self, session_id: SessionId, upstream_id: UpstreamId) -> bool {
        let upstream_may = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(Upstream::takes_messages);
        // Nor is more answered to a client that has much to read already.
        let session_may = self.sessions.get(&session_id).is_some_and(|session| {
            session.in_flight() < self.limits.session_in_flight && session.blocked.is_none()
        });
        upstream_may && session_may
    }

    /// What becomes of a call whatever else its server is at: it repeats another, or wants a device. `None` if it
    /// depends on its server alone.
    fn admit_elsewhere(
        &mut self,
        place: (SessionId, UpstreamId),
        call: &Call,
    ) -> Option<Result<Admission, Barred>> {
        let once = call.once.as_ref();
        match once.map_or(Repeat::No, |once| self.repeat(place, once)) {
            Repeat::No => {}
            Repeat::Waits => return Some(Err(Barred)),
            Repeat::Answered(answer) => return Some(Ok(Admission::Answered(answer))),
        }
        let device = call.device.as_ref()?;
        (!self.devices.admit(device, place.0)).then_some(Err(Barred))
    }

    /// Whether a request may go now, as far as other sessions' calls are concerned. One that may not, because
    /// of a device, is in the line for that now.
    fn admit(
        &mut self,
        place: (SessionId, UpstreamId),
        call: Option<Call>,
        waited: Duration,
    ) -> Result<Admission, Barred> {
        let (session_id, upstream_id) = place;
        let Some(call) = call else {
            return Ok(Admission::Goes(None));
        };
        if let Some(admitted) = self.admit_elsewhere(place, &call) {
            // It does not wait for its turn at the server: nobody lets it go first there.
            if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
                upstream.lanes.give_up_next(session_id);
            }
            return admitted;
        }
        let Call {
            tool,
            wants_log,
            device,
            once,
        } = call;
        let now = self.now;
        let is_logging = wants_log || self.is_logging(upstream_id);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return Err(Barred);
        };
        let circumstances = Circumstances {
            can_be_asked: upstream.class().can_be_asked(),
            is_logging,
        };
        let manner = match self.conduct.get(&upstream.key.route) {
            Some(conduct) => conduct.manner(&tool, circumstances),
            None => Conduct::default().manner(&tool, circumstances),
        };
        if upstream.lanes.admits(session_id, manner, now) {
            return Ok(Admission::Goes(Some(Askable {
                tool,
                manner,
                device,
                once,
            })));
        }
        let patience = match manner {
            Manner::Together => None,
            // Nobody waits longer for a tool to be tried alone than it would be tried.
            Manner::Probation => Some(self.limits.probation),
            // Nor does anybody wait behind it for somebody's twenty-minute build.
            Manner::Apart => Some(self.limits.apart_patience),
        };
        if patience.is_some_and(|patience| waited >= patience) {
            upstream.lanes.give_up_next(session_id);
            let manner = Manner::Together;
            if upstream.lanes.admits(session_id, manner, now) {
                return Ok(Admission::Goes(Some(Askable {
                    tool,
                    manner,
                    device,
                    once,
                })));
            }
        }
        Err(Barred)
    }

    pub(crate) fn on_blocked(&mut self, upstream: UpstreamId) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream) {
            upstream.is_blocked = true;
            upstream.asked_blocked = 0;
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
        let (probation, apart_patience) = (self.limits.probation, self.limits.apart_patience);
        let first_call = |id: SessionId| {
            self.sessions
                .get(&id)?
                .queue
                .calls
                .front()
                .map(|held| held.since)
        };
        let waits = upstream.turns.iter().filter_map(first_call);
        let impatience = waits
            .flat_map(|since| [since + probation, since + apart_patience])
            .filter(|moment| *moment > self.now)
            .min();
        // Whoever has waited for longer than that is held up by no ghost.
        let unawaited = impatience.and_then(|_| upstream.lanes.next_unawaited(self.now));
        let next = [upstream.lanes.next_probation(), impatience, unawaited]
            .into_iter()
            .flatten()
            .min();
        match next {
            Some(moment) if upstream.is_ready() => {
                self.timers.set(Timer::Probation(upstream_id), moment);
            }
            _nothing => self.timers.clear(Timer::Probation(upstream_id)),
        }
    }

    pub(crate) fn uncount_waiting(&mut self, held: Option<&Held>) {
        self.waiting -= usize::from(held.is_some());
    }

    /// A session's queue has changed without a turn: whoever waited behind its call need not.
    pub(crate) fn give_up_turn(&mut self, session_id: SessionId) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        if !session.queue.has_call()
            && let Some(upstream) = session
                .upstream()
                .and_then(|id| self.upstreams.get_mut(&id))
        {
            upstream.lanes.give_up_next(session_id);
        }
    }
}
