//! A daemon put together, and its run: until the end, or until another program goes on with it.

use std::{
    convert::Infallible,
    env,
    os::{fd::AsFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use config::Http;
use mux::{Limits, Mux};
use rustix::process::{Resource, Rlimit, getrlimit};
use shim::{direct::Locks, places::Places};
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time,
};

use super::{
    beginning::{Before, Beginning, HttpBefore, Start},
    endings::Endings,
    run_file::RunFile,
};
use crate::{
    admin::{self, Outcome, Upgraded},
    configuration::Configuration,
    front::{ANSWER_PATIENCE, AllTubes, Asked, Descriptors, Door, HttpStand, Shared, Stand, say},
    hub::{Hub, Input, Left, Rests, Surroundings, World},
    kept_sessions::Rows,
    kept_words::Keeper,
    launch::Launcher,
    link::{Halt, Room, Turnstile},
    logs::Logs,
    observe,
    process::Guardian,
    tasks,
    upgrade::{FrozenDaemon, Handed, NotNow, Successor, UpgradeWish, monotonic},
    upstream::LeftAlone,
};

/// Inputs that may wait for the hub; then readers wait.
const INBOX: usize = 1024;

/// What a daemon is made of that does not depend on what was there before.
pub(super) struct Plan {
    pub(super) guardian_program: PathBuf,
    pub(super) places: Places,
    pub(super) http: HttpWish,
    pub(super) successor: Successor,
    pub(super) limits: Limits,
    pub(super) logs: Logs,
    pub(super) keeper: Keeper,
    pub(super) rows: Rows,
    pub(super) rests: Rests,
}

/// What is wanted over HTTP.
pub(super) struct HttpWish {
    pub(super) configured: Http,
    /// Whether a daemon that cannot listen there is none. Then it was whoever started it who said where.
    pub(super) is_needed: bool,
}

/// The hub and all that is around it.
pub(super) struct Daemon {
    hub: Hub,
    arrivals: mpsc::Receiver<Input>,
    door: Gate,
    endings: Endings,
    logs: Logs,
    /// How many files a server may open.
    files: Rlimit,
    run_file: RunFile,
}

/// Those who wait to hear of the end, and where we stand.
pub(super) type End = (Vec<StdStream>, Option<Stand>);

impl Daemon {
    pub(super) fn assemble(
        plan: Plan,
        written: Configuration,
        beginning: Beginning,
    ) -> anyhow::Result<Self> {
        let Beginning {
            stand,
            listener,
            files,
            start,
            http: http_before,
        } = beginning;
        let Plan {
            guardian_program,
            places,
            http,
            successor,
            limits,
            logs,
            keeper,
            rows,
            rests,
        } = plan;
        let (inbox, arrivals) = mpsc::channel(INBOX);
        let (open, closing) = oneshot::channel();
        let descriptors = Descriptors::of_limit(getrlimit(Resource::Nofile).current);
        let door = Door::new(
            (listener, stand),
            closing,
            inbox.clone(),
            (limits.sessions, descriptors),
            successor,
        )?;
        let endings = Endings::watch(&inbox)?;
        let room = Room::new(limits.buffered_bytes);
        let edge = (&inbox, &room, &limits);
        let (http, tubes) = open_http(http_before, &http, &places, edge, (&door, descriptors))?;
        let run_file = RunFile::write(&places.state, &places.socket, &admin::http(&http.listening));
        let halt = Halt::default();
        let world = World::new(Surroundings {
            guardian: Guardian::new(
                guardian_program,
                places.guardian_socket(),
                start.epoch(),
                files,
                (inbox.clone(), halt.clone()),
            ),
            inbox,
            halt,
            unread: room.half(),
            room,
            limits: limits.clone(),
            launcher: Launcher::new(written, home_folder(), env::vars_os().collect()),
            keeper,
            rows,
            session_places: door.places().share(),
            rests,
            left_alone: LeftAlone::default(),
            floods: Arc::new(Turnstile::new()?),
            logs: logs.clone(),
            direct: Locks::of(&places),
            places,
            epoch: start.epoch(),
            http,
            door: Some(open),
        });
        Ok(Daemon {
            hub: furnish(start, limits, world, &door, tubes)?,
            arrivals,
            door: Gate::Open(tasks::spawn("door", door.run())),
            endings,
            logs,
            files,
            run_file,
        })
    }

    /// Runs the hub to its end; hands out those who wait to hear of that.
    pub(super) async fn run(self) -> anyhow::Result<End> {
        let Daemon {
            mut hub,
            mut arrivals,
            mut door,
            endings,
            logs,
            files,
            // It goes with us, but stays when another program takes our place.
            run_file: _run_file,
        } = self;
        loop {
            // A task of its own: waking the future that the runtime blocks on costs a system call.
            let running = tasks::spawn("hub", hub.run(arrivals));
            match door.beside(running).await? {
                Left::Ended(stops) => {
                    let stand = door.closed().await?.map(Door::into_stand);
                    // Nobody drives them any more from now on.
                    let stops = stops.into_iter().filter_map(|stop| stop.into_std().ok());
                    return Ok((stops.collect(), stand));
                }
                Left::Upgrade(stopped, inbox, wish, halted_at) => {
                    (hub, arrivals) = (*stopped, inbox);
                    hub.close_door();
                    let Some(mut closed) = door.closed().await? else {
                        bail!("the door panicked");
                    };
                    let handover = Handover {
                        door: &closed,
                        files,
                        halted_at,
                        wish: &wish,
                        endings: &endings,
                        logs: &logs,
                    };
                    let Err(why) = handover.make(&mut hub, &mut arrivals).await;
                    hub.go_on();
                    door = if hub.is_stopping() {
                        Gate::Closed(Box::new(closed))
                    } else {
                        closed.reopen(hub.open_door());
                        Gate::Open(tasks::spawn("door", closed.run()))
                    };
                    match why.downcast::<NotNow>() {
                        Ok(why) => wish.decline(why),
                        Err(why) => wish.refuse(&format!("{why:#}")),
                    }
                }
            }
        }
    }
}

/// A door, which is open as long as a task stands there.
enum Gate {
    Open(JoinHandle<Option<Door>>),
    Closed(Box<Door>),
}

impl Gate {
    /// What the hub comes to that runs beside this. A daemon that lets nobody in is of no use: if whoever
    /// stood at the door has panicked, it ends, and the next one takes its servers over.
    async fn beside<T>(&mut self, mut hub: JoinHandle<Option<T>>) -> anyhow::Result<T> {
        if let Gate::Open(task) = self {
            tokio::select! {
                biased;
                left = &mut hub => return left?.context("the hub panicked"),
                closed = task => {
                    let door = closed?.context("the door panicked")?;
                    *self = Gate::Closed(Box::new(door));
                }
            }
        }
        hub.await?.context("the hub panicked")
    }

    /// The door, once nobody stands there any more; `None` if whoever did has panicked.
    async fn closed(self) -> anyhow::Result<Option<Door>> {
        match self {
            Gate::Open(task) => Ok(task.await?),
            Gate::Closed(door) => Ok(Some(*door)),
        }
    }
}

/// What goes to the program that takes our place, beside the hub.
struct Handover<'a> {
    door: &'a Door,
    /// How many files a server may open.
    files: Rlimit,
    halted_at: Duration,
    wish: &'a UpgradeWish,
    endings: &'a Endings,
    logs: &'a Logs,
}

impl Handover<'_> {
    /// Has another program take our place, with the signals that end us held back: what comes now is for
    /// that program, or for later. Returns only if it cannot.
    async fn make(
        &self,
        hub: &mut Hub,
        arrivals: &mut mpsc::Receiver<Input>,
    ) -> anyhow::Result<Infallible> {
        self.endings.hold();
        let why = self.become_successor(hub, arrivals).await;
        self.endings.release();
        why
    }

    /// Has the program that is installed now go on with everything. Returns only if that cannot be.
    async fn become_successor(
        &self,
        hub: &mut Hub,
        arrivals: &mut mpsc::Receiver<Input>,
    ) -> anyhow::Result<Infallible> {
        let halted = hub.halt(arrivals, || self.door.is_quiet(self.wish)).await;
        halted?;
        hub.let_go().await?;
        let mut handed = Handed::default();
        let frozen = hub.freeze(&mut handed).map_err(anyhow::Error::msg)?;
        let entrance = self.door.freeze(&mut handed);
        let requester = handed.over(self.wish.requester.as_fd());
        let files = (self.files.current, self.files.maximum);
        let frozen = FrozenDaemon::new(frozen, files, entrance, Some(requester), self.halted_at)
            .with_http(hub.freeze_http(&mut handed));
        self.logs.catch_up();
        self.door.successor().take_over(&frozen, &handed)
    }
}

/// Lets people in over HTTP as well, where the user wants that.
fn open_http(
    before: HttpBefore,
    wish: &HttpWish,
    places: &Places,
    (inbox, room, limits): (&mpsc::Sender<Input>, &Arc<Room>, &Limits),
    (door, descriptors): (&Door, Descriptors),
) -> anyhow::Result<(HttpStand, AllTubes)> {
    let shared = Shared {
        inbox,
        room,
        limits,
        sessions: door.places().share(),
        connections: descriptors.connections,
    };
    let http = &wish.configured;
    match before {
        HttpBefore::HandedOver(frozen) => HttpStand::resume(frozen, http, places, shared)
            .context("taking over what is over HTTP")
            .inspect_err(observe::not_resumed),
        HttpBefore::Passed(passed) => {
            let mut stand = HttpStand::take(http, places, passed, shared);
            if !wish.is_needed {
                stand.asked = Asked::by_file(http, places);
            }
            if let Some(trouble) = stand.listening.trouble.as_ref().filter(|_| wish.is_needed) {
                bail!("{trouble}");
            }
            Ok((stand, AllTubes::default()))
        }
    }
}

/// A hub in this world, with all that was there before.
fn furnish(
    start: Start,
    limits: Limits,
    world: World,
    door: &Door,
    tubes: AllTubes,
) -> anyhow::Result<Hub> {
    let epoch = start.epoch();
    match start {
        Start::Afresh(inheritance) => {
            let mut hub = Hub::new(Mux::new(limits, epoch), world)?;
            hub.inherit(inheritance)?;
            Ok(hub)
        }
        Start::Resumed(frozen, before) => {
            let hub = Hub::thaw(*frozen, world, &door.places(), tubes)
                .inspect_err(observe::not_resumed)?;
            sys::handed::take_no_more();
            answer(before, &hub, door);
            Ok(hub)
        }
    }
}

/// Tells whoever has asked for the upgrade what has come of it.
fn answer(before: Before, hub: &Hub, door: &Door) {
    let pause = monotonic().saturating_sub(before.halted_at);
    observe::took_over(&before.version, pause);
    let (sessions, processes) = hub.population();
    let upgraded = Outcome::Upgraded(Upgraded {
        from: before.version,
        to: env!("CARGO_PKG_VERSION").to_owned(),
        program: door.successor().program.clone(),
        sessions,
        processes,
        pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
    });
    let line = admin::Answer::Ok(upgraded).to_line();
    if let Some(requester) = before.requester {
        tasks::spawn("answer", async move {
            let requester = UnixStream::from_std(requester)?;
            time::timeout(ANSWER_PATIENCE, say(&requester, &line)).await?
        });
    }
}

/// The home folder of the user, where servers start that belong to no workspace.
pub(crate) fn home_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    shim::home::of_user(user).unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    #[tokio::test]
    async fn a_door_that_panics_is_the_end_of_the_daemon() {
        let mut gate = Gate::Open(tasks::spawn("door", async { panic!("on purpose") }));
        let hub = tasks::spawn("hub", future::pending::<()>());
        let ended = gate.beside(hub).await;
        assert_eq!(ended.unwrap_err().to_string(), "the door panicked");
    }

    #[tokio::test]
    async fn a_hub_that_panics_is_as_well() {
        let mut gate = Gate::Open(tasks::spawn("door", future::pending()));
        let hub = tasks::spawn("hub", async { panic!("on purpose") });
        let ended: anyhow::Result<()> = gate.beside(hub).await;
        assert_eq!(ended.unwrap_err().to_string(), "the hub panicked");
    }
}
