//! How a session that has come is heard and spoken to.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use mux::SessionId;
use shim::{answer::Answer, preface::Join};

use super::{
    http::{Visited, deny},
    input::{Beginner, Entrance, Talk},
    keepsakes::Keepsakes,
    modern_post::Modern,
    revive::Revived,
    world::World,
};
use crate::{
    front::{Caller, Generation, HttpFault, Key, ModernPost, Place, Post},
    link::{Denial, Outlet, Reading, Rest, Sink, Socket, Streams, Tube, Unpacker, WayOut},
};

/// All that a session has of its front.
pub(super) struct WayIn {
    pub(super) outlet: WayOut,
    pub(super) socket: Option<Arc<Socket>>,
    pub(super) visited: Option<Box<Visited>>,
    pub(super) modern: Option<Box<Modern>>,
    pub(super) reader: Reading<Rest>,
    /// What its client calls it.
    pub(super) label: Option<Arc<str>>,
    /// The token that it was let in by, if it is let in once.
    pub(super) token: Option<Generation>,
    pub(super) first: First,
    /// What an earlier daemon knew of it.
    pub(super) revived: Option<Revived>,
    /// The number of the last line that it may have written.
    pub(super) lines: u64,
}

/// What a session has said already.
pub(super) enum First {
    Nothing,
    /// With where the answer goes.
    Post(Post, Tube),
    Modern(Box<ModernPost>),
}

impl World {
    /// What a session has that has come in like this; `None` if there is nothing to make it of.
    pub(super) fn way_in(
        &mut self,
        id: SessionId,
        entrance: Entrance,
        (join, workspace): (Join, Option<PathBuf>),
        server: &str,
    ) -> Option<WayIn> {
        let limit = self.around.limits.slow_reader_bytes;
        match entrance {
            Entrance::Socket(socket, early) => {
                let socket = Arc::new(socket);
                let sink = Sink::Socket(Arc::clone(&socket));
                let mut outlet = match join {
                    Join::ShareKey => Outlet::keeping(sink, limit, &self.around.unread),
                    Join::Any => Outlet::plain(sink, limit, &self.around.unread),
                };
                outlet.push_answer(&Answer::Accepted {
                    session: Some(id.0),
                });
                Some(WayIn {
                    outlet: WayOut::Line(outlet),
                    socket: Some(socket),
                    visited: None,
                    modern: None,
                    reader: Reading::resumed(&early, self.around.limits.message_bytes),
                    label: None,
                    token: None,
                    first: First::Nothing,
                    revived: None,
                    lines: 0,
                })
            }
            Entrance::WebSocket(talk) => Some(self.way_in_over_websocket(*talk)),
            Entrance::Http(beginner) => {
                self.way_in_of_posts(id, *beginner, Keepsakes::new(server, workspace))
            }
            Entrance::Revived(revived) => {
                let (key, row) = (revived.key, &revived.row);
                let base = self.around.epoch.begin();
                let streams = Streams::revived(base, limit, &self.around.unread);
                let who = (key, row.place.clone(), row.caller);
                let mut way = self.visited_way(id, streams, who, Keepsakes::revived(row));
                way.lines = base;
                way.revived = Some(*revived);
                Some(way)
            }
            Entrance::Modern(post) => {
                let (rounds, modern) = self.modern_way(id, &post, limit)?;
                Some(WayIn {
                    outlet: WayOut::Rounds(rounds),
                    socket: None,
                    visited: None,
                    modern: Some(modern),
                    reader: Reading::Over,
                    label: post.place.session_key.clone(),
                    token: None,
                    first: First::Modern(post),
                    revived: None,
                    lines: 0,
                })
            }
        }
    }

    fn way_in_of_posts(
        &mut self,
        id: SessionId,
        beginner: Beginner,
        keepsakes: Keepsakes,
    ) -> Option<WayIn> {
        let Beginner {
            place,
            caller,
            post,
            reply,
            presence: _,
        } = beginner;
        let key = match self.new_key() {
            Ok(key) => key,
            Err(error) => {
                tracing::debug!(%error, "there is no randomness for a session");
                deny(&reply, Denial::Transport(HttpFault::Ending));
                return None;
            }
        };
        let limit = self.around.limits.slow_reader_bytes;
        let streams = Streams::new(key, limit, &self.around.unread);
        let mut way = self.visited_way(id, streams, (key, place, caller), keepsakes);
        way.first = First::Post(post, reply);
        Some(way)
    }

    fn visited_way(
        &mut self,
        id: SessionId,
        streams: Streams,
        (key, place, caller): (Key, Place, Caller),
        keepsakes: Keepsakes,
    ) -> WayIn {
        self.keys.insert(key, id);
        self.strike_later();
        let label = place.session_key.clone();
        WayIn {
            outlet: WayOut::Posts(Box::new(streams)),
            socket: None,
            visited: Some(Box::new(Visited {
                key,
                place,
                caller,
                poll_after: None,
                keepsakes,
                held: VecDeque::new(),
                is_watched: false,
            })),
            modern: None,
            reader: Reading::Over,
            label,
            token: None,
            first: First::Nothing,
            revived: None,
            lines: 0,
        }
    }

    fn way_in_over_websocket(&self, talk: Talk) -> WayIn {
        let Talk {
            socket,
            early,
            place,
            token,
        } = talk;
        let limits = &self.around.limits;
        let socket = Arc::new(socket);
        let sink = Sink::Socket(Arc::clone(&socket));
        let outlet = Outlet::packing(sink, limits.slow_reader_bytes, &self.around.unread);
        let unpacker = Unpacker::of(&early);
        WayIn {
            outlet: WayOut::Line(outlet),
            socket: Some(socket),
            visited: None,
            modern: None,
            reader: Reading::resumed_unpacking(b"", limits.message_bytes, unpacker),
            label: place.session_key,
            token,
            first: First::Nothing,
            revived: None,
            lines: 0,
        }
    }
}
