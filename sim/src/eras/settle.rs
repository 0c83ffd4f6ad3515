//! Everybody does what is expected, and at last everything ends.

use std::time::Duration;

use mux::{Era, UpstreamId};

use super::{
    judge::{Kind, Process, Server, Session},
    specs::{SPECS, Speaks},
    words::{self, LISTS, URIS},
    world::World,
};
use crate::{
    invariants::{Broken, ensure},
    world::Held,
};

/// Rounds after which a world that should be at rest is not.
const ROUNDS: usize = 2_000;

/// How long a request may take when everybody does what is expected.
const PATIENCE: Duration = Duration::from_mins(15);

impl World {
    /// Everybody does what is expected, until there is nothing left to do at this moment.
    pub(super) fn settle(&mut self) -> Held {
        self.read_on()?;
        for _ in 0..ROUNDS {
            if !self.serve_all()? && !self.reply_all()? {
                return Ok(());
            }
        }
        Err(Broken("the world does not come to rest".to_owned()))
    }

    fn serve_all(&mut self) -> Result<bool, Broken> {
        let ids: Vec<UpstreamId> = self.servers.keys().copied().collect();
        let mut has_served = false;
        for id in ids {
            has_served |= self.serve(id)?;
        }
        Ok(has_served)
    }

    fn serve(&mut self, id: UpstreamId) -> Result<bool, Broken> {
        let Some(peer) = self.servers.get(&id) else {
            return Ok(false);
        };
        let place = self.servers.keys().filter(|other| {
            **other < id
                && self.servers[*other].is_alive()
                && !self.servers[*other].inbox.is_empty()
        });
        let place = u8::try_from(place.count()).unwrap_or_default();
        match peer.process {
            Process::None => return Ok(false),
            Process::Starting => return self.started(id).map(|()| true),
            Process::Stopping => return self.exit_of(id).map(|()| true),
            Process::Running => {}
        }
        if !peer.inbox.is_empty() {
            self.take_in(place, 3);
            return Ok(true);
        }
        if peer.is_asked_first() && !peer.is_silent() {
            let before = self.servers.keys().filter(|other| {
                let other_peer = &self.servers[*other];
                **other < id && other_peer.is_asked_first() && !other_peer.is_silent()
            });
            let before = u8::try_from(before.count()).unwrap_or_default();
            return self.greet(before, 0).map(|()| true);
        }
        if !peer.unsaid.is_empty() {
            return self.acknowledge_one(id).map(|()| true);
        }
        // A call because of which its server asks waits for that.
        let asked: Vec<_> = peer.asked.iter().filter_map(|(_, cause)| *cause).collect();
        let ready = peer
            .works
            .iter()
            .position(|work| !work.is_because_of(&asked));
        match ready {
            Some(at) => self.answer_one(id, at, Kind::Result, 0).map(|()| true),
            None => Ok(false),
        }
    }

    fn reply_all(&mut self) -> Result<bool, Broken> {
        for at in 0..self.clients.len() {
            let before = self.clients[..at]
                .iter()
                .filter(|client| !client.down.is_empty());
            let place = u8::try_from(before.count()).unwrap_or_default();
            let client = &self.clients[at];
            if !client.down.is_empty() {
                self.read(place, 3);
                return Ok(true);
            }
            if client.can_speak() && !client.asked.is_empty() {
                let before = self.clients[..at].iter();
                let before = before.filter(|client| client.can_speak() && !client.asked.is_empty());
                let place = u8::try_from(before.count()).unwrap_or_default();
                self.reply(place, 0)?;
                return Ok(true);
            }
            if client.can_come_back() {
                self.come_back_well(at, 0, 0, 1)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the world: nothing may be owed, and nothing may be left.
    pub(super) fn finish(&mut self) -> Held {
        self.settle()?;
        self.wait_for_answers()?;
        self.check_rest()?;
        while self.clients.iter().any(|client| !client.is_closed) {
            self.leave(0)?;
        }
        self.settle()?;
        self.wait_for_end()?;
        self.check_rest_of_books()?;
        if self.setting().idle_seconds.is_some() || self.is_shut_down {
            self.check_empty()?;
        }
        self.shut_down()?;
        self.settle()?;
        self.wait_for_end()?;
        self.check_empty()?;
        ensure!(
            self.mux().is_finished(),
            "everything has ended, and the core has not"
        );
        Ok(())
    }

    /// What waits though everybody does what is expected.
    fn waits(&self) -> Option<String> {
        let sessions = || self.judge.sessions.values();
        let mut open = sessions().flat_map(|session| session.open.values());
        let open = open.find(|open| {
            open.wish
                .as_ref()
                .is_none_or(|wish| !wish.is_acknowledged())
        });
        if let Some(open) = open {
            return Some(format!("{:?}", open.request));
        }
        let mut servers = self.judge.servers.iter();
        let asks = servers.find(|(_, server)| !server.asks.is_empty());
        if let Some((id, server)) = asks {
            return Some(format!("{id} asks {:?}", server.asks));
        }
        let is_up = |session: &&Session| {
            let server = session.upstream.and_then(|id| self.judge.servers.get(&id));
            server.is_some_and(|server| server.greeted_at.is_some())
        };
        let mut wishes = sessions()
            .filter(is_up)
            .flat_map(|session| session.open.values());
        let news = wishes.find(|open| {
            let wish = open.wish.as_ref();
            wish.is_some_and(|wish| wish.news.iter().any(|(_, must)| *must))
        });
        news.map(|open| format!("a change for {:?}", open.request))
    }

    fn wait_for_answers(&mut self) -> Held {
        let latest = self.now() + PATIENCE;
        for _ in 0..ROUNDS {
            let Some(words) = self.waits() else {
                return Ok(());
            };
            let next = self.next_deadline().filter(|next| *next <= latest);
            let Some(next) = next else {
                return Err(Broken(format!(
                    "everybody does what is expected, and this waits: {words}"
                )));
            };
            self.ring_at(next)?;
            self.settle()?;
        }
        Err(Broken("everybody waits without end".to_owned()))
    }

    /// What must be so when everybody is at rest and still there.
    fn check_rest(&self) -> Held {
        for (id, server) in &self.judge.servers {
            if server.greeted_at.is_some() && server.process == Process::Running {
                self.check_wishes(*id, server)?;
            }
        }
        for session in self.judge.sessions.values() {
            self.check_era(session)?;
        }
        Ok(())
    }

    /// Who speaks to a server that speaks both speaks as it does: nothing has to be translated.
    fn check_era(&self, session: &Session) -> Held {
        let speaks_both = SPECS
            .iter()
            .any(|spec| spec.name == session.name && spec.speaks == Speaks::Both);
        let is_free = session.fixed.is_none()
            && !self.judge.troubled.contains_key(session.name)
            && !self.judge.was_found(session.name);
        let server = session.upstream.and_then(|id| self.judge.servers.get(&id));
        let era = server.and_then(|server| server.era.filter(|_| server.greeted_at.is_some()));
        ensure!(
            !speaks_both
                || !is_free
                || era.is_none()
                || session.era.is_none()
                || era == session.era,
            "{} speaks as of {:?}, and its server as of {era:?}",
            session.id,
            session.era
        );
        Ok(())
    }

    /// A server tells what its sessions want to hear, and nothing else.
    fn check_wishes(&self, id: UpstreamId, server: &Server) -> Held {
        let Some(peer) = self.servers.get(&id) else {
            return Ok(());
        };
        for (at, uri) in URIS.iter().enumerate() {
            let bit = LISTS.len() + at;
            let sessions = self.judge.sessions.values();
            let mut here = sessions.filter(|session| session.upstream == Some(id));
            if here
                .clone()
                .any(|session| session.topics.get(uri) == Some(&None))
            {
                continue;
            }
            let wants = |session: &Session| {
                let mut wishes = session.open.values().filter_map(|open| open.wish.as_ref());
                let is_subscribed = session.topics.get(uri) == Some(&Some(true));
                is_subscribed || wishes.any(|wish| wish.bits >> bit & 1 == 1)
            };
            let is_wanted = here.any(wants);
            let tells = if server.era == Some(Era::Modern) {
                let word = format!(r#""{uri}""#);
                peer.listens.values().any(|filter| filter.contains(&word))
            } else {
                peer.topics.get(*uri) == Some(&true)
            };
            ensure!(
                tells == is_wanted,
                "{id} tells of {uri}: {tells}; somebody wants it: {is_wanted}"
            );
        }
        if server.era == Some(Era::Modern) {
            ensure!(
                peer.listens.len() == 1,
                "{id} is listened to by {:?}",
                peer.listens
            );
            let lists = words::filter(0b101);
            let all = peer
                .listens
                .values()
                .all(|filter| filter.starts_with(lists.trim_end_matches('}')));
            ensure!(all, "{id} is listened to by {:?}", peer.listens);
        }
        Ok(())
    }

    fn wait_for_end(&mut self) -> Held {
        for _ in 0..ROUNDS {
            let Some(next) = self.next_deadline() else {
                return Ok(());
            };
            self.ring_at(next)?;
            self.settle()?;
        }
        Err(Broken(format!(
            "the core does not come to rest: {:?}",
            self.mux().next_deadline()
        )))
    }

    fn check_empty(&self) -> Held {
        let snapshot = self.mux().snapshot();
        ensure!(
            snapshot.sessions.is_empty()
                && snapshot.upstreams.is_empty()
                && self.servers.is_empty(),
            "this is left: {snapshot:?}, {:?}",
            self.servers
        );
        Ok(())
    }
}
