//! How much of what comes and goes is in memory, over all links.
//!
//! Lines that are not whole, lines that the hub has not taken in, messages that wait to be read: each has
//! a [`Share`] of one [`Room`]. What has to be taken is taken even if that is too much, and who has most
//! is cut for it; what comes in is refused. A line grows only while it takes less than what is left, so
//! that a few peers with long lines leave room for the others.
//!
//! **Invariant:** what is taken is the sum of the shares that there are.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The room for all, or a part of it.
#[derive(Debug)]
pub(crate) struct Room {
    limit: usize,
    taken: AtomicUsize,
    /// What it is a part of.
    whole: Option<Arc<Room>>,
}

/// What somebody takes of it.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

/// There is too little left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Room {
    /// Room for so many bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Room {
            limit,
            taken: AtomicUsize::new(0),
            whole: None,
        })
    }

    /// The half of it that is for what sessions have to read. The other half is always left for what
    /// comes in.
    pub(crate) fn half(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Room {
            limit: self.limit / 2,
            taken: AtomicUsize::new(0),
            whole: Some(Arc::clone(self)),
        })
    }

    /// A part of it whose own sum is of interest, and that is bounded by the whole alone.
    pub(crate) fn part(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Room {
            limit: self.limit,
            taken: AtomicUsize::new(0),
            whole: Some(Arc::clone(self)),
        })
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn change(&self, from: usize, to: usize) {
        if to > from {
            self.taken.fetch_add(to - from, Ordering::Relaxed);
        } else if to < from {
            self.taken.fetch_sub(from - to, Ordering::Relaxed);
        }
        if let Some(whole) = &self.whole {
            whole.change(from, to);
        }
    }

    /// How much too much it would be if so many bytes more were taken.
    pub(crate) fn lacking(&self, more: usize) -> usize {
        (self.taken() + more).saturating_sub(self.limit)
    }
}

impl Share {
    /// Nothing, as yet.
    pub(crate) fn of(room: &Arc<Room>) -> Self {
        Share {
            room: Arc::clone(room),
            bytes: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes so many bytes, no more and no less, whatever is left.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.room.change(self.bytes, bytes);
        self.bytes = bytes;
    }

    /// Takes so many bytes, if as many are left for others.
    pub(crate) fn try_set(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let of_others = self.room.taken() - self.bytes;
        if bytes > self.bytes && of_others + bytes.saturating_mul(2) > self.room.limit {
            return Err(NoRoom);
        }
        self.set(bytes);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_the_sum_of_the_shares() {
        let room = Room::new(100);
        let (mut one, mut other) = (Share::of(&room), Share::of(&room));
        one.set(70);
        other.set(50);
        one.set(60);
        assert_eq!((room.taken(), room.lacking(5)), (110, 15));
        drop(one);
        assert_eq!((room.taken(), room.lacking(5)), (50, 0));
    }

    #[test]
    fn what_a_part_takes_the_whole_has_not() {
        let room = Room::new(100);
        let half = room.half();
        let (mut of_half, mut of_whole) = (Share::of(&half), Share::of(&room));
        of_half.set(45);
        of_whole.set(30);
        assert_eq!((half.lacking(10), room.taken()), (5, 75));
        drop(of_half);
        assert_eq!((half.taken(), room.taken()), (0, 30));
    }

    #[test]
    fn who_has_much_leaves_as_much_to_others() {
        let room = Room::new(100);
        let mut shares: Vec<Share> = Vec::new();
        for expected in [50, 25, 12, 6, 3] {
            let mut share = Share::of(&room);
            while share.try_set(share.bytes() + 1).is_ok() {}
            assert_eq!(share.bytes(), expected);
            shares.push(share);
        }
        // Less is always possible.
        assert_eq!(shares[0].try_set(49), Ok(()));
    }
}
