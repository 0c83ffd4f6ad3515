//! Links: how a session or a server talks to us and we to it.
//!
//! Reading is a task per peer that turns lines into events. Writing has no task: the hub writes at
//! once, and only what the peer does not take waits in an [`Outlet`].
//!
//! **Invariant:** nothing that a peer does or leaves undone makes the hub wait.

mod backlog;
mod halt;
mod lines;
mod outlet;
mod packing;
mod piece;
mod reader;
mod room;
mod rounds;
mod socket;
mod stream;
mod streams;
mod tube;
mod turnstile;
mod valve;
mod way;

#[cfg(test)]
mod memory;

pub(crate) use backlog::{Backlog, Overflow};
pub(crate) use halt::{Halt, Reading, Rest, Stopped, until_halted};
pub(crate) use lines::{Lines, Pieces};
pub(crate) use outlet::{Flushed, FrozenOutlet, Outlet, Unwritten};
pub(crate) use packing::{Farewell, Sign, Unpacker};
pub(crate) use piece::{
    Beginning, Denial, EventId, HELD_BYTES_MIN, PIECES_MAX, Parcel, Piece, StreamId,
};
pub(crate) use reader::{ProcessReader, SessionReader, UNHEARD};
pub(crate) use room::{NoRoom, Room, Share};
pub(crate) use rounds::{Chunk, FrozenRounds, RoundTubes, Rounds};
pub(crate) use socket::Socket;
pub(crate) use stream::{Found, Sink, Source};
pub(crate) use streams::{FrozenStreams, NothingLeft, Primes, Streams, Wants};
pub(crate) use tube::{ConnectionId, Sent, Tube, TubeEnd};
pub(crate) use turnstile::{TURN, Turnstile};
pub(crate) use valve::Valve;
pub(crate) use way::{Awaited, WayOut};
