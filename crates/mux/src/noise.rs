//! How much a server says that is no message.
//!
//! A line now and then is a banner or a stray print. A hundred within seconds is a server whose output
//! nobody should rely on: it is served on, and `status` says so.
//!
//! **Invariant:** no more moments are remembered than lines are tolerated, and one.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{
    action::Outbox, fact::Fact, ids::UpstreamId, limits::Limits, moment::Moment, mux::Mux,
    timers::Timer,
};

/// Lines on the standard output of one server that were no message.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Noise {
    /// All that its processes ever wrote.
    pub(crate) lines: u64,
    /// Whether there were more of late than are tolerated.
    pub(crate) is_degraded: bool,
    /// When the last of them came; never more of them than are tolerated, and one.
    recent: VecDeque<Moment>,
}

impl Noise {
    /// Takes note of one more line. Says when it may be over, should this be the one too many.
    fn hear(&mut self, now: Moment, limits: &Limits) -> Option<Moment> {
        self.lines += 1;
        if self.recent.len() > limits.noise_lines {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.is_degraded {
            return None;
        }
        let over = self.over_at(limits).filter(|over| *over > now)?;
        self.is_degraded = true;
        Some(over)
    }

    /// A new process has nothing of the last one to answer for.
    pub(crate) fn begin_anew(&mut self) {
        self.recent.clear();
        self.is_degraded = false;
    }

    /// When the lines of late will have been few enough again; `None` if they have never been too many.
    fn over_at(&self, limits: &Limits) -> Option<Moment> {
        let first = self
            .recent
            .front()
            .filter(|_| self.recent.len() > limits.noise_lines)?;
        Some(*first + limits.noise_window)
    }
}

impl Mux {
    /// Counts a line of a server that is no message.
    pub(crate) fn note_noise(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if let Some(over) = upstream.noise.hear(self.now, &self.limits) {
            self.timers.set(Timer::Noise(upstream_id), over);
            out.tell(Fact::UpstreamDegraded {
                upstream: upstream_id,
                lines: upstream.noise.lines,
            });
        }
    }

    /// So much time has passed that the server may count as sound again, if it was quiet.
    pub(crate) fn on_noise_over(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        match upstream.noise.over_at(&self.limits) {
            Some(over) if over > self.now => self.timers.set(Timer::Noise(upstream_id), over),
            Some(_) | None => {
                upstream.noise.is_degraded = false;
                out.tell(Fact::UpstreamSound {
                    upstream: upstream_id,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limits() -> Limits {
        Limits {
            noise_lines: 3,
            noise_window: Duration::from_secs(10),
            ..Limits::default()
        }
    }

    fn heard(seconds: &[u64]) -> Noise {
        let mut noise = Noise::default();
        for second in seconds {
            noise.hear(Moment(second * SECOND), &limits());
        }
        noise
    }

    #[test]
    fn as_many_as_are_tolerated_are_and_one_more_is_not() {
        assert!(!heard(&[1, 2, 3]).is_degraded);
        assert!(heard(&[1, 2, 3, 4]).is_degraded);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        assert!(!heard(&[1, 2, 3, 11]).is_degraded);
        assert!(heard(&[1, 2, 3, 10]).is_degraded);
        assert!(!heard(&[0, 5, 10, 15, 20, 25, 30]).is_degraded);
    }

    #[test]
    fn it_is_over_when_the_window_has_moved_on() {
        let mut noise = Noise::default();
        for second in 1..=3 {
            assert_eq!(noise.hear(Moment(second * SECOND), &limits()), None);
        }
        assert_eq!(
            noise.hear(Moment(4 * SECOND), &limits()),
            Some(Moment(11 * SECOND))
        );
        noise.hear(Moment(5 * SECOND), &limits());
        assert_eq!(noise.over_at(&limits()), Some(Moment(12 * SECOND)));
        assert_eq!((noise.lines, noise.recent.len()), (5, 4));
    }
}
