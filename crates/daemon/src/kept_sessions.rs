//! What hangs on the keys of sessions over HTTP, on disk between one daemon and the next.
//!
//! A client over HTTP knows its session by a key alone and has nobody beside it who keeps its lines, as a shim
//! does. So we do: a row for each session, from before its key is given out until it ends. Whoever comes to a later
//! daemon with the key goes on there.
//!
//! A thread of its own reads and writes: a slow or full disk must not stop the hub. A session whose row cannot be
//! written is served all the same, and ends with its daemon.
//!
//! **Invariant:** a row is believed if it carries the sum of its session's key, which stands nowhere in it: who can
//! read the folder cannot speak for anybody, nor have one row taken for another.

mod folder;
mod row;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use tokio::{sync::oneshot, time};

use crate::{front::Key, kept_words::wall_clock, tasks};
use folder::Folder;
pub(crate) use row::{KeptLine, Row, Was};

/// Orders that may wait for the disk; more are not carried out.
const WAITING_MAX: usize = 4096;

/// Orders that are carried out as one.
const TOGETHER_MAX: usize = 256;

/// How long a client waits at most until its row is on the disk, or is found there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Enough for names of files and JSON.
const STACK_BYTES: usize = 256 << 10;

/// A way to the rows.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    sender: SyncSender<Order>,
}

/// The thread behind all [`Rows`].
#[derive(Debug)]
pub(crate) struct RowsThread {
    handle: JoinHandle<()>,
}

/// That a row is on the disk, or is gone from there, once that is so.
#[derive(Debug)]
pub(crate) struct Written(oneshot::Receiver<()>);

/// What is found under a key, once it is.
#[derive(Debug)]
pub(crate) struct Found(oneshot::Receiver<Option<Past>>);

/// That it is not known in time what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late;

/// A session of an earlier daemon.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) row: Row,
    /// When it was heard last.
    pub(crate) heard: SystemTime,
}

/// Whether a file is to be on the disk itself before it counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    Yes,
    No,
}

enum Order {
    Put {
        key: Key,
        row: Row,
        /// Who waits until it would outlive the machine.
        written: Option<oneshot::Sender<()>>,
    },
    Remove {
        key: Key,
        /// Who waits until it is gone.
        removed: oneshot::Sender<()>,
    },
    /// The session was heard.
    Date(Key),
    Look {
        key: Key,
        reply: oneshot::Sender<Option<Past>>,
    },
    /// Everything before is done when this is answered.
    Settle(oneshot::Sender<()>),
    End,
}

impl Rows {
    /// Starts the thread that keeps rows in `folder`, which is made when it is needed.
    pub(crate) fn start(folder: PathBuf) -> io::Result<(Rows, RowsThread)> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let folder = Folder::new(folder);
        let handle = tasks::thread("mcpool-sessions", STACK_BYTES, move || {
            run(folder, &receiver);
        })?;
        Ok((Rows { sender }, RowsThread { handle }))
    }

    /// Has the first row of a session written.
    pub(crate) fn begin(&self, key: Key, row: Row) -> Written {
        let (written, is_written) = oneshot::channel();
        let written = Some(written);
        // If there is too much to do, nobody waits for it.
        let _full = self.sender.try_send(Order::Put { key, row, written });
        Written(is_written)
    }

    /// Has a row written in place of the one before.
    pub(crate) fn put(&self, key: Key, row: Row) {
        let written = None;
        let _full = self.sender.try_send(Order::Put { key, row, written });
    }

    /// The session is over. If its row stays, it is taken for silent by and by.
    pub(crate) fn remove(&self, key: Key) -> Written {
        let (removed, is_removed) = oneshot::channel();
        let _full = self.sender.try_send(Order::Remove { key, removed });
        Written(is_removed)
    }

    pub(crate) fn date(&self, key: Key) {
        let _full = self.sender.try_send(Order::Date(key));
    }

    /// Has it looked what there is under a key, unless there is too much to do.
    pub(crate) fn look(&self, key: Key) -> Option<Found> {
        let (reply, found) = oneshot::channel();
        self.sender.try_send(Order::Look { key, reply }).ok()?;
        Some(Found(found))
    }

    /// Returns when everything that waits is done, or that is waited for no longer.
    pub(crate) async fn settled(&self) {
        let (reply, settled) = oneshot::channel();
        if self.sender.try_send(Order::Settle(reply)).is_ok() {
            let _late = time::timeout(PATIENCE, settled).await;
        }
    }

    /// Ends the thread once everything that waits is done.
    pub(crate) fn finish(&self, thread: RowsThread) {
        // One that has ended by a panic has been reported.
        if self.sender.send(Order::End).is_ok() {
            let _panicked = thread.handle.join();
        }
    }
}

impl Written {
    /// Returns when it is, or when that is waited for no longer.
    pub(crate) async fn comes(self) {
        let _late = time::timeout(PATIENCE, self.0).await;
    }
}

impl Found {
    /// What was found. An error if that is not known in time.
    pub(crate) async fn comes(self) -> Result<Option<Past>, Late> {
        match time::timeout(PATIENCE, self.0).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) | Err(_) => Err(Late),
        }
    }
}

fn run(mut folder: Folder, orders: &Receiver<Order>) {
    while let Ok(first) = orders.recv() {
        let more = orders.try_iter().take(TOGETHER_MAX);
        let orders: Vec<Order> = std::iter::once(first).chain(more).collect();
        if carry_out(&mut folder, orders) {
            return;
        }
    }
}

/// Carries out these; says whether one of them was to end.
fn carry_out(folder: &mut Folder, orders: Vec<Order>) -> bool {
    let mut is_over = false;
    // Of a session that changes much, the last is written.
    let mut puts: BTreeMap<Key, (Row, Lasting)> = BTreeMap::new();
    let (mut waiting, mut settling) = (Vec::new(), Vec::new());
    for order in orders {
        match order {
            Order::Put { key, row, written } => {
                let before = puts.get(&key).map(|(_, lasting)| *lasting);
                let lasting = match (&written, before) {
                    (None, None | Some(Lasting::No)) => Lasting::No,
                    (Some(_), _) | (None, Some(Lasting::Yes)) => Lasting::Yes,
                };
                puts.insert(key, (row, lasting));
                waiting.extend(written);
            }
            Order::Remove { key, removed } => {
                puts.remove(&key);
                folder.remove(key);
                settling.push(removed);
            }
            Order::Date(key) => folder.date(key, wall_clock()),
            Order::Look { key, reply } => {
                if let Some((row, lasting)) = puts.remove(&key) {
                    folder.put(key, &row, lasting);
                }
                // Nobody may wait for it any more.
                let _gone = reply.send(folder.look(key));
            }
            Order::Settle(reply) => settling.push(reply),
            Order::End => is_over = true,
        }
    }
    for (key, (row, lasting)) in puts {
        folder.put(key, &row, lasting);
    }
    if !waiting.is_empty() {
        folder.sync();
    }
    for done in waiting.into_iter().chain(settling) {
        let _gone = done.send(());
    }
    is_over
}

#[cfg(test)]
mod tests;
