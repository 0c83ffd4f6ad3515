//! A real core, scripted peers, the links between them, and the only clock.
//!
//! **Invariant:** whatever reaches the core is told to the model first, and whatever the core does is
//! held against the model before it has an effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mux::{
    Action, AdminAnswer, AdminAsk, Event, Fact, Limits, Moment, Mux, Outbox, Refusal, SessionId,
    Ticket, UpstreamId, audit::Audit,
};
use wire::RequestId;

use crate::{
    fault::Fault,
    invariants::{Broken, ensure},
    model::{self, Model},
    peers::{Client, Down, Peer, Process, opening},
    queue::Stamps,
    seed::Setting,
    tally::{Kind, Tally},
    trace::Trace,
};

/// Turns after which what should come to an end has none.
pub(crate) const TURNS: usize = 100_000;

/// The part of all that may be held whose change the core is told of.
const BUFFERED_STEPS: usize = 64;

/// Events from one upgrade to the next.
const PROGRAM_EVENTS: u64 = 101;

/// How long an administrator lets a server answer what it works on before it is restarted.
const RESTART_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) type Held = Result<(), Broken>;

/// Everything that there is.
#[derive(Debug)]
pub(crate) struct World {
    mux: Mux,
    out: Outbox,
    /// What anybody may rely on, whatever peers mean; the model knows besides what they mean.
    audit: Audit,
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
    stamps: Stamps,
    opened: u64,
    tickets: u64,
    /// Administrators who wait.
    pub(crate) unanswered: BTreeSet<Ticket>,
    /// Set while a deadline has passed and the core has not been told.
    pub(crate) is_late: bool,
    pub(crate) is_shut_down: bool,
    /// What the core knows of what waits on the links, in bytes.
    told_buffered: usize,
    /// How much had happened when the whole was checked last.
    checked_at: u64,
}

impl World {
    /// A world in which nothing has happened.
    pub(crate) fn new(setting: Setting, trace: Trace) -> Self {
        let limits = setting.limits();
        World {
            mux: Mux::new(limits.clone(), mux::Epoch(0)),
            out: Outbox::default(),
            audit: Audit::default(),
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
            stamps: Stamps::default(),
            opened: 0,
            tickets: 0,
            unanswered: BTreeSet::new(),
            is_late: false,
            is_shut_down: false,
            told_buffered: 0,
            checked_at: 0,
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
        if self.model.tick.is_multiple_of(PROGRAM_EVENTS) {
            self.change_program()?;
        }
        self.audit.event(&event);
        self.mux.handle(now, event, &mut self.out);
        let (actions, facts) = self.out.contents();
        self.audit.outcome(actions, facts);
        let mut routed = Vec::new();
        for fact in self.out.facts() {
            self.trace.note(|| format!("             . {fact:?}"));
            self.tally.fact(&fact);
            self.model.check_dropped(&fact)?;
            self.model.excuse(&fact);
            if let Fact::Contradiction { what } = fact {
                return Err(Broken(format!("the core contradicts itself: {what}")));
            }
            if let Fact::SessionRouted { session, upstream } = fact {
                self.model.routed(session, upstream);
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
        self.check_books()?;
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

    /// Freezes the core and goes on with what was thawed, as an upgrade does. Nothing may have changed.
    fn change_program(&mut self) -> Held {
        let frozen = self.mux.freeze();
        let thawed = Mux::thaw(&frozen, self.limits.clone())
            .map_err(|error| Broken(format!("what was frozen does not thaw: {error}")))?;
        if format!("{thawed:?}") != format!("{:?}", self.mux) || thawed.freeze() != frozen {
            return Err(Broken("what was thawed is not what was frozen".to_owned()));
        }
        self.mux = thawed;
        self.hit(Fault::Upgraded);
        Ok(())
    }

    /// Does what the core wants done, and all that follows from it.
    pub(crate) fn perform(&mut self) -> Held {
        self.do_all()?;
        let held = self.clients.iter().map(|client| client.down_bytes);
        let held = held.chain(self.servers.values().map(|peer| peer.inbox_bytes));
        let bytes: usize = held.sum();
        if bytes.abs_diff(self.told_buffered) > self.limits.buffered_bytes / BUFFERED_STEPS {
            (self.told_buffered, self.model.buffered) = (bytes, bytes);
            self.handle(Event::Buffered { bytes })?;
        }
        self.do_all()
    }

    fn do_all(&mut self) -> Held {
        let mut turns = 0;
        while !self.pending.is_empty() || !self.echoes.is_empty() {
            turns += 1;
            ensure!(turns < TURNS, "what the core does has no end");
            for action in std::mem::take(&mut self.pending) {
                self.act(action);
            }
            for event in std::mem::take(&mut self.echoes) {
                if let Event::SessionCut { session } = &event {
                    self.model.cut(*session);
                }
                if let Event::UpstreamBlocked { upstream } = &event {
                    self.model.reads(*upstream, false);
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
                part_of: _,
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
                    client.is_closed = true;
                    client.up.clear();
                }
            }
            Action::StartUpstream { upstream, .. } => {
                self.servers
                    .insert(upstream, Peer::new(self.limits.message_bytes, &self.stamps));
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
            // No other daemon comes in this world.
            Action::Record { .. } => {}
            // Nothing is kept here of what servers say.
            Action::KeepWords { .. } | Action::KeepFinding { .. } => {}
            Action::AnswerAdmin { ticket, answer } => {
                self.unanswered.remove(&ticket);
                if matches!(answer, AdminAnswer::Restarted { upstreams } if upstreams > 0) {
                    self.hit(Fault::Restarted);
                }
            }
            // It is kept for ever.
            Action::EndDaemon => {}
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
        let judged = self.judge(session);
        self.echoes.extend(judged);
    }

    /// Whether a client has begun or ceased to have much to read.
    pub(crate) fn judge(&mut self, session: SessionId) -> Option<Event> {
        let much = self.limits.slow_reader_bytes / 4;
        let client = self.clients.iter_mut().find(|it| it.id == session)?;
        if !client.is_blocked && client.down_bytes > much && !client.is_closed {
            client.is_blocked = true;
            self.hit(Fault::Unread);
            Some(Event::SessionBlocked { session })
        } else if client.is_blocked && client.down_bytes <= much / 2 {
            client.is_blocked = false;
            Some(Event::SessionWritable { session })
        } else {
            None
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
        client.down.replace(|down| match down {
            Down::Message(_, Some(answered)) => {
                Some(Down::Message(too_slow(&answered.id), Some(answered)))
            }
            Down::Message(_, None) => None,
            kept @ (Down::Announcement(_) | Down::Close) => Some(kept),
        });
        client.down_bytes = client.down.iter().map(Down::len).sum();
        self.echoes.push(Event::SessionCut { session });
        self.hit(Fault::CutReader);
        let judged = self.judge(session);
        self.echoes.extend(judged);
    }

    /// A client comes.
    pub(crate) fn open(&mut self, kind: u8, keeps: bool) -> Held {
        self.opened += 1;
        let id = SessionId(self.opened);
        let (opening, key) = opening(kind, keeps, id, self.setting.idle_timeout());
        self.clients
            .push(Client::new(id, self.limits.message_bytes, &self.stamps));
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
                patience: RESTART_PATIENCE,
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

    /// Checks the whole, unless nothing has happened since the last time.
    pub(crate) fn check(&mut self) -> Held {
        if std::mem::replace(&mut self.checked_at, self.model.tick) == self.model.tick {
            return Ok(());
        }
        let snapshot = self.mux.snapshot();
        self.model.check_whole(&snapshot, &mut self.tally)?;
        self.check_who_is_asked()?;
        self.audit.compare(&snapshot, &self.limits);
        self.check_books()
    }

    /// Who is asked something is read, whatever else it has said: all else may wait for the answer.
    fn check_who_is_asked(&self) -> Held {
        let is_asked = |client: &&Client| {
            let known = self.model.sessions.get(&client.id);
            known.is_some_and(|known| !known.asked.is_empty())
        };
        // One that does not read is heard for a while.
        let is_unheard = |client: &&Client| client.is_paused && !client.is_blocked;
        let mut clients = self.clients.iter().filter(|client| !client.is_closed);
        let unheard = clients.find(|client| is_unheard(client) && is_asked(client));
        match unheard {
            Some(client) => Err(Broken(format!(
                "{} is asked something and not read",
                client.id
            ))),
            None => Ok(()),
        }
    }

    /// Nobody is there any more: by the books nothing may be owed.
    pub(crate) fn check_rest_of_books(&mut self) -> Held {
        self.audit.at_rest();
        self.check_books()
    }

    fn check_books(&mut self) -> Held {
        match self.audit.take_violations().first() {
            Some(violation) => Err(Broken(format!("by the books: {violation}"))),
            None => Ok(()),
        }
    }
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
            told: Vec::new(),
            buffered: 0,
            is_shutting_down: false,
        }
    }
}
