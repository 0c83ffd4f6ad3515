//! What we expect of a world of both eras: who is owed what, who may hear what, what each server has seen.
//!
//! `hears` is told what reaches the core, and says what must come of it at once ([`Due`]); `to_session` and
//! `to_server` hold what the core does against all of it.
//!
//! **Invariant:** every message that was ever said has one entry that says because of whose request it was.

mod books;
mod hears;
mod kept;
mod promises;
mod refusals;
mod returns;
mod to_server;
mod to_session;
mod told;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use mux::{Action, Era, Fact, Limits, Moment, SessionId, Snapshot, UpstreamId};
use wire::Frame;

pub(crate) use books::*;
pub(crate) use hears::Answer;
pub(crate) use kept::{Memory, Told};

use crate::{
    invariants::{Broken, ensure},
    payload::{Mark, Owner},
    world::Held,
};

/// Everything that we expect.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) limits: Limits,
    pub(crate) now: Moment,
    /// Counts the events.
    pub(crate) tick: u64,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) servers: BTreeMap<UpstreamId, Server>,
    /// What was said, by the number of its mark.
    pub(crate) said: Vec<Said>,
    /// What of it others may be told.
    pub(crate) memory: Memory,
    /// What must come of the event that is being handled.
    pub(crate) due: Vec<Due>,
    /// Requests that servers were told to cancel just now.
    pub(crate) abandoned: Vec<(UpstreamId, u64)>,
    /// Every handle that any client was given.
    pub(crate) handles: BTreeSet<String>,
    /// When something last went wrong with a server of this name.
    pub(crate) troubled: BTreeMap<&'static str, u64>,
    pub(crate) is_shutting_down: bool,
    /// What was seen, for the tally.
    pub(crate) seen: Vec<Seen>,
}

impl Judge {
    pub(crate) fn new(limits: Limits) -> Self {
        Judge {
            limits,
            now: Moment(0),
            tick: 0,
            sessions: BTreeMap::new(),
            servers: BTreeMap::new(),
            said: Vec::new(),
            memory: Memory::default(),
            due: Vec::new(),
            abandoned: Vec::new(),
            handles: BTreeSet::new(),
            troubled: BTreeMap::new(),
            is_shutting_down: false,
            seen: Vec::new(),
        }
    }

    /// A name for a message that is about to be said.
    pub(crate) fn name(&mut self, owner: Owner, cause: Option<Mark>) -> Mark {
        let number = self.said.len();
        let mark = Mark { owner, number };
        self.said.push(Said {
            mark,
            at: self.now,
            shape: None,
            cause,
            words: String::new(),
            heard: BTreeSet::new(),
        });
        mark
    }

    /// What of a message must arrive as it is.
    pub(crate) fn is_worded(&mut self, mark: Mark, words: String) {
        self.said[mark.number].words = words;
    }

    pub(crate) fn saw(&mut self, seen: Seen) {
        self.seen.push(seen);
    }

    /// What the core tells.
    pub(crate) fn learn(&mut self, fact: &Fact) -> Held {
        #[expect(clippy::wildcard_enum_match_arm, reason = "actions show the others")]
        match fact {
            Fact::Contradiction { what } => {
                return Err(Broken(format!("the core contradicts itself: {what}")));
            }
            Fact::SessionRouted { session, upstream } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    let before = session.upstream.replace(*upstream);
                    if before.is_some_and(|before| before != *upstream) {
                        // Where it is now the lists may be others.
                        session.may_hear_of_lists();
                        let server = self.servers.get(upstream);
                        let changed_at = server.map(|server| server.changed_at);
                        let window = self.limits.change_window;
                        for (list, at) in changed_at.into_iter().flatten().enumerate() {
                            // What has changed there just now may be told to all together.
                            if at.is_some_and(|at| self.now <= at + window) {
                                session.may_hear_of(list);
                            }
                        }
                        if session.is_greeted {
                            self.saw(Seen::Moved);
                        }
                    }
                }
            }
            Fact::UpstreamRecalled { .. } => self.saw(Seen::Recalled),
            Fact::ListOutdated { upstream, .. } => {
                let sessions = self.sessions.values_mut();
                sessions
                    .filter(|session| session.upstream == Some(*upstream))
                    .for_each(Session::may_hear_of_lists);
                self.saw(Seen::ListOutdated);
            }
            Fact::UpstreamOfOtherEra { era, .. } => self.saw(match era {
                Era::Modern => Seen::TurnedToLegacy,
                Era::Legacy => Seen::TurnedToModern,
            }),
            Fact::UpstreamGreetingFailed { upstream, .. } => self.is_troubled(*upstream),
            _told => {}
        }
        Ok(())
    }

    /// Something is wrong with a server, which excuses much.
    pub(crate) fn is_troubled(&mut self, upstream: UpstreamId) {
        let name = self.servers.get(&upstream).map(|server| server.name);
        if let Some(name) = name {
            self.troubled.insert(name, self.tick);
        }
    }

    /// The core wants something done: may it?
    pub(crate) fn check(&mut self, action: &Action) -> Held {
        match action {
            Action::SendToSession { session, frame, .. } => {
                let text = String::from_utf8_lossy(&frame.to_vec()).into_owned();
                let frame = parsed(&text)?;
                self.check_to_session(*session, &frame, &text)
            }
            Action::SendToUpstream { upstream, frame } => {
                let text = String::from_utf8_lossy(&frame.to_vec()).into_owned();
                let frame = parsed(&text)?;
                self.check_to_server(*upstream, &frame, &text)
            }
            Action::CloseSession { session } => self.check_closed(*session),
            Action::StartUpstream {
                upstream,
                on_behalf_of,
            } => self.check_start(*upstream, *on_behalf_of),
            Action::StopUpstream { upstream } => {
                self.is_troubled(*upstream);
                let server = self.servers.get_mut(upstream);
                let process =
                    server.map(|server| std::mem::replace(&mut server.process, Process::Stopping));
                ensure!(
                    matches!(process, Some(Process::Starting | Process::Running)),
                    "{upstream} is stopped and is {process:?}"
                );
                Ok(())
            }
            Action::KeepWords {
                upstream, words, ..
            } => self.check_kept_words(*upstream, words.as_deref()),
            Action::Notify { .. }
            | Action::Announce { .. }
            | Action::PauseSession { .. }
            | Action::ResumeSession { .. }
            | Action::Record { .. }
            | Action::KeepFinding { .. }
            | Action::AnswerAdmin { .. }
            | Action::EndDaemon => Ok(()),
        }
    }

    fn check_closed(&mut self, id: SessionId) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Err(Broken(format!("{id} is closed twice")));
        };
        let waits: Vec<&String> = session.open.keys().collect();
        ensure!(waits.is_empty(), "{id} is closed and waits for {waits:?}");
        ensure!(
            session.parked.is_empty() || self.is_shutting_down,
            "{id} is closed, and its handles {:?} are good",
            session.parked.keys()
        );
        self.gone(id);
        Ok(())
    }

    fn check_start(&mut self, id: UpstreamId, on_behalf_of: SessionId) -> Held {
        let Some(session) = self.sessions.get(&on_behalf_of) else {
            return Err(Broken(format!(
                "{id} is started for {on_behalf_of}, which is gone"
            )));
        };
        let server = self
            .servers
            .entry(id)
            .or_insert_with(|| Server::new(session.name));
        ensure!(
            server.name == session.name,
            "{id} is started for a session of {}",
            session.name
        );
        ensure!(server.process == Process::None, "{id} is started twice");
        server.process = Process::Starting;
        server.class.get_or_insert(session.class);
        server.is_shared = session.is_shared;
        Ok(())
    }

    /// What had to come of an event has.
    pub(crate) fn check_due(&mut self) -> Held {
        let due = std::mem::take(&mut self.due);
        let missing = due.into_iter().find(|due| match due {
            Due::Cancelled(upstream, _) | Due::AskAnswered(upstream, _) => self
                .servers
                .get(upstream)
                .is_some_and(|server| server.process == Process::Running),
            Due::Answered(session, _)
            | Due::Hears(session, ..)
            | Due::HearsBehind(session, ..)
            | Due::Goes(session, _)
            | Due::Withdrawn(session, _) => self.sessions.contains_key(session),
        });
        if let Some(missing) = missing {
            return Err(Broken(format!("this did not happen: {missing:?}")));
        }
        self.check_abandoned()?;
        for session in self.sessions.values_mut() {
            let Some(hello) = session.turning.take() else {
                continue;
            };
            let still = session
                .open
                .values()
                .find(|open| open.request.era == Era::Modern);
            if session.was_turned_away {
                session.was_turned_away = false;
                continue;
            }
            ensure!(
                still.is_none(),
                "{} speaks with a handshake now ({hello}), and waits for {still:?}",
                session.id
            );
            session.era = Some(Era::Legacy);
            self.seen.push(Seen::FellBack);
        }
        Ok(())
    }

    pub(crate) fn settle_due(&mut self, due: &Due) -> bool {
        let at = self.due.iter().position(|known| known == due);
        at.map(|at| self.due.swap_remove(at)).is_some()
    }

    /// The whole, after a step.
    pub(crate) fn check_whole(&self, snapshot: &Snapshot) -> Held {
        for session in &snapshot.sessions {
            let known = self.sessions.get(&session.id);
            let owed = known.map_or(0, |known| known.open.len());
            ensure!(
                session.in_flight == owed,
                "{} waits for {owed} answers, and the core knows of {}",
                session.id,
                session.in_flight
            );
        }
        ensure!(
            snapshot.sessions.len() == self.sessions.len(),
            "there are {} sessions, and the core knows of {}",
            self.sessions.len(),
            snapshot.sessions.len()
        );
        let live = self
            .servers
            .iter()
            .filter(|(_, server)| server.process == Process::Running);
        let greeted: Vec<_> = live
            .filter(|(_, server)| server.greeted_at.is_some())
            .collect();
        for (at, (id, server)) in greeted.iter().enumerate() {
            let is_same = |other: &Server| {
                (other.name, other.class, other.era) == (server.name, server.class, server.era)
            };
            let twin = greeted[..at]
                .iter()
                .find(|(_, other)| is_same(other) && other.is_shared);
            let twin = twin.map(|(twin, _)| twin);
            ensure!(
                twin.is_none() || !server.is_shared,
                "{id} runs beside {twin:?}, which is the same"
            );
        }
        Ok(())
    }
}

/// A message as it is read.
pub(crate) fn parsed(text: &str) -> Result<Frame, Broken> {
    Frame::parse(bytes::Bytes::copy_from_slice(text.as_bytes()))
        .map_err(|fault| Broken(format!("this is no message ({fault}): {text}")))
}
