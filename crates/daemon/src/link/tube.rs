//! The way to one response, and which connection that goes over.

use tokio::sync::mpsc::{Sender, WeakSender, error::TrySendError};

use super::Piece;

/// One connection over HTTP: a number that no other has in this program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Where the pieces of one response go.
#[derive(Clone, Debug)]
pub(crate) struct Tube {
    to: Sender<Piece>,
    pub(crate) connection: ConnectionId,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    Full,
    Gone,
}

impl Tube {
    pub(crate) fn new(to: Sender<Piece>, connection: ConnectionId) -> Self {
        Tube { to, connection }
    }

    pub(crate) fn send(&self, piece: Piece) -> Sent {
        match self.to.try_send(piece) {
            Ok(()) => Sent::Yes,
            Err(TrySendError::Full(_)) => Sent::Full,
            Err(TrySendError::Closed(_)) => Sent::Gone,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }

    /// Whether somebody is there who has a place for another piece.
    pub(crate) fn can_take(&self) -> bool {
        !self.is_closed() && self.to.capacity() > 0
    }

    /// Whether everything has been taken out that was put in.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_closed() || self.to.capacity() == self.to.max_capacity()
    }

    /// Returns when nobody is at the other end any more.
    pub(crate) async fn closed(&self) {
        self.to.closed().await;
    }

    /// What [`Tube::is`] is asked with, and that keeps nothing open.
    pub(crate) fn mark(&self) -> WeakSender<Piece> {
        self.to.downgrade()
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, mark: &WeakSender<Piece>) -> bool {
        mark.upgrade().is_some_and(|to| self.to.same_channel(&to))
    }
}
