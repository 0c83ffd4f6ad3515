//! A status as the hub knows it, before the memory of processes is counted.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use mux::{Moment, SessionId, SessionSnapshot, Snapshot, UpstreamId, UpstreamSnapshot};
use shim::direct::Locks;
use sys::process_table::memory_kb;

use super::{Daemon, Direct, Http, SCHEMA, Session, Status, Upstream, memory::Tree};
use crate::{front::Listening, logs::Lost, tasks};

/// Everything but the memory, which takes the kernel its time to count.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) snapshot: Snapshot,
    pub(crate) now: Moment,
    pub(crate) socket: PathBuf,
    pub(crate) direct: Locks,
    pub(crate) guardian: Option<u32>,
    /// The processes of those upstreams that have one.
    pub(crate) pids: BTreeMap<UpstreamId, u32>,
    /// What clients call their sessions.
    pub(crate) labels: BTreeMap<SessionId, Arc<str>>,
    /// Where those are that run elsewhere.
    pub(crate) places: BTreeMap<UpstreamId, String>,
    pub(crate) config_error: Option<String>,
    pub(crate) lost_logs: Lost,
    pub(crate) http: Listening,
    pub(crate) counts: BTreeMap<Cow<'static, str>, u64>,
}

impl Draft {
    /// Counts the memory. Slow: milliseconds per process.
    pub(crate) fn finish(self) -> Status {
        let tree = Tree::of_now();
        let upstreams: Vec<Upstream> = self
            .snapshot
            .upstreams
            .iter()
            .map(|upstream| self.upstream(upstream, &tree))
            .collect();
        let saved_kb = upstreams.iter().map(saved_by).sum();
        Status {
            schema: SCHEMA,
            daemon: Some(self.daemon()),
            upstreams,
            sessions: self
                .snapshot
                .sessions
                .iter()
                .map(|session| self.session(session))
                .collect(),
            direct: self.direct(),
            saved_kb,
            config_error: self.config_error,
            counts: self
                .counts
                .into_iter()
                .map(|(name, count)| (name.into_owned(), count))
                .collect(),
        }
    }

    fn direct(&self) -> Vec<Direct> {
        // Those of which nobody can tell whether they run are missing in the log, too.
        let running = self.direct.running().unwrap_or_default();
        running.into_iter().map(Direct::from).collect()
    }

    fn daemon(&self) -> Daemon {
        let pid = std::process::id();
        Daemon {
            pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: self.socket.display().to_string(),
            uptime_s: Duration::from_nanos(self.now.0).as_secs(),
            pss_kb: memory_kb(pid),
            guardian_pid: self.guardian,
            guardian_pss_kb: self.guardian.and_then(memory_kb),
            log_lines_lost: self.lost_logs.lines,
            log_trouble: self.lost_logs.trouble.clone(),
            task_panics: tasks::panics(),
            http: http(&self.http),
        }
    }

    fn upstream(&self, upstream: &UpstreamSnapshot, tree: &Tree) -> Upstream {
        let pid = self.pids.get(&upstream.id).copied();
        Upstream {
            id: upstream.id.to_string(),
            server: upstream.server.to_string(),
            pid,
            url: self.places.get(&upstream.id).cloned(),
            state: upstream.state.to_owned(),
            scope: upstream.scope.name().to_owned(),
            scope_reason: upstream.scope_reason.to_string(),
            workspace: upstream.workspace.as_deref().map(str::to_owned),
            class: upstream
                .class
                .names()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            sessions: upstream.sessions,
            in_flight: upstream.in_flight,
            pss_kb: pid.and_then(|pid| tree.pss_kb(pid)),
            restarts: upstream.restarts,
            deaths: upstream.deaths,
            retry_in_s: upstream.retry_at.map(|at| whole_seconds(at - self.now)),
            protocol: upstream.version.clone(),
            withheld: upstream.withheld.iter().map(ToString::to_string).collect(),
            dropped: upstream
                .dropped
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            faults: upstream.faults,
            degraded: upstream.is_degraded,
            private: upstream.private.map(str::to_owned),
        }
    }

    fn session(&self, session: &SessionSnapshot) -> Session {
        Session {
            id: session.id.to_string(),
            server: session.server.to_string(),
            front: session.front.name().to_owned(),
            client: session.client.clone(),
            workspace: session.workspace.as_deref().map(str::to_owned),
            session_key: self.labels.get(&session.id).map(ToString::to_string),
            age_s: (self.now - session.since).as_secs(),
            in_flight: session.in_flight,
            paused: session.is_paused,
            upstream: session.upstream.map(|upstream| upstream.to_string()),
        }
    }
}

/// Where clients come in over HTTP.
pub(crate) fn http(listening: &Listening) -> Http {
    let all = listening.addresses.iter();
    let servers = all.clone().filter_map(|listen| {
        let server = listen.server.as_ref()?;
        Some((listen.address.to_string(), server.to_string()))
    });
    let secure = all.clone().filter(|listen| listen.is_secure);
    let socket = listening.socket.as_ref();
    Http {
        servers: servers.collect(),
        secure: secure.map(|listen| listen.address.to_string()).collect(),
        addresses: all.map(|listen| listen.address.to_string()).collect(),
        socket: socket.map(|path| path.display().to_string()),
        auth: listening.auth.map(|auth| auth.as_str().to_owned()),
        trouble: listening.trouble.clone(),
        next: listening.next.clone(),
    }
}

/// So many that it is over then.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// What its sessions would take beyond one process, had each its own.
fn saved_by(upstream: &Upstream) -> u64 {
    let others = upstream.sessions.saturating_sub(1);
    upstream.pss_kb.unwrap_or(0) * u64::try_from(others).unwrap_or(0)
}
