//! Who is below us: the processes that descend from the guardian.
//!
//! **Invariant:** where we could not look, that is an error, never an empty census.

use std::collections::BTreeSet;
use std::io;

use rustix::process::{Pid, WaitId, WaitIdOptions};
use sys::process_table::{Entry, everybody};

/// All that descend from this process, or all there are, as they were found one after the other.
///
/// It is no snapshot: who forks and ends at the right moment is in none. Two in a row
/// that find nobody are needed to believe it.
#[derive(Debug)]
pub(crate) struct Census {
    below: Vec<Entry>,
}

impl Census {
    pub(crate) fn take() -> io::Result<Census> {
        let me = Some(rustix::process::getpid());
        Ok(Census {
            below: with_descendants(&everybody()?, |entry| Ok(entry.parent == me))?,
        })
    }

    /// Of all processes, but for this one. Those of other users have no environment that we can read.
    pub(crate) fn take_everywhere() -> io::Result<Census> {
        let me = rustix::process::getpid();
        let mut below = everybody()?;
        below.retain(|entry| entry.identity.pid != me);
        Ok(Census { below })
    }

    /// Those that `root` is true for, and all that descend from them.
    pub(crate) fn trees(
        &self,
        root: impl Fn(&Entry) -> io::Result<bool>,
    ) -> io::Result<Vec<Entry>> {
        with_descendants(&self.below, root)
    }

    /// Everybody.
    pub(crate) fn below(&self) -> &[Entry] {
        &self.below
    }

    /// Reaps our children that have ended, but for those that `keep` is true for.
    pub(crate) fn reap(&mut self, keep: impl Fn(Pid) -> bool) {
        let me = Some(rustix::process::getpid());
        self.below.retain(|entry| {
            let ours = entry.zombie && entry.parent == me && !keep(entry.identity.pid);
            !(ours && reap(entry.identity.pid))
        });
    }
}

/// Reaps this child of ours, if it has ended; whether it had.
pub(crate) fn reap(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    matches!(
        rustix::process::waitid(WaitId::Pid(child), options),
        Ok(Some(_))
    )
}

fn with_descendants(
    entries: &[Entry],
    root: impl Fn(&Entry) -> io::Result<bool>,
) -> io::Result<Vec<Entry>> {
    let mut found = BTreeSet::new();
    for entry in entries {
        if root(entry)? {
            found.insert(number(entry.identity.pid));
        }
    }
    loop {
        // Numbers wrap, so a child may stand before its parent: repeat until nothing is new.
        let before = found.len();
        for entry in entries {
            if entry
                .parent
                .is_some_and(|parent| found.contains(&number(parent)))
            {
                found.insert(number(entry.identity.pid));
            }
        }
        if found.len() == before {
            break;
        }
    }
    let is_found = |entry: &&Entry| found.contains(&number(entry.identity.pid));
    Ok(entries.iter().filter(is_found).copied().collect())
}

/// A `Pid` has no order.
fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use sys::process_table::Identity;

    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    fn entry(number: i32, parent: i32) -> Entry {
        Entry {
            identity: Identity {
                pid: pid(number),
                start_time: 1,
            },
            parent: Pid::from_raw(parent),
            group: None,
            zombie: false,
        }
    }

    fn numbers(entries: &[Entry]) -> Vec<i32> {
        entries
            .iter()
            .map(|entry| number(entry.identity.pid))
            .collect()
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let entries = [
            entry(3, 9),
            entry(4, 3),
            entry(5, 1),
            entry(9, 8),
            entry(8, 1),
        ];
        let found = with_descendants(&entries, |entry| Ok(entry.identity.pid == pid(8)));
        assert_eq!(numbers(&found.unwrap()), [3, 4, 9, 8]);
    }
}
