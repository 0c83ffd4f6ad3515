//! Sessions over HTTP: a post is a line, and what comes of it goes to the response.
//!
//! **Invariant:** a key opens its session only at the place where that began and for the kind of caller that
//! began it; a post is taken in once, in the order in which it came, or refused before anything of it was.

use std::{collections::VecDeque, mem};

use mux::{Event, LineNumber, Moment, Refusal, Said, SessionId};
use shim::{
    preface::{Join, SessionAsk},
    workspace::{Evidence, Workspace},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc::Sender},
    time,
};
use wire::{Fault, Frame, Kind};

use super::{
    Hub,
    input::{Arrival, Entrance, Input, Talk},
    world::World,
};
use crate::{
    front::{Caller, Freedom, HttpFault, Key, Place, Post, Visit, Wish},
    link::{Denial, Piece, Share, UNHEARD, Wants, WayOut},
    tasks,
};

/// What the files may be for others that a server makes which a session over HTTP has started: as after a login.
pub(super) const UMASK: u32 = 0o022;

/// Where such a session is, as it is in no folder.
pub(super) const NO_FOLDER: &str = "/";

/// What a session over HTTP has that others have not.
#[derive(Debug)]
pub(super) struct Visited {
    pub(super) key: Key,
    pub(super) place: Place,
    pub(super) caller: Caller,
    /// What was posted while the core does not hear the session.
    pub(super) held: VecDeque<(Post, Sender<Piece>)>,
    /// Whether the hub hears of it after a while if that is still so.
    pub(super) is_watched: bool,
}

impl Hub {
    /// Somebody wants something over HTTP.
    pub(super) fn on_visit(&mut self, now: Moment, visit: Visit) {
        if self.stopping.is_some() {
            return refuse(&visit.reply, HttpFault::Ending);
        }
        let Visit {
            place,
            caller,
            wish,
            reply,
        } = visit;
        match wish {
            Wish::Begin(post, permit) => {
                self.begin_visit(now, (place, caller), (post, reply), permit);
            }
            Wish::Say(key, post) => match self.world.visited(key, &place, caller) {
                Some(id) => self.on_post(now, id, post, reply),
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
            Wish::Listen(key) => match self.world.visited(key, &place, caller) {
                Some(id) => self.on_listen(now, id, reply),
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
            Wish::Meet => self.on_meeting(&place, &reply),
            Wish::Talk(socket, early, permit, token) => {
                let talk = Talk {
                    socket,
                    early,
                    place,
                    token,
                };
                self.begin_talk(now, talk, (&reply, permit));
            }
            Wish::Leave(key) => match self.world.visited(key, &place, caller) {
                Some(id) => {
                    // It is kept for this turn, and then its other responses end.
                    self.on_closed(now, id);
                    let _gone = reply.try_send(Piece::Done);
                }
                None => refuse(&reply, HttpFault::NoSuchSession),
            },
        }
    }

    /// Somebody says `initialize`.
    fn begin_visit(
        &mut self,
        now: Moment,
        (place, caller): (Place, Caller),
        (post, reply): (Post, Sender<Piece>),
        permit: OwnedSemaphorePermit,
    ) {
        let ask = match self.world.ask_of(&place) {
            Ok(ask) => ask,
            Err(fault) => return refuse(&reply, fault),
        };
        let entrance = Entrance::Http(Box::new((place, caller, post, reply)));
        self.look_up(now, arrival_from_elsewhere(entrance, ask, permit));
    }

    /// A session says something. If the core does not hear it now, that waits.
    fn on_post(&mut self, now: Moment, id: SessionId, post: Post, reply: Sender<Piece>) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        if session.valve.is_closed()
            && let Some(visited) = &mut session.visited
        {
            let mut share = Share::of(&self.world.around.room);
            share.set(post.bytes);
            let post = Post {
                share: Some(share),
                ..post
            };
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
    pub(super) fn take_post(
        &mut self,
        now: Moment,
        id: SessionId,
        post: Post,
        reply: Sender<Piece>,
    ) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        session.lines += 1;
        let line = LineNumber(session.lines);
        session.work.add(1, post.bytes);
        if let WayOut::Posts(streams) = &mut session.outlet {
            streams.open(line, wants(&post.said), reply);
        }
        self.world.touch_session(id);
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

    fn on_listen(&mut self, now: Moment, id: SessionId, reply: Sender<Piece>) {
        let Some(session) = self.world.sessions.get_mut(&id) else {
            return;
        };
        let WayOut::Posts(streams) = &mut session.outlet else {
            return;
        };
        let watched = reply.clone();
        let over = match streams.listen(reply) {
            Ok(over) => over,
            Err(reply) => return refuse(&reply, HttpFault::AlreadyListening),
        };
        self.world.touch_session(id);
        let inbox = self.world.around.inbox.clone();
        tasks::spawn("listener", async move {
            tokio::select! {
                () = watched.closed() => {}
                // Nothing more comes.
                _dropped = over => return,
            }
            let _hub_gone = inbox.send(Input::ListenerLeft(id)).await;
        });
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

impl World {
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

    /// What somebody asks for who comes to this place.
    pub(super) fn ask_of(&mut self, place: &Place) -> Result<SessionAsk, HttpFault> {
        let server = if let Some(server) = &place.server {
            server.as_ref().to_owned()
        } else {
            let only = self.around.launcher.only_server();
            only.map_err(|names| HttpFault::NotTheOnlyServer { names })?
        };
        let workspace = place.workspace.as_ref().map(|path| Workspace {
            path: path.canonicalize().unwrap_or_else(|_| path.clone()),
            evidence: Evidence::Flag,
        });
        Ok(SessionAsk {
            server,
            command: Vec::new(),
            scope: None,
            workspace,
            pass: Vec::new(),
            join: Join::ShareKey,
            resume: None,
            env: Vec::new(),
        })
    }

    /// The session that this key opens, here and for such a caller.
    fn visited(&self, key: Key, place: &Place, caller: Caller) -> Option<SessionId> {
        let id = *self.keys.get(&key)?;
        let session = self.sessions.get(&id).filter(|it| !it.closing)?;
        let visited = session.visited.as_ref()?;
        (visited.place == *place && visited.caller == caller).then_some(id)
    }

    /// A key that no session has.
    pub(super) fn new_key(&self) -> std::io::Result<Key> {
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

/// A session without a folder or an environment of its own.
pub(super) fn arrival_from_elsewhere(
    entrance: Entrance,
    ask: SessionAsk,
    permit: OwnedSemaphorePermit,
) -> Arrival {
    Arrival {
        entrance,
        cwd: NO_FOLDER.into(),
        umask: UMASK,
        ask,
        freedom: Freedom::Elsewhere,
        permit,
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

pub(super) fn refuse(reply: &Sender<Piece>, fault: HttpFault) {
    deny(reply, Denial::Transport(fault));
}

pub(super) fn deny(reply: &Sender<Piece>, denial: Denial) {
    // It is the first that is said there. Whoever has gone need not hear it.
    let _gone = reply.try_send(Piece::Refused(denial));
}

/// Whether what is wrong is what was asked for: such a session is not even begun.
pub(super) fn is_client_s_mistake(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NoSuchServer { .. } | Refusal::BadConfiguration { .. }
    )
}
