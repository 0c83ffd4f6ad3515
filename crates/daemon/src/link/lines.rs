//! What one read brought.

use wire::Line;

/// Lines of one peer, in order. One alone, as in a conversation of call and answer, takes no allocation.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    first: Option<Line>,
    more: Vec<Line>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Lines::default()
    }

    pub(crate) fn push(&mut self, line: Line) {
        if self.first.is_none() {
            self.first = Some(line);
        } else {
            self.more.push(line);
        }
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
