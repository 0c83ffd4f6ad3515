//! A daemon that has no rest lets others go first now and then.
//!
//! A flood keeps the daemon busy without a pause. Whoever shares its core is then let in only when the
//! system looks who else there is, which may be every 4 ms: each step of a call takes that long, from the
//! shim to the server and back.
//!
//! **Invariant:** a daemon that finds rest by itself never makes the system look.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mux::Moment;

/// How long the daemon works without a rest before it lets others go first. A call waits for that four
/// times on its way, and a look that lets nobody in costs a hundredth of it.
const BUSY_MAX: Duration = Duration::from_micros(25);

/// What is a rest. A look for something to do that finds it at once takes far less, and lets nobody in.
const REST_MIN: Duration = Duration::from_micros(10);

/// Whether the daemon's thread has rested since somebody looked.
#[derive(Clone, Debug)]
pub(crate) struct Rests(Arc<Rest>);

#[derive(Debug)]
struct Rest {
    began: Instant,
    /// When it last had nothing to do, in nanoseconds.
    idle_since: AtomicU64,
    has_been: AtomicBool,
}

impl Rests {
    pub(crate) fn new() -> Self {
        Rests(Arc::new(Rest {
            began: Instant::now(),
            idle_since: AtomicU64::new(0),
            has_been: AtomicBool::new(false),
        }))
    }

    /// There is nothing to do.
    pub(crate) fn begin(&self) {
        self.begin_at(self.elapsed());
    }

    /// There is something to do again.
    pub(crate) fn end(&self) {
        self.end_at(self.elapsed());
    }

    fn begin_at(&self, now: u64) {
        self.0.idle_since.store(now, Ordering::Relaxed);
    }

    fn end_at(&self, now: u64) {
        let idle_since = self.0.idle_since.load(Ordering::Relaxed);
        if Duration::from_nanos(now.saturating_sub(idle_since)) >= REST_MIN {
            self.0.has_been.store(true, Ordering::Relaxed);
        }
    }

    fn take(&self) -> bool {
        self.0.has_been.swap(false, Ordering::Relaxed)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Since when the daemon has been at work.
#[derive(Debug)]
pub(super) struct Courtesy {
    rests: Rests,
    busy_since: Moment,
}

impl Courtesy {
    pub(super) fn new(rests: Rests) -> Self {
        Courtesy {
            rests,
            busy_since: Moment(0),
        }
    }

    /// Whether others are to go first, now that it is this late. Says so once, and then not for a while.
    pub(super) fn is_due(&mut self, now: Moment) -> bool {
        let has_rested = self.rests.take();
        let is_due = !has_rested && now >= self.busy_since + BUSY_MAX;
        if has_rested || is_due {
            self.busy_since = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than half of the longest time at work.
    const STEP: Duration = Duration::from_micros(15);

    fn rest(rests: &Rests, nanos: u64) {
        rests.begin_at(1);
        rests.end_at(1 + nanos);
    }

    #[test]
    fn others_go_first_when_there_was_no_rest_for_long_enough() {
        let rests = Rests::new();
        let mut courtesy = Courtesy::new(rests.clone());
        let mut now = Moment(1);
        rest(&rests, 20_000);
        assert!(!courtesy.is_due(now));
        let due = [(); 4].map(|()| {
            now = now + STEP;
            courtesy.is_due(now)
        });
        assert_eq!(due, [false, true, false, true]);
    }

    #[test]
    fn who_rests_in_between_need_not_let_anybody_go_first() {
        let rests = Rests::new();
        let mut courtesy = Courtesy::new(rests.clone());
        let mut now = Moment(1);
        for _ in 0..10 {
            rest(&rests, 20_000);
            now = now + STEP;
            assert!(!courtesy.is_due(now));
        }
    }

    #[test]
    fn a_look_that_finds_something_to_do_at_once_is_no_rest() {
        let rests = Rests::new();
        let mut courtesy = Courtesy::new(rests.clone());
        let mut now = Moment(1);
        rest(&rests, 20_000);
        assert!(!courtesy.is_due(now));
        let due = [(); 2].map(|()| {
            rest(&rests, 1000);
            now = now + STEP;
            courtesy.is_due(now)
        });
        assert_eq!(due, [false, true]);
    }
}
