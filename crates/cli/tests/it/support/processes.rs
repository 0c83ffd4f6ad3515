//! What the kernel says of processes.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process, told from a later one of the same number by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    begun: u64,
}

/// A process that has a socket, which nobody else has: what this process has open, children of other tests have for
/// moments as well.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn of(socket: impl Into<OwnedFd>) -> Self {
        let mut sleep = Command::new("sleep");
        Holder(sleep.arg("1000").stdin(socket.into()).spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stat {
    state: char,
    parent: u32,
    begun: u64,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let begun = stat(pid)?.begun;
        Some(Process { pid, begun })
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.begun == self.begun && stat.state != 'Z')
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid.cast_signed())
        {
            // It may have ended just now.
            let _ = kill_process(pid, signal);
        }
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }
}

/// A process and all that descend from it, parents first; empty if it does not run.
pub(crate) fn with_descendants(root: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(stat) = stat(pid)
        {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        found.extend(Process::of(pid));
        next.extend(children.get(&pid).into_iter().flatten());
    }
    found
}

/// `NAME=VALUE`, each, as it was when the process was started.
pub(crate) fn environment(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|variable| !variable.is_empty())
        .map(|variable| String::from_utf8_lossy(variable).into_owned())
        .collect()
}

/// The words that a process was started with.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The processor time that a process has used so far, in ticks of 10 ms.
pub(crate) fn processor_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = text.rsplit_once(") ").unwrap();
    let words = rest.split(' ').skip(11).take(2);
    words.map(|word| word.parse::<u64>().unwrap()).sum()
}

/// A figure of `/proc/PID/status`, in KiB.
pub(crate) fn memory_kb(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.unwrap().trim_matches([':', ' ', '\t', 'k', 'B']);
    figure.parse().unwrap()
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

pub(crate) fn folder(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).unwrap()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some(Stat {
        state: words.next()?.chars().next()?,
        parent: words.next()?.parse().ok()?,
        begun: words.nth(17)?.parse().ok()?,
    })
}
