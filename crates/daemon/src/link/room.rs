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

/// The room for all.
#[derive(Debug)]
pub(crate) struct Room {
    limit: usize,
    taken: AtomicUsize,
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
        })
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
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
        let taken = &self.room.taken;
        if bytes > self.bytes {
            taken.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            taken.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
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
