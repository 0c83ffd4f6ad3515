//! Everything outside of the core: clients, processes, and the ways to them.
//!
//! **Invariant:** a peer that is not in here is gone: whatever is still heard of it, or meant for it, is
//! dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::SystemTime,
};

use mux::{
    AdminAnswer, Epoch, Event, Limits, LineNumber, Record, Route, SessionId, Ticket, UpstreamId,
};
use shim::{direct::Locks, places::Places};
use tokio::{
    net::UnixStream,
    sync::{Semaphore, mpsc::Sender, oneshot},
    time,
};

use super::{
    courtesy::Rests,
    input::{Arrival, Input, ProcessId},
    looks::Looks,
    openings::Openings,
    schemas::Schemas,
    session::{LEAVE_PATIENCE, Session},
    starts::Start,
};
use crate::{
    front::{Generation, HttpStand, Key, Listening, Visit},
    kept_sessions::Rows,
    kept_words::{Keeper, Subject},
    launch::Launcher,
    link::{Farewell, Halt, Room, Sign, Turnstile},
    logs::Logs,
    observe::Observer,
    process::{Guardian, HURRY, Process, STOP_PATIENCE},
    tasks,
    upstream::LeftAlone,
};

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
    /// What is kept of sessions over HTTP.
    pub(crate) rows: Rows,
    /// Places of the sessions that there may be.
    pub(crate) session_places: Arc<Semaphore>,
    pub(crate) logs: Logs,
    /// The locks of servers that sessions run themselves.
    pub(crate) direct: Locks,
    pub(crate) guardian: Guardian,
    /// Where the daemon listens and keeps what is its own.
    pub(crate) places: Places,
    /// Which daemon this is of its guardian.
    pub(crate) epoch: Epoch,
    /// What readers wait at that have much, so that others come first.
    pub(crate) floods: Arc<Turnstile>,
    /// Whoever lets them in over HTTP.
    pub(crate) http: HttpStand,
    /// Whoever lets new sessions in.
    pub(crate) door: Option<oneshot::Sender<()>>,
    /// Those of the thread that all this runs in.
    pub(crate) rests: Rests,
    /// Which servers by URL want to be left alone.
    pub(crate) left_alone: LeftAlone,
}

impl Surroundings {
    /// Where the daemon listens over HTTP, and where the next one does by the file as it is now.
    pub(super) fn listening(&mut self) -> Listening {
        let next = self.http.asked.instead(self.launcher.http(), &self.places);
        Listening {
            next,
            ..self.http.listening.clone()
        }
    }
}

/// All peers.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct World {
    pub(super) around: Surroundings,
    pub(super) observer: Observer,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// By what those over HTTP are known.
    pub(super) keys: BTreeMap<Key, SessionId>,
    /// By what those of the modern era can be gone on with.
    pub(super) rounds: BTreeMap<Key, SessionId>,
    /// What was found out for these.
    pub(super) openings: Openings,
    pub(super) schemas: Schemas,
    /// Visits that wait for what was kept of their sessions.
    pub(super) sought: BTreeMap<Key, Vec<Visit>>,
    /// Lines of sessions over HTTP whose responses have become streams.
    pub(super) begun: Vec<(SessionId, LineNumber)>,
    /// Whether what is over now has its end with the daemon.
    pub(super) is_ending: bool,
    /// Whether the clock strikes before long for what their clients may come back to.
    pub(super) is_to_strike: bool,
    /// Those of them that are heard again, after they were paused.
    pub(super) unheld: Vec<SessionId>,
    pub(super) processes: BTreeMap<ProcessId, Process>,
    pub(super) by_upstream: BTreeMap<UpstreamId, ProcessId>,
    /// Of processes of which it is kept what they say of themselves: by what, and since when they run.
    pub(super) subjects: BTreeMap<UpstreamId, (Arc<Subject>, SystemTime)>,
    /// Upstreams whose process has ended: the core may have to say yet what is not to be kept of it.
    pub(super) ended: Vec<UpstreamId>,
    /// Numbers of sessions that wait until it is found out what they get.
    pub(super) looked_up: BTreeSet<SessionId>,
    /// Those that wait until it is known whether another program goes on here, to which they come again then.
    pub(super) set_aside: Vec<Arrival>,
    /// All looks at what sessions name, or their servers.
    pub(super) looks: Looks,
    /// The token that counts, as far as it was heard of.
    pub(super) token: Option<Generation>,
    /// What doing things has led to, for the core.
    pub(super) echoes: Vec<Event>,
    /// Set when nobody has needed the daemon for as long as it is kept.
    pub(super) is_deserted: bool,
    pub(super) tickets: BTreeMap<Ticket, oneshot::Sender<AdminAnswer>>,
    /// Administrators who wait for the end.
    pub(super) stops: Vec<UnixStream>,
    pub(super) touched_sessions: Vec<SessionId>,
    pub(super) touched_processes: Vec<ProcessId>,
    /// Sessions that are over when the turn is.
    pub(super) departed: Vec<SessionId>,
    /// What the daemon after us has to know and the guardian has not been given yet.
    pub(super) records: BTreeMap<ProcessId, Record>,
    /// Processes of an earlier daemon that end, and of which nobody knows what they are.
    pub(super) strangers: BTreeSet<ProcessId>,
    /// Processes that are over, and of which not all is gone that they have started.
    pub(super) lingering: BTreeMap<ProcessId, Lingering>,
    /// What is to be started when it is known what that is.
    pub(super) starts: BTreeMap<UpstreamId, Start>,
    /// What is to be started when that has ended which stands in its way.
    pub(super) postponed: Vec<(UpstreamId, SessionId)>,
    /// What is to be started when no session runs it itself any more.
    pub(super) behind_direct: BTreeMap<UpstreamId, SessionId>,
    last_id: u64,
    guardian_told_to_end: bool,
}

/// What is left of a process: something that it has started, which is about to be ended.
#[derive(Debug)]
pub(super) struct Lingering {
    pub(super) upstream: UpstreamId,
    pub(super) server: Arc<str>,
    /// `None` if it is not known: it may be any.
    pub(super) route: Option<Route>,
}

impl World {
    pub(crate) fn new(around: Surroundings) -> Self {
        World {
            last_id: around.epoch.begin(),
            looks: Looks::new(around.limits.start_patience),
            around,
            observer: Observer::default(),
            sessions: BTreeMap::new(),
            keys: BTreeMap::new(),
            rounds: BTreeMap::new(),
            openings: Openings::default(),
            schemas: Schemas::default(),
            sought: BTreeMap::new(),
            begun: Vec::new(),
            is_ending: false,
            is_to_strike: false,
            unheld: Vec::new(),
            processes: BTreeMap::new(),
            by_upstream: BTreeMap::new(),
            subjects: BTreeMap::new(),
            ended: Vec::new(),
            looked_up: BTreeSet::new(),
            set_aside: Vec::new(),
            token: None,
            echoes: Vec::new(),
            is_deserted: false,
            tickets: BTreeMap::new(),
            stops: Vec::new(),
            touched_sessions: Vec::new(),
            touched_processes: Vec::new(),
            departed: Vec::new(),
            records: BTreeMap::new(),
            strangers: BTreeSet::new(),
            lingering: BTreeMap::new(),
            starts: BTreeMap::new(),
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
            // None ever had the first.
            Some(id) if id.0 > 0 && self.is_free(id) => id,
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
        for process in self.processes.values() {
            process.stop_remote(HURRY);
        }
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
        for session in mem::take(&mut self.departed) {
            let Some(session) = self.sessions.remove(&session) else {
                continue;
            };
            if let Some(visited) = &session.visited {
                self.keys.remove(&visited.key);
                self.end_row(visited);
            }
            if let Some(modern) = &session.modern {
                self.rounds.remove(&modern.key);
            }
        }
        self.around.launcher.forget_unused();
    }

    /// The session is closed by the core: what waits is written first, for a while.
    pub(super) fn close_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.closing = true;
        session.reader.abort();
        session.outlet.push_sign(&Sign::Close(Farewell::Leaving));
        // There are many of these, and what they have to read is most often read at once.
        let has_to_read = !session.outlet.is_empty() && session.modern.is_none();
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
}
