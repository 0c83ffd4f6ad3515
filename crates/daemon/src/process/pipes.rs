//! The three pipes between us and a server.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::net::unix::pipe;

/// As much as a pipe may hold without a special right, where the system lets it: a large reply then
/// needs fewer turns, and so does a flood of errors.
const PIPE_BYTES: usize = 256 << 10;

/// Our ends, not blocking, and the server's, blocking as programs expect.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) input: Arc<pipe::Sender>,
    pub(super) output: Arc<pipe::Receiver>,
    pub(super) errors: Arc<pipe::Receiver>,
    /// Standard input, output and error of the server.
    pub(super) theirs: [OwnedFd; 3],
}

impl Pipes {
    pub(super) fn new() -> io::Result<Self> {
        let (their_input, input) = pipe_with(PipeFlags::CLOEXEC)?;
        let (output, their_output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, their_errors) = pipe_with(PipeFlags::CLOEXEC)?;
        for pipe in [input.as_fd(), output.as_fd(), errors.as_fd()] {
            // There is a limit for all pipes of a user; the size as it is will do.
            let _refused = fcntl_setpipe_size(pipe, PIPE_BYTES);
        }
        Ok(Pipes {
            input: Arc::new(pipe::Sender::from_owned_fd(input)?),
            output: Arc::new(pipe::Receiver::from_owned_fd(output)?),
            errors: Arc::new(pipe::Receiver::from_owned_fd(errors)?),
            theirs: [their_input, their_output, their_errors],
        })
    }
}
