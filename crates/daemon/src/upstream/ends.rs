//! The other ends of an upstream's three pipes, where there is no process to have them.
//!
//! **Invariant:** what was read and not passed on is handed back at the end: nobody has seen it.

use std::{collections::VecDeque, io};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncWriteExt as _,
    net::unix::pipe,
    sync::mpsc::{Receiver, Sender},
};
use wire::{Frame, Kind, Line, LineSplitter};

use crate::link::Share;

/// Bytes taken by one read at most.
const READ_BYTES: usize = 8 << 10;

/// What the core may say in one message is bounded where it says it.
const UNBOUNDED: usize = usize::MAX >> 1;

/// What is told to the hub.
#[derive(Debug)]
pub(super) enum Said {
    /// A message of the server's, and what it takes of the room for all.
    Message(Bytes, Option<Share>),
    /// What happened to it, for its log, and for whoever waits for its start.
    Complaint(String),
}

/// Three pipes, seen from the side of the server.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) input: pipe::Receiver,
    pub(crate) output: pipe::Sender,
    pub(crate) errors: pipe::Sender,
}

/// Hears what the hub says to the server.
#[derive(Debug)]
pub(super) struct Ear {
    input: pipe::Receiver,
    splitter: LineSplitter,
    lines: VecDeque<Bytes>,
}

impl Ear {
    pub(super) fn new(input: pipe::Receiver) -> Self {
        Ear {
            input,
            splitter: LineSplitter::new(UNBOUNDED),
            lines: VecDeque::new(),
        }
    }

    /// The next message; `None` when there will be no more. Nothing is lost if nobody waits for it to the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some(line) = self.lines.pop_front() {
                // The core says nothing else; a blank line separates.
                if let Ok(frame) = Frame::parse(line) {
                    return Some(frame);
                }
            }
            self.input.readable().await.ok()?;
            match self.read() {
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(false) | Err(_) => return None,
            }
        }
    }

    /// The requests that were said and not heard yet.
    pub(super) fn rest(mut self) -> Vec<Frame> {
        while matches!(self.read(), Ok(true)) {}
        let frames = self
            .lines
            .into_iter()
            .filter_map(|line| Frame::parse(line).ok());
        frames
            .filter(|frame| frame.kind() == Kind::Request)
            .collect()
    }

    /// Reads once; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        // Most of them are idle, so none has one of its own.
        let mut buffer = [0; READ_BYTES];
        let read = self.input.try_read(&mut buffer)?;
        let lines = &mut self.lines;
        self.splitter
            .feed(buffer.get(..read).unwrap_or_default(), |line| {
                if let Line::Whole(line) = line {
                    lines.push_back(line);
                }
            });
        Ok(read > 0)
    }
}

/// Writes what is told to where the hub reads it, until nobody tells anything any more. The pipes come back, so
/// that their end is seen when that is wanted.
pub(super) async fn tell(
    mut output: pipe::Sender,
    errors: pipe::Sender,
    mut told: Receiver<Said>,
) -> (pipe::Sender, pipe::Sender) {
    while let Some(said) = told.recv().await {
        match said {
            Said::Message(message, _share) => {
                let line = [&message[..], b"\n"].concat();
                // A hub that reads no more needs no more.
                let _gone = output.write_all(&line).await;
            }
            Said::Complaint(words) => {
                // It is for people: what does not fit in at once is left out.
                let _full = errors.try_write(format!("{words}\n").as_bytes());
            }
        }
    }
    (output, errors)
}

/// A way to tell the hub something, and what a message may have.
#[derive(Clone, Debug)]
pub(super) struct Voice(pub(super) Sender<Said>);

impl Voice {
    /// Passes on a message of the server's.
    pub(super) async fn say(&self, message: Bytes, share: Option<Share>) {
        let _ending = self
            .0
            .send(Said::Message(in_one_line(message), share))
            .await;
    }

    /// Tells what happened.
    pub(super) async fn complain(&self, words: String) {
        let _ending = self.0.send(Said::Complaint(words)).await;
    }
}

/// A message without line ends, which can stand between its words alone.
fn in_one_line(message: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &message).is_none() {
        return message;
    }
    let mut line = BytesMut::from(&message[..]);
    for byte in &mut line[..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u64) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
    }

    #[tokio::test]
    async fn what_was_said_and_not_heard_is_handed_back() {
        let (mut hub, input) = pipe::pipe().unwrap();
        let said = format!("\n{}\n{}\n{}\n{{\"half", request(1), request(2), request(3));
        hub.write_all(said.as_bytes()).await.unwrap();
        let mut ear = Ear::new(input);
        let first = ear.next().await.unwrap();
        assert_eq!(first.id().and_then(wire::RequestId::as_number), Some(1));
        let rest = ear.rest();
        let rest: Vec<_> = rest
            .iter()
            .filter_map(|frame| frame.id()?.as_number())
            .collect();
        assert_eq!(rest, [2, 3]);
    }

    #[tokio::test]
    async fn who_will_say_no_more_has_ended() {
        let (mut hub, input) = pipe::pipe().unwrap();
        hub.write_all(format!("{}\n", request(1)).as_bytes())
            .await
            .unwrap();
        drop(hub);
        let mut ear = Ear::new(input);
        assert!(ear.next().await.is_some());
        assert!(ear.next().await.is_none());
    }

    #[test]
    fn a_message_becomes_one_line() {
        let message = in_one_line(Bytes::from_static(b"{\r\n  \"a\": 1\n}"));
        assert_eq!(message, "{    \"a\": 1 }");
    }
}
