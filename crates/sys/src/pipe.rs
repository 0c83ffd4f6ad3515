//! Pipes that are not for programs that we start.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The end to read from, and the end to write to.
#[cfg(target_os = "linux")]
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// The end to read from, and the end to write to.
#[cfg(not(target_os = "linux"))]
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (output, input) = rustix::pipe::pipe()?;
    for end in [&output, &input] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok((output, input))
}

/// Has a pipe hold so many bytes, where the system lets it; else it stays as it is.
pub fn enlarge(pipe: impl AsFd, bytes: usize) {
    // There is a limit for all pipes of a user.
    #[cfg(target_os = "linux")]
    let _refused = rustix::pipe::fcntl_setpipe_size(pipe, bytes);
    // Elsewhere they grow by themselves.
    #[cfg(not(target_os = "linux"))]
    let _ = (pipe, bytes);
}
