//! How long to wait before a server that died is started again.

use core::time::Duration;

use crate::limits::Limits;

/// Deaths in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt(pub(crate) u32);

impl Attempt {
    pub(crate) fn next(self) -> Self {
        Attempt(self.0.saturating_add(1))
    }

    /// The wait before this attempt; `None` when there have been so many that the server counts as failed.
    ///
    /// `seed` spreads the restarts of several servers (a fifth of the wait), without randomness in the core.
    pub(crate) fn delay(self, limits: &Limits, seed: u64) -> Option<Duration> {
        if self.0 > limits.backoff_attempts {
            return None;
        }
        let doubled = limits.backoff_first.saturating_mul(
            1_u32
                .checked_shl(self.0.saturating_sub(1))
                .unwrap_or(u32::MAX),
        );
        let longest = doubled.min(limits.backoff_longest);
        let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let jitter = longest / 5 * u32::try_from(spread % 1000).unwrap_or(0) / 1000;
        Some(longest + jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_last_until_it_gives_up() {
        let limits = Limits::default();
        let waits: alloc::vec::Vec<Option<u128>> = (1..=6)
            .map(|n| Attempt(n).delay(&limits, 0).map(|wait| wait.as_millis()))
            .collect();
        assert_eq!(
            waits,
            [Some(100), Some(200), Some(400), Some(800), Some(1600), None]
        );
    }

    #[test]
    fn the_spread_is_at_most_a_fifth() {
        let limits = Limits::default();
        for seed in 0..1000 {
            let wait = Attempt(1).delay(&limits, seed).unwrap().as_millis();
            assert!((100..=120).contains(&wait), "{wait}");
        }
    }
}
