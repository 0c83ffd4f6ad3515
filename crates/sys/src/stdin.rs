//! A socket that was handed over as standard input.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// Takes the socket that this process was started with as its standard input.
///
/// The descriptor that is returned is close-on-exec and is not number 0; standard
/// input is the null device from then on, so that number 0 is never given to
/// something else by chance. Fails if standard input is not a socket.
pub fn take_socket() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    rustix::net::sockopt::socket_type(stdin.as_fd())?;
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3)?;
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}
