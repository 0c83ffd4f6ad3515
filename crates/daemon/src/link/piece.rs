//! What one response over HTTP is made of, piece by piece.

use std::sync::Arc;

use mux::Refusal;
use tokio::sync::Notify;
use wire::Outgoing;

use super::{Room, Share};
use crate::front::{HttpFault, Key, ModernFault};

/// Pieces that may be on their way to a response.
pub(crate) const PIECES_MAX: usize = 32;

/// One piece, on its way from the hub to whoever writes the response.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A message; there is more to come.
    Part(Parcel),
    /// The message that answers. Where a session has begun with it, this is what that is known by.
    Answer { parcel: Parcel, begins: Option<Key> },
    /// What was posted is at fault, and this says why.
    Fault(Parcel),
    /// What was posted has been taken in, and wants no answer; or what was wished has been done.
    Done,
    /// There will be no answer: the client has cancelled it.
    Over,
    /// What was wished is not done, and nothing has come of it.
    Refused(Denial),
}

/// Why a wish is refused, in words of the transport, of the message or of the protocol.
#[derive(Debug)]
pub(crate) enum Denial {
    Transport(HttpFault),
    Message(ModernFault),
    Server(Refusal),
}

/// A message with its place in memory.
#[derive(Debug)]
pub(crate) struct Parcel {
    message: Outgoing,
    share: Share,
    /// Hears of it when the message has been taken out or is of no use any more.
    drained: Arc<Notify>,
}

impl Parcel {
    pub(super) fn new(message: Outgoing, room: &Arc<Room>, drained: &Arc<Notify>) -> Self {
        let mut share = Share::of(room);
        share.set(message.len());
        Parcel {
            message,
            share,
            drained: Arc::clone(drained),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.message.len()
    }

    pub(super) fn message(&self) -> &Outgoing {
        &self.message
    }

    /// The same, counted elsewhere.
    pub(super) fn moved_to(self, room: &Arc<Room>) -> Parcel {
        Parcel::new(self.message.clone(), room, &self.drained)
    }

    /// Takes the message out.
    pub(crate) fn open(mut self) -> Outgoing {
        std::mem::take(&mut self.message)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.share.set(0);
        self.drained.notify_one();
    }
}
