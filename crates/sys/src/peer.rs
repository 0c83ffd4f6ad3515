//! Who is at the other end of a unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
#[cfg(target_os = "linux")]
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;

use crate::process::Hold;

/// The user who made the other end of this connection.
#[cfg(target_os = "linux")]
pub fn user(socket: impl AsFd) -> io::Result<libc::uid_t> {
    Ok(credentials(socket)?.uid)
}

/// The user who made the other end of this connection.
#[cfg(not(target_os = "linux"))]
pub fn user(socket: impl AsFd) -> io::Result<libc::uid_t> {
    let (mut user, mut group) = (libc::uid_t::MAX, libc::gid_t::MAX);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the pointers are valid for the call.
    let result =
        unsafe { libc::getpeereid(fd, ptr::from_mut(&mut user), ptr::from_mut(&mut group)) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(user)
}

/// The process that made the other end of this connection, or listens there; `None` if it is in
/// another pid namespace than ours, where it has no number.
///
/// A number alone may have passed to somebody else by now.
pub fn process(socket: impl AsFd) -> io::Result<Option<Pid>> {
    let pid = process_number(socket)?;
    // 0 is no process id.
    Ok(if pid > 0 { Pid::from_raw(pid) } else { None })
}

#[cfg(target_os = "linux")]
fn process_number(socket: impl AsFd) -> io::Result<libc::pid_t> {
    Ok(credentials(socket)?.pid)
}

#[cfg(not(target_os = "linux"))]
fn process_number(socket: impl AsFd) -> io::Result<libc::pid_t> {
    let mut pid: libc::pid_t = 0;
    option(socket, libc::SOL_LOCAL, libc::LOCAL_PEERPID, &mut pid)?;
    Ok(pid)
}

#[cfg(target_os = "linux")]
fn credentials(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: libc::uid_t::MAX,
        gid: libc::gid_t::MAX,
    };
    option(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut peer)?;
    Ok(peer)
}

/// A hold on the process of this number, which made the other end of this connection.
///
/// On Linux it is on that process even if its number is another's by now; elsewhere, and on kernels before
/// 6.5, on whoever has the number.
#[cfg(target_os = "linux")]
pub fn hold(socket: impl AsFd, pid: Pid) -> io::Result<Hold> {
    let mut fd: RawFd = -1;
    match option(socket, libc::SOL_SOCKET, libc::SO_PEERPIDFD, &mut fd) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => return Hold::of(pid),
        Err(error) => return Err(error),
    }
    // SAFETY: the kernel has just made this descriptor for us (close-on-exec); nobody
    // else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(Hold::handed_over(fd, pid))
}

/// A hold on the process of this number, which made the other end of this connection.
///
/// On Linux it is on that process even if its number is another's by now; elsewhere, and on kernels before
/// 6.5, on whoever has the number.
#[cfg(not(target_os = "linux"))]
pub fn hold(_socket: impl AsFd, pid: Pid) -> io::Result<Hold> {
    Hold::of(pid)
}

/// Reads an option of the socket that is as large as `value`.
fn option<T: Copy>(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut len =
        libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointers are valid for the call, and `len` is the size of what the
    // first one points to. All callers ask for a `T` of plain numbers, which any bytes are.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
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
