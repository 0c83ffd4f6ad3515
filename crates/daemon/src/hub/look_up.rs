//! What a session gets, found out beside the hub: its folders and files may be on a disk that takes its time, or that
//! does not answer at all.
//!
//! **Invariant:** a session that has come is begun, or turned away, exactly once, however its look-up ends; until then
//! nobody else has its number.

use std::{
    io::IoSlice,
    path::{Path, PathBuf},
    sync::Arc,
};

use mux::{Moment, Refusal, SessionId};
use shim::{
    answer::Answer,
    preface::{Join, SessionAsk},
};

use super::{
    Hub,
    http::{is_client_s_mistake, refuse},
    input::{Arrival, Entrance, Input, LookedUp},
    looks::{Look, Unseen},
};
use crate::{
    front::{Freedom, HttpFault, Key, Over},
    kept_words::Keeper,
    launch::{Asker, Launch, Means, Planner},
    link::Denial,
    tasks,
};

/// Whoever wants to know what a session gets.
#[derive(Clone, Debug)]
pub(super) struct Wanting {
    pub(super) session: SessionId,
    pub(super) ask: Arc<SessionAsk>,
    pub(super) cwd: PathBuf,
    pub(super) umask: u32,
    pub(super) freedom: Freedom,
    pub(super) over: Over,
    pub(super) session_key: Option<Arc<str>>,
}

impl Wanting {
    /// Where it works, which is where it is most likely to wait for a disk.
    pub(super) fn folder(&self) -> &Path {
        let workspace = self.ask.workspace.as_ref();
        workspace.map_or(&self.cwd, |workspace| &workspace.path)
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            session: self.session,
            ask: &self.ask,
            cwd: &self.cwd,
            umask: self.umask,
            freedom: self.freedom,
            over: self.over,
            session_key: self.session_key.as_deref(),
        }
    }
}

impl Look {
    /// What this session gets; that it is not known what, if nothing is heard in time of what it needs. An error says
    /// why nobody is to wait for it.
    pub(super) async fn launch(
        &self,
        planner: Planner,
        wanting: Wanting,
    ) -> Result<Launch, HttpFault> {
        let (its, asking) = (planner.clone(), wanting.clone());
        match self.seen(move || its.open(&asking.asker())).await {
            Ok(launch) => Ok(launch),
            Err(Unseen::Late) => Ok(planner.late(&wanting.asker())),
            Err(Unseen::Panicked) => Ok(planner.panicked(&wanting.asker())),
            Err(Unseen::TurnedAway(fault)) => Err(fault),
        }
    }
}

impl Hub {
    /// Has it found out what a session gets, and what is kept of its server.
    pub(super) fn look_up(&mut self, mut arrival: Arrival) {
        if self.stopping.is_some() {
            return self.turn_away(arrival, &HttpFault::Ending);
        }
        if arrival.entrance.count_in(&self.world.around.room).is_err() {
            return self.turn_away(arrival, &HttpFault::Full);
        }
        let world = &mut self.world;
        let id = world.number_of(arrival.ask.resume);
        world.looked_up.insert(id);
        let wanting = Wanting {
            session: id,
            ask: Arc::clone(&arrival.ask),
            cwd: arrival.cwd.clone(),
            umask: arrival.umask,
            freedom: arrival.freedom,
            over: arrival.entrance.over(),
            session_key: arrival.entrance.session_key().map(Arc::from),
        };
        let look = world
            .looks
            .begin(Some(&wanting.ask.server), wanting.folder(), arrival.since);
        let planner = world.around.launcher.planner();
        let (keeper, inbox) = (world.around.keeper.clone(), world.around.inbox.clone());
        tasks::spawn("look-up", async move {
            let mut launch = look.launch(planner, wanting).await;
            if let Ok(launch) = &mut launch {
                recall(&keeper, launch).await;
                launch.opening.waited = arrival.since.elapsed();
            }
            let input = match launch {
                Ok(launch) => Input::LookedUp(Box::new(LookedUp {
                    arrival,
                    id,
                    launch,
                })),
                Err(fault) => Input::NotLookedUp(Box::new(arrival), id, fault),
            };
            let _hub_gone = inbox.send(input).await;
        });
    }

    /// It was not waited for what a session gets.
    pub(super) fn on_not_looked_up(&mut self, arrival: Arrival, id: SessionId, fault: &HttpFault) {
        self.world.looked_up.remove(&id);
        let waits = matches!(arrival.entrance, Entrance::Socket(..)) && *fault != HttpFault::Ending;
        if !waits {
            self.turn_away(arrival, fault);
        } else if self.world.looks.are_turned_away() {
            // Its shim would be here again at once.
            self.world.set_aside.push(arrival);
        } else {
            self.look_up(arrival);
        }
    }

    /// Begins nothing for a session that has come.
    fn turn_away(&mut self, arrival: Arrival, fault: &HttpFault) {
        match arrival.entrance {
            Entrance::Http(beginner) => refuse(&beginner.reply, fault.clone()),
            Entrance::Modern(post) => refuse(&post.reply, fault.clone()),
            Entrance::Revived(revived) => self.turn_away_visits(revived.key, fault),
            // Whoever is not answered comes again.
            Entrance::Socket(..) | Entrance::WebSocket(_) => {}
        }
    }

    /// It is known what a session gets, which has waited for that.
    pub(super) fn on_looked_up(&mut self, now: Moment, mut looked_up: LookedUp) {
        if self.stopping.is_some() {
            return self.on_not_looked_up(looked_up.arrival, looked_up.id, &HttpFault::Ending);
        }
        let LookedUp {
            arrival,
            id,
            launch,
        } = &mut looked_up;
        self.world.looked_up.remove(id);
        self.world.around.launcher.take_in(launch);
        launch.opening.resumes = arrival.ask.resume.is_some();
        launch.opening.handle = handle();
        if let Some(refusal) = &launch.opening.refused
            && is_client_s_mistake(refusal)
            && arrival.entrance.denies(|| Denial::Server(refusal.clone()))
        {
            return;
        }
        if launch.opening.resumes
            && arrival.ask.join == Join::ShareKey
            && let Some(refusal) = &launch.opening.refused
        {
            if let Entrance::Revived(revived) = &arrival.entrance {
                return self.turn_away_revived(revived.key, refusal);
            }
            return send_away(arrival, refusal);
        }
        self.welcome(now, looked_up);
    }
}

/// Adds to what a session gets what is kept of its server.
async fn recall(keeper: &Keeper, launch: &mut Launch) {
    let subject = launch.subject.as_ref();
    if let Some(recalling) = subject.and_then(|subject| keeper.recall(subject)) {
        launch.opening.kept = Some(or_nothing(recalling.found()).await);
    }
    if let (Ok(Means::Remote(spec)), None) = (&launch.means, launch.opening.era)
        && let Some(url) = spec.common_url()
        && let Some(recalling) = keeper.recall_finding(url)
    {
        launch.opening.found = or_nothing(recalling.found()).await;
    }
}

/// What was looked up, or nothing if that panicked: the session that waits for it comes in whatever happens.
async fn or_nothing<T: Default>(look_up: impl Future<Output = T>) -> T {
    let found = tasks::caught("recall", look_up).await;
    found.unwrap_or_default()
}

/// Sends a session away that was served before and cannot be served now, for instance since the
/// configuration is just being edited. Its shim keeps it alive and comes again.
fn send_away(arrival: &Arrival, why: &Refusal) {
    let server = &arrival.ask.server;
    tracing::debug!(%server, %why, "a session that came back cannot be served now");
    let answer = Answer::Refused(why.to_string()).to_string();
    // It is the first that is written there, so there is room. Who does not hear it comes again, too.
    if let Entrance::Socket(socket, _early) = &arrival.entrance {
        let _gone = socket.try_write(&[IoSlice::new(answer.as_bytes())]);
    }
}

/// What nobody can guess, if the system has any such thing to give.
fn handle() -> Option<Arc<str>> {
    let key = Key::random().ok()?;
    Some(Arc::from(key.to_text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_look_up_that_panics_finds_nothing() {
        let found: Vec<u8> = or_nothing(async { panic!("on purpose") }).await;
        assert!(found.is_empty());
        assert_eq!(or_nothing(async { 7 }).await, 7);
    }
}
