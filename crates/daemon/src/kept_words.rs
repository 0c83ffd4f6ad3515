//! What servers said of themselves at their last start, on disk between one daemon and the next.
//!
//! A thread of its own reads and writes: a slow or full disk must not stop the hub. What it has not
//! found in time is not there, and what it cannot write is not kept.
//!
//! **Invariant:** on disk nothing can be read of a share key: files are named by it under a key of this
//! installation. What does not carry the sum of that key is set aside and never believed.

mod clock;
mod file;
mod folder;
mod identity;

use std::{
    collections::BTreeMap,
    io, mem,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use mux::{Class, Era, Finding, KeptWords, Program, Route};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time};

use crate::{launch::LaunchSpec, tasks};
pub(crate) use clock::wall_clock;
pub(crate) use file::{array_from_hex, from_hex, hex};
use folder::Folder;

/// Orders that may wait for the disk; more are not carried out.
const WAITING_MAX: usize = 256;

/// How long a session waits at most for what was kept. What is not optimised is slow, and runs where much else does.
const PATIENCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 250 });

/// How long words are gathered before they are written: a server that has just started says one list
/// after the other, and some change theirs without end.
const GATHERING: Duration = Duration::from_millis(500);

/// Enough for names of files and the reading of JSON.
const STACK_BYTES: usize = 256 << 10;

/// How long words are good of what only starts another program: nobody sees that one change.
const LAUNCHED_LIFE: Duration = Duration::from_hours(24);

/// Whose words are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// The share key, but for the class and the era.
    pub(crate) route: Route,
    /// The only class that its sessions can have, if there is only one.
    pub(crate) class: Option<Class>,
    pub(crate) life: Life,
    /// What is started.
    pub(crate) spec: Arc<LaunchSpec>,
}

/// How a server was spoken to.
pub(crate) type Way = (Class, Era);

/// How long words are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// As long as the program and its files are the same.
    OfItsFiles,
    /// No longer than a day besides.
    OfADay,
}

impl Life {
    fn longest(self) -> Option<Duration> {
        match self {
            Life::OfItsFiles => None,
            Life::OfADay => Some(LAUNCHED_LIFE),
        }
    }
}

/// What is started with this now; `None` if there is no such program. Whoever asks waits for its disk.
pub(crate) fn program(spec: &LaunchSpec) -> Option<Program> {
    identity::Identity::of(spec).map(|identity| identity.program())
}

/// A way to what is kept.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    sender: SyncSender<Order>,
}

/// The thread behind all [`Keeper`]s.
#[derive(Debug)]
pub(crate) struct KeeperThread {
    handle: JoinHandle<()>,
}

/// What is on its way to a session.
#[derive(Debug)]
pub(crate) struct Recalling<T = Vec<Arc<KeptWords>>>(oneshot::Receiver<T>);

enum Order {
    Recall {
        subject: Arc<Subject>,
        reply: oneshot::Sender<Vec<Arc<KeptWords>>>,
    },
    /// What was found of the server at an address.
    RecallFinding {
        url: Box<str>,
        reply: oneshot::Sender<Option<Finding>>,
    },
    KeepFinding {
        url: Box<str>,
        /// The era in which it does not speak; `None` if nothing is to be kept any longer.
        refused: Option<Era>,
    },
    Keep {
        subject: Arc<Subject>,
        way: Way,
        /// `None` if nothing is to be kept any longer.
        words: Option<Arc<KeptWords>>,
        /// When the process was started that has said so.
        started: SystemTime,
    },
    End,
}

impl Keeper {
    /// Starts the thread that keeps words in `folder`, which is made when it is needed.
    pub(crate) fn start(folder: PathBuf) -> io::Result<(Keeper, KeeperThread)> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let folder = Folder::new(folder);
        let handle = tasks::thread("mcpool-words", STACK_BYTES, move || run(folder, &receiver))?;
        Ok((Keeper { sender }, KeeperThread { handle }))
    }

    /// Has it looked up what is kept of a subject, unless there is too much to do for that.
    pub(crate) fn recall(&self, subject: &Arc<Subject>) -> Option<Recalling> {
        let (reply, words) = oneshot::channel();
        let subject = Arc::clone(subject);
        let order = Order::Recall { subject, reply };
        self.sender.try_send(order).ok()?;
        Some(Recalling(words))
    }

    /// Has it looked up what was found of the server at an address, unless there is too much to do for that.
    pub(crate) fn recall_finding(&self, url: &str) -> Option<Recalling<Option<Finding>>> {
        let (reply, finding) = oneshot::channel();
        let url = url.into();
        let order = Order::RecallFinding { url, reply };
        self.sender.try_send(order).ok()?;
        Some(Recalling(finding))
    }

    /// Has it kept what was found of the server at an address, in place of what was before.
    pub(crate) fn keep_finding(&self, url: &str, refused: Option<Era>) {
        let url = url.into();
        // What is not kept now is found again.
        let _full = self.sender.try_send(Order::KeepFinding { url, refused });
    }

    /// Has words kept in place of those before.
    pub(crate) fn keep(
        &self,
        subject: &Arc<Subject>,
        way: Way,
        words: Option<Arc<KeptWords>>,
        started: SystemTime,
    ) {
        let subject = Arc::clone(subject);
        // What is not kept now is kept the next time.
        let _full = self.sender.try_send(Order::Keep {
            subject,
            way,
            words,
            started,
        });
    }

    /// Ends the thread once everything that waits is done.
    pub(crate) fn finish(&self, thread: KeeperThread) {
        // One that has ended by a panic has been reported.
        if self.sender.send(Order::End).is_ok() {
            let _panicked = thread.handle.join();
        }
    }
}

impl<T: Default> Recalling<T> {
    /// What is kept, if it is found in time.
    pub(crate) async fn found(self) -> T {
        match time::timeout(PATIENCE, self.0).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => T::default(),
        }
    }
}

/// What is to be written, by share key: the last of it, and when.
#[derive(Debug, Default)]
struct Pending(BTreeMap<(Route, Way), Keeping>);

#[derive(Debug)]
struct Keeping {
    subject: Arc<Subject>,
    words: Option<Arc<KeptWords>>,
    started: SystemTime,
    due: Instant,
}

impl Pending {
    /// How long nothing has to be written; `None` is for ever.
    fn wait(&self) -> Option<Duration> {
        let due = self.0.values().map(|keeping| keeping.due).min();
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    fn put(&mut self, way: Way, keeping: Keeping) {
        let key = (keeping.subject.route.clone(), way);
        let due = self.0.get(&key).map_or(keeping.due, |before| before.due);
        self.0.insert(key, Keeping { due, ..keeping });
    }

    fn write(&mut self, folder: &mut Folder) {
        for ((_, way), keeping) in mem::take(&mut self.0) {
            let Keeping {
                subject,
                words,
                started,
                ..
            } = keeping;
            folder.keep(&subject, way, words.as_deref(), started);
        }
    }
}

fn run(mut folder: Folder, orders: &Receiver<Order>) {
    let mut pending = Pending::default();
    loop {
        let order = match pending.wait() {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => orders.recv_timeout(wait),
        };
        match order {
            Ok(Order::Keep {
                subject,
                way,
                words,
                started,
            }) => pending.put(
                way,
                Keeping {
                    subject,
                    words,
                    started,
                    due: Instant::now() + GATHERING,
                },
            ),
            Ok(Order::Recall { subject, reply }) => {
                pending.write(&mut folder);
                let words = folder.recall(&subject, wall_clock());
                // The session may have gone, or lost its patience.
                let _gone = reply.send(words.into_iter().map(Arc::new).collect());
            }
            Ok(Order::RecallFinding { url, reply }) => {
                // The session may have gone, or lost its patience.
                let _gone = reply.send(folder.finding(&url, wall_clock()));
            }
            Ok(Order::KeepFinding { url, refused }) => folder.keep_finding(&url, refused),
            Err(RecvTimeoutError::Timeout) => pending.write(&mut folder),
            Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => {
                return pending.write(&mut folder);
            }
        }
    }
}
