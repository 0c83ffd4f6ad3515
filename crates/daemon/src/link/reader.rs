//! From bytes to lines: one task per session, and one per server's standard output.
//!
//! What one read brought is parsed by the hub, where the core takes it over, and not moved around as a
//! structure before. Much of it goes there piece by piece, and everybody else comes first in between: a
//! peer that floods us makes itself wait.
//!
//! **Invariant:** every line reaches the hub, in order; whatever ends a reader, the hub hears of it.

mod web;

use std::{io, sync::Arc, time::Duration};

use mux::SessionId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    sync::{futures::OwnedNotified, mpsc::Sender},
    task::yield_now,
    time,
};
use wire::LineSplitter;

use super::{
    Found, Lines, NoRoom, Pieces, Rest, Room, Share, Socket, Source, Stopped, Turnstile, Valve,
    lines::count_in, until_halted,
};
use crate::{
    failpoint,
    hub::{Heard, Input, ProcessId},
    tasks,
};

/// So much of an unfinished line is kept in any case: it may wait in the system, too.
const SMALL_BYTES: usize = 64 << 10;

/// Pieces for which there stays a place in each reader.
const PIECES_KEPT: usize = 4;

/// How long a client that is not read may want to say something before the hub hears of it, and again.
pub(crate) const UNHEARD: Duration = Duration::from_secs(15);

/// Reads one session.
#[derive(Debug)]
pub(crate) struct SessionReader {
    pub(crate) session: SessionId,
    pub(crate) socket: Arc<Socket>,
    pub(crate) valve: Arc<Valve>,
    /// What a flood waits at, so that others come first.
    pub(crate) floods: Arc<Turnstile>,
    pub(crate) inbox: Sender<Input>,
    pub(crate) room: Arc<Room>,
}

impl SessionReader {
    /// Reads until the client is gone, of which the hub hears; or until all are to stop, and then hands
    /// out what it has not handed in. It begins with `rest`: what came with the preface, for example.
    pub(crate) async fn run(self, mut rest: Rest, halt: OwnedNotified) -> Stopped<Rest> {
        const NAME: &str = "session reader";
        let to_the_end = async {
            if rest.unpacker.is_some() {
                tasks::caught(NAME, self.read_web(&mut rest)).await;
            } else {
                tasks::caught(NAME, self.read_all(&mut rest)).await;
            }
            // A hub that is gone needs no goodbye.
            let _gone = self.inbox.send(Input::Closed(self.session)).await;
        };
        let has_ended = until_halted(halt, NAME, to_the_end).await;
        Stopped::with(has_ended, rest)
    }

    async fn read_all(&self, rest: &mut Rest) {
        let source = Source::Socket(Arc::clone(&self.socket));
        let mut unfinished = Share::of(&self.room);
        let session = self.session;
        let desk = Desk {
            inbox: &self.inbox,
            room: &self.room,
            floods: &self.floods,
            of: Some(self),
        };
        let input = |lines| Input::Lines { session, lines };
        if !desk.hand_in(rest, Found::Bytes, input).await {
            return;
        }
        loop {
            if !self.is_let_through().await || source.readable().await.is_err() {
                return;
            }
            let found = match read_once(&source, rest) {
                Ok(Found::End) => break,
                Ok(found @ (Found::Bytes | Found::Full | Found::Nothing)) => found,
                Err(_) => return,
            };
            make_do(rest, &mut unfinished);
            failpoint::heard(rest.pieces.iter().flat_map(Lines::iter));
            if !desk.hand_in(rest, found, input).await {
                return;
            }
        }
        let leftover = rest.splitter.leftover();
        if leftover > 0 {
            tracing::debug!(session = %self.session, bytes = leftover, "the last line has no end");
        }
        rest.splitter = LineSplitter::new(0);
        if has_hung_up(&self.socket) {
            return;
        }
        if self.inbox.send(Input::Ending(session)).await.is_ok() {
            // Without this the end of the client would show only at the next write to it.
            let _failed = self.socket.gone().await;
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
                Ok(()) = self.socket.gone() => return false,
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
    /// What a flood waits at, so that others come first.
    pub(crate) floods: Arc<Turnstile>,
    pub(crate) inbox: Sender<Input>,
    pub(crate) room: Arc<Room>,
}

impl ProcessReader {
    /// Reads until nobody can write there any more, of which the hub hears; or until all are to stop, and
    /// then hands out what it has not handed in.
    pub(crate) async fn run(self, mut rest: Rest, halt: OwnedNotified) -> Stopped<Rest> {
        const NAME: &str = "server reader";
        let process = self.process;
        let to_the_end = async {
            tasks::caught(NAME, self.read_all(&mut rest)).await;
            let heard = Heard::OutputEnded {
                unfinished: rest.splitter.leftover(),
            };
            let _hub_gone = self.inbox.send(Input::Heard { process, heard }).await;
        };
        let has_ended = until_halted(halt, NAME, to_the_end).await;
        Stopped::with(has_ended, rest)
    }

    async fn read_all(&self, rest: &mut Rest) {
        let process = self.process;
        let desk = Desk {
            inbox: &self.inbox,
            room: &self.room,
            floods: &self.floods,
            of: None,
        };
        let mut unfinished = Share::of(&self.room);
        let input = |lines| Input::Output { process, lines };
        desk.hand_in(rest, Found::Bytes, input).await;
        loop {
            if self.source.readable().await.is_err() {
                return;
            }
            let found = match read_once(&self.source, rest) {
                Ok(found @ (Found::Bytes | Found::Full | Found::Nothing)) => found,
                Ok(Found::End) | Err(_) => return,
            };
            make_do(rest, &mut unfinished);
            desk.hand_in(rest, found, input).await;
        }
    }
}

/// Where lines are given to the hub.
struct Desk<'a> {
    inbox: &'a Sender<Input>,
    room: &'a Arc<Room>,
    floods: &'a Turnstile,
    /// The session whose lines they are, if they are one's.
    of: Option<&'a SessionReader>,
}

impl Desk<'_> {
    /// Gives what one read brought. If it is much, or more is to come at once, everybody else comes first
    /// after each piece: the hub with what it has, and peers that have said something meanwhile.
    ///
    /// Each piece of a session waits at its valve; what is left is dropped if its client has gone meanwhile.
    /// Says whether nobody has.
    async fn hand_in(&self, rest: &mut Rest, found: Found, input: impl Fn(Lines) -> Input) -> bool {
        count_in(&mut rest.pieces, self.room);
        let is_much = rest.pieces.len() > 1;
        while !rest.pieces.is_empty() {
            if let Some(reader) = self.of
                && !reader.is_let_through().await
            {
                return false;
            }
            // Taken out only when there is a place for it, as the reader may have to stop meanwhile.
            let Ok(place) = self.inbox.reserve().await else {
                return false;
            };
            if let Some(lines) = rest.pieces.pop_front() {
                place.send(input(lines));
            }
            if is_much {
                self.let_others_go_first().await;
            }
        }
        // A flood's place is not kept for what comes after it.
        rest.pieces.shrink_to(PIECES_KEPT);
        if found == Found::Full && !is_much {
            self.let_others_go_first().await;
        }
        true
    }

    async fn let_others_go_first(&self) {
        yield_now().await;
        self.floods.passed().await;
    }
}

/// Reads once, and has what that brought stand ready.
fn read_once(source: &Source, rest: &mut Rest) -> io::Result<Found> {
    let mut pieces = Pieces::default();
    let found = source.read(&mut rest.splitter, |line| pieces.push(line));
    rest.pieces.extend(pieces);
    found
}

/// Keeps an unfinished line while there is room for it.
fn make_do(rest: &mut Rest, share: &mut Share) {
    let kept = rest.splitter.leftover();
    if kept > SMALL_BYTES && share.try_set(kept) == Err(NoRoom) {
        let mut news = Pieces::default();
        rest.splitter.give_up(|line| news.push(line));
        rest.pieces.extend(news);
    }
    share.set(rest.splitter.leftover());
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use tokio::{
        io::AsyncWriteExt as _,
        net::unix::pipe,
        sync::mpsc::{self, Receiver},
    };
    use wire::Line;

    use super::*;
    use crate::link::{Halt, Reading};

    /// More lines than a piece has, in one read.
    fn flood() -> String {
        (0..100).fold(String::new(), |mut lines, number| {
            writeln!(lines, "{number}").unwrap();
            lines
        })
    }

    /// The lines of the next piece, each with its end, or nothing behind the last.
    async fn next_piece(inbox: &mut Receiver<Input>) -> Option<String> {
        let input = inbox.recv().await.unwrap();
        let Input::Output { lines, .. } = input else {
            let ended = matches!(
                input,
                Input::Heard {
                    heard: Heard::OutputEnded { unfinished: 0 },
                    ..
                }
            );
            assert!(ended, "{input:?}");
            return None;
        };
        let lines = lines.into_iter().map(|line| match line {
            Line::Whole(line) => format!("{}\n", str::from_utf8(&line).unwrap()),
            line @ (Line::TooLong(_) | Line::GivenUp(_) | Line::Unended(_)) => panic!("{line:?}"),
        });
        Some(lines.collect())
    }

    /// Somebody who reads this of a server that has ended since, while floods wait.
    async fn reads(read: &str, halt: &Halt) -> (Reading<Rest>, Receiver<Input>, Arc<Turnstile>) {
        let (mut server, output) = pipe::pipe().unwrap();
        server.write_all(read.as_bytes()).await.unwrap();
        let floods = Arc::new(Turnstile::new().unwrap());
        floods.lock();
        let (inbox, heard) = mpsc::channel(100);
        let reader = ProcessReader {
            process: ProcessId(1),
            source: Source::Pipe(Arc::new(output)),
            floods: Arc::clone(&floods),
            inbox,
            room: Room::new(1 << 20),
        };
        let mut reading = Reading::Halted(Rest::of(b"", 100));
        reading.go_on("test", halt, |rest, halt| reader.run(rest, halt));
        (reading, heard, floods)
    }

    #[tokio::test]
    async fn a_flood_that_waits_and_is_halted_leaves_what_it_has_not_handed_in() {
        let halt = Halt::default();
        let (mut reading, mut inbox, _floods) = reads(&flood(), &halt).await;
        let heard = next_piece(&mut inbox).await.unwrap();
        halt.all();
        reading.ended().await;
        let left = String::from_utf8(reading.unread().unwrap()).unwrap();
        assert!(!left.is_empty());
        assert_eq!(heard + &left, flood());
    }

    #[tokio::test]
    async fn a_flood_passes_one_piece_at_each_turn() {
        let halt = Halt::default();
        let (_reading, mut inbox, floods) = reads(&flood(), &halt).await;
        let mut heard = next_piece(&mut inbox).await.unwrap();
        while heard.len() < flood().len() {
            floods.is_asked().await;
            assert!(inbox.try_recv().is_err(), "it did not wait for its turn");
            floods.let_one_through();
            heard += &next_piece(&mut inbox).await.unwrap();
        }
        assert_eq!(heard, flood());
    }

    #[tokio::test]
    async fn the_last_words_of_a_flood_come_at_once_and_whole_when_nobody_waits_any_more() {
        let halt = Halt::default();
        let (mut reading, mut inbox, floods) = reads(&flood(), &halt).await;
        let mut heard = next_piece(&mut inbox).await.unwrap();
        floods.unlock();
        while let Some(piece) = next_piece(&mut inbox).await {
            heard += &piece;
        }
        assert_eq!(heard, flood());
        reading.ended().await;
        assert!(matches!(reading, Reading::Over));
    }
}
