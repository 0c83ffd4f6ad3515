//! Servers that turn out not to be shared: each session has a process of its own.
//!
//! **Invariant:** that shows when a process is greeted, before it has heard of any session. So nobody loses anything
//! by going elsewhere, and nothing of two sessions ever meets in it.

use alloc::vec::Vec;

use wire::Method;

use crate::{
    action::Outbox,
    fact::Fact,
    ids::{SessionId, UpstreamId},
    mux::Mux,
};

/// Why a server that runs tasks is not shared.
pub(crate) const DECLARES_TASKS: &str = "it declares tasks, which are not separated yet";

impl Mux {
    /// A server that has just been greeted cannot be shared: whoever came first keeps it, the others get their own,
    /// with what waits of them. Those may have been served by an earlier process, or from what is kept of one.
    ///
    /// If nobody is there any longer, whoever comes next will have it.
    pub(crate) fn make_private(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.key.session.is_some() {
            return;
        }
        self.unshareable
            .insert(upstream.key.route.clone(), DECLARES_TASKS);
        if upstream.private.is_none() {
            upstream.private = Some(DECLARES_TASKS);
            out.tell(Fact::UpstreamPrivate {
                upstream: upstream_id,
                why: DECLARES_TASKS,
            });
        }
        self.turn_away_probes_without_session(upstream_id, out);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let attached = upstream.attached.first().copied();
        let Some(keeper) = attached.or_else(|| upstream.waiting.front().copied()) else {
            return;
        };
        let is_other = |id: &SessionId| *id != keeper;
        let served: Vec<SessionId> = upstream.attached.iter().copied().filter(is_other).collect();
        let waiting: Vec<SessionId> = upstream.waiting.iter().copied().filter(is_other).collect();
        upstream.waiting.retain(|id| *id == keeper);
        for other in &waiting {
            upstream.turns.remove(*other);
        }
        self.claim(upstream_id, keeper);
        for other in served {
            self.seat_elsewhere(other, upstream_id, out);
        }
        for other in waiting {
            self.route_again(other, out);
        }
    }

    /// Whoever asks with a single request what there is would be told of what it cannot have with the next: it hears
    /// what everybody hears who asks so from now on, and begins a session.
    fn turn_away_probes_without_session(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let era = upstream.key.era;
        let is_probe = |id: &SessionId| {
            let session = self.sessions.get(id);
            session.is_some_and(|session| session.queue.holds(&Method::Discover))
        };
        let probes: Vec<SessionId> = upstream.waiting.iter().copied().filter(is_probe).collect();
        for session_id in probes {
            let is_turned_away = self.turn_away_without_session(session_id, era, out);
            if is_turned_away && let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
                upstream.waiting.retain(|id| *id != session_id);
                upstream.turns.remove(session_id);
            }
        }
    }
}
