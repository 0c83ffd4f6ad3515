//! Sessions over HTTP: a post is a line, and what comes of it goes to the response.
//!
//! **Invariant:** a key opens its session only at the place where that began and for the kind of caller that
//! began it; a post is taken in once, in the order in which it came, or refused before anything of it was.

use std::{
    collections::VecDeque,
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mux::{Event, LineNumber, Moment, Mux, Refusal, Said, SessionId};
use serde::{Deserialize, Serialize};
use shim::{
    preface::{Join, SessionAsk},
    workspace::{Evidence, Workspace},
};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::{self, Instant},
};
use wire::{Fault, Frame, Kind};

use super::{
    Hub,
    input::{Arrival, Beginner, Entrance, Input, Talk},
    keepsakes::Keepsakes,
    world::World,
};
use crate::{
    front::{Caller, Found, Freedom, HttpFault, Key, Place, Post, Tubes, Visit, Wish},
    link::{
        ConnectionId, Denial, EventId, FrozenStreams, NothingLeft, Piece, Primes, Room, Streams,
        Tube, UNHEARD, Wants, WayOut,
    },
    tasks,
};

/// What the files may be for others that a server makes which a session over HTTP has started: as after a login.
pub(super) const UMASK: u32 = 0o022;

/// Where such a session is, as it is in no folder.
pub(super) const NO_FOLDER: &str = "/";
/// How many posts of a session may wait until the core hears it: whoever lets go of their connections can
/// otherwise have as many as they like.
const HELD_MAX: usize = 1024;

/// How often the clock strikes after which nobody comes back to what is over.
const STRIKES: Duration = Duration::from_mins(1);

/// What a session over HTTP has that others have not.
#[derive(Debug)]
pub(super) struct Visited {
    pub(super) key: Key,
    pub(super) place: Place,
    pub(super) caller: Caller,
    /// When the response to a post ends that goes on.
    pub(super) poll_after: Option<Duration>,
    /// What is kept of it for the next daemon.
    pub(super) keepsakes: Keepsakes,
    /// What was posted while the core does not hear the session.
    pub(super) held: VecDeque<(Post, Tube)>,
    /// Whether the hub hears of it after a while if that is still so.
    pub(super) is_watched: bool,
}

/// Whoever listens, and what ends when nothing more comes for them.
pub(super) type Watched = (Tube, oneshot::Receiver<()>);

/// The same as it is handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenVisited {
    key: String,
    place: Place,
    caller: Caller,
    poll_after: Option<Duration>,
    keepsakes: Keepsakes,
    streams: FrozenStreams,
}

impl Visited {
    pub(super) fn freeze(&self, streams: FrozenStreams) -> FrozenVisited {
        FrozenVisited {
            key: self.key.to_text(),
            place: self.place.clone(),
            caller: self.caller,
            poll_after: self.poll_after,
            keepsakes: self.keepsakes.clone(),
            streams,
        }
    }
}

impl FrozenVisited {
    pub(super) fn thaw(
        self,
        limit: usize,
        unread: &Arc<Room>,
        tubes: &mut Tubes,
    ) -> io::Result<(Box<Visited>, Streams, Option<Watched>)> {
        let key = Key::parse(&self.key).ok_or(io::ErrorKind::InvalidData)?;
        let (streams, watched) = Streams::thaw(self.streams, (key, limit), unread, tubes);
        let visited = Visited {
            key,
            place: self.place,
            caller: self.caller,
            poll_after: self.poll_after,
            keepsakes: self.keepsakes,
            held: VecDeque::new(),
            is_watched: false,
        };
        Ok((Box::new(visited), streams, watched))
    }
}

impl Hub {
    /// Somebody wants something over HTTP.
    pub(super) fn on_visit(&mut self, now: Moment, visit: Visit) {
        // The port stays open until the end: whoever comes is told to come back, to the next daemon.
        if self.stopping.is_some() {
            return refuse(&visit.reply, HttpFault::Ending);
        }
        if let Some(key) = visit.wish.key() {
            match self.world.keys.get(&key) {
                Some(id) => self.world.note_heard(now, *id),
                None => return self.seek(key, visit),
            }
        }
        if let Some(workspace) = visit.unseen() {
            return self.see_workspace(&workspace, visit);
        }
        let Visit {
            place,
            found,
            caller,
            wish,
            reply,
        } = visit;
        match wish {
            Wish::Begin(post, permit, presence) => {
                let beginner = Beginner {
                    place,
                    caller,
                    post,
                    reply,
                    presence,
                };
                self.begin_visit(beginner, found, permit);
            }
            Wish::Say(key, post) => match self.world.visited(key, &place, caller) {
                Some(id) => self.on_post(now, id, post, reply),
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
            Wish::Listen(key) => match self.world.visited(key, &place, caller) {
                Some(id) => self.on_listen(now, id, reply),
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
            Wish::Meet => self.on_meeting(&place, found, reply),
            Wish::Talk(socket, early, permit, token) => {
                let talk = Talk {
                    socket,
                    early,
                    place,
                    token,
                };
                self.begin_talk((talk, found), (&reply, permit));
            }
            Wish::Resume(key, last) => match self.world.visited(key, &place, caller) {
                Some(id) => self.on_resume(now, id, last, reply),
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
            Wish::Leave(key) => match self.world.visited(key, &place, caller) {
                Some(id) => {
                    // It is kept for this turn, and then its other responses end.
                    self.on_closed(now, id);
                    let removed = self.world.take_row(id);
                    tasks::spawn("farewell", async move {
                        if let Some(removed) = removed {
                            removed.comes().await;
                        }
                        let _gone = reply.send(Piece::Done);
                    });
                }
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
        }
    }

    /// Has a visit wait until the workspace was looked at that it is for.
    fn see_workspace(&mut self, workspace: &Path, mut visit: Visit) {
        if visit.count_in(&self.world.around.room).is_err() {
            return refuse(&visit.reply, HttpFault::Full);
        }
        let look = self.world.looks.begin(None, workspace, Instant::now());
        let inbox = self.world.around.inbox.clone();
        tasks::spawn("workspace", async move {
            match look.found().await {
                // It is under way until the hub has heard of it.
                Ok((found, _look)) => {
                    visit.found = Some(found);
                    let _hub_gone = inbox.send(Input::Visited(Box::new(visit))).await;
                }
                Err(fault) => refuse(&visit.reply, fault),
            }
        });
    }

    /// Somebody says `initialize`.
    fn begin_visit(
        &mut self,
        beginner: Beginner,
        found: Option<Found>,
        permit: OwnedSemaphorePermit,
    ) {
        let (ask, since) = match self.world.ask_at(&beginner.place, found) {
            Ok(asked) => asked,
            Err(fault) => return refuse(&beginner.reply, fault),
        };
        let entrance = Entrance::Http(Box::new(beginner));
        self.look_up(Arrival::over_http(entrance, ask, permit, since));
    }

    /// A session says something. If the core does not hear it now, that waits.
    fn on_post(&mut self, now: Moment, id: SessionId, mut post: Post, reply: Tube) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        if session.valve.is_closed()
            && let Some(visited) = &mut session.visited
        {
            let room = &self.world.around.room;
            if visited.held.len() >= HELD_MAX || post.count_in(room).is_err() {
                return refuse(&reply, HttpFault::Full);
            }
            visited.held.push_back((post, reply));
            self.world.watch_held(id);
            return;
        }
        self.take_post(now, id, post, reply);
    }

    /// What a session has said while the core did not hear it.
    pub(super) fn take_held(&mut self, now: Moment, id: SessionId) {
        loop {
            let Some(session) = self.world.sessions.get_mut(&id) else {
                return;
            };
            if session.valve.is_closed() || session.closing {
                return;
            }
            let held = session.visited.as_mut().and_then(|it| it.held.pop_front());
            let Some((post, reply)) = held else {
                return;
            };
            self.take_post(now, id, post, reply);
        }
    }

    /// Shows the core what was posted.
    pub(super) fn take_post(&mut self, now: Moment, id: SessionId, post: Post, reply: Tube) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        session.lines += 1;
        let line = LineNumber(session.lines);
        session.work.add(1, post.bytes);
        if let WayOut::Posts(streams) = &mut session.outlet {
            let kind = (wants(&post.said), primes(&self.mux, id));
            streams.open(line, kind, reply);
            let mut begins = false;
            if let Some(visited) = &mut session.visited {
                visited.keepsakes.hear(line, &post.said);
                begins = visited.poll_after.is_some() && kind == (Wants::Answer, Primes::Yes);
            }
            if begins {
                // Where connections are cut, its client knows from the first moment where to go on.
                streams.begin_at(line);
                self.world.poll_later(id, line);
            }
            // Where an answer is waited for there is nothing to tell before the core says so.
            if begins || kind.0 == Wants::Receipt {
                self.world.touch_session(id);
            }
        }
        let event = match post.said {
            Said::One(frame) => Event::SessionFrame {
                session: id,
                line,
                frame,
            },
            Said::Batch(frames) => Event::SessionBatch {
                session: id,
                line,
                frames,
            },
        };
        // From here on the core counts what it holds of it.
        drop(post.share);
        self.handle(now, event);
    }

    fn on_listen(&mut self, now: Moment, id: SessionId, reply: Tube) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        let WayOut::Posts(streams) = &mut session.outlet else {
            return;
        };
        let watched = reply.clone();
        match streams.listen(reply, primes(&self.mux, id)) {
            Ok(over) => self.on_listening(now, id, (watched, over)),
            Err(reply) => refuse(&reply, HttpFault::AlreadyListening),
        }
    }

    /// Somebody goes on with a stream, which whoever read it before does no longer.
    fn on_resume(&mut self, now: Moment, id: SessionId, last: EventId, reply: Tube) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        let WayOut::Posts(streams) = &mut session.outlet else {
            return;
        };
        let watched = reply.clone();
        match streams.resume(last, primes(&self.mux, id), reply) {
            Ok(Some(over)) => self.on_listening(now, id, (watched, over)),
            Ok(None) => self.world.touch_session(id),
            Err(NothingLeft::Forgotten(reply)) => refuse(&reply, HttpFault::NothingLeft),
            Err(NothingLeft::Heard(reply)) => refuse(&reply, HttpFault::HeardAll),
        }
    }

    /// A response lasts: whoever waits for it is told where it can go on, should it be cut.
    pub(super) fn on_answer_lasts(&mut self, key: Key, connection: ConnectionId) {
        let Some(session_id) = self.world.keys.get(&key).copied() else {
            return;
        };
        if let Some(session) = self.world.sessions.get_mut(&session_id)
            && let WayOut::Posts(streams) = &mut session.outlet
        {
            streams.begin(connection);
            self.world.touch_session(session_id);
        }
    }

    /// Of requests whose responses have become streams it is kept that they are open.
    pub(super) fn note_begun(&mut self) {
        for (session, line) in mem::take(&mut self.world.begun) {
            if let Some(request) = self.mux.open_on_line(session, line) {
                self.world.note_open(session, line, request);
            }
        }
    }

    /// Somebody listens from now on, until one of the two says otherwise.
    fn on_listening(&mut self, now: Moment, id: SessionId, (watched, over): Watched) {
        self.world.touch_session(id);
        self.world.watch_listener(id, (watched, over));
        let event = Event::SessionListens {
            session: id,
            listens: true,
        };
        self.handle(now, event);
    }

    pub(super) fn on_listener_left(&mut self, now: Moment, id: SessionId) {
        let is_listened_to = self.world.sessions.get(&id).is_some_and(
            |session| matches!(&session.outlet, WayOut::Posts(streams) if streams.is_listened_to()),
        );
        if self.world.hears(id) && !is_listened_to {
            self.world.touch_session(id);
            let event = Event::SessionListens {
                session: id,
                listens: false,
            };
            self.handle(now, event);
        }
    }
}

impl Arrival {
    /// Of a session that has come in like this, without a folder or an environment of its own.
    pub(super) fn over_http(
        entrance: Entrance,
        ask: SessionAsk,
        permit: OwnedSemaphorePermit,
        since: Instant,
    ) -> Self {
        Arrival {
            entrance,
            since,
            cwd: NO_FOLDER.into(),
            umask: UMASK,
            ask: Arc::new(ask),
            freedom: Freedom::Elsewhere,
            permit,
        }
    }
}

/// What a session over HTTP asks for; `resume` is its number at an earlier daemon.
pub(super) fn ask_over_http(
    server: String,
    workspace: Option<PathBuf>,
    resume: Option<u64>,
) -> SessionAsk {
    SessionAsk {
        server,
        command: Vec::new(),
        address: None,
        directory: None,
        scope: None,
        workspace: workspace.map(|path| Workspace {
            path,
            evidence: Evidence::Flag,
        }),
        pass: Vec::new(),
        join: Join::ShareKey,
        resume,
        env: Vec::new(),
    }
}

impl World {
    /// What a session asks for that comes to this place, whose workspace was `found` if it has to be; and since when it
    /// waits for that.
    pub(super) fn ask_at(
        &mut self,
        place: &Place,
        found: Option<Found>,
    ) -> Result<(SessionAsk, Instant), HttpFault> {
        // Since now, if its workspace did not have to be looked at.
        let since = found
            .as_ref()
            .map_or_else(Instant::now, |found| found.since);
        let server = if let Some(server) = &place.server {
            server.as_ref().to_owned()
        } else {
            let only = self.around.launcher.only_server();
            only.map_err(|names| HttpFault::NotTheOnlyServer { names })?
        };
        let workspace = found
            .map(|found| found.path)
            .or_else(|| place.workspace.clone());
        Ok((ask_over_http(server, workspace, None), since))
    }

    /// A session over HTTP has said something and is not heard: the hub hears of that after a while, and
    /// again. The reader of any other says so itself.
    pub(super) fn watch_held(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(&id).filter(|it| !it.closing);
        let Some(visited) = session.and_then(|it| it.visited.as_mut()) else {
            return;
        };
        if visited.held.is_empty() || mem::replace(&mut visited.is_watched, true) {
            return;
        }
        let inbox = self.around.inbox.clone();
        tasks::spawn("unheard", async move {
            time::sleep(UNHEARD).await;
            let _hub_gone = inbox.send(Input::Unheard(id)).await;
        });
    }

    /// Has the clock strike before long, as long as there are sessions over HTTP.
    pub(super) fn strike_later(&mut self) {
        if self.keys.is_empty() || mem::replace(&mut self.is_to_strike, true) {
            return;
        }
        let inbox = self.around.inbox.clone();
        tasks::spawn("strike", async move {
            time::sleep(STRIKES).await;
            let _hub_gone = inbox.send(Input::ClockStrikes).await;
        });
    }

    pub(super) fn on_strike(&mut self, now: Moment) {
        self.is_to_strike = false;
        let ids: Vec<SessionId> = self.keys.values().copied().collect();
        for id in ids {
            let session = self.sessions.get_mut(&id);
            if let Some(WayOut::Posts(streams)) = session.map(|it| &mut it.outlet) {
                streams.grow_older();
                // Who listens, or waits for an answer, is there though it says nothing.
                let is_there = streams.is_read();
                self.touch_session(id);
                if is_there {
                    self.note_heard(now, id);
                }
            }
        }
        self.strike_later();
    }

    /// The hub hears of it when whoever listens has gone, unless nothing more comes for them before.
    pub(super) fn watch_listener(&self, id: SessionId, (watched, over): Watched) {
        let inbox = self.around.inbox.clone();
        tasks::spawn("listener", async move {
            tokio::select! {
                () = watched.closed() => {}
                _dropped = over => return,
            }
            let _hub_gone = inbox.send(Input::ListenerLeft(id)).await;
        });
    }

    /// Has the response to this line end after a while, if its server wants that.
    pub(super) fn poll_later(&self, id: SessionId, line: LineNumber) {
        let visited = self.sessions.get(&id).and_then(|it| it.visited.as_ref());
        if let Some(after) = visited.and_then(|it| it.poll_after) {
            let inbox = self.around.inbox.clone();
            tasks::spawn("poll", async move {
                time::sleep(after).await;
                let _hub_gone = inbox.send(Input::PollDue(id, line)).await;
            });
        }
    }

    /// A response has gone on for so long that its client is to come back for the rest.
    pub(super) fn on_poll_due(&mut self, id: SessionId, line: LineNumber) {
        let session = self.sessions.get_mut(&id).filter(|it| !it.closing);
        if let Some(WayOut::Posts(streams)) = session.map(|it| &mut it.outlet) {
            streams.interrupt(line);
            self.touch_session(id);
        }
    }

    /// The session that this key opens, here and for such a caller.
    fn visited(&self, key: Key, place: &Place, caller: Caller) -> Option<SessionId> {
        let id = *self.keys.get(&key)?;
        let session = self.sessions.get(&id).filter(|it| !it.closing)?;
        let visited = session.visited.as_ref()?;
        (visited.place.has_the_sessions_of(place) && visited.caller == caller).then_some(id)
    }

    /// A key that no session has.
    pub(super) fn new_key(&self) -> io::Result<Key> {
        loop {
            let key = Key::random()?;
            if !self.keys.contains_key(&key) {
                return Ok(key);
            }
        }
    }

    /// Sessions that were paused and are heard again, with what they have said meanwhile.
    pub(super) fn take_unheld(&mut self) -> Vec<SessionId> {
        mem::take(&mut self.unheld)
    }
}

/// Whether the client of a session knows streams that it has to come back to.
fn primes(mux: &Mux, session: SessionId) -> Primes {
    let version = mux.version_of_session(session);
    if version.is_some_and(mux::knows_polling) {
        Primes::Yes
    } else {
        Primes::No
    }
}

/// Whether there is anything in it that has an answer.
fn wants(said: &Said) -> Wants {
    let asks = |frame: &Result<Frame, Fault>| match frame {
        Ok(frame) => frame.kind() == Kind::Request,
        Err(_) => true,
    };
    let has_answer = match said {
        Said::One(frame) => frame.kind() == Kind::Request,
        Said::Batch(frames) => frames.iter().any(asks),
    };
    if has_answer {
        Wants::Answer
    } else {
        Wants::Receipt
    }
}

pub(super) fn refuse<T: From<Denial>>(reply: &Tube<T>, fault: HttpFault) {
    deny(reply, Denial::Transport(fault));
}

pub(super) fn deny<T: From<Denial>>(reply: &Tube<T>, denial: Denial) {
    // It is the first that is said there. Whoever has gone need not hear it.
    let _gone = reply.send(denial.into());
}

/// Whether what is wrong is what was asked for: such a session is not even begun.
pub(super) fn is_client_s_mistake(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NoSuchServer { .. } | Refusal::BadConfiguration { .. }
    )
}

#[cfg(test)]
mod tests;
