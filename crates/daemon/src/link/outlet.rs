//! What waits for one peer to read.
//!
//! Entries are written in order, as many as go in one system call; the lines that replies are done
//! with travel in the same call, merged into one control line behind them.
//!
//! **Invariant:** a message that was begun is finished. Dropping ([`Outlet::cut`]) never tears one,
//! and never drops a line that a shim waits for.

#[cfg(feature = "audit")]
mod books;
mod entry;

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, IoSlice, Write as _},
    sync::Arc,
};

use bytes::Bytes;
use mux::{Answered, LineNumber, Refusal, Then};
use serde::{Deserialize, Serialize};
use shim::answer::Answer;
use shim::control;
use smallvec::SmallVec;
use wire::Outgoing;

use super::{Backlog, Overflow, Room, Share, Sign, Sink};
use entry::{Entry, Role};

/// Slices handed to the system at once.
const SLICES_MAX: usize = 128;

/// As many as there mostly are.
const SLICES_OFTEN: usize = 16;

/// Lines named by one control line.
const DONE_MAX: usize = 1024;

/// The way out to one peer.
#[derive(Debug)]
pub(crate) struct Outlet {
    sink: Sink,
    queue: VecDeque<Entry>,
    /// Bytes of the first entry, line end included, that have been written.
    head_written: usize,
    /// What the bytes in the queue that have not been written take of the room for all.
    waiting: Share,
    /// Bytes that were ever written.
    taken: u64,
    /// Lines that are done and not told yet.
    done: Vec<LineNumber>,
    /// The control line that is built for the next write.
    done_text: Vec<u8>,
    /// Lines that are still to be told to be kept.
    keeps: BTreeSet<LineNumber>,
    /// Bytes behind the entry being written from which on there is an overflow.
    limit: usize,
    tells_lines: bool,
    /// Whether messages go in frames of a WebSocket, and not on lines.
    packs: bool,
}

/// All of an outlet but for the way out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct FrozenOutlet {
    queue: Vec<Entry>,
    head_written: usize,
    taken: u64,
    done: Vec<LineNumber>,
    keeps: BTreeSet<LineNumber>,
    tells_lines: bool,
    #[serde(default)]
    packs: bool,
}

/// What one system call did.
#[derive(Debug)]
struct Write {
    /// Bytes that it took.
    taken: usize,
    /// Bytes that it was offered.
    offered: usize,
    /// Bytes that the entries and the control line behind them have.
    all: usize,
    /// Entries that it was offered.
    entries: usize,
}

impl Write {
    fn is_whole(&self) -> bool {
        self.taken == self.all
    }
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits.
    All,
    /// The peer must read before more goes.
    Blocked,
    /// Nobody will ever read it.
    Broken,
}

/// What was for a peer and never began to be written to it.
#[derive(Debug)]
pub(crate) struct Unwritten {
    messages: Vec<Outgoing>,
    /// What they take of the room for all.
    share: Share,
}

impl FrozenOutlet {
    /// Whether messages go in frames of a WebSocket.
    pub(crate) fn packs(&self) -> bool {
        self.packs
    }

    /// Whether what is said to be written is a part of what there is.
    pub(crate) fn is_sound(&self) -> bool {
        let first = self.queue.first().map_or(1, Entry::len);
        self.head_written < first
    }
}

impl Unwritten {
    /// Another message that comes too late.
    pub(crate) fn push(&mut self, message: Outgoing) {
        self.share.set(self.share.bytes() + message.len());
        self.messages.push(message);
    }

    /// What never began to be written to a process that is gone, or will be.
    pub(crate) fn of(messages: Vec<Outgoing>, room: &Arc<Room>) -> Self {
        let mut share = Share::of(room);
        share.set(messages.iter().map(Outgoing::len).sum());
        Unwritten { messages, share }
    }

    pub(crate) fn messages(&self) -> Vec<Outgoing> {
        self.messages.clone()
    }

    pub(crate) fn into_messages(self) -> Vec<Outgoing> {
        self.messages
    }
}

impl Outlet {
    /// To a peer that gets messages alone.
    pub(crate) fn plain(sink: Sink, limit: usize, room: &Arc<Room>) -> Self {
        Outlet {
            sink,
            queue: VecDeque::new(),
            head_written: 0,
            waiting: Share::of(room),
            taken: 0,
            done: Vec::new(),
            done_text: Vec::new(),
            keeps: BTreeSet::new(),
            limit,
            tells_lines: false,
            packs: false,
        }
    }

    /// To a peer at the other end of a WebSocket.
    pub(crate) fn packing(sink: Sink, limit: usize, room: &Arc<Room>) -> Self {
        let mut outlet = Outlet::plain(sink, limit, room);
        outlet.packs = true;
        outlet
    }

    /// To a shim that keeps its lines and is told what becomes of them.
    pub(crate) fn keeping(sink: Sink, limit: usize, room: &Arc<Room>) -> Self {
        let mut outlet = Outlet::plain(sink, limit, room);
        outlet.tells_lines = true;
        outlet
    }

    /// What there is to be known of it, for the program that takes our place.
    pub(crate) fn freeze(&self) -> FrozenOutlet {
        FrozenOutlet {
            queue: self.queue.iter().cloned().collect(),
            head_written: self.head_written,
            taken: self.taken,
            done: self.done.clone(),
            keeps: self.keeps.clone(),
            tells_lines: self.tells_lines,
            packs: self.packs,
        }
    }

    /// Goes on where that program stopped.
    pub(crate) fn thaw(frozen: FrozenOutlet, sink: Sink, limit: usize, room: &Arc<Room>) -> Self {
        let all: usize = frozen.queue.iter().map(Entry::len).sum();
        let mut outlet = Outlet {
            queue: frozen.queue.into(),
            head_written: frozen.head_written,
            taken: frozen.taken,
            done: frozen.done,
            keeps: frozen.keeps,
            tells_lines: frozen.tells_lines,
            packs: frozen.packs,
            ..Outlet::plain(sink, limit, room)
        };
        outlet.waiting.set(all.saturating_sub(frozen.head_written));
        outlet
    }

    /// Whether messages go in frames of a WebSocket.
    pub(crate) fn packs(&self) -> bool {
        self.packs
    }

    pub(crate) fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Bytes that have not been written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.bytes()
    }

    /// Bytes that were ever written.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.done.is_empty()
    }

    /// Whether the next message is one too many. What is being written does not count, whatever its
    /// size, and neither does the message that is to come: a large one always fits.
    pub(crate) fn overflow(&self) -> Overflow {
        Overflow::of(self.behind_head(), self.limit)
    }

    /// How much there is to read. One message of any size is not much.
    pub(crate) fn backlog(&self) -> Backlog {
        let (messages, done) = (self.queue.len(), self.done.len());
        Backlog::of(self.behind_head(), messages, done, self.limit)
    }

    /// Bytes that wait behind the message being written.
    pub(crate) fn behind_head(&self) -> usize {
        let head = self
            .queue
            .front()
            .map_or(0, |entry| entry.len() - self.head_written);
        self.waiting() - head
    }

    /// Puts in a message, and what it answers, if it answers something.
    pub(crate) fn push(&mut self, message: Outgoing, answered: Option<Answered>) {
        let kept = answered
            .as_ref()
            .filter(|answered| self.tells_lines && answered.then == Then::Keep)
            .map(|answered| answered.line);
        let role = match answered {
            Some(answered) => Role::Answer(answered),
            None => Role::Message,
        };
        self.put(if self.packs {
            Entry::framed(message, role)
        } else {
            Entry::line(message, role)
        });
        if let Some(line) = kept {
            self.keeps.insert(line);
            self.put_control(&format!("keep {}", line.0), Role::Keep(line));
        }
    }

    /// Puts in the answer to a preface.
    pub(crate) fn push_answer(&mut self, answer: &Answer) {
        let line = answer.to_string();
        let message = Outgoing::from(line.trim_end().to_owned());
        self.put(Entry::line(message, Role::Control { announces: None }));
    }

    /// Says that the daemon ends because somebody wants it to.
    pub(crate) fn push_ending(&mut self) {
        if self.tells_lines {
            self.put_control("ending", Role::Control { announces: None });
        }
    }

    /// Says something of the connection itself, if there are words for it. Of several pings the last is
    /// answered alone, should the peer not have read an answer.
    pub(crate) fn push_sign(&mut self, sign: &Sign) {
        if !self.packs {
            return;
        }
        let entry = Entry::of_sign(sign);
        let begun = usize::from(self.head_written > 0);
        let mut waiting = self.queue.iter_mut().skip(begun);
        let earlier = waiting.find(|it| entry.is_pong() && it.is_pong());
        match earlier {
            Some(earlier) => {
                let more = self.waiting.bytes() + entry.len();
                self.waiting.set(more - earlier.len());
                *earlier = entry;
            }
            None => self.put(entry),
        }
    }

    /// Says that a line has to wait.
    pub(crate) fn held(&mut self, line: LineNumber) {
        if self.tells_lines {
            self.put_control(
                &format!("held {}", line.0),
                Role::Control { announces: None },
            );
        }
    }

    /// Says that a line is about to be sent. The flush that writes it reports it.
    pub(crate) fn announce(&mut self, line: LineNumber) {
        self.put_control(
            &format!("sent {}", line.0),
            Role::Control {
                announces: Some(line),
            },
        );
    }

    /// Says that lines are done, with the next write.
    pub(crate) fn done(&mut self, lines: &[LineNumber]) {
        if !self.tells_lines {
            return;
        }
        for line in lines {
            if self.keeps.contains(line) {
                // It must be told behind the answer, which waits still.
                self.put_control(
                    &format!("done {}", line.0),
                    Role::Control { announces: None },
                );
            } else {
                self.done.push(*line);
            }
        }
    }

    /// How many lines are done and wait for a write to travel with.
    pub(crate) fn untold(&self) -> usize {
        self.done.len()
    }

    /// Drops what has not begun to be written. A dropped answer becomes an error that says so.
    pub(crate) fn cut(&mut self) {
        let begun = usize::from(self.head_written > 0);
        let dropped = self.queue.split_off(begun.min(self.queue.len()));
        let left = self.queue.iter().map(Entry::len).sum::<usize>() - self.head_written;
        self.waiting.set(left);
        let mut cut = None;
        for entry in dropped {
            match entry.role {
                Role::Message => {}
                // The answer that it stood behind is dropped, and its line is done.
                Role::Keep(line) if cut == Some(line) => {
                    self.keeps.remove(&line);
                }
                Role::Control { .. } | Role::Keep(_) | Role::Pong => self.put(entry),
                Role::Answer(mut answered) => {
                    cut = Some(answered.line);
                    answered.then = Then::Done;
                    self.push(too_slow(&answered), Some(answered));
                }
            }
        }
    }

    /// Gives up the way to a peer that has gone, and hands out the messages of which not a byte was
    /// written.
    pub(crate) fn into_unwritten(mut self) -> Unwritten {
        let begun = usize::from(self.head_written > 0);
        let messages: Vec<Outgoing> = self
            .queue
            .drain(..)
            .skip(begun)
            .map(|entry| entry.message)
            .collect();
        let mut share = self.waiting;
        share.set(messages.iter().map(Outgoing::len).sum());
        Unwritten { messages, share }
    }

    /// Writes what goes. `on_announced` hears of each announcement that has left.
    pub(crate) fn flush(&mut self, mut on_announced: impl FnMut(LineNumber)) -> Flushed {
        while !self.is_empty() {
            let write = match self.write_some() {
                Ok(write) => write,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(_) => return Flushed::Broken,
            };
            self.taken += write.taken as u64;
            self.advance(&write, &mut on_announced);
            if write.taken < write.offered {
                self.sink.filled();
                return Flushed::Blocked;
            }
        }
        Flushed::All
    }

    fn put(&mut self, entry: Entry) {
        self.waiting.set(self.waiting() + entry.len());
        self.queue.push_back(entry);
    }

    fn put_control(&mut self, words: &str, role: Role) {
        let text = format!("{}{words}", char::from(control::MARK));
        let message = Outgoing::from(text);
        self.put(Entry::line(message, role));
    }

    /// One system call.
    fn write_some(&mut self) -> io::Result<Write> {
        let entries = self.entries_of_one_write();
        self.build_done_text(entries);
        let mut slices = SmallVec::<[IoSlice<'_>; SLICES_OFTEN]>::new();
        let mut skip = self.head_written;
        let pieces = self.queue.iter().take(entries).flat_map(Entry::slices);
        for piece in pieces.chain([self.done_text.as_slice()]) {
            let passed = skip.min(piece.len());
            skip -= passed;
            let rest = piece.get(passed..).unwrap_or_default();
            if !rest.is_empty() && slices.len() < SLICES_MAX {
                slices.push(IoSlice::new(rest));
            }
        }
        let all = self
            .queue
            .iter()
            .take(entries)
            .map(Entry::len)
            .sum::<usize>();
        Ok(Write {
            taken: self.sink.try_write(&slices)?,
            offered: slices.iter().map(|slice| slice.len()).sum(),
            all: all - self.head_written + self.done_text.len(),
            entries,
        })
    }

    /// How many entries fit into the slices of one write, with one for the control line. Of a message
    /// in more pieces than that, the first pieces go and the rest follows.
    fn entries_of_one_write(&self) -> usize {
        let mut slices = 1;
        let fits = |entry: &&Entry| {
            // And what stands around it.
            slices += entry.message.pieces().len() + 1;
            slices <= SLICES_MAX
        };
        let fitting = self.queue.iter().take_while(fits).count();
        fitting.max(1).min(self.queue.len())
    }

    fn build_done_text(&mut self, entries: usize) {
        self.done_text.clear();
        let answers = self
            .queue
            .iter()
            .take(entries)
            .filter(|_| self.tells_lines)
            .filter_map(Entry::done);
        for line in self.done.iter().copied().take(DONE_MAX).chain(answers) {
            if self.done_text.is_empty() {
                self.done_text.push(control::MARK);
                self.done_text.extend_from_slice(b"done");
            }
            // Writing to memory cannot fail.
            let _infallible = write!(self.done_text, " {}", line.0);
        }
        if !self.done_text.is_empty() {
            self.done_text.push(b'\n');
        }
    }

    /// Takes out what a write has taken.
    fn advance(&mut self, write: &Write, on_announced: &mut impl FnMut(LineNumber)) {
        let told = self.done.len().min(DONE_MAX);
        // Needed only where the control line behind the entries was not reached.
        let mut untold = Vec::new();
        let mut left = write.taken;
        let mut reached = true;
        for _ in 0..write.entries {
            let Some(head) = self.queue.front() else {
                break;
            };
            let rest = head.len() - self.head_written;
            if left < rest {
                self.head_written += left;
                self.waiting.set(self.waiting() - left);
                reached = false;
                break;
            }
            left -= rest;
            self.waiting.set(self.waiting() - rest);
            self.head_written = 0;
            match self.queue.pop_front().map(|entry| entry.role) {
                Some(Role::Answer(answered)) => {
                    if answered.then == Then::Done && !write.is_whole() {
                        untold.push(answered.line);
                    }
                }
                Some(Role::Keep(line)) => {
                    self.keeps.remove(&line);
                }
                Some(Role::Control {
                    announces: Some(line),
                }) => on_announced(line),
                Some(Role::Control { announces: None } | Role::Message | Role::Pong) | None => {}
            }
        }
        if !reached || left == 0 {
            if self.tells_lines {
                self.done.append(&mut untold);
            }
            return;
        }
        self.done.drain(..told);
        if left < self.done_text.len() {
            self.finish_later(left);
        }
    }

    /// A control line of done lines was begun and must be finished before all else.
    fn finish_later(&mut self, written: usize) {
        let text = self.done_text.strip_suffix(b"\n").unwrap_or_default();
        let message = Outgoing::from(Bytes::copy_from_slice(text));
        let entry = Entry::line(message, Role::Control { announces: None });
        self.waiting.set(self.waiting() + entry.len() - written);
        self.head_written = written;
        self.queue.push_front(entry);
    }
}

/// What a client gets in place of an answer that it did not read in time.
pub(super) fn too_slow(answered: &Answered) -> Outgoing {
    let refusal = |id| Refusal::TooSlow.to_response(Some(id));
    if answered.others.is_empty() {
        return refusal(&answered.id);
    }
    let mut batch = vec![b'['];
    for id in [&answered.id].into_iter().chain(&answered.others) {
        if batch.len() > 1 {
            batch.push(b',');
        }
        batch.extend(refusal(id).to_vec());
    }
    batch.push(b']');
    Outgoing::from(Bytes::from(batch))
}

#[cfg(test)]
mod tests;
