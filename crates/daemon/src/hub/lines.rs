//! Lines, parsed and shown to the core.
//!
//! **Invariant:** every line of a session has its number, blank ones and those at fault too: its shim
//! counts them all. News of a line that has no end yet has the number that it will have.

use bytes::Bytes;
use mux::{Event, LineNumber, Moment, SessionId, UpstreamId};
use shim::control;
use wire::{About, CutOff, Fault, Frame, Line, Unended, Unkept};

use super::{Hub, input::ProcessId};
use crate::{link::Lines, logs::NOISE_BYTES, upstream};

impl Hub {
    pub(super) fn on_lines(&mut self, now: Moment, id: SessionId, lines: Lines) {
        let Some(session) = self
            .world
            .sessions
            .get_mut(&id)
            .filter(|session| !session.closing)
        else {
            return;
        };
        if session.replay.is_some() {
            return self.on_replayed_lines(now, id, lines);
        }
        session.work.add(lines.len(), lines.bytes());
        let mut last = session.lines;
        for line in lines {
            if let Line::Unended(news) = &line {
                self.on_unended(now, id, LineNumber(last + 1), news);
                continue;
            }
            last += 1;
            self.on_line(now, id, LineNumber(last), line);
        }
        if let Some(session) = self.world.sessions.get_mut(&id) {
            session.lines = last;
        }
    }

    /// A session is in the middle of a line that is not kept.
    pub(super) fn on_unended(
        &mut self,
        now: Moment,
        session: SessionId,
        line: LineNumber,
        Unended { why, head }: &Unended,
    ) {
        let event = Event::SessionOverrun {
            session,
            line,
            fault: self.fault_of(*why, About::cut_off(head, b"")),
        };
        self.handle(now, event);
    }

    pub(super) fn on_line(
        &mut self,
        now: Moment,
        session: SessionId,
        line: LineNumber,
        text: Line,
    ) {
        let bytes = match self.whole(text) {
            Ok(bytes) => bytes,
            Err((fault, _head)) => {
                let event = Event::SessionFault {
                    session,
                    line,
                    fault,
                };
                return self.handle(now, event);
            }
        };
        // Nobody has told us to understand control lines of a shim: they count as blank. In a frame there is
        // no line that could be blank.
        if (is_blank(&bytes) || bytes.first() == Some(&control::MARK)) && !self.packs(session) {
            return self.on_blank(session, line);
        }
        let event = match self.batch(&bytes) {
            Some(frames) => Event::SessionBatch {
                session,
                line,
                frames,
            },
            None => match Frame::parse(bytes) {
                Ok(frame) => Event::SessionFrame {
                    session,
                    line,
                    frame,
                },
                Err(fault) => Event::SessionFault {
                    session,
                    line,
                    fault,
                },
            },
        };
        if let Event::SessionFault { .. } = event {
            self.on_missed(session, line);
        }
        self.handle(now, event);
    }

    fn packs(&self, session: SessionId) -> bool {
        let session = self.world.sessions.get(&session);
        session.is_some_and(|session| session.outlet.packs())
    }

    /// A line of blanks is done with that.
    pub(super) fn on_blank(&mut self, id: SessionId, line: LineNumber) {
        let untold_max = self.world.around.limits.untold_lines;
        if let Some(session) = self.world.sessions.get_mut(&id) {
            session.outlet.done(&[line]);
            if session.outlet.untold() >= untold_max {
                self.world.touch_session(id);
            }
        }
    }

    pub(super) fn on_output(&mut self, now: Moment, id: ProcessId, lines: Lines) {
        let Some(process) = self.world.processes.get_mut(&id) else {
            return;
        };
        let (upstream, is_remote) = (process.upstream, process.is_remote());
        let mut may_be_cut_off = std::mem::take(&mut process.is_cut_off);
        // A server that is in the middle of a line that is not kept is waited for until its end.
        let ended = |line: &Line| !matches!(line, Line::Unended(_));
        for line in lines.into_iter().filter(ended) {
            let (line, within) = match line {
                Line::Whole(bytes) if is_remote => {
                    let (bytes, within) = upstream::unmarked(&bytes);
                    (Line::Whole(bytes), within)
                }
                other @ (Line::Whole(_)
                | Line::TooLong(_)
                | Line::GivenUp(_)
                | Line::Unended(_)) => (other, None),
            };
            if std::mem::take(&mut may_be_cut_off) && is_rest(&line) {
                continue;
            }
            match self.whole(line) {
                Ok(bytes) if is_blank(&bytes) => {}
                Ok(bytes) => self.on_output_line(now, id, (upstream, within), bytes),
                Err((fault, head)) => self.on_noise(now, id, upstream, fault, &head),
            }
        }
    }

    fn on_output_line(
        &mut self,
        now: Moment,
        id: ProcessId,
        (upstream, within): (UpstreamId, Option<u64>),
        bytes: Bytes,
    ) {
        // Servers of 2025-03-26 may answer several requests at once.
        let Some(frames) = self.batch(&bytes) else {
            let head = Head::of(&bytes);
            return match Frame::parse(bytes) {
                Ok(frame) => self.on_output_frame(now, upstream, within, frame),
                Err(fault) => self.on_noise(now, id, upstream, fault, head.bytes()),
            };
        };
        for frame in frames {
            match frame {
                Ok(frame) => self.on_output_frame(now, upstream, within, frame),
                Err(fault) => self.on_noise(now, id, upstream, fault, &bytes),
            }
        }
    }

    fn on_output_frame(
        &mut self,
        now: Moment,
        upstream: UpstreamId,
        within: Option<u64>,
        frame: Frame,
    ) {
        let event = Event::UpstreamFrame {
            upstream,
            frame,
            within,
        };
        self.handle(now, event);
    }

    fn on_noise(
        &mut self,
        now: Moment,
        id: ProcessId,
        upstream: UpstreamId,
        fault: Fault,
        line: &[u8],
    ) {
        if let Some(process) = self.world.processes.get_mut(&id) {
            process.log.noise(line);
        }
        let event = Event::UpstreamFault { upstream, fault };
        self.handle(now, event);
    }

    /// The messages of a batch; `None` if the line is none.
    pub(super) fn batch(&self, bytes: &Bytes) -> Option<Vec<Result<Frame, Fault>>> {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            Frame::parse_batch(bytes, self.world.around.limits.batch_messages)
        } else {
            None
        }
    }

    /// The line, or why it is not all there, and its beginning.
    pub(super) fn whole(&self, line: Line) -> Result<Bytes, (Fault, Bytes)> {
        let (why, CutOff { head, tail }) = match line {
            Line::Whole(bytes) => return Ok(bytes),
            Line::TooLong(left) => (Unkept::TooLong, left),
            Line::GivenUp(left) => (Unkept::GivenUp, left),
            Line::Unended(Unended { why, head }) => {
                let tail = Bytes::new();
                (why, CutOff { head, tail })
            }
        };
        Err((self.fault_of(why, About::cut_off(&head, &tail)), head))
    }

    fn fault_of(&self, why: Unkept, about: About) -> Fault {
        let limit = self.world.around.limits.message_bytes;
        match why {
            Unkept::TooLong => Fault::TooLong { limit, about },
            Unkept::GivenUp => Fault::NoRoom { about },
        }
    }
}

/// Whether a line is the rest of one whose beginning an earlier daemon has read, and no message.
///
/// What is left of a message without its first bracket has one too many at its end.
fn is_rest(line: &Line) -> bool {
    match line {
        Line::Whole(bytes) => Frame::parse(bytes.clone()).is_err(),
        Line::TooLong(_) | Line::GivenUp(_) | Line::Unended(_) => true,
    }
}

/// Bytes of a line that is noise: one more than is logged tells that there was more.
const HEAD_BYTES: usize = NOISE_BYTES + 1;

/// The beginning of a line, should it be none of the messages that it is about to be parsed as.
struct Head {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Head {
    fn of(line: &[u8]) -> Self {
        let len = line.len().min(HEAD_BYTES);
        let mut bytes = [0; HEAD_BYTES];
        for (copy, byte) in bytes.iter_mut().zip(line) {
            *copy = *byte;
        }
        Head { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}
