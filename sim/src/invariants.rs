//! What must hold: each thing that the core does, held against the model, and the whole after each step.

mod asks;
mod to_server;
mod to_session;
mod whole;

use mux::{Action, LineNumber, Notice, SessionId, UpstreamId};
use serde::Deserialize;
use wire::{Frame, Params};

use crate::{
    model::{Due, Line, Model},
    payload::Mark,
    peers::Process,
};

/// A promise that was broken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl Broken {
    /// The words without names and numbers: what is broken, not by whom.
    pub fn kind(&self) -> String {
        let words = self.0.lines().next().unwrap_or_default();
        let words = words.split_once('{').map_or(words, |(before, _)| before);
        words
            .chars()
            .filter(|letter| !letter.is_ascii_digit())
            .collect()
    }
}

macro_rules! ensure {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(Broken(format!($($words)*)));
        }
    };
}
pub(crate) use ensure;

type Held = Result<(), Broken>;

/// The error that the pooler itself answers with.
#[derive(Deserialize)]
struct OwnError<'a> {
    #[serde(borrow)]
    data: OwnData<'a>,
}

#[derive(Deserialize)]
struct OwnData<'a> {
    source: &'a str,
    reason: &'a str,
}

fn reason(frame: &Frame, error: &wire::Span) -> Result<String, Broken> {
    let text = frame.json(error);
    match serde_json::from_str::<OwnError<'_>>(text) {
        Ok(OwnError {
            data: OwnData {
                source: "mcpool",
                reason,
            },
        }) => Ok(reason.to_owned()),
        _foreign => Err(Broken(format!("an error that nobody sent: {text}"))),
    }
}

impl Model {
    /// The core wants something done: may it?
    pub(crate) fn check(&mut self, action: &Action) -> Held {
        match action {
            Action::SendToSession {
                session,
                frame,
                answered,
                part_of: _,
            } => self.check_sent_to_session(*session, frame, answered.as_ref()),
            Action::Notify { session, notice } => match notice {
                Notice::Held(line) => self.advance(*session, *line, false),
                Notice::Done(lines) => lines.iter().try_for_each(|line| self.done(*session, *line)),
            },
            Action::Announce { session, line } => self.advance(*session, *line, true),
            Action::PauseSession { session } | Action::ResumeSession { session } => {
                ensure!(
                    self.sessions.contains_key(session),
                    "{session} is gone and is paused or resumed"
                );
                Ok(())
            }
            Action::CloseSession { session } => {
                let known = self.sessions.get(session);
                ensure!(known.is_some(), "{session} is closed twice");
                let owed = known.into_iter().flat_map(|known| known.owed.values());
                let waits: Vec<Mark> = owed
                    .filter(|owed| !owed.is_over)
                    .map(|owed| owed.message.mark)
                    .collect();
                ensure!(
                    waits.is_empty(),
                    "{session} is closed and waits for {waits:?}"
                );
                self.gone(*session);
                Ok(())
            }
            Action::StartUpstream {
                upstream,
                on_behalf_of,
            } => self.check_start(*upstream, *on_behalf_of),
            Action::SendToUpstream { upstream, frame } => {
                self.check_sent_to_server(*upstream, frame)
            }
            Action::StopUpstream { upstream } => {
                let process = self.servers.get_mut(upstream).map(|server| {
                    server.whole_since = None;
                    std::mem::replace(&mut server.process, Process::Stopping)
                });
                ensure!(
                    matches!(process, Some(Process::Starting | Process::Running)),
                    "{upstream} is stopped and is {process:?}"
                );
                Ok(())
            }
            Action::Record { .. }
            | Action::KeepWords { .. }
            | Action::KeepFinding { .. }
            | Action::AnswerAdmin { .. }
            | Action::EndDaemon => Ok(()),
        }
    }

    /// What had to come of an event has.
    pub(crate) fn check_due(&mut self) -> Held {
        // A batch is answered as a whole.
        let due = std::mem::take(&mut self.due);
        let missing = due.into_iter().find(|due| match due {
            Due::Cancel(upstream, _)
            | Due::AskAnswered(upstream, _)
            | Due::Decided(upstream, _)
            | Due::Relayed(upstream, _) => self
                .servers
                .get(upstream)
                .is_some_and(|server| server.process == Process::Running),
            Due::Hear(session, _)
            | Due::Answered(session, _)
            | Due::InUse(session, _)
            | Due::Malformed(session, _)
            | Due::Withdrawn(session, _) => self.sessions.contains_key(session),
        });
        match missing {
            Some(missing) => Err(Broken(format!(
                "this did not happen: {missing:?}{}",
                self.words_of(&missing)
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn words_of(&self, due: &Due) -> String {
        if let Due::Hear(_, number) | Due::Decided(_, number) | Due::Relayed(_, number) = due {
            format!(" {:?}", self.said[*number].message)
        } else {
            String::new()
        }
    }

    pub(super) fn settle_due(&mut self, due: &Due) -> bool {
        let at = self.due.iter().position(|known| known == due);
        at.map(|at| self.due.swap_remove(at)).is_some()
    }

    pub(super) fn advance(
        &mut self,
        id: SessionId,
        line: LineNumber,
        is_announcement: bool,
    ) -> Held {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or_else(|| Broken(format!("{id} is gone and hears of {line}")))?;
        let from = session.lines.get(&line).copied();
        let to = match (is_announcement, from) {
            (false, Some(Line::Said | Line::Announced)) => Some(Line::Held(0)),
            (false, Some(Line::Announcing(left))) => Some(Line::Held(left)),
            // It went without a word, as it may go twice, and has come back unwritten.
            (false, Some(Line::Held(left))) => Some(Line::Held(left)),
            (true, Some(Line::Held(left))) => Some(Line::Announcing(left + 1)),
            _other => None,
        };
        let Some(to) = to.filter(|_| session.keeps) else {
            return Err(Broken(format!(
                "{id} hears that {line} waits or goes ({is_announcement}), and it is {from:?}"
            )));
        };
        session.lines.insert(line, to);
        Ok(())
    }

    pub(super) fn done(&mut self, id: SessionId, line: LineNumber) -> Held {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        let was = session.lines.remove(&line);
        ensure!(
            was.is_some() || !session.keeps,
            "{id} hears twice that {line} is done"
        );
        let open = session
            .owed
            .values()
            .any(|owed| owed.line == line && !owed.is_over);
        ensure!(
            !open,
            "{id} hears that {line} is done, and waits for its answer"
        );
        Ok(())
    }

    pub(super) fn check_start(&mut self, id: UpstreamId, on_behalf_of: SessionId) -> Held {
        let Some(session) = self.sessions.get(&on_behalf_of) else {
            return Err(Broken(format!(
                "{id} is started for {on_behalf_of}, which is gone"
            )));
        };
        // A joiner may have it started again, as what it was.
        let own = self.servers.get(&id).and_then(|server| server.key.clone());
        let key = own.unwrap_or_else(|| session.key.clone());
        let twin = self.servers.iter().find(|(other, server)| {
            let same = server.key.as_ref().is_some_and(|known| {
                known.name == key.name
                    && known.workspace == key.workspace
                    && known.class == key.class
                    && known.alone == key.alone
            });
            **other != id && same && server.process != Process::None
        });
        if let Some((twin, _)) = twin
            && !self.is_private(&key)
        {
            return Err(Broken(format!(
                "{id} is started beside {twin}, which is the same"
            )));
        }
        let server = self.servers.entry(id).or_default();
        ensure!(server.process == Process::None, "{id} is started twice");
        server.process = Process::Starting;
        server.key.get_or_insert(key);
        Ok(())
    }
}

fn named_request(params: &Params) -> Option<u64> {
    params
        .request_id
        .as_ref()
        .and_then(|(id, _)| id.as_number())
}
