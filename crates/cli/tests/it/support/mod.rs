//! What every test needs: a home of its own, a client, and patience for facts.

pub(crate) mod canary;
mod client;
pub(crate) mod garbage;
mod gated;
mod home;
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod reluctant;
pub(crate) mod remote;
pub(crate) mod remote_socket;
pub(crate) mod talk;
mod verdict;
mod watched;
pub(crate) mod web;

use std::{
    net::{SocketAddr, TcpListener},
    ops::Range,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) use client::{Client, hello};
pub(crate) use home::{Home, Ran, finish, hooked};
pub(crate) use watched::Watched;

/// Longest wait for anything: far more than it takes, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The scripted server.
pub(crate) const FAKE_SERVER: &str = env!("CARGO_BIN_EXE_fake-server");

/// The ports that are tried for [`quiet_listener`]: below those that systems give out themselves.
const QUIET_PORTS: Range<u32> = 20_000..32_000;

/// A listener at a port that nobody is given who asks for any, and that this process takes once.
pub(crate) fn quiet_listener() -> TcpListener {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Other processes of tests begin elsewhere.
    let first = process::id().wrapping_mul(97);
    let count = QUIET_PORTS.end - QUIET_PORTS.start;
    let mut tries = (0..count).map(|_| {
        let next = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(QUIET_PORTS.start + next % count).unwrap();
        TcpListener::bind(("127.0.0.1", port))
    });
    tries.find_map(Result::ok).expect("a port that is free")
}

/// An address that nobody listened at a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    quiet_listener().local_addr().unwrap()
}

/// Waits until there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || is_so().then_some(()));
}
