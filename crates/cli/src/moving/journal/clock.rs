//! The time by which the age of what is on disk is told: it may be of before the machine was started.

use std::time::SystemTime;

/// Seconds since 1970, as the wall clock says. It may jump; then what was undone, or is away, is
/// known for too long, or not at all.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
