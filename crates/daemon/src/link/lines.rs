//! What one read brought.

use std::sync::Arc;

use wire::Line;

use super::{Room, Share};

/// Below this many bytes what a read brought is not counted: there is little of it, and often.
const UNCOUNTED_BYTES: usize = 4 << 10;

/// Lines of one peer, in order. One alone, as in a conversation of call and answer, takes no allocation.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    first: Option<Line>,
    more: Vec<Line>,
    bytes: usize,
    /// What they take of the room for all until the hub takes them in.
    share: Option<Share>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Lines::default()
    }

    pub(crate) fn push(&mut self, line: Line) {
        let (Line::Whole(bytes) | Line::TooLong(bytes) | Line::GivenUp(bytes)) = &line;
        self.bytes += bytes.len();
        if self.first.is_none() {
            self.first = Some(line);
        } else {
            self.more.push(line);
        }
    }

    /// Counts them to what is in memory.
    pub(crate) fn count_in(&mut self, room: &Arc<Room>) {
        if self.bytes >= UNCOUNTED_BYTES {
            let mut share = Share::of(room);
            share.set(self.bytes);
            self.share = Some(share);
        }
    }

    /// Counts them no longer: whoever takes them in counts what becomes of them.
    pub(crate) fn count_out(&mut self) {
        self.share = None;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl IntoIterator for Lines {
    type Item = Line;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Line>, std::vec::IntoIter<Line>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}
