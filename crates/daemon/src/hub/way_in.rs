//! How a session that has come is heard and spoken to.

use std::{collections::VecDeque, sync::Arc};

use mux::SessionId;
use shim::{answer::Answer, preface::Join};
use tokio::sync::mpsc::Sender;

use super::{
    http::{Visited, deny},
    input::{Entrance, Talk},
    world::World,
};
use crate::{
    front::{Generation, HttpFault, Post},
    link::{Denial, Outlet, Piece, Reading, Rest, Sink, Socket, Streams, Unpacker, WayOut},
};

/// All that a session has of its front.
pub(super) struct WayIn {
    pub(super) outlet: WayOut,
    pub(super) socket: Option<Arc<Socket>>,
    pub(super) visited: Option<Box<Visited>>,
    pub(super) reader: Reading<Rest>,
    /// What its client calls it.
    pub(super) label: Option<Arc<str>>,
    /// The token that it was let in by, if it is let in once.
    pub(super) token: Option<Generation>,
    /// What it has said already, and where the answer goes.
    pub(super) first: Option<(Post, Sender<Piece>)>,
}

impl World {
    /// What a session has that has come in like this; `None` if there is nothing to make it of.
    pub(super) fn way_in(
        &mut self,
        id: SessionId,
        entrance: Entrance,
        join: Join,
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
                    label: None,
                    token: None,
                    first: None,
                })
            }
            Entrance::WebSocket(talk) => Some(self.way_in_over_websocket(*talk)),
            Entrance::Http(visit) => {
                let (place, caller, post, reply) = *visit;
                let label = place.session_key.clone();
                let key = match self.new_key() {
                    Ok(key) => key,
                    Err(error) => {
                        tracing::debug!(%error, "there is no randomness for a session");
                        deny(&reply, Denial::Transport(HttpFault::Ending));
                        return None;
                    }
                };
                self.keys.insert(key, id);
                Some(WayIn {
                    outlet: WayOut::Posts(Box::new(Streams::new(key, limit, &self.around.unread))),
                    socket: None,
                    visited: Some(Box::new(Visited {
                        key,
                        place,
                        caller,
                        held: VecDeque::new(),
                        is_watched: false,
                    })),
                    reader: Reading::Over,
                    label,
                    token: None,
                    first: Some((post, reply)),
                })
            }
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
            reader: Reading::resumed_unpacking(b"", limits.message_bytes, unpacker),
            label: place.session_key,
            token,
            first: None,
        }
    }
}
