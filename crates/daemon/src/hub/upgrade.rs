//! The hub stops between two turns, hands over all that it knows, and goes on in another program.
//!
//! **Invariant:** what was heard of anybody before the halt is in the core or in the state; what comes
//! after it is still with the system.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

use mux::{LineNumber, Moment, Mux, SessionId};
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc::Receiver, oneshot},
    time,
};

use super::{Hub, Input, ProcessId, clock::Clock, session::Session, world::World};
use crate::{
    front::{AllTubes, FrozenHttp, HttpFault, Readiness, SessionPlaces},
    link::WayOut,
    observe::Observer,
    process::{ELSEWHERE, Ending, Process},
    upgrade::{FrozenDaemon, FrozenHub, Handed, NotNow, UNDER_WAY, UpgradeWish},
};

/// How long all readers may take to stop, and the hub to take in what they have handed in. A build that is
/// not optimised, with the books of its core beside it, takes several times as long.
const HALT_PATIENCE: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 150 });

/// How often it is looked whether everything over HTTP is where it can be handed over.
const HTTP_LOOK: Duration = Duration::from_millis(1);

/// Bytes of messages that may wait at most: they are written down and read back while nobody is heard.
const WAITING_MAX: usize = 16 << 20;

/// The same of what was handed over and is kept for who comes back.
const KEPT_MAX: usize = 64 << 20;

/// How long what cannot be interrupted may keep an upgrade waiting.
pub(super) const UPGRADE_PATIENCE: Duration = Duration::from_secs(1);

/// Somebody wants an upgrade.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) wish: UpgradeWish,
    /// When to give up waiting for what cannot be interrupted.
    pub(super) until: Moment,
    /// Whether those were turned away already for whom something is looked at.
    pub(super) has_turned_away: bool,
}

impl Hub {
    /// Somebody wants another program to go on here.
    pub(super) fn on_upgrade_wanted(&mut self, now: Moment, wish: UpgradeWish) {
        if self.stopping.is_some() {
            return wish.refuse("the daemon is ending");
        }
        if self.wanted.is_some() {
            return wish.put_off(UNDER_WAY);
        }
        if let Some(why) = self.world.what_would_be_lost() {
            return wish.refuse(&why);
        }
        let until = now + UPGRADE_PATIENCE;
        self.wanted = Some(Wanted {
            wish,
            until,
            has_turned_away: false,
        });
    }

    /// Who wants the upgrade that is to be made now.
    pub(super) fn due_upgrade(&mut self, now: Moment) -> Option<UpgradeWish> {
        let wanted = self.wanted.take()?;
        match self.what_cannot_be_interrupted() {
            None => Some(wanted.wish),
            Some(_) if now < wanted.until => {
                self.wanted = Some(wanted);
                None
            }
            // Nobody knows how long that takes. Whoever waits comes again, to the program that goes on here then.
            Some(_) if self.world.is_looking() && !wanted.has_turned_away => {
                self.world.looks.turn_away(HttpFault::NotNow {
                    why: "another program is about to go on here".to_owned(),
                });
                self.wanted = Some(Wanted {
                    until: now + UPGRADE_PATIENCE,
                    has_turned_away: true,
                    ..wanted
                });
                None
            }
            Some(why) => {
                wanted.wish.decline(why);
                self.look_up_again();
                None
            }
        }
    }

    /// There is no upgrade now: what was not waited for is looked up again.
    fn look_up_again(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        self.world.looks.turn_nobody_away();
        for arrival in mem::take(&mut self.world.set_aside) {
            self.look_up(arrival);
        }
    }

    fn what_cannot_be_interrupted(&self) -> Option<NotNow> {
        let world = &self.world;
        if world.is_looking() {
            return Some(NotNow::Passes("it is just found out what sessions get"));
        }
        if world.sessions.values().any(|it| it.replay.is_some()) || !world.sought.is_empty() {
            return Some(NotNow::Passes("sessions are just coming back"));
        }
        let mut processes = world.processes.values();
        let under_way = processes.find_map(Process::what_is_under_way);
        under_way
            .map(NotNow::Passes)
            .or_else(|| self.what_takes_long())
    }

    /// What is not worth waiting for.
    fn what_takes_long(&self) -> Option<NotNow> {
        let world = &self.world;
        if !world.tickets.is_empty() {
            return Some(NotNow::Passes("a server is just being restarted"));
        }
        let visited = world.sessions.values().filter_map(|it| it.visited.as_ref());
        if visited.into_iter().any(|it| !it.held.is_empty()) {
            return Some(NotNow::Passes(
                "a session over HTTP has more to say than is heard of it",
            ));
        }
        if world.processes.values().any(Process::is_web_socket) {
            return Some(NotNow::Lasts(ELSEWHERE));
        }
        let kept = world.kept_bytes();
        if world.around.room.taken().saturating_sub(kept) > WAITING_MAX || kept > KEPT_MAX {
            return Some(NotNow::Passes(
                "too much waits to be read by clients and servers",
            ));
        }
        None
    }

    /// Has everybody stop who reads, and takes in what they have heard. An error says why that cannot be.
    /// `is_quiet` is whether nobody is just being let in, or has an order in hands.
    pub(crate) async fn halt(
        &mut self,
        inbox: &mut Receiver<Input>,
        is_quiet: impl Fn() -> bool,
    ) -> Result<(), NotNow> {
        let halted = self.halt_all(inbox, is_quiet);
        if time::timeout(HALT_PATIENCE, halted).await.is_err() {
            // Each has been told; that it stops late is no reason to forget it.
            self.world.around.halt.all();
            self.readers_ended().await;
            return Err(NotNow::Passes("somebody is in the middle of a message"));
        }
        // What came while it stopped may be in the way.
        if self.is_stopping() {
            return Err(NotNow::Lasts("the daemon is ending"));
        }
        self.what_cannot_be_interrupted().map_or(Ok(()), Err)
    }

    async fn halt_all(&mut self, inbox: &mut Receiver<Input>, is_quiet: impl Fn() -> bool) {
        let mut batch = Vec::new();
        let began = Instant::now();
        self.world.around.http.pause();
        loop {
            self.world.around.halt.all();
            self.readers_ended().await;
            while let Ok(input) = inbox.try_recv() {
                batch.push(input);
            }
            let nothing_came = batch.is_empty();
            let now = self.clock.look(Instant::now(), Moment::NEVER);
            self.turn(now, &mut batch);
            // What came may have brought new ones.
            if !nothing_came || self.world.has_readers() {
                continue;
            }
            // Whoever came just before the door was closed is let in first, and gives in what they want.
            let is_looking = self.world.is_looking() || !self.world.sought.is_empty();
            let is_slow = began.elapsed() > HALT_PATIENCE / 2;
            let are_all_in = is_slow || is_quiet();
            if !is_looking && are_all_in && self.world.is_http_ready(is_slow) {
                return;
            }
            time::sleep(HTTP_LOOK).await;
        }
    }

    /// Has all connections over HTTP let go, once there is a halt. Until then nothing happens any more here.
    pub(crate) async fn let_go(&mut self) -> Result<(), NotNow> {
        if !self.world.around.http.let_go().await {
            return Err(NotNow::Passes("some connection was not let go"));
        }
        self.world.around.rows.settled().await;
        Ok(())
    }

    /// What of HTTP belongs to the state.
    pub(crate) fn freeze_http<'a>(&'a self, handed: &mut Handed<'a>) -> Option<FrozenHttp> {
        self.world.around.http.freeze(handed)
    }

    async fn readers_ended(&mut self) {
        for session in self.world.sessions.values_mut() {
            session.reader.ended().await;
        }
        for process in self.world.processes.values_mut() {
            process.has_halted().await;
        }
        self.world.around.guardian.has_halted().await;
    }

    /// Whether everything is about to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Lets nobody in for now.
    pub(crate) fn close_door(&mut self) {
        self.world.close_door();
    }

    /// Lets people in again, until what is returned ends.
    pub(crate) fn open_door(&mut self) -> oneshot::Receiver<()> {
        let (open, closing) = oneshot::channel();
        self.world.around.door = Some(open);
        closing
    }

    /// How many sessions and processes there are.
    pub(crate) fn population(&self) -> (usize, usize) {
        (self.world.sessions.len(), self.world.processes.len())
    }

    /// After a halt without an upgrade: everybody reads on.
    pub(crate) fn go_on(&mut self) {
        let World {
            around,
            sessions,
            processes,
            ..
        } = &mut self.world;
        for (id, session) in sessions {
            session.go_on(*id, around);
        }
        for (id, process) in processes {
            process.go_on(*id, around);
        }
        around.guardian.go_on();
        self.world.reconnect();
        self.look_up_again();
    }

    /// The same as bytes, for a program that shows whether it could go on with it.
    pub(super) fn rehearsal(&mut self) -> Result<Vec<u8>, String> {
        if let Some(why) = self.world.what_would_be_lost() {
            return Err(why);
        }
        if let Some(why) = self.what_takes_long() {
            return Err(why.to_string());
        }
        let hub = self.freeze(&mut Handed::default())?;
        FrozenDaemon::for_rehearsal(hub)
            .to_bytes()
            .map_err(|_| "what there is cannot be written down".to_owned())
    }

    /// All that the program that takes our place has to know; an error says why that cannot be had now.
    pub(crate) fn freeze<'a>(&'a self, handed: &mut Handed<'a>) -> Result<FrozenHub, &'static str> {
        let world = &self.world;
        let unwritable = "what there is cannot be written down";
        let mux = String::from_utf8(self.mux.freeze()).map_err(|_| unwritable)?;
        let sessions = world.sessions.iter();
        let processes = world.processes.iter();
        Ok(FrozenHub {
            mux: RawValue::from_string(mux).map_err(|_| unwritable)?,
            clock: self.clock.freeze(),
            epoch: world.around.epoch.0,
            last_id: world.last_id(),
            guardian: world.around.guardian.freeze(handed)?,
            sessions: sessions
                .map(|(id, session)| session.freeze(*id, handed))
                .collect::<Result<_, _>>()?,
            processes: processes
                .map(|(id, process)| process.freeze(*id, handed))
                .collect::<Result<_, _>>()?,
            by_upstream: pairs(&world.by_upstream, |id| id.0),
            subjects: world
                .subjects
                .iter()
                .map(|(upstream, (subject, since))| (*upstream, ((**subject).clone(), *since)))
                .collect(),
            records: world
                .records
                .iter()
                .map(|(id, record)| (id.0, record.clone()))
                .collect(),
            // Of what is left of a process no more need be known than that nothing is started before it ends.
            strangers: world
                .strangers
                .iter()
                .chain(world.lingering.keys())
                .map(|id| id.0)
                .collect(),
            // Whether a session runs it itself, and what it is, is looked at again when it is to be started.
            postponed: world.not_started().collect(),
            counts: world
                .observer
                .counts()
                .iter()
                .map(|(name, count)| (name.clone().into_owned(), *count))
                .collect(),
            #[cfg(feature = "audit")]
            books: self.books.freeze().map_err(|_| unwritable)?,
        })
    }

    /// Ends sessions whose only client had a connection that has not come along.
    fn see_who_has_left(&mut self) {
        let now = self.now();
        let sessions = self.world.sessions.iter();
        let left = sessions.filter(|(_, session)| match &session.outlet {
            WayOut::Posts(streams) => streams.was_left(),
            WayOut::Rounds(rounds) => rounds.was_left(),
            WayOut::Line(_) => false,
        });
        let left: Vec<SessionId> = left.map(|(id, _)| *id).collect();
        for id in left {
            self.on_closed(now, id);
        }
    }

    /// Goes on where the program before us stopped, in a world in which nothing is yet.
    pub(crate) fn thaw(
        frozen: FrozenHub,
        mut world: World,
        places: &SessionPlaces,
        mut tubes: AllTubes,
    ) -> anyhow::Result<Self> {
        let mux = Mux::thaw(frozen.mux.get().as_bytes(), world.around.limits.clone())?;
        if let Some(guardian) = &frozen.guardian {
            world.around.guardian.thaw(guardian)?;
        }
        world.observer = Observer::resumed(frozen.counts, &mux.snapshot().upstreams);
        world.set_last_id(frozen.last_id);
        for session in frozen.sessions {
            let (id, place) = (session.id, places.take()?);
            let (mut session, watched) = Session::thaw(session, &world.around, place, &mut tubes)?;
            if let Some(watched) = watched {
                world.watch_listener(id, watched);
            }
            if let Some(visited) = &session.visited {
                world.keys.insert(visited.key, id);
            }
            if let Some(modern) = &session.modern {
                world.rounds.insert(modern.key, id);
            }
            session.share(&mut world.around.launcher);
            session.route = mux.route_of_session(id).cloned();
            world.sessions.insert(id, session);
        }
        for process in frozen.processes {
            let id = ProcessId(process.id);
            let mut process = Process::thaw(process, &world.around)?;
            process.route = mux.route_of(process.upstream).cloned();
            world.processes.insert(id, process);
        }
        world.by_upstream = pairs(&frozen.by_upstream, |id| ProcessId(*id));
        world.subjects = frozen
            .subjects
            .into_iter()
            .map(|(upstream, (subject, since))| (upstream, (subject.into(), since)))
            .collect();
        world.records = frozen
            .records
            .into_iter()
            .map(|(id, record)| (ProcessId(id), record))
            .collect();
        world.strangers = frozen.strangers.into_iter().map(ProcessId).collect();
        world.postponed = frozen.postponed;
        let mut hub = Hub::new(mux, world)?;
        hub.told_buffered = hub.mux.buffered_elsewhere();
        hub.clock = Clock::thaw(&frozen.clock, Instant::now());
        #[cfg(feature = "audit")]
        {
            hub.books = super::books::Books::thaw(frozen.books.as_deref())?;
        }
        hub.go_on();
        hub.world.take_up();
        hub.see_who_has_left();
        Ok(hub)
    }
}

impl World {
    /// The configuration is not handed over but read again. While it has an error, the last good one is in
    /// force here, and would be nowhere afterwards.
    fn what_would_be_lost(&mut self) -> Option<String> {
        let error = self.around.launcher.config_error()?;
        Some(format!(
            "the configuration has an error; mend it and try again: {error}"
        ))
    }

    /// Whether it is just found out for somebody what there is.
    fn is_looking(&self) -> bool {
        !self.looked_up.is_empty() || !self.looks.are_over()
    }

    fn has_readers(&self) -> bool {
        self.sessions.values().any(|it| it.reader.runs())
            || self.processes.values().any(Process::is_read)
            || self.around.guardian.is_listened_to()
    }

    /// Whether everything over HTTP is where it can be handed over. Clients that do not take what they are sent
    /// are waited for until it is `late`.
    fn is_http_ready(&self, late: bool) -> bool {
        if late {
            self.around.http.is_late();
        }
        let (mut owed, slow) = match self.around.http.readiness() {
            Readiness::NotYet => return false,
            Readiness::Can { slow, .. } if !slow.is_empty() && !late => return false,
            Readiness::Can { owed, slow } => (owed, slow),
        };
        for session in self.sessions.values() {
            if let WayOut::Posts(streams) = &session.outlet {
                if !streams.are_taken(&slow) {
                    return false;
                }
                for reader in streams.readers() {
                    owed.remove(&reader);
                }
            }
            if let WayOut::Rounds(rounds) = &session.outlet {
                if !rounds.are_taken() {
                    return false;
                }
                for reader in rounds.readers() {
                    owed.remove(&reader);
                }
            }
        }
        // Else somebody has not taken yet what came last.
        owed.is_empty()
    }

    /// Bytes of streams over HTTP that are kept for who comes back.
    fn kept_bytes(&self) -> usize {
        let outlets = self.sessions.values().map(|it| &it.outlet);
        let kept = outlets.map(|outlet| match outlet {
            WayOut::Posts(streams) => streams.kept(),
            WayOut::Line(_) | WayOut::Rounds(_) => 0,
        });
        kept.sum()
    }

    /// Connections over HTTP that were let go are served on.
    fn reconnect(&mut self) {
        let mut tubes = self.around.http.go_on();
        let ids: Vec<_> = self.keys.values().copied().collect();
        for id in ids {
            let session = self.sessions.get_mut(&id);
            if let Some(WayOut::Posts(streams)) = session.map(|it| &mut it.outlet)
                && let Some(watched) = streams.reconnect(&mut tubes.posts)
            {
                self.watch_listener(id, watched);
            }
            self.touch_session(id);
        }
        let ids: Vec<_> = self.rounds.values().copied().collect();
        for id in ids {
            let session = self.sessions.get_mut(&id);
            if let Some(WayOut::Rounds(rounds)) = session.map(|it| &mut it.outlet) {
                rounds.reconnect(&mut tubes.rounds);
            }
            self.touch_session(id);
        }
    }

    /// What was waited for when the program before us stopped is waited for again.
    fn take_up(&mut self) {
        self.strike_later();
        self.start_postponed();
        let sessions: Vec<_> = self
            .sessions
            .iter()
            .map(|(id, it)| (*id, it.closing))
            .collect();
        for (id, is_closing) in sessions {
            self.touch_session(id);
            for line in self.sessions.get(&id).map(open_posts).unwrap_or_default() {
                self.poll_later(id, line);
            }
            if is_closing {
                self.await_leave(id);
            }
        }
        let processes = self.processes.iter();
        let processes: Vec<_> = processes
            .map(|(id, it)| (*id, it.awaits_outputs()))
            .collect();
        for (id, awaits_outputs) in processes {
            self.touch_process(id);
            if awaits_outputs {
                self.on_ending(id, Ending::AwaitOutputs);
            }
        }
    }
}

/// Lines of a session whose responses go on, and whose client knows how to come back for the rest.
fn open_posts(session: &Session) -> Vec<LineNumber> {
    match &session.outlet {
        WayOut::Posts(streams) => streams.open_posts(),
        WayOut::Line(_) | WayOut::Rounds(_) => Vec::new(),
    }
}

fn pairs<K: Ord + Copy, A, B>(map: &BTreeMap<K, A>, other: impl Fn(&A) -> B) -> BTreeMap<K, B> {
    map.iter()
        .map(|(key, value)| (*key, other(value)))
        .collect()
}
