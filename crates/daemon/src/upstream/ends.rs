//! The other ends of an upstream's three pipes, where there is no process to have them.
//!
//! A line that is written for the hub may have a mark before the message: on the stream of which request it came.
//!
//! **Invariant:** what was read and not passed on is handed back at the end: nobody has seen it. No server can
//! write a mark.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Weak},
};

use bytes::{Bytes, BytesMut};
use rustix::io::retry_on_intr;
use tokio::{
    net::unix::pipe,
    sync::mpsc::{Receiver, Sender},
};
use wire::{Frame, Kind, Line, LineSplitter};

use super::standing::{Busy, Standing};
use crate::link::Share;

/// Bytes taken by one read at most.
const READ_BYTES: usize = 8 << 10;

/// What the core may say in one message is bounded where it says it.
const UNBOUNDED: usize = usize::MAX >> 1;

/// What a mark begins with, and no JSON.
const MARK: u8 = 0x1E;

/// The longest mark: that, the number of a request, and a blank. A line may be so much longer than a message.
pub(crate) const MARK_BYTES: usize = 22;

/// What is told to the hub.
#[derive(Debug)]
pub(super) enum Said {
    /// A message of the server's, what it takes of the room for all, and that it is under way.
    Message(Bytes, Option<Share>, Busy),
    /// What happened to it, for its log, and for whoever waits for its start.
    Complaint(String),
}

/// Three pipes, seen from the side of the server.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) input: Arc<pipe::Receiver>,
    pub(crate) output: Arc<pipe::Sender>,
    pub(crate) errors: Arc<pipe::Sender>,
}

/// The same, for whoever must not keep them open.
#[derive(Debug)]
pub(crate) struct WeakEnds(Weak<pipe::Receiver>, Weak<pipe::Sender>, Weak<pipe::Sender>);

impl Ends {
    pub(crate) fn downgrade(&self) -> WeakEnds {
        WeakEnds(
            Arc::downgrade(&self.input),
            Arc::downgrade(&self.output),
            Arc::downgrade(&self.errors),
        )
    }
}

impl WeakEnds {
    /// The ends, if they are open still.
    pub(crate) fn upgrade(&self) -> Option<Ends> {
        let WeakEnds(input, output, errors) = self;
        Some(Ends {
            input: input.upgrade()?,
            output: output.upgrade()?,
            errors: errors.upgrade()?,
        })
    }
}

/// Hears what the hub says to the server.
#[derive(Debug)]
pub(super) struct Ear {
    input: Arc<pipe::Receiver>,
    splitter: LineSplitter,
    lines: VecDeque<(Bytes, Busy)>,
    standing: Standing,
    /// Set while the end of a line has not come.
    unfinished: Option<Busy>,
}

impl Ear {
    pub(super) fn new(input: Arc<pipe::Receiver>, standing: Standing) -> Self {
        Ear {
            input,
            splitter: LineSplitter::new(UNBOUNDED),
            lines: VecDeque::new(),
            standing,
            unfinished: None,
        }
    }

    /// The next message; `None` when there will be no more. Nothing is lost if nobody waits for it to the end.
    /// It is under way as long as what comes with it is there.
    pub(super) async fn next(&mut self) -> Option<(Frame, Busy)> {
        loop {
            while let Some((line, busy)) = self.lines.pop_front() {
                // The core says nothing else; a blank line separates.
                if let Ok(frame) = Frame::parse(line) {
                    return Some((frame, busy));
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
        // The runtime has not seen yet what the hub has written since it looked last, so the system is asked.
        let mut buffer = [0; READ_BYTES];
        while let Ok(read @ 1..) = retry_on_intr(|| rustix::io::read(&*self.input, &mut buffer)) {
            self.take_in(buffer.get(..read).unwrap_or_default());
        }
        let frames = self
            .lines
            .into_iter()
            .filter_map(|(line, _busy)| Frame::parse(line).ok());
        frames
            .filter(|frame| frame.kind() == Kind::Request)
            .collect()
    }

    /// Reads once; `false` at the end.
    fn read(&mut self) -> io::Result<bool> {
        // Most of them are idle, so none has one of its own.
        let mut buffer = [0; READ_BYTES];
        let read = self.input.try_read(&mut buffer)?;
        self.take_in(buffer.get(..read).unwrap_or_default());
        Ok(read > 0)
    }

    fn take_in(&mut self, bytes: &[u8]) {
        let (lines, standing) = (&mut self.lines, &self.standing);
        self.splitter.feed(bytes, |line| {
            if let Line::Whole(line) = line {
                lines.push_back((line, standing.begin()));
            }
        });
        let is_unfinished = self.splitter.leftover() > 0;
        self.unfinished = is_unfinished.then(|| self.standing.begin());
    }
}

/// Writes what is told to where the hub reads it, until nobody tells anything any more. The pipes come back, so
/// that their end is seen when that is wanted.
pub(super) async fn tell(
    output: Arc<pipe::Sender>,
    errors: Arc<pipe::Sender>,
    mut told: Receiver<Said>,
) -> Pipes {
    while let Some(said) = told.recv().await {
        match said {
            Said::Message(message, _share, _busy) => {
                let line = [&message[..], b"\n"].concat();
                // A hub that reads no more needs no more.
                let _gone = write_all(&output, &line).await;
            }
            Said::Complaint(words) => {
                // It is for people: what does not fit in at once is left out.
                let _full = errors.try_write(format!("{words}\n").as_bytes());
            }
        }
    }
    (output, errors)
}

/// What is written to, by who has ceased to.
pub(super) type Pipes = (Arc<pipe::Sender>, Arc<pipe::Sender>);

async fn write_all(to: &pipe::Sender, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A way to tell the hub something.
#[derive(Clone, Debug)]
pub(super) struct Voice(pub(super) Sender<Said>, pub(super) Standing);

impl Voice {
    /// Passes on a message of the server's.
    pub(super) async fn say(&self, message: Bytes, share: Option<Share>) {
        self.pass_on(unmarkable(in_one_line(message)), share).await;
    }

    /// Passes on what came on the stream of the request of this number.
    pub(super) async fn say_within(&self, request: u64, message: Bytes) {
        let message = in_one_line(message);
        let mark = format!("{}{request} ", char::from(MARK));
        let line = [mark.as_bytes(), &message].concat();
        self.pass_on(line.into(), None).await;
    }

    async fn pass_on(&self, line: Bytes, share: Option<Share>) {
        let said = Said::Message(line, share, self.1.begin());
        let _ending = self.0.send(said).await;
    }

    /// Tells what happened.
    pub(super) async fn complain(&self, words: String) {
        let _ending = self.0.send(Said::Complaint(words)).await;
    }
}

/// The message of a line, and on the stream of which request it came, if that is marked.
pub(crate) fn unmarked(line: &Bytes) -> (Bytes, Option<u64>) {
    let marked = || {
        let rest = line.strip_prefix(&[MARK])?;
        let end = memchr::memchr(b' ', rest)?;
        let (number, message) = rest.split_at_checked(end)?;
        let number = str::from_utf8(number).ok()?.parse().ok()?;
        Some((line.slice_ref(message.get(1..)?), Some(number)))
    };
    marked().unwrap_or_else(|| (line.clone(), None))
}

/// What is no message, and would be taken for one with a mark, with a blank before it: then it is neither.
fn unmarkable(message: Bytes) -> Bytes {
    if message.first() != Some(&MARK) {
        return message;
    }
    [b" ", &message[..]].concat().into()
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
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn request(id: u64) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#)
    }

    #[tokio::test]
    async fn what_was_said_and_not_heard_is_handed_back() {
        let (mut hub, input) = pipe::pipe().unwrap();
        let said = format!("\n{}\n{}\n{}\n{{\"half", request(1), request(2), request(3));
        hub.write_all(said.as_bytes()).await.unwrap();
        let mut ear = Ear::new(Arc::new(input), Standing::default());
        let (first, busy) = ear.next().await.unwrap();
        drop(busy);
        assert_eq!(first.id().and_then(wire::RequestId::as_number), Some(1));
        let rest = ear.rest();
        let rest: Vec<_> = rest
            .iter()
            .filter_map(|frame| frame.id()?.as_number())
            .collect();
        assert_eq!(rest, [2, 3]);
    }

    #[tokio::test]
    async fn what_was_said_since_the_runtime_has_looked_is_handed_back_too() {
        let (mut hub, input) = pipe::pipe().unwrap();
        let mut ear = Ear::new(Arc::new(input), Standing::default());
        let said = format!("{}\n", request(1));
        hub.write_all(said.as_bytes()).await.unwrap();
        assert!(ear.next().await.is_some());
        assert_eq!(ear.read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Nothing is waited for from here on, so nobody looks.
        let said = format!("{}\n", request(2));
        assert_eq!(hub.try_write(said.as_bytes()).unwrap(), said.len());
        assert_eq!(ear.read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(ear.rest().len(), 1);
    }

    #[tokio::test]
    async fn who_will_say_no_more_has_ended() {
        let (mut hub, input) = pipe::pipe().unwrap();
        hub.write_all(format!("{}\n", request(1)).as_bytes())
            .await
            .unwrap();
        drop(hub);
        let mut ear = Ear::new(Arc::new(input), Standing::default());
        assert!(ear.next().await.is_some());
        assert!(ear.next().await.is_none());
    }

    #[tokio::test]
    async fn a_mark_is_taken_off_again_and_no_server_can_write_one() {
        let (say, mut told) = tokio::sync::mpsc::channel(4);
        let voice = Voice(say, Standing::default());
        let message = Bytes::from_static(b"{\"a\":1}");
        voice.say_within(7, message.clone()).await;
        voice.say(message.clone(), None).await;
        voice.say(Bytes::from_static(b"\x1e7 {}"), None).await;
        let mut heard = Vec::new();
        while let Ok(Said::Message(line, ..)) = told.try_recv() {
            heard.push(unmarked(&line));
        }
        let forged = Bytes::from_static(b" \x1e7 {}");
        assert_eq!(
            heard,
            [(message.clone(), Some(7)), (message, None), (forged, None)]
        );
        let longest = format!("{}{} ", char::from(MARK), u64::MAX);
        assert_eq!(longest.len(), MARK_BYTES);
    }

    #[tokio::test]
    async fn the_longest_message_has_its_mark_and_is_read_whole() {
        const LONGEST: usize = 1000;
        let (say, mut told) = tokio::sync::mpsc::channel(1);
        let voice = Voice(say, Standing::default());
        let message = Bytes::from(format!("{{{}}}", "x".repeat(LONGEST - 2)));
        voice.say_within(u64::MAX, message.clone()).await;
        let Ok(Said::Message(line, ..)) = told.try_recv() else {
            panic!("nothing was said");
        };
        let mut splitter = LineSplitter::new(LONGEST + MARK_BYTES);
        let mut read = Vec::new();
        splitter.feed(&[&line[..], b"\n"].concat(), |line| read.push(line));
        let [Line::Whole(line)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!(unmarked(line), (message, Some(u64::MAX)));
    }

    #[test]
    fn a_message_becomes_one_line() {
        let message = in_one_line(Bytes::from_static(b"{\r\n  \"a\": 1\n}"));
        assert_eq!(message, "{    \"a\": 1 }");
    }
}
