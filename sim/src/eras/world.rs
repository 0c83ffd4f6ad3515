//! A real core, scripted peers of both eras, and the only clock.
//!
//! **Invariant:** whatever reaches the core is told to the judge first, and whatever the core does is held
//! against the judge before it has an effect.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use mux::{
    Action, AdminAsk, Asks, CallRules, Device, Event, Exit, Front, IdleTimeout, Joins, Limits,
    Link, Moment, Mux, OnRestart, OnceRule, Opening, Outbox, Route, Scope, SessionId, Start,
    Ticket, UpstreamId, audit::Audit,
};
use wire::{Frame, Outgoing};

use super::{
    client::{Client, Nature},
    judge::{Judge, Process, Session},
    kept::Kept,
    server::Peer,
    specs::{ONCE_TTL, SPECS, Spec},
    step::{Act, Step},
    words,
};
use crate::{
    fault::Fault,
    invariants::{Broken, ensure},
    seed::Setting,
    tally::{Kind, Tally},
    trace::Trace,
    world::Held,
};

/// Turns after which what should come to an end has none.
const TURNS: usize = 20_000;

/// Events from one upgrade to the next.
const PROGRAM_EVENTS: u64 = 41;

/// How much time may pass at once, in milliseconds.
const TIMES: [u64; 8] = [1, 120, 1_000, 7_000, 11_000, 31_000, 70_000, 620_000];

/// Everything that there is.
#[derive(Debug)]
pub(crate) struct World {
    mux: Mux,
    out: Outbox,
    /// What anybody may rely on, whatever peers mean; the judge knows besides what they mean.
    audit: Audit,
    pub(super) judge: Judge,
    setting: Setting,
    limits: Limits,
    pub(super) clients: Vec<Client>,
    pub(super) servers: BTreeMap<UpstreamId, Peer>,
    pub(super) kept: Kept,
    /// What the core wants done and is not done yet.
    pending: Vec<Action>,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
    opened: u64,
    tickets: u64,
    pub(super) is_shut_down: bool,
    /// How often something has been read by a peer.
    pub(super) reads: u64,
}

impl World {
    /// A world in which nothing has happened.
    pub(super) fn new(setting: Setting, trace: Trace) -> Self {
        // Small limits are hit in the worlds of one era.
        let limits = Setting {
            bounds: crate::seed::Bounds::Usual,
            ..setting
        }
        .limits();
        World {
            mux: Mux::new(limits.clone(), mux::Epoch(0)),
            out: Outbox::default(),
            audit: Audit::default(),
            judge: Judge::new(limits.clone()),
            setting,
            limits,
            clients: Vec::new(),
            servers: BTreeMap::new(),
            kept: Kept::default(),
            pending: Vec::new(),
            tally: Tally {
                worlds: 1,
                ..Tally::default()
            },
            trace,
            opened: 0,
            tickets: 0,
            is_shut_down: false,
            reads: 0,
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.judge.now
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.mux.next_deadline().map(|(at, _)| at)
    }

    /// How much has happened: a step that does nothing does not change it.
    pub(super) fn moves(&self) -> (u64, u64, Moment) {
        (self.judge.tick, self.reads, self.now())
    }

    pub(super) fn mux(&self) -> &Mux {
        &self.mux
    }

    pub(super) fn setting(&self) -> &Setting {
        &self.setting
    }

    /// What was seen, and all that was written down.
    pub(super) fn into_parts(self) -> (Tally, Trace) {
        (self.tally, self.trace)
    }

    /// Takes one step, and checks everything.
    pub(super) fn play(&mut self, step: Step) -> Held {
        self.trace.note(|| format!("== {step:?}"));
        self.take(step)?;
        self.judge.check_whole(&self.mux.snapshot())?;
        self.audit.compare(&self.mux.snapshot(), &self.limits);
        self.check_books()
    }

    fn take(&mut self, Step { act, who, what }: Step) -> Held {
        match act {
            Act::Open => self.open(who, what),
            Act::Hello => self.hello(who, what),
            Act::Ask => self.ask_any(who, what),
            Act::Listen => self.listen(who, what),
            Act::Return => self.come_back(who, what),
            Act::Dally => self.dally(who, what),
            Act::Reply => self.reply(who, what),
            Act::Cancel => self.cancel(who, what),
            Act::End => self.end(who),
            Act::Leave => self.leave(who),
            Act::Read => {
                self.read(who, what);
                Ok(())
            }
            Act::Start => self.start(who, what),
            Act::Take => {
                self.take_in(who, what);
                Ok(())
            }
            Act::Greet => self.greet(who, what),
            Act::Acknowledge => self.acknowledge(who),
            Act::Answer => self.answer(who, what),
            Act::Question => self.question(who, what),
            Act::Withdraw => self.withdraw(who, what),
            Act::Report => self.report(who, what),
            Act::Log => self.log(who, what),
            Act::Change => self.change(who, what),
            Act::Update => self.update(who, what),
            Act::Crash => self.crash(who, what),
            Act::Exit => self.exit(who),
            Act::Settle => self.settle(),
            Act::Pass => {
                let millis = TIMES[usize::from(what) % TIMES.len()];
                self.pass(self.now() + Duration::from_millis(millis))
            }
            Act::Stall => self.stall(who, what),
            Act::Cut => self.cut(who, what),
            Act::Keep => {
                self.keep(who, what);
                Ok(())
            }
            Act::Restart => self.restart(SPECS[usize::from(who) % SPECS.len()].name),
            Act::Shutdown => self.shut_down(),
        }
    }

    /// Shows the core what happened, holds what it does against the judge, and does it.
    pub(super) fn handle(&mut self, event: Event) -> Held {
        self.judge.tick += 1;
        self.tally.heard += 1;
        let now = self.now();
        self.trace
            .note(|| format!("{:>12} {}", now.0 / 1_000_000, crate::show::event(&event)));
        if self.judge.tick.is_multiple_of(PROGRAM_EVENTS) {
            self.change_program()?;
        }
        self.audit.event(&event);
        self.mux.handle(now, event, &mut self.out);
        let (actions, facts) = self.out.contents();
        self.audit.outcome(actions, facts);
        for fact in self.out.facts() {
            self.trace.note(|| format!("             . {fact:?}"));
            self.tally.fact(&fact);
            self.judge.learn(&fact)?;
        }
        for action in self.out.actions() {
            self.trace
                .note(|| format!("             -> {}", crate::show::action(&action)));
            let is_said = matches!(
                action,
                Action::SendToSession { .. } | Action::SendToUpstream { .. }
            );
            self.tally.given += u64::from(is_said);
            self.judge.check(&action)?;
            self.pending.push(action);
        }
        self.judge.check_due()?;
        for seen in self.judge.seen.drain(..) {
            self.tally.saw(Kind::Era, seen.name());
        }
        self.check_books()?;
        let next = self.next_deadline();
        ensure!(
            next.is_none_or(|next| next >= now),
            "a deadline has passed unseen"
        );
        self.perform()
    }

    /// Freezes the core and goes on with what was thawed, as an upgrade does. Nothing may have changed.
    fn change_program(&mut self) -> Held {
        let frozen = self.mux.freeze();
        let thawed = Mux::thaw(&frozen, self.limits.clone())
            .map_err(|error| Broken(format!("what was frozen does not thaw: {error}")))?;
        ensure!(
            format!("{thawed:?}") == format!("{:?}", self.mux) && thawed.freeze() == frozen,
            "what was thawed is not what was frozen"
        );
        self.mux = thawed;
        self.tally.saw(Kind::Fault, Fault::Upgraded.name());
        Ok(())
    }

    /// Does what the core wants done.
    fn perform(&mut self) -> Held {
        let pending = std::mem::take(&mut self.pending);
        let mut announced = Vec::new();
        for action in pending {
            match action {
                Action::SendToSession { session, frame, .. } => self.put(session, &frame),
                Action::Announce { session, line } => announced.push((session, line)),
                Action::PauseSession { session } => self.pause(session, true),
                Action::ResumeSession { session } => self.pause(session, false),
                Action::CloseSession { session } => {
                    if let Some(client) = self.clients.iter_mut().find(|it| it.id == session) {
                        (client.is_closed, client.is_stalled) = (true, false);
                    }
                }
                Action::StartUpstream { upstream, .. } => {
                    let name = self.judge.servers[&upstream].name;
                    let spec = SPECS.iter().position(|spec| spec.name == name);
                    self.servers
                        .insert(upstream, Peer::new(spec.unwrap_or_default()));
                }
                Action::SendToUpstream { upstream, frame } => {
                    if let Some(peer) = self.servers.get_mut(&upstream) {
                        peer.inbox.push_back(frame.to_vec().into());
                    }
                }
                Action::StopUpstream { upstream } => {
                    if let Some(peer) = self.servers.get_mut(&upstream) {
                        peer.never_ran = peer.process == Process::Starting;
                        peer.process = Process::Stopping;
                    }
                }
                words @ Action::KeepWords { .. } => self.keep_words(words),
                Action::Notify { .. }
                | Action::Record { .. }
                | Action::KeepFinding { .. }
                | Action::AnswerAdmin { .. }
                | Action::EndDaemon => {}
            }
        }
        for (session, line) in announced {
            self.handle(Event::Announced { session, line })?;
        }
        Ok(())
    }

    fn put(&mut self, session: SessionId, frame: &Outgoing) {
        if let Some(client) = self.clients.iter_mut().find(|it| it.id == session) {
            client.down.push_back(frame.to_vec().into());
        }
    }

    fn pause(&mut self, session: SessionId, is_paused: bool) {
        if let Some(client) = self.clients.iter_mut().find(|it| it.id == session) {
            client.is_paused = is_paused;
        }
    }

    fn open(&mut self, who: u8, what: u8) -> Held {
        let open = self
            .clients
            .iter()
            .filter(|client| !client.is_closed)
            .count();
        if self.is_shut_down || open >= 6 {
            return Ok(());
        }
        self.opened += 1;
        let id = SessionId(self.opened);
        let spec = &SPECS[usize::from(who) % SPECS.len()];
        let nature =
            [Nature::Legacy, Nature::Modern, Nature::Post, Nature::Probe][usize::from(what) % 4];
        let class = what / 4 % 3;
        let link = match (nature, what / 12 % 3) {
            (Nature::Post, _) | (Nature::Legacy, 2) => Link::Posts,
            (_, 1) => Link::Keeping,
            _plain => Link::Plain,
        };
        self.clients.push(Client::new(id, nature, class));
        let is_shared = spec.scope != Scope::Session;
        let session = Session {
            is_shared,
            is_post: nature == Nature::Post,
            fixed: spec.era,
            ..Session::new(id, spec.name)
        };
        self.judge.sessions.insert(id, session);
        let kept = self.kept.brought(spec, what / 36 % 2 == 1, self.judge.now);
        let opening = Opening {
            kept,
            start: if what / 72 % 3 == 2 {
                Start::WithSession
            } else {
                Start::OnDemand
            },
            ..opening(spec, id, link, self.setting.idle_timeout())
        };
        self.handle(Event::SessionOpened {
            session: id,
            opening,
        })
    }

    /// Something of a client reaches the core.
    pub(super) fn say(&mut self, at: usize, text: String) -> Held {
        let client = &mut self.clients[at];
        client.lines += 1;
        let (session, line) = (client.id, mux::LineNumber(client.lines));
        let frame = read(text)?;
        self.handle(Event::SessionFrame {
            session,
            line,
            frame,
        })
    }

    /// Something of a server reaches the core.
    pub(super) fn speak(&mut self, upstream: UpstreamId, text: String) -> Held {
        self.speak_within(upstream, text, None)
    }

    /// The same, on the stream of a request if that is known.
    pub(super) fn speak_within(
        &mut self,
        upstream: UpstreamId,
        text: String,
        within: Option<u64>,
    ) -> Held {
        let frame = read(text)?;
        self.handle(Event::UpstreamFrame {
            upstream,
            frame,
            within,
        })
    }

    pub(super) fn started(&mut self, upstream: UpstreamId) -> Held {
        if let Some(peer) = self.servers.get_mut(&upstream) {
            peer.process = Process::Running;
        }
        if let Some(server) = self.judge.servers.get_mut(&upstream) {
            server.process = Process::Running;
        }
        let program = None;
        self.handle(Event::UpstreamStarted { upstream, program })
    }

    pub(super) fn start_failed(&mut self, upstream: UpstreamId) -> Held {
        self.servers.remove(&upstream);
        self.judge.exited(upstream, &[]);
        self.handle(Event::UpstreamStartFailed {
            upstream,
            why: "it is not there".to_owned(),
        })
    }

    /// A process is gone; of what it has not read only so much was written to it.
    pub(super) fn exited(&mut self, upstream: UpstreamId, exit: Exit, written: usize) -> Held {
        let Some(peer) = self.servers.remove(&upstream) else {
            return Ok(());
        };
        let inbox = peer.inbox.into_iter().skip(written);
        let frames = inbox.filter_map(|bytes| Frame::parse(bytes).ok());
        let unwritten: Vec<Frame> = frames
            .filter(|frame| frame.kind() == wire::Kind::Request)
            .collect();
        let minted: Vec<u64> = unwritten
            .iter()
            .filter_map(|frame| frame.id().and_then(wire::RequestId::as_number))
            .collect();
        self.judge.exited(upstream, &minted);
        self.handle(Event::UpstreamExited {
            upstream,
            exit,
            unwritten,
        })
    }

    pub(super) fn pass(&mut self, end: Moment) -> Held {
        let mut turns = 0;
        while let Some(next) = self.next_deadline().filter(|next| *next <= end) {
            turns += 1;
            ensure!(turns < TURNS, "there are deadlines without end");
            self.ring_at(next)?;
        }
        self.judge.now = end;
        Ok(())
    }

    /// The core is told that its deadline has come.
    pub(super) fn ring_at(&mut self, next: Moment) -> Held {
        self.judge.now = self.now().max(next);
        self.judge.time_passes();
        self.handle(Event::DeadlineReached)
    }

    /// Somebody ceases to read, or reads on.
    fn stall(&mut self, who: u8, what: u8) -> Held {
        if what.is_multiple_of(2) {
            self.stall_server(who)
        } else {
            self.stall_client(who)
        }
    }

    /// Everybody reads on.
    pub(super) fn read_on(&mut self) -> Held {
        while let Some(at) = self.stalled_server() {
            self.stall_server(at)?;
        }
        while let Some(at) = self.stalled_client() {
            self.stall_client(at)?;
        }
        Ok(())
    }

    /// Somebody is cut off.
    fn cut(&mut self, who: u8, what: u8) -> Held {
        if what.is_multiple_of(2) {
            self.cut_server(who, what / 2)
        } else {
            self.cut_client(who)
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.opened > 0
    }

    fn restart(&mut self, name: &'static str) -> Held {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.judge.troubled.insert(name, self.judge.tick + 1);
        self.handle(Event::AdminAsked {
            ticket,
            ask: AdminAsk::Restart {
                server: name.into(),
                patience: Duration::from_secs(5),
            },
        })
    }

    pub(super) fn shut_down(&mut self) -> Held {
        if std::mem::replace(&mut self.is_shut_down, true) {
            return Ok(());
        }
        self.judge.is_shutting_down = true;
        self.handle(Event::Shutdown)
    }

    /// Nobody is there any more: by the books nothing may be owed.
    pub(super) fn check_rest_of_books(&mut self) -> Held {
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

fn read(text: String) -> Result<Frame, Broken> {
    Frame::parse(Bytes::from(text))
        .map_err(|fault| Broken(format!("a peer says what is no message: {fault}")))
}

/// What the configuration says of the calls of a server.
fn rules(spec: &Spec) -> CallRules {
    let tool = spec.device.map(|at| words::TOOLS[usize::from(at)]);
    CallRules {
        device: tool.map(|tool| Device {
            name: "d".into(),
            tools: Some([tool.into()].into()),
        }),
        once: spec.once.map(|at| OnceRule {
            tools: [words::TOOLS[usize::from(at)].into()].into(),
            key: None,
            ttl: ONCE_TTL,
        }),
    }
}

/// What the edge knows of a session.
fn opening(spec: &Spec, id: SessionId, link: Link, idle_timeout: IdleTimeout) -> Opening {
    let handle: Arc<str> = words::handle_name(id).into();
    Opening {
        server: spec.name.into(),
        front: if link == Link::Posts {
            Front::Http
        } else {
            Front::Stdio
        },
        link,
        refused: None,
        route: Route(spec.name.as_bytes().into()),
        scope: spec.scope,
        scope_reason: "so it was written".into(),
        workspace: Some("/w".into()),
        asks: Asks::Shared,
        fixed_class: None,
        idle_timeout,
        request_timeout: None,
        request_idle_timeout: None,
        on_restart: OnRestart::Continue,
        kept: None,
        found: None,
        start: Start::OnDemand,
        joins: Joins::OwnRoute,
        withheld: Vec::new(),
        resumes: false,
        waited: Duration::ZERO,
        silence_max: None,
        era: spec.era,
        modern_scope: None,
        handle: Some(handle),
        rules: Arc::new(rules(spec)),
    }
}
