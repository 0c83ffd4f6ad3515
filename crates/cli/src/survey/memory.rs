//! What a server's processes take.

use std::fs;

use serde::Serialize;
use sys::process_table::{Identity, memory_kb};

/// What several processes take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    pub(crate) processes: usize,
    /// Their proportional memory, in KiB.
    pub(crate) pss_kb: u64,
    /// How many files and folders they have the system watch.
    pub(crate) watches: usize,
}

impl std::iter::Sum for Figures {
    fn sum<I: Iterator<Item = Figures>>(all: I) -> Figures {
        all.fold(Figures::default(), |sum, figures| Figures {
            processes: sum.processes + figures.processes,
            pss_kb: sum.pss_kb + figures.pss_kb,
            watches: sum.watches + figures.watches,
        })
    }
}

/// What these take now; those that are gone take nothing.
pub(crate) fn figures(members: &[Identity]) -> Figures {
    let each = members.iter().filter_map(|member| {
        let pid = member.pid.as_raw_nonzero().get().unsigned_abs();
        Some(Figures {
            processes: 1,
            pss_kb: memory_kb(pid)?,
            watches: watches(pid),
        })
    });
    each.sum()
}

/// The files and folders that a process has the system watch.
fn watches(pid: u32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let texts = descriptors
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok());
    texts.map(|text| watches_in(&text)).sum()
}

/// The watches in what `/proc/PID/fdinfo` says of one descriptor: a line for each.
fn watches_in(text: &str) -> usize {
    let is_watch = |line: &&str| line.starts_with("inotify ") || line.starts_with("fanotify ino:");
    text.lines().filter(is_watch).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_counted_and_nothing_else() {
        let text = "pos:\t0\nflags:\t00\ninotify wd:2 ino:1 sdev:2 mask:fc6\ninotify wd:1 ino:3\n";
        assert_eq!(watches_in(text), 2);
        assert_eq!(watches_in("pos:\t0\nflags:\t02\n"), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_watch_is_seen() {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

        let own = Identity::of(rustix::process::getpid()).unwrap().unwrap();
        let before = figures(&[own]);
        let inotify = init(CreateFlags::CLOEXEC).unwrap();
        add_watch(&inotify, "/", WatchFlags::CREATE).unwrap();
        let after = figures(&[own]);
        assert_eq!((after.processes, after.watches), (1, before.watches + 1));
        assert!(after.pss_kb > 0);
    }
}
