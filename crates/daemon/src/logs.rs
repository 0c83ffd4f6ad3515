//! Log files, written by a thread of their own: a slow or full disk must not stop the hub.
//!
//! **Invariant:** whoever writes here never waits. What the thread cannot keep up with is dropped
//! and counted, and the count stands in the log.

mod clean;
mod drain;
mod folder;
mod losses;
mod rotation;
mod server;
mod veil;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use folder::Folder;
use rotation::{Rotated, lines_in};

use crate::tasks;

pub(crate) use drain::drain_errors;
pub(crate) use losses::{Losses, Lost};
pub(crate) use server::{NOISE_BYTES, ServerLog};
pub(crate) use veil::Veil;

/// Texts that may wait for the disk.
const WAITING_MAX: usize = 256;

/// How long the last words may keep everybody waiting.
const CATCH_UP_PATIENCE: Duration = Duration::from_millis(20);

/// Enough for file names and formatting.
const STACK_BYTES: usize = 128 << 10;

/// The name of the daemon's own log, which no server's log may take.
const OWN: &str = "daemon";

/// A way to the log files.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    sender: SyncSender<Note>,
    losses: Arc<Losses>,
}

/// The thread behind all [`Logs`].
#[derive(Debug)]
pub(crate) struct LogThread {
    handle: JoinHandle<()>,
}

enum Note {
    Text {
        file: Arc<str>,
        text: Vec<u8>,
    },
    /// The last process of a server is gone: its file need not stay open.
    Close {
        file: Arc<str>,
    },
    /// Whoever waits for all that came before is to be told.
    Reached(SyncSender<()>),
    End,
}

impl Logs {
    /// Starts the thread that writes to `folder`.
    pub(crate) fn start(folder: PathBuf) -> io::Result<(Logs, LogThread)> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let losses = Arc::<Losses>::default();
        let writer = Writer {
            room: Folder::new(&folder, folder::CAP, OWN),
            folder,
            files: BTreeMap::new(),
            losses: Arc::clone(&losses),
        };
        let handle = tasks::thread("mcpool-logs", STACK_BYTES, move || writer.run(&receiver))?;
        Ok((Logs { sender, losses }, LogThread { handle }))
    }

    /// Appends whole lines to the log `file` (a name without folder and ending).
    pub(crate) fn append(&self, file: &Arc<str>, text: Vec<u8>) {
        let file = Arc::clone(file);
        if let Err(TrySendError::Full(Note::Text { text, .. })) =
            self.sender.try_send(Note::Text { file, text })
        {
            self.losses.too_slow(lines_in(&text));
        }
    }

    /// What the logs lack, for `status`.
    pub(crate) fn lost(&self) -> Lost {
        self.losses.so_far()
    }

    /// Lets go of a file until it is needed again.
    pub(crate) fn close(&self, file: &Arc<str>) {
        let file = Arc::clone(file);
        // An open file is no harm.
        let _full = self.sender.try_send(Note::Close { file });
    }

    /// A writer that appends to the daemon's own log.
    pub(crate) fn own(&self) -> OwnLog {
        OwnLog {
            logs: self.clone(),
            file: Arc::from(OWN),
        }
    }

    /// Waits until the thread has written what came so far, if it is quick.
    pub(crate) fn catch_up(&self) {
        let (told, reached) = sync_channel(1);
        if self.sender.try_send(Note::Reached(told)).is_ok() {
            let _slow = reached.recv_timeout(CATCH_UP_PATIENCE);
        }
    }

    /// Ends the thread once everything that waits is written.
    pub(crate) fn finish(&self, thread: LogThread) {
        // A thread that has ended by a panic has been reported.
        if self.sender.send(Note::End).is_ok() {
            let _panicked = thread.handle.join();
        }
    }
}

/// The name of a server's log: its own, unless that is the daemon's.
pub(crate) fn file_of(server: &str) -> Arc<str> {
    if server == OWN {
        Arc::from("daemon-server")
    } else {
        Arc::from(server)
    }
}

/// The wall clock, for people to read.
fn timestamp() -> impl std::fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

/// Appends to the daemon's own log.
#[derive(Clone, Debug)]
pub(crate) struct OwnLog {
    logs: Logs,
    file: Arc<str>,
}

impl Write for OwnLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.logs.append(&self.file, text.to_vec());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer {
    folder: PathBuf,
    /// What all logs may take together.
    room: Folder,
    files: BTreeMap<Arc<str>, Rotated>,
    losses: Arc<Losses>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Note>) {
        for note in receiver {
            match note {
                Note::Text { file, text } => self.write(&file, &text),
                Note::Close { file } => self.let_go(&file),
                Note::Reached(told) => {
                    // Nobody may wait for it any more.
                    let _gone = told.try_send(());
                }
                Note::End => break,
            }
        }
    }

    fn let_go(&mut self, name: &str) {
        if self.files.get_mut(name).is_some_and(Rotated::let_go) {
            self.files.remove(name);
        }
    }

    fn write(&mut self, name: &Arc<str>, text: &[u8]) {
        let folder = &self.folder;
        let file = self
            .files
            .entry(Arc::clone(name))
            .or_insert_with(|| Rotated::new(folder, name));
        let slow = self.losses.take_slow();
        let mut grown = 0;
        if slow > 0 {
            let words = format!(
                "{} -- {slow} lines of logs were lost: the disk is too slow\n",
                timestamp()
            );
            grown += file.write(words.as_bytes()).grown;
        }
        let written = file.write(text);
        grown += written.grown;
        match written.trouble {
            Some(error) => self.losses.unwritten(lines_in(text), &error),
            None => self.losses.written(),
        }
        for dropped in self.room.grew(grown) {
            // What is written to a file that was taken away is nowhere.
            self.let_go(&dropped);
        }
    }
}
