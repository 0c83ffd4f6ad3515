//! A child between fork and exec.
//!
//! **Invariant:** what the new program sees of its surroundings is what we
//! chose: descriptors 0, 1 and 2, no signal blocked or ignored, the umask that
//! was asked for, and a TERM when its parent dies.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[cfg(target_os = "linux")]
use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit};

use crate::mask::{self, Change};

/// Signal numbers end here on Linux, and earlier elsewhere.
const SIGNAL_MAX: i32 = 64;

/// The surroundings of a child that std's `Command` has no words for.
#[derive(Clone, Copy, Debug)]
pub struct ChildSetup {
    /// File mode creation mask of the new program, at most `0o777`.
    pub umask: u32,
}

impl ChildSetup {
    /// Makes `command` start its child with these surroundings.
    ///
    /// On Linux the child gets SIGTERM when the *thread* that spawns it ends, so spawn it
    /// from a thread that lives as long as the child should. If that thread is gone
    /// before the child could ask for this, the child ends without running anything.
    pub fn apply_to(self, command: &mut Command) {
        let parent = rustix::process::getpid();
        // SAFETY: `prepare` makes system calls only; it does not allocate, lock,
        // or touch memory that another thread may have left half-written.
        unsafe { command.pre_exec(move || self.prepare(parent)) };
    }

    /// Runs in the forked child.
    fn prepare(self, parent: Pid) -> io::Result<()> {
        die_with(parent)?;
        // As wide as the system has it.
        let bits = (self.umask & 0o777) as rustix::fs::RawMode;
        rustix::process::umask(rustix::fs::Mode::from_bits_truncate(bits));
        forget_signals()?;
        close_all_but_stdio_on_exec();
        Ok(())
    }
}

/// Makes `command` start its child in a process group of its own, and with nothing else of
/// [`ChildSetup`] but that it gets SIGTERM when the thread that spawns it ends: it inherits what is
/// not close-on-exec.
pub fn tie_to_us(command: &mut Command) {
    let parent = rustix::process::getpid();
    command.process_group(0);
    // SAFETY: `die_with` makes system calls only; it does not allocate, lock, or touch memory that
    // another thread may have left half-written.
    unsafe { command.pre_exec(move || die_with(parent)) };
}

/// Makes `command` start its child with room for so many open files.
pub fn limit_files(command: &mut Command, limit: Rlimit) {
    // SAFETY: it is a system call; it does not allocate, lock, or touch memory that another thread may
    // have left half-written.
    unsafe {
        command.pre_exec(move || Ok(rustix::process::setrlimit(Resource::Nofile, limit)?));
    }
}

/// Runs in the forked child: it is to end when its parent does.
///
/// Only Linux tells a child of that. Elsewhere a server sees the end of its input, and what does not
/// heed that is found by its mark when its guardian is missed (`guardian::orphans`).
#[cfg_attr(
    not(target_os = "linux"),
    expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")
)]
fn die_with(parent: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    // A parent that died before the line above sends no signal any more.
    if rustix::process::getppid() != Some(parent) {
        // SAFETY: _exit only ends this process; it runs no handlers.
        unsafe { libc::_exit(1) };
    }
    Ok(())
}

/// Nothing ignored, nothing blocked: both would survive the exec.
fn forget_signals() -> io::Result<()> {
    for number in 1..=SIGNAL_MAX {
        // SAFETY: resetting to the default installs no code. Numbers that cannot
        // be changed (KILL, STOP, those that libc keeps) fail, and need no reset.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    mask::change(Change::Replace, &mask::set_of(&[]))?;
    Ok(())
}

/// Our own descriptors are all close-on-exec; this catches what whoever started us
/// left open.
///
/// Kernels before 5.11 cannot do it; there the inherited ones stay.
#[cfg(target_os = "linux")]
fn close_all_but_stdio_on_exec() {
    // SAFETY: it sets a flag on descriptors of this forked child, whose only
    // remaining work is exec.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// The same one by one, where there is no call for all of them; those with very high numbers stay.
#[cfg(not(target_os = "linux"))]
fn close_all_but_stdio_on_exec() {
    /// More than a program that starts others has open, and soon looked through.
    const NUMBERS: libc::c_int = 10_240;
    for number in 3..NUMBERS {
        // SAFETY: it sets a flag on a descriptor of this forked child, or fails as there is none; the
        // child's only remaining work is exec.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
