//! The shim as a process, with the test as its client and as its daemon.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, which clippy knows by #[test] only"
)]

mod configured;
mod ending;
mod lives;
mod rendezvous;
mod resume;
mod session;
mod stage;
mod unmet;
mod unshared;
