//! Who is at the other end of a unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;

/// The user who made the other end of this connection.
pub fn user(socket: impl AsFd) -> io::Result<libc::uid_t> {
    Ok(credentials(socket)?.uid)
}

/// The process that made the other end of this connection, or listens there; `None` if it is in
/// another pid namespace than ours, where it has no number.
///
/// A number alone may have passed to somebody else by now.
pub fn process(socket: impl AsFd) -> io::Result<Option<Pid>> {
    // 0 is no process id.
    let pid = credentials(socket)?.pid;
    Ok(if pid > 0 { Pid::from_raw(pid) } else { None })
}

fn credentials(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: libc::uid_t::MAX,
        gid: libc::gid_t::MAX,
    };
    option(socket, libc::SO_PEERCRED, &mut peer)?;
    Ok(peer)
}

/// A hold on the process that made this connection.
///
/// It stays with that process even when its number is given to another one. Fails with
/// `ENOPROTOOPT` on kernels before 6.5.
pub fn pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut fd: RawFd = -1;
    option(socket, libc::SO_PEERPIDFD, &mut fd)?;
    // SAFETY: the kernel has just made this descriptor for us (close-on-exec); nobody
    // else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads an option of the socket that is as large as `value`.
fn option<T: Copy>(socket: impl AsFd, name: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut len =
        libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointers are valid for the call, and `len` is the size of what the
    // first one points to. Both callers ask for a `T` of plain numbers, which any bytes are.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            ptr::from_mut(value).cast(),
            ptr::from_mut(&mut len),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
