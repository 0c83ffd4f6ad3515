//! What runs in duplicate on this machine, what it costs, and what to do about it.
//!
//! **Invariant:** nothing is started, stopped or changed here unless the user has asked for exactly that:
//! [`probe`] starts a copy of a server, [`orphans`] ends what was left behind.

pub(crate) mod orphans;
pub(crate) mod probe;
mod render;
mod report;
mod signals;
mod verdict;

pub(crate) use report::{Ended, Report};
pub(crate) use signals::groups;
pub(crate) use verdict::of as verdict;
