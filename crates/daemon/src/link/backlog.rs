//! How much waits for somebody to read, whichever way out it waits in.

/// The part of the limit, in bytes, from which on there is much to read.
const MUCH_SHARE: usize = 8;

/// So many messages are much to read, however small: each takes memory of its own.
const MUCH_MESSAGES: usize = 8192;

/// And so many lines that are done.
const MUCH_DONE: usize = 64 << 10;

/// How much there is for a peer to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// So much that it should read before it says more.
    Much,
    /// Something between the two.
    Some,
    /// Less than half of what is much.
    Little,
}

impl Backlog {
    /// Of so many bytes behind what is being written, in so many messages, with so many lines that are done.
    pub(super) fn of(bytes: usize, messages: usize, done: usize, limit: usize) -> Self {
        let exceeds = |part: usize| {
            bytes > limit / MUCH_SHARE / part
                || messages > MUCH_MESSAGES / part
                || done > MUCH_DONE / part
        };
        if exceeds(1) {
            Backlog::Much
        } else if exceeds(2) {
            Backlog::Some
        } else {
            Backlog::Little
        }
    }
}

/// Whether more waits for a peer than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    No,
    Yes,
}

impl Overflow {
    /// Of so many bytes behind what is being written.
    pub(super) fn of(bytes: usize, limit: usize) -> Self {
        if bytes > limit {
            Overflow::Yes
        } else {
            Overflow::No
        }
    }
}
