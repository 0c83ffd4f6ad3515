//! What this program does when a test starts it again.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal};
use sys::signals::Signals;
use sys::{quit, stdin, wait};

use crate::runner::until;

/// It saw that it was asked to end.
pub(crate) const ASKED: i32 = 3;
/// It did not end by itself.
pub(crate) const TIMED_OUT: i32 = 4;
/// It could not take what it was given.
pub(crate) const REFUSED: i32 = 5;

pub(crate) fn play(role: &str) -> ExitCode {
    match role {
        "reader" => reader(),
        "writer" => writer(),
        "watcher" => watcher(),
        "socket" => socket(),
        "parent" => parent(),
        other => panic!("no such role: {other}"),
    }
}

fn code(number: i32) -> ExitCode {
    ExitCode::from(u8::try_from(number).unwrap())
}

fn announce() {
    let mut stdout = io::stdout();
    stdout.write_all(b"!").unwrap();
    stdout.flush().unwrap();
}

/// Reads what never comes.
fn reader() -> ExitCode {
    quit::install(u8::try_from(TIMED_OUT).unwrap()).unwrap();
    assert!(!quit::asked());
    announce();
    let error = rustix::io::read(io::stdin(), &mut [0; 16]).unwrap_err();
    assert_eq!(error, rustix::io::Errno::INTR);
    assert!(quit::asked());
    code(ASKED)
}

/// Writes what nobody reads.
fn writer() -> ExitCode {
    quit::install(u8::try_from(TIMED_OUT).unwrap()).unwrap();
    loop {
        match rustix::io::write(io::stdout(), &[b'x'; 4096]) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Tells the signals that arrive.
fn watcher() -> ExitCode {
    let signals = Signals::watch(&[Signal::TERM, Signal::CHILD]).unwrap();
    assert_eq!(signals.drain().unwrap(), []);
    announce();
    rustix::event::poll(&mut [PollFd::new(&signals, PollFlags::IN)], None).unwrap();
    print!("{:?}", signals.drain().unwrap());
    ExitCode::SUCCESS
}

/// Echoes five bytes over the socket that is its standard input.
fn socket() -> ExitCode {
    let Ok(taken) = stdin::take_socket() else {
        return code(REFUSED);
    };
    assert!(taken.as_raw_fd() > 2);
    let flags = rustix::io::fcntl_getfd(taken.as_fd()).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(io::stdin().read(&mut [0; 8]).unwrap(), 0);
    let mut socket = UnixStream::from(taken);
    let mut bytes = [0; 5];
    socket.read_exact(&mut bytes).unwrap();
    socket.write_all(&bytes).unwrap();
    ExitCode::SUCCESS
}

/// Has children, and learns of their ends.
fn parent() -> ExitCode {
    assert_eq!(wait::ended_child().unwrap(), None);
    let mut children = ["kill -9 $$", "exit 6"].map(|script| {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        (Pid::from_child(&child), child)
    });
    let mut exits = Vec::new();
    while exits.len() < children.len() {
        let (pid, exit) = until("an end", || wait::ended_child().unwrap());
        let (_, child) = children
            .iter_mut()
            .find(|(known, _)| *known == pid)
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!((exit.code, exit.signal), (status.code(), status.signal()));
        exits.push((exit.code, exit.signal));
    }
    exits.sort_unstable();
    assert_eq!(exits, [(None, Some(9)), (Some(6), None)]);
    assert_eq!(wait::ended_child().unwrap(), None);
    ExitCode::SUCCESS
}
