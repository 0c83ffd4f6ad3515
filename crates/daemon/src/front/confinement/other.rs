//! Elsewhere: the user, and on macOS whether there is a sandbox. On other systems nobody knows, so everybody
//! counts as confined.

use std::io;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, getpid, getuid},
};
use sys::process::Hold;
use tokio::net::UnixStream;

pub(super) fn is_as_free(socket: &UnixStream, pid: Pid) -> io::Result<bool> {
    // Held from before to after, the number means the same process all the time.
    let held = Hold::of(pid)?;
    let is_same_user = sys::peer::user(socket)? == getuid().as_raw();
    let is_as_free = !is_in_sandbox(pid)? || is_in_sandbox(getpid())?;
    let mut ended = [PollFd::new(&held, PollFlags::IN)];
    if poll(&mut ended, Some(&Timespec::default()))? > 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(is_same_user && is_as_free)
}

#[cfg(target_os = "macos")]
fn is_in_sandbox(pid: Pid) -> io::Result<bool> {
    sys::sandbox::holds(pid)
}

#[cfg(not(target_os = "macos"))]
fn is_in_sandbox(_pid: Pid) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
