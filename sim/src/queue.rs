//! What is on its way over a link, with the moment at which each thing was said.
//!
//! **Invariant:** of two things in a world the one that was said first has the smaller stamp, whatever
//! links they are on.

use std::{cell::Cell, collections::VecDeque, rc::Rc};

/// Counts what is said in a world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamps(Rc<Cell<u64>>);

/// Things on their way, in the order in which they were said.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    things: VecDeque<(u64, T)>,
    stamps: Stamps,
    /// That of what was taken last.
    taken: u64,
}

impl<T> Queue<T> {
    /// An empty one, whose stamps are those of its world.
    pub(crate) fn new(stamps: &Stamps) -> Self {
        Queue {
            things: VecDeque::new(),
            stamps: stamps.clone(),
            taken: 0,
        }
    }

    pub(crate) fn push_back(&mut self, thing: T) {
        let stamp = self.stamps.0.get() + 1;
        self.stamps.0.set(stamp);
        self.things.push_back((stamp, thing));
    }

    /// Puts back what was taken last, or the rest of it.
    pub(crate) fn put_back(&mut self, thing: T) {
        self.things.push_front((self.taken, thing));
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let (stamp, thing) = self.things.pop_front()?;
        self.taken = stamp;
        Some(thing)
    }

    /// When the first of it was said.
    pub(crate) fn since(&self) -> Option<u64> {
        self.things.front().map(|(stamp, _)| *stamp)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.things.front().map(|(_, thing)| thing)
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.things.back().map(|(_, thing)| thing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.iter().map(|(_, thing)| thing)
    }

    pub(crate) fn len(&self) -> usize {
        self.things.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.things.clear();
    }

    /// Loses all but so many, and says what came first of that.
    pub(crate) fn cut(&mut self, kept: usize) -> Option<T> {
        let lost = self.things.split_off(kept.min(self.things.len()));
        lost.into_iter().next().map(|(_, thing)| thing)
    }

    /// Keeps what is made of each.
    pub(crate) fn replace(&mut self, change: impl Fn(T) -> Option<T>) {
        let things = std::mem::take(&mut self.things).into_iter();
        let kept = things.filter_map(|(stamp, thing)| Some((stamp, change(thing)?)));
        self.things = kept.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_first_has_the_smaller_stamp_also_when_it_is_put_back() {
        let stamps = Stamps::default();
        let (mut one, mut other) = (Queue::new(&stamps), Queue::new(&stamps));
        one.push_back('a');
        other.push_back('b');
        one.push_back('c');
        assert!(one.since() < other.since());
        assert_eq!(one.pop_front(), Some('a'));
        assert!(one.since() > other.since());
        one.put_back('a');
        assert!(one.since() < other.since());
        one.replace(|thing| (thing != 'a').then_some(thing));
        assert!(one.since() > other.since());
    }
}
