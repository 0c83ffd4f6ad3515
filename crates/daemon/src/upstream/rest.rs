//! How long a server wants to be left alone that has too much to do: `Retry-After` (RFC 9110, section 10.2.3).
//!
//! **Invariant:** a message is held by that for no longer than [`HOLD_MAX`]; whoever would have to wait longer is told
//! so, and how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{
    HeaderMap, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// All pauses of one message together. Clients give up on a session that has not begun after 30 s.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(30);

/// The longest time that is told to anybody.
const TOLD_MAX: Duration = Duration::from_hours(365 * 24);

/// How long a server is left alone at most: its clock, or whoever set it up, may be wrong.
const BELIEVED_MAX: Duration = Duration::from_mins(5);

/// How often one message is sent again, however short the pauses are.
const REPEATS_MAX: u32 = 5;

/// How long the server that answers so wants to be left alone, if it says that.
pub(super) fn wanted_by(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let is_of_use = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    is_of_use.then(|| retry_after(headers))?
}

/// What `Retry-After` says, which is a number of seconds or a date. A date is compared with that of the response, as
/// its clock and ours need not agree; who has a clock says what it shows (RFC 9110, section 6.6.1).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let said: &str = text(RETRY_AFTER)?.trim();
    if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is for ever.
        let seconds = said.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(TOLD_MAX));
    }
    let until = httpdate::parse_http_date(said).ok()?;
    let since = httpdate::parse_http_date(text(DATE)?).ok()?;
    let rest = until.duration_since(since).unwrap_or_default();
    Some(rest.min(TOLD_MAX))
}

/// How long a server is left alone that wants it for so long.
pub(super) fn believed(rest: Duration) -> Duration {
    rest.min(BELIEVED_MAX)
}

/// What follows for a person of a server that wants to be left alone for so long.
pub(super) fn words(rest: Duration) -> String {
    let seconds = rest.as_millis().div_ceil(1000);
    format!("it has too much to do and wants to be left alone for {seconds} s")
}

/// What one server has said of this, for all that is sent to it in one conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest(watch::Sender<Option<Instant>>);

impl Rest {
    /// It wants to be left alone from now on.
    pub(super) fn begin(&self, rest: Duration) {
        let until = Instant::now() + believed(rest);
        self.0
            .send_modify(|before| *before = Some(before.map_or(until, |before| before.max(until))));
    }

    fn left(&self) -> Duration {
        let until = *self.0.borrow();
        let now = Instant::now();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

/// Whether one message is just held, so that its server is not about to hear it.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<AtomicBool>);

impl Held {
    pub(super) fn is_held(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_held: bool) {
        self.0.store(is_held, Ordering::Relaxed);
    }
}

/// For how long one message may still be held.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    repeats_left: u32,
    held: Held,
}

impl Default for Patience {
    fn default() -> Self {
        Patience::within(HOLD_MAX)
    }
}

impl Patience {
    /// No longer than so.
    pub(super) fn within(left: Duration) -> Self {
        Patience {
            left,
            repeats_left: REPEATS_MAX,
            held: Held::default(),
        }
    }

    /// With somebody who looks whether it is held.
    pub(super) fn of(held: Held) -> Self {
        Patience {
            held,
            ..Patience::default()
        }
    }

    /// Returns when the server may be spoken to; the error is for how much longer it may not.
    pub(super) async fn wait(&mut self, rest: &Rest) -> Result<(), Duration> {
        loop {
            let wait = rest.left();
            if wait.is_zero() {
                return Ok(());
            }
            self.left = self.left.checked_sub(wait).ok_or(wait)?;
            self.held.set(true);
            time::sleep(wait).await;
            self.held.set(false);
        }
    }

    /// Whether the message may be sent again after this pause.
    pub(super) fn allows(&mut self, rest: Duration) -> bool {
        let is_allowed = self.repeats_left > 0 && rest <= self.left;
        self.repeats_left = self.repeats_left.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// What the clock of the server shows.
    const NOW: &str = "Sun, 06 Nov 1994 08:49:30 GMT";

    fn said(retry_after: &'static str, date: &'static str) -> HeaderMap {
        let values = [(RETRY_AFTER, retry_after), (DATE, date)];
        let values = values.map(|(name, value)| (name, HeaderValue::from_static(value)));
        values.into_iter().collect()
    }

    #[test]
    fn it_is_a_number_of_seconds_or_one_of_three_kinds_of_dates() {
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999999", Some(TOLD_MAX.as_secs())),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(TOLD_MAX.as_secs())),
            // Gone by, which is now.
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("2m", None),
            ("tomorrow", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&said(value, NOW)), expected, "{value:?}");
        }
    }

    #[test]
    fn a_date_is_of_no_use_without_that_of_the_response() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let mut headers = said(date, "soon");
        assert_eq!(retry_after(&headers), None);
        headers.remove(DATE);
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
    }

    #[test]
    fn only_two_statuses_say_so() {
        let headers = said("7", NOW);
        for (status, rest) in [(429, Some(7)), (503, Some(7)), (500, None), (200, None)] {
            let status = StatusCode::from_u16(status).unwrap();
            let expected = rest.map(Duration::from_secs);
            assert_eq!(wanted_by(status, &headers), expected, "{status}");
        }
        let silent = wanted_by(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new());
        assert_eq!(silent, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_held_for_so_long_and_no_longer() {
        let (rest, mut patience) = (Rest::default(), Patience::default());
        let began = Instant::now();
        for _ in 0..2 {
            let pause = HOLD_MAX / 2;
            assert!(patience.allows(pause));
            rest.begin(pause);
            // It is the longest of all that were said that counts.
            rest.begin(Duration::from_secs(1));
            assert_eq!(patience.wait(&rest).await, Ok(()));
        }
        assert_eq!(began.elapsed(), HOLD_MAX);
        assert!(!patience.allows(Duration::from_millis(1)));
        rest.begin(Duration::MAX);
        assert_eq!(patience.wait(&rest).await, Err(BELIEVED_MAX));
        let another = Patience::default().wait(&rest).await;
        assert_eq!(another, Err(BELIEVED_MAX));
        assert_eq!(began.elapsed(), HOLD_MAX);
        // What it says is believed for a while.
        time::advance(BELIEVED_MAX).await;
        assert_eq!(Patience::default().wait(&rest).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_seen_whether_a_message_is_held() {
        let (rest, held) = (Rest::default(), Held::default());
        let mut patience = Patience::of(held.clone());
        assert_eq!(patience.wait(&rest).await, Ok(()));
        assert!(!held.is_held());
        rest.begin(Duration::from_secs(1));
        let seen = async {
            time::sleep(Duration::from_millis(999)).await;
            held.is_held()
        };
        let (waited, seen) = tokio::join!(patience.wait(&rest), seen);
        assert_eq!((waited, seen, held.is_held()), (Ok(()), true, false));
    }

    #[test]
    fn a_message_is_not_sent_again_for_ever_however_short_the_pauses_are() {
        let mut patience = Patience::default();
        let repeats = (0..100).filter(|_| patience.allows(Duration::ZERO)).count();
        assert_eq!(repeats, 5);
    }

    #[test]
    fn a_person_is_told_how_long_it_is_in_whole_seconds() {
        assert!(words(Duration::from_millis(1500)).ends_with("for 2 s"));
        assert!(words(Duration::from_hours(1)).ends_with("for 3600 s"));
    }
}
