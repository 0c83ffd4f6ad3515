//! What a guardian leaves behind that was killed, ended by the daemon, to which it falls.
//!
//! One that was inherited leaves it to nobody in particular; there the whole machine is looked through.
//!
//! The servers themselves are told to end by the kernel. Those that do not listen, and what they
//! started, would live on beside the servers that a new guardian starts.
//!
//! **Invariant:** only what carries the dead guardian's mark ends, and what descends from that.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::process::Signal;

use sys::process_table::{Entry, Identity};

use crate::census::Census;
use crate::protocol::MARKER;
use crate::trace;

/// How long those that were told to end may take, as in an orderly stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// From the death of the guardian to giving up on whom even KILL does not end.
const AT_LATEST: Duration = Duration::from_secs(4);

/// How long a guardian may take to end by itself that has lost its daemon and cannot be reached: it
/// waits for 5 s, and then ends its servers.
const UNREACHABLE_PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks.
const LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// Has everything fall to this process, from now on, that its guardians leave behind.
pub fn adopt() -> io::Result<()> {
    // Where nothing does, the whole system is looked through.
    sys::orphans::adopt().map(drop)
}

/// Whose guardian it was that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guardian {
    /// Our own child: what it left behind has fallen to us.
    Ours,
    /// That of a daemon before us: what it left behind may be anywhere.
    Inherited,
}

/// Ends a guardian that can be met no more at this `meeting_place`, and what it has left behind.
///
/// One whose daemon died together with it leaves a note there with its number. If it lives and just
/// cannot be reached, it is given the time in which it ends by itself, and then killed. Blocks
/// for at most about 12 s; returns how many processes could not be ended.
pub fn end_unreachable(meeting_place: &Path) -> usize {
    let Some(guardian) = trace::read(meeting_place) else {
        return 0;
    };
    let began = Instant::now();
    // Who cannot be looked at now may still be there.
    while Identity::of(guardian.pid).map_or(true, |now| now == Some(guardian)) {
        if began.elapsed() > UNREACHABLE_PATIENCE {
            guardian.signal(Signal::KILL);
        }
        // Nothing arrives here: this only lets it end.
        let _ = rustix::event::poll(&mut [], Some(&LOOK_INTERVAL));
        if began.elapsed() > UNREACHABLE_PATIENCE * 2 {
            break;
        }
    }
    let pid = guardian.pid.as_raw_nonzero().get().unsigned_abs();
    let survivors = end(pid, Guardian::Inherited);
    trace::remove(meeting_place);
    survivors
}

/// Reaps who has ended, and says who is there and is meant.
fn look(
    whose: Guardian,
    is_meant: impl Fn(Identity) -> io::Result<bool>,
) -> io::Result<Vec<Entry>> {
    let mut census = match whose {
        Guardian::Ours => Census::take(),
        Guardian::Inherited => Census::take_everywhere(),
    }?;
    census.reap(|_nobody| false);
    census.trees(|entry| is_meant(entry.identity))
}

/// Ends what the guardian with this process id has left behind, and reaps it.
///
/// To be called after that guardian has ended, and was reaped if it was ours, and before there is
/// another: it blocks for at most about 4 s, and reaps every child that has ended. Returns how many
/// it could not end.
pub fn end(guardian: u32, whose: Guardian) -> usize {
    let mark = format!("{MARKER}={guardian}.").into_bytes();
    let began = Instant::now();
    // An ended process has no environment any more, so who was found stays known.
    let mut known = BTreeSet::new();
    let mut quiet_looks = 0;
    loop {
        let left = look(whose, |identity| {
            if known.contains(&identity.pid.as_raw_nonzero()) {
                return Ok(true);
            }
            identity.carries(|variable| variable.starts_with(&mark))
        });
        // A census is no snapshot: who forks at the right moment is in none. And there may be no
        // descriptor to take one.
        quiet_looks = match &left {
            Ok(left) if left.is_empty() => quiet_looks + 1,
            Ok(_) | Err(_) => 0,
        };
        if quiet_looks == 2 || began.elapsed() > AT_LATEST {
            return left.map_or(known.len(), |left| left.len());
        }
        for entry in left.iter().flatten() {
            known.insert(entry.identity.pid.as_raw_nonzero());
            if began.elapsed() > PATIENCE {
                entry.identity.signal(Signal::KILL);
            }
        }
        // Nothing arrives here: this only lets them end.
        let _ = rustix::event::poll(&mut [], Some(&LOOK_INTERVAL));
    }
}
