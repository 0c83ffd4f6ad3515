//! What is shown: sessions, servers with a verdict each, orphans, and the sum.

use std::path::PathBuf;

use serde::Serialize;
use shim::workspace;

use super::{
    signals::{Copy, Group},
    verdict::{self, Verdict},
};
use crate::survey::{Figures, Running, Survey, figures};

/// The version of this interface; it grows when a member is taken away or changes its meaning.
const SCHEMA: u32 = 1;

/// What the process takes that stands before a server for each session, in KiB, measured with five of them.
const SHIM_KB: u64 = 400;

/// What the daemon and its guardian take, in KiB, and how many processes they are.
const DAEMON_KB: u64 = 7_000;
const DAEMON_PROCESSES: usize = 2;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    pub(super) sessions: Vec<Session>,
    pub(super) servers: Vec<Server>,
    pub(super) orphans: Vec<Orphan>,
    /// What all servers take now that sessions have started themselves.
    pub(super) now: Figures,
    /// What they would take with the verdicts; an estimate.
    pub(super) with_mcpool: Estimate,
    /// What became of the orphans, if they were to be ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Ended>,
}

/// One client.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    pub(super) client: &'static str,
    pub(super) pid: u32,
    pub(super) workspace: Option<PathBuf>,
    /// Servers that it has started itself.
    pub(super) servers: usize,
    /// Servers that it has through mcpool.
    pub(super) pooled: usize,
}

/// One server with all of its copies.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) sessions: usize,
    pub(super) workspaces: usize,
    pub(super) copies: Vec<OneCopy>,
    pub(super) now: Figures,
    pub(super) with_mcpool: Estimate,
    /// What a copy takes that has just started, in KiB; absent unless it was tried.
    pub(super) after_start_kb: Option<u64>,
    /// How long a copy takes to answer its first request; absent unless it was tried.
    pub(super) ready_ms: Option<u64>,
    /// Whether it asks for roots; absent unless it was tried.
    pub(super) asks_for_roots: Option<bool>,
}

/// One copy of a server.
#[derive(Debug, Serialize)]
pub(super) struct OneCopy {
    pid: u32,
    client_pid: u32,
    #[serde(flatten)]
    now: Figures,
}

/// A server whose client is gone.
#[derive(Debug, Serialize)]
pub(super) struct Orphan {
    pub(super) name: String,
    pub(super) pid: u32,
    #[serde(flatten)]
    pub(super) now: Figures,
}

/// What something would take.
#[derive(Clone, std::marker::Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Estimate {
    pub(super) processes: usize,
    pub(super) pss_kb: u64,
}

/// What became of orphans that were to be ended.
#[derive(Clone, std::marker::Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Ended {
    /// How many were ended with everything below them.
    pub(crate) orphans: usize,
    /// How many are there still.
    pub(crate) left: usize,
}

impl Report {
    pub(crate) fn of(survey: &Survey, groups: &[Group]) -> Report {
        let servers: Vec<Server> = groups.iter().map(Server::of).collect();
        let now = servers.iter().map(|server| server.now).sum();
        let mut with_mcpool = servers
            .iter()
            .fold(Estimate::default(), |sum, server| Estimate {
                processes: sum.processes + server.with_mcpool.processes,
                pss_kb: sum.pss_kb + server.with_mcpool.pss_kb,
            });
        let has_pool = survey.sessions.iter().any(|session| session.pooled > 0);
        let is_moved = |server: &Server| server.verdict != Verdict::LeaveOnStdio;
        if !has_pool && servers.iter().any(is_moved) {
            with_mcpool.processes += DAEMON_PROCESSES;
            with_mcpool.pss_kb += DAEMON_KB;
        }
        Report {
            schema: SCHEMA,
            sessions: survey.sessions.iter().map(Session::of).collect(),
            servers,
            orphans: survey.orphans.iter().map(Orphan::of).collect(),
            now,
            with_mcpool,
            ended: None,
        }
    }

    pub(crate) fn with_ended(mut self, ended: Option<Ended>) -> Self {
        self.ended = ended;
        self
    }
}

impl Session {
    fn of(session: &crate::survey::Session) -> Session {
        let folder = session.folder.as_deref();
        Session {
            client: session.client,
            pid: session.pid,
            workspace: folder.and_then(workspace::around),
            servers: session.servers.len(),
            pooled: session.pooled,
        }
    }
}

impl Server {
    fn of(group: &Group) -> Server {
        let signals = &group.signals;
        let (verdict, reason) = verdict::of(signals);
        let millis = |after: std::time::Duration| u64::try_from(after.as_millis());
        Server {
            name: group.name.clone(),
            verdict,
            reason,
            sessions: signals.sessions,
            workspaces: signals.workspaces,
            copies: group.copies.iter().map(OneCopy::of).collect(),
            now: signals.now,
            with_mcpool: estimate(group, verdict),
            after_start_kb: signals.after_start_kb,
            ready_ms: signals.ready_after.and_then(|after| millis(after).ok()),
            asks_for_roots: signals.asks_for_roots,
        }
    }
}

impl OneCopy {
    fn of(copy: &Copy) -> OneCopy {
        OneCopy {
            pid: copy.running.pid,
            client_pid: copy.client_pid,
            now: copy.now,
        }
    }
}

impl Orphan {
    fn of(running: &Running) -> Orphan {
        Orphan {
            name: running.identity.name.clone(),
            pid: running.pid,
            now: figures(&running.members),
        }
    }
}

/// What a server would take: as many copies as the verdict leaves, and a shim for each session.
fn estimate(group: &Group, verdict: Verdict) -> Estimate {
    let signals = &group.signals;
    let kept = match verdict {
        Verdict::SharePerUser => 1,
        Verdict::SharePerWorkspace => signals.workspaces.min(signals.copies),
        Verdict::KeepPerSession | Verdict::LeaveOnStdio => signals.copies,
    };
    let shims = match verdict {
        Verdict::LeaveOnStdio => 0,
        Verdict::SharePerUser | Verdict::SharePerWorkspace | Verdict::KeepPerSession => {
            signals.copies
        }
    };
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    // What starts a copy (`npx`, `sh`) stays below mcpool, too.
    let per_copy = signals.now.processes.div_ceil(signals.copies.max(1));
    Estimate {
        processes: kept * per_copy + shims,
        pss_kb: signals.now.pss_kb * count(kept) / count(signals.copies).max(1)
            + count(shims) * SHIM_KB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::signals::Signals;

    fn group(copies: usize, workspaces: usize) -> Group {
        Group {
            name: "server".into(),
            copies: Vec::new(),
            signals: Signals {
                copies,
                sessions: copies,
                workspaces,
                now: Figures {
                    processes: 3 * copies,
                    pss_kb: 90_000 * u64::try_from(copies).unwrap(),
                    watches: 0,
                },
                ..Signals::usual()
            },
        }
    }

    #[test]
    fn what_is_left_is_counted_with_what_stands_in_its_place() {
        let group = group(4, 2);
        for (verdict, processes, pss_kb) in [
            (Verdict::SharePerUser, 3 + 4, 90_000 + 4 * SHIM_KB),
            (Verdict::SharePerWorkspace, 6 + 4, 180_000 + 4 * SHIM_KB),
            (Verdict::KeepPerSession, 12 + 4, 360_000 + 4 * SHIM_KB),
            (Verdict::LeaveOnStdio, 12, 360_000),
        ] {
            let expected = Estimate { processes, pss_kb };
            assert_eq!(estimate(&group, verdict), expected, "{verdict:?}");
        }
    }

    #[test]
    fn the_daemon_counts_only_where_something_moves_to_it() {
        let report = Report::of(&Survey::default(), &[group(4, 1)]);
        assert_eq!(report.with_mcpool.processes, 3 + 4 + DAEMON_PROCESSES);
        let report = Report::of(&Survey::default(), &[group(1, 1)]);
        assert_eq!(
            report.with_mcpool,
            Estimate {
                processes: 3,
                pss_kb: 90_000
            }
        );
    }
}
