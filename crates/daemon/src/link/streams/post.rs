//! What is known of one post, beside the stream of what belongs to it.

use mux::LineNumber;
use serde::{Deserialize, Serialize};

use super::stream::Stream;
use crate::link::{EventId, Piece, Sent, StreamId, Tube};

/// What a post waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wants {
    /// The answer to a request.
    Answer,
    /// That it has been taken in.
    Receipt,
}

/// Whether a client is told where it can go on before there is anything to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Primes {
    Yes,
    No,
}

/// Nothing comes by a stream for whoever wants to go on with it.
#[derive(Debug)]
pub(crate) enum NothingLeft {
    /// There is no such stream, or no longer.
    Forgotten(Tube),
    /// It is over, and they have heard all of it.
    Heard(Tube),
}

#[derive(Debug)]
pub(super) struct Post {
    pub(super) stream: Stream,
    pub(super) wants: Wants,
    pub(super) primes: Primes,
    /// Whether its response is a stream, which can be gone on with.
    pub(super) has_begun: bool,
    /// Whether its client has come back for it.
    pub(super) was_resumed: bool,
    /// Whether the core is done with it.
    pub(super) has_ended: bool,
    /// How often the clock has struck since it ended, or since nobody has read it.
    pub(super) age: u8,
}

impl Post {
    pub(super) fn new(stream: Stream, (wants, primes): (Wants, Primes)) -> Self {
        Post {
            stream,
            wants,
            primes,
            has_begun: false,
            was_resumed: false,
            has_ended: false,
            age: 0,
        }
    }

    /// Makes a stream of its response.
    pub(super) fn begin(&mut self, line: LineNumber) -> Sent {
        let id = EventId {
            stream: StreamId::of(line),
            number: self.stream.mark(),
        };
        let told = Some(id).filter(|_| self.primes == Primes::Yes);
        let sent = self.stream.send(Piece::Begun(told));
        self.has_begun |= matches!(sent, Sent::Yes);
        sent
    }
}
