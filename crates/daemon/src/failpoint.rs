//! Where tests have the daemon fail: as a bug of ours would, at a moment that they choose.
//!
//! Compiled in by the feature `failpoints` alone; in what users install nothing is looked for.

pub(crate) use points::{heard, looked_into, watchdog_patience};

#[cfg(not(feature = "failpoints"))]
mod points {
    use std::{path::Path, time::Duration};

    use wire::Line;

    pub(crate) fn heard<'a>(_lines: impl Iterator<Item = &'a Line>) {}

    pub(crate) fn looked_into(_folder: &Path) {}

    pub(crate) fn watchdog_patience(usual: Duration) -> Duration {
        usual
    }
}

#[cfg(feature = "failpoints")]
mod points {
    use std::{env, fs, path::Path, sync::Mutex, thread, time::Duration};

    use bytes::Bytes;
    use memchr::memmem;
    use wire::Line;

    /// What a session says to have its reader panic, or the whole daemon stand still.
    const PANIC: &[u8] = b"\"failpoint/panic\"";
    const STALL: &[u8] = b"\"failpoint/stall\"";

    /// A pipe of this name in a folder has whoever looks into that, or reads a file in it, wait until somebody writes
    /// into the pipe, as if the folder were on a disk that does not answer.
    const DEAD: &str = "failpoint-dead";

    /// The last line that did. Its shim says it again, and then it is one like any other.
    static LAST: Mutex<Bytes> = Mutex::new(Bytes::new());

    /// Fails if one of these lines says so.
    pub(crate) fn heard<'a>(lines: impl Iterator<Item = &'a Line>) {
        for line in lines {
            let Line::Whole(line) = line else { continue };
            let is_to_panic = memmem::find(line, PANIC).is_some() && is_new(line);
            assert!(!is_to_panic, "a session wants it so");
            while memmem::find(line, STALL).is_some() {
                thread::park();
            }
        }
    }

    /// Waits if this folder is one that does not answer.
    pub(crate) fn looked_into(folder: &Path) {
        // Only a test makes one.
        let _none = fs::read(folder.join(DEAD));
    }

    fn is_new(line: &Bytes) -> bool {
        let Ok(mut last) = LAST.lock() else {
            return false;
        };
        let is_new = *last != line;
        last.clone_from(line);
        is_new
    }

    /// `MCPOOL_WATCHDOG_SECONDS` in place of the usual: what is not optimised is given too much for a test.
    pub(crate) fn watchdog_patience(usual: Duration) -> Duration {
        let wish = env::var("MCPOOL_WATCHDOG_SECONDS").ok();
        wish.and_then(|wish| wish.parse().ok())
            .map_or(usual, Duration::from_secs)
    }
}
