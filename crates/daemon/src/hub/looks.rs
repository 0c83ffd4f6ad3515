//! Looks at folders and files that sessions name, or that belong to their servers: their file system may be one that
//! does not answer, and nobody but they waits for it.
//!
//! **Invariant:** so many threads look at most, for however long that lasts, and so few on behalf of one server, at one
//! folder and for both together that others can be looked at, too; who comes then is sent away in time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{self, Instant},
};

use crate::{
    front::{Found, HttpFault},
    tasks,
};

/// Threads that may look at once, with those that nobody waits for any more.
const THREADS_MAX: usize = 64;

/// The same for all that is looked at on behalf of one server, and for all that is in one folder.
const SIDE_THREADS_MAX: usize = THREADS_MAX / 2;

/// The same for one server in one folder.
const SPOT_THREADS_MAX: usize = 8;

/// How long somebody waits for looks, for all of them together. A session that is turned away has no second look; and
/// what this takes is missing from the time that is left for its server to start in.
const PATIENCE: Duration = Duration::from_secs(20);

/// All looks that are under way.
#[derive(Debug)]
pub(super) struct Looks {
    threads: Arc<Semaphore>,
    /// Of what is looked at now.
    spots: BTreeMap<Spot, Weak<Semaphore>>,
    /// Set while nobody is to wait.
    hurry: watch::Sender<Option<HttpFault>>,
    under_way: Arc<()>,
    patience: Duration,
}

/// What a look may get stuck at: something that belongs to a server, something in a folder, or something of both.
type Spot = (Option<Box<str>>, Option<PathBuf>);

/// One of them. As long as it is held, it is under way.
#[derive(Debug)]
pub(super) struct Look {
    folder: PathBuf,
    /// Since when somebody waits.
    since: Instant,
    patience: Duration,
    /// Of which it needs a place each, in the order in which it takes them.
    places: Vec<Arc<Semaphore>>,
    hurry: watch::Receiver<Option<HttpFault>>,
    _under_way: Arc<()>,
}

/// Why it is not known what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unseen {
    /// Nothing was heard in time.
    Late,
    /// Whoever looks has panicked.
    Panicked,
    /// Nobody is to wait for it, and this is why.
    TurnedAway(HttpFault),
}

impl Looks {
    /// Looks on behalf of sessions that have so much patience for all that it takes to serve them.
    pub(super) fn new(start_patience: Duration) -> Self {
        Looks {
            patience: PATIENCE.min(start_patience),
            threads: Arc::new(Semaphore::new(THREADS_MAX)),
            spots: BTreeMap::new(),
            hurry: watch::Sender::default(),
            under_way: Arc::default(),
        }
    }

    /// One on behalf of somebody who works in this folder and waits since then, at what belongs to this server as well
    /// if there is one.
    pub(super) fn begin(&mut self, server: Option<&str>, folder: &Path, since: Instant) -> Look {
        self.spots.retain(|_, places| places.strong_count() > 0);
        // No server is called nothing.
        let of_server: Option<Box<str>> = Some(server.unwrap_or_default().into());
        let in_folder = Some(folder.to_owned());
        let both = (of_server.clone(), in_folder.clone());
        let mut places = vec![self.places(both, SPOT_THREADS_MAX)];
        if server.is_some() {
            places.push(self.places((of_server, None), SIDE_THREADS_MAX));
        }
        places.push(self.places((None, in_folder), SIDE_THREADS_MAX));
        places.push(Arc::clone(&self.threads));
        Look {
            folder: folder.to_owned(),
            since,
            patience: self.patience,
            places,
            hurry: self.hurry.subscribe(),
            _under_way: Arc::clone(&self.under_way),
        }
    }

    fn places(&mut self, spot: Spot, most: usize) -> Arc<Semaphore> {
        let known = self.spots.get(&spot).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let places = Arc::new(Semaphore::new(most));
            self.spots.insert(spot, Arc::downgrade(&places));
            places
        })
    }

    pub(super) fn are_over(&self) -> bool {
        Arc::strong_count(&self.under_way) == 1
    }

    /// Nobody waits any longer, for this reason, whether it looks already or is yet to begin.
    pub(super) fn turn_away(&self, why: HttpFault) {
        self.hurry.send_replace(Some(why));
    }

    /// Whether nobody may wait now.
    pub(super) fn are_turned_away(&self) -> bool {
        self.hurry.borrow().is_some()
    }

    /// Whoever wants to may wait again.
    pub(super) fn turn_nobody_away(&self) {
        self.hurry.send_replace(None);
    }
}

impl Look {
    /// What there is to be seen. It is looked at again only where there was no thread to look.
    pub(super) async fn seen<T: Send + 'static>(
        &self,
        look: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Unseen> {
        let mut hurry = self.hurry.clone();
        tokio::select! {
            biased;
            why = hurry.wait_for(Option::is_some) => {
                // An error is that the hub has gone.
                let why = why.ok().and_then(|why| why.clone());
                Err(Unseen::TurnedAway(why.unwrap_or(HttpFault::Ending)))
            }
            seen = time::timeout_at(self.since + self.patience, self.looked(look)) => {
                seen.unwrap_or(Err(Unseen::Late))
            }
        }
    }

    async fn looked<T: Send + 'static>(
        &self,
        look: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Unseen> {
        let mut held: Vec<OwnedSemaphorePermit> = Vec::new();
        for places in &self.places {
            // None of them is ever closed.
            let place = Arc::clone(places).acquire_owned().await;
            held.extend(place.ok());
        }
        let looked = tasks::aside_or_here(move || {
            let _until_it_is_over = &held;
            look()
        });
        looked.await.ok_or(Unseen::Panicked)
    }

    /// The only absolute path of the folder; or the path as it is, if that is none. Whoever uses it says why.
    pub(super) async fn found(self) -> Result<(Found, Look), HttpFault> {
        let named = self.folder.clone();
        let found = self.seen(move || Path::canonicalize(&named).unwrap_or_else(|_| named.clone()));
        let path = self.folder.display();
        let why = match found.await {
            Ok(path) => {
                let since = self.since;
                return Ok((Found { path, since }, self));
            }
            Err(Unseen::TurnedAway(fault)) => return Err(fault),
            Err(Unseen::Late) => format!("nothing is heard of the workspace {path}"),
            Err(Unseen::Panicked) => format!("looking at the workspace {path} has failed"),
        };
        Err(HttpFault::NotNow { why })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex, PoisonError};

    use super::*;

    fn looks() -> Looks {
        Looks::new(Duration::from_secs(25))
    }

    /// What does not answer until it is told to.
    #[derive(Clone, Default)]
    struct Dead(Arc<(Mutex<bool>, Condvar)>);

    impl Dead {
        fn look(&self) -> impl Fn() -> &'static str + Send + Sync + 'static {
            let it = Arc::clone(&self.0);
            move || {
                let (answers, is_heard) = &*it;
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                while !*answers {
                    answers = is_heard
                        .wait(answers)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                "there"
            }
        }

        fn answer(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_all();
        }
    }

    #[tokio::test]
    async fn a_path_is_followed_to_where_it_leads_and_one_to_nowhere_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let link = real.join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut looks = looks();
        let (found, look) = looks
            .begin(None, &link, Instant::now())
            .found()
            .await
            .unwrap();
        assert_eq!(found.path, real);
        assert!(!looks.are_over());
        drop(look);
        assert!(looks.are_over());
        let nowhere = real.join("nowhere");
        assert_eq!(
            looks
                .begin(None, &nowhere, Instant::now())
                .found()
                .await
                .unwrap()
                .0
                .path,
            nowhere
        );
        assert_eq!(looks.spots.len(), 2, "those of one folder");
    }

    /// Somebody who looks on behalf of a server in a folder, in vain.
    async fn in_vain(looks: &mut Looks, server: &str, folder: &str, dead: &Dead) {
        let look = looks.begin(Some(server), Path::new(folder), Instant::now());
        assert_eq!(
            look.seen(dead.look()).await,
            Err(Unseen::Late),
            "{server} {folder}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_works_in_what_does_not_answer_is_sent_away_and_others_are_not() {
        let (mut looks, dead) = (looks(), Dead::default());
        for _ in 0..=SPOT_THREADS_MAX {
            in_vain(&mut looks, "echo", "/mount/dead", &dead).await;
        }
        assert!(looks.are_over(), "nobody waits for them");
        time::resume();
        // The same server elsewhere, and another one there.
        for (server, folder) in [("echo", "/other"), ("fake", "/mount/dead")] {
            let other = looks.begin(Some(server), Path::new(folder), Instant::now());
            assert_eq!(other.seen(|| "seen").await, Ok("seen"));
        }
        dead.answer();
        let back = looks.begin(Some("echo"), Path::new("/mount/dead"), Instant::now());
        assert_eq!(back.seen(dead.look()).await, Ok("there"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_file_does_not_answer_leaves_room_for_others_in_any_folder() {
        let (mut looks, dead) = (looks(), Dead::default());
        for number in 0..=SIDE_THREADS_MAX {
            in_vain(&mut looks, "dead", &format!("/project-{number}"), &dead).await;
        }
        for _ in 0..=SPOT_THREADS_MAX {
            in_vain(&mut looks, "dead", "/", &dead).await;
        }
        time::resume();
        let other = looks.begin(Some("echo"), Path::new("/"), Instant::now());
        assert_eq!(other.seen(|| "seen").await, Ok("seen"));
        dead.answer();
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_all_threads_look_at_what_is_dead_is_sent_away_too() {
        let (mut looks, dead) = (looks(), Dead::default());
        for number in 0..THREADS_MAX {
            let (server, folder) = (format!("s{number}"), format!("/mount/dead-{number}"));
            in_vain(&mut looks, &server, &folder, &dead).await;
        }
        let late = looks
            .begin(None, Path::new("/mount/dead-0"), Instant::now())
            .found()
            .await;
        let fault = late.unwrap_err();
        assert!(fault.to_string().contains("/mount/dead-0"), "{fault}");
        dead.answer();
        time::resume();
        let back = looks.begin(Some("s1"), Path::new("/mount/dead-1"), Instant::now());
        assert_eq!(back.seen(dead.look()).await, Ok("there"));
    }

    #[tokio::test]
    async fn who_is_turned_away_waits_no_longer_until_one_may_again() {
        let (mut looks, dead) = (looks(), Dead::default());
        let folder = Path::new("/mount/dead");
        let before = looks.begin(Some("echo"), folder, Instant::now());
        let waiting = tokio::join!(before.seen(dead.look()), async {
            looks.turn_away(HttpFault::Ending);
        });
        let turned_away = Err(Unseen::TurnedAway(HttpFault::Ending));
        assert_eq!(waiting.0, turned_away);
        let meanwhile = looks.begin(Some("echo"), folder, Instant::now());
        assert_eq!(meanwhile.seen(dead.look()).await, turned_away);
        looks.turn_nobody_away();
        dead.answer();
        assert_eq!(meanwhile.seen(dead.look()).await, Ok("there"));
    }

    #[tokio::test]
    async fn a_look_that_panics_is_not_taken_for_one_that_lasts() {
        let mut looks = looks();
        let look = looks.begin(None, Path::new("/"), Instant::now());
        let seen: Result<(), Unseen> = look.seen(|| panic!("on purpose")).await;
        assert_eq!(seen, Err(Unseen::Panicked));
    }

    #[tokio::test(start_paused = true)]
    async fn several_looks_one_after_the_other_take_no_longer_than_one() {
        let (mut looks, dead, began) = (looks(), Dead::default(), Instant::now());
        let later = began + Duration::from_secs(15);
        time::sleep_until(later).await;
        let second = looks.begin(Some("echo"), Path::new("/"), began);
        assert_eq!(second.seen(dead.look()).await, Err(Unseen::Late));
        assert_eq!(began.elapsed(), PATIENCE);
        let mut hasty = Looks::new(Duration::from_secs(3));
        let third = hasty.begin(None, Path::new("/"), Instant::now());
        assert_eq!(third.seen(dead.look()).await, Err(Unseen::Late));
        assert_eq!(began.elapsed(), PATIENCE + Duration::from_secs(3));
        dead.answer();
    }
}
