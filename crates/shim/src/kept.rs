//! The client's lines that are not done yet.
//!
//! If the daemon dies, they are what the next one must hear of. They are kept as
//! bytes in one ring, in their order, each with what the daemon said of it.
//!
//! **Invariant:** what is kept is what is not done, plus at most as much that is
//! done and lies behind it; memory that is not needed goes back.

use std::collections::VecDeque;

use crate::control::Control;

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
    /// It is answered, and the next daemon must hear it again.
    Kept,
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
    /// The line that has no newline yet is too long to be kept.
    is_open_oversize: bool,
    /// Bytes of lines that are done and still take room.
    done_bytes: usize,
    /// Lines that are done and still take room.
    done_lines: usize,
}

#[derive(Debug)]
struct Line {
    number: u64,
    /// Its newline included.
    len: usize,
    /// `None` once it is done.
    fate: Option<Fate>,
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
            is_open_oversize: false,
            done_bytes: 0,
            done_lines: 0,
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
            self.is_open_oversize = true;
            self.bytes.truncate(self.bytes.len() - self.open);
            self.open = 0;
            self.shrink();
        }
        if !self.is_open_oversize {
            self.bytes.extend(part);
            self.open += part.len();
        }
    }

    fn complete_open(&mut self) {
        self.last += 1;
        if !self.is_open_oversize {
            self.lines.push_back(Line {
                number: self.last,
                len: self.open,
                fate: Some(Fate::Handed),
            });
        }
        self.open = 0;
        self.is_open_oversize = false;
    }

    /// Notes what the daemon said of a line.
    ///
    /// Lines that are done already, or that never were, are passed over.
    pub fn note(&mut self, control: Control) {
        let (number, fate) = match control {
            Control::Held(number) => (number, Some(Fate::Held)),
            Control::Sent(number) => (number, Some(Fate::Sent)),
            Control::Keep(number) => (number, Some(Fate::Kept)),
            Control::Done(number) => (number, None),
        };
        let Ok(at) = self.lines.binary_search_by_key(&number, |line| line.number) else {
            return;
        };
        let line = &mut self.lines[at];
        if line.fate.is_none() {
            return;
        }
        line.fate = fate;
        if fate.is_none() {
            self.done_bytes += line.len;
            self.done_lines += 1;
            self.release();
        }
    }

    /// Bytes of complete lines that are not done.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.open - self.done_bytes
    }

    /// The lines that are not done, in order: number, fate, and the bytes with their
    /// newline.
    pub fn lines(&self) -> impl Iterator<Item = (u64, Fate, Vec<u8>)> {
        let mut begin = 0;
        self.lines.iter().filter_map(move |line| {
            let range = begin..begin + line.len;
            begin = range.end;
            let bytes = self.bytes.range(range).copied().collect();
            Some((line.number, line.fate?, bytes))
        })
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

fn shrink<T>(ring: &mut VecDeque<T>, small: usize) {
    if ring.capacity() > small && ring.len() < ring.capacity() / 4 {
        ring.shrink_to((ring.len() * 2).max(small / 2));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(kept: &Kept) -> Vec<(u64, Fate, String)> {
        kept.lines()
            .map(|(number, fate, bytes)| (number, fate, String::from_utf8(bytes).unwrap()))
            .collect()
    }

    #[test]
    fn lines_are_counted_from_one_however_they_come_in() {
        let text = b"first\n\nthird\nfourth";
        for cut in 0..text.len() {
            let mut kept = Kept::default();
            kept.take_in(&text[..cut]);
            kept.take_in(&text[cut..]);
            assert_eq!(
                shown(&kept),
                [
                    (1, Fate::Handed, "first\n".into()),
                    (2, Fate::Handed, "\n".into()),
                    (3, Fate::Handed, "third\n".into()),
                ]
            );
            assert_eq!((kept.last, kept.waiting_bytes()), (3, 13));
        }
    }

    #[test]
    fn a_line_goes_through_held_and_sent_to_done() {
        let mut kept = Kept::default();
        kept.take_in(b"a\nb\n");
        kept.note(Control::Held(2));
        assert_eq!(shown(&kept)[1].1, Fate::Held);
        kept.note(Control::Sent(2));
        assert_eq!(shown(&kept)[1].1, Fate::Sent);
        kept.note(Control::Done(2));
        assert_eq!(shown(&kept), [(1, Fate::Handed, "a\n".into())]);
    }

    #[test]
    fn notes_on_lines_that_are_done_or_never_were_change_nothing() {
        let mut kept = Kept::default();
        kept.take_in(b"a\nb\nunfinished");
        kept.note(Control::Done(2));
        for number in [0, 2, 3, u64::MAX] {
            kept.note(Control::Done(number));
            kept.note(Control::Held(number));
        }
        assert_eq!(shown(&kept), [(1, Fate::Handed, "a\n".into())]);
        assert_eq!(kept.waiting_bytes(), 2);
    }

    #[test]
    fn a_hundred_thousand_lines_behind_a_long_call_take_no_room_when_done() {
        let mut kept = Kept::default();
        kept.take_in(b"the long call\n");
        for number in 2..=100_000 {
            kept.take_in(format!("{{\"id\":{number},\"method\":\"ping\"}}\n").as_bytes());
            kept.note(Control::Done(number));
        }
        kept.take_in(b"open");
        assert_eq!(shown(&kept), [(1, Fate::Handed, "the long call\n".into())]);
        assert_eq!(kept.last, 100_000);
        assert!(kept.bytes.capacity() <= 4 * SMALL);
        assert!(kept.lines.len() <= 2 * FIRST_LINES);
    }

    #[test]
    fn the_room_of_a_large_line_goes_back_when_it_is_done() {
        let mut kept = Kept::default();
        kept.take_in(&vec![b'x'; 10 << 20]);
        kept.take_in(b"\n");
        assert_eq!(kept.waiting_bytes(), (10 << 20) + 1);
        kept.note(Control::Done(1));
        assert_eq!(kept.waiting_bytes(), 0);
        assert!(kept.bytes.capacity() <= SMALL);
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_not_kept() {
        let mut kept = Kept::default();
        kept.take_in(b"a\n");
        let part = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            kept.take_in(&part);
        }
        assert!(kept.bytes.capacity() <= SMALL);
        kept.take_in(b"\nb\n");
        assert_eq!(
            shown(&kept),
            [
                (1, Fate::Handed, "a\n".into()),
                (3, Fate::Handed, "b\n".into())
            ]
        );
        kept.note(Control::Done(2));
        assert_eq!(kept.waiting_bytes(), 4);
    }

    proptest! {
        #[test]
        fn it_keeps_what_a_plain_list_would_keep(
            steps in prop::collection::vec((0usize..300, any::<prop::sample::Index>()), 1..400),
        ) {
            let mut kept = Kept::default();
            let mut model: Vec<(u64, Fate, String)> = Vec::new();
            for (number, (len, done)) in (1..).zip(steps) {
                let line = format!("{}\n", number.to_string().repeat(len));
                kept.take_in(line.as_bytes());
                model.push((number, Fate::Handed, line));
                if len % 3 > 0 {
                    let (number, ..) = model.remove(done.index(model.len()));
                    kept.note(Control::Done(number));
                }
                let waiting: usize = model.iter().map(|(.., line)| line.len()).sum();
                prop_assert_eq!(kept.waiting_bytes(), waiting);
            }
            prop_assert_eq!(shown(&kept), model);
        }
    }
}
