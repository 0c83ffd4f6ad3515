//! From bytes to events: one task per session, and one per server's standard output.
//!
//! **Invariant:** every line of a session is counted and told, in order; whatever ends a reader, the
//! hub hears of it.

use std::{
    io, mem,
    os::{fd::AsFd, unix::net::UnixStream as StdStream},
    sync::Arc,
};

use bytes::Bytes;
use mux::{Event, LineNumber, SessionId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::mpsc::{Sender, error::TrySendError},
};
use wire::{CONTROL, Fault, Frame, Line, LineSplitter, scan_id};

use super::{Found, Source, Valve};
use crate::{
    hub::{Heard, Input, ProcessId},
    tasks,
};

/// Reads one session.
#[derive(Debug)]
pub(crate) struct SessionReader {
    pub(crate) session: SessionId,
    pub(crate) socket: Arc<UnixStream>,
    pub(crate) valve: Arc<Valve>,
    pub(crate) inbox: Sender<Input>,
    pub(crate) message_bytes: usize,
}

impl SessionReader {
    /// Reads until the client is gone. `early` is what came together with the preface.
    pub(crate) async fn run(self, early: Bytes) {
        let session = self.session;
        let inbox = self.inbox.clone();
        tasks::caught("session reader", self.read_all(early)).await;
        // A hub that is gone needs no goodbye.
        let event = Event::SessionClosed { session };
        let _gone = inbox.send(Input::Said { session, event }).await;
    }

    async fn read_all(self, early: Bytes) {
        let source = Source::Socket(Arc::clone(&self.socket));
        let mut splitter = LineSplitter::new(self.message_bytes);
        let mut lines = Lines {
            session: self.session,
            limit: self.message_bytes,
            last: 0,
            inbox: &self.inbox,
            backlog: Vec::new(),
        };
        if !early.is_empty() {
            splitter.feed(&early, |line| lines.take(line));
            drop(early);
        }
        loop {
            lines.catch_up().await;
            self.valve.passed().await;
            if source.readable().await.is_err() {
                return;
            }
            match source.read(&mut splitter, |line| lines.take(line)) {
                Ok(Found::Bytes | Found::Nothing) => {}
                Ok(Found::End) => break,
                Err(_) => return,
            }
        }
        if splitter.leftover() > 0 {
            tracing::debug!(session = %self.session, bytes = splitter.leftover(), "the last line has no end");
        }
        drop(splitter);
        if has_hung_up(&self.socket) {
            return;
        }
        let session = self.session;
        let event = Event::SessionEnding { session };
        if self
            .inbox
            .send(Input::Said { session, event })
            .await
            .is_ok()
        {
            // Without this the end of the client would show only at the next write to it.
            let _failed = hang_up(&self.socket).await;
        }
    }
}

/// The lines of one session on their way to the hub.
struct Lines<'reader> {
    session: SessionId,
    limit: usize,
    last: u64,
    inbox: &'reader Sender<Input>,
    /// What the inbox had no room for.
    backlog: Vec<Input>,
}

impl Lines<'_> {
    fn take(&mut self, line: Line) {
        let input = self.input(line);
        if !self.backlog.is_empty() {
            self.backlog.push(input);
        } else if let Err(TrySendError::Full(input)) = self.inbox.try_send(input) {
            self.backlog.push(input);
        }
    }

    async fn catch_up(&mut self) {
        for input in mem::take(&mut self.backlog) {
            let _hub_gone = self.inbox.send(input).await;
        }
    }

    /// What a line means. Nobody has told us to understand control lines: they count as blank.
    fn input(&mut self, line: Line) -> Input {
        let session = self.session;
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong(head) => {
                let fault = too_long(self.limit, &head);
                let line = self.next();
                let event = Event::SessionFault {
                    session,
                    line,
                    fault,
                };
                return Input::Said { session, event };
            }
        };
        let line = self.next();
        if is_blank(&bytes) || bytes.first() == Some(&CONTROL) {
            return Input::Blank { session, line };
        }
        if is_batch(&bytes)
            && let Some(frames) = Frame::parse_batch(&bytes)
        {
            let event = Event::SessionBatch {
                session,
                line,
                frames,
            };
            return Input::Said { session, event };
        }
        let event = match Frame::parse(bytes) {
            Ok(frame) => Event::SessionFrame {
                session,
                line,
                frame,
            },
            Err(fault) => Event::SessionFault {
                session,
                line,
                fault,
            },
        };
        Input::Said { session, event }
    }

    fn next(&mut self) -> LineNumber {
        self.last += 1;
        LineNumber(self.last)
    }
}

/// Reads the standard output of one process.
#[derive(Debug)]
pub(crate) struct ProcessReader {
    pub(crate) process: ProcessId,
    pub(crate) source: Source,
    pub(crate) inbox: Sender<Input>,
    pub(crate) message_bytes: usize,
}

impl ProcessReader {
    /// Reads until nobody can write there any more.
    pub(crate) async fn run(self) {
        let (process, inbox) = (self.process, self.inbox.clone());
        tasks::caught("server reader", self.read_all()).await;
        let ended = Input::Heard {
            process,
            heard: Heard::OutputEnded,
        };
        let _hub_gone = inbox.send(ended).await;
    }

    async fn read_all(self) {
        let mut splitter = LineSplitter::new(self.message_bytes);
        let mut backlog = Vec::new();
        loop {
            if self.source.readable().await.is_err() {
                return;
            }
            let found = self.source.read(&mut splitter, |line| {
                self.hear(line, &mut backlog);
            });
            for input in mem::take(&mut backlog) {
                let _hub_gone = self.inbox.send(input).await;
            }
            match found {
                Ok(Found::Bytes | Found::Nothing) => {}
                Ok(Found::End) | Err(_) => return,
            }
        }
    }

    fn hear(&self, line: Line, backlog: &mut Vec<Input>) {
        let mut tell = |heard| {
            let process = self.process;
            let input = Input::Heard { process, heard };
            if !backlog.is_empty() {
                backlog.push(input);
            } else if let Err(TrySendError::Full(input)) = self.inbox.try_send(input) {
                backlog.push(input);
            }
        };
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong(head) => {
                let fault = too_long(self.message_bytes, &head);
                return tell(Heard::Noise { fault, bytes: head });
            }
        };
        if is_blank(&bytes) {
            return;
        }
        // Servers of 2025-03-26 may answer several requests at once.
        if is_batch(&bytes)
            && let Some(frames) = Frame::parse_batch(&bytes)
        {
            for frame in frames {
                tell(match frame {
                    Ok(frame) => Heard::Frame(frame),
                    Err(fault) => Heard::Noise {
                        fault,
                        bytes: bytes.clone(),
                    },
                });
            }
            return;
        }
        tell(match Frame::parse(bytes.clone()) {
            Ok(frame) => Heard::Frame(frame),
            Err(fault) => Heard::Noise { fault, bytes },
        });
    }
}

fn too_long(limit: usize, head: &[u8]) -> Fault {
    let (id, response) = scan_id(head);
    Fault::TooLong {
        limit,
        id,
        response,
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn is_batch(line: &[u8]) -> bool {
    line.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Whether nobody holds the other end any more: a client that only closed its output still reads.
fn has_hung_up(socket: &UnixStream) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let gone = PollFlags::HUP | PollFlags::ERR;
    // A poll that fails leaves the answer to the next write.
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(gone)
}

/// Returns when nobody holds the other end any more.
///
/// It watches a copy of the descriptor: forgetting the readiness of the socket itself, which is nearly
/// always writable, would stop its outlet.
async fn hang_up(socket: &UnixStream) -> io::Result<()> {
    let copy = StdStream::from(rustix::io::fcntl_dupfd_cloexec(socket.as_fd(), 0)?);
    let copy = UnixStream::from_std(copy)?;
    loop {
        if copy.ready(Interest::WRITABLE).await?.is_write_closed() {
            return Ok(());
        }
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ours = copy.try_io(Interest::WRITABLE, nothing);
    }
}
