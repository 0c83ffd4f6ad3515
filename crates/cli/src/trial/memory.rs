//! The memory of a trial: how much there is, and how much it takes.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context;
use daemon::admin::memory::Tree;
use sys::process_table::memory_kb;

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
        let machine = sys::machine::available_kb().context("reading free memory")?;
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
pub(super) fn with_descendants(roots: &[u32]) -> BTreeSet<u32> {
    let tree = Tree::of_now();
    roots.iter().flat_map(|root| tree.members(*root)).collect()
}

/// The proportional share of memory of all of them together.
pub(super) fn pss_kb(processes: &BTreeSet<u32>) -> anyhow::Result<u64> {
    processes
        .iter()
        .map(|pid| memory_kb(*pid).with_context(|| format!("reading the memory of process {pid}")))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn a_process_descends_from_its_parent() {
        let own = process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(with_descendants(&[parent]).contains(&own));
        assert!(!with_descendants(&[own]).contains(&parent));
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
