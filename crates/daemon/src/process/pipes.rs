//! The three pipes between us and a server.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use tokio::net::unix::pipe;

use crate::upstream::Ends;

/// As much as a pipe may hold without a special right, where the system lets it: a large reply then
/// needs fewer turns, and so does a flood of errors.
const PIPE_BYTES: usize = 256 << 10;

/// Our ends, not blocking.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) input: Arc<pipe::Sender>,
    pub(super) output: Arc<pipe::Receiver>,
    pub(super) errors: Arc<pipe::Receiver>,
}

impl Pipes {
    /// Makes them, and what the guardian gets: the server's ends, blocking as programs expect, and
    /// behind them ours once more, which it holds for the daemon after us.
    pub(super) fn new() -> io::Result<(Self, [OwnedFd; 6])> {
        let (their_input, input) = sys::pipe::pair()?;
        let (output, their_output) = sys::pipe::pair()?;
        let (errors, their_errors) = sys::pipe::pair()?;
        for pipe in [input.as_fd(), output.as_fd(), errors.as_fd()] {
            sys::pipe::enlarge(pipe, PIPE_BYTES);
        }
        let guardians = [
            their_input,
            their_output,
            their_errors,
            input.try_clone()?,
            output.try_clone()?,
            errors.try_clone()?,
        ];
        Ok((Self::of([input, output, errors])?, guardians))
    }

    /// Makes them for a server that is a task of ours, and its ends.
    pub(super) fn with_us() -> io::Result<(Self, Ends)> {
        let (their_input, input) = sys::pipe::pair()?;
        let (output, their_output) = sys::pipe::pair()?;
        let (errors, their_errors) = sys::pipe::pair()?;
        let ends = Ends {
            input: self::output(their_input)?,
            output: self::input(their_output)?,
            errors: self::input(their_errors)?,
        };
        Ok((Self::of([input, output, errors])?, ends))
    }

    /// Those that a guardian has held for us.
    pub(super) fn of([input, output, errors]: [OwnedFd; 3]) -> io::Result<Self> {
        Ok(Pipes {
            input: self::input(input)?,
            output: self::output(output)?,
            errors: self::output(errors)?,
        })
    }
}

/// Our end of a standard input.
pub(super) fn input(fd: OwnedFd) -> io::Result<Arc<pipe::Sender>> {
    Ok(Arc::new(pipe::Sender::from_owned_fd(fd)?))
}

/// Our end of a standard output, or error.
pub(super) fn output(fd: OwnedFd) -> io::Result<Arc<pipe::Receiver>> {
    Ok(Arc::new(pipe::Receiver::from_owned_fd(fd)?))
}
