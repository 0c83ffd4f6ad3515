//! What clients said to a daemon that did not live to finish it.
//!
//! What holds is reinstated without a word. What changes nothing when it is done twice is done again, once.
//! Everything else is answered, as it may have been carried out.
//!
//! **Invariant:** no `tools/call` that may have been written to a process is written to any, whatever
//! became of the daemon that wrote it.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use wire::{Fault, Frame, Kind, Message, Method};

use crate::{
    action::Outbox,
    event::{Past, Said},
    fact::Fact,
    ids::{LineNumber, SessionId, UpstreamId},
    mux::Mux,
    refusal::Refusal,
    session::Stage,
};

/// What has been replayed of a session.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Replay {
    lines: usize,
    refused: usize,
    /// Whether a server may still be at work on something that makes it ask.
    left_askable: bool,
}

impl Replay {
    pub(crate) fn has_begun(&self) -> bool {
        self.lines > 0
    }
}

impl Mux {
    pub(crate) fn on_session_replayed(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        past: Past,
        said: Said,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        session.replay.lines += 1;
        match (past, said) {
            (Past::Kept, Said::One(frame)) => self.reinstate(session_id, line, &frame, out),
            // A batch never stays.
            (Past::Kept, Said::Batch(_)) => {}
            (Past::Sent | Past::Repeated, Said::One(frame)) => {
                self.replay(session_id, line, past, frame, out);
            }
            (Past::Sent | Past::Repeated, Said::Batch(frames)) => {
                self.replay_batch(session_id, line, past, frames, out);
            }
        }
    }

    fn replay_batch(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        past: Past,
        frames: Vec<Result<Frame, Fault>>,
        out: &mut Outbox,
    ) {
        if !self.open_batch(session_id, line, &frames, out) {
            return;
        }
        for frame in frames {
            match frame {
                Ok(frame) => self.replay(session_id, line, past, frame, out),
                Err(fault) => self.on_session_fault(session_id, line, fault, out),
            }
        }
    }

    /// A message that may have gone to the server.
    fn replay(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        past: Past,
        frame: Frame,
        out: &mut Outbox,
    ) {
        match (&frame.message, frame.kind()) {
            (_, Kind::Request) => self.replay_request(session_id, line, past, frame, out),
            // It ends what is done again. What is not is over anyway.
            (
                Message::Notification {
                    method: Method::Cancelled,
                    ..
                },
                _,
            ) => self.on_session_frame(session_id, line, frame, out),
            // Who told it has been heard, and who answered was asked by a daemon that is no more.
            (_, Kind::Notification | Kind::Response) => self.line_is_done(session_id, line, out),
        }
    }

    fn replay_request(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        past: Past,
        frame: Frame,
        out: &mut Outbox,
    ) {
        let Message::Request { id, method, .. } = &frame.message else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.replay.left_askable |= method.is_askable();
        }
        if may_be_done_again(method, past) {
            self.on_request(session_id, line, (frame, Stage::Repeated), out);
            return;
        }
        if self.refuse_in_use(session_id, line, id, out) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.replay.refused += 1;
        }
        let maybe_executed = !method.is_read_only();
        let refusal = Refusal::DaemonRestarted { maybe_executed };
        self.refuse(session_id, id, line, refusal, out);
    }

    pub(crate) fn on_session_replay_ended(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Replay {
            lines,
            refused,
            left_askable,
        } = core::mem::take(&mut session.replay);
        out.tell(Fact::SessionReplayed {
            session: session_id,
            lines,
            refused,
        });
        if left_askable {
            return;
        }
        // No server has a call of it: what is asked is not its business.
        let upstreams: Vec<UpstreamId> = self.upstreams.keys().copied().collect();
        for upstream_id in upstreams {
            let had_it = self
                .upstreams
                .get_mut(&upstream_id)
                .is_some_and(|upstream| upstream.lanes.return_from(session_id));
            if had_it {
                self.touch_record(upstream_id);
                self.settle_asks(upstream_id, out);
            }
        }
    }
}

/// Whether a request that may have been done may be done now.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not known to be harmless is not done again"
)]
fn may_be_done_again(method: &Method, past: Past) -> bool {
    match method {
        // These are answered here.
        Method::Initialize | Method::Ping | Method::Discover | Method::Listen => true,
        // What was wished is so however often it was wished.
        Method::ResourcesSubscribe | Method::ResourcesUnsubscribe | Method::SetLevel => true,
        other => other.is_read_only() && past == Past::Sent,
    }
}
