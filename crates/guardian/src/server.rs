//! One server: its processes, and what the next daemon needs to go on with it.
//!
//! **Invariant:** our end of its standard input is closed as soon as it is to stop, or it would
//! never see the end of it.

use std::os::fd::OwnedFd;
use std::time::Instant;

use sys::wait::Exit;

use crate::census::Census;
use crate::protocol::{Held, Patience};
use crate::stop::Tree;

/// A server that was started and is not over.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) tree: Tree,
    /// The daemon's ends of its standard input, output and error; `None` once it is to stop, or
    /// has ended.
    pipes: Option<[OwnedFd; 3]>,
    /// What the daemon wants the next one to know.
    record: Vec<u8>,
}

impl Server {
    pub(crate) fn new(tree: Tree, pipes: [OwnedFd; 3]) -> Server {
        Server {
            tree,
            pipes: Some(pipes),
            record: Vec::new(),
        }
    }

    pub(crate) fn keep(&mut self, record: Vec<u8>) {
        self.record = record;
    }

    /// Begins to end it, or hurries what has begun.
    pub(crate) fn stop(&mut self, now: Instant, patience: Patience, census: Option<&Census>) {
        self.pipes = None;
        self.tree.stop(now, patience, census);
    }

    /// Its process has ended: nobody is handed its pipes any more, and to look who is left takes
    /// descriptors.
    pub(crate) fn leader_ended(&mut self, exit: Exit) {
        self.pipes = None;
        self.tree.leader_ended(exit);
    }

    /// What the next daemon is told, and the descriptors that it gets.
    ///
    /// One whose process has ended is on its way out: nobody can talk to it any more. The same
    /// goes for one whose pipes cannot be shared for want of descriptors.
    pub(crate) fn hand_over(&self, upstream: u64) -> (Held, Vec<OwnedFd>) {
        let pipes = self.pipes.as_ref();
        let fds: Vec<OwnedFd> = pipes
            .and_then(|pipes| pipes.iter().map(|pipe| pipe.try_clone().ok()).collect())
            .unwrap_or_default();
        let held = Held {
            upstream,
            pid: self.tree.leader().pid.as_raw_nonzero().get().unsigned_abs(),
            ending: fds.is_empty(),
            record: self.record.clone(),
        };
        (held, fds)
    }
}
