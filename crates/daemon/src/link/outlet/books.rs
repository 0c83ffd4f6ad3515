//! What the books of a daemon want to know of an outlet.

use super::{Entry, Outlet};

impl Outlet {
    /// Bytes of the longest message that waits: one more than the limit of any size always fits.
    pub(crate) fn longest(&self) -> usize {
        self.queue.iter().map(Entry::len).max().unwrap_or_default()
    }
}
