//! Looks at folders and files that sessions name: their file system may be one that does not answer, and nobody but
//! they waits for it.
//!
//! **Invariant:** so many threads look at most, for however long that lasts, and so few at one folder that others can
//! be looked at, too; who comes then is sent away in time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::Semaphore, time};

use crate::{front::HttpFault, tasks};

/// Threads that may look at once, with those that nobody waits for any more.
const THREADS_MAX: usize = 64;

/// The same for whoever works in one folder.
const FOLDER_THREADS_MAX: usize = 8;

/// How long somebody waits for a look.
const PATIENCE: Duration = Duration::from_secs(5);

/// All looks that are under way.
#[derive(Debug)]
pub(super) struct Looks {
    threads: Arc<Semaphore>,
    /// Of folders that are looked at now.
    folders: BTreeMap<PathBuf, Weak<Semaphore>>,
    under_way: Arc<()>,
}

/// One of them. As long as it is held, it is under way.
#[derive(Debug)]
pub(super) struct Look {
    folder: PathBuf,
    folder_threads: Arc<Semaphore>,
    threads: Arc<Semaphore>,
    _under_way: Arc<()>,
}

/// It is not known in time what there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late(PathBuf);

impl Default for Looks {
    fn default() -> Self {
        Looks {
            threads: Arc::new(Semaphore::new(THREADS_MAX)),
            folders: BTreeMap::new(),
            under_way: Arc::default(),
        }
    }
}

impl Looks {
    /// One on behalf of somebody who works in this folder.
    pub(super) fn begin(&mut self, folder: &Path) -> Look {
        self.folders.retain(|_, threads| threads.strong_count() > 0);
        let known = self.folders.get(folder).and_then(Weak::upgrade);
        let folder_threads = known.unwrap_or_else(|| {
            let threads = Arc::new(Semaphore::new(FOLDER_THREADS_MAX));
            let weak = Arc::downgrade(&threads);
            self.folders.insert(folder.to_owned(), weak);
            threads
        });
        Look {
            folder: folder.to_owned(),
            folder_threads,
            threads: Arc::clone(&self.threads),
            _under_way: Arc::clone(&self.under_way),
        }
    }

    pub(super) fn are_over(&self) -> bool {
        Arc::strong_count(&self.under_way) == 1
    }
}

impl Look {
    /// What there is to be seen; `None` if that is not known in time.
    pub(super) async fn seen<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let seen = time::timeout(PATIENCE, async {
            let here = Arc::clone(&self.folder_threads)
                .acquire_owned()
                .await
                .ok()?;
            let thread = Arc::clone(&self.threads).acquire_owned().await.ok()?;
            let looked = tasks::aside(move || {
                let seen = look();
                drop((here, thread));
                seen
            });
            looked.await.ok()
        });
        seen.await.ok().flatten()
    }

    /// The only absolute path of the folder; or the path as it is, if that is none. Whoever uses it says why.
    pub(super) async fn found(self) -> Result<(PathBuf, Look), Late> {
        let named = self.folder.clone();
        let found = self.seen(move || Path::canonicalize(&named).unwrap_or(named));
        match found.await {
            Some(found) => Ok((found, self)),
            None => Err(Late(self.folder)),
        }
    }
}

impl From<Late> for HttpFault {
    fn from(Late(path): Late) -> Self {
        HttpFault::NotNow {
            why: format!("nothing is heard of the workspace {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex, PoisonError};

    use super::*;

    /// What does not answer until it is told to.
    #[derive(Clone, Default)]
    struct Dead(Arc<(Mutex<bool>, Condvar)>);

    impl Dead {
        fn look(&self) -> impl FnOnce() -> &'static str + Send + 'static {
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
        let mut looks = Looks::default();
        let (found, look) = looks.begin(&link).found().await.unwrap();
        assert_eq!(found, real);
        assert!(!looks.are_over());
        drop(look);
        assert!(looks.are_over());
        let nowhere = real.join("nowhere");
        assert_eq!(looks.begin(&nowhere).found().await.unwrap().0, nowhere);
        assert_eq!(looks.folders.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_works_in_what_does_not_answer_is_sent_away_and_others_are_not() {
        let (mut looks, dead) = (Looks::default(), Dead::default());
        let folder = Path::new("/mount/dead");
        for _ in 0..=FOLDER_THREADS_MAX {
            assert_eq!(looks.begin(folder).seen(dead.look()).await, None);
        }
        assert!(looks.are_over(), "nobody waits for them");
        time::resume();
        let other = looks.begin(Path::new("/other"));
        assert_eq!(other.seen(|| "seen").await, Some("seen"));
        dead.answer();
        let back = looks.begin(folder).seen(dead.look()).await;
        assert_eq!(back, Some("there"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_all_threads_look_at_what_is_dead_is_sent_away_too() {
        let (mut looks, dead) = (Looks::default(), Dead::default());
        let folder = |number: usize| PathBuf::from(format!("/mount/dead-{number}"));
        for number in 0..THREADS_MAX {
            let look = looks.begin(&folder(number));
            assert_eq!(look.seen(dead.look()).await, None);
        }
        let late = looks.begin(&folder(0)).found().await.unwrap_err();
        assert_eq!(late, Late(folder(0)));
        let fault = HttpFault::from(late);
        assert!(fault.to_string().contains("/mount/dead-0"), "{fault}");
        dead.answer();
        time::resume();
        let back = looks.begin(&folder(1)).seen(dead.look()).await;
        assert_eq!(back, Some("there"));
    }
}
