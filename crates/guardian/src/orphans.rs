//! What a guardian leaves behind that was killed, ended by the daemon, to which it falls.
//!
//! The servers themselves are told to end by the kernel. Those that do not listen, and what they
//! started, would live on beside the servers that a new guardian starts.
//!
//! **Invariant:** only what carries the dead guardian's mark ends, and what descends from that.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::process::Signal;

use crate::census::Census;
use crate::protocol::MARKER;

/// How long those that were told to end may take, as in an orderly stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// From the death of the guardian to giving up on whom even KILL does not end.
const AT_LATEST: Duration = Duration::from_secs(4);

/// Between two looks.
const LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// Has everything fall to this process, from now on, that its guardians leave behind.
pub fn adopt() -> io::Result<()> {
    let me = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(me))?)
}

/// Ends what the guardian with this process id has left behind, and reaps it.
///
/// To be called after that guardian was reaped and before there is another: it blocks for at most
/// about 4 s, and reaps every child that has ended. Returns how many it could not end.
pub fn end(guardian: u32) -> usize {
    let mark = format!("{MARKER}={guardian}.").into_bytes();
    let began = Instant::now();
    // An ended process has no environment any more, so who was found stays known.
    let mut known = BTreeSet::new();
    let mut quiet_looks = 0;
    loop {
        let mut census = Census::take();
        census.reap(|_nobody| false);
        let left = census.trees(|entry| {
            let identity = entry.identity;
            known.contains(&identity.pid.as_raw_nonzero())
                || identity.carries(|variable| variable.starts_with(&mark))
        });
        quiet_looks = if left.is_empty() { quiet_looks + 1 } else { 0 };
        // A census is no snapshot: who forks at the right moment is in none.
        if quiet_looks == 2 || began.elapsed() > AT_LATEST {
            return left.len();
        }
        for entry in &left {
            known.insert(entry.identity.pid.as_raw_nonzero());
            if began.elapsed() > PATIENCE {
                entry.identity.signal(Signal::KILL);
            }
        }
        // Nothing arrives here: this only lets them end.
        let _ = rustix::event::poll(&mut [], Some(&LOOK_INTERVAL));
    }
}
