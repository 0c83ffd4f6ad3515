//! Looks at workspaces that clients over HTTP name: their file system may be one that does not answer, and nobody
//! but they waits for it.
//!
//! **Invariant:** so many threads look at most, for however long that lasts; who comes then is sent away in time.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, time};

use crate::{front::HttpFault, tasks};

/// Threads that may look at once.
const THREADS_MAX: usize = 8;

/// How long somebody waits for a look.
const PATIENCE: Duration = Duration::from_secs(5);

/// All looks that are under way.
#[derive(Debug)]
pub(super) struct Looks {
    threads: Arc<Semaphore>,
    under_way: Arc<()>,
}

/// One of them. As long as it is held, it is under way.
#[derive(Debug)]
pub(super) struct Look {
    path: PathBuf,
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
            under_way: Arc::default(),
        }
    }
}

impl Looks {
    pub(super) fn begin(&self, path: &Path) -> Look {
        Look {
            path: path.to_owned(),
            threads: Arc::clone(&self.threads),
            _under_way: Arc::clone(&self.under_way),
        }
    }

    pub(super) fn are_over(&self) -> bool {
        Arc::strong_count(&self.under_way) == 1
    }
}

impl Look {
    /// The only absolute path of the folder; or the path as it is, if that is none. Whoever uses it says why.
    pub(super) async fn found(self) -> Result<(PathBuf, Look), Late> {
        self.found_by(Path::canonicalize).await
    }

    async fn found_by(
        self,
        look: impl FnOnce(&Path) -> io::Result<PathBuf> + Send + 'static,
    ) -> Result<(PathBuf, Look), Late> {
        let found = time::timeout(PATIENCE, self.looked(look)).await;
        match found {
            Ok(Some(found)) => Ok((found, self)),
            Ok(None) | Err(_) => Err(Late(self.path)),
        }
    }

    async fn looked(
        &self,
        look: impl FnOnce(&Path) -> io::Result<PathBuf> + Send + 'static,
    ) -> Option<PathBuf> {
        let thread = Arc::clone(&self.threads).acquire_owned().await.ok()?;
        let path = self.path.clone();
        let looked = tasks::aside(move || {
            let found = look(&path).unwrap_or(path);
            drop(thread);
            found
        });
        looked.await.ok()
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

    #[tokio::test]
    async fn a_path_is_followed_to_where_it_leads_and_one_to_nowhere_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let link = real.join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let looks = Looks::default();
        let (found, look) = looks.begin(&link).found().await.unwrap();
        assert_eq!(found, real);
        assert!(!looks.are_over());
        drop(look);
        assert!(looks.are_over());
        let nowhere = real.join("nowhere");
        assert_eq!(looks.begin(&nowhere).found().await.unwrap().0, nowhere);
    }

    #[tokio::test(start_paused = true)]
    async fn who_names_what_does_not_answer_is_sent_away_and_so_is_who_comes_when_all_look() {
        let looks = Looks::default();
        let answers = Arc::new((Mutex::new(false), Condvar::new()));
        let hangs = |answers: &Arc<(Mutex<bool>, Condvar)>| {
            let answers = Arc::clone(answers);
            move |path: &Path| {
                let (does, is_heard) = &*answers;
                let mut does = does.lock().unwrap_or_else(PoisonError::into_inner);
                while !*does {
                    does = is_heard.wait(does).unwrap_or_else(PoisonError::into_inner);
                }
                Ok(path.to_owned())
            }
        };
        let dead = Path::new("/mount/dead");
        for _ in 0..=THREADS_MAX {
            let late = looks.begin(dead).found_by(hangs(&answers)).await;
            assert_eq!(late.unwrap_err(), Late(dead.to_owned()));
        }
        assert!(looks.are_over(), "nobody waits for them");
        let late = HttpFault::from(Late(dead.to_owned()));
        assert!(late.to_string().contains("/mount/dead"), "{late}");
        *answers.0.lock().unwrap() = true;
        answers.1.notify_all();
        time::resume();
        let (found, _look) = looks.begin(dead).found().await.unwrap();
        assert_eq!(found, dead);
    }
}
