//! How much memory processes take: on Linux with shared pages counted in proportion (PSS).

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Pid;
use sys::process_table::{everybody, memory_kb};

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
        // A figure is missing then, rather than the whole status.
        for entry in everybody().unwrap_or_default() {
            let pid = number(entry.identity.pid);
            if let Some(parent) = entry.parent {
                tree.children.entry(number(parent)).or_default().push(pid);
            }
            if let Some(group) = entry.group {
                tree.groups.entry(number(group)).or_default().push(pid);
            }
        }
        tree
    }

    /// The proportional memory of a server's process, of all below it, and of its process group,
    /// in KiB; `None` if nothing of it is there.
    pub(crate) fn pss_kb(&self, root: u32) -> Option<u64> {
        let sizes: Vec<u64> = self
            .members(root)
            .into_iter()
            .filter_map(memory_kb)
            .collect();
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

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(Tree::of_now().pss_kb(own).unwrap() >= memory_kb(own).unwrap() / 2);
    }
}
