//! A real core, scripted peers, the links between them, and the only clock.
//!
//! **Invariant:** whatever reaches the core is told to the model first, and whatever the core does is
//! held against the model before it has an effect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use mux::{
    Action, AdminAsk, Event, Exit, Fact, Limits, LineNumber, Moment, Mux, Outbox, Refusal,
    SessionId, Ticket, UpstreamId,
};
use wire::{About, Fault as LineFault, Frame, Line, LineSplitter, Purpose, RequestId};

use crate::{
    fault::Fault,
    invariants::Broken,
    model::{self, Model},
    payload::Message,
    peers::{Client, Down, Output, Peer, Process, Up, opening},
    seed::Setting,
    tally::{Kind, Tally},
    trace::Trace,
};

/// The part of all that may be held whose change the core is told of.
const BUFFERED_STEPS: usize = 64;

pub(crate) type Held = Result<(), Broken>;

/// Everything that there is.
#[derive(Debug)]
pub(crate) struct World {
    mux: Mux,
    out: Outbox,
    pub(crate) model: Model,
    pub(crate) setting: Setting,
    pub(crate) limits: Limits,
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: BTreeMap<UpstreamId, Peer>,
    /// What the core wants done and is not done yet.
    pending: Vec<Action>,
    /// What doing things has led to, for the core.
    echoes: Vec<Event>,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    opened: u64,
    tickets: u64,
    /// Administrators who wait.
    pub(crate) unanswered: BTreeSet<Ticket>,
    /// Set while a deadline has passed and the core has not been told.
    pub(crate) is_late: bool,
    pub(crate) is_shut_down: bool,
    /// What the core knows of what waits on the links, in bytes.
    told_buffered: usize,
}

impl World {
    /// A world in which nothing has happened.
    pub(crate) fn new(setting: Setting, trace: Trace) -> Self {
        let limits = setting.limits();
        World {
            mux: Mux::new(limits.clone()),
            out: Outbox::default(),
            model: Model::new(limits.clone()),
            setting,
            limits,
            clients: Vec::new(),
            servers: BTreeMap::new(),
            pending: Vec::new(),
            echoes: Vec::new(),
            tally: Tally {
                worlds: 1,
                ..Tally::default()
            },
            trace,
            opened: 0,
            tickets: 0,
            unanswered: BTreeSet::new(),
            is_late: false,
            is_shut_down: false,
            told_buffered: 0,
        }
    }

    pub(crate) fn hit(&mut self, fault: Fault) {
        self.tally.saw(Kind::Fault, fault.name());
    }

    pub(crate) fn now(&self) -> Moment {
        self.model.now
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.mux.next_deadline().map(|(at, _)| at)
    }

    pub(crate) fn mux(&self) -> &Mux {
        &self.mux
    }

    /// What was seen, and all that was written down.
    pub(crate) fn into_parts(self) -> (Tally, Trace) {
        (self.tally, self.trace)
    }

    /// Shows the core what happened, and holds what it does against the model.
    pub(crate) fn handle(&mut self, event: Event) -> Held {
        self.model.tick += 1;
        let now = self.now();
        self.trace
            .note(|| format!("{:>12} {}", now.0 / 1_000_000, crate::show::event(&event)));
        self.mux.handle(now, event, &mut self.out);
        let mut routed = Vec::new();
        for fact in self.out.facts() {
            self.trace.note(|| format!("             . {fact:?}"));
            self.tally.fact(&fact);
            self.model.fact(&fact);
            if let Fact::Contradiction { what } = fact {
                return Err(Broken(format!("the core contradicts itself: {what}")));
            }
            if let Fact::SessionRouted { session, .. } = fact {
                routed.push(session);
            }
        }
        for action in self.out.actions() {
            self.trace
                .note(|| format!("             -> {}", crate::show::action(&action)));
            if matches!(
                action,
                Action::SendToSession { .. } | Action::SendToUpstream { .. }
            ) {
                self.tally.given += 1;
            }
            self.model.check(&action)?;
            self.pending.push(action);
        }
        self.model.check_due()?;
        self.model.check_abandoned()?;
        self.model.asking = None;
        routed
            .into_iter()
            .try_for_each(|session| self.model.check_sharing(session))?;
        if self.is_late {
            Ok(())
        } else {
            self.model.check_deadline(self.next_deadline())
        }
    }

    /// Does what the core wants done, and all that follows from it.
    pub(crate) fn perform(&mut self) -> Held {
        self.do_all()?;
        let held = self.clients.iter().map(|client| client.down_bytes);
        let held = held.chain(self.servers.values().map(|peer| peer.inbox_bytes));
        let bytes: usize = held.sum();
        if bytes.abs_diff(self.told_buffered) > self.limits.buffered_bytes / BUFFERED_STEPS {
            self.told_buffered = bytes;
            self.handle(Event::Buffered { bytes })?;
        }
        self.do_all()
    }

    fn do_all(&mut self) -> Held {
        while !self.pending.is_empty() || !self.echoes.is_empty() {
            for action in std::mem::take(&mut self.pending) {
                self.act(action);
            }
            for event in std::mem::take(&mut self.echoes) {
                if let Event::SessionCut { session } = &event {
                    self.model.cut(*session);
                }
                self.handle(event)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendToSession {
                session,
                frame,
                answered,
            } => {
                self.cut_if_full(session);
                self.put(session, Down::Message(frame, answered));
            }
            Action::Announce { session, line } => self.put(session, Down::Announcement(line)),
            // A shim keeps or forgets its lines; nothing else comes of it.
            Action::Notify { .. } => {}
            Action::PauseSession { session } => self.pause(session, true),
            Action::ResumeSession { session } => self.pause(session, false),
            Action::CloseSession { session } => {
                self.put(session, Down::Close);
                let client = self.clients.iter_mut().find(|client| client.id == session);
                if let Some(client) = client {
                    (client.is_closed, client.up) = (true, VecDeque::new());
                }
            }
            Action::StartUpstream { upstream, .. } => {
                self.servers
                    .insert(upstream, Peer::new(self.limits.message_bytes));
            }
            Action::SendToUpstream { upstream, frame } => {
                let Some(peer) = self.servers.get_mut(&upstream) else {
                    return;
                };
                peer.inbox_bytes += frame.len();
                peer.inbox.push_back(frame);
                if peer.inbox_bytes > self.limits.slow_server_bytes && !peer.is_blocked {
                    peer.is_blocked = true;
                    self.echoes.push(Event::UpstreamBlocked { upstream });
                    self.hit(Fault::SlowServer);
                }
            }
            Action::StopUpstream { upstream } => {
                if let Some(peer) = self.servers.get_mut(&upstream) {
                    peer.never_ran = peer.process == Process::Starting;
                    peer.process = Process::Stopping;
                }
            }
            Action::AnswerAdmin { ticket, .. } => {
                self.unanswered.remove(&ticket);
            }
        }
    }

    fn pause(&mut self, session: SessionId, is_paused: bool) {
        let client = self.clients.iter_mut().find(|client| client.id == session);
        if let Some(client) = client {
            client.is_paused = is_paused;
        }
    }

    fn put(&mut self, session: SessionId, down: Down) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == session) {
            client.down_bytes += down.len();
            client.down.push_back(down);
        }
    }

    /// A client that stands still, or lags far behind, loses what waits for it.
    fn cut_if_full(&mut self, session: SessionId) {
        let limit = self.limits.slow_reader_bytes;
        let Some(client) = self.clients.iter_mut().find(|client| client.id == session) else {
            return;
        };
        let most = if client.is_stalled { limit } else { limit * 8 };
        if client.down_bytes <= most || client.is_closed {
            return;
        }
        let too_slow = |id: &RequestId| Refusal::TooSlow.to_response(Some(id));
        let kept = std::mem::take(&mut client.down)
            .into_iter()
            .filter_map(|down| match down {
                Down::Message(_, Some(answered)) => {
                    Some(Down::Message(too_slow(&answered.id), Some(answered)))
                }
                Down::Message(_, None) => None,
                kept @ (Down::Announcement(_) | Down::Close) => Some(kept),
            });
        client.down = kept.collect();
        client.down_bytes = client.down.iter().map(Down::len).sum();
        self.echoes.push(Event::SessionCut { session });
        self.hit(Fault::CutReader);
    }

    /// A client comes.
    pub(crate) fn open(&mut self, kind: u8, keeps: bool) -> Held {
        self.opened += 1;
        let id = SessionId(self.opened);
        let (opening, key) = opening(kind, keeps, id, self.setting.idle_timeout());
        self.clients
            .push(Client::new(id, self.limits.message_bytes));
        self.model
            .sessions
            .insert(id, model::Session::new(key, keeps));
        self.handle(Event::SessionOpened {
            session: id,
            opening,
        })
    }

    pub(crate) fn restart(&mut self, name: &str) -> Held {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.unanswered.insert(ticket);
        self.handle(Event::AdminAsked {
            ticket,
            ask: AdminAsk::Restart {
                server: name.into(),
            },
        })
    }

    pub(crate) fn shut_down(&mut self) -> Held {
        self.is_shut_down = true;
        self.model.is_shutting_down = true;
        self.handle(Event::Shutdown)
    }

    /// The core is told that its deadline has come, if it has.
    pub(crate) fn ring(&mut self) -> Held {
        if let Some((at, timer)) = self.mux.next_deadline()
            && at <= self.now()
        {
            self.tally.saw(Kind::Timer, crate::show::timer(timer));
            self.is_late = false;
            self.handle(Event::DeadlineReached)?;
            self.perform()?;
        }
        self.is_late = false;
        Ok(())
    }

    /// Checks the whole.
    pub(crate) fn check(&mut self) -> Held {
        self.model.check_whole(&self.mux, &mut self.tally)
    }

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
                let whole = through(&mut client.splitter, &bytes);
                whole.map_or(Ok(()), |whole| {
                    self.client_line(session, line, whole, &messages)
                })
            }
        }
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
            Line::TooLong(head) | Line::GivenUp(head) => {
                return self.client_fault(session, line, too_long(&head, limit));
            }
        };
        if let Some(frames) = Frame::parse_batch(&bytes, usize::MAX) {
            self.hit(Fault::Batched);
            let is_one_fault = !may_batch || frames.iter().all(Result::is_err) && frames.len() == 1;
            if is_one_fault {
                self.model
                    .client_fault(session, &LineFault::NotAnObject, false);
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
        self.model.client_fault(session, &fault, false);
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
                let whole = through(&mut peer.splitter, &bytes);
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
            Line::TooLong(head) | Line::GivenUp(head) => {
                return self.server_fault(upstream, too_long(&head, limit));
            }
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
                    self.handle(Event::UpstreamFrame { upstream, frame })?;
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
        self.handle(Event::UpstreamStarted { upstream })
    }

    /// A process could not be started, or was stopped before it ran.
    pub(crate) fn start_failed(&mut self, upstream: UpstreamId) -> Held {
        self.servers.remove(&upstream);
        self.model.exited(upstream);
        let why = "no such program".to_owned();
        self.handle(Event::UpstreamStartFailed { upstream, why })
    }

    /// A process and all of its pipes are gone.
    pub(crate) fn exit(&mut self, upstream: UpstreamId, exit: Exit) -> Held {
        let owes = self
            .model
            .sessions
            .values()
            .flat_map(|session| session.owed.values());
        let owes = owes
            .filter(|owed| owed.minted.is_some_and(|(at, _)| at == upstream))
            .count();
        let peer = self.servers.remove(&upstream);
        match peer.filter(|peer| peer.process == Process::Running) {
            Some(peer) if !peer.is_greeted => self.hit(Fault::DiedEarly),
            Some(_) if owes > 0 => self.hit(Fault::Crashed),
            Some(_) | None => {}
        }
        self.model.exited(upstream);
        self.handle(Event::UpstreamExited { upstream, exit })
    }
}

/// What a line becomes when it goes through a pipe in two pieces.
fn through(splitter: &mut LineSplitter, bytes: &Bytes) -> Option<Line> {
    let mut whole = None;
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    splitter.feed(head, |_| {});
    splitter.feed(tail, |_| {});
    splitter.feed(b"\n", |line| whole = Some(line));
    whole
}

fn too_long(head: &[u8], limit: usize) -> LineFault {
    let about = About::cut_off(head);
    LineFault::TooLong { limit, about }
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        Model {
            limits,
            now: Moment(0),
            tick: 0,
            sessions: BTreeMap::new(),
            servers: BTreeMap::new(),
            said: Vec::new(),
            due: Vec::new(),
            asking: None,
            abandoned: Vec::new(),
            private: BTreeSet::new(),
            is_shutting_down: false,
        }
    }
}
