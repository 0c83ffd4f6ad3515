//! Whether a session is read.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Closed while the core wants no more of a session; its client then waits in its own writes.
#[derive(Debug, Default)]
pub(crate) struct Valve {
    closed: AtomicBool,
    opened: Notify,
}

impl Valve {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
        self.opened.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Returns at once while the valve is open.
    pub(crate) async fn passed(&self) {
        while self.is_closed() {
            self.opened.notified().await;
        }
    }
}
