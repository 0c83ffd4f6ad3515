//! Whether a client that has much to read does read.
//!
//! A server may be faster than a client that reads as fast as it can, and such a client must not lose
//! answers. One that stands still is told from it by what it has taken.
//!
//! **Invariant:** a client that takes nothing is found out the moment its queue is full, and no client
//! has more waiting than [`BACKLOG_MAX`] times what may.

use std::time::{Duration, Instant};

/// How many times the usual bound may wait for a client that goes on reading.
pub(super) const BACKLOG_MAX: usize = 8;

/// The part of the usual bound that a client must take, first while its queue fills up and then in each
/// [`INTERVAL`]. More than a client that stands still has room for in its pipes.
const SHARE: usize = 8;

/// How often a client with a full queue must have taken its share.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a client has taken since when.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// All that it had taken when last nothing waited for it.
    at_empty: u64,
    /// When its queue was full, and all that it had taken then.
    mark: Option<(Instant, u64)>,
    /// All that it had taken when somebody last looked whether it stands still, and how often it did.
    looked: Option<(u64, u32)>,
}

impl Pace {
    /// That of a client of the program before us, for which `waiting` bytes wait. If these are more than the
    /// `limit`, it had read while they came, and is not suddenly taken for one that stands still.
    pub(super) fn resumed(taken: u64, waiting: usize, limit: usize) -> Self {
        let share = if waiting > limit { share_of(limit) } else { 0 };
        Pace {
            at_empty: taken.saturating_sub(share),
            ..Pace::default()
        }
    }

    /// Nothing waits for the client, which has taken so many bytes in all.
    pub(super) fn on_empty(&mut self, taken: u64) {
        self.at_empty = taken;
        self.mark = None;
    }

    /// Whether a client has taken nothing since this was asked last. Says so once, until it takes some.
    pub(super) fn stands_still(&mut self, taken: u64) -> bool {
        let times = match self.looked {
            Some((before, times)) if before == taken => times.saturating_add(1),
            Some(_) | None => 0,
        };
        self.looked = Some((taken, times));
        times == 1
    }

    /// Whether a client, which has taken so many bytes in all, has read while its queue filled up.
    pub(super) fn has_read(&self, taken: u64, limit: usize) -> bool {
        taken - self.at_empty >= share_of(limit)
    }

    /// Whether a client may have more, for which more waits than the `limit`: `waiting` bytes.
    pub(super) fn may_go_on(
        &mut self,
        now: impl FnOnce() -> Instant,
        taken: u64,
        waiting: usize,
        limit: usize,
    ) -> bool {
        if waiting > limit.saturating_mul(BACKLOG_MAX) || !self.has_read(taken, limit) {
            return false;
        }
        let share = share_of(limit);
        let now = now();
        match self.mark {
            Some((since, _)) if now.duration_since(since) < INTERVAL => true,
            Some((_, before)) if taken - before < share => false,
            Some(_) | None => {
                self.mark = Some((now, taken));
                true
            }
        }
    }
}

fn share_of(limit: usize) -> u64 {
    (limit / SHARE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 800;

    #[test]
    fn a_client_that_took_nothing_may_have_no_more_than_the_limit() {
        let mut pace = Pace::default();
        pace.on_empty(5000);
        assert!(!pace.may_go_on(Instant::now, 5099, LIMIT + 1, LIMIT));
        assert!(pace.may_go_on(Instant::now, 5100, LIMIT + 1, LIMIT));
    }

    #[test]
    fn a_client_that_had_much_to_read_and_read_it_goes_on_after_an_upgrade() {
        let mut pace = Pace::resumed(5000, LIMIT + 1, LIMIT);
        assert!(pace.may_go_on(Instant::now, 5000, LIMIT + 1, LIMIT));
        let mut pace = Pace::resumed(5000, LIMIT, LIMIT);
        assert!(!pace.may_go_on(Instant::now, 5099, LIMIT + 1, LIMIT));
    }

    #[test]
    fn a_client_that_stops_reading_is_found_out_and_one_that_goes_on_is_not() {
        let began = Instant::now();
        let mut pace = Pace::default();
        assert!(pace.may_go_on(|| began, 100, LIMIT + 1, LIMIT));
        assert!(pace.may_go_on(|| began + INTERVAL / 2, 100, LIMIT + 1, LIMIT));
        assert!(pace.may_go_on(|| began + INTERVAL, 200, LIMIT + 1, LIMIT));
        assert!(pace.may_go_on(|| began + 2 * INTERVAL, 300, LIMIT + 1, LIMIT));
        assert!(!pace.may_go_on(|| began + 3 * INTERVAL, 399, LIMIT + 1, LIMIT));
    }

    #[test]
    fn a_client_that_takes_nothing_between_two_looks_stands_still_which_is_said_once() {
        let mut pace = Pace::default();
        let looks = [10, 10, 10, 10, 20, 30, 30, 30];
        let still = looks.map(|taken| pace.stands_still(taken));
        assert_eq!(
            still,
            [false, true, false, false, false, false, true, false]
        );
    }

    #[test]
    fn however_well_a_client_reads_there_is_an_end_to_what_waits_for_it() {
        let mut pace = Pace::default();
        assert!(pace.may_go_on(Instant::now, 10_000, 8 * LIMIT, LIMIT));
        assert!(!pace.may_go_on(Instant::now, 20_000, 8 * LIMIT + 1, LIMIT));
    }
}
