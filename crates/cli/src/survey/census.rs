//! The processes of one user at one moment, as values.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use sys::process_table::Identity;

use super::agents;

/// Programs that take in orphans; besides these, process 1 does.
const REAPERS: &[&str] = &[
    "systemd",
    "init",
    "tini",
    "dumb-init",
    "docker-init",
    "catatonit",
    "launchd",
    "upstart",
    "runit",
    "s6-svscan",
    "s6-supervise",
    "Relay",
];

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    pub(crate) pid: u32,
    /// 0 if that is outside of what we can see.
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) is_zombie: bool,
    /// The words it was started with, or what it says of itself.
    pub(crate) argv: Vec<String>,
    /// The file that it runs, whatever it is called; `None` if the system does not say.
    pub(crate) program: Option<PathBuf>,
    pub(crate) folder: Option<PathBuf>,
    /// The descriptors that it reads from, and those that it writes to: pipes and sockets, by their inodes.
    pub(crate) reads: BTreeSet<u64>,
    pub(crate) writes: BTreeSet<u64>,
    /// Which of these is its standard input, if that is one.
    pub(crate) stdin: Option<u64>,
    /// Which of them are sockets.
    pub(crate) sockets: BTreeSet<u64>,
    /// The pipes that it reads to which nobody can write any more, on this whole machine: the system says so.
    pub(crate) ended: BTreeSet<u64>,
}

impl Process {
    /// Where it may hear its client: its standard input, or anything that it reads, as the Python SDK
    /// puts its standard input elsewhere.
    fn inputs(&self) -> BTreeSet<u64> {
        match self.stdin {
            Some(inode) => BTreeSet::from([inode]),
            None => self.reads.clone(),
        }
    }

    /// Whether it is `mcpool connect`, or a session of mcpool that was called by the name of mcp-proxy.
    pub(crate) fn is_shim(&self) -> bool {
        agents::is_shim(&self.argv)
            || self.is_our_mcp_proxy() && agents::is_session_of_mcp_proxy(&self.argv)
    }

    /// Whether it is a process of ours, of whatever kind.
    pub(super) fn is_of_mcpool(&self) -> bool {
        agents::is_of_mcpool(&self.argv) || self.is_our_mcp_proxy()
    }

    /// Whether it is mcpool that was called by the name of mcp-proxy; there is another program of that name.
    pub(super) fn is_our_mcp_proxy(&self) -> bool {
        let file = self.program.as_deref().and_then(Path::file_name);
        let file = file.map(|file| file.to_string_lossy());
        // So the system says it of a file that has been replaced since.
        let is_ours = file.is_some_and(|file| {
            agents::is_program_of_ours(file.strip_suffix(" (deleted)").unwrap_or(&file))
        });
        is_ours && agents::is_called_mcp_proxy(&self.argv)
    }

    /// Whether it reads what another one has as its input, as a program does that it has started in its place.
    pub(super) fn stands_in_for(&self, other: &Process) -> bool {
        !self.reads.is_disjoint(&other.inputs())
    }
}

/// The other ends of sockets, by the inodes of the sockets.
type Peers = BTreeMap<u64, Option<u64>>;

/// All processes of a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    processes: BTreeMap<u32, Process>,
    children: BTreeMap<u32, Vec<u32>>,
    sockets: BTreeSet<u64>,
    /// The other end of each unix socket, see [`sys::unix_peers`]; `None` if the system does not say.
    peers: Option<Peers>,
}

impl Census {
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "elsewhere nobody says who runs")
    )]
    pub(crate) fn new(processes: Vec<Process>, peers: Option<Peers>) -> Census {
        let mut census = Census {
            peers,
            ..Census::default()
        };
        for process in processes {
            census
                .children
                .entry(process.parent)
                .or_default()
                .push(process.pid);
            census.sockets.extend(&process.sockets);
            census.processes.insert(process.pid, process);
        }
        census
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    pub(crate) fn get(&self, pid: u32) -> Option<&Process> {
        self.processes.get(&pid)
    }

    pub(super) fn children(&self, pid: u32) -> impl Iterator<Item = &Process> {
        let children = self.children.get(&pid).into_iter().flatten();
        children.filter_map(|child| self.processes.get(child))
    }

    /// A process, all below it and, if it leads a process group, all of that; parents first.
    pub(crate) fn tree(&self, root: u32) -> Vec<&Process> {
        let of_group = self
            .processes
            .values()
            .filter(|process| process.group == root && process.pid != root);
        let mut open: Vec<u32> = of_group.map(|process| process.pid).collect();
        open.push(root);
        let mut members = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(pid) = open.pop() {
            if let Some(process) = self.processes.get(&pid).filter(|_| seen.insert(pid)) {
                members.push(process);
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        members
    }

    /// Whether its parent is gone: it has been given to whoever takes in orphans.
    pub(super) fn is_orphaned(&self, process: &Process) -> bool {
        let is_reaper = |parent: &Process| {
            let program = parent.argv.first().map_or("", String::as_str);
            let program = program.rsplit('/').next().unwrap_or(program);
            REAPERS.contains(&program.trim_end_matches(':'))
        };
        process.parent == 1 || self.get(process.parent).is_some_and(is_reaper)
    }

    /// Whether this hears what that one says.
    pub(super) fn hears(&self, listener: &Process, speaker: &Process) -> bool {
        listener
            .inputs()
            .iter()
            .any(|inode| match self.other_end(*inode) {
                OtherEnd::OfPipe => speaker.writes.contains(inode),
                OtherEnd::Socket(peer) => speaker.writes.contains(&peer),
                OtherEnd::Closed => false,
                // Who is given a socket as its standard input is given it by who starts it.
                OtherEnd::Unknown => {
                    listener.stdin == Some(*inode) && speaker.pid == listener.parent
                }
            })
    }

    /// Whether it had somebody to hear, and has nobody any more: an input has no other end, and none has
    /// one at a process but these. Where that cannot be told somebody may be there: that we see nobody says
    /// nothing, as we do not see what other users' processes hold.
    pub(super) fn is_unheard(&self, process: &Process, members: &BTreeSet<u32>) -> bool {
        let speakers = |inode: u64| {
            let speak = self.processes.values();
            speak.filter(move |other| other.writes.contains(&inode))
        };
        let mut is_cut_off = false;
        for inode in process.inputs() {
            let end = match self.other_end(inode) {
                OtherEnd::OfPipe if process.ended.contains(&inode) => {
                    is_cut_off = true;
                    continue;
                }
                OtherEnd::Closed => {
                    is_cut_off = true;
                    continue;
                }
                OtherEnd::OfPipe => inode,
                OtherEnd::Socket(peer) => peer,
                OtherEnd::Unknown => continue,
            };
            if speakers(end).any(|speaker| !members.contains(&speaker.pid)) {
                return false;
            }
            if speakers(end).next().is_none() {
                // Somebody whom we do not see.
                return false;
            }
        }
        is_cut_off
    }

    fn other_end(&self, inode: u64) -> OtherEnd {
        // Pipes and sockets have different inodes, so that a pipe is none of the sockets.
        let is_socket = self.sockets.contains(&inode);
        match (
            is_socket,
            self.peers.as_ref().and_then(|peers| peers.get(&inode)),
        ) {
            (false, _) => OtherEnd::OfPipe,
            (true, Some(Some(peer))) => OtherEnd::Socket(*peer),
            (true, Some(None)) => OtherEnd::Closed,
            (true, None) => OtherEnd::Unknown,
        }
    }
}

/// What is at the other end of something that a process reads.
enum OtherEnd {
    /// Whoever writes to the same pipe.
    OfPipe,
    /// The socket of this inode.
    Socket(u64),
    /// A socket whose other end is closed.
    Closed,
    /// A socket of which the system does not say.
    Unknown,
}
