//! What reaches the hub, taken in: most of it becomes an event for the core.

use std::{path::PathBuf, sync::Arc};

use guardian::protocol::Report;
use mux::{AdminAsk, Event, Exit, LineNumber, Moment, SessionId, Ticket};

use super::{
    Hub,
    courtesy::Work,
    input::{AdminCall, Entrance, Heard, Input, LookedUp, Peer, ProcessId},
    pace::Pace,
    replay::Replay,
    session::Session,
    way_in::First,
};
use crate::{admin::Draft, launch::Launch, observe, process::Process, upstream::News};

impl Hub {
    pub(super) fn take_in(&mut self, now: Moment, input: Input) {
        match input {
            Input::Came(arrival) => self.look_up(*arrival),
            Input::LookedUp(looked_up) => self.on_looked_up(now, *looked_up),
            Input::NotLookedUp(arrival, id, fault) => self.on_not_looked_up(*arrival, id, &fault),
            Input::Ending(session) => self.on_ending(now, session),
            Input::Closed(session) if self.world.is_gone_on_with(session) => {}
            Input::Closed(session) => self.on_closed(now, session),
            Input::Visited(visit) => self.on_visit(now, *visit),
            Input::Posted(post, place) => self.on_modern_post(now, *post, place),
            Input::AnswerLasts { key, connection } => self.on_answer_lasts(key, connection),
            Input::Sought(key, found) => self.on_sought(key, *found),
            Input::ClockStrikes => self.world.on_strike(now),
            Input::PollDue(session, line) => self.world.on_poll_due(session, line),
            Input::ListenerLeft(session) => self.on_listener_left(now, session),
            Input::Lines { session, lines } => self.on_lines(now, session, lines),
            Input::Revoked(generation) => self.on_revoked(now, generation),
            Input::Signed { session, sign } => self.on_signed(now, session, &sign),
            Input::Unheard(session) => self.world.on_unheard(session),
            Input::Output { process, lines } => self.on_output(now, process, lines),
            Input::Heard { process, heard } => self.on_heard(now, process, heard),
            Input::Remote { process, news } => self.on_remote(now, process, news),
            Input::Room(peer) => self.on_room(peer),
            Input::LeftLongEnough(session) => {
                let world = &mut self.world;
                if world
                    .sessions
                    .get(&session)
                    .is_some_and(|session| session.closing)
                {
                    world.depart(session);
                }
            }
            Input::Reported { guardian, report } => {
                if self.world.around.guardian.is_current(guardian) {
                    self.on_report(now, report);
                }
            }
            Input::GuardianEnded { guardian } => self.on_guardian_ended(guardian),
            Input::OutputOverdue(process) => {
                let ending = self
                    .world
                    .processes
                    .get_mut(&process)
                    .map(Process::on_overdue);
                if let Some(ending) = ending {
                    self.world.on_ending(process, ending);
                }
            }
            Input::ProgramSeen { upstream, program } => {
                self.world.on_program_seen(upstream, program);
            }
            Input::Looked { upstream, holder } => self.world.on_looked(upstream, holder),
            Input::Asked(call) => self.on_asked(now, call),
            Input::Quit => self.stop(now, "asked to by a signal"),
        }
    }

    /// Begins the session of which it is known what it gets.
    pub(super) fn welcome(&mut self, now: Moment, looked_up: LookedUp) {
        let LookedUp {
            arrival,
            id,
            launch,
        } = looked_up;
        if !self.lets_in(now, id, &arrival.entrance, &launch) {
            return;
        }
        let Launch {
            mut opening,
            means,
            subject,
            lock,
            poll_after,
            ..
        } = launch;
        let resumes = opening.resumes;
        let world = &mut self.world;
        let direct = lock.map(|name| world.around.direct.path(&name));
        let workspace = arrival.ask.workspace.as_ref();
        let terms = (arrival.ask.join, workspace.map(|it| it.path.clone()));
        let Some(mut way) = world.way_in(id, arrival.entrance, terms, &opening.server) else {
            return;
        };
        if let Some(visited) = &mut way.visited {
            visited.poll_after = poll_after;
        }
        if let Some(modern) = &way.modern {
            opening.handle = Some(modern.key.to_text().into());
        }
        let (first, revived) = (way.first, way.revived);
        let mut session = Session {
            outlet: way.outlet,
            socket: way.socket,
            visited: way.visited,
            modern: way.modern,
            valve: Arc::default(),
            reader: way.reader,
            label: way.label,
            token: way.token,
            misses: (LineNumber(0), 0),
            server: Arc::clone(&opening.server),
            route: Some(opening.route.clone()),
            means: means.map_err(String::into_boxed_str),
            direct: direct.map(PathBuf::into_boxed_path),
            subject,
            lines: way.lines,
            work: Work::default(),
            replay: (resumes && revived.is_none()).then(Replay::default),
            pace: Pace::default(),
            blocked: false,
            awaiting_room: false,
            closing: false,
            touched: false,
            _permit: arrival.permit,
        };
        session.go_on(id, &world.around);
        world.sessions.insert(id, session);
        world.touch_session(id);
        let event = Event::SessionOpened {
            session: id,
            opening,
        };
        self.handle(now, event);
        self.take_first(now, id, first);
        if let Some(revived) = revived {
            self.go_on_with(now, id, revived);
        }
        self.turn_out_if_revoked(now, id);
    }

    /// Whether a session is begun for whoever comes in like this.
    fn lets_in(
        &mut self,
        now: Moment,
        id: SessionId,
        entrance: &Entrance,
        launch: &Launch,
    ) -> bool {
        match entrance {
            Entrance::Modern(post) => self.admits(now, id, post, launch),
            // Who has gone meanwhile would never hear by what it is known.
            Entrance::Http(beginner) => beginner.presence.is_for(id),
            Entrance::Socket(..) | Entrance::WebSocket(_) => !entrance.is_left(),
            Entrance::Revived(_) => true,
        }
    }

    /// What a session has said as it came.
    fn take_first(&mut self, now: Moment, id: SessionId, first: First) {
        match first {
            First::Nothing => {}
            First::Post(post, reply) => self.take_post(now, id, post, reply),
            First::Modern(post) => self.take_modern_post(now, id, *post),
        }
    }

    fn on_ending(&mut self, now: Moment, session: SessionId) {
        if self.world.hears(session) {
            let event = Event::SessionEnding { session };
            self.handle(now, event);
        }
    }

    pub(super) fn on_closed(&mut self, now: Moment, session: SessionId) {
        if self.world.hears(session) {
            // It stays for the turn: a process may be started on its behalf in this very one.
            self.world.give_up(session);
            let event = Event::SessionClosed { session };
            self.handle(now, event);
        }
    }

    fn on_heard(&mut self, now: Moment, id: ProcessId, heard: Heard) {
        let Some(process) = self.world.processes.get_mut(&id) else {
            return;
        };
        let upstream = process.upstream;
        let event = match heard {
            Heard::Complaint(line) => Event::UpstreamComplained { upstream, line },
            Heard::OutputEnded { unfinished } => {
                let ending = process.on_output_ended(unfinished);
                return self.world.on_ending(id, ending);
            }
            Heard::ErrorsEnded => {
                let ending = process.on_errors_ended();
                return self.world.on_ending(id, ending);
            }
        };
        self.handle(now, event);
    }

    /// The same as a guardian's reports, of what is no child of it.
    fn on_remote(&mut self, now: Moment, id: ProcessId, news: News) {
        let world = &mut self.world;
        let Some(process) = world.processes.get_mut(&id) else {
            return;
        };
        match news {
            News::Reached => {
                process.on_reached(id, &world.around);
                let event = Event::UpstreamStarted {
                    upstream: process.upstream,
                    program: None,
                };
                self.handle(now, event);
            }
            News::Ended(end) => {
                let ending = process.on_remote_end(end);
                world.on_ending(id, ending);
            }
        }
    }

    fn on_room(&mut self, peer: Peer) {
        let world = &mut self.world;
        match peer {
            Peer::Session(id) => {
                if let Some(session) = world.sessions.get_mut(&id) {
                    session.awaiting_room = false;
                    world.touch_session(id);
                }
            }
            Peer::Process(id) => {
                if let Some(process) = world.processes.get_mut(&id) {
                    process.awaiting_room = false;
                    world.touch_process(id);
                }
            }
            Peer::Guardian(guardian) => world.around.guardian.on_room(guardian),
        }
    }

    fn on_report(&mut self, now: Moment, report: Report) {
        let world = &mut self.world;
        match report {
            // All of this was heard when the guardian was met.
            Report::Introduction(_) | Report::Held(_) => {}
            Report::Spawned { upstream, pid, .. } => {
                let id = ProcessId(upstream);
                let Some(process) = world.processes.get_mut(&id) else {
                    return self.books.stranger(id);
                };
                process.on_running(id, pid, &world.around);
                let event = Event::UpstreamStarted {
                    upstream: process.upstream,
                    program: process.program,
                };
                self.handle(now, event);
            }
            Report::SpawnFailed { upstream, text, .. } => {
                if let Some(process) = world.processes.remove(&ProcessId(upstream)) {
                    process.log.remark(&format!("not started: {text}"));
                    let upstream = process.upstream;
                    world.by_upstream.remove(&upstream);
                    world.subjects.remove(&upstream);
                    let why = text;
                    let event = Event::UpstreamStartFailed { upstream, why };
                    self.handle(now, event);
                }
            }
            Report::Exited {
                upstream,
                code,
                signal,
            } => {
                let exit = match (code, signal) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unknown,
                };
                let id = ProcessId(upstream);
                if let Some(process) = world.processes.get_mut(&id) {
                    let ending = process.on_exited(exit);
                    world.on_ending(id, ending);
                }
            }
            Report::Gone {
                upstream,
                survivors,
            } => {
                let id = ProcessId(upstream);
                let lingering = world.lingering.remove(&id);
                let process = world.processes.get_mut(&id);
                let server = match (&process, &lingering) {
                    (Some(process), _) => Some(&process.server),
                    (None, Some(left)) => Some(&left.server),
                    (None, None) => None,
                };
                if let Some(server) = server
                    && survivors > 0
                {
                    observe::survivors(server, survivors);
                }
                if let Some(process) = process {
                    let ending = process.on_gone();
                    world.on_ending(id, ending);
                }
                if world.strangers.remove(&id) || lingering.is_some() {
                    world.start_postponed();
                }
            }
        }
    }

    /// Servers die with their parent.
    fn on_guardian_ended(&mut self, guardian: u64) {
        let was_ending = self.world.around.guardian.is_ending();
        if !self.world.around.guardian.on_ended(guardian) {
            return;
        }
        if self.stopping.is_none() && !was_ending {
            observe::guardian_lost();
        }
        let processes = self.world.processes.iter();
        let children = processes.filter(|(_, process)| !process.is_remote());
        let all: Vec<ProcessId> = children.map(|(id, _)| *id).collect();
        for id in all {
            self.world.end_process(id, Exit::Unknown);
        }
        self.world.strangers.clear();
        self.world.lingering.clear();
        self.world.start_postponed();
    }

    fn on_asked(&mut self, now: Moment, call: AdminCall) {
        match call {
            AdminCall::Status(reply) => {
                // Nobody may wait for it any more.
                let _gone = reply.send(self.draft(now));
            }
            AdminCall::Restart {
                server,
                patience,
                reply,
            } => {
                let ticket = Ticket(self.world.next_id());
                self.world.tickets.insert(ticket, reply);
                let ask = AdminAsk::Restart {
                    server: server.into(),
                    patience,
                };
                let event = Event::AdminAsked { ticket, ask };
                self.handle(now, event);
            }
            AdminCall::Rehearse(reply) => {
                // Nobody may wait for it any more.
                let _gone = reply.send(self.rehearsal());
            }
            AdminCall::Upgrade(wish) => self.on_upgrade_wanted(now, wish),
            AdminCall::Stop(socket) => {
                self.world.stops.push(socket);
                if self.stopping.is_none() {
                    self.stop(now, "asked to by `mcpool stop`");
                }
            }
        }
    }

    fn draft(&mut self, now: Moment) -> Draft {
        let world = &mut self.world;
        let pids = world
            .processes
            .values()
            .filter_map(|process| Some((process.upstream, process.pid?)));
        let labels = world
            .sessions
            .iter()
            .filter_map(|(id, session)| Some((*id, session.label.clone()?)));
        let places = world.processes.values().filter_map(|process| {
            let place = process.place()?;
            Some((process.upstream, place.to_owned()))
        });
        Draft {
            snapshot: self.mux.snapshot(),
            now,
            socket: world.around.places.socket.clone(),
            direct: world.around.direct.clone(),
            guardian: world.around.guardian.pid(),
            pids: pids.collect(),
            labels: labels.collect(),
            places: places.collect(),
            config_error: world.around.launcher.config_error(),
            http: world.around.listening(),
            lost_logs: world.around.logs.lost(),
            counts: world.observer.counts().clone(),
        }
    }
}
