//! What clients said to a daemon that did not live to finish it.

use crate::{
    action::Outbox,
    event::{Past, Said},
    ids::{LineNumber, SessionId},
    mux::Mux,
};

impl Mux {
    pub(crate) fn on_session_replayed(
        &mut self,
        session: SessionId,
        line: LineNumber,
        _past: Past,
        said: Said,
        out: &mut Outbox,
    ) {
        match said {
            Said::One(frame) => self.on_session_frame(session, line, frame, out),
            Said::Batch(frames) => self.on_session_batch(session, line, frames, out),
        }
    }

    pub(crate) fn on_session_replay_ended(&mut self, _session: SessionId, _out: &mut Outbox) {}
}
