//! Who runs on this machine, as the system tells: numbers, parents, groups, environments, memory.
//!
//! Looking takes a descriptor or memory, and there may be none: that is an error, and means that it is not
//! known who is there. Who takes it for nobody leaves processes behind.
//!
//! **Invariant:** a process is known by its number and its start time together, and is signalled only
//! through a hold on it that was taken before both were compared again.

use std::io;

#[cfg(any(target_os = "linux", target_os = "macos"))]
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::process::Hold;

#[cfg(any(target_os = "macos", test))]
mod arguments;
#[cfg(target_os = "linux")]
#[path = "process_table/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "process_table/macos.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
#[path = "process_table/other.rs"]
mod system;

/// One process, now and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub pid: Pid,
    /// When it began, as the system counts: on Linux in clock ticks since boot, on macOS in microseconds
    /// since 1970.
    pub start_time: u64,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who it is.
    pub identity: Identity,
    /// `None` if that is outside of what we can see.
    pub parent: Option<Pid>,
    /// Its process group.
    pub group: Option<Pid>,
    /// Ended and not reaped. One whose first thread alone has ended looks the same on Linux.
    pub zombie: bool,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: Pid) -> io::Result<Option<Identity>> {
        Ok(system::read(pid)?.map(|entry| entry.identity))
    }

    /// Whether the environment that it was started with has such a `NAME=VALUE`.
    ///
    /// Programs may overwrite it or forbid to read it; then the answer is no. On Linux a process has none
    /// for a moment in the middle of an exec, and that moment is waited for.
    pub fn carries(self, is_meant: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
        system::carries(self, is_meant)
    }

    /// Signals exactly this process; nothing happens if it is gone, or if there is no hold on it.
    pub fn signal(self, signal: Signal) {
        let Ok(hold) = Hold::of(self.pid) else {
            return;
        };
        // The hold is on whoever has the number now. If that is still the one we
        // mean, it stays the one that the signal reaches.
        if matches!(Identity::of(self.pid), Ok(Some(now)) if now == self) {
            // It may have ended since, or be another user's: neither is ours to change.
            let _ = hold.signal(signal);
        }
    }
}

/// All processes, found one after the other, so one that forks and ends meanwhile may be missed. Empty on
/// systems that show none.
pub fn everybody() -> io::Result<Vec<Entry>> {
    system::everybody()
}

/// The memory that a process takes, in KiB; `None` if it is gone or not ours to look at.
///
/// On Linux shared pages count in proportion (PSS); on macOS it is what the system calls its footprint.
pub fn memory_kb(pid: u32) -> Option<u64> {
    system::memory_kb(pid)
}

/// Nothing, of a process that is gone or not ours to look at; an error if it is we who lack what it takes.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn unless_want<T>(error: io::Error) -> io::Result<Option<T>> {
    if is_want(&error) {
        Err(error)
    } else {
        Ok(None)
    }
}

/// Whether it says nothing of a process, but that we lack what it takes to look.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn is_want(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    )
}

/// `None` for what is no number of a process: 0 stands for one outside of what we can see.
fn process(number: i32) -> Option<Pid> {
    if number > 0 {
        Pid::from_raw(number)
    } else {
        None
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "macos")))]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn a_process_knows_itself_and_what_it_carries() {
        let me = Identity::of(rustix::process::getpid()).unwrap().unwrap();
        assert!(me.start_time > 0);
        let (name, value) = std::env::vars_os().next().unwrap();
        let variable = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
        assert!(me.carries(|entry| entry == variable).unwrap());
        assert!(
            !me.carries(|entry| entry == b"MCPOOL_NOBODY=has this")
                .unwrap()
        );
    }

    #[test]
    fn we_are_among_all_and_a_child_of_ours_is_until_it_is_reaped() {
        let me = rustix::process::getpid();
        let mut child = process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let found = |pid| {
            let all = everybody().unwrap();
            all.into_iter().find(|entry| entry.identity.pid == pid)
        };
        assert_eq!(found(me).map(|entry| entry.zombie), Some(false));
        // It ends by itself, and nobody has waited for it yet.
        while !found(pid).unwrap().zombie {
            std::thread::yield_now();
        }
        assert_eq!(found(pid).unwrap().parent, Some(me));
        child.wait().unwrap();
        let later = found(pid);
        assert!(
            later.is_none_or(|entry| entry.parent != Some(me)),
            "{later:?}"
        );
    }

    #[test]
    fn our_own_memory_is_more_than_nothing() {
        assert!(memory_kb(process::id()).unwrap() > 0);
    }
}
