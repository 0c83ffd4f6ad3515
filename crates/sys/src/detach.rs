//! A program that is not of our session, and one that is not our child either: it belongs to nobody.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` start its program in a session of its own and as nobody's child.
///
/// A signal to our process group or terminal does not reach it, and it leaves no
/// zombie behind in us however long we live. The child that `spawn` returns is only
/// the go-between, which ends at once: wait for it. That the program could be
/// executed is known when `spawn` returns, as ever.
pub fn apply_to(command: &mut Command) {
    // SAFETY: `step_away` makes system calls only; it does not allocate, lock, or
    // touch memory that another thread may have left half-written.
    unsafe { command.pre_exec(step_away) };
}

/// Makes `command` start its program as the leader of a session of its own, and of its process group.
///
/// As with [`apply_to`], a signal to our process group or terminal does not reach it; but it is our child, so it
/// can be ended, with its group, whatever group it would rather have: a leader cannot leave its own.
pub fn lead(command: &mut Command) {
    let begin = || rustix::process::setsid().map(drop).map_err(io::Error::from);
    // SAFETY: it makes one system call.
    unsafe { command.pre_exec(begin) };
}

/// Runs in the forked child.
fn step_away() -> io::Result<()> {
    rustix::process::setsid()?;
    // SAFETY: the forked child has one thread, and its only remaining work is to
    // exec or to end.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(()),
        // SAFETY: _exit only ends this process; it runs no handlers.
        _ => unsafe { libc::_exit(0) },
    }
}
