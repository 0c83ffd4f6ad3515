//! Elsewhere: the user, and on macOS whether there is a sandbox. On other systems nobody knows, so everybody
//! counts as confined.

use std::io;

use rustix::process::{Pid, getpid, getuid};
use sys::sandbox;
use tokio::net::UnixStream;

pub(super) fn is_as_free(socket: &UnixStream, pid: Pid) -> io::Result<bool> {
    let is_same_user = sys::peer::user(socket)? == getuid().as_raw();
    Ok(is_same_user && (!sandbox::holds(pid)? || sandbox::holds(getpid())?))
}
