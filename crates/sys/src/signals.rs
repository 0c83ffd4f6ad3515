//! Signals as something to poll.

use std::io;

use rustix::process::Signal;

use crate::mask::{self, Change};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::Signals;
#[cfg(not(target_os = "linux"))]
pub use other::Signals;

/// Has these signals wait, as far as the calling thread goes: what comes is for another one, or is kept, over an exec
/// too.
///
/// Threads that it starts from then on, and programs, begin with that.
pub fn hold(signals: &[Signal]) -> io::Result<()> {
    mask::change(Change::Block, &mask::set_of(signals)).map(drop)
}

/// Has this process pass over `signal`, and so every program that it starts, until one says otherwise.
///
/// [`crate::child`] says so for its children.
pub fn ignore(signal: Signal) {
    // SAFETY: to ignore a signal installs no code. It fails for those that cannot be ignored, and
    // then changes nothing.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_IGN) };
}
