//! How long a server wants to be left alone that has too much to do: `Retry-After` (RFC 9110, section 10.2.3).
//!
//! What one message has shown counts for all that is sent to that server, in whatever conversation.
//!
//! **Invariant:** a message is held by that for no longer than [`HOLD_MAX`]; whoever would have to wait longer is told
//! so, and how long.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
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

use super::target::Place;
use crate::launch::RemoteSpec;

/// All pauses of one message together. Clients give up on a session that has not begun after 30 s.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(30);

/// The same of what a conversation begins with: less than a session waits for its start, so that it hears why it
/// waits no longer.
pub(super) const GREETING_HOLD_MAX: Duration = Duration::from_secs(20);

/// The longest time that is told to anybody.
const TOLD_MAX: Duration = Duration::from_hours(365 * 24);

/// How long a server is left alone at most: its clock, or whoever set it up, may be wrong.
const BELIEVED_MAX: Duration = Duration::from_mins(5);

/// How long it is left alone at least: it may say that it need not be at all, and say no again at once.
const BELIEVED_MIN: Duration = Duration::from_millis(100);

/// How often one message is sent again, however short the pauses are. The shortest that is allowed doubles each
/// time.
const REPEATS_MAX: u32 = 5;

/// Servers of which it is known at a time. What others say counts for the conversation in which they say it.
const SERVERS_MAX: usize = 1024;

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
    rest.clamp(BELIEVED_MIN, BELIEVED_MAX)
}

/// What follows for a person of a server that wants to be left alone for so long.
pub(super) fn words(rest: Duration) -> String {
    let seconds = rest.as_millis().div_ceil(1000);
    format!("it has too much to do and wants to be left alone for {seconds} s")
}

/// Who is known by what it has said of this: whoever is at a place, to those who come there with the same headers. What
/// it has no time for may be what one account wants of it.
type Known = (Place, Vec<(String, String)>);

/// What all servers have said of this, for all conversations with them.
#[derive(Clone, Default)]
pub(crate) struct LeftAlone(Arc<Mutex<BTreeMap<Known, Rest>>>);

impl fmt::Debug for LeftAlone {
    /// The values of headers are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeftAlone")
    }
}

impl LeftAlone {
    /// For a conversation with who is there.
    pub(super) fn at(&self, place: &Place, spec: &RemoteSpec) -> Rest {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, rest| rest.is_of_use());
        let known = (place.clone(), spec.headers.clone());
        if all.len() >= SERVERS_MAX && !all.contains_key(&known) {
            return Rest::default();
        }
        all.entry(known).or_default().clone()
    }
}

/// What one server has said of this.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest(watch::Sender<Option<Instant>>);

impl Rest {
    /// It wants to be left alone from now on.
    pub(super) fn begin(&self, rest: Duration) {
        let until = Instant::now() + believed(rest);
        self.0
            .send_modify(|before| *before = Some(before.map_or(until, |before| before.max(until))));
    }

    /// Whether it is to be left alone now.
    pub(super) fn is_on(&self) -> bool {
        !self.left().is_zero()
    }

    /// Returns when it may be spoken to.
    pub(super) async fn over(&self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            time::sleep(left).await;
        }
    }

    /// Whether another conversation takes part in it, or has to begin with it.
    fn is_of_use(&self) -> bool {
        self.0.sender_count() > 1 || self.is_on()
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
    /// The shortest pause before it is sent again.
    least: Duration,
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
            least: BELIEVED_MIN,
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

    /// Not after this moment, either.
    pub(super) fn until(&mut self, end: Instant) {
        let left = end.saturating_duration_since(Instant::now());
        self.left = self.left.min(left);
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

    /// Whether the message may be sent again, after a pause of at least so long, which begins now.
    pub(super) fn allows(&mut self, rest: &Rest, wanted: Duration) -> bool {
        let pause = wanted.max(self.least);
        if self.repeats_left == 0 || pause > self.left {
            return false;
        }
        self.repeats_left -= 1;
        self.least *= 2;
        rest.begin(pause);
        true
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;
    use crate::upstream::target::Target;

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
            assert!(patience.allows(&rest, pause));
            // It is the longest of all that were said that counts.
            rest.begin(Duration::from_secs(1));
            assert_eq!(patience.wait(&rest).await, Ok(()));
        }
        assert_eq!(began.elapsed(), HOLD_MAX);
        assert!(!patience.allows(&rest, Duration::from_millis(1)));
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

    #[tokio::test(start_paused = true)]
    async fn a_message_is_sent_again_less_and_less_often_and_not_for_ever_however_short_the_pauses_are()
     {
        let (rest, mut patience) = (Rest::default(), Patience::default());
        let mut pauses = Vec::new();
        while patience.allows(&rest, Duration::ZERO) {
            let began = Instant::now();
            assert_eq!(patience.wait(&rest).await, Ok(()));
            pauses.push(began.elapsed().as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_need_not_be_left_alone_is_all_the_same_for_a_moment() {
        let rest = Rest::default();
        let began = Instant::now();
        rest.begin(Duration::ZERO);
        rest.over().await;
        assert_eq!(began.elapsed(), BELIEVED_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_has_said_in_one_conversation_counts_in_the_next() {
        let left_alone = LeftAlone::default();
        let spec = |url: &str, key: &str| RemoteSpec {
            url: url.to_owned(),
            headers: vec![("authorization".to_owned(), key.to_owned())],
            ca_cert: None,
            may_come_later: false,
            session_key: None,
            is_of_a_session: false,
        };
        let rest = |url: &str, key: &str| {
            let place = Target::parse(url).unwrap().place;
            left_alone.at(&place, &spec(url, key))
        };
        rest("https://there/mcp", "a").begin(Duration::from_secs(7));
        for (url, key, seconds) in [
            ("https://there/other", "a", 7),
            ("wss://there/ws", "a", 7),
            ("https://there/mcp", "b", 0),
            ("https://elsewhere/mcp", "a", 0),
        ] {
            assert_eq!(rest(url, key).left().as_secs(), seconds, "{url} {key}");
        }
        time::advance(Duration::from_secs(7)).await;
        let held = rest("https://there/mcp", "a");
        let known = left_alone.0.lock().unwrap().len();
        // Of all others nothing is known any more.
        assert_eq!((known, held.left()), (1, Duration::ZERO));
    }

    #[test]
    fn nobody_reads_the_headers_by_which_a_server_is_known() {
        assert_eq!(format!("{:?}", LeftAlone::default()), "LeftAlone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_not_held_beyond_the_moment_that_was_said() {
        let (rest, mut patience) = (Rest::default(), Patience::default());
        patience.until(Instant::now() + Duration::from_secs(2));
        assert!(!patience.allows(&rest, Duration::from_secs(3)));
        assert!(patience.allows(&rest, Duration::from_secs(2)));
    }

    #[test]
    fn a_person_is_told_how_long_it_is_in_whole_seconds() {
        assert!(words(Duration::from_millis(1500)).ends_with("for 2 s"));
        assert!(words(Duration::from_hours(1)).ends_with("for 3600 s"));
    }
}
