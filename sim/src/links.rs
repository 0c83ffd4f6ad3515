//! What the links carry: lines become events as they do at the edge, and the model hears of each first.

use bytes::Bytes;
use mux::{Event, Exit, LineNumber, SessionId, UpstreamId};
use wire::{About, CutOff, Fault as LineFault, Frame, Kind, Line, LineSplitter, Purpose, Unended};

use crate::{
    fault::Fault,
    model,
    payload::Message,
    peers::{Down, Output, Peer, Process, Up},
    world::{Held, World},
};

impl World {
    /// A client's link carries one thing towards the core.
    pub(crate) fn carry_up(&mut self, at: usize) -> Held {
        let client = &mut self.clients[at];
        let session = client.id;
        match client.up.pop_front() {
            None => Ok(()),
            Some(Up::End) => {
                let now = self.now();
                let known = self.model.sessions.get_mut(&session);
                if let Some(known) = known {
                    known.ending_since = Some(now);
                }
                self.model.deaf(session);
                self.handle(Event::SessionEnding { session })
            }
            Some(Up::Close) => {
                self.model.gone(session);
                self.clients.remove(at);
                self.handle(Event::SessionClosed { session })
            }
            Some(Up::Line { bytes, messages }) => {
                client.lines += 1;
                let line = LineNumber(client.lines);
                if let Some(news) = without_end(&mut client.splitter, &bytes) {
                    client.up.put_back(Up::LineEnd { messages });
                    return self.client_overrun(session, line, &news);
                }
                self.client_line_ends(at, &messages)
            }
            Some(Up::LineEnd { messages }) => self.client_line_ends(at, &messages),
        }
    }

    fn client_line_ends(&mut self, at: usize, messages: &[Message]) -> Held {
        let client = &mut self.clients[at];
        let (session, line) = (client.id, LineNumber(client.lines));
        let whole = end(&mut client.splitter);
        whole.map_or(Ok(()), |whole| {
            self.client_line(session, line, whole, messages)
        })
    }

    /// A client is in the middle of a line that is too long.
    fn client_overrun(&mut self, session: SessionId, line: LineNumber, news: &Unended) -> Held {
        let limit = self.limits.message_bytes;
        let Some(known) = self.model.sessions.get_mut(&session) else {
            return Ok(());
        };
        if known.keeps {
            known.lines.insert(line, model::Line::Said);
        }
        self.hit(Fault::Unended);
        let about = About::cut_off(&news.head, b"");
        let fault = LineFault::TooLong { limit, about };
        self.model.client_overrun(session, &fault);
        self.handle(Event::SessionOverrun {
            session,
            line,
            fault,
        })
    }

    fn client_line(
        &mut self,
        session: SessionId,
        line: LineNumber,
        text: Line,
        messages: &[Message],
    ) -> Held {
        self.tally.heard += messages.len().max(1) as u64;
        let limit = self.limits.message_bytes;
        let Some(known) = self.model.sessions.get_mut(&session) else {
            return Ok(());
        };
        if known.keeps {
            known.lines.insert(line, model::Line::Said);
        }
        let may_batch = known.spoken == Some("2025-03-26");
        let bytes = match text {
            Line::Whole(bytes) => bytes,
            Line::TooLong(left) | Line::GivenUp(left) => {
                return self.client_fault(session, line, too_long(&left, limit));
            }
            Line::Unended(_) => return Ok(()),
        };
        if let Some(frames) = Frame::parse_batch(&bytes, usize::MAX) {
            self.hit(Fault::Batched);
            let is_one_fault = !may_batch || frames.iter().all(Result::is_err) && frames.len() == 1;
            if is_one_fault {
                self.model.client_fault(session, &LineFault::NotAnObject);
            } else {
                for message in messages {
                    self.model.client_says(session, line, message, true);
                }
            }
            return self.handle(Event::SessionBatch {
                session,
                line,
                frames,
            });
        }
        match Frame::parse(bytes) {
            Ok(frame) => {
                for message in messages {
                    self.model.client_says(session, line, message, false);
                }
                self.handle(Event::SessionFrame {
                    session,
                    line,
                    frame,
                })
            }
            Err(fault) => self.client_fault(session, line, fault),
        }
    }

    fn client_fault(&mut self, session: SessionId, line: LineNumber, fault: LineFault) -> Held {
        self.hit(Fault::ClientGarbage);
        if matches!(fault, LineFault::TooLong { .. }) {
            self.hit(Fault::TooLong);
        }
        self.model.client_fault(session, &fault);
        self.handle(Event::SessionFault {
            session,
            line,
            fault,
        })
    }

    /// A client reads one thing.
    pub(crate) fn carry_down(&mut self, at: usize) -> Held {
        let client = &mut self.clients[at];
        let session = client.id;
        let Some(down) = client.down.pop_front() else {
            return Ok(());
        };
        client.down_bytes -= down.len();
        if let Some(event) = self.judge(session) {
            self.handle(event)?;
        }
        let client = &mut self.clients[at];
        match down {
            Down::Message(frame, _) => {
                client.read(&frame);
                Ok(())
            }
            Down::Announcement(line) => {
                let known = self.model.sessions.get_mut(&session);
                let state = known.and_then(|known| known.lines.get_mut(&line));
                if let Some(state) = state {
                    state.announced();
                }
                self.handle(Event::Announced { session, line })
            }
            Down::Close => {
                self.clients.remove(at);
                Ok(())
            }
        }
    }

    /// A server reads one thing.
    pub(crate) fn carry_in(&mut self, upstream: UpstreamId) -> Held {
        let Some(peer) = self.servers.get_mut(&upstream) else {
            return Ok(());
        };
        let Some(frame) = peer.inbox.pop_front() else {
            return Ok(());
        };
        peer.inbox_bytes -= frame.len();
        peer.read(&frame, &self.model);
        if peer.inbox.is_empty() && std::mem::take(&mut peer.is_blocked) {
            self.model.reads(upstream, true);
            return self.handle(Event::UpstreamWritable { upstream });
        }
        Ok(())
    }

    /// A server's pipe carries one thing towards the core.
    pub(crate) fn carry_out(&mut self, upstream: UpstreamId) -> Held {
        let Some(peer) = self.servers.get_mut(&upstream) else {
            return Ok(());
        };
        match peer.outbox.pop_front() {
            None => Ok(()),
            Some(Output::Line { bytes, messages }) => {
                let _awaits_its_end = without_end(&mut peer.splitter, &bytes);
                let whole = end(&mut peer.splitter);
                whole.map_or(Ok(()), |whole| self.server_line(upstream, whole, &messages))
            }
            Some(Output::Half(bytes)) => {
                peer.splitter.feed(&bytes, |_| {});
                Ok(())
            }
            Some(Output::Complaint(line)) => {
                self.hit(Fault::Complained);
                self.handle(Event::UpstreamComplained { upstream, line })
            }
            Some(Output::Exit(_)) if peer.never_ran => self.start_failed(upstream),
            Some(Output::Exit(exit)) => self.exit(upstream, exit),
        }
    }

    fn server_line(&mut self, upstream: UpstreamId, text: Line, messages: &[Message]) -> Held {
        self.tally.heard += messages.len().max(1) as u64;
        let limit = self.limits.message_bytes;
        let bytes = match text {
            Line::Whole(bytes) => bytes,
            Line::TooLong(left) | Line::GivenUp(left) => {
                return self.server_fault(upstream, too_long(&left, limit));
            }
            Line::Unended(_) => return Ok(()),
        };
        let frames =
            Frame::parse_batch(&bytes, usize::MAX).unwrap_or_else(|| vec![Frame::parse(bytes)]);
        if frames.len() > 1 {
            self.hit(Fault::ServerBatched);
        }
        let mut messages = messages.iter();
        for frame in frames {
            match frame {
                Ok(frame) => {
                    if let Some(message) = messages.next() {
                        self.model.server_says(upstream, message);
                    }
                    self.handle(Event::UpstreamFrame {
                        upstream,
                        frame,
                        within: None,
                    })?;
                }
                Err(fault) => self.server_fault(upstream, fault)?,
            }
        }
        Ok(())
    }

    fn server_fault(&mut self, upstream: UpstreamId, fault: LineFault) -> Held {
        self.hit(match fault.about().purpose {
            Purpose::Answer | Purpose::Either => Fault::SpoiltAnswer,
            Purpose::Question | Purpose::Noise => Fault::ServerGarbage,
        });
        if matches!(fault, LineFault::TooLong { .. }) {
            self.hit(Fault::TooLong);
        }
        self.model.server_fault(upstream, &fault);
        self.handle(Event::UpstreamFault { upstream, fault })
    }

    /// A process that was being started runs.
    pub(crate) fn started(&mut self, upstream: UpstreamId) -> Held {
        let Some(peer) = self.servers.get_mut(&upstream) else {
            return Ok(());
        };
        peer.process = Process::Running;
        let server = self.model.servers.get_mut(&upstream);
        if let Some(server) = server {
            server.process = Process::Running;
        }
        let program = None;
        self.handle(Event::UpstreamStarted { upstream, program })
    }

    /// A process could not be started, or was stopped before it ran.
    pub(crate) fn start_failed(&mut self, upstream: UpstreamId) -> Held {
        self.servers.remove(&upstream);
        self.model.exited(upstream, &[]);
        let why = "no such program".to_owned();
        self.handle(Event::UpstreamStartFailed { upstream, why })
    }

    /// A process and all of its pipes are gone.
    pub(crate) fn exit(&mut self, upstream: UpstreamId, exit: Exit) -> Held {
        let peer = self.servers.remove(&upstream);
        let unwritten = peer.as_ref().map(unwritten_to).unwrap_or_default();
        let numbers = unwritten.iter().filter_map(|frame| frame.id()?.as_number());
        let numbers: Vec<u64> = numbers.collect();
        let sessions = self.model.sessions.values();
        let minted = sessions
            .flat_map(|session| session.owed.values())
            .filter_map(|owed| owed.minted);
        let owed = minted
            .filter(|(at, _)| *at == upstream)
            .map(|(_, minted)| minted);
        let owed: Vec<u64> = owed.collect();
        match peer.filter(|peer| peer.process == Process::Running) {
            Some(peer) if !peer.is_greeted => self.hit(Fault::DiedEarly),
            Some(_) if !owed.is_empty() => self.hit(Fault::Crashed),
            Some(_) | None => {}
        }
        if owed.iter().any(|minted| numbers.contains(minted)) {
            self.hit(Fault::Unwritten);
        }
        self.model.exited(upstream, &numbers);
        self.handle(Event::UpstreamExited {
            upstream,
            exit,
            unwritten,
        })
    }
}

/// The requests for a server that never began to be written. The other half of what it has not read is
/// in its pipe.
fn unwritten_to(peer: &Peer) -> Vec<Frame> {
    let waiting = peer.inbox.iter().skip(peer.inbox.len() / 2);
    waiting
        .filter_map(|frame| Frame::parse(Bytes::from(frame.to_vec())).ok())
        .filter(|frame| frame.kind() == Kind::Request)
        .collect()
}

/// A line goes through a pipe in two pieces; what is known of it then, if it is too long.
fn without_end(splitter: &mut LineSplitter, bytes: &Bytes) -> Option<Unended> {
    let mut unended = None;
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    for piece in [head, tail] {
        splitter.feed(piece, |line| {
            if let Line::Unended(news) = line {
                unended = Some(news);
            }
        });
    }
    unended
}

/// What the line becomes with its end.
fn end(splitter: &mut LineSplitter) -> Option<Line> {
    let mut whole = None;
    splitter.feed(b"\n", |line| whole = Some(line));
    whole
}

fn too_long(left: &CutOff, limit: usize) -> LineFault {
    let about = About::cut_off(&left.head, &left.tail);
    LineFault::TooLong { limit, about }
}
