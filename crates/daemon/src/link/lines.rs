//! What one read brought, in pieces.
//!
//! One read may bring thousands of lines. The hub takes in a piece of them at a time, so that whoever has
//! a single line to say does not wait for all of them.

use std::{collections::VecDeque, sync::Arc};

use wire::Line;

use super::{Room, Share};

/// Below this many bytes what a read brought is not counted: there is little of it, and often.
const UNCOUNTED_BYTES: usize = 4 << 10;

/// The most lines of one piece, and bytes unless it is one line: what the hub does with them takes about as
/// long as a call does in all.
const PIECE_LINES: usize = 16;
const PIECE_BYTES: usize = 16 << 10;

/// Lines of one peer, in order. One alone, as in a conversation of call and answer, takes no allocation.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    first: Option<Line>,
    more: Vec<Line>,
    bytes: usize,
    /// Whether the next piece of the same read follows at once.
    goes_on: bool,
    /// What they take of the room for all until the hub takes them in.
    share: Option<Share>,
}

impl Lines {
    fn push(&mut self, line: Line) {
        self.bytes += bytes_of(&line);
        if self.first.is_none() {
            self.first = Some(line);
        } else {
            self.more.push(line);
        }
    }

    /// How many bytes they have in all.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the next piece of the same read follows at once.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Counts them to what is in memory.
    fn count_in(&mut self, room: &Arc<Room>) {
        let mut share = Share::of(room);
        share.set(self.bytes);
        self.share = Some(share);
    }

    /// Counts them no longer: whoever takes them in counts what becomes of them.
    pub(crate) fn count_out(&mut self) {
        self.share = None;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.first.iter().chain(&self.more)
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Whether another line makes it more than a piece.
    fn is_full_with(&self, line: &Line) -> bool {
        !self.is_empty() && (self.len() == PIECE_LINES || self.bytes + bytes_of(line) > PIECE_BYTES)
    }
}

impl IntoIterator for Lines {
    type Item = Line;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Line>, std::vec::IntoIter<Line>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}

/// All lines of one read, in order.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    whole: Vec<Lines>,
    last: Lines,
}

impl Pieces {
    pub(crate) fn push(&mut self, line: Line) {
        if self.last.is_full_with(&line) {
            let mut whole = std::mem::take(&mut self.last);
            whole.goes_on = true;
            self.whole.push(whole);
        }
        self.last.push(line);
    }
}

/// Counts all of them to what is in memory.
pub(super) fn count_in(pieces: &mut VecDeque<Lines>, room: &Arc<Room>) {
    let bytes: usize = pieces.iter().map(|lines| lines.bytes).sum();
    if bytes >= UNCOUNTED_BYTES {
        for lines in pieces {
            lines.count_in(room);
        }
    }
}

impl IntoIterator for Pieces {
    type Item = Lines;
    type IntoIter = std::iter::Chain<std::vec::IntoIter<Lines>, std::option::IntoIter<Lines>>;

    fn into_iter(self) -> Self::IntoIter {
        let last = Some(self.last).filter(|lines| !lines.is_empty());
        self.whole.into_iter().chain(last)
    }
}

fn bytes_of(line: &Line) -> usize {
    match line {
        Line::Whole(bytes) => bytes.len(),
        Line::TooLong(left) | Line::GivenUp(left) => left.head.len() + left.tail.len(),
        Line::Unended(news) => news.head.len(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn pieces_hold_all_lines_in_their_order_and_none_is_large() {
        for count in [0, 1, PIECE_LINES, PIECE_LINES + 1, 10 * PIECE_LINES] {
            let mut pieces = Pieces::default();
            let lines: Vec<Line> = (0..count)
                .map(|number| Line::Whole(Bytes::from(number.to_string())))
                .collect();
            for line in lines.clone() {
                pieces.push(line);
            }
            let mut handed = Vec::new();
            for piece in pieces {
                assert!((1..=PIECE_LINES).contains(&piece.len()));
                let is_last = handed.len() + piece.len() == count;
                assert_eq!(piece.goes_on(), !is_last);
                handed.extend(piece);
            }
            assert_eq!(handed, lines);
        }
    }

    #[test]
    fn a_long_line_is_a_piece_of_its_own() {
        let mut pieces = Pieces::default();
        for len in [10, PIECE_BYTES + 1, 10, 10] {
            pieces.push(Line::Whole(Bytes::from(vec![b'x'; len])));
        }
        let lens: Vec<usize> = pieces.into_iter().map(|piece| piece.len()).collect();
        assert_eq!(lens, [1, 1, 2]);
    }
}
