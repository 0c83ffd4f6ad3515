//! Where tests end an import or an undo, as `kill -9` would, between two system calls.
//!
//! Compiled in by the feature `test-programs` alone; in what users install nothing is looked for.

/// Stands before and behind everything that changes a file or a folder.
#[cfg(not(feature = "test-programs"))]
pub(crate) fn step() {}

/// Ends this process at the step whose number `MCPOOL_KILL_AT_STEP` has, counted from 1.
#[cfg(feature = "test-programs")]
pub(crate) fn step() {
    use std::{
        env, process,
        sync::atomic::{AtomicU64, Ordering},
    };

    static STEPS: AtomicU64 = AtomicU64::new(0);

    let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    let wish = env::var("MCPOOL_KILL_AT_STEP").ok();
    if wish.and_then(|wish| wish.parse().ok()) == Some(step) {
        process::abort();
    }
}
