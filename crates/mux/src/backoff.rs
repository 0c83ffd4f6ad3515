//! How long to wait before a server that died is started again, and when to stop trying.
//!
//! There is a budget of deaths. Each spends one of it, which comes back when the death is long enough
//! ago; whoever has none left is given up for a while and then tried once. What is tried so is given
//! up again at its next death, unless it has served well in between.
//!
//! **Invariant:** what is remembered is never more than the budget.

use alloc::collections::VecDeque;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{limits::Limits, moment::Moment};

/// The unexpected ends of a server's processes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Deaths {
    /// Since it last served well.
    in_a_row: u32,
    /// When those were that the budget still lacks.
    spent: VecDeque<Moment>,
    /// Set from when it is given up until it has served well.
    is_on_trial: bool,
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It may be started again after this time.
    For(Duration),
    /// There have been too many.
    TooMany,
}

impl Deaths {
    /// How many there were since it last served well.
    pub(crate) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Takes note of one, after `served`; says what follows. `budget` is how many there may be.
    ///
    /// `seed` spreads the restarts of several servers, without randomness in the core.
    pub(crate) fn add(
        &mut self,
        now: Moment,
        served: Option<Duration>,
        limits: &Limits,
        (budget, seed): (usize, u64),
    ) -> Rest {
        if served.is_some_and(|served| served >= limits.good_service) {
            self.in_a_row = 0;
            self.is_on_trial = false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.spent
            .retain(|death| *death + limits.deaths_window > now);
        if self.is_on_trial || self.spent.len() >= budget {
            self.is_on_trial = true;
            return Rest::TooMany;
        }
        self.spent.push_back(now);
        Rest::For(wait(self.in_a_row, limits, seed))
    }
}

/// The wait after so many deaths in a row: from half of the nominal one to four fifths of it.
///
/// It is spread downwards only: who waits for the server has been promised that it is started within
/// the nominal wait. What is left of that is for seeing that it died and for starting it.
pub(crate) fn wait(in_a_row: u32, limits: &Limits, seed: u64) -> Duration {
    let doublings = in_a_row.saturating_sub(1);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let nominal = limits
        .backoff_first
        .saturating_mul(factor)
        .min(limits.backoff_longest);
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    nominal * u32::try_from(800 - spread % 300).unwrap_or(800) / 1000
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Starts of a server in its first minutes that dies whenever it has served so long.
    fn starts_within(minutes: u64, served: Duration) -> usize {
        let limits = Limits::default();
        let end = Moment(0) + Duration::from_mins(minutes);
        let mut deaths = Deaths::default();
        let mut now = Moment(0);
        let mut starts = 0;
        while now <= end {
            starts += 1;
            now = now + served;
            now = now
                + match deaths.add(
                    now,
                    Some(served),
                    &limits,
                    (limits.deaths_max, starts as u64),
                ) {
                    Rest::For(wait) => wait,
                    Rest::TooMany => limits.failed_rest,
                };
        }
        starts
    }

    #[test]
    fn each_wait_is_twice_the_last_up_to_the_longest() {
        let limits = Limits::default();
        let waits: Vec<u128> = (1..=11).map(|n| wait(n, &limits, 0).as_millis()).collect();
        let doubled = [80, 160, 320, 640, 1280, 2560, 5120, 10_240, 20_480];
        assert_eq!(waits[..9], doubled);
        assert_eq!(waits[9..], [24_000, 24_000]);
        assert_eq!(wait(u32::MAX, &limits, 0).as_millis(), 24_000);
    }

    #[test]
    fn the_spread_takes_away_from_a_fifth_to_half() {
        let limits = Limits::default();
        let waits: Vec<u128> = (0..1000)
            .map(|seed| wait(1, &limits, seed).as_millis())
            .collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            (50..=52).contains(least) && (78..=80).contains(most),
            "{least} to {most}"
        );
    }

    #[test]
    fn the_sixth_death_within_the_window_is_too_many_and_no_other() {
        let limits = Limits::default();
        for (step, too_many) in [(11, true), (12, false)] {
            let mut deaths = Deaths::default();
            let rests = (0..6).map(|n| {
                let now = Moment(0) + Duration::from_secs(n * step);
                deaths.add(now, None, &limits, (limits.deaths_max, 0))
            });
            let sixth = rests.last();
            assert_eq!(sixth == Some(Rest::TooMany), too_many, "{sixth:?}");
        }
    }

    #[test]
    fn what_is_on_trial_has_no_budget_until_it_has_served_well() {
        let limits = Limits::default();
        let mut deaths = Deaths::default();
        let mut now = Moment(0);
        for _ in 0..6 {
            deaths.add(now, None, &limits, (limits.deaths_max, 0));
        }
        for _ in 0..3 {
            now = now + Duration::from_hours(1);
            let served = Some(Duration::from_secs(59));
            assert_eq!(
                deaths.add(now, served, &limits, (limits.deaths_max, 0)),
                Rest::TooMany
            );
        }
        let served = Some(limits.good_service);
        let first = Rest::For(wait(1, &limits, 0));
        assert_eq!(
            deaths.add(now, served, &limits, (limits.deaths_max, 0)),
            first
        );
    }

    #[test]
    fn a_server_that_keeps_dying_is_started_a_dozen_times_in_five_minutes_at_most() {
        for millis in [0, 10, 1_000, 3_000, 5_000, 8_000, 10_000] {
            let starts = starts_within(5, Duration::from_millis(millis));
            assert!(
                (4..=12).contains(&starts),
                "{starts} when it lives {millis} ms"
            );
        }
        // Nor ever much more often, however long it lives.
        for seconds in 0..300 {
            let starts = starts_within(5, Duration::from_secs(seconds));
            assert!(starts <= 14, "{starts} when it lives {seconds} s");
        }
    }
}
