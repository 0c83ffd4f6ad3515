//! How much the core holds, in bytes of messages and for whom.
//!
//! Whatever the core keeps of a message is [`Weighed`] on the scales of the session or upstream that it
//! is kept for, and all of these count to one sum. What is let go of is taken off by itself, however that
//! comes about.
//!
//! **Invariant:** the sum is that of all [`Weighed`] that there are.

use alloc::{boxed::Box, sync::Arc};
use core::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::{Frame, Outgoing};

/// What is held for one peer, and with it the sum of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scales(Arc<Pan>);

#[derive(Debug, Default)]
struct Pan {
    bytes: Count,
    messages: Count,
    /// Bytes of all peers together.
    all: Arc<Count>,
}

/// A message, or something that was made of one, as long as it is held.
#[derive(Debug)]
pub(crate) struct Weighed<T> {
    value: T,
    scales: Scales,
    bytes: usize,
}

/// A number that several parts of the core change, one at a time.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

/// What has a length in bytes.
pub(crate) trait Heavy {
    fn weight(&self) -> usize;
}

impl Heavy for Frame {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Heavy for Outgoing {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Heavy for Box<str> {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Scales {
    /// For another peer, whose things count to the same sum.
    pub(crate) fn of_another(&self) -> Self {
        Scales(Arc::new(Pan {
            all: Arc::clone(&self.0.all),
            ..Pan::default()
        }))
    }

    /// Bytes that are held for this peer.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    /// Things that are held for this peer.
    pub(crate) fn messages(&self) -> usize {
        self.0.messages.get()
    }

    /// Bytes that are held for anybody.
    pub(crate) fn all_bytes(&self) -> usize {
        self.0.all.get()
    }

    fn add(&self, bytes: usize) {
        self.0.bytes.add(bytes);
        self.0.all.add(bytes);
        self.0.messages.add(1);
    }

    pub(crate) fn weigh<T: Heavy>(&self, value: T) -> Weighed<T> {
        let bytes = value.weight();
        self.add(bytes);
        Weighed {
            value,
            scales: self.clone(),
            bytes,
        }
    }
}

impl<T: Heavy> Weighed<T> {
    /// Counts for those from now on.
    pub(crate) fn hang_on(&mut self, scales: &Scales) {
        self.lift();
        self.scales = scales.clone();
        self.scales.add(self.bytes);
    }
}

impl<T> Weighed<T> {
    fn lift(&self) {
        self.scales.0.bytes.subtract(self.bytes);
        self.scales.0.all.subtract(self.bytes);
        self.scales.0.messages.subtract(1);
    }
}

impl<T: Serialize> Serialize for Weighed<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(to)
    }
}

/// On scales of its own, until it is hung on those of its owner.
impl<'de, T: Heavy + Deserialize<'de>> Deserialize<'de> for Weighed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(from).map(|value| Scales::default().weigh(value))
    }
}

impl<T> Deref for Weighed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Weighed<T> {
    fn drop(&mut self) {
        self.lift();
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, more: usize) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn subtract(&self, less: usize) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Outgoing {
        Outgoing::from("x".repeat(bytes))
    }

    #[test]
    fn what_is_held_counts_for_its_peer_and_for_all_until_it_is_let_go() {
        let alice = Scales::default();
        let bob = alice.of_another();
        let first = alice.weigh(message(3));
        let moved = alloc::vec![bob.weigh(message(5)), first];
        assert_eq!((alice.bytes(), alice.messages()), (3, 1));
        assert_eq!((bob.bytes(), bob.all_bytes()), (5, 8));
        let kept = moved.into_iter().next();
        assert_eq!((alice.bytes(), alice.all_bytes()), (0, 5));
        drop(kept);
        assert_eq!((bob.messages(), bob.all_bytes()), (0, 0));
    }
}
