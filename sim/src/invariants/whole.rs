//! What must hold of the whole, after each step.

use std::collections::BTreeMap;

use mux::{Moment, SessionId, SessionSnapshot, Snapshot, UpstreamSnapshot};

use crate::{
    model::Model,
    peers::Process,
    tally::{Kind, Tally},
};

use super::{Broken, Held, ensure};

impl Model {
    /// The whole, after a step.
    pub(crate) fn check_whole(&self, snapshot: &Snapshot, tally: &mut Tally) -> Held {
        let known: Vec<SessionId> = snapshot.sessions.iter().map(|session| session.id).collect();
        ensure!(
            known.iter().eq(self.sessions.keys()),
            "there are {known:?}, and not {:?}",
            self.sessions.keys()
        );
        let mut at = BTreeMap::new();
        for session in &snapshot.sessions {
            self.check_session(session)?;
            if let Some(upstream) = session.upstream {
                *at.entry(upstream).or_insert(0) += 1;
            }
        }
        for upstream in &snapshot.upstreams {
            tally.saw(Kind::State, upstream.state);
            self.check_upstream(upstream, at.get(&upstream.id).copied().unwrap_or_default())?;
        }
        let open: usize = snapshot
            .sessions
            .iter()
            .map(|session| session.in_flight)
            .sum();
        let sent: usize = snapshot
            .upstreams
            .iter()
            .map(|upstream| upstream.in_flight)
            .sum();
        let waiting = open.saturating_sub(sent);
        let most = self.limits.waiting + snapshot.sessions.len() + 1;
        ensure!(waiting <= most, "{waiting} requests wait");
        let mut live = self
            .servers
            .iter()
            .filter(|(_, server)| server.process != Process::None);
        let lost = live.find(|(id, _)| {
            !snapshot
                .upstreams
                .iter()
                .any(|upstream| upstream.id == **id)
        });
        let lost = lost.map(|(id, _)| id);
        ensure!(
            lost.is_none(),
            "{lost:?} has a process, and the core has forgotten it"
        );
        Ok(())
    }

    fn check_session(&self, session: &SessionSnapshot) -> Held {
        let model = &self.sessions[&session.id];
        let owed = model.owed.len();
        let has_batch = model.owed.values().any(|owed| owed.in_batch);
        let fits = if has_batch {
            session.in_flight <= owed
        } else {
            session.in_flight == owed
        };
        ensure!(
            fits,
            "{} waits for {owed} answers, and the core knows of {}",
            session.id,
            session.in_flight
        );
        ensure!(
            !model.is_served || session.upstream == model.upstream,
            "{} is at {:?}, and not at {:?}",
            session.id,
            session.upstream,
            model.upstream
        );
        Ok(())
    }

    fn check_upstream(&self, upstream: &UpstreamSnapshot, users: usize) -> Held {
        let server = self.servers.get(&upstream.id);
        let process = server.map_or(Process::None, |server| server.process);
        let fits = match process {
            Process::None => matches!(upstream.state, "stopped" | "backoff" | "failed"),
            Process::Starting => upstream.state == "starting",
            Process::Running => !matches!(
                upstream.state,
                "stopped" | "backoff" | "failed" | "starting"
            ),
            Process::Stopping => upstream.state == "draining",
        };
        ensure!(
            fits,
            "{} is {}, and its process is {process:?}",
            upstream.id,
            upstream.state
        );
        ensure!(
            upstream.sessions == users,
            "{} has {} sessions, and not {users}",
            upstream.id,
            upstream.sessions
        );
        Ok(())
    }

    /// Whoever shares a server may, and whoever may does.
    pub(crate) fn check_sharing(&self, id: SessionId) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        let Some(upstream) = session.upstream else {
            return Ok(());
        };
        let mut users = self.servers.get(&upstream).into_iter();
        let is_fresh = users.all(|server| server.users.iter().all(|user| *user == id));
        ensure!(
            is_fresh || session.key.alone.is_none(),
            "{id} is at {upstream}, which has served another alone"
        );
        let others = self.sessions.iter().filter(|(other, _)| **other != id);
        let attached = others.filter(|(_, other)| {
            other.upstream.is_some()
                && (other.is_served || other.owed.values().any(|owed| owed.message.is_hello()))
        });
        for (other_id, other) in attached {
            if session.key.joins || other.key.joins {
                let same_name =
                    session.key.name == other.key.name || other.upstream != Some(upstream);
                ensure!(same_name, "{id} and {other_id} share {upstream}");
                continue;
            }
            let may_share = session.key.shares_with(&other.key);
            let does_share = other.upstream == Some(upstream);
            ensure!(
                may_share || !does_share,
                "{id} and {other_id} share {upstream}"
            );
            let must = may_share && !self.is_private(&session.key);
            ensure!(
                does_share || !must,
                "{id} is at {upstream}, and {other_id} at {:?}",
                other.upstream
            );
        }
        Ok(())
    }

    /// Time is not lost: the next deadline lies ahead.
    pub(crate) fn check_deadline(&self, next: Option<Moment>) -> Held {
        ensure!(
            next.is_none_or(|next| next >= self.now),
            "a deadline has passed unseen"
        );
        Ok(())
    }
}
