//! Sessions of the modern era over HTTP: a post is a session with one exchange.
//!
//! It ends by itself when all that it asked is answered, or with the client that goes away. Only where the answer
//! is that the client has to say more first it stays, and a post that says so is another line of it.
//!
//! **Invariant:** a session is gone on with only at the place where it began and by the kind of caller that began
//! it; what its headers say of a call was compared with the call before the core sees that.

use std::{io, path::Path, sync::Arc};

use mux::{Event, Fact, LineNumber, Moment, Route, SessionId};
use serde::{Deserialize, Serialize};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use wire::{Message, Method};

use super::{
    Hub,
    http::{deny, refuse},
    input::{Arrival, Entrance, Input, LookedUp},
    world::World,
};
use crate::{
    front::{Caller, HttpFault, Key, ModernFault, ModernPost, Place, check_params},
    launch::Launch,
    link::{Denial, FrozenRounds, Room, RoundTubes, Rounds, WayOut},
    tasks,
};

/// What a session of the modern era over HTTP has that others have not.
#[derive(Debug)]
pub(super) struct Modern {
    /// By what it can be gone on with.
    pub(super) key: Key,
    place: Place,
    caller: Caller,
}

/// The same as it is handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenModern {
    key: String,
    place: Place,
    caller: Caller,
    rounds: FrozenRounds,
}

impl Modern {
    pub(super) fn freeze(&self, rounds: &Rounds) -> FrozenModern {
        FrozenModern {
            key: self.key.to_text(),
            place: self.place.clone(),
            caller: self.caller,
            rounds: rounds.freeze(),
        }
    }
}

impl FrozenModern {
    pub(super) fn thaw(
        self,
        limit: usize,
        unread: &Arc<Room>,
        tubes: &mut RoundTubes,
    ) -> io::Result<(Box<Modern>, Rounds)> {
        let modern = Modern {
            key: Key::parse(&self.key).ok_or(io::ErrorKind::InvalidData)?,
            place: self.place,
            caller: self.caller,
        };
        let rounds = Rounds::thaw(self.rounds, limit, unread, tubes);
        Ok((Box::new(modern), rounds))
    }
}

impl Hub {
    /// Somebody asks something over HTTP, in the modern era.
    pub(super) fn on_modern_post(
        &mut self,
        now: Moment,
        mut post: ModernPost,
        permit: OwnedSemaphorePermit,
    ) {
        if self.stopping.is_some() {
            return refuse(&post.reply, HttpFault::Ending);
        }
        if let Some(key) = post.continues
            && let Some(id) = self.world.continued(key, &post.place, post.caller)
            // The core may have ended it in this turn, and what follows from that comes at the end of the turn.
            && self.mux.route_of_session(id).is_some()
        {
            return self.continue_with(now, id, post);
        }
        let edition = self.world.around.launcher.edition();
        let known = self.world.openings.find(&post.place, edition, now);
        let launch = known.cloned();
        let found = post.found.take();
        if launch.is_none()
            && found.is_none()
            && let Some(workspace) = post.place.workspace.clone()
        {
            return self.see_workspace_of(&workspace, post, permit);
        }
        let (ask, since) = match self.world.ask_at(&post.place, found) {
            Ok(asked) => asked,
            Err(fault) => return refuse(&post.reply, fault),
        };
        let arrival = Arrival::over_http(Entrance::Modern(Box::new(post)), ask, permit, since);
        match launch {
            Some(launch) => {
                let id = self.world.number_of(None);
                let looked_up = LookedUp {
                    arrival,
                    id,
                    launch,
                };
                self.welcome(now, looked_up);
            }
            None => self.look_up(arrival),
        }
    }

    /// Has a request wait until the workspace was looked at that it is for.
    fn see_workspace_of(
        &mut self,
        workspace: &Path,
        mut post: ModernPost,
        permit: OwnedSemaphorePermit,
    ) {
        if post.count_in(&self.world.around.room).is_err() {
            return refuse(&post.reply, HttpFault::Full);
        }
        let look = self.world.looks.begin(None, workspace, Instant::now());
        let inbox = self.world.around.inbox.clone();
        tasks::spawn("workspace", async move {
            match look.found().await {
                // It is under way until the hub has heard of it.
                Ok((found, _look)) => {
                    post.found = Some(found);
                    let input = Input::Posted(Box::new(post), permit);
                    let _hub_gone = inbox.send(input).await;
                }
                Err(fault) => refuse(&post.reply, fault),
            }
        });
    }

    /// Another line of a session that waits for it.
    fn continue_with(&mut self, now: Moment, id: SessionId, post: ModernPost) {
        let Some(session) = self.world.sessions.get(&id) else {
            return;
        };
        if session.valve.is_closed() {
            return refuse(&post.reply, HttpFault::Full);
        }
        let route = session.route.clone();
        if let Some(route) = route
            && let Err(fault) = self.check_headers(&route, &post)
        {
            return deny(&post.reply, Denial::Message(fault));
        }
        if post.presence.is_for(id) {
            self.take_modern_post(now, id, post);
        }
    }

    /// Whether a session is begun for a post, for which this was found out.
    pub(super) fn admits(
        &mut self,
        now: Moment,
        id: SessionId,
        post: &ModernPost,
        launch: &Launch,
    ) -> bool {
        self.world.openings.keep(&post.place, launch, now);
        if let Err(fault) = self.check_headers(&launch.opening.route, post) {
            deny(&post.reply, Denial::Message(fault));
            return false;
        }
        post.presence.is_for(id)
    }

    /// Whether the headers of a call say what its arguments say, as far as it is known which have to.
    fn check_headers(&mut self, route: &Route, post: &ModernPost) -> Result<(), ModernFault> {
        let Some(headers) = &post.headers else {
            return Ok(());
        };
        let Message::Request {
            method: Method::ToolsCall,
            params,
            ..
        } = &post.frame.message
        else {
            return Ok(());
        };
        let tool = params.name.as_ref().and_then(|at| post.frame.text(at));
        let Some(tool) = tool else {
            return Ok(());
        };
        let pages = self.mux.listed_tools(route);
        match self.world.schemas.params(route, &pages, &tool) {
            Some(params) => check_params(&post.frame, &params, headers),
            None => Ok(()),
        }
    }

    /// Shows the core what was posted.
    pub(super) fn take_modern_post(&mut self, now: Moment, id: SessionId, post: ModernPost) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        session.lines += 1;
        let line = LineNumber(session.lines);
        session.work.add(1, post.bytes);
        if let WayOut::Rounds(rounds) = &mut session.outlet {
            rounds.open(line, post.reply);
        }
        self.world.touch_session(id);
        // From here on the core counts what it holds of it.
        drop(post.share);
        let event = Event::SessionFrame {
            session: id,
            line,
            frame: post.frame,
        };
        self.handle(now, event);
    }
}

impl World {
    /// Tells what has happened.
    pub(super) fn observe(&mut self, fact: &Fact) {
        if let Fact::UpstreamGreetingFailed { upstream, why } = fact
            && let Some(process) = self.process_of(*upstream)
            && let Some(process) = self.processes.get(&process)
        {
            process.remark_ungreeted(why);
        }
        if let Fact::SessionOpened { session, .. } | Fact::SessionClosed { session } = fact
            && let Some(session) = self.sessions.get(session)
            && session.modern.is_some()
        {
            self.observer.observe_brief(fact);
        } else {
            self.observer.observe(fact);
        }
    }

    /// A client has given up what it had posted. Says whether it waits for something else in the same session.
    pub(super) fn is_gone_on_with(&mut self, session: SessionId) -> bool {
        let session = self.sessions.get_mut(&session);
        session.is_some_and(|session| match &mut session.outlet {
            WayOut::Rounds(rounds) => rounds.lose(),
            WayOut::Posts(_) | WayOut::Line(_) => false,
        })
    }

    /// The session that waits to be gone on with by this key, from here and by such a caller.
    fn continued(&self, key: Key, place: &Place, caller: Caller) -> Option<SessionId> {
        let id = *self.rounds.get(&key)?;
        let session = self.sessions.get(&id).filter(|it| !it.closing)?;
        let modern = session.modern.as_ref()?;
        let is_here = modern.place.has_the_sessions_of(place) && modern.caller == caller;
        is_here.then_some(id)
    }

    /// What a session of the modern era has; `None` if there is no randomness for its key.
    pub(super) fn modern_way(
        &mut self,
        id: SessionId,
        post: &ModernPost,
        limit: usize,
    ) -> Option<(Box<Rounds>, Box<Modern>)> {
        let key = match Key::random() {
            Ok(key) => key,
            Err(error) => {
                tracing::debug!(%error, "there is no randomness for a session");
                refuse(&post.reply, HttpFault::Ending);
                return None;
            }
        };
        self.rounds.insert(key, id);
        let modern = Modern {
            key,
            place: post.place.clone(),
            caller: post.caller,
        };
        let rounds = Rounds::new(limit, &self.around.unread);
        Some((Box::new(rounds), Box::new(modern)))
    }
}
