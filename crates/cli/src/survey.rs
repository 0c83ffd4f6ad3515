//! Which agent sessions run on this machine, which servers each has started, and what was left of others.
//!
//! A server over stdio is a process below that of its client that hears it over a pipe or a socket, which
//! what only starts it passes on to it. A language server does the same: what tells the one from the other
//! is its name, or that the configuration names it.
//!
//! **Invariants:** nothing is read of another user's processes but who their parent is; what is found is
//! what a [`Census`] says, so it can be tested without a machine.

mod agents;
mod census;
mod known;
mod memory;
#[cfg(target_os = "linux")]
#[path = "survey/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "survey/other.rs"]
mod system;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use config::CommandIdentity;
use sys::process_table::Identity;

pub(crate) use census::{Census, Process};
pub(crate) use known::{Known, behind_mcpool};
pub(crate) use memory::{Figures, figures};
pub(crate) use system::{path_of, take};

/// How far a search goes down from a client: deeper than any launcher of a launcher.
const DEPTH_MAX: usize = 12;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// The clients that have servers, by their process.
    pub(crate) sessions: Vec<Session>,
    /// Servers whose client is gone.
    pub(crate) orphans: Vec<Running>,
}

/// One client with servers of its own.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What the client is called.
    pub(crate) client: &'static str,
    pub(crate) pid: u32,
    /// The folder that it works in.
    pub(crate) folder: Option<PathBuf>,
    /// The servers that it has started itself.
    pub(crate) servers: Vec<Running>,
    /// How many of its servers it has through mcpool.
    pub(crate) pooled: usize,
}

/// One server that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) identity: CommandIdentity,
    /// The words it was started with.
    pub(crate) argv: Vec<String>,
    /// What the client has started, which may only have started the server.
    pub(crate) root: Identity,
    pub(crate) pid: u32,
    /// Where it runs.
    pub(crate) folder: Option<PathBuf>,
    /// The root and all that belongs to it, parents first.
    pub(crate) members: Vec<Identity>,
}

impl Survey {
    /// Finds clients, servers and orphans among the processes.
    pub(crate) fn of(census: &Census, known: &Known) -> Survey {
        let mut survey = Survey::default();
        for process in census.processes() {
            if let Some(client) = agents::name(&process.argv) {
                let mut session = Session {
                    client,
                    pid: process.pid,
                    folder: process.folder.clone(),
                    servers: Vec::new(),
                    pooled: 0,
                };
                census.servers_below(process, known, &mut vec![process], &mut session);
                if !session.servers.is_empty() || session.pooled > 0 {
                    survey.sessions.push(session);
                }
            }
        }
        let orphans = census.processes();
        survey.orphans = orphans
            .filter_map(|process| census.orphan(process, known))
            .collect();
        survey
    }

    /// Whether a server of that name runs, or has been left behind.
    pub(crate) fn has(&self, name: &str) -> bool {
        let of_sessions = self.sessions.iter().flat_map(|session| &session.servers);
        let mut all = of_sessions.chain(&self.orphans);
        all.any(|server| server.identity.name == name)
    }

    /// Leaves out all other servers, and sessions without any.
    pub(crate) fn keep(&mut self, is_meant: impl Fn(&Running) -> bool) {
        self.orphans.retain(&is_meant);
        for session in &mut self.sessions {
            session.servers.retain(&is_meant);
        }
        self.sessions.retain(|session| !session.servers.is_empty());
    }
}

impl Census {
    /// The folders in which clients work.
    fn folders_of_clients(&self) -> BTreeSet<&Path> {
        let clients = self.processes();
        let clients = clients.filter(|process| agents::name(&process.argv).is_some());
        clients
            .filter_map(|process| process.folder.as_deref())
            .collect()
    }

    /// Looks for what hears one of `above`: the client, and what it has started on the way down.
    fn servers_below<'a>(
        &'a self,
        parent: &'a Process,
        known: &Known,
        above: &mut Vec<&'a Process>,
        session: &mut Session,
    ) {
        if above.len() > DEPTH_MAX {
            return;
        }
        for child in self.children(parent.pid) {
            if agents::name(&child.argv).is_some() {
                // A session of its own.
                continue;
            }
            if child.is_shim() {
                session.pooled += 1;
                continue;
            }
            if child.is_our_mcp_proxy() {
                // A hook, which is called like a server.
                continue;
            }
            let is_spoken_to = above.iter().any(|speaker| self.hears(child, speaker));
            if let Some(server) = self.server(child, known).filter(|_| is_spoken_to) {
                session.servers.push(server);
            } else {
                above.push(child);
                self.servers_below(child, known, above, session);
                above.pop();
            }
        }
    }

    /// The server that a process is, or that it has started in its own place.
    fn server(&self, root: &Process, known: &Known) -> Option<Running> {
        if root.is_zombie {
            return None;
        }
        let members = self.tree(root.pid);
        // `sh`, `npx`, `uv` and what they start: the nearest that says what it is.
        let mut in_its_place = members
            .iter()
            .filter(|member| member.pid == root.pid || member.stands_in_for(root));
        let (said_by, identity) = in_its_place.find_map(|member| {
            let identity = config::identify(&member.argv)?;
            let is_server =
                identity.says_mcp || known.has(&identity) || agents::is_serving(&member.argv);
            is_server.then_some((member, identity))
        })?;
        Some(Running {
            identity,
            argv: said_by.argv.clone(),
            root: root.identity,
            pid: root.pid,
            folder: root.folder.clone(),
            members: members.iter().map(|member| member.identity).collect(),
        })
    }

    /// The server that this is, if its client is gone: it belongs to whoever takes in orphans, and
    /// nobody else holds the other end of its standard input.
    fn orphan(&self, process: &Process, known: &Known) -> Option<Running> {
        if !self.is_orphaned(process) {
            return None;
        }
        let server = self.server(process, known)?;
        let tree = self.tree(process.pid);
        // What has a client or a pool below it is in use, whoever started it.
        let is_in_use = |it: &&Process| it.is_of_mcpool() || agents::name(&it.argv).is_some();
        if tree.iter().any(is_in_use) {
            return None;
        }
        let members: BTreeSet<u32> = tree.iter().map(|it| it.pid).collect();
        self.is_unheard(process, &members).then_some(server)
    }
}
