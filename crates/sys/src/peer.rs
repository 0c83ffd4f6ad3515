//! Who is at the other end of a unix socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// A hold on the process that made this connection.
///
/// It stays with that process even when its number is given to another one. Fails with
/// `ENOPROTOOPT` on kernels before 6.5.
pub fn pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut fd: RawFd = -1;
    let mut len =
        libc::socklen_t::try_from(size_of::<RawFd>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointers are valid for the call, and `len` is the size of what the
    // first one points to.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            ptr::from_mut(&mut fd).cast(),
            ptr::from_mut(&mut len),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us (close-on-exec); nobody
    // else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
