//! Connections of which no request has passed the gate yet: few, and no others wait for any of them.
//!
//! Whoever comes is let in at once, and those make room for it who have been here for longest, whatever they have said:
//! who sends a head byte by byte stays no longer than who says nothing. A client that sends its head in one go has
//! passed long before it could be its turn.
//!
//! **Invariant:** there are never more of them than there may be, and for longer than a moment only a few.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task,
    time::{self, Instant},
};

/// How many there may be at once. Each has one descriptor, and with a head of 16 KiB some 45 kB of memory.
const STRANGERS_MAX: usize = 512;

/// Not more than this part of all connections, so that there are others.
const STRANGERS_SHARE: usize = 2;

/// How many of them may stay for longer than [`HOSPITALITY`].
const STAYING_MAX: usize = 32;

/// Time for a handshake and a head to come from far away.
const HOSPITALITY: Duration = Duration::from_secs(1);

/// What everybody has even if there are as many as there may be: a client of this machine may be short of time between
/// connecting and its first word. Somebody else waits for it only where more than five thousand come in a second.
const HOSPITALITY_MIN: Duration = Duration::from_millis(100);

/// All that there are.
#[derive(Debug)]
pub(super) struct Strangers {
    places: Arc<Semaphore>,
    here: Arc<Mutex<Here>>,
}

/// Those who are here and have not been told to go.
#[derive(Debug, Default)]
struct Here {
    /// In the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    last_id: u64,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Has it go.
    go: oneshot::Sender<()>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Stranger {
    go: oneshot::Receiver<()>,
    is_told: bool,
    acquaintance: Acquaintance,
}

/// Makes it one no longer.
#[derive(Clone, Debug)]
pub(super) struct Acquaintance {
    id: u64,
    here: Arc<Mutex<Here>>,
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Strangers {
    /// None yet, where there may be so many connections.
    pub(super) fn of(connections: usize) -> Self {
        let places = (connections / STRANGERS_SHARE).clamp(1, STRANGERS_MAX);
        Strangers {
            places: Arc::new(Semaphore::new(places)),
            here: Arc::default(),
        }
    }

    /// A place for the next, which may be that of the one who has been here for longest.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let oldest = lock(&self.here).oldest();
        let mut due = oldest.map_or_else(Instant::now, |since| since + HOSPITALITY_MIN);
        loop {
            tokio::select! {
                biased;
                // It is never closed.
                place = Arc::clone(&self.places).acquire_owned() => return place.ok(),
                () = time::sleep_until(due) => {
                    lock(&self.here).send_oldest_away();
                    // It takes a moment to go.
                    due = Instant::now() + HOSPITALITY_MIN;
                }
            }
        }
    }

    /// Has those go who have been here for long, if there are more than may stay.
    pub(super) fn thin_out(&self) {
        let mut here = lock(&self.here);
        let has_stayed = |waiting: &&Waiting| waiting.since.elapsed() >= HOSPITALITY;
        let staying = here.waiting.values().take_while(has_stayed).count();
        for _ in STAYING_MAX..staying {
            here.send_oldest_away();
        }
    }

    /// Somebody has come, and takes this place.
    pub(super) fn welcome(&self, place: Option<OwnedSemaphorePermit>) -> Stranger {
        let (go, has_to_go) = oneshot::channel();
        let since = Instant::now();
        let id = lock(&self.here).add(Waiting { since, go });
        Stranger {
            go: has_to_go,
            is_told: false,
            acquaintance: Acquaintance {
                id,
                here: Arc::clone(&self.here),
                place: Arc::new(Mutex::new(place)),
            },
        }
    }

    /// Somebody has come again whose request has passed before, or who takes a place that is free.
    pub(super) fn welcome_again(&self, has_passed: bool) -> Stranger {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let stranger = self.welcome(place.ok());
        if has_passed {
            stranger.acquaintance.is_made();
        }
        stranger
    }
}

impl Here {
    fn add(&mut self, waiting: Waiting) -> u64 {
        self.last_id += 1;
        self.waiting.insert(self.last_id, waiting);
        self.last_id
    }

    /// Since when that one has been here.
    fn oldest(&self) -> Option<Instant> {
        self.waiting.values().next().map(|waiting| waiting.since)
    }

    fn send_oldest_away(&mut self) {
        if let Some((_id, oldest)) = self.waiting.pop_first() {
            // It may have gone by itself.
            let _gone = oldest.go.send(());
        }
    }
}

impl Stranger {
    /// What to call when a request of it has passed.
    pub(super) fn acquaintance(&self) -> Acquaintance {
        self.acquaintance.clone()
    }

    /// Returns when it has to go for another, unless a request of it has passed by then: what has come of one by the
    /// time that it is told can be read before.
    pub(super) async fn has_to_go(&mut self) {
        if !self.is_told && (&mut self.go).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.is_told = true;
        // The system is asked what has come.
        task::yield_now().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.acquaintance.is_made();
    }
}

impl Acquaintance {
    /// It is known from now on, or has gone.
    pub(super) fn is_made(&self) {
        lock(&self.here).waiting.remove(&self.id);
        lock(&self.place).take();
    }
}

/// Nobody panics who holds one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(strangers: &Strangers) -> Stranger {
        let place = strangers.place().await;
        strangers.welcome(place)
    }

    async fn is_told_to_go(stranger: &mut Stranger) -> bool {
        let goes = time::timeout(Duration::from_mins(1), stranger.has_to_go());
        goes.await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_only_so_many_and_the_oldest_goes_for_the_next() {
        let strangers = Strangers::of(3 * STRANGERS_SHARE);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(next(&strangers).await);
        }
        let began = Instant::now();
        let mut oldest = all.remove(0);
        let (another, ()) = tokio::join!(next(&strangers), async {
            oldest.has_to_go().await;
            drop(oldest);
        });
        assert_eq!(began.elapsed(), HOSPITALITY_MIN);
        all.push(another);
        let mut second = all.remove(0);
        second.acquaintance().is_made();
        let began = Instant::now();
        all.push(next(&strangers).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(!is_told_to_go(&mut second).await, "it is known");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_others_and_few_stay() {
        let strangers = Strangers::of(STRANGERS_MAX * STRANGERS_SHARE);
        let began = Instant::now();
        let mut all = Vec::new();
        for _ in 0..STRANGERS_MAX {
            all.push(next(&strangers).await);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        strangers.thin_out();
        assert_eq!(lock(&strangers.here).waiting.len(), STRANGERS_MAX);
        time::advance(HOSPITALITY).await;
        strangers.thin_out();
        let stay = all.split_off(STRANGERS_MAX - STAYING_MAX);
        for stranger in &mut all {
            assert!(is_told_to_go(stranger).await);
            // It can be asked again.
            assert!(is_told_to_go(stranger).await);
        }
        for mut stranger in stay {
            assert!(!is_told_to_go(&mut stranger).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_have_just_come_are_none_who_stay() {
        let strangers = Strangers::of(STRANGERS_MAX * STRANGERS_SHARE);
        let mut from_far_away = next(&strangers).await;
        time::advance(HOSPITALITY).await;
        let mut quick = Vec::new();
        for _ in 0..2 * STAYING_MAX {
            quick.push(next(&strangers).await);
        }
        strangers.thin_out();
        assert!(!is_told_to_go(&mut from_far_away).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_again_and_is_known_is_no_stranger_even_where_there_is_no_place() {
        let strangers = Strangers::of(1);
        let _first = next(&strangers).await;
        let mut again = strangers.welcome_again(true);
        assert_eq!(lock(&strangers.here).waiting.len(), 1);
        assert!(!is_told_to_go(&mut again).await);
    }
}
