//! The processes of one user at one moment, as values.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use sys::process_table::Identity;

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
    pub(crate) folder: Option<PathBuf>,
    /// Its standard input and output.
    pub(crate) stdio: [End; 2],
    /// The inodes of all pipes and sockets that it holds an end of.
    pub(crate) holds: BTreeSet<u64>,
}

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An end of the pipe of this inode.
    Pipe(u64),
    /// The socket of this inode.
    Socket(u64),
    /// A terminal, a file, nothing.
    Other,
}

impl End {
    /// Whether it has another end, which somebody may hold.
    pub(crate) fn is_of_two(&self) -> bool {
        match self {
            End::Pipe(_) | End::Socket(_) => true,
            End::Other => false,
        }
    }
}

/// All processes of a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    processes: BTreeMap<u32, Process>,
    children: BTreeMap<u32, Vec<u32>>,
    /// The other end of each connected unix socket; `None` if the system does not say.
    peers: Option<BTreeMap<u64, u64>>,
}

impl Census {
    pub(crate) fn new(processes: Vec<Process>, peers: Option<BTreeMap<u64, u64>>) -> Census {
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

    /// Whether nobody but these holds the other end of its standard input.
    ///
    /// Where that cannot be told somebody may.
    pub(super) fn is_unheard(&self, process: &Process, members: &BTreeSet<u32>) -> bool {
        let is_held_by_others = |inode: u64| {
            self.processes
                .values()
                .any(|other| !members.contains(&other.pid) && other.holds.contains(&inode))
        };
        match process.stdio[0] {
            End::Pipe(inode) => !is_held_by_others(inode),
            End::Socket(inode) => self.peers.as_ref().is_some_and(|peers| {
                !peers
                    .get(&inode)
                    .is_some_and(|peer| is_held_by_others(*peer))
            }),
            End::Other => false,
        }
    }
}
