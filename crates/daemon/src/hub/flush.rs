//! What waits for peers, written as they take it; and what becomes of those who do not.

use std::{mem, sync::Arc, time::Instant};

use mux::{Event, SessionId};
use tokio::sync::mpsc::Sender;

use super::{
    input::{Input, Peer, ProcessId},
    session::Session,
    world::World,
};
use crate::{
    link::{Awaited, Backlog, Flushed, NoRoom, Overflow, WayOut},
    process::Note,
    tasks,
};

/// So much may wait for anybody, however crowded it is.
const LITTLE_BYTES: usize = 64 << 10;

impl World {
    /// Writes what was put into outlets: to sessions first, as an announcement must be out before the
    /// request is.
    pub(super) fn flush_touched(&mut self) {
        for id in mem::take(&mut self.touched_sessions) {
            self.flush_session(id);
        }
        for id in mem::take(&mut self.touched_processes) {
            self.flush_process(id);
        }
        self.hand_in_records();
    }

    /// Gives the guardian what has changed for the daemon after us, once the process has been sent all
    /// that it follows from: a record must not say more than has happened.
    fn hand_in_records(&mut self) {
        let (processes, guardian) = (&self.processes, &mut self.around.guardian);
        self.records.retain(|id, record| {
            let Some(process) = processes.get(id) else {
                return false;
            };
            if process
                .outlet
                .as_ref()
                .is_some_and(|outlet| !outlet.is_empty())
            {
                return true;
            }
            // What runs elsewhere nobody takes over: its conversation was ours.
            if process.is_remote() {
                return false;
            }
            let note = Note {
                upstream: process.upstream,
                server: Arc::clone(&process.server),
                record: record.clone(),
            };
            guardian.keep(*id, note.encode());
            false
        });
    }

    fn flush_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.touched = false;
        if session.awaiting_room && session.outlet.is_one() {
            return self.judge_backlog(id);
        }
        let echoes = &mut self.echoes;
        let flushed = session.outlet.flush(session.closing, |line| {
            echoes.push(Event::Announced { session: id, line });
        });
        if let WayOut::Posts(streams) = &mut session.outlet {
            let begun = streams.take_begun();
            self.begun.extend(begun.into_iter().map(|line| (id, line)));
        }
        let has_backlog = flushed != Flushed::All || session.blocked;
        match flushed {
            Flushed::All if session.closing => self.departed.push(id),
            Flushed::All => session.pace.on_empty(session.outlet.taken()),
            // Somebody waits for another of its responses.
            Flushed::Blocked if session.awaiting_room => {}
            Flushed::Blocked => {
                session.awaiting_room = true;
                let leaves = session.closing && session.modern.is_some();
                let room = session.outlet.room();
                await_room(room, Peer::Session(id), self.around.inbox.clone());
                if leaves {
                    self.await_leave(id);
                }
            }
            Flushed::Broken => {
                if !session.closing {
                    session.closing = true;
                    self.echoes.push(Event::SessionClosed { session: id });
                }
                self.departed.push(id);
            }
        }
        if has_backlog {
            self.judge_backlog(id);
        }
    }

    /// Tells the core if a client has begun or ceased to have much to read.
    fn judge_backlog(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|it| !it.closing) else {
            return;
        };
        match session.outlet.backlog() {
            Backlog::Much if !session.blocked => {
                session.blocked = true;
                self.echoes.push(Event::SessionBlocked { session: id });
            }
            Backlog::Little if session.blocked => {
                session.blocked = false;
                self.echoes.push(Event::SessionWritable { session: id });
            }
            Backlog::Much | Backlog::Some | Backlog::Little => {}
        }
    }

    /// A client wants to say something and is not heard, for long now. If that is because it has much to
    /// read, and it takes none of it, it may wait for us to read, as we for it: then it is cut, once.
    pub(super) fn on_unheard(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.blocked && session.pace.stands_still(session.outlet.taken()) {
            self.cut(id);
        }
        if let Some(session) = self.sessions.get_mut(&id)
            && let Some(visited) = &mut session.visited
        {
            visited.is_watched = false;
        }
        self.watch_held(id);
    }

    fn flush_process(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        process.touched = false;
        let Some(outlet) = process.outlet.as_mut() else {
            return;
        };
        let upstream = process.upstream;
        let flushed = if process.awaiting_room {
            None
        } else {
            Some(outlet.flush(|_| {}))
        };
        // Also while it is blocked already: what comes for it then must not wait here without end.
        if flushed.is_none_or(|flushed| flushed == Flushed::Blocked)
            && !process.blocked
            && outlet.waiting() > self.around.limits.slow_server_bytes
        {
            process.blocked = true;
            self.echoes.push(Event::UpstreamBlocked { upstream });
        }
        match flushed {
            // More has come for it, that is all.
            None => {}
            Some(flushed) => self.on_flushed(id, flushed),
        }
    }

    fn on_flushed(&mut self, id: ProcessId, flushed: Flushed) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        match flushed {
            Flushed::All => {
                if process.blocked {
                    process.blocked = false;
                    let upstream = process.upstream;
                    self.echoes.push(Event::UpstreamWritable { upstream });
                }
                if process.closing {
                    process.outlet = None;
                }
            }
            Flushed::Blocked => {
                process.awaiting_room = true;
                if let Some(outlet) = &process.outlet {
                    let room = Awaited::Sink(outlet.sink().clone());
                    let inbox = self.around.inbox.clone();
                    await_room(room, Peer::Process(id), inbox);
                }
            }
            // It reads no more, so it is of no more use: its end answers what is open.
            Flushed::Broken => self.give_up_process(id),
        }
    }

    /// Cuts a session whose queue is full though it was offered all of it, unless it reads on.
    pub(super) fn cut_if_full(&mut self, id: SessionId) {
        let full = |world: &World| {
            world
                .sessions
                .get(&id)
                .is_some_and(|session| session.outlet.overflow() == Overflow::Yes)
        };
        if full(self) {
            self.flush_session(id);
        }
        let limit = self.around.limits.slow_reader_bytes;
        if full(self)
            && let Some(session) = self.sessions.get_mut(&id)
            && let outlet = &session.outlet
            && !session
                .pace
                .may_go_on(Instant::now, outlet.taken(), outlet.waiting(), limit)
        {
            self.cut(id);
        }
    }

    /// Drops what waits for a session and has not begun to be written.
    pub(super) fn cut(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.outlet.cut();
        session.pace.on_empty(session.outlet.taken());
        if !session.closing {
            self.echoes.push(Event::SessionCut { session: id });
        }
        self.touch_session(id);
    }

    /// Sees to it that so much more may wait in all: who has most to read is cut, unless it reads now.
    ///
    /// What is small is let in though nobody is left who has much: it would be another who is hit.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.around.unread.lacking(bytes) > 0 {
            self.forget_handed();
        }
        while self.around.unread.lacking(bytes) > 0 {
            let waiting =
                |(id, session): (&SessionId, &Session)| (session.outlet.behind_head(), *id);
            let most = self.sessions.iter().map(waiting).max();
            let Some((most, id)) = most.filter(|(most, _)| *most > LITTLE_BYTES) else {
                return if bytes > LITTLE_BYTES {
                    Err(NoRoom)
                } else {
                    Ok(())
                };
            };
            self.flush_session(id);
            let left = self
                .sessions
                .get(&id)
                .map_or(0, |session| session.outlet.behind_head());
            if left == most {
                self.cut(id);
            }
        }
        Ok(())
    }
}

impl World {
    /// What is kept of streams over HTTP, should it not have arrived, is in nobody's way.
    fn forget_handed(&mut self) {
        for id in self.keys.values() {
            let session = self.sessions.get_mut(id);
            if let Some(WayOut::Posts(streams)) = session.map(|it| &mut it.outlet)
                && streams.forget_handed()
            {
                tracing::debug!(%id, "what was kept for who comes back makes room for others");
            }
        }
    }
}

/// Reports when a peer has made room, or will never.
fn await_room(room: Awaited, peer: Peer, inbox: Sender<Input>) {
    tasks::spawn("room", async move {
        room.comes().await;
        let _hub_gone = inbox.send(Input::Room(peer)).await;
    });
}
