//! How a session that has come is heard and spoken to.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use mux::SessionId;
use shim::{answer::Answer, preface::Join};

use super::{
    http::{Visited, deny},
    input::Entrance,
    keepsakes::Keepsakes,
    revive::Revived,
    world::World,
};
use crate::{
    front::{Caller, HttpFault, Key, Place, Post},
    link::{Denial, Outlet, Reading, Rest, Sink, Socket, Streams, Tube, WayOut},
};

/// All that a session has of its front.
pub(super) struct WayIn {
    pub(super) outlet: WayOut,
    pub(super) socket: Option<Arc<Socket>>,
    pub(super) visited: Option<Box<Visited>>,
    pub(super) reader: Reading<Rest>,
    /// What it has said already, and where the answer goes.
    pub(super) first: Option<(Post, Tube)>,
    /// What an earlier daemon knew of it.
    pub(super) revived: Option<Revived>,
    /// The number of the last line that it may have written.
    pub(super) lines: u64,
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
                    reader: Reading::resumed(&early, self.around.limits.message_bytes),
                    first: None,
                    revived: None,
                    lines: 0,
                })
            }
            Entrance::Http(visit) => {
                let (place, caller, post, reply) = *visit;
                let key = match self.new_key() {
                    Ok(key) => key,
                    Err(error) => {
                        tracing::debug!(%error, "there is no randomness for a session");
                        deny(&reply, Denial::Transport(HttpFault::Ending));
                        return None;
                    }
                };
                let streams = Streams::new(key, limit, &self.around.unread);
                let keepsakes = Keepsakes::new(server, workspace);
                let mut way = self.visited_way(id, streams, (key, place, caller), keepsakes);
                way.first = Some((post, reply));
                Some(way)
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
        }
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
            reader: Reading::Over,
            first: None,
            revived: None,
            lines: 0,
        }
    }
}
