//! Whether the runtime still turns. A daemon that hangs is worse than one that is gone: its shims wait.
//!
//! A task counts, a thread looks at the count. When it has not changed for [`PATIENCE`] the process
//! ends, without any order; its shims take up another daemon, which takes the servers over.
//!
//! **Invariant:** time in which the thread itself did not run does not count: a daemon that was stopped,
//! or whose machine slept, is not taken for one that hangs.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{alarm::Ticks, failpoint, tasks};

/// How long nothing may turn. One message of the largest size takes an unoptimised build, with the books
/// of its core beside it, seconds where it takes others milliseconds.
const PATIENCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 10 });

/// For the thread that writes the log to get to the last words.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// It needs little.
const STACK_BYTES: usize = 64 << 10;

/// Looks at the count in that time.
const LOOKS: u32 = 4;

/// Has the process end when the runtime that this is called in hangs.
pub(crate) fn start() -> io::Result<()> {
    let patience = failpoint::watchdog_patience(PATIENCE);
    watch(patience / LOOKS, move || {
        // What can be found out; that it hangs must be said in any case.
        let threads = sys::threads::all().unwrap_or_default();
        crate::observe::hung(patience, &threads);
        thread::sleep(LAST_WORDS);
        std::process::abort();
    })
}

/// Calls `on_hung`, once, when nothing has turned for [`LOOKS`] looks in a row.
fn watch(interval: Duration, on_hung: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let turns = Arc::new(AtomicU64::new(0));
    let seen = Arc::downgrade(&turns);
    tasks::thread("watchdog", STACK_BYTES, move || {
        let mut stillness = Stillness::default();
        loop {
            thread::sleep(interval);
            // The runtime has ended, and with it what there was to be watched.
            let Some(turns) = seen.upgrade() else { return };
            if stillness.has_lasted(turns.load(Ordering::Relaxed)) {
                return on_hung();
            }
        }
    })?;
    tasks::spawn("watchdog", async move {
        let ticks = Ticks::new();
        loop {
            ticks.next(interval).await;
            turns.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok(())
}

/// What the thread has seen.
#[derive(Debug, Default)]
struct Stillness {
    turns: u64,
    looks: u32,
}

impl Stillness {
    /// Whether so many turns are as many as at each of the last [`LOOKS`] looks.
    fn has_lasted(&mut self, turns: u64) -> bool {
        if turns == self.turns {
            self.looks += 1;
        } else {
            *self = Stillness { turns, looks: 0 };
        }
        self.looks >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time;

    use super::*;

    #[test]
    fn it_takes_several_looks_in_a_row_at_the_same_count() {
        let mut stillness = Stillness::default();
        for turns in [1, 1, 1, 1, 2, 2, 2, 2] {
            assert!(!stillness.has_lasted(turns));
        }
        assert!(stillness.has_lasted(2));
    }

    #[test]
    fn a_runtime_that_hangs_is_found_out_and_one_that_turns_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (tell, told) = mpsc::channel();
        // Who is not let run for four of these hangs as well.
        let interval = Duration::from_millis(500);
        runtime.block_on(async {
            watch(interval, move || tell.send(()).unwrap()).unwrap();
            // As often as it takes to be found out, and once more.
            let mut ticks = time::interval(interval);
            for _ in 0..=LOOKS {
                ticks.tick().await;
            }
            assert!(told.try_recv().is_err());
            // Nothing turns from here on until the thread has noticed.
            told.recv().unwrap();
        });
    }
}
