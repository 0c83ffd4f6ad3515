//! Sessions whose end does not show: they are over when nothing has been heard of them for long.

use crate::{action::Outbox, ids::SessionId, mux::Mux, timers::Timer};

impl Mux {
    /// A session has begun to listen for what belongs to nothing that it asked, or ceased to.
    pub(crate) fn on_session_listens(&mut self, session_id: SessionId, listens: bool) {
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.listens = listens;
            session.heard_at = self.now;
        }
    }

    /// A session may have been silent for so long that it is over.
    pub(crate) fn on_silence(&mut self, session_id: SessionId, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let Some(most) = session.opening.silence_max else {
            return;
        };
        let is_there = session.listens || !session.is_settled() || session.is_asked();
        let due = if is_there {
            self.now + most
        } else {
            session.heard_at + most
        };
        if due > self.now {
            self.timers.set(Timer::Silence(session_id), due);
        } else {
            self.close(session_id, out);
        }
    }
}
