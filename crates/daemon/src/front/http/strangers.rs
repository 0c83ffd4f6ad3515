//! Connections of which no request has passed the gate yet: few, and none for long when others wait.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{self, Instant},
};

/// How many there may be.
const STRANGERS_MAX: usize = 32;

/// After this time one has to go for the next, if there are as many as there may be.
const HOSPITALITY: Duration = Duration::from_secs(1);

/// All that there are.
#[derive(Debug)]
pub(super) struct Strangers {
    places: Arc<Semaphore>,
    /// In the order in which they came: since when, and what has one go.
    known: Arc<Mutex<VecDeque<Waiting>>>,
    last_id: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    since: Instant,
    go: oneshot::Sender<()>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Stranger {
    go: oneshot::Receiver<()>,
    acquaintance: Acquaintance,
}

/// Makes it one no longer.
#[derive(Clone, Debug)]
pub(super) struct Acquaintance {
    id: u64,
    known: Arc<Mutex<VecDeque<Waiting>>>,
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Default for Strangers {
    fn default() -> Self {
        Strangers {
            places: Arc::new(Semaphore::new(STRANGERS_MAX)),
            known: Arc::default(),
            last_id: AtomicU64::new(0),
        }
    }
}

impl Strangers {
    /// A place for the next, which may be that of one who has been here for long.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let mut due = self.oldest().map(|since| since + HOSPITALITY);
        loop {
            tokio::select! {
                biased;
                // It is never closed.
                place = Arc::clone(&self.places).acquire_owned() => return place.ok(),
                () = time::sleep_until(due.unwrap_or_else(Instant::now)) => {
                    self.send_oldest_away();
                    // It takes a moment to go.
                    due = Some(Instant::now() + HOSPITALITY);
                }
            }
        }
    }

    /// Somebody has come, and takes this place.
    pub(super) fn welcome(&self, place: Option<OwnedSemaphorePermit>) -> Stranger {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        let (go, has_to_go) = oneshot::channel();
        let since = Instant::now();
        lock(&self.known).push_back(Waiting { id, since, go });
        Stranger {
            go: has_to_go,
            acquaintance: Acquaintance {
                id,
                known: Arc::clone(&self.known),
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

    fn oldest(&self) -> Option<Instant> {
        lock(&self.known).front().map(|waiting| waiting.since)
    }

    fn send_oldest_away(&self) {
        let oldest = lock(&self.known).pop_front();
        if let Some(oldest) = oldest {
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

    /// Returns when it has to go for another, which it never has once it is known.
    pub(super) async fn has_to_go(&mut self) {
        if (&mut self.go).await.is_err() {
            std::future::pending::<()>().await;
        }
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
        if lock(&self.place).take().is_some() {
            lock(&self.known).retain(|waiting| waiting.id != self.id);
        }
    }
}

/// Nobody panics who holds one.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(strangers: &Strangers) -> Stranger {
        let place = strangers.place().await;
        strangers.welcome(place)
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_only_so_many_and_the_oldest_goes_when_it_has_been_here_for_long() {
        let strangers = Strangers::default();
        let mut all = Vec::new();
        for _ in 0..STRANGERS_MAX {
            all.push(next(&strangers).await);
        }
        let began = Instant::now();
        let mut oldest = all.remove(0);
        let (another, ()) = tokio::join!(next(&strangers), async {
            oldest.has_to_go().await;
            drop(oldest);
        });
        assert!(began.elapsed() >= HOSPITALITY);
        all.push(another);
        let mut second = all.remove(0);
        second.acquaintance().is_made();
        let began = Instant::now();
        all.push(next(&strangers).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let stays = time::timeout(Duration::from_mins(1), second.has_to_go());
        assert!(stays.await.is_err(), "who is known need not go");
    }
}
