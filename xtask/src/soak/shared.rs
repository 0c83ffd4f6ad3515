//! What all clients of one soak have in common.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use super::{
    faults::Faults,
    record::{Record, Records},
};
use crate::canary;

/// One configured server, and what is done to it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// Whether its clients can be asked; all of them or none, because what they can do tells servers apart.
    pub(crate) asks: bool,
    /// The process that answered last.
    pub(crate) pid: AtomicU32,
    /// Crashes that clients may still cause by a call.
    pub(crate) crashes_due: AtomicU32,
    /// Crashes so far, those included that are on their way.
    pub(crate) crashes: AtomicU32,
    /// Whether some client has caused the news that all of its clients are to hear at the end.
    is_news_caused: AtomicBool,
}

impl Server {
    pub(crate) fn new(name: String, asks: bool) -> Server {
        Server {
            name,
            asks,
            pid: AtomicU32::new(0),
            crashes_due: AtomicU32::new(0),
            crashes: AtomicU32::new(0),
            is_news_caused: AtomicBool::new(false),
        }
    }

    /// Whether whoever asks is the one to cause the news; clients that have ended their last session
    /// already are not there for it.
    pub(crate) fn take_news(&self) -> bool {
        !self.is_news_caused.swap(true, Ordering::AcqRel)
    }

    /// Whether one client may crash it now.
    pub(crate) fn take_crash(&self) -> bool {
        let taken = self
            .crashes_due
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| {
                due.checked_sub(1)
            });
        if taken.is_ok() {
            self.crashes.fetch_add(1, Ordering::AcqRel);
        }
        taken.is_ok()
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.crashes.load(Ordering::Acquire) > 0
    }
}

/// How often each kind of message was seen by clients.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// Everything that clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) mcpool: PathBuf,
    pub(crate) soak_server: PathBuf,
    /// Where daemon and ledgers live.
    pub(crate) folder: PathBuf,
    pub(crate) servers: Vec<Server>,
    /// Messages that clients wrote or read.
    pub(crate) messages: AtomicU64,
    /// Set when nothing new shall begin.
    pub(crate) is_ending: AtomicBool,
    /// Where clients and whoever looks at the daemon wait for each other.
    pub(crate) barrier: Barrier,
    pub(crate) faults: Faults,
    pub(crate) counts: Mutex<Counts>,
    pub(crate) records: Mutex<Records>,
}

impl Shared {
    /// A client's command for a session on a server.
    pub(crate) fn connect(&self, server: &Server) -> Command {
        let mut command = self.verb("connect");
        command
            .args(["--name", &server.name, "--scope", "global", "--"])
            .arg(&self.soak_server)
            .arg(self.ledgers())
            // The command line tells servers apart, not what they are called.
            .arg(&server.name);
        command
    }

    /// A verb of mcpool for the daemon of this soak.
    pub(crate) fn verb(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.mcpool);
        command.arg(verb).env("MCPOOL_HOME", self.home());
        canary::put_into(&mut command);
        command
    }

    /// `MCPOOL_HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(crate) fn ledgers(&self) -> PathBuf {
        self.folder.join("ledgers")
    }

    /// How many messages clients have written or read, as a figure to reckon with.
    pub(crate) fn messages(&self) -> f64 {
        u32::try_from(self.messages.load(Ordering::Relaxed)).map_or(f64::INFINITY, f64::from)
    }

    /// Nothing new shall begin.
    pub(crate) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
    }

    pub(crate) fn meetings(&self) -> Meetings<'_> {
        Meetings {
            barrier: &self.barrier,
            left: Meetings::COUNT,
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Takes in what a session has seen, once it is over.
    pub(crate) fn hand_in(&self, session: (u16, u16), record: Record, counts: Counts) {
        let lock = |error| PoisonError::into_inner(error);
        self.records
            .lock()
            .unwrap_or_else(lock)
            .insert(session, record);
        let lock = |error| PoisonError::into_inner(error);
        let mut all = self.counts.lock().unwrap_or_else(lock);
        for (name, count) in counts {
            *all.entry(name).or_default() += count;
        }
    }
}

/// The moments at which all clients rest, so that somebody may look at the daemon: after a first while,
/// and at the end.
#[derive(Debug)]
pub(crate) struct Meetings<'a> {
    barrier: &'a Barrier,
    left: u32,
}

impl Meetings<'_> {
    /// Each moment begins when all have come, and ends when all say so.
    const COUNT: u32 = 4;

    /// Rests while somebody looks.
    pub(crate) fn rest(&mut self) {
        self.attend();
        self.attend();
    }

    /// Looks while the others rest.
    pub(crate) fn look<T>(&mut self, look: impl FnOnce() -> T) -> T {
        self.attend();
        let seen = look();
        self.attend();
        seen
    }

    /// Lets the others come and go.
    pub(crate) fn attend_the_rest(&mut self) {
        while self.left > 0 {
            self.attend();
        }
    }

    fn attend(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            self.barrier.wait();
        }
    }
}
