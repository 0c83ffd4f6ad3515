//! Everything outside of the core: clients, processes, and the ways to them.
//!
//! **Invariant:** a peer that is not in here is gone: whatever is still heard of it, or meant for it, is
//! dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};

use mux::{AdminAnswer, Epoch, Event, Exit, Limits, Record, SessionId, Ticket, UpstreamId};
use shim::direct::Locks;
use tokio::{
    net::UnixStream,
    sync::{mpsc::Sender, oneshot},
    time,
};

use super::{
    input::{Input, Peer, ProcessId},
    session::{LEAVE_PATIENCE, Session},
};
use crate::{
    kept_words::{Keeper, Subject, wall_clock},
    launch::Launcher,
    link::{Backlog, Flushed, Halt, NoRoom, Outlet, Overflow, Room, Sink},
    logs::Logs,
    observe::Observer,
    process::{Ending, Guardian, HURRY, Note, OUTPUT_PATIENCE, Process, STOP_PATIENCE},
    tasks,
};

/// So much may wait for anybody, however crowded it is.
const LITTLE_BYTES: usize = 64 << 10;

/// What the world is made of when the daemon begins.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) inbox: Sender<Input>,
    /// Has all who read stop.
    pub(crate) halt: Halt,
    pub(crate) limits: Limits,
    /// For all that links hold.
    pub(crate) room: Arc<Room>,
    /// The part of it for what sessions have to read.
    pub(crate) unread: Arc<Room>,
    pub(crate) launcher: Launcher,
    pub(crate) keeper: Keeper,
    pub(crate) logs: Logs,
    /// The locks of servers that sessions run themselves.
    pub(crate) direct: Locks,
    pub(crate) guardian: Guardian,
    /// Where the daemon listens.
    pub(crate) socket: PathBuf,
    /// Which daemon this is of its guardian.
    pub(crate) epoch: Epoch,
    /// Whoever lets new sessions in.
    pub(crate) door: Option<oneshot::Sender<()>>,
}

/// All peers.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) around: Surroundings,
    pub(super) observer: Observer,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) processes: BTreeMap<ProcessId, Process>,
    pub(super) by_upstream: BTreeMap<UpstreamId, ProcessId>,
    /// Of processes of which it is kept what they say of themselves: by what, and since when they run.
    pub(super) subjects: BTreeMap<UpstreamId, (Arc<Subject>, SystemTime)>,
    /// Numbers of sessions that wait for what is kept of their servers.
    pub(super) looked_up: BTreeSet<SessionId>,
    /// What doing things has led to, for the core.
    pub(super) echoes: Vec<Event>,
    /// Set when nobody has needed the daemon for as long as it is kept.
    pub(super) is_deserted: bool,
    pub(super) tickets: BTreeMap<Ticket, oneshot::Sender<AdminAnswer>>,
    /// Administrators who wait for the end.
    pub(super) stops: Vec<UnixStream>,
    touched_sessions: Vec<SessionId>,
    touched_processes: Vec<ProcessId>,
    /// Sessions that are over when the turn is.
    departed: Vec<SessionId>,
    /// What the daemon after us has to know and the guardian has not been given yet.
    pub(super) records: BTreeMap<ProcessId, Record>,
    /// Processes of an earlier daemon that end, and of which nobody knows what they are.
    pub(super) strangers: BTreeSet<ProcessId>,
    /// What is to be started when what an earlier daemon has left has ended.
    pub(super) postponed: Vec<(UpstreamId, SessionId)>,
    /// What is to be started when no session runs it itself any more.
    pub(super) behind_direct: BTreeMap<UpstreamId, SessionId>,
    last_id: u64,
    guardian_told_to_end: bool,
}

impl World {
    pub(crate) fn new(around: Surroundings) -> Self {
        World {
            last_id: around.epoch.begin(),
            around,
            observer: Observer::default(),
            sessions: BTreeMap::new(),
            processes: BTreeMap::new(),
            by_upstream: BTreeMap::new(),
            subjects: BTreeMap::new(),
            looked_up: BTreeSet::new(),
            echoes: Vec::new(),
            is_deserted: false,
            tickets: BTreeMap::new(),
            stops: Vec::new(),
            touched_sessions: Vec::new(),
            touched_processes: Vec::new(),
            departed: Vec::new(),
            records: BTreeMap::new(),
            strangers: BTreeSet::new(),
            postponed: Vec::new(),
            behind_direct: BTreeMap::new(),
            guardian_told_to_end: false,
        }
    }

    /// A number that was never given out before.
    pub(super) fn next_id(&mut self) -> u64 {
        loop {
            self.last_id += 1;
            // A session that goes on here has the number that another daemon gave it.
            if self.is_free(SessionId(self.last_id)) {
                return self.last_id;
            }
        }
    }

    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    pub(super) fn set_last_id(&mut self, last: u64) {
        self.last_id = last;
    }

    /// The number of a session that comes: the one that an earlier daemon gave it, if it has one that
    /// nobody else has.
    pub(super) fn number_of(&mut self, earlier: Option<u64>) -> SessionId {
        match earlier.map(SessionId) {
            Some(id) if self.is_free(id) => id,
            Some(_) | None => SessionId(self.next_id()),
        }
    }

    fn is_free(&self, id: SessionId) -> bool {
        !self.sessions.contains_key(&id) && !self.looked_up.contains(&id)
    }

    pub(super) fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Lets nobody in any more.
    pub(super) fn close_door(&mut self) {
        self.around.door = None;
    }

    /// Tells the shims that they need no next daemon before their clients have something to say.
    pub(super) fn tell_ending(&mut self) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.outlet.push_ending();
            }
            self.touch_session(id);
        }
    }

    /// Ends servers without the usual patience.
    pub(super) fn hurry(&mut self) {
        self.around.guardian.shut_down(HURRY);
    }

    /// Has the guardian end, once no server is left; says whether it still lives.
    pub(super) fn end_guardian(&mut self) -> bool {
        if !self.guardian_told_to_end {
            self.guardian_told_to_end = true;
            self.around.guardian.shut_down(STOP_PATIENCE);
        }
        self.around.guardian.pid().is_some()
    }

    /// Gives out those who wait to hear that everything has ended.
    pub(super) fn take_leave(self) -> Vec<UnixStream> {
        self.stops
    }

    pub(super) fn touch_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !session.touched
        {
            session.touched = true;
            self.touched_sessions.push(id);
        }
    }

    pub(super) fn touch_process(&mut self, id: ProcessId) {
        if let Some(process) = self.processes.get_mut(&id)
            && !process.touched
        {
            process.touched = true;
            self.touched_processes.push(id);
        }
    }

    /// Whether the core still hears of this session.
    pub(super) fn hears(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| !session.closing)
    }

    /// Whether its reader goes on.
    pub(super) fn is_read(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| !session.valve.is_closed())
    }

    /// Nobody is at the other end: nothing more is heard of the session, and it departs.
    pub(super) fn give_up(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
            self.departed.push(id);
        }
    }

    /// The session is over when the turn is.
    pub(super) fn depart(&mut self, session: SessionId) {
        self.departed.push(session);
    }

    /// Forgets the sessions that have departed.
    pub(super) fn see_off(&mut self) {
        if self.departed.is_empty() {
            return;
        }
        for session in self.departed.drain(..) {
            self.sessions.remove(&session);
        }
        self.around.launcher.forget_unused();
    }

    /// Writes what was put into outlets: to sessions first, as an announcement must be out before the
    /// request is.
    pub(super) fn flush_touched(&mut self) {
        for id in std::mem::take(&mut self.touched_sessions) {
            self.flush_session(id);
        }
        for id in std::mem::take(&mut self.touched_processes) {
            self.flush_process(id);
        }
        self.hand_in_records();
    }

    /// Gives the guardian what has changed for the daemon after us, once the process has been sent all
    /// that it follows from: a record must not say more than has happened.
    fn hand_in_records(&mut self) {
        let (processes, guardian) = (&self.processes, &mut self.around.guardian);
        self.records.retain(|id, record| {
            let Some(process) = processes.get(id) else {
                return false;
            };
            if process
                .outlet
                .as_ref()
                .is_some_and(|outlet| !outlet.is_empty())
            {
                return true;
            }
            let note = Note {
                upstream: process.upstream,
                server: Arc::clone(&process.server),
                record: record.clone(),
            };
            guardian.keep(*id, note.encode());
            false
        });
    }

    fn flush_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.touched = false;
        if session.awaiting_room {
            return self.judge_backlog(id);
        }
        let echoes = &mut self.echoes;
        let flushed = session.outlet.flush(|line| {
            echoes.push(Event::Announced { session: id, line });
        });
        let has_backlog = flushed != Flushed::All || session.blocked;
        match flushed {
            Flushed::All if session.closing => self.departed.push(id),
            Flushed::All => session.pace.on_empty(session.outlet.taken()),
            Flushed::Blocked => {
                session.awaiting_room = true;
                let sink = session.outlet.sink().clone();
                await_room(sink, Peer::Session(id), self.around.inbox.clone());
            }
            Flushed::Broken => {
                if !session.closing {
                    session.closing = true;
                    self.echoes.push(Event::SessionClosed { session: id });
                }
                self.departed.push(id);
            }
        }
        if has_backlog {
            self.judge_backlog(id);
        }
    }

    /// Tells the core if a client has begun or ceased to have much to read.
    fn judge_backlog(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|it| !it.closing) else {
            return;
        };
        match session.outlet.backlog() {
            Backlog::Much if !session.blocked => {
                session.blocked = true;
                self.echoes.push(Event::SessionBlocked { session: id });
            }
            Backlog::Little if session.blocked => {
                session.blocked = false;
                self.echoes.push(Event::SessionWritable { session: id });
            }
            Backlog::Much | Backlog::Some | Backlog::Little => {}
        }
    }

    /// A client wants to say something and is not heard, for long now. If that is because it has much to
    /// read, and it takes none of it, it may wait for us to read, as we for it: then it is cut, once.
    pub(super) fn on_unheard(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.blocked && session.pace.stands_still(session.outlet.taken()) {
            self.cut(id);
        }
    }

    fn flush_process(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        process.touched = false;
        let Some(outlet) = process.outlet.as_mut() else {
            return;
        };
        let upstream = process.upstream;
        let flushed = if process.awaiting_room {
            None
        } else {
            Some(outlet.flush(|_| {}))
        };
        // Also while it is blocked already: what comes for it then must not wait here without end.
        if flushed.is_none_or(|flushed| flushed == Flushed::Blocked)
            && !process.blocked
            && outlet.waiting() > self.around.limits.slow_server_bytes
        {
            process.blocked = true;
            self.echoes.push(Event::UpstreamBlocked { upstream });
        }
        match flushed {
            // More has come for it, that is all.
            None => {}
            Some(flushed) => self.on_flushed(id, flushed),
        }
    }

    fn on_flushed(&mut self, id: ProcessId, flushed: Flushed) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        match flushed {
            Flushed::All => {
                if process.blocked {
                    process.blocked = false;
                    let upstream = process.upstream;
                    self.echoes.push(Event::UpstreamWritable { upstream });
                }
                if process.closing {
                    process.outlet = None;
                }
            }
            Flushed::Blocked => {
                process.awaiting_room = true;
                if let Some(outlet) = &process.outlet {
                    let (sink, inbox) = (outlet.sink().clone(), self.around.inbox.clone());
                    await_room(sink, Peer::Process(id), inbox);
                }
            }
            // It reads no more, so it is of no more use: its end answers what is open.
            Flushed::Broken => self.give_up_process(id),
        }
    }

    /// Cuts a session whose queue is full though it was offered all of it, unless it reads on.
    pub(super) fn cut_if_full(&mut self, id: SessionId) {
        let full = |world: &World| {
            world
                .sessions
                .get(&id)
                .is_some_and(|session| session.outlet.overflow() == Overflow::Yes)
        };
        if full(self) {
            self.flush_session(id);
        }
        let limit = self.around.limits.slow_reader_bytes;
        if full(self)
            && let Some(session) = self.sessions.get_mut(&id)
            && let outlet = &session.outlet
            && !session
                .pace
                .may_go_on(Instant::now, outlet.taken(), outlet.waiting(), limit)
        {
            self.cut(id);
        }
    }

    /// Drops what waits for a session and has not begun to be written.
    pub(super) fn cut(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.outlet.cut();
        session.pace.on_empty(session.outlet.taken());
        if !session.closing {
            self.echoes.push(Event::SessionCut { session: id });
        }
        self.touch_session(id);
    }

    /// Sees to it that so much more may wait in all: who has most to read is cut, unless it reads now.
    ///
    /// What is small is let in though nobody is left who has much: it would be another who is hit.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        while self.around.unread.lacking(bytes) > 0 {
            let waiting =
                |(id, session): (&SessionId, &Session)| (session.outlet.behind_head(), *id);
            let most = self.sessions.iter().map(waiting).max();
            let Some((most, id)) = most.filter(|(most, _)| *most > LITTLE_BYTES) else {
                return if bytes > LITTLE_BYTES {
                    Err(NoRoom)
                } else {
                    Ok(())
                };
            };
            self.flush_session(id);
            let left = self
                .sessions
                .get(&id)
                .map_or(0, |session| session.outlet.behind_head());
            if left == most {
                self.cut(id);
            }
        }
        Ok(())
    }

    /// The session is closed by the core: what waits is written first, for a while.
    pub(super) fn close_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.closing = true;
        session.reader.abort();
        let has_to_read = !session.outlet.is_empty();
        self.touch_session(id);
        if has_to_read {
            self.await_leave(id);
        }
    }

    /// A session that was closed has so long to read its last messages.
    pub(super) fn await_leave(&self, id: SessionId) {
        let inbox = self.around.inbox.clone();
        tasks::spawn("leave", async move {
            time::sleep(LEAVE_PATIENCE).await;
            let _hub_gone = inbox.send(Input::LeftLongEnough(id)).await;
        });
    }

    /// Stops a process that cannot be talked to any more.
    fn give_up_process(&mut self, id: ProcessId) {
        if let Some(process) = self.processes.get_mut(&id) {
            process.stop_writing();
            // What is said to it from now on would be lost with it: it is for the next process.
            if !process.blocked {
                process.blocked = true;
                let upstream = process.upstream;
                self.echoes.push(Event::UpstreamBlocked { upstream });
            }
            self.around.guardian.stop(id, STOP_PATIENCE);
        }
    }

    /// Something of a process has ended.
    pub(super) fn on_ending(&mut self, id: ProcessId, ending: Ending) {
        match ending {
            Ending::NotYet => {}
            Ending::IsMute => self.give_up_process(id),
            Ending::AwaitOutputs => {
                let inbox = self.around.inbox.clone();
                tasks::spawn("last words", async move {
                    time::sleep(OUTPUT_PATIENCE).await;
                    let _hub_gone = inbox.send(Input::OutputOverdue(id)).await;
                });
            }
            Ending::Over(exit) => self.end_process(id, exit),
        }
    }

    /// Nothing of a process is left.
    pub(super) fn end_process(&mut self, id: ProcessId, exit: Exit) {
        if let Some(mut process) = self.processes.remove(&id) {
            let upstream = process.upstream;
            self.by_upstream.remove(&upstream);
            self.subjects.remove(&upstream);
            self.echoes.push(if process.pid.is_some() {
                let unwritten = process.unwritten_requests();
                Event::UpstreamExited {
                    upstream,
                    exit,
                    unwritten,
                }
            } else {
                let why = "the guardian ended before the server was started".to_owned();
                Event::UpstreamStartFailed { upstream, why }
            });
        }
    }

    /// The process of an upstream, if it has one.
    pub(super) fn process_of(&self, upstream: UpstreamId) -> Option<ProcessId> {
        self.by_upstream.get(&upstream).copied()
    }

    /// Whether something of an earlier daemon has to end before anything is started.
    fn must_wait_for_earlier(&self) -> bool {
        !self.strangers.is_empty() || self.around.guardian.is_ending()
    }

    /// Starts what had to wait, if it need not any longer.
    pub(super) fn start_postponed(&mut self) {
        if self.must_wait_for_earlier() {
            return;
        }
        for (upstream, on_behalf_of) in std::mem::take(&mut self.postponed) {
            self.start_process(upstream, on_behalf_of);
        }
    }

    /// Has a process started for an upstream with what a session came with.
    pub(super) fn start_process(&mut self, upstream: UpstreamId, on_behalf_of: SessionId) {
        if self.must_wait_for_earlier() {
            self.postponed.push((upstream, on_behalf_of));
            return;
        }
        if self.is_run_directly(upstream, on_behalf_of) {
            return;
        }
        let id = ProcessId(self.next_id());
        let session = self.sessions.get(&on_behalf_of);
        let subject = session.and_then(|session| session.subject.clone());
        let started = match self.sessions.get(&on_behalf_of) {
            None => Err("the session that it was for has gone".to_owned()),
            Some(Session { spec: Err(why), .. }) => Err(why.to_string()),
            Some(session @ Session { spec: Ok(spec), .. }) => Process::start(
                &mut self.around.guardian,
                id,
                upstream,
                &Arc::clone(&session.server),
                &Arc::clone(spec),
                &self.around.logs,
                |sink| {
                    let limit = self.around.limits.slow_server_bytes;
                    Outlet::plain(sink, limit, &self.around.room)
                },
            ),
        };
        match started {
            Ok(process) => {
                self.processes.insert(id, process);
                self.by_upstream.insert(upstream, id);
                if let Some(subject) = subject {
                    self.subjects.insert(upstream, (subject, wall_clock()));
                }
            }
            Err(why) => self
                .echoes
                .push(Event::UpstreamStartFailed { upstream, why }),
        }
    }
}

/// Reports when a peer has made room, or will never.
fn await_room(sink: Sink, peer: Peer, inbox: Sender<Input>) {
    tasks::spawn("room", async move {
        let _gone = sink.writable().await;
        let _hub_gone = inbox.send(Input::Room(peer)).await;
    });
}
