//! Errors of the pooler's own: each with a reason that there is.

use mux::{Era, SessionId};

use super::{Judge, Kind, Open, Process, Seen, Session};
use crate::{
    eras::{
        specs::spec_of,
        words::{Asks, Shape},
    },
    invariants::{Broken, ensure},
    world::Held,
};

impl Judge {
    /// An error of the pooler's own: with reason.
    pub(super) fn check_refusal(
        &mut self,
        id: SessionId,
        open: &Open,
        reason: &str,
        text: &str,
    ) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        let is_known = self.is_trouble(session, open, reason)
            || Judge::is_out_of_turn(session, open, reason)
            || self.is_out_of_rounds(session, open, reason);
        ensure!(is_known, "{id} is refused without a reason: {text}");
        let shape = open.request.shape;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        if reason != "bad-parameter" {
            session.forgets(shape);
        }
        match reason {
            "bad-parameter" if matches!(shape, Shape::Subscribe(_)) => self.saw(Seen::NotTold),
            "already-initialized" if session.turning.is_some() => {
                session.was_turned_away = true;
                self.saw(Seen::NotTurned);
            }
            "too-many-rounds" => self.saw(Seen::WentManyTimes),
            "needs-session" => self.saw(Seen::NeedsSession),
            _other => {}
        }
        self.begins_again(id, shape);
        Ok(())
    }

    /// Whether a request may be refused because something is wrong with its server, or comes to its end.
    fn is_trouble(&self, session: &Session, open: &Open, reason: &str) -> bool {
        let server = session.upstream.and_then(|id| self.servers.get(&id));
        let is_well = server.is_some_and(|server| {
            let is_ready = server.greeted_at.is_some_and(|at| at <= open.tick);
            is_ready && server.process == Process::Running
        });
        let troubled = self.troubled.get(session.name);
        let was_troubled = troubled.is_some_and(|at| *at >= open.tick);
        // It has waited for its client to come back.
        let is_kept = open.origin != open.request.mark;
        let ended_at = session.ending_since;
        let ends_late = ended_at.is_some_and(|at| self.now >= at + self.limits.drain_patience);
        match reason {
            "start-failed" | "still-starting" | "still-failing" | "upstream-exited" => {
                !is_well || was_troubled || is_kept
            }
            "upstream-stopped" => !is_well || was_troubled || is_kept || self.is_shutting_down,
            "shutting-down" => self.is_shutting_down,
            "too-slow" => session.cut_at == Some(self.tick),
            "took-too-long" => {
                let patience = if matches!(open.request.shape, Shape::Subscribe(_)) {
                    self.limits.agreement_patience
                } else {
                    self.limits.request_timeout
                };
                ends_late || self.now >= open.since + patience
            }
            _other => false,
        }
    }

    /// Whether a request may be refused because its client may not say it, or not now.
    fn is_out_of_turn(session: &Session, open: &Open, reason: &str) -> bool {
        let (shape, era) = (open.request.shape, open.request.era);
        let has_session = !session.is_post || session.is_shared;
        let is_turning = session.turning.is_some() && era == Era::Modern;
        let is_bound = !session.parked.is_empty()
            || !session.asked.is_empty()
            || session.open.values().any(|open| open.sent.is_some());
        let mut open_now = session.open.values();
        let is_greeting = open_now.any(|open| open.request.shape == Shape::Hello);
        match reason {
            "no-such-method" => {
                let is_legacy = session.fixed == Some(Era::Legacy) || !has_session;
                (shape == Shape::Discover && is_legacy) || is_turning
            }
            "needs-session" => !has_session && era == Era::Modern,
            "not-initialized" => !session.is_greeted && era == Era::Legacy,
            "already-initialized" => {
                shape == Shape::Hello && (session.is_greeted || is_greeting || is_bound)
            }
            "bad-parameter" => open.has_bad_handle || spec_of(session.name).refuses(shape),
            _other => false,
        }
    }

    /// Whether a request may be refused because of what its server asks before it answers.
    fn is_out_of_rounds(&self, session: &Session, open: &Open, reason: &str) -> bool {
        let class = open.request.class;
        // An address to visit is a question.
        let is_address = open.answer.is_some_and(|(_, kind)| kind == Kind::Address);
        if reason == "lacks-capability" {
            return is_address && !Asks::Address.is_for_class(class);
        }
        let Some(inquiry) = &open.inquiry else {
            return false;
        };
        match reason {
            "input-took-too-long" => {
                inquiry.waits() && self.now >= open.since + self.limits.round_patience
            }
            "input-refused" => inquiry.is_refused || session.is_ending,
            "too-many-rounds" => open.rounds > 8,
            "not-capable" => {
                let mut asks = inquiry.asks.values();
                asks.any(|(_, asks, _)| !asks.is_for_class(class))
            }
            "overloaded" => session.is_ending,
            _other => false,
        }
    }

    /// Who could not be greeted may begin anew, in either era.
    fn begins_again(&mut self, id: SessionId, shape: Shape) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let mut open = session.open.values();
        let is_greeting = open.any(|open| open.request.shape == Shape::Hello);
        if shape == Shape::Hello && !session.is_greeted && !is_greeting && session.turning.is_none()
        {
            session.era = None;
        }
    }
}

/// The word for why the pooler says no.
pub(super) fn own_reason(data: &str) -> Option<String> {
    if !data.contains(r#""source":"mcpool""#) {
        return None;
    }
    let (_, rest) = data.split_once(r#""reason":""#)?;
    Some(rest.split_once('"')?.0.to_owned())
}
