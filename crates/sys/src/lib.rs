//! What the standard library and rustix cannot say safely, and nothing else.
//!
//! Children are set up between fork and exec, signals become a descriptor or a
//! flag, and a child's end can be looked at without reaping it.
//!
//! **Invariant:** this is the only crate of the workspace in which `unsafe`
//! stands, and every function that it exports is safe to call.

pub mod birth;
pub mod changes;
pub mod child;
pub mod detach;
pub mod handed;
pub mod lease;
pub mod machine;
mod mask;
pub mod memory;
pub mod orphans;
pub mod peer;
pub mod pipe;
pub mod process;
pub mod process_table;
pub mod quit;
pub mod random;
pub mod sandbox;
pub mod schedule;
pub mod scratch;
pub mod signals;
#[cfg(target_os = "linux")]
pub mod sock_diag;
pub mod socket;
pub mod stat;
pub mod stdin;
pub mod threads;
pub mod timer;
pub mod unix_peers;
pub mod wait;
