//! Everybody does what is expected, and at last everything ends.

use std::time::Duration;

use mux::{Exit, UpstreamId};

use crate::{
    invariants::{Broken, ensure},
    model::{Line, Session},
    payload::{Ident, Shape, URIS, asks, logs},
    peers::{Output, Process, Up},
    step::Replying,
    wish::Wish,
    world::{Held, TURNS, World},
};

/// Rounds after which a world that should be at rest is not.
const ROUNDS: usize = 2_000;

/// How long a request may take when everybody does what is expected.
const PATIENCE: Duration = Duration::from_secs(170);

impl World {
    /// Everybody does what is expected, until there is nothing left to do at this moment.
    pub(crate) fn settle(&mut self) -> Held {
        for client in &mut self.clients {
            client.is_stalled = false;
        }
        for peer in self.servers.values_mut() {
            peer.is_hung = false;
        }
        for _ in 0..ROUNDS {
            if self.is_late {
                self.ring()?;
            }
            if !self.carry_all()? && !self.serve_all()? && !self.reply_all() {
                return self.model.check_all_is_heard();
            }
        }
        Err(Broken("the world does not come to rest".to_owned()))
    }

    fn carry_all(&mut self) -> Result<bool, Broken> {
        let mut has_carried = false;
        // Links move when a peer goes, so each round looks at the list again.
        let mut turn = 0;
        loop {
            let links = self.busy_links();
            let Some(end) = links.get(turn % links.len().max(1)) else {
                return Ok(has_carried);
            };
            has_carried = true;
            self.carry_one(*end)?;
            self.perform()?;
            turn += 1;
            ensure!(turn < TURNS, "the links do not become empty");
        }
    }

    fn serve_all(&mut self) -> Result<bool, Broken> {
        let ids: Vec<UpstreamId> = self.servers.keys().copied().collect();
        let mut has_served = false;
        for id in ids {
            has_served |= self.serve(id)?;
            self.perform()?;
        }
        Ok(has_served)
    }

    fn serve(&mut self, id: UpstreamId) -> Result<bool, Broken> {
        let Some(peer) = self.servers.get_mut(&id) else {
            return Ok(false);
        };
        match peer.process {
            Process::None => return Ok(false),
            Process::Starting => return self.started(id).map(|()| true),
            Process::Stopping if peer.is_alive() => {
                peer.outbox.push_back(Output::Exit(Exit::Code(0)));
                return Ok(true);
            }
            Process::Stopping => return Ok(false),
            Process::Running => {}
        }
        if !peer.is_alive() {
            return Ok(false);
        }
        if let Some(minted) = peer.hello.take() {
            peer.is_greeted = true;
            let shape = Shape::Greeting {
                version: 3,
                declares: 0,
            };
            self.speak(id, shape, None, Ident::Number(minted), Ident::None);
            return Ok(true);
        }
        let mut has_worked = false;
        let mut at = 0;
        while let Some(work) = self
            .servers
            .get(&id)
            .and_then(|peer| peer.works.get(at))
            .copied()
        {
            let is_begun = work.progress > 0;
            let peer = &self.servers[&id];
            let open = &self.model.servers[&id].asks;
            // What it asked while it did not read may have no answer.
            let waits = peer.asked.iter().any(|question| {
                let is_open = question
                    .id
                    .id()
                    .is_some_and(|named| open.contains_key(&named));
                is_open && question.about.is_some() && question.about == work.mark
            });
            if is_begun && waits {
                at += 1;
                continue;
            }
            has_worked = true;
            if is_begun {
                self.answer_one(id, u8::try_from(at).unwrap_or_default(), Shape::Result);
                continue;
            }
            let peer = self.servers.get_mut(&id);
            if let Some(peer) = peer {
                peer.works[at].progress = 1;
            }
            if work.has_token {
                self.speak(
                    id,
                    Shape::Progress,
                    None,
                    Ident::None,
                    Ident::Number(work.minted),
                );
            }
            if let Some(Shape::Call(tool)) = work.shape {
                self.behave(id, tool, work.mark);
            }
        }
        Ok(has_worked)
    }

    /// What an honest server does in a call of a tool.
    fn behave(&mut self, id: UpstreamId, tool: u8, mark: Option<crate::payload::Mark>) {
        if logs(tool) {
            self.speak(id, Shape::Log(4), mark, Ident::None, Ident::None);
        }
        if asks(tool) {
            let named = self.fresh_ask_id(id);
            self.ask(id, mark, 8, named);
        }
    }

    fn reply_all(&mut self) -> bool {
        let waiting: Vec<usize> = (0..self.clients.len())
            .filter(|at| self.clients[*at].can_speak() && !self.clients[*at].asked.is_empty())
            .collect();
        for at in &waiting {
            let speakers = (0..*at).filter(|at| self.clients[*at].can_speak()).count();
            self.reply(
                u8::try_from(speakers).unwrap_or_default(),
                0,
                Replying::Result,
            );
        }
        !waiting.is_empty()
    }

    /// Ends the world: nothing may be owed, and nothing may be left.
    pub(crate) fn finish(&mut self) -> Held {
        self.settle()?;
        self.check()?;
        self.wait_for_answers()?;
        self.check_rest()?;
        for client in &mut self.clients {
            client.has_ended = true;
            client.up.push_back(Up::Close);
        }
        self.settle()?;
        self.wait_for_end()?;
        self.check_rest_of_books()?;
        if self.setting.idle_seconds.is_some() || self.is_shut_down {
            self.check_empty()?;
        }
        if !self.is_shut_down {
            self.shut_down()?;
            self.perform()?;
        }
        self.settle()?;
        self.check_empty()?;
        ensure!(
            self.mux().is_finished(),
            "everything has ended, and the core has not"
        );
        Ok(())
    }

    fn wait_for_answers(&mut self) -> Held {
        let latest = self.now() + PATIENCE;
        for _ in 0..TURNS {
            let owed = self
                .model
                .sessions
                .values()
                .flat_map(|session| session.owed.values());
            let owed = owed
                .filter(|owed| !owed.is_over)
                .map(|owed| owed.message)
                .next();
            let is_asked = self
                .model
                .servers
                .values()
                .any(|server| !server.asks.is_empty());
            let has_news = self
                .model
                .sessions
                .values()
                .filter(|session| {
                    session
                        .upstream
                        .is_some_and(|at| self.model.servers[&at].whole_since.is_some())
                })
                .any(|session| session.news.iter().any(|(_, must)| *must));
            let mut clients = self.clients.iter();
            let is_paused = clients.any(|client| client.is_paused && !client.is_closed);
            // A server that is down has it all wait for the next process.
            let is_down = |session: &&Session| {
                let server = session.upstream.and_then(|at| self.model.servers.get(&at));
                session.is_served && server.is_some_and(|server| server.whole_since.is_none())
            };
            let down = self.model.sessions.values().filter(is_down);
            let mut lines = down.flat_map(|session| session.lines.values());
            let is_held = lines.any(|line| matches!(line, Line::Held(_) | Line::Announcing(_)));
            let waits = owed.is_some() || is_asked || has_news || is_paused || is_held;
            if !waits && self.unanswered.is_empty() {
                return Ok(());
            }
            let next = self.next_deadline().filter(|next| *next <= latest);
            let Some(next) = next else {
                return Err(Broken(format!(
                    "everybody does what is expected, and this waits: {owed:?}, asks: {is_asked}, news: {has_news}, paused: {is_paused}, held: {is_held}, administrators: {:?}",
                    self.unanswered
                )));
            };
            self.model.now = self.now().max(next);
            self.ring()?;
            self.settle()?;
            self.check()?;
        }
        Err(Broken("everybody waits without end".to_owned()))
    }

    /// What must be so when everybody is at rest and still there.
    fn check_rest(&self) -> Held {
        for (id, session) in &self.model.sessions {
            let lines = session.lines.values();
            let untold = lines.filter(|line| **line != Line::Kept).count();
            ensure!(
                untold <= self.limits.untold_lines,
                "the shim of {id} was not told of {untold} lines: {:?}",
                session.lines
            );
        }
        let whole = self.model.servers.iter();
        let whole = whole.filter(|(_, server)| server.whole_since.is_some());
        for (id, _) in whole {
            let works = self.servers.get(id).map_or(0, |peer| peer.works.len());
            ensure!(works == 0, "{id} still works");
            self.check_wishes(*id)?;
        }
        Ok(())
    }

    /// A server tells what its sessions want to hear, and nothing else.
    fn check_wishes(&self, id: UpstreamId) -> Held {
        let Some(peer) = self.servers.get(&id) else {
            return Ok(());
        };
        let here = || {
            let sessions = self.model.sessions.values();
            sessions.filter(|session| session.upstream == Some(id))
        };
        for topic in URIS {
            let wish = |session: &Session| session.topics.get(topic).map_or(Some(false), Wish::now);
            let is_wanted = here().any(|session| wish(session) == Some(true));
            let is_unwanted = here().all(|session| wish(session) == Some(false));
            let tells = peer.topics.get(topic).copied().unwrap_or(Some(false));
            ensure!(
                !is_wanted || tells != Some(false),
                "{id} does not tell of {topic}, and somebody listens"
            );
            ensure!(
                !is_unwanted || tells != Some(true),
                "{id} tells of {topic}, and nobody listens"
            );
        }
        let levels: Vec<Option<u8>> = here().map(|session| session.level.now()).collect();
        let wanted = levels.iter().copied().min().flatten();
        let is_told = peer.level.is_none() || wanted.is_none() || peer.level == wanted;
        ensure!(
            is_told,
            "the log of {id} is at {:?}, and its sessions want {levels:?}",
            peer.level
        );
        Ok(())
    }

    fn wait_for_end(&mut self) -> Held {
        for _ in 0..ROUNDS {
            let Some(next) = self.next_deadline() else {
                return Ok(());
            };
            self.model.now = self.now().max(next);
            self.ring()?;
            self.settle()?;
            self.check()?;
        }
        Err(Broken(format!(
            "the core does not come to rest: {:?}",
            self.mux().next_deadline()
        )))
    }

    fn check_empty(&self) -> Held {
        let snapshot = self.mux().snapshot();
        ensure!(
            snapshot.sessions.is_empty() && snapshot.upstreams.is_empty(),
            "this is left: {snapshot:?}"
        );
        ensure!(
            self.servers.is_empty(),
            "these processes are left: {:?}",
            self.servers.keys()
        );
        ensure!(
            self.next_deadline().is_none(),
            "nothing is left, and the core waits for {:?}",
            self.mux().next_deadline()
        );
        ensure!(
            self.unanswered.is_empty(),
            "nobody answers {:?}",
            self.unanswered
        );
        Ok(())
    }
}
