//! When a stream is asked for again that has ended.
//!
//! **Invariant:** a server that gives none is asked less and less often, unless it says itself how often it may be.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{self, Instant};

use super::{connection::Failure, talk::Talk};

/// How long to wait, unless the server says otherwise; twice as long each time.
const RETRY: Duration = Duration::from_secs(1);

/// The longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A stream that lived for less was of no use.
const USEFUL: Duration = Duration::from_secs(5);

/// How often in a row it may be that there is no way to the server at all.
const UNREACHABLE_MAX: u32 = 3;

/// How it has gone, over all tries.
#[derive(Debug)]
pub(super) struct Again {
    /// When the last one began.
    began: Instant,
    /// How many in a row were of no use.
    in_vain: u32,
    /// How many in a row have not found a server.
    unreachable: u32,
}

impl Again {
    pub(super) fn new() -> Self {
        Again {
            began: Instant::now(),
            in_vain: 0,
            unreachable: 0,
        }
    }

    pub(super) fn begins(&mut self) {
        self.began = Instant::now();
    }

    /// The server has answered, whatever it was.
    pub(super) fn is_answered(&mut self) {
        self.unreachable = 0;
    }

    /// Whether there is no way to the server any more, as often as it was tried, after one that has failed like this.
    pub(super) async fn is_hopeless(&mut self, talk: &Talk, failure: &Failure) -> bool {
        let is_there = match failure {
            Failure::Unmet(_) => false,
            // That it broke off is not that there is nobody.
            Failure::Undelivered(_) | Failure::Lost(_) => talk.connector.connect().await.is_ok(),
            Failure::Misled(_) | Failure::Resting(..) => true,
        };
        self.unreachable = if is_there { 0 } else { self.unreachable + 1 };
        self.unreachable >= UNREACHABLE_MAX
    }

    /// Returns when it is time for the next.
    pub(super) async fn is_due(&mut self, retry: Option<Duration>) {
        let was_useful = self.began.elapsed() >= USEFUL;
        self.in_vain = if was_useful { 0 } else { self.in_vain + 1 };
        time::sleep(wait(retry, self.in_vain)).await;
    }
}

/// How long to wait after so many in a row that were of no use.
fn wait(retry: Option<Duration>, in_vain: u32) -> Duration {
    let wait = retry.unwrap_or(RETRY);
    let longer = wait.saturating_mul(1_u32.checked_shl(in_vain.min(5)).unwrap_or(1) / 2);
    longer.max(wait).min(RETRY_MAX.max(wait))
}

/// Whether a server that refuses a stream like this may give one before long: it still thinks that somebody listens,
/// or has too much to do.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_breaks_off_at_once_is_asked_less_and_less_often() {
        let seconds: Vec<u64> = (0..9)
            .map(|in_vain| wait(None, in_vain).as_secs())
            .collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 16, 16, 16]);
        assert_eq!(wait(Some(Duration::from_millis(10)), 0).as_millis(), 10);
    }

    #[test]
    fn a_server_that_has_too_much_to_do_is_asked_again() {
        for (status, expected) in [(409, true), (429, true), (404, false), (405, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_passing(status), expected, "{status}");
        }
    }
}
