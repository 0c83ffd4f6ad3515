//! Lines of a session that goes on here, after the daemon that it began at.
//!
//! Its shim brings along what was not done there, each line with its number and how far it had come
//! ([`control::Resumed`]).
//!
//! **Invariant:** a line that may have been sent never becomes an event that has it sent like a new one:
//! the core alone decides which of them are.

use mux::{Event, LineNumber, Moment, Past, Said, SessionId};
use shim::control::{self, Resumed};
use wire::{Frame, Line};

use super::{Hub, lines::is_blank};
use crate::link::Lines;

/// How far a session is with what it brings along.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// What was said of the line that comes next.
    next: Option<(LineNumber, control::Past)>,
}

impl Hub {
    /// Lines of a session that has not said yet that it has brought along everything.
    pub(super) fn on_replayed_lines(&mut self, now: Moment, id: SessionId, lines: Lines) {
        for line in lines {
            if !self.world.hears(id) {
                return;
            }
            self.on_replayed_line(now, id, line);
        }
    }

    fn on_replayed_line(&mut self, now: Moment, id: SessionId, line: Line) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        if let Line::Unended(news) = &line {
            // What is replayed has its end, which comes at once.
            if session.replay.is_none() {
                let number = LineNumber(session.lines + 1);
                self.on_unended(now, id, number, news);
            }
            return;
        }
        let told = session
            .replay
            .as_mut()
            .and_then(|replay| replay.next.take());
        if let Some((number, past)) = told {
            session.lines = number.0;
            return match past {
                control::Past::Fresh => self.on_line(now, id, number, line),
                control::Past::Kept => self.replay(now, id, number, Past::Kept, line),
                control::Past::Sent => self.replay(now, id, number, Past::Sent, line),
                control::Past::Repeated => self.replay(now, id, number, Past::Repeated, line),
            };
        }
        let text = match &line {
            Line::Whole(text) => text,
            Line::TooLong(left) | Line::GivenUp(left) => &left.head,
            Line::Unended(news) => &news.head,
        };
        match (&mut session.replay, control::resumed(text)) {
            (Some(replay), Some(Resumed::Line { number, past })) => {
                replay.next = Some((LineNumber(number), past));
            }
            (Some(_), Some(Resumed::Next(number))) => {
                session.lines = number.saturating_sub(1);
                session.replay = None;
                self.handle(now, Event::SessionReplayEnded { session: id });
            }
            // The replay is over, or the shim is of a kind that we do not know: a line as ever.
            (None, _) | (Some(_), None) => {
                session.lines += 1;
                let number = LineNumber(session.lines);
                self.on_line(now, id, number, line);
            }
        }
    }

    fn replay(
        &mut self,
        now: Moment,
        session: SessionId,
        line: LineNumber,
        past: Past,
        text: Line,
    ) {
        let fault = match self.whole(text) {
            Ok(bytes) if is_blank(&bytes) => return self.on_blank(session, line),
            Ok(bytes) => match self.batch(&bytes).map_or_else(
                || Frame::parse(bytes).map(Said::One),
                |frames| Ok(Said::Batch(frames)),
            ) {
                Ok(said) => {
                    let event = Event::SessionReplayed {
                        session,
                        line,
                        past,
                        said,
                    };
                    return self.handle(now, event);
                }
                Err(fault) => fault,
            },
            Err((fault, _head)) => fault,
        };
        let event = Event::SessionFault {
            session,
            line,
            fault,
        };
        self.handle(now, event);
    }
}
