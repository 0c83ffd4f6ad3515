//! Whose message goes next into an upstream: one of each session in turn.

use alloc::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::ids::SessionId;

/// Sessions with messages that wait, in the order of their turns.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turns {
    order: VecDeque<SessionId>,
    members: BTreeSet<SessionId>,
}

impl Turns {
    /// Puts a session at the end, unless it has a turn.
    pub(crate) fn queue_up(&mut self, session: SessionId) {
        if self.members.insert(session) {
            self.order.push_back(session);
        }
    }

    pub(crate) fn next(&mut self) -> Option<SessionId> {
        let session = self.order.pop_front()?;
        self.members.remove(&session);
        Some(session)
    }

    pub(crate) fn remove(&mut self, session: SessionId) {
        if self.members.remove(&session) {
            self.order.retain(|turn| *turn != session);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.members.contains(&session)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = SessionId> {
        self.order.iter().copied()
    }
}
