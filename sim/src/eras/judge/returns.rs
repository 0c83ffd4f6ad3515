//! Clients of the modern era that come back for what they were answered with questions.

use mux::SessionId;

use super::{Due, Judge, Outcome, Seen};
use crate::eras::words::Request;

/// How often in a row a client may come back without an answer (`docs/eras.md`).
const UNANSWERED_MAX: u32 = 8;

impl Judge {
    /// Whether a request brings a handle of ours along that is none which is waited for. A server of the modern era may
    /// call something of its own so.
    pub(super) fn has_bad_handle(&self, id: SessionId, request: &Request) -> bool {
        let state = request.back.as_ref().and_then(|back| back.state.as_ref());
        let Some(state) = state.filter(|state| state.starts_with("\"mcpool.")) else {
            return false;
        };
        let parked = self
            .sessions
            .get(&id)
            .and_then(|session| session.parked.get(state));
        parked.is_none_or(|parked| parked.request.shape != request.shape)
    }

    /// A client comes back with a handle that is good: it is answered, or its answers go on, or it is asked more.
    pub(super) fn comes_back(&mut self, id: SessionId, request: &Request) -> Option<()> {
        let back = request.back.as_ref()?;
        let session = self.sessions.get_mut(&id)?;
        let parked = session.parked.remove(back.state.as_ref()?)?;
        let open = session.open.get_mut(&request.id)?;
        open.origin = parked.origin;
        open.first = Some(parked.first.unwrap_or(parked.request));
        open.writes = 1;
        // Also where its call is over: the server may have asked for another of the same client.
        let server = self.servers.get_mut(&parked.upstream)?;
        let is_open = parked.outcome == Outcome::Open;
        let is_too_often = is_open && parked.unanswered >= UNANSWERED_MAX;
        let mut is_unanswered = false;
        for (name, ask) in &parked.asks {
            let answer = back.answers.iter().find(|(known, _)| known == name);
            let number = answer.and_then(|(_, answer)| crate::payload::mark_of(answer));
            if let Some(known) = server.asks.get_mut(ask) {
                known.reply = number.map(|mark| mark.number);
                known.is_left = answer.is_none() && (is_too_often || !is_open);
                is_unanswered |= answer.is_none();
                self.due
                    .push(Due::AskAnswered(parked.upstream, ask.clone()));
            }
        }
        match parked.outcome {
            Outcome::Answered(number, kind) => {
                open.answer = Some((number, kind));
                self.due.push(Due::Answered(id, request.id.clone()));
                self.saw(Seen::CameBackForOutcome);
            }
            Outcome::Lost => {
                self.due.push(Due::Answered(id, request.id.clone()));
                self.saw(Seen::CameBackToDeath);
            }
            Outcome::Open => {
                open.sent = Some((parked.upstream, parked.minted));
                if is_unanswered && is_too_often {
                    self.saw(Seen::LeftUnanswered);
                } else if is_unanswered {
                    open.unanswered = parked.unanswered + 1;
                }
                self.saw(Seen::CameBack);
            }
        }
        Some(())
    }
}
