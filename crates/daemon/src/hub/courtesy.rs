//! Floods wait now and then, so that others come first.
//!
//! A flood keeps the daemon busy without a pause: somebody who has a single line to say waits for what the
//! daemon has in its hands, and whoever shares its core is let in only when the system looks who else there
//! is, which may be every 4 ms. So while somebody has little to say, those who have much take turns, a piece
//! at a time, and the daemon rests in between. A flood then waits for us, and not everybody else for it
//! (`docs/adr/0016`).
//!
//! **Invariant:** a daemon that finds rest by itself has nobody begin to wait, and nobody waits for those who
//! have as much to say; no flood waits for ever, and none of a server that has ended waits at all.

use std::{
    convert::Infallible,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mux::Moment;

use crate::link::{TURN, Turnstile};

/// How long the daemon works without a rest before anybody has to wait: as long as a piece of a flood takes.
const BUSY_MAX: Duration = Duration::from_micros(25);

/// The longest between two turns of floods while the daemon has no rest.
const TURN_MAX: Duration = Duration::from_millis(2);

/// What is a rest. A look for something to do that finds it at once takes far less, and lets nobody in.
const REST_MIN: Duration = Duration::from_micros(10);

/// How long it is looked at who has much to say and who has little. Nobody waits then: whoever waits does
/// not show how much they have.
const LOOK: Duration = Duration::from_millis(10);

/// For how long that counts: so much longer that fewer than one call in a hundred meets a look.
const WAIT: Duration = Duration::from_secs(2);

/// Who costs so many times less than another has little to say, and says no more than this at once.
const LITTLE: u64 = 4;
const AT_ONCE: usize = 2;

/// Bytes that cost as much as one message does beside them.
const BYTES: usize = 4 << 10;

/// What a session has cost since somebody looked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    cost: u64,
    most_at_once: usize,
}

impl Work {
    /// So many more messages to it or from it, of so many bytes in all.
    pub(super) fn add(&mut self, messages: usize, bytes: usize) {
        let cost = (messages + bytes / BYTES) as u64;
        self.cost = self.cost.saturating_add(cost);
        self.most_at_once = self.most_at_once.max(messages);
    }
}

/// How long the daemon's thread has rested, in all.
#[derive(Clone, Debug)]
pub(crate) struct Rests(Arc<Rest>);

#[derive(Debug)]
struct Rest {
    began: Instant,
    /// When it last had nothing to do, in nanoseconds.
    idle_since: AtomicU64,
    /// In nanoseconds.
    total: AtomicU64,
}

impl Rests {
    pub(crate) fn new() -> Self {
        Rests(Arc::new(Rest {
            began: Instant::now(),
            idle_since: AtomicU64::new(0),
            total: AtomicU64::new(0),
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
        let rest = now.saturating_sub(idle_since);
        if Duration::from_nanos(rest) >= REST_MIN {
            self.0.total.fetch_add(rest, Ordering::Relaxed);
        }
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.0.total.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Who has floods wait.
#[derive(Debug)]
pub(super) struct Courtesy {
    stretch: Stretch,
    floods: Arc<Turnstile>,
    /// When one was let through last, and how long the daemon had rested then.
    let_through: (Instant, Duration),
    mode: Mode,
}

/// What becomes of floods.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// They are let through, and it is looked at since then who has much to say.
    Look { since: Moment },
    /// They wait until then.
    Wait { until: Moment },
}

impl Courtesy {
    pub(super) fn new(rests: Rests, floods: Arc<Turnstile>) -> Self {
        Courtesy {
            stretch: Stretch::new(rests),
            floods,
            let_through: (Instant::now(), Duration::ZERO),
            mode: Mode::Look { since: Moment(0) },
        }
    }

    /// Has floods wait, or lets them through, now that it is this late. Asks whether they may wait.
    pub(super) fn show<'a>(
        &mut self,
        now: Moment,
        sessions: impl Iterator<Item = &'a mut Work>,
        may_wait: impl FnOnce() -> bool,
    ) {
        let is_busy = self.stretch.is_over(now);
        if is_busy {
            // Whoever shares our core gets something to do for us, and that in one go.
            rustix::thread::sched_yield();
        }
        match self.mode {
            Mode::Wait { until } if now >= until => {
                sessions.for_each(|work| *work = Work::default());
                self.floods.unlock();
                self.mode = Mode::Look { since: now };
            }
            Mode::Look { since } if is_busy && now >= since + LOOK => {
                let works = sessions.map(mem::take);
                // What has gathered in a long time says nothing of now.
                if has_much_and_little(works) && now < since + 2 * LOOK && may_wait() {
                    self.floods.lock();
                    self.mode = Mode::Wait { until: now + WAIT };
                } else {
                    self.mode = Mode::Look { since: now };
                }
            }
            Mode::Wait { .. } | Mode::Look { .. } => {}
        }
    }

    /// Lets one of the floods through whenever it is time for that; never returns.
    pub(super) async fn attend(&mut self) -> Infallible {
        loop {
            self.floods.is_asked().await;
            let (at, rested) = self.let_through;
            let total = self.stretch.rests.total();
            if let Some(left) = still_left(at.elapsed(), total.saturating_sub(rested)) {
                self.floods.put_off(left);
            } else {
                self.let_through = (Instant::now(), total);
                self.floods.let_one_through();
            }
        }
    }
}

/// How much longer floods wait, when it was so long ago that one was let through, and the daemon has rested
/// so long since: never so short that to wait for it is no rest.
fn still_left(passed: Duration, rested: Duration) -> Option<Duration> {
    (rested < TURN && passed < TURN_MAX).then(|| TURN.saturating_sub(rested).max(TURN / 4))
}

/// Whether one session has much to say and another has little.
fn has_much_and_little(works: impl Iterator<Item = Work>) -> bool {
    let (mut least, mut most) = (u64::MAX, 0);
    for work in works.filter(|work| work.cost > 0) {
        most = most.max(work.cost);
        if work.most_at_once <= AT_ONCE {
            least = least.min(work.cost);
        }
    }
    least.saturating_mul(LITTLE) < most
}

/// Since when the daemon has been at work.
#[derive(Debug)]
struct Stretch {
    rests: Rests,
    rested: Duration,
    busy_since: Moment,
}

impl Stretch {
    fn new(rests: Rests) -> Self {
        Stretch {
            rested: rests.total(),
            rests,
            busy_since: Moment(0),
        }
    }

    /// Whether it has been long enough, now that it is this late. Says so once, and then not for a while.
    fn is_over(&mut self, now: Moment) -> bool {
        let rested = self.rests.total();
        let has_rested = mem::replace(&mut self.rested, rested) < rested;
        let is_over = !has_rested && now >= self.busy_since + BUSY_MAX;
        if has_rested || is_over {
            self.busy_since = now;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than half of the longest time at work.
    const STEP: Duration = Duration::from_micros(15);

    fn work(cost: u64) -> Work {
        Work {
            cost,
            most_at_once: 1,
        }
    }

    fn rest(rests: &Rests, nanos: u64) {
        rests.begin_at(1);
        rests.end_at(1 + nanos);
    }

    #[test]
    fn a_stretch_of_work_is_over_when_there_was_no_rest_for_long_enough() {
        let rests = Rests::new();
        let mut stretch = Stretch::new(rests.clone());
        let mut now = Moment(1);
        rest(&rests, 20_000);
        assert!(!stretch.is_over(now));
        let over = [(); 4].map(|()| {
            now = now + STEP;
            stretch.is_over(now)
        });
        assert_eq!(over, [false, true, false, true]);
    }

    #[test]
    fn a_stretch_of_work_begins_anew_after_a_rest() {
        let rests = Rests::new();
        let mut stretch = Stretch::new(rests.clone());
        let mut now = Moment(1);
        for _ in 0..10 {
            rest(&rests, 20_000);
            now = now + STEP;
            assert!(!stretch.is_over(now));
        }
    }

    #[test]
    fn a_look_that_finds_something_to_do_at_once_is_no_rest() {
        let rests = Rests::new();
        let mut stretch = Stretch::new(rests.clone());
        let mut now = Moment(1);
        rest(&rests, 20_000);
        assert!(!stretch.is_over(now));
        let over = [(); 2].map(|()| {
            rest(&rests, 1000);
            now = now + STEP;
            stretch.is_over(now)
        });
        assert_eq!(over, [false, true]);
    }

    #[test]
    fn some_have_much_and_some_little_only_if_they_differ_by_far() {
        let works = |costs: &[u64]| has_much_and_little(costs.iter().map(|cost| work(*cost)));
        assert!(works(&[1000, 3, 900]));
        assert!(!works(&[1000, 300, 900]));
        // Who says nothing waits for nobody.
        assert!(!works(&[1000, 0]));
        assert!(!works(&[]));
    }

    #[test]
    fn who_says_much_at_once_does_not_wait_for_an_answer_each_time() {
        let mut bursts = Work::default();
        bursts.add(3, 100);
        assert!(!has_much_and_little([work(1000), bursts].into_iter()));
        let mut turns = Work::default();
        turns.add(1, 100);
        turns.add(1, 100);
        assert!(has_much_and_little([work(1000), turns].into_iter()));
    }

    #[test]
    fn a_flood_waits_until_the_daemon_has_rested_and_not_for_ever() {
        let micros = Duration::from_micros;
        assert_eq!(still_left(micros(200), micros(50)), Some(micros(150)));
        assert_eq!(still_left(micros(300), micros(199)), Some(micros(50)));
        assert_eq!(still_left(micros(300), TURN), None);
        assert_eq!(still_left(TURN_MAX, Duration::ZERO), None);
    }

    /// What becomes of floods at each of these times, in ms, when two sessions have cost so much since the
    /// time before; the daemon never rests.
    fn modes<const N: usize>(may_wait: bool, looks: [(u64, [u64; 2]); N]) -> [bool; N] {
        let floods = Arc::new(Turnstile::new().unwrap());
        let mut courtesy = Courtesy::new(Rests::new(), floods);
        looks.map(|(ms, works)| {
            let mut works = works.map(work);
            courtesy.show(Moment(ms * 1_000_000), works.iter_mut(), || may_wait);
            matches!(courtesy.mode, Mode::Wait { .. })
        })
    }

    #[tokio::test]
    async fn floods_wait_for_a_while_once_one_was_seen_beside_somebody_with_little() {
        let uneven = [1000, 3];
        assert_eq!(
            modes(
                true,
                [
                    (11, uneven),
                    (1000, uneven),
                    (2012, uneven),
                    (2015, uneven),
                    (2023, uneven)
                ]
            ),
            [true, true, false, false, true]
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_those_who_have_as_much_to_say() {
        let even = [1000, 900];
        assert_eq!(modes(true, [(11, even), (22, even)]), [false, false]);
    }

    #[tokio::test]
    async fn what_has_gathered_in_a_long_time_makes_nobody_wait() {
        let uneven = [1000, 3];
        assert_eq!(modes(true, [(500, uneven), (512, uneven)]), [false, true]);
    }

    #[tokio::test]
    async fn nobody_waits_while_a_server_that_has_ended_is_heard_out() {
        assert_eq!(modes(false, [(11, [1000, 3])]), [false]);
    }
}
