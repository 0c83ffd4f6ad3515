//! What the logs lack: lines that the disk had no room for, or not the time.
//!
//! **Invariant:** no line is missing that is not counted here.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The account of all logs, kept by those who write and by the thread behind them.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Since the daemon began.
    lines: AtomicU64,
    /// Those of them that came too fast, and of which no log says so yet.
    slow: AtomicU64,
    /// Why the last line could not be written, if it could not.
    trouble: Mutex<Option<String>>,
}

/// What the account says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Lines since the daemon began.
    pub(crate) lines: u64,
    /// Why none can be written now.
    pub(crate) trouble: Option<String>,
}

impl Losses {
    /// So many lines came faster than the disk takes them.
    pub(super) fn too_slow(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        self.slow.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines that came too fast since this was last asked.
    pub(super) fn take_slow(&self) -> u64 {
        self.slow.swap(0, Ordering::Relaxed)
    }

    /// So many lines could not be written.
    pub(super) fn unwritten(&self, lines: u64, error: &io::Error) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        self.set_trouble(Some(error));
    }

    /// A line could be written.
    pub(super) fn written(&self) {
        self.set_trouble(None);
    }

    pub(super) fn so_far(&self) -> Lost {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        Lost {
            lines: self.lines.load(Ordering::Relaxed),
            trouble: trouble.clone(),
        }
    }

    fn set_trouble(&self, error: Option<&io::Error>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = error.map(ToString::to_string);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_ends_with_the_next_line_that_is_written_and_the_count_stays() {
        let losses = Losses::default();
        losses.too_slow(2);
        losses.unwritten(3, &io::ErrorKind::StorageFull.into());
        let lost = losses.so_far();
        assert_eq!(lost.lines, 5);
        assert!(lost.trouble.is_some());
        assert_eq!((losses.take_slow(), losses.take_slow()), (2, 0));
        losses.written();
        let trouble = None;
        assert_eq!(losses.so_far(), Lost { lines: 5, trouble });
    }
}
