//! Ending what ended sessions have left behind.
//!
//! **Invariant:** a process is signalled only if it is, by number and start time, one that was found to
//! belong to an orphan and still belongs to one now.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sys::process_table::{Entry, Identity, everybody};

use super::report::Ended;
use crate::survey::{Known, Running, Survey};

/// How long they may take to end after they were asked to.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Ends these, if they are orphans still: first kindly.
pub(crate) fn end(found: &[Running], known: &Known) -> anyhow::Result<Ended> {
    let now = Survey::of(&crate::survey::take()?, known).orphans;
    let still: Vec<&Running> = now
        .iter()
        .filter(|orphan| found.iter().any(|before| before.root == orphan.root))
        .collect();
    let members = || still.iter().flat_map(|orphan| &orphan.members);
    for member in members() {
        member.signal(Signal::TERM);
    }
    let deadline = Instant::now() + PATIENCE;
    while members().any(|member| is_alive(*member)) && Instant::now() < deadline {
        thread::sleep(PAUSE);
    }
    // What they have started meanwhile belongs to them, too.
    for orphan in &still {
        for member in with_descendants(&orphan.members, &everybody()?) {
            member.signal(Signal::KILL);
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while members().any(|member| is_alive(*member)) && Instant::now() < deadline {
        thread::sleep(PAUSE);
    }
    let is_left = |orphan: &&&Running| orphan.members.iter().any(|member| is_alive(*member));
    let left = still.iter().filter(is_left).count();
    Ok(Ended {
        orphans: still.len() - left,
        left,
    })
}

fn is_alive(identity: Identity) -> bool {
    let all = everybody().unwrap_or_default();
    all.iter()
        .any(|entry| entry.identity == identity && !entry.zombie)
}

/// Those of these that still run, and all below them.
fn with_descendants(members: &[Identity], everybody: &[Entry]) -> Vec<Identity> {
    let mut children: BTreeMap<i32, Vec<Identity>> = BTreeMap::new();
    for entry in everybody {
        let parent = entry
            .parent
            .map_or(0, |parent| parent.as_raw_nonzero().get());
        children.entry(parent).or_default().push(entry.identity);
    }
    let runs = |member: &&Identity| everybody.iter().any(|entry| entry.identity == **member);
    let mut open: Vec<Identity> = members.iter().filter(runs).copied().collect();
    let mut all = Vec::new();
    while let Some(identity) = open.pop() {
        if !all.contains(&identity) {
            all.push(identity);
            let number = identity.pid.as_raw_nonzero().get();
            open.extend(children.get(&number).into_iter().flatten());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;

    use super::*;

    fn identity(pid: i32) -> Identity {
        Identity {
            pid: Pid::from_raw(pid).unwrap(),
            start_time: 1,
        }
    }

    fn entry(pid: i32, parent: i32) -> Entry {
        Entry {
            identity: identity(pid),
            parent: Pid::from_raw(parent),
            group: None,
            zombie: false,
        }
    }

    #[test]
    fn descendants_of_one_that_is_gone_are_not_looked_for() {
        let everybody = [entry(10, 1), entry(11, 10), entry(12, 11), entry(21, 20)];
        let mut all = with_descendants(&[identity(10), identity(20)], &everybody);
        all.sort_by_key(|identity| identity.pid.as_raw_nonzero());
        assert_eq!(all, [10, 11, 12].map(identity));
        let other_life = Identity {
            start_time: 2,
            ..identity(10)
        };
        assert!(with_descendants(&[other_life], &everybody).is_empty());
    }
}
