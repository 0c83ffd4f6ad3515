//! The state of the pooler as `status` shows it.

use alloc::{string::String, sync::Arc, vec::Vec};

use crate::{
    class::Class,
    event::{Front, Scope},
    ids::{SessionId, UpstreamId},
    moment::Moment,
};

/// Everything that there is at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Running, starting and resting servers.
    pub upstreams: Vec<UpstreamSnapshot>,
    /// Clients.
    pub sessions: Vec<SessionSnapshot>,
}

/// One server.
#[derive(Clone, Debug)]
pub struct UpstreamSnapshot {
    /// Which.
    pub id: UpstreamId,
    /// Its configured name or label.
    pub server: Arc<str>,
    /// `stopped`, `starting`, `initializing`, `ready`, `unresponsive`, `draining`, `backoff` or `failed`.
    pub state: &'static str,
    /// How widely it is shared.
    pub scope: Scope,
    /// Why it is shared so.
    pub scope_reason: Arc<str>,
    /// Whose workspace it has.
    pub workspace: Option<Arc<str>>,
    /// What its sessions can do.
    pub class: Class,
    /// Sessions that use it or wait for it.
    pub sessions: usize,
    /// Requests that it owes an answer.
    pub in_flight: usize,
    /// Its asks that nobody knows the owner of yet.
    pub undecided: usize,
    /// How many times it was started again.
    pub restarts: u64,
    /// How often it has ended unasked since it last served well.
    pub deaths: u32,
    /// When it is started again, if it rests.
    pub retry_at: Option<Moment>,
    /// The version of the protocol that it speaks.
    pub version: Option<String>,
    /// Variables that look like credentials and that it was not given.
    pub withheld: Vec<Arc<str>>,
    /// Messages of it that went to nobody, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Lines on its standard output that were no message.
    pub faults: u64,
    /// Whether there were more of these of late than are tolerated.
    pub is_degraded: bool,
    /// Why it runs for one session only, though its scope is wider.
    pub private: Option<&'static str>,
}

/// One client.
#[derive(Clone, Debug)]
pub struct SessionSnapshot {
    /// Which.
    pub id: SessionId,
    /// Its server.
    pub server: Arc<str>,
    /// Where it came in.
    pub front: Front,
    /// Name and version, as it said in its `initialize`.
    pub client: Option<String>,
    /// Its workspace.
    pub workspace: Option<Arc<str>>,
    /// Since when.
    pub since: Moment,
    /// Requests that it waits for.
    pub in_flight: usize,
    /// Those of them that are at the server, or announced for it.
    pub at_server: usize,
    /// Messages of it that wait.
    pub held: usize,
    /// Bytes of these.
    pub held_bytes: usize,
    /// Questions of its server's that it has not answered.
    pub asks: usize,
    /// Whether it is not read for now: it has said too much, or has too much to read.
    pub is_paused: bool,
    /// The server that serves it.
    pub upstream: Option<UpstreamId>,
}
