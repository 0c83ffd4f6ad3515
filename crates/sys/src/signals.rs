//! Signals as something to poll.

use rustix::process::Signal;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::Signals;
#[cfg(not(target_os = "linux"))]
pub use other::Signals;

/// Has this process pass over `signal`, and so every program that it starts, until one says otherwise.
///
/// [`crate::child`] says so for its children.
pub fn ignore(signal: Signal) {
    // SAFETY: to ignore a signal installs no code. It fails for those that cannot be ignored, and
    // then changes nothing.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_IGN) };
}
