//! What the kernel says of memory and of who descends from whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use anyhow::Context;

/// Memory that must stay free for all else, in MB.
const RESERVE_MB: u64 = 512;

/// How much memory a trial may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    available_mb: u64,
}

impl Room {
    /// What is available now, to the machine and to the control group of this process.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let machine = field_kb("/proc/meminfo", "MemAvailable:").context("reading free memory")?;
        let available_kb = group_room_kb().map_or(machine, |group| group.min(machine));
        Ok(Room {
            available_mb: available_kb / 1024,
        })
    }

    /// The most ballast that so many servers at once can hold, in MB each.
    pub(crate) fn ballast_mb_max(self, servers: usize) -> usize {
        let usable = self.available_mb.saturating_sub(RESERVE_MB);
        usize::try_from(usable).unwrap_or(usize::MAX) / servers.max(1)
    }
}

/// What the control groups above this process still allow; `None` without a limit.
fn group_room_kb() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let read = |folder: &Path, file: &str| -> Option<u64> {
        let text = fs::read_to_string(folder.join(file)).ok()?;
        text.trim().parse().ok()
    };
    Path::new("/sys/fs/cgroup")
        .join(own)
        .ancestors()
        .take_while(|folder| folder.starts_with("/sys/fs/cgroup"))
        .filter_map(|folder| {
            let (limit, used) = (read(folder, "memory.max")?, read(folder, "memory.current")?);
            Some(limit.saturating_sub(used) / 1024)
        })
        .min()
}

/// These processes and all that descend from them.
pub(super) fn with_descendants(roots: &[u32]) -> io::Result<BTreeSet<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // One that has just ended has no parent to speak of.
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut next: Vec<u32> = roots.to_vec();
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            next.extend(children.get(&pid).into_iter().flatten());
        }
    }
    Ok(found)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The proportional share of memory of all of them together.
pub(super) fn pss_kb(processes: &BTreeSet<u32>) -> anyhow::Result<u64> {
    processes
        .iter()
        .map(|pid| {
            field_kb(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
                .with_context(|| format!("reading the memory of process {pid}"))
        })
        .sum()
}

/// The number behind a word in one of the kernel's tables.
fn field_kb(path: &str, word: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .with_context(|| format!("{path} has no {word}"))?
        .parse()
        .with_context(|| format!("{word} in {path}"))
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn a_process_descends_from_its_parent() {
        let own = process::id();
        let parent = parent(own).unwrap();
        assert!(with_descendants(&[parent]).unwrap().contains(&own));
        assert!(!with_descendants(&[own]).unwrap().contains(&parent));
    }

    #[test]
    fn written_memory_is_seen() {
        let own = BTreeSet::from([process::id()]);
        let before = pss_kb(&own).unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = pss_kb(&own).unwrap();
        std::hint::black_box(&held);
        assert!(after > before + (48 << 10), "{before} kB, then {after} kB");
    }

    #[test]
    fn room_is_shared_among_the_servers_after_the_reserve() {
        let room = Room { available_mb: 2512 };
        assert_eq!(room.ballast_mb_max(10), 200);
        assert_eq!(Room { available_mb: 100 }.ballast_mb_max(10), 0);
    }
}
