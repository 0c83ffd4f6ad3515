//! Sessions over HTTP that began at an earlier daemon: who comes with the key of one goes on with it here.
//!
//! A key that is not known here is looked up among the rows ([`crate::kept_sessions`]), once for all who come with
//! it, and what was not done is replayed to the core as a shim would.
//!
//! **Invariant:** a row opens its session at its place alone and for the kind of caller that began it; what may have
//! gone to a server is never sent again.

use std::sync::Arc;

use bytes::Bytes;
use mux::{Event, LineNumber, Moment, Past, Refusal, Said, SessionId};
use tokio::time::Instant;
use wire::Frame;

use super::{
    Hub,
    http::{UMASK, ask_over_http, deny, refuse},
    input::{Arrival, Entrance, Input},
};
use crate::{
    front::{Freedom, HttpFault, Key, Visit, Wish},
    kept_sessions::{self, KeptLine, Row, Was},
    kept_words::wall_clock,
    link::{Denial, Piece, WayOut},
    tasks,
};

/// Visits that wait at most for one session to be found.
const VISITS_MAX: usize = 256;

/// A session of an earlier daemon that goes on here.
#[derive(Debug)]
pub(crate) struct Revived {
    pub(super) key: Key,
    pub(super) row: Row,
}

impl Hub {
    /// Somebody comes with a key that is not known here.
    pub(super) fn seek(&mut self, key: Key, mut visit: Visit) {
        let world = &mut self.world;
        if visit.count_in(&world.around.room).is_err() {
            return refuse(&visit.reply, HttpFault::Full);
        }
        if let Some(waiting) = world.sought.get_mut(&key) {
            if waiting.len() >= VISITS_MAX {
                return refuse(&visit.reply, HttpFault::Full);
            }
            return waiting.push(visit);
        }
        let Some(found) = world.around.rows.look(key) else {
            return refuse(&visit.reply, HttpFault::Full);
        };
        world.sought.insert(key, vec![visit]);
        let inbox = world.around.inbox.clone();
        tasks::spawn("seek", async move {
            let found = found.comes().await;
            let _hub_gone = inbox.send(Input::Sought(key, Box::new(found))).await;
        });
    }

    /// What there is under a key is known now, or is not known in time.
    pub(super) fn on_sought(
        &mut self,
        key: Key,
        found: Result<Option<kept_sessions::KeptSession>, kept_sessions::Late>,
    ) {
        let row = match found {
            _ if self.stopping.is_some() => return self.turn_away_visits(key, &HttpFault::Ending),
            Err(kept_sessions::Late) => return self.turn_away_visits(key, &HttpFault::Full),
            Ok(None) => return self.turn_away_visits(key, &HttpFault::NoSuchSession),
            Ok(Some(past)) if self.was_silent(&past) => {
                let _nobody_waits = self.world.around.rows.remove(key);
                return self.turn_away_visits(key, &HttpFault::NoSuchSession);
            }
            Ok(Some(past)) => past.row,
        };
        let visits = self.world.sought.get_mut(&key);
        let belongs = |visit: &mut Visit| {
            visit.place.has_the_sessions_of(&row.place) && visit.caller == row.caller
        };
        let others: Option<Vec<Visit>> =
            visits.map(|all| all.extract_if(.., |it| !belongs(it)).collect());
        for visit in others.unwrap_or_default() {
            refuse(&visit.reply, HttpFault::NoSuchSession);
        }
        let mut visits = self.world.sought.get(&key).into_iter().flatten();
        if visits.all(|visit| matches!(visit.wish, Wish::Leave(_))) {
            // Nothing has to be started for one that ends.
            return self.end_unrevived(key);
        }
        let Ok(permit) = self.world.around.session_places.clone().try_acquire_owned() else {
            return self.turn_away_visits(key, &HttpFault::Full);
        };
        let server = row.server.as_ref().to_owned();
        let ask = ask_over_http(server, row.workspace.clone(), Some(row.session));
        let arrival = Arrival {
            entrance: Entrance::Revived(Box::new(Revived { key, row })),
            since: Instant::now(),
            cwd: "/".into(),
            umask: UMASK,
            ask: Arc::new(ask),
            freedom: Freedom::Elsewhere,
            permit,
        };
        self.look_up(arrival);
    }

    /// Nobody is to wait any longer for what was kept of a session.
    pub(super) fn turn_away_all_visits(&mut self, fault: &HttpFault) {
        while let Some((&key, _)) = self.world.sought.first_key_value() {
            self.turn_away_visits(key, fault);
        }
    }

    /// All who have come for a session of before want it to end.
    fn end_unrevived(&mut self, key: Key) {
        let visits = self.world.sought.remove(&key).unwrap_or_default();
        if visits.is_empty() {
            return;
        }
        let removed = self.world.around.rows.remove(key);
        tasks::spawn("farewell", async move {
            removed.comes().await;
            for visit in visits {
                let _gone = visit.reply.send(Piece::Done);
            }
        });
    }

    /// Whether nothing was heard of it for longer than a session may be silent.
    fn was_silent(&mut self, past: &kept_sessions::KeptSession) -> bool {
        let silence = wall_clock().duration_since(past.heard);
        let most = self.world.around.launcher.silence_max();
        // A date that is still to come is none: the clock has jumped.
        matches!((silence, most), (Ok(silence), Some(most)) if silence > most)
    }

    /// A session that came back cannot be served now, and its row stays; or its server is none any more.
    pub(super) fn turn_away_revived(&mut self, key: Key, why: &Refusal) {
        tracing::debug!(%why, "a session over HTTP that came back cannot be served now");
        if !matches!(why, Refusal::NoSuchServer { .. }) {
            let why = why.to_string();
            return self.turn_away_visits(key, &HttpFault::NotNow { why });
        }
        for visit in self.world.sought.remove(&key).unwrap_or_default() {
            deny(&visit.reply, Denial::Server(why.clone()));
        }
    }

    pub(super) fn turn_away_visits(&mut self, key: Key, fault: &HttpFault) {
        for visit in self.world.sought.remove(&key).unwrap_or_default() {
            refuse(&visit.reply, fault.clone());
        }
    }

    /// The core learns what the session has said before, and then what it says now.
    pub(super) fn go_on_with(&mut self, now: Moment, id: SessionId, Revived { key, row }: Revived) {
        for line in row.lines {
            self.replay_kept(now, id, line);
        }
        self.handle(now, Event::SessionReplayEnded { session: id });
        self.world.save_row(id);
        for visit in self.world.sought.remove(&key).unwrap_or_default() {
            self.on_visit(now, visit);
        }
    }

    fn replay_kept(&mut self, now: Moment, session: SessionId, kept: KeptLine) {
        let line = LineNumber(kept.line);
        let text = Bytes::copy_from_slice(kept.text.as_bytes());
        let Ok(frame) = Frame::parse(text) else {
            return;
        };
        let past = match kept.was {
            Was::Kept => Past::Kept,
            // Not even what changes nothing is done again: what it asked for was left out.
            Was::Open => Past::Repeated,
        };
        let known = self.world.sessions.get_mut(&session);
        if let Some(known) = known {
            if let Some(visited) = &mut known.visited {
                visited.keepsakes.take_up(kept);
            }
            if past != Past::Kept
                && let WayOut::Posts(streams) = &mut known.outlet
            {
                streams.reopen(line);
            }
        }
        let event = Event::SessionReplayed {
            session,
            line,
            past,
            said: Said::One(frame),
        };
        self.handle(now, event);
    }
}
