//! What `status` shows and what orders are answered with: one line of JSON over the socket.
//!
//! **Invariant:** `schema` grows by one when a member is taken away or changes its meaning; members
//! may be added at any time.

mod draft;
pub mod memory;

use std::{collections::BTreeMap, path::PathBuf};

use mux::AdminAnswer;
use serde::{Deserialize, Serialize};

pub(crate) use draft::{Draft, http};

/// The version of this interface.
pub const SCHEMA: u32 = 1;

/// What the daemon answers to an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It was done.
    Ok(Outcome),
    /// It was not; the text is for a person.
    Error(String),
    /// It was not, and what is in the way passes by itself; the text is for a person.
    Busy(String),
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// What there is.
    Status(Box<Status>),
    /// Upstreams were stopped and, where they have sessions, run again.
    Restarted {
        /// How many.
        upstreams: usize,
    },
    /// Another program goes on with everything.
    Upgraded(Upgraded),
    /// Everything has ended: servers, socket and lock are gone, and the daemon is about to be.
    Stopped {
        /// Always true.
        stopped: bool,
    },
}

/// What came of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgraded {
    /// The version of the program before.
    pub from: String,
    /// That of the program now, which may be the same.
    pub to: String,
    /// The daemon's program.
    pub program: PathBuf,
    /// Sessions that go on.
    pub sessions: usize,
    /// Processes of servers that go on.
    pub processes: usize,
    /// For how long nobody was heard, in milliseconds.
    pub pause_ms: u64,
}

/// Everything that there is at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The daemon itself; absent if none runs.
    pub daemon: Option<Daemon>,
    /// Running, starting and resting servers.
    pub upstreams: Vec<Upstream>,
    /// Clients.
    pub sessions: Vec<Session>,
    /// Servers that sessions run themselves, unshared, as they could have no daemon.
    #[serde(default)]
    pub direct: Vec<Direct>,
    /// What the same sessions would take beyond this, had each its own processes: an estimate.
    pub saved_kb: u64,
    /// What is wrong with the configuration file, if it cannot be used as it is now.
    pub config_error: Option<String>,
    /// How often each kind of thing has happened since the daemon began.
    pub counts: BTreeMap<String, u64>,
}

/// The daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its process id.
    pub pid: u32,
    /// Its software version.
    pub version: String,
    /// Where it listens.
    pub socket: String,
    /// How long it has run, in whole seconds.
    pub uptime_s: u64,
    /// Its proportional memory, in KiB.
    pub pss_kb: Option<u64>,
    /// The parent of the servers; absent while none was needed.
    pub guardian_pid: Option<u32>,
    /// The guardian's proportional memory, in KiB.
    pub guardian_pss_kb: Option<u64>,
    /// Lines that are in no log, because the disk was full or too slow.
    #[serde(default)]
    pub log_lines_lost: u64,
    /// Why no log can be written now.
    #[serde(default)]
    pub log_trouble: Option<String>,
    /// Tasks of the daemon that ended because of a fault of its own; its log says which.
    #[serde(default)]
    pub task_panics: u64,
    /// Where clients come in over HTTP.
    #[serde(default)]
    pub http: Http,
}

/// The daemon's front for clients that speak HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// Where it listens; none if it does not.
    pub addresses: Vec<String>,
    /// Those of them at which TLS is spoken.
    #[serde(default)]
    pub secure: Vec<String>,
    /// The server that is meant at one of these by who names none, where it was said which.
    #[serde(default)]
    pub servers: BTreeMap<String, String>,
    /// The unix socket where it listens, too.
    #[serde(default)]
    pub socket: Option<String>,
    /// Who may come in: `same-user`, `token` or `none`; absent where it is not wanted.
    pub auth: Option<String>,
    /// Why it listens nowhere, though it should.
    pub trouble: Option<String>,
    /// Where the configuration has the next daemon listen, if that is elsewhere by now; empty for nowhere.
    #[serde(default)]
    pub next: Option<Vec<String>>,
}

/// One running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// What it is called while it lives, for example `u3`.
    pub id: String,
    /// Its configured name or label.
    pub server: String,
    /// Its process id; absent while it has no process.
    pub pid: Option<u32>,
    /// Where it is, if it runs elsewhere, without what may be a secret.
    #[serde(default)]
    pub url: Option<String>,
    /// `stopped`, `starting`, `initializing`, `ready`, `unresponsive`, `draining`, `backoff` or `failed`.
    pub state: String,
    /// `global`, `workspace` or `session`.
    pub scope: String,
    /// Why its scope is what it is.
    pub scope_reason: String,
    /// Its workspace, if it has one.
    pub workspace: Option<String>,
    /// What its sessions' clients can do, by name.
    pub class: Vec<String>,
    /// How many sessions use it or wait for it.
    pub sessions: usize,
    /// How many requests it owes an answer.
    pub in_flight: usize,
    /// The proportional memory of its processes, in KiB.
    pub pss_kb: Option<u64>,
    /// How many times it was started again.
    pub restarts: u64,
    /// How often it has ended unasked since it last served well.
    pub deaths: u32,
    /// In how many seconds it is started again, if it rests.
    pub retry_in_s: Option<u64>,
    /// The version of the protocol that it speaks, once it has said so.
    pub protocol: Option<String>,
    /// Variables that look like credentials, that its clients have and that it was not given.
    pub withheld: Vec<String>,
    /// Messages of it that went to nobody, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Lines on its standard output that were no message.
    pub faults: u64,
    /// Whether there were more than a hundred of these within the last seconds.
    pub degraded: bool,
    /// Why it serves one session only, though its scope is wider.
    pub private: Option<String>,
}

/// One server that a session runs without the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Direct {
    /// What its session calls it.
    pub server: String,
    /// The process of the session.
    pub pid: u32,
    /// Since when, in seconds since 1970.
    pub since_unix_s: u64,
    /// Why there was no daemon.
    pub cause: String,
}

impl From<shim::direct::Direct> for Direct {
    fn from(direct: shim::direct::Direct) -> Self {
        let shim::direct::Direct {
            pid,
            since,
            server,
            cause,
        } = direct;
        Direct {
            server,
            pid,
            since_unix_s: since,
            cause,
        }
    }
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What it is called while it lives, for example `s12`.
    pub id: String,
    /// Its server.
    pub server: String,
    /// `stdio`, `cli`, `http` or `ws`.
    pub front: String,
    /// Name and version of the client, once it has said them.
    pub client: Option<String>,
    /// Its workspace, if it is bound to one.
    pub workspace: Option<String>,
    /// What its client calls it, if that has said so.
    #[serde(default)]
    pub session_key: Option<String>,
    /// How long it has been there, in whole seconds.
    pub age_s: u64,
    /// How many answers it waits for.
    pub in_flight: usize,
    /// Whether it is not read for now: too much of it waits here, or for it to read.
    pub paused: bool,
    /// The upstream that serves it.
    pub upstream: Option<String>,
}

impl Answer {
    /// The line that goes over the socket, with its end.
    pub(crate) fn to_line(&self) -> String {
        // Maps with text for keys are all that could fail, and do not.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

impl From<AdminAnswer> for Answer {
    fn from(answer: AdminAnswer) -> Self {
        match answer {
            AdminAnswer::Restarted { upstreams } => Answer::Ok(Outcome::Restarted { upstreams }),
            AdminAnswer::NothingRuns => Answer::Error(
                "no server of that name runs; `mcpool status` shows those that do".to_owned(),
            ),
            AdminAnswer::Failed { why } => Answer::Error(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line_and_reads_back_as_itself() {
        let status = Status {
            schema: SCHEMA,
            daemon: None,
            upstreams: Vec::new(),
            sessions: Vec::new(),
            direct: Vec::new(),
            saved_kb: 0,
            config_error: Some("two\nlines".to_owned()),
            counts: BTreeMap::from([("session-opened".to_owned(), 2)]),
        };
        for answer in [
            Answer::Ok(Outcome::Status(Box::new(status))),
            Answer::Ok(Outcome::Restarted { upstreams: 2 }),
            Answer::Ok(Outcome::Stopped { stopped: true }),
            Answer::Error("no".to_owned()),
            Answer::Busy("not now".to_owned()),
        ] {
            let line = answer.to_line();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
        }
    }

    #[test]
    fn the_words_around_an_answer_are_ok_and_error() {
        let stopped = Answer::Ok(Outcome::Stopped { stopped: true });
        assert_eq!(stopped.to_line(), "{\"ok\":{\"stopped\":true}}\n");
        let failed = Answer::Error("no".to_owned());
        assert_eq!(failed.to_line(), "{\"error\":\"no\"}\n");
    }
}
