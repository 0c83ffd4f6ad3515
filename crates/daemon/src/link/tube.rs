//! The way to one response, and which connection that goes over.

use std::task::{Context, Poll};

use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

use super::{PIECES_MAX, Piece};

/// One connection over HTTP: a number that no other has in this program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Where the pieces of one response go.
#[derive(Clone, Debug)]
pub(crate) struct Tube {
    /// In boxes, as most responses have one piece and a channel has room for as many as it takes at once.
    to: Sender<Box<Piece>>,
    pub(crate) connection: ConnectionId,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct TubeEnd(Receiver<Box<Piece>>);

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    Full,
    Gone,
}

impl Tube {
    /// One that leads to a response over this connection.
    pub(crate) fn to(connection: ConnectionId) -> (Tube, TubeEnd) {
        let (to, from) = mpsc::channel(PIECES_MAX);
        (Tube { to, connection }, TubeEnd(from))
    }

    pub(crate) fn send(&self, piece: Piece) -> Sent {
        match self.to.try_send(Box::new(piece)) {
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
}

impl TubeEnd {
    /// The next piece; `None` if there will be none.
    pub(crate) async fn recv(&mut self) -> Option<Piece> {
        self.0.recv().await.map(|piece| *piece)
    }

    pub(crate) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| *piece))
    }

    /// What has come by now; an error if that is nothing.
    #[cfg(test)]
    pub(crate) fn try_recv(&mut self) -> Result<Piece, mpsc::error::TryRecvError> {
        self.0.try_recv().map(|piece| *piece)
    }
}
