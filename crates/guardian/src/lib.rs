//! Who owns the processes: the parent and sub-reaper of every server.
//!
//! One thread, no runtime, little memory. It starts what the daemon tells it to
//! start, reaps what ends, and stops whole trees: a server's process group, its
//! descendants, and what forked twice to get away. When the daemon dies, it holds the servers'
//! pipes for the next one, for a while.
//!
//! **Invariants:** a process is never signalled by a number that may have passed to
//! another one; and when the guardian has ended in order, nothing that it started is left.

mod census;
pub mod orphans;
mod outbox;
mod place;
pub mod protocol;
mod run;
mod server;
mod spawn;
mod stop;
mod trace;

pub use run::run;
