//! What one response over HTTP is made of, piece by piece.

use std::{fmt, mem, sync::Arc};

use bytes::Bytes;
use mux::{LineNumber, Refusal};
use tokio::sync::Notify;
use wire::{Outgoing, Pieces};

use super::{Room, Share};
use crate::{
    front::{HttpFault, Key, ModernFault},
    kept_sessions::Written,
};

/// Pieces that may be on their way to a response.
pub(crate) const PIECES_MAX: usize = 32;

/// Below this size, in bytes, a message is not counted any more once it is being written.
pub(crate) const HELD_BYTES_MIN: usize = 4096;

/// Which stream of a session it is: that of a post, or that of whoever listens, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(u64);

impl StreamId {
    /// What belongs to no post.
    pub(crate) const LISTENER: StreamId = StreamId(0);

    /// Where the answer to this line goes.
    pub(crate) fn of(line: LineNumber) -> Self {
        StreamId(line.0)
    }

    /// The line whose answer goes there; `None` for the listener's.
    pub(crate) fn line(self) -> Option<LineNumber> {
        (self != StreamId::LISTENER).then_some(LineNumber(self.0))
    }
}

/// By what an event is known: no other of its session has the same, whichever daemon has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) stream: StreamId,
    /// They grow.
    pub(crate) number: u64,
}

impl EventId {
    /// Reads what a client says that it has heard last. `None` if it cannot be of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stream, number) = text.split_once('-')?;
        let id = EventId {
            stream: StreamId(stream.parse().ok()?),
            number: number.parse().ok()?,
        };
        // There is one way to write it.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream.0, self.number)
    }
}

/// One piece, on its way from the hub to whoever writes the response.
#[derive(Debug)]
pub(crate) enum Piece {
    /// What follows is a stream. With an id, its client is told where it can go on before there is anything
    /// to hear.
    Begun(Option<EventId>),
    /// A message; there is more to come.
    Part { id: EventId, parcel: Parcel },
    /// The message that answers. Where a session has begun with it, this is what that is known by.
    Answer {
        id: EventId,
        parcel: Parcel,
        begins: Option<Beginning>,
    },
    /// What was posted is at fault, and this says why.
    Fault(Parcel),
    /// What was posted has been taken in, and wants no answer; or what was wished has been done.
    Done,
    /// There will be no answer: the client has cancelled it.
    Over,
    /// The response ends, and its stream does not: the client is to come back for more.
    Interlude,
    /// What was wished is not done, and nothing has come of it.
    Refused(Denial),
}

/// What a session is known by that begins, and that it is kept.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(super) key: Key,
    pub(super) written: Option<Written>,
}

impl Beginning {
    /// The key, once it may be given out.
    pub(crate) async fn comes(self) -> Key {
        if let Some(written) = self.written {
            written.comes().await;
        }
        self.key
    }
}

/// Why a wish is refused, in words of the transport, of the headers or of the protocol.
#[derive(Debug)]
pub(crate) enum Denial {
    Transport(HttpFault),
    Message(ModernFault),
    Server(Refusal),
}

impl From<Denial> for Piece {
    fn from(denial: Denial) -> Self {
        Piece::Refused(denial)
    }
}

impl From<ModernFault> for Denial {
    fn from(fault: ModernFault) -> Self {
        Denial::Message(fault)
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Denial::Server(refusal)
    }
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
    pub(crate) fn new(message: Outgoing, room: &Arc<Room>, drained: &Arc<Notify>) -> Self {
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

    pub(crate) fn message(&self) -> &Outgoing {
        &self.message
    }

    /// The same, counted elsewhere.
    pub(super) fn moved_to(self, room: &Arc<Room>) -> Parcel {
        self.copied_to(room)
    }

    /// Another with the same message.
    pub(super) fn copied_to(&self, room: &Arc<Room>) -> Parcel {
        Parcel::new(self.message.clone(), room, &self.drained)
    }

    /// Takes the message out.
    pub(crate) fn open(mut self) -> Outgoing {
        mem::take(&mut self.message)
    }

    /// The same in pieces. The message has its place in memory until the last of them is dropped.
    pub(crate) fn into_pieces(mut self) -> Pieces {
        let message = mem::take(&mut self.message);
        self.held_by(message.into_pieces())
    }

    /// Has pieces that were made of the message hold its place, until the last of them is dropped: whoever
    /// writes them drops them in their order. Of a little that is not worth its while.
    pub(crate) fn held_by(self, mut pieces: Pieces) -> Pieces {
        pieces.retain(|piece| !piece.is_empty());
        if self.share.bytes() >= HELD_BYTES_MIN
            && let Some(last) = pieces.last_mut()
        {
            *last = Bytes::from_owner(Held {
                bytes: mem::take(last),
                _parcel: self,
            });
        }
        pieces
    }
}

/// A piece that holds the place of its message.
struct Held {
    bytes: Bytes,
    _parcel: Parcel,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.share.set(0);
        self.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_place_until_its_last_piece_is_written() {
        let room = Room::new(1 << 20);
        let drained = Arc::new(Notify::new());
        let parcel = |text: String| Parcel::new(Outgoing::from(text), &room, &drained);
        let large = "x".repeat(HELD_BYTES_MIN);
        let mut pieces = parcel(large.clone()).into_pieces();
        assert_eq!(pieces.concat(), large.as_bytes());
        assert_eq!(room.taken(), large.len());
        let last = pieces.pop().unwrap();
        drop(pieces);
        assert_eq!(room.taken(), large.len());
        // A part of it is a part of what is still to be written.
        let rest = last.slice(1..);
        drop(last);
        assert_eq!(room.taken(), large.len());
        drop(rest);
        assert_eq!(room.taken(), 0);
        let little = parcel("x".to_owned()).into_pieces();
        assert_eq!((little.concat(), room.taken()), (b"x".to_vec(), 0));
    }

    #[test]
    fn an_id_reads_back_as_itself_and_nothing_else_is_one() {
        for line in [0, 1, u64::MAX] {
            let stream = StreamId::of(LineNumber(line));
            let id = EventId { stream, number: 7 };
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
        for other in ["", "1", "1-", "-1", "01-1", "1-+1", "1-1-1", "a-b", " 1-1"] {
            assert_eq!(EventId::parse(other), None, "{other}");
        }
    }
}
