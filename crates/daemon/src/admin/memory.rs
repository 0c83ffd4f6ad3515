//! How much memory processes take, shared pages counted in proportion (PSS).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The proportional memory of one process, in KiB; `None` if it is gone or not ours to look at.
pub fn pss_kb(pid: u32) -> Option<u64> {
    rollup_pss(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn rollup_pss(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Who is whose child, and in whose process group, at one moment.
#[derive(Debug, Default)]
pub struct Tree {
    children: BTreeMap<u32, Vec<u32>>,
    groups: BTreeMap<u32, Vec<u32>>,
}

impl Tree {
    /// Looks at all processes.
    pub fn of_now() -> Self {
        let mut tree = Tree::default();
        let pids = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        for pid in pids {
            let stat = fs::read(format!("/proc/{pid}/stat"));
            if let Some((parent, group)) = stat.ok().as_deref().and_then(parent_and_group) {
                tree.children.entry(parent).or_default().push(pid);
                tree.groups.entry(group).or_default().push(pid);
            }
        }
        tree
    }

    /// The proportional memory of a server's process, of all below it, and of its process group,
    /// in KiB; `None` if nothing of it is there.
    pub(crate) fn pss_kb(&self, root: u32) -> Option<u64> {
        let sizes: Vec<u64> = self.members(root).into_iter().filter_map(pss_kb).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum())
    }

    /// A process, all below it, and its process group with all below that.
    pub fn members(&self, root: u32) -> BTreeSet<u32> {
        let mut members = BTreeSet::new();
        let mut open = vec![root];
        open.extend(self.groups.get(&root).into_iter().flatten());
        while let Some(pid) = open.pop() {
            if members.insert(pid) {
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        members
    }
}

/// Fields 4 and 5 of `/proc/PID/stat`.
fn parent_and_group(stat: &[u8]) -> Option<(u32, u32)> {
    let mut fields = sys::stat::fields(stat)?.skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_confuse_the_fields_behind_it() {
        let stat = b"17 (a) S 1 2 (x) y) S 4 5 6 7";
        assert_eq!(parent_and_group(stat), Some((4, 5)));
        assert_eq!(parent_and_group(b"17 (cut"), None);
    }

    #[test]
    fn a_tree_counts_children_and_the_process_group_once() {
        let tree = Tree {
            children: BTreeMap::from([(1, vec![2, 3]), (3, vec![4]), (9, vec![10])]),
            groups: BTreeMap::from([(1, vec![1, 2, 7])]),
        };
        assert_eq!(tree.members(1), BTreeSet::from([1, 2, 3, 4, 7]));
    }

    #[test]
    fn our_own_memory_is_more_than_nothing() {
        let own = std::process::id();
        assert!(Tree::of_now().pss_kb(own).unwrap() >= pss_kb(own).unwrap() / 2);
        assert_eq!(rollup_pss("Rss:  8 kB\nPss:    5 kB\n"), Some(5));
    }
}
