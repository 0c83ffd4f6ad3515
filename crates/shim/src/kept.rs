//! The client's lines that are not done yet.
//!
//! If the daemon dies, they are what the next one must hear of. They are kept as
//! bytes in one ring, in their order, each with what the daemon said of it, and with
//! what became of it at the daemons before.
//!
//! **Invariants:** what is kept is what is not done, plus at most as much that is
//! done and lies behind it; memory that is not needed goes back. A line that a server
//! may have seen is never told as fresh again.

use std::collections::VecDeque;

use crate::control::{Control, Past, Resumed};

/// A ring that is not larger than this is never made smaller.
const SMALL: usize = 16 * 1024;

/// Bytes that the ring has room for from the start.
const FIRST_BYTES: usize = 2 * 1024;

/// Lines that there is room for from the start.
const FIRST_LINES: usize = 32;

/// Longest line that is kept, in bytes, its newline included. A longer one is more
/// than a message may have, so the daemon refuses it in any case.
pub const LINE_MAX: usize = 64 * 1024 * 1024 + 1;

/// What is known of a line that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The daemon has it, or is about to get it, and has said nothing of it. If it
    /// was written whole, it counts as sent to a server.
    Handed,
    /// It waits in the daemon; no server has seen it.
    Held,
    /// It was held and has been sent to a server since.
    Sent,
}

/// The lines that are not done, and the one that is still coming in.
#[derive(Debug)]
pub struct Kept {
    /// All lines of `lines`, then the `open` bytes of the unfinished one.
    bytes: VecDeque<u8>,
    /// In the order of their numbers.
    lines: VecDeque<Line>,
    /// The number of the last line that was complete, 0 before the first.
    last: u64,
    /// Bytes of the line that has no newline yet.
    open: usize,
    /// The line that has no newline yet is not kept: it is too long, or done already.
    is_open_dropped: bool,
    /// Bytes of lines that are done and still take room.
    done_bytes: usize,
    /// Lines that are done and still take room.
    done_lines: usize,
    /// Lines that are answered and that the next daemon must hear again, in the order of
    /// their numbers. They stay for as long as the session does, so they are not in the
    /// way of what comes and goes.
    answered: Vec<(u64, Box<[u8]>)>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    /// Its newline included.
    len: usize,
    /// `None` once it is done.
    fate: Option<Fate>,
    /// What became of it at the daemons before.
    past: Past,
}

impl Default for Kept {
    /// Room for the first lines is made here, so that the thread that reads them
    /// need not allocate.
    fn default() -> Self {
        Kept {
            bytes: VecDeque::with_capacity(FIRST_BYTES),
            lines: VecDeque::with_capacity(FIRST_LINES),
            last: 0,
            open: 0,
            is_open_dropped: false,
            done_bytes: 0,
            done_lines: 0,
            answered: Vec::new(),
        }
    }
}

impl Kept {
    /// Takes in what was read from the client, be it part of a line or many lines.
    pub fn take_in(&mut self, chunk: &[u8]) {
        let mut begin = 0;
        for newline in memchr::memchr_iter(b'\n', chunk) {
            let end = newline + 1;
            self.extend_open(&chunk[begin..end]);
            self.complete_open();
            begin = end;
        }
        self.extend_open(&chunk[begin..]);
    }

    fn extend_open(&mut self, part: &[u8]) {
        if self.open + part.len() > LINE_MAX {
            self.drop_open();
        }
        if !self.is_open_dropped {
            self.bytes.extend(part);
            self.open += part.len();
        }
    }

    fn drop_open(&mut self) {
        self.is_open_dropped = true;
        self.bytes.truncate(self.bytes.len() - self.open);
        self.open = 0;
        self.shrink();
    }

    fn complete_open(&mut self) {
        self.last += 1;
        if !self.is_open_dropped {
            self.lines.push_back(Line {
                number: self.last,
                len: self.open,
                fate: Some(Fate::Handed),
                past: Past::Fresh,
            });
        }
        self.open = 0;
        self.is_open_dropped = false;
    }

    /// Notes what the daemon said of a line.
    ///
    /// Lines that are done already, or that never were, are passed over; and one that
    /// is answered and kept can only be done.
    pub fn note(&mut self, control: Control) {
        match control {
            Control::Held(number) => self.turn(number, Fate::Held),
            Control::Sent(number) => self.turn(number, Fate::Sent),
            Control::Keep(number) => self.put_aside(number),
            Control::Done(number) => self.finish(number),
            Control::Ending => {}
        }
    }

    fn turn(&mut self, number: u64, fate: Fate) {
        if let Some(line) = self.find(number)
            && line.fate.is_some()
        {
            line.fate = Some(fate);
        }
    }

    /// Makes a line one of those that are answered and heard again.
    fn put_aside(&mut self, number: u64) {
        let found = self
            .placed()
            .find(|(line, _)| line.number == number && line.fate.is_some());
        let Some((line, begin)) = found else {
            return;
        };
        let mut bytes = Vec::with_capacity(line.len);
        self.copy(begin, line.len, &mut bytes);
        let at = self.answered.partition_point(|(other, _)| *other < number);
        self.answered.insert(at, (number, bytes.into()));
        self.finish(number);
    }

    fn finish(&mut self, number: u64) {
        if number == self.last + 1 && self.open > 0 {
            // It has been refused before its end, and may have been answered: no daemon hears of it again.
            return self.drop_open();
        }
        let Some(line) = self.find(number) else {
            self.answered.retain(|(answered, _)| *answered != number);
            return;
        };
        let len = line.len;
        if line.fate.take().is_some() {
            self.done_bytes += len;
            self.done_lines += 1;
            self.release();
        } else {
            self.answered.retain(|(answered, _)| *answered != number);
        }
    }

    fn find(&mut self, number: u64) -> Option<&mut Line> {
        let at = self
            .lines
            .binary_search_by_key(&number, |line| line.number)
            .ok()?;
        self.lines.get_mut(at)
    }

    /// The daemon is gone, and of all lines only those up to this number can have come
    /// to it whole.
    ///
    /// Of a line that was told to be held it is certain that no server has seen it;
    /// of any other that came there whole it is not.
    pub fn break_off(&mut self, whole: u64) {
        for line in &mut self.lines {
            let was_sent = match line.fate {
                None => continue,
                Some(Fate::Handed) => line.number <= whole,
                Some(Fate::Sent) => true,
                Some(Fate::Held) => false,
            };
            line.fate = Some(Fate::Handed);
            if was_sent {
                line.past = match line.past {
                    Past::Fresh => Past::Sent,
                    Past::Sent | Past::Repeated => Past::Repeated,
                    Past::Kept => Past::Kept,
                };
            }
        }
    }

    /// Appends to `out` what the next daemon must be told of lines behind the number
    /// `after`, with each line itself, until there are `room` bytes or no more lines.
    ///
    /// Returns the number of each line that was told, and where in `out` it ends.
    pub fn tell(&self, after: u64, room: usize, out: &mut Vec<u8>) -> Vec<(u64, usize)> {
        let mut told = Vec::new();
        let mut answered = self
            .answered
            .iter()
            .filter(|(number, _)| *number > after)
            .peekable();
        let mut lines = self
            .placed()
            .filter(|(line, _)| line.number > after && line.fate.is_some())
            .peekable();
        while out.len() < room {
            let is_answered = match (answered.peek(), lines.peek()) {
                (Some((number, _)), Some((line, _))) => *number < line.number,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if is_answered && let Some((number, bytes)) = answered.next() {
                introduce(*number, Past::Kept, out);
                out.extend_from_slice(bytes);
                told.push((*number, out.len()));
            } else if let Some((line, begin)) = lines.next() {
                introduce(line.number, line.past, out);
                self.copy(begin, line.len, out);
                told.push((line.number, out.len()));
            }
        }
        told
    }

    /// The first line behind the number `after` that waits for an answer, as far as we
    /// know: its number, what became of it, and its bytes with the newline.
    pub fn next_open(&self, after: u64) -> Option<(u64, Past, Vec<u8>)> {
        let (line, begin) = self
            .placed()
            .find(|(line, _)| line.number > after && line.fate.is_some())?;
        let mut bytes = Vec::with_capacity(line.len);
        self.copy(begin, line.len, &mut bytes);
        Some((line.number, line.past, bytes))
    }

    /// The number of the first line that waits for an answer, as far as we know.
    pub fn first_open(&self) -> Option<u64> {
        let mut lines = self.lines.iter();
        Some(lines.find(|line| line.fate.is_some())?.number)
    }

    /// The number of the last line that was complete; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether the line that has no newline yet is not kept.
    pub fn open_line_is_dropped(&self) -> bool {
        self.is_open_dropped
    }

    /// The bytes of the line that has no newline yet; `None` if they are not kept.
    pub fn open_line(&self) -> Option<Vec<u8>> {
        if self.is_open_dropped {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.open);
        self.copy(self.bytes.len() - self.open, self.open, &mut bytes);
        Some(bytes)
    }

    /// All lines that take room, with where their bytes begin.
    fn placed(&self) -> impl Iterator<Item = (&Line, usize)> {
        let mut begin = 0;
        self.lines.iter().map(move |line| {
            let at = begin;
            begin += line.len;
            (line, at)
        })
    }

    fn copy(&self, begin: usize, len: usize, out: &mut Vec<u8>) {
        let (front, back) = self.bytes.as_slices();
        let end = begin + len;
        let middle = front.len();
        out.extend_from_slice(&front[begin.min(middle)..end.min(middle)]);
        out.extend_from_slice(&back[begin.max(middle) - middle..end.max(middle) - middle]);
    }

    /// Bytes of complete lines that are not done; those that are answered do not count.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.open - self.done_bytes
    }

    /// Gives back the room of lines that are done.
    fn release(&mut self) {
        while let Some(first) = self.lines.front() {
            if first.fate.is_some() {
                break;
            }
            self.bytes.drain(..first.len);
            self.done_bytes -= first.len;
            self.done_lines -= 1;
            self.lines.pop_front();
        }
        // One long call must not keep everything that was done behind it.
        let is_mostly_done = self.done_bytes > SMALL.max(self.bytes.len() / 2)
            || self.done_lines > FIRST_LINES.max(self.lines.len() / 2);
        if is_mostly_done {
            self.close_gaps();
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        shrink(&mut self.bytes, SMALL);
        shrink(&mut self.lines, SMALL / size_of::<Line>());
    }

    fn close_gaps(&mut self) {
        let mut bytes = VecDeque::with_capacity(self.bytes.len() - self.done_bytes);
        let mut begin = 0;
        for line in &self.lines {
            if line.fate.is_some() {
                bytes.extend(self.bytes.range(begin..begin + line.len));
            }
            begin += line.len;
        }
        bytes.extend(self.bytes.range(begin..));
        self.bytes = bytes;
        self.lines.retain(|line| line.fate.is_some());
        self.done_bytes = 0;
        self.done_lines = 0;
    }
}

fn introduce(number: u64, past: Past, out: &mut Vec<u8>) {
    out.extend_from_slice(Resumed::Line { number, past }.to_string().as_bytes());
}

fn shrink<T>(ring: &mut VecDeque<T>, small: usize) {
    if ring.capacity() > small && ring.len() < ring.capacity() / 4 {
        ring.shrink_to((ring.len() * 2).max(small / 2));
    }
}

#[cfg(test)]
mod tests;
