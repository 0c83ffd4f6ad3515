//! The time by which the age of what is on disk is told: it may be of before the machine was started.

use std::time::SystemTime;

/// What the wall clock says. It may jump; then what is kept is used for too long, or not at all.
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
