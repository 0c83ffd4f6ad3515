//! The way out to a session, whichever front it came in by.

use std::sync::Arc;

use mux::{Answered, LineNumber};
use tokio::sync::Notify;
use wire::Outgoing;

use super::{Backlog, Flushed, Outlet, Overflow, Rounds, Sign, Sink, Streams};

/// One way for everything, or one for each post, with somebody who listens beside them or without.
#[derive(Debug)]
pub(crate) enum WayOut {
    Line(Outlet),
    Posts(Box<Streams>),
    Rounds(Box<Rounds>),
}

/// What is waited for until more can be written.
#[derive(Debug)]
pub(crate) enum Awaited {
    Sink(Sink),
    Drained(Arc<Notify>),
}

impl Awaited {
    /// Returns when there may be room, or nobody who could make some.
    pub(crate) async fn comes(self) {
        match self {
            Awaited::Sink(sink) => {
                let _gone = sink.writable().await;
            }
            Awaited::Drained(drained) => drained.notified().await,
        }
    }
}

impl WayOut {
    pub(crate) fn push(
        &mut self,
        message: Outgoing,
        answered: Option<Answered>,
        part_of: Option<LineNumber>,
    ) {
        match self {
            WayOut::Line(outlet) => outlet.push(message, answered),
            WayOut::Posts(streams) => streams.push(message, answered, part_of),
            WayOut::Rounds(rounds) => rounds.push(message, answered, part_of),
        }
    }

    /// Only who keeps its lines has any use for it.
    pub(crate) fn push_ending(&mut self) {
        match self {
            WayOut::Line(outlet) => outlet.push_ending(),
            WayOut::Posts(_) | WayOut::Rounds(_) => {}
        }
    }

    /// Whether messages go in frames of a WebSocket.
    pub(crate) fn packs(&self) -> bool {
        match self {
            WayOut::Line(outlet) => outlet.packs(),
            WayOut::Posts(_) | WayOut::Rounds(_) => false,
        }
    }

    /// Says something of the connection, where there are words for it.
    pub(crate) fn push_sign(&mut self, sign: &Sign) {
        match self {
            WayOut::Line(outlet) => outlet.push_sign(sign),
            WayOut::Posts(_) | WayOut::Rounds(_) => {}
        }
    }

    pub(crate) fn held(&mut self, line: LineNumber) {
        match self {
            WayOut::Line(outlet) => outlet.held(line),
            WayOut::Posts(_) | WayOut::Rounds(_) => {}
        }
    }

    pub(crate) fn announce(&mut self, line: LineNumber) {
        match self {
            WayOut::Line(outlet) => outlet.announce(line),
            WayOut::Posts(_) | WayOut::Rounds(_) => {
                debug_assert!(false, "a post was announced");
            }
        }
    }

    pub(crate) fn done(&mut self, lines: &[LineNumber]) {
        match self {
            WayOut::Line(outlet) => outlet.done(lines),
            WayOut::Posts(streams) => streams.done(lines),
            WayOut::Rounds(rounds) => rounds.done(lines),
        }
    }

    pub(crate) fn untold(&self) -> usize {
        match self {
            WayOut::Line(outlet) => outlet.untold(),
            WayOut::Posts(_) | WayOut::Rounds(_) => 0,
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        match self {
            WayOut::Line(outlet) => outlet.waiting(),
            WayOut::Posts(streams) => streams.waiting(),
            WayOut::Rounds(rounds) => rounds.waiting(),
        }
    }

    pub(crate) fn taken(&self) -> u64 {
        match self {
            WayOut::Line(outlet) => outlet.taken(),
            WayOut::Posts(streams) => streams.taken(),
            WayOut::Rounds(rounds) => rounds.taken(),
        }
    }

    pub(crate) fn behind_head(&self) -> usize {
        match self {
            WayOut::Line(outlet) => outlet.behind_head(),
            WayOut::Posts(streams) => streams.behind_head(),
            WayOut::Rounds(rounds) => rounds.behind_head(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            WayOut::Line(outlet) => outlet.is_empty(),
            WayOut::Posts(streams) => streams.is_empty(),
            WayOut::Rounds(rounds) => rounds.is_empty(),
        }
    }

    pub(crate) fn overflow(&self) -> Overflow {
        match self {
            WayOut::Line(outlet) => outlet.overflow(),
            WayOut::Posts(streams) => streams.overflow(),
            WayOut::Rounds(rounds) => rounds.overflow(),
        }
    }

    pub(crate) fn backlog(&self) -> Backlog {
        match self {
            WayOut::Line(outlet) => outlet.backlog(),
            WayOut::Posts(streams) => streams.backlog(),
            WayOut::Rounds(rounds) => rounds.backlog(),
        }
    }

    pub(crate) fn cut(&mut self) {
        match self {
            WayOut::Line(outlet) => outlet.cut(),
            WayOut::Posts(streams) => streams.cut(),
            WayOut::Rounds(rounds) => rounds.cut(),
        }
    }

    /// Whether nothing more goes until there is room. One response that is full keeps no other waiting.
    pub(crate) fn is_one(&self) -> bool {
        match self {
            WayOut::Line(_) => true,
            WayOut::Posts(_) | WayOut::Rounds(_) => false,
        }
    }

    pub(crate) fn flush(
        &mut self,
        is_closing: bool,
        on_announced: impl FnMut(LineNumber),
    ) -> Flushed {
        match self {
            WayOut::Line(outlet) => outlet.flush(on_announced),
            WayOut::Posts(streams) => streams.flush(is_closing),
            WayOut::Rounds(rounds) => rounds.flush(),
        }
    }

    /// What is waited for until more can be written.
    pub(crate) fn room(&self) -> Awaited {
        match self {
            WayOut::Line(outlet) => Awaited::Sink(outlet.sink().clone()),
            WayOut::Posts(streams) => Awaited::Drained(streams.drained()),
            WayOut::Rounds(rounds) => Awaited::Drained(rounds.drained()),
        }
    }

    #[cfg(feature = "audit")]
    pub(crate) fn longest(&self) -> usize {
        match self {
            WayOut::Line(outlet) => outlet.longest(),
            WayOut::Posts(streams) => streams.longest(),
            WayOut::Rounds(rounds) => rounds.longest(),
        }
    }
}
