//! The core's clock: it stands still while we do not run.
//!
//! The system's monotonic clock does not count the time in which a laptop sleeps, but it does count that
//! in which we alone are kept from running: stopped, frozen with our container, or in a machine that is.
//! Whoever was to do something in that time was mostly kept from it as well. So a wake-up that comes far
//! too late is not held against anybody: it is as if no time had passed since the last.
//!
//! **Invariant:** it never goes back; and of late wake-ups in a row only the first is forgiven, so that on
//! a machine that is always late everything still comes to its end.

use std::time::{Duration, Instant};

use mux::Moment;

use crate::{
    observe,
    upgrade::{FrozenClock, monotonic},
};

/// Wake-ups that come later than this were kept from us. The shortest patience with a server is 5 s.
const LATE: Duration = Duration::from_secs(3);

/// Tells the time since the daemon began, less what was lost.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    /// What it showed then: nothing, unless the program before us had it.
    shown: Duration,
    /// Time in which we did not run.
    lost: Duration,
    /// What was told last.
    told: Moment,
    /// Whether the last wake-up came too late.
    was_late: bool,
    /// Whether that was not held against anybody.
    stood_still: bool,
}

impl Clock {
    /// One that is at zero now.
    pub(super) fn new(now: Instant) -> Self {
        Clock {
            began: now,
            shown: Duration::ZERO,
            lost: Duration::ZERO,
            told: Moment(0),
            was_late: false,
            stood_still: false,
        }
    }

    /// One that goes on where that of the program before us stopped. Time has passed since.
    pub(super) fn thaw(frozen: &FrozenClock, now: Instant) -> Self {
        let passed = monotonic().saturating_sub(frozen.at);
        Clock {
            shown: Duration::from_nanos(frozen.told) + passed,
            told: Moment(frozen.told),
            ..Clock::new(now)
        }
    }

    /// What it shows, for the program that takes our place.
    pub(super) fn freeze(&self) -> FrozenClock {
        FrozenClock {
            told: self.told.0,
            at: monotonic(),
        }
    }

    /// The time, at a wake-up that was to come at `due` if nothing came before it.
    pub(super) fn look(&mut self, now: Instant, due: Moment) -> Moment {
        let elapsed = self.shown + now.saturating_duration_since(self.began);
        let at = moment(elapsed.saturating_sub(self.lost)).max(self.told);
        let is_late = due > self.told && at > due + LATE;
        self.stood_still = is_late && !self.was_late;
        self.was_late = is_late;
        if self.stood_still {
            let gap = at - self.told;
            self.lost += gap;
            observe::was_kept_from_running(gap);
        } else {
            self.told = at;
        }
        self.told
    }

    /// Whether no time has passed, by this clock, between the last two looks.
    pub(super) fn stood_still(&self) -> bool {
        self.stood_still
    }
}

fn moment(since: Duration) -> Moment {
    Moment(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        moment(Duration::from_secs(seconds))
    }

    /// What a clock says that is looked at after so many seconds, when a wake-up was due after so many of
    /// its own.
    fn looks<const N: usize>(pairs: [(u64, u64); N]) -> [u64; N] {
        let began = Instant::now();
        let mut clock = Clock::new(began);
        pairs.map(|(seconds, due)| {
            let now = began + Duration::from_secs(seconds);
            Duration::from_nanos(clock.look(now, at(due)).0).as_secs()
        })
    }

    #[test]
    fn time_passes_as_ever_when_wake_ups_come_in_time_or_before() {
        assert_eq!(
            looks([(10, 10), (12, 3600), (3000, 3600), (3602, 3600)]),
            [10, 12, 3000, 3602]
        );
    }

    #[test]
    fn a_wake_up_that_comes_far_too_late_is_as_if_no_time_had_passed() {
        assert_eq!(looks([(10, 10), (640, 40)]), [10, 10]);
        // And from there on it passes again.
        assert_eq!(looks([(10, 10), (640, 40), (660, 40)]), [10, 10, 30]);
    }

    #[test]
    fn of_late_wake_ups_in_a_row_only_the_first_is_forgiven() {
        assert_eq!(
            looks([(10, 10), (60, 40), (110, 40), (150, 70), (190, 70)]),
            [10, 10, 60, 100, 140]
        );
    }

    #[test]
    fn a_moment_that_was_due_before_the_last_look_is_no_measure() {
        assert_eq!(looks([(10, 10), (100, 5)]), [10, 100]);
    }

    #[test]
    fn a_clock_goes_on_in_another_program() {
        let began = Instant::now();
        let mut clock = Clock::new(began);
        clock.look(began + Duration::from_secs(10), Moment::NEVER);
        let mut next = Clock::thaw(&clock.freeze(), began);
        let shown = next.look(began + Duration::from_secs(1), Moment::NEVER);
        assert!((at(11)..at(12)).contains(&shown), "{shown:?}");
    }

    #[test]
    fn who_never_has_to_be_woken_is_never_late() {
        let began = Instant::now();
        let mut clock = Clock::new(began);
        let day = Duration::from_hours(24);
        assert_eq!(clock.look(began + day, Moment::NEVER), moment(day));
    }
}
