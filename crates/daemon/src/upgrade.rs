//! Another program takes the place of this one, in the same process and under live sessions.
//!
//! The daemon stops reading, freezes all that it knows into memory, and executes its own program as that is
//! installed now. That one thaws the state and reads on. Sockets, pipes, the lock and the guardian stay as
//! they are: nobody at the other end of anything notices more than a pause.
//!
//! Before anything is given up the new program is run beside this one, and has to show that it can go on
//! with the state ([`Successor::rehearse`]). Should it fail after that all the same, it is as if the daemon had died:
//! the guardian holds the servers for the next.
//!
//! **Invariant:** the state is never under a name where somebody could find it: messages and environments are
//! in it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

mod descriptors;
mod frozen;
mod rehearsal;
mod successor;

pub(crate) use descriptors::Handed;
pub(crate) use frozen::{
    FrozenClock, FrozenDaemon, FrozenGuardian, FrozenHub, FrozenProcess, FrozenRemote,
    FrozenSession, FrozenSpec, FrozenStand, Hex, NOWHERE, Os,
};
pub use rehearsal::check_state;
pub(crate) use successor::{NotNow, Successor, UNDER_WAY, UpgradeWish};

/// What the system's monotonic clock shows, which is the same in every program.
pub(crate) fn monotonic() -> Duration {
    // It counts from some moment in the past.
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}
