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
    io, mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use tokio::{sync::oneshot, time};

use crate::{front::Key, kept_words::wall_clock, tasks};
use folder::Folder;
pub(crate) use row::{KeptLine, Row, Was};

/// Clients that may wait for what is found under their keys; more are turned away.
const LOOKS_MAX: usize = 4096;

/// Rows that are seen to as one.
const TOGETHER_MAX: usize = 256;

/// How long a client waits at most until its row is on the disk, or is found there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Enough for names of files and JSON.
const STACK_BYTES: usize = 256 << 10;

/// A way to the rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    desk: Arc<Desk>,
}

/// Where it lies what is to be done.
#[derive(Debug, Default)]
struct Desk {
    orders: Mutex<Orders>,
    has_orders: Condvar,
}

/// What is to be done, at most one thing for each row: how many there are is bounded by the sessions that there are,
/// and by the rows that are on the disk.
#[derive(Debug, Default)]
struct Orders {
    /// In the order in which they came first.
    rows: BTreeMap<u64, (Key, Order)>,
    by_key: BTreeMap<Key, u64>,
    last: u64,
    /// Clients that wait for what is found.
    looks: usize,
    /// Who waits until nothing is left to be done.
    settling: Vec<oneshot::Sender<()>>,
    is_over: bool,
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
pub(crate) struct Found(oneshot::Receiver<Option<KeptSession>>);

/// That it is not known in time what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late;

/// A session of an earlier daemon.
#[derive(Debug)]
pub(crate) struct KeptSession {
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

/// What is to be done with one row.
#[derive(Debug, Default)]
struct Order {
    end: End,
    /// Whether it is on no disk before this is carried out.
    is_new: bool,
    /// Who waits until it is done.
    done: Vec<oneshot::Sender<()>>,
    /// Who wants to hear what there is then.
    looks: Vec<oneshot::Sender<Option<KeptSession>>>,
}

/// What is to become of a row.
#[derive(Debug, Default)]
enum End {
    #[default]
    Same,
    /// Its session was heard.
    Dated,
    Put(Row, Lasting),
    Gone,
}

impl Rows {
    /// Starts the thread that keeps rows in `folder`, which is made when it is needed.
    pub(crate) fn start(folder: PathBuf) -> io::Result<(Rows, RowsThread)> {
        let rows = Rows::default();
        let thread = rows.keep_in(folder)?;
        Ok((rows, thread))
    }

    fn keep_in(&self, folder: PathBuf) -> io::Result<RowsThread> {
        let folder = Folder::new(folder);
        let desk = Arc::clone(&self.desk);
        let handle = tasks::thread("mcpool-sessions", STACK_BYTES, move || run(folder, &desk))?;
        Ok(RowsThread { handle })
    }

    /// Has the first row of a session written.
    pub(crate) fn begin(&self, key: Key, row: Row) -> Written {
        let (written, is_written) = oneshot::channel();
        self.order(key, |order| {
            order.is_new = true;
            order.end = End::Put(row, Lasting::Yes);
            order.done.push(written);
        });
        Written(is_written)
    }

    /// Has a row written in place of the one before.
    pub(crate) fn put(&self, key: Key, row: Row) {
        self.order(key, |order| {
            let lasting = match &order.end {
                End::Put(_, lasting) => *lasting,
                End::Same | End::Dated | End::Gone => Lasting::No,
            };
            order.end = End::Put(row, lasting);
        });
    }

    /// The session is over.
    pub(crate) fn remove(&self, key: Key) -> Written {
        let (removed, is_removed) = oneshot::channel();
        let mut orders = self.desk.orders();
        if orders.is_new(key) {
            // It never comes to the disk, and whoever has waited for that is told so by the end of the way.
            orders.take(key);
            let _gone = removed.send(());
        } else {
            let order = orders.order(key);
            order.end = End::Gone;
            order.done.push(removed);
            self.desk.has_orders.notify_one();
        }
        Written(is_removed)
    }

    pub(crate) fn date(&self, key: Key) {
        self.order(key, |order| {
            if matches!(order.end, End::Same) {
                order.end = End::Dated;
            }
        });
    }

    /// Has it looked what there is under a key, unless there is too much to do.
    pub(crate) fn look(&self, key: Key) -> Option<Found> {
        let (reply, found) = oneshot::channel();
        let mut orders = self.desk.orders();
        if orders.looks >= LOOKS_MAX {
            return None;
        }
        orders.looks += 1;
        orders.order(key).looks.push(reply);
        self.desk.has_orders.notify_one();
        Some(Found(found))
    }

    /// Returns when everything that waits is done, or that is waited for no longer.
    pub(crate) async fn settled(&self) {
        let (reply, settled) = oneshot::channel();
        self.desk.orders().settling.push(reply);
        self.desk.has_orders.notify_one();
        let _late = time::timeout(PATIENCE, settled).await;
    }

    /// Ends the thread once everything that waits is done.
    pub(crate) fn finish(&self, thread: RowsThread) {
        self.desk.orders().is_over = true;
        self.desk.has_orders.notify_one();
        // One that has ended by a panic has been reported.
        let _panicked = thread.handle.join();
    }

    fn order(&self, key: Key, change: impl FnOnce(&mut Order)) {
        change(self.desk.orders().order(key));
        self.desk.has_orders.notify_one();
    }
}

impl Desk {
    /// Nobody panics who holds them.
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done next, once there is anything; nothing if it is over.
    fn next(&self) -> Option<Next> {
        let mut orders = self.orders();
        loop {
            if let Some(next) = orders.next() {
                return Some(next);
            }
            if orders.is_over {
                return None;
            }
            let woken = self.has_orders.wait(orders);
            orders = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What is done as one.
struct Next {
    orders: Vec<(Key, Order)>,
    settling: Vec<oneshot::Sender<()>>,
}

impl Orders {
    /// That of a row.
    fn order(&mut self, key: Key) -> &mut Order {
        let number = *self.by_key.entry(key).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        let (_, order) = self
            .rows
            .entry(number)
            .or_insert_with(|| (key, Order::default()));
        order
    }

    fn is_new(&self, key: Key) -> bool {
        let number = self.by_key.get(&key);
        let order = number.and_then(|number| self.rows.get(number));
        order.is_some_and(|(_, order)| order.is_new)
    }

    fn take(&mut self, key: Key) {
        if let Some(number) = self.by_key.remove(&key)
            && let Some((_, order)) = self.rows.remove(&number)
        {
            self.looks -= order.looks.len();
        }
    }

    fn next(&mut self) -> Option<Next> {
        let mut orders = Vec::new();
        while orders.len() < TOGETHER_MAX
            && let Some((_, (key, order))) = self.rows.pop_first()
        {
            self.by_key.remove(&key);
            self.looks -= order.looks.len();
            orders.push((key, order));
        }
        // Whoever waits for all that was to be done does not wait for what comes meanwhile.
        let settling = if self.rows.is_empty() {
            mem::take(&mut self.settling)
        } else {
            Vec::new()
        };
        (!orders.is_empty() || !settling.is_empty()).then_some(Next { orders, settling })
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
    pub(crate) async fn comes(self) -> Result<Option<KeptSession>, Late> {
        match time::timeout(PATIENCE, self.0).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) | Err(_) => Err(Late),
        }
    }
}

fn run(mut folder: Folder, desk: &Desk) {
    while let Some(Next { orders, settling }) = desk.next() {
        let done = carry_out(&mut folder, orders);
        for done in done.into_iter().chain(settling) {
            // Nobody may wait for it any more.
            let _gone = done.send(());
        }
    }
}

/// Carries out these; returns who waits for that.
fn carry_out(folder: &mut Folder, orders: Vec<(Key, Order)>) -> Vec<oneshot::Sender<()>> {
    let mut waiting = Vec::new();
    let mut has_to_last = false;
    for (key, order) in orders {
        match order.end {
            End::Same => {}
            End::Dated => folder.date(key, wall_clock()),
            End::Put(row, lasting) => {
                folder.put(key, &row, lasting);
                has_to_last |= lasting == Lasting::Yes;
            }
            End::Gone => folder.remove(key),
        }
        for look in order.looks {
            let _gone = look.send(folder.look(key));
        }
        waiting.extend(order.done);
    }
    if has_to_last {
        folder.sync();
    }
    waiting
}

#[cfg(test)]
mod tests;
