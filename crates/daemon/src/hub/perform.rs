//! What the core asks for, done. Nothing here waits.

use std::sync::Arc;

use mux::{Action, Era, KeptWords, Notice, SessionId, UpstreamId};
use wire::Outgoing;

use super::world::World;
use crate::{
    kept_words::Way,
    link::NoRoom,
    process::{Process, STOP_PATIENCE},
};

impl World {
    /// Does one thing. What it cannot do, because the peer is gone, it leaves undone: the core hears of
    /// the peer's end.
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::SendToSession {
                session,
                frame,
                answered,
                part_of,
            } => {
                self.cut_if_full(session);
                let room = self.make_room(frame.len());
                if let Some(answered) = &answered {
                    self.note_answered(session, answered);
                }
                if let Some(peer) = self.sessions.get_mut(&session) {
                    peer.work.add(1, frame.len());
                    peer.outlet.push(frame, answered, part_of);
                }
                self.touch_session(session);
                if room == Err(NoRoom) {
                    self.cut(session);
                }
            }
            Action::Notify { session, notice } => self.notify(session, &notice),
            Action::Announce { session, line } => {
                if let Some(peer) = self.sessions.get_mut(&session) {
                    peer.outlet.announce(line);
                }
                self.touch_session(session);
            }
            Action::PauseSession { session } => {
                if let Some(peer) = self.sessions.get(&session) {
                    peer.valve.close();
                }
            }
            Action::ResumeSession { session } => {
                if let Some(peer) = self.sessions.get(&session) {
                    peer.valve.open();
                    if peer.visited.as_ref().is_some_and(|it| !it.held.is_empty()) {
                        self.unheld.push(session);
                    }
                }
            }
            Action::CloseSession { session } => self.close_session(session),
            Action::StartUpstream {
                upstream,
                on_behalf_of,
            } => self.start_process(upstream, on_behalf_of),
            Action::SendToUpstream { upstream, frame } => self.give_process(upstream, frame),
            Action::StopUpstream { upstream } => self.stop_process(upstream),
            Action::Record { upstream, record } => {
                if let Some(id) = self.process_of(upstream) {
                    self.records.insert(id, record);
                }
            }
            Action::EndDaemon => self.is_deserted = true,
            Action::KeepWords {
                upstream,
                class,
                era,
                words,
            } => self.keep_words(upstream, (class, era), words),
            Action::KeepFinding { upstream, refused } => self.keep_finding(upstream, refused),
            Action::AnswerAdmin { ticket, answer } => {
                if let Some(reply) = self.tickets.remove(&ticket) {
                    // Nobody may wait for it any more.
                    let _gone = reply.send(answer);
                }
            }
        }
    }

    /// Has kept what a server said of itself, and looked up anew what was kept of it before.
    fn keep_words(&mut self, upstream: UpstreamId, way: Way, words: Option<Arc<KeptWords>>) {
        if let Some((subject, started)) = self.subjects.get(&upstream) {
            self.openings.forget(&subject.route);
            self.around.keeper.keep(subject, way, words, *started);
        }
    }

    /// Of what is started it is found again, or kept with what it says.
    fn keep_finding(&self, upstream: UpstreamId, refused: Option<Era>) {
        let process = self.process_of(upstream);
        let process = process.and_then(|id| self.processes.get(&id));
        if let Some(url) = process.and_then(Process::common_url) {
            self.around.keeper.keep_finding(url, refused);
        }
    }

    fn stop_process(&mut self, upstream: UpstreamId) {
        let Some(id) = self.process_of(upstream) else {
            self.wait_no_longer(upstream);
            return;
        };
        if let Some(process) = self.processes.get_mut(&id) {
            process.closing = true;
        }
        self.touch_process(id);
        // A server that does not even read its last messages is not waited for any longer.
        self.stop_in_time(id, STOP_PATIENCE);
    }

    fn give_process(&mut self, upstream: UpstreamId, frame: Outgoing) {
        let Some(id) = self.process_of(upstream) else {
            return;
        };
        if let Some(process) = self.processes.get_mut(&id)
            && process.push(frame)
        {
            self.touch_process(id);
        }
    }

    fn notify(&mut self, session: SessionId, notice: &Notice) {
        if let Notice::Done(lines) = notice {
            self.note_done(session, lines);
        }
        if let Some(peer) = self.sessions.get_mut(&session) {
            match notice {
                Notice::Held(line) => peer.outlet.held(*line),
                Notice::Done(lines) => peer.outlet.done(lines),
            }
        }
        self.touch_session(session);
    }
}
