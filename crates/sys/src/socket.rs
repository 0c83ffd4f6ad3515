//! What sockets need everywhere: they are not for programs that we start, and whoever writes to nobody
//! gets an error and no signal.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};

/// For everything that is sent.
#[cfg(target_os = "linux")]
pub const SENDING: SendFlags = SendFlags::NOSIGNAL;

/// For everything that is sent: nothing, as programs in Rust pass over SIGPIPE.
#[cfg(not(target_os = "linux"))]
pub const SENDING: SendFlags = SendFlags::empty();

/// For a message that may bring descriptors along; see [`keep_from_programs`].
#[cfg(target_os = "linux")]
pub const RECEIVING: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// For a message that may bring descriptors along; see [`keep_from_programs`].
#[cfg(not(target_os = "linux"))]
pub const RECEIVING: RecvFlags = RecvFlags::empty();

/// A unix socket for a stream, connected to nobody.
pub fn stream() -> rustix::io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = SocketFlags::empty();
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    #[cfg(not(target_os = "linux"))]
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// Whether somebody listens at a socket; elsewhere the system does not say it, and it is taken for true.
pub fn listens(socket: impl AsFd) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::net::sockopt::socket_acceptconn(socket)?);
    #[cfg(not(target_os = "linux"))]
    {
        let _socket = socket;
        Ok(true)
    }
}

/// Keeps a descriptor that came in a message from programs that we start: it does so from the
/// beginning where the system can.
pub fn keep_from_programs(descriptor: impl AsFd) -> io::Result<()> {
    if cfg!(target_os = "linux") {
        return Ok(());
    }
    Ok(rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?)
}
