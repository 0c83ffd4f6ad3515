//! From bytes to lines: one task per session, and one per server's standard output.
//!
//! What one read brought is parsed by the hub, where the core takes it over, and not moved around as a
//! structure before. Much of it goes there piece by piece, and everybody else comes first in between: a
//! peer that floods us makes itself wait.
//!
//! **Invariant:** every line reaches the hub, in order; whatever ends a reader, the hub hears of it.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use mux::SessionId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{io::Interest, sync::mpsc::Sender, task, time};
use wire::LineSplitter;

use super::{Found, Lines, NoRoom, Pieces, Room, Share, Socket, Source, Valve};
use crate::{
    hub::{Heard, Input, ProcessId},
    tasks,
};

/// So much of an unfinished line is kept in any case: it may wait in the system, too.
const SMALL_BYTES: usize = 64 << 10;

/// How long a client that is not read may want to say something before the hub hears of it, and again.
const UNHEARD: Duration = Duration::from_secs(15);

/// Reads one session.
#[derive(Debug)]
pub(crate) struct SessionReader {
    pub(crate) session: SessionId,
    pub(crate) socket: Arc<Socket>,
    pub(crate) valve: Arc<Valve>,
    pub(crate) inbox: Sender<Input>,
    pub(crate) message_bytes: usize,
    pub(crate) room: Arc<Room>,
}

impl SessionReader {
    /// Reads until the client is gone. `early` is what came together with the preface.
    pub(crate) async fn run(self, early: Bytes) {
        let session = self.session;
        let inbox = self.inbox.clone();
        tasks::caught("session reader", self.read_all(early)).await;
        // A hub that is gone needs no goodbye.
        let _gone = inbox.send(Input::Closed(session)).await;
    }

    async fn read_all(self, early: Bytes) {
        let source = Source::Socket(Arc::clone(&self.socket));
        let mut splitter = LineSplitter::new(self.message_bytes);
        let mut unfinished = Share::of(&self.room);
        let session = self.session;
        let desk = Desk {
            inbox: &self.inbox,
            room: &self.room,
            of: Some(&self),
        };
        let input = |lines| Input::Lines { session, lines };
        if !early.is_empty() {
            let mut pieces = Pieces::default();
            splitter.feed(&early, |line| pieces.push(line));
            drop(early);
            if !desk.hand_in(pieces, Found::Bytes, input).await {
                return;
            }
        }
        loop {
            if !self.is_let_through().await || source.readable().await.is_err() {
                return;
            }
            let mut pieces = Pieces::default();
            let found = match source.read(&mut splitter, |line| pieces.push(line)) {
                Ok(Found::End) => break,
                Ok(found @ (Found::Bytes | Found::Full | Found::Nothing)) => found,
                Err(_) => return,
            };
            make_do(&mut splitter, &mut unfinished);
            if !desk.hand_in(pieces, found, input).await {
                return;
            }
        }
        if splitter.leftover() > 0 {
            tracing::debug!(session = %self.session, bytes = splitter.leftover(), "the last line has no end");
        }
        drop(splitter);
        if has_hung_up(&self.socket) {
            return;
        }
        if self.inbox.send(Input::Ending(session)).await.is_ok() {
            // Without this the end of the client would show only at the next write to it.
            let _failed = hang_up(&self.socket).await;
        }
    }

    /// Waits at the valve; `false` if the client has gone meanwhile. What it wrote last is not read
    /// then: nobody is there to hear an answer.
    async fn is_let_through(&self) -> bool {
        if !self.valve.is_closed() {
            return true;
        }
        loop {
            tokio::select! {
                () = self.valve.passed() => return true,
                // Should it be impossible to watch for that, the valve alone counts.
                Ok(()) = hang_up(&self.socket) => return false,
                () = self.has_waited_to_speak() => {
                    let _hub_gone = self.inbox.send(Input::Unheard(self.session)).await;
                }
            }
        }
    }

    /// Returns when the client has said something that was not read, and some time has passed.
    async fn has_waited_to_speak(&self) {
        // Should it be impossible to watch for that, the client is taken for one that speaks.
        let _readable = self.socket.incoming().readable().await;
        time::sleep(UNHEARD).await;
    }
}

/// Reads the standard output of one process.
#[derive(Debug)]
pub(crate) struct ProcessReader {
    pub(crate) process: ProcessId,
    pub(crate) source: Source,
    pub(crate) inbox: Sender<Input>,
    pub(crate) message_bytes: usize,
    pub(crate) room: Arc<Room>,
}

impl ProcessReader {
    /// Reads until nobody can write there any more.
    pub(crate) async fn run(self) {
        let (process, inbox) = (self.process, self.inbox.clone());
        let unfinished = tasks::caught("server reader", self.read_all()).await;
        let heard = Heard::OutputEnded {
            unfinished: unfinished.unwrap_or(0),
        };
        let _hub_gone = inbox.send(Input::Heard { process, heard }).await;
    }

    /// The bytes of the last line that has no end.
    async fn read_all(self) -> usize {
        let process = self.process;
        let desk = Desk {
            inbox: &self.inbox,
            room: &self.room,
            of: None,
        };
        let mut splitter = LineSplitter::new(self.message_bytes);
        let mut unfinished = Share::of(&self.room);
        loop {
            if self.source.readable().await.is_err() {
                return splitter.leftover();
            }
            let mut pieces = Pieces::default();
            let found = match self.source.read(&mut splitter, |line| pieces.push(line)) {
                Ok(found @ (Found::Bytes | Found::Full | Found::Nothing)) => found,
                Ok(Found::End) | Err(_) => return splitter.leftover(),
            };
            make_do(&mut splitter, &mut unfinished);
            let input = |lines| Input::Output { process, lines };
            desk.hand_in(pieces, found, input).await;
        }
    }
}

/// Where lines are given to the hub.
struct Desk<'a> {
    inbox: &'a Sender<Input>,
    room: &'a Arc<Room>,
    /// The session whose lines they are, if they are one's.
    of: Option<&'a SessionReader>,
}

impl Desk<'_> {
    /// Gives what one read brought. If it is much, or more is to come at once, everybody else comes first
    /// after each piece: the hub with what it has, and peers that have said something meanwhile.
    ///
    /// Each piece of a session waits at its valve; what is left is dropped if its client has gone meanwhile.
    /// Says whether nobody has.
    async fn hand_in(&self, pieces: Pieces, found: Found, input: impl Fn(Lines) -> Input) -> bool {
        let pieces = pieces.counted_in(self.room);
        let is_much = pieces.are_several();
        for lines in pieces {
            if let Some(reader) = self.of
                && !reader.is_let_through().await
            {
                return false;
            }
            let _hub_gone = self.inbox.send(input(lines)).await;
            if is_much {
                task::yield_now().await;
            }
        }
        if found == Found::Full && !is_much {
            task::yield_now().await;
        }
        true
    }
}

/// Keeps an unfinished line while there is room for it.
fn make_do(splitter: &mut LineSplitter, share: &mut Share) {
    let kept = splitter.leftover();
    if kept > SMALL_BYTES && share.try_set(kept) == Err(NoRoom) {
        splitter.give_up();
    }
    share.set(splitter.leftover());
}

/// Whether nobody holds the other end any more: a client that only closed its output still reads.
fn has_hung_up(socket: &Socket) -> bool {
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
async fn hang_up(socket: &Socket) -> io::Result<()> {
    let outgoing = socket.outgoing()?;
    loop {
        if outgoing.ready(Interest::WRITABLE).await?.is_write_closed() {
            return Ok(());
        }
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ours = outgoing.try_io(nothing);
    }
}
