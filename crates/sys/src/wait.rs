//! A child's end, seen before it is reaped.

use std::io;
use std::mem;
use std::ptr;

use rustix::process::Pid;

/// How a process ended: exactly one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What it returned.
    pub code: Option<i32>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
}

/// A child of ours that has ended and that nobody has reaped yet, if there is one.
///
/// It stays a zombie, and so its number cannot be given to another process. The same
/// child is named again until it is reaped.
pub fn ended_child() -> io::Result<Option<(Pid, Exit)>> {
    peek(libc::P_ALL, 0)
}

/// How this child of ours ended; `None` while it runs. It is not reaped.
pub fn ended(child: Pid) -> io::Result<Option<Exit>> {
    let id = child.as_raw_nonzero().get().unsigned_abs();
    Ok(peek(libc::P_PID, id)?.map(|(_, exit)| exit))
}

fn peek(whose: libc::idtype_t, id: libc::id_t) -> io::Result<Option<(Pid, Exit)>> {
    // SAFETY: siginfo_t is plain data; all zeroes is what waitid leaves behind when
    // nobody has ended.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is valid for the call.
    let result = unsafe { libc::waitid(whose, id, ptr::from_mut(&mut info), options) };
    if result != 0 {
        let error = io::Error::last_os_error();
        // No children at all: nobody has ended.
        return if error.raw_os_error() == Some(libc::ECHILD) {
            Ok(None)
        } else {
            Err(error)
        };
    }
    // SAFETY: waitid filled the fields of a SIGCHLD, or left them zero.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let exit = if info.si_code == libc::CLD_EXITED {
        Exit {
            code: Some(status),
            signal: None,
        }
    } else {
        Exit {
            code: None,
            signal: Some(status),
        }
    };
    Ok(Pid::from_raw(pid).map(|pid| (pid, exit)))
}
