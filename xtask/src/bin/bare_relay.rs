//! The floor: what any proxy of two hops must cost at least.
//!
//! `bare-relay front SOCKET` joins its standard streams to a unix socket;
//! `bare-relay back SOCKET -- CMD…` starts a server once and joins it to one
//! connection after the other. Both are one thread in `poll`, 64 KiB at a time,
//! that never look at a byte.

use std::{
    env, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    process::{Command, ExitCode, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, read, write},
};

const CHUNK: usize = 64 * 1024;

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["front", socket] => front(socket)?,
        ["back", socket, "--", program, rest @ ..] => back(socket, program, rest)?,
        _ => return Ok(ExitCode::from(2)),
    }
    Ok(ExitCode::SUCCESS)
}

fn front(socket: &str) -> io::Result<()> {
    let socket = UnixStream::connect(socket)?;
    let (input, output) = (io::stdin(), io::stdout());
    let mut up = Direction::new(input.as_fd(), socket.as_fd())?;
    let mut down = Direction::new(socket.as_fd(), output.as_fd())?;
    relay(&mut up, &mut down)
}

fn back(socket: &str, program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(()); // Both were asked for.
    };
    let listener = UnixListener::bind(socket)?;
    loop {
        let (connection, _) = listener.accept()?;
        let mut up = Direction::new(connection.as_fd(), input.as_fd())?;
        let mut down = Direction::new(output.as_fd(), connection.as_fd())?;
        relay(&mut up, &mut down)?;
    }
}

/// Bytes on their way from one descriptor to another.
struct Direction<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    buffer: Vec<u8>,
    /// What part of the buffer waits to be written.
    waiting: std::ops::Range<usize>,
}

impl<'a> Direction<'a> {
    fn new(from: BorrowedFd<'a>, to: BorrowedFd<'a>) -> io::Result<Self> {
        for end in [from, to] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        Ok(Direction {
            from,
            to,
            buffer: vec![0; CHUNK],
            waiting: 0..0,
        })
    }

    fn interest(&self) -> PollFd<'_> {
        if self.waiting.is_empty() {
            PollFd::from_borrowed_fd(self.from, PollFlags::IN)
        } else {
            PollFd::from_borrowed_fd(self.to, PollFlags::OUT)
        }
    }

    /// Moves what can be moved; `false` at the end of the source.
    fn step(&mut self) -> io::Result<bool> {
        if self.waiting.is_empty() {
            match read(self.from, &mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.waiting = 0..count,
                Err(Errno::AGAIN) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        match write(self.to, &self.buffer[self.waiting.clone()]) {
            Ok(count) => self.waiting.start += count,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Relays until either source ends.
fn relay(up: &mut Direction<'_>, down: &mut Direction<'_>) -> io::Result<()> {
    loop {
        let (up_ready, down_ready) = {
            let mut ends = [up.interest(), down.interest()];
            poll(&mut ends, None)?;
            (!ends[0].revents().is_empty(), !ends[1].revents().is_empty())
        };
        if up_ready && !up.step()? || down_ready && !down.step()? {
            return Ok(());
        }
    }
}
