//! Sessions over WebSockets: let in by a request over HTTP, and from then on as over any socket.

use std::sync::Arc;

use mux::{LineNumber, Moment, SessionId};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Hub,
    http::{NO_FOLDER, UMASK, deny, is_client_s_mistake, refuse},
    input::{Arrival, Entrance, Input, Talk},
    look_up::Wanting,
};
use crate::{
    front::{Found, Freedom, Generation, Over, Place},
    link::{Denial, Farewell, Piece, Sign, Tube},
    tasks,
};

/// So many things in a row that are no message, and a client has nothing to say here.
const MISSES_MAX: u32 = 10;

impl Hub {
    /// Somebody asks for a WebSocket. What is wrong with that is told while it can be told by a status.
    pub(super) fn on_meeting(&mut self, place: &Place, found: Option<Found>, reply: Tube) {
        let world = &mut self.world;
        let (ask, since) = match world.ask_at(place, found) {
            Ok(asked) => asked,
            Err(fault) => return refuse(&reply, fault),
        };
        let wanting = Wanting {
            // That of nobody: a plan is made to see whether there can be one.
            session: SessionId(world.last_id()),
            ask: Arc::new(ask),
            cwd: NO_FOLDER.into(),
            umask: UMASK,
            freedom: Freedom::Elsewhere,
            over: Over::WebSocket,
            session_key: place.session_key.clone(),
        };
        let look = world
            .looks
            .begin(Some(&wanting.ask.server), wanting.folder(), since);
        let planner = world.around.launcher.planner();
        tasks::spawn("meeting", async move {
            let launch = look.launch(planner, wanting).await;
            match launch.map(|launch| launch.opening.refused) {
                Err(fault) => refuse(&reply, fault),
                Ok(Some(refusal)) if is_client_s_mistake(&refusal) => {
                    deny(&reply, Denial::Server(refusal));
                }
                // Whatever else is wrong may be right when it is needed.
                Ok(Some(_) | None) => {
                    // Whoever has gone need not hear it.
                    let _gone = reply.send(Piece::Done);
                }
            }
        });
    }

    /// The WebSocket is there.
    pub(super) fn begin_talk(
        &mut self,
        (talk, found): (Talk, Option<Found>),
        (reply, permit): (&Tube, OwnedSemaphorePermit),
    ) {
        let (ask, since) = match self.world.ask_at(&talk.place, found) {
            Ok(asked) => asked,
            Err(fault) => return refuse(reply, fault),
        };
        let entrance = Entrance::WebSocket(Box::new(talk));
        self.look_up(Arrival::over_http(entrance, ask, permit, since));
    }

    /// Another token counts: whoever was let in by an earlier one, once for all that it says, has to come again.
    pub(super) fn on_revoked(&mut self, now: Moment, counts: Generation) {
        self.world.token = Some(counts);
        let ids: Vec<SessionId> = self.world.sessions.keys().copied().collect();
        for id in ids {
            self.turn_out_if_revoked(now, id);
        }
    }

    /// Ends a session that was let in by a token which counts no longer.
    pub(super) fn turn_out_if_revoked(&mut self, now: Moment, id: SessionId) {
        let session = self.world.sessions.get(&id);
        let had = session.and_then(|session| session.token);
        if had.is_some() && self.world.token.is_some_and(|counts| had != Some(counts)) {
            self.on_signed(now, id, &Sign::Close(Farewell::Revoked));
        }
    }

    /// Something is to be said of the connection.
    pub(super) fn on_signed(&mut self, now: Moment, id: SessionId, sign: &Sign) {
        if !self.world.hears(id) {
            return;
        }
        if let Some(session) = self.world.sessions.get_mut(&id) {
            session.outlet.push_sign(sign);
        }
        self.world.touch_session(id);
        if let Sign::Close(_) = sign {
            self.on_closed(now, id);
        }
    }

    /// A session has said something that is no message. Over a WebSocket that is heard a few times in a row,
    /// and then it is closed.
    pub(super) fn on_missed(&mut self, id: SessionId, line: LineNumber) {
        let session = self.world.sessions.get_mut(&id);
        let Some(session) = session.filter(|session| session.outlet.packs()) else {
            return;
        };
        let (last, count) = session.misses;
        let in_a_row = if last.0 + 1 == line.0 { count + 1 } else { 1 };
        session.misses = (line, in_a_row);
        if in_a_row >= MISSES_MAX {
            let sign = Sign::Close(Farewell::Garbage);
            let input = Input::Signed { session: id, sign };
            // When what it is answered has been written. If there is no place now, the next is one too many.
            let _next_time = self.world.around.inbox.try_send(input);
        }
    }
}
