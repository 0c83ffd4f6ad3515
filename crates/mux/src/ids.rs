//! Names for what lives: numbers from counters, never used twice.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident as $letter:literal,)*) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
            )]
            pub struct $name(pub u64);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!($letter, "{}"), self.0)
                }
            }
        )*
    };
}

ids! {
    /// One downstream conversation with one client. Chosen by the edge.
    SessionId as "s",
    /// One running server. Chosen by the core; a restarted process keeps it.
    UpstreamId as "u",
    /// One question of an administrator. Chosen by the edge.
    Ticket as "t",
    /// A line that a client wrote, counted from 1 for its session.
    LineNumber as "line ",
}

/// Which daemon this is of those that have had the same guardian, or one that another of them had started.
///
/// Servers and clients live on when a daemon dies, and must not take the next one's ids for those of the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The number behind which all ids of this epoch are. For two million epochs they stay below 2⁵³, which
    /// every peer can count to.
    pub fn begin(self) -> u64 {
        u64::from(self.0) << 32
    }
}
