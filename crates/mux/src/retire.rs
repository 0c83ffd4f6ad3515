//! A process that is to be replaced: it answers what it works on, and is given nothing new.
//!
//! What comes meanwhile waits, and goes to the next process. The wait is bounded by whoever asked for
//! the restart; what is still open then ends with the process.
//!
//! **Invariant:** a process that retires has something to answer, or is stopped.

use core::time::Duration;

use crate::{action::Outbox, fact::Fact, ids::UpstreamId, mux::Mux, timers::Timer};

impl Mux {
    /// Stops an upstream once it has answered what it works on, or when this patience is over.
    pub(crate) fn retire(&mut self, upstream_id: UpstreamId, patience: Duration, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let is_busy = upstream.is_ready() && upstream.exchanges.busy_since().is_some();
        if patience.is_zero() || !is_busy {
            self.stop(upstream_id, out);
            return;
        }
        if !upstream.is_retiring {
            upstream.is_retiring = true;
            out.tell(Fact::UpstreamRetiring {
                upstream: upstream_id,
                open: upstream.exchanges.claimed(),
            });
        }
        // Of several who ask, the least patient is served.
        self.timers
            .set_no_later(Timer::RestartPatience(upstream_id), self.now + patience);
    }

    /// Stops a process that is of no more use, when the last request has ended that spoke for it.
    pub(crate) fn stop_if_due(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let has_retired = self.upstreams.get(&upstream_id).is_some_and(|upstream| {
            upstream.is_ready() && upstream.is_retiring && upstream.exchanges.busy_since().is_none()
        });
        if has_retired {
            self.stop(upstream_id, out);
        } else {
            self.stop_if_hung(upstream_id, out);
        }
    }
}
