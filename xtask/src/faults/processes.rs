//! What the kernel says of processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, pidfd_open, pidfd_send_signal, prlimit,
};

/// A process, told from a later one of the same number by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    begun: u64,
}

struct Stat {
    state: char,
    parent: u32,
    /// Processor time in ticks of 10 ms.
    ticks: u64,
    begun: u64,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Option<Process> {
        let begun = stat(pid)?.begun;
        Some(Process { pid, begun })
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        self.stat().is_some_and(|stat| stat.state != 'Z')
    }

    pub(crate) fn is_zombie(&self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'Z')
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(Ok(process)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
            return;
        };
        // Not another one that has the number by now.
        if self.is_alive() {
            // It may have ended just now.
            let _ = pidfd_send_signal(&process, signal);
        }
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Processor time so far, to the hundredth of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        self.stat().map_or(Duration::ZERO, |stat| {
            Duration::from_millis(10 * stat.ticks)
        })
    }

    /// Processor time since it was that much.
    pub(crate) fn processor_time_since(&self, before: Duration) -> Duration {
        self.processor_time().saturating_sub(before)
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, |files| files.count() as u64)
    }

    /// The lowest number that no descriptor of it has.
    pub(crate) fn lowest_free_descriptor(&self) -> u64 {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter();
        let names = files.flatten().flatten().map(|file| file.file_name());
        let taken: BTreeSet<u64> = names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect();
        // At the latest the first one behind all of them.
        let last = taken.last().map_or(0, |last| last + 1);
        (0..last)
            .find(|number| !taken.contains(number))
            .unwrap_or(last)
    }

    /// Sets one of its limits; nothing for as much as we may have ourselves.
    pub(crate) fn limit(&self, what: Resource, most: Option<u64>) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let maximum = getrlimit(what).maximum;
        let limit = Rlimit {
            current: most.or(maximum),
            maximum,
        };
        prlimit(pid, what, limit).context("setting a limit of another process")?;
        Ok(())
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> u64 {
        fs::read_dir(format!("/proc/{}/task", self.pid)).map_or(0, |tasks| tasks.count() as u64)
    }

    /// Resident memory of its own, in KiB.
    pub(crate) fn memory_kb(&self) -> u64 {
        self.kb_of("RssAnon")
    }

    /// The most resident memory that it has ever had, in KiB.
    pub(crate) fn peak_memory_kb(&self) -> u64 {
        self.kb_of("VmHWM")
    }

    fn kb_of(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(figure));
        line.and_then(|line| line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok())
            .unwrap_or(0)
    }

    fn stat(&self) -> Option<Stat> {
        stat(self.pid).filter(|stat| stat.begun == self.begun)
    }
}

/// A process and all that descend from it, parents first, zombies with them; empty if it does not run.
pub(crate) fn with_descendants(root: Process) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for (process, stat) in all() {
        children.entry(stat.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut next: Vec<Process> = Process::of(root.pid)
        .filter(|now| *now == root)
        .into_iter()
        .collect();
    while let Some(process) = next.pop() {
        found.push(process);
        next.extend(children.get(&process.pid).into_iter().flatten());
    }
    found
}

/// The processes, ours aside, that were started with this folder in their command line or environment.
pub(crate) fn of_folder(folder: &Path) -> Vec<Process> {
    let text = folder.as_os_str().as_encoded_bytes();
    let speaks_of_it = |pid: u32, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text)
    };
    let is_of_it = |(process, stat): (Process, Stat)| {
        let is_it = stat.state != 'Z'
            && process.pid != std::process::id()
            && (speaks_of_it(process.pid, "cmdline") || speaks_of_it(process.pid, "environ"));
        is_it.then_some(process)
    };
    all().into_iter().filter_map(is_of_it).collect()
}

/// For a person: what a process was started as.
pub(crate) fn command_line(process: &Process) -> String {
    let bytes = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Waits until it is so; how long that took, or nothing if it took longer than this.
pub(crate) fn until(patience: Duration, mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        if is_so() {
            return Some(begun.elapsed());
        }
        if begun.elapsed() > patience {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn all() -> Vec<(Process, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| {
        let stat = stat(pid)?;
        let begun = stat.begun;
        Some((Process { pid, begun }, stat))
    })
    .collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    Some(Stat {
        state: words.first()?.chars().next()?,
        parent: words.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)?,
        begun: number(19)?,
    })
}
