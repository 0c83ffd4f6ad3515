//! Ending one server's whole tree.
//!
//! A tree is the server's process (its leader), all in the leader's process group, all
//! that descend from it, and all that carry its marker, orphans and leavers of the group included.
//!
//! ```text
//! Running ──stop──► Closing ──late──► Terminating ──late──► Killing ──► over
//!    └── leader ended ──┴── leader ended ──►┘   └── nobody left ────────►┘
//! ```
//!
//! **Invariant:** the leader is not reaped before the tree is over. While it is a zombie its
//! number is not given out again, so a signal to its group reaches that group or nobody.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sys::wait::Exit;

use sys::process_table::{Entry, Identity};

use crate::census::Census;
use crate::protocol::Patience;

/// From TERM to KILL for what a server leaves behind that ended without being asked.
const LEFT_OVERS_PATIENCE: Duration = Duration::from_secs(2);

/// How long KILL may take. Who is still there then is stuck in the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(3);

/// How soon to look again for what was forked while we killed.
const KILL_INTERVAL: Duration = Duration::from_millis(20);

/// One server's processes.
#[derive(Debug)]
pub(crate) struct Tree {
    leader: Identity,
    marker: Vec<u8>,
    /// How the leader ended, once it has.
    exit: Option<Exit>,
    phase: Phase,
    /// From TERM to KILL.
    term: Duration,
    /// Members once seen outside of the leader's group. When their parents are gone and they
    /// have no marker, this alone tells whose they are.
    outsiders: Vec<Identity>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Running,
    /// Its standard input is closed.
    Closing {
        until: Instant,
    },
    /// It got TERM.
    Terminating {
        until: Instant,
    },
    /// It gets KILL, again and again.
    Killing {
        until: Instant,
        next: Instant,
    },
}

/// What a look at a tree came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something of it runs.
    Lives,
    /// Nothing more will be done; how many are left although they were killed.
    Over { survivors: u32 },
}

impl Tree {
    pub(crate) fn new(leader: Identity, marker: Vec<u8>) -> Tree {
        Tree {
            leader,
            marker,
            exit: None,
            phase: Phase::Running,
            term: LEFT_OVERS_PATIENCE,
            outsiders: Vec::new(),
        }
    }

    pub(crate) fn leader(&self) -> Identity {
        self.leader
    }

    /// How the leader ended, once it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    pub(crate) fn leader_ended(&mut self, exit: Exit) {
        self.exit = Some(exit);
    }

    /// Begins to end the tree, or hurries what has begun, also if it is not known who is there.
    pub(crate) fn stop(&mut self, now: Instant, patience: Patience, census: Option<&Census>) {
        // While the leader lives, descent tells who belongs to it: keep that in mind.
        let _known_later = census.map(|census| self.members(census));
        self.phase = match self.phase {
            Phase::Running => {
                self.term = patience.term;
                Phase::Closing {
                    until: now + patience.eof,
                }
            }
            Phase::Closing { until } => {
                self.term = self.term.min(patience.term);
                Phase::Closing {
                    until: until.min(now + patience.eof),
                }
            }
            Phase::Terminating { until } => Phase::Terminating {
                until: until.min(now + patience.term),
            },
            Phase::Killing { until, next } => Phase::Killing { until, next },
        };
    }

    /// When to look at it again, even if nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Closing { until } => Some(until),
            Phase::Terminating { until } => Some(until),
            Phase::Killing { until, next } => Some(until.min(next)),
        }
    }

    /// Whether [`Tree::advance`] has something to do, for which it needs a census.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.exit.is_some() || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Does what is due. Children that have ended were reaped before, but for leaders.
    ///
    /// If it cannot be found out now who is there, it is still due afterwards.
    pub(crate) fn advance(&mut self, now: Instant, census: &Census) -> io::Result<Progress> {
        let members = self.members(census)?;
        let ended = self.exit.is_some();
        if ended && members.is_empty() && self.members(&Census::take()?)?.is_empty() {
            return Ok(Progress::Over { survivors: 0 });
        }
        self.phase = match self.phase {
            Phase::Running if ended => self.terminate(now, &members),
            Phase::Running => Phase::Running,
            Phase::Closing { until } if ended || until <= now => self.terminate(now, &members),
            Phase::Closing { until } => Phase::Closing { until },
            Phase::Terminating { until } if until <= now => {
                self.kill(now, now + KILL_PATIENCE, &members)
            }
            Phase::Terminating { until } => Phase::Terminating { until },
            Phase::Killing { until, .. } if until <= now => {
                return Ok(Progress::Over {
                    survivors: u32::try_from(members.len()).unwrap_or(u32::MAX),
                });
            }
            Phase::Killing { until, .. } => self.kill(now, until, &members),
        };
        Ok(Progress::Lives)
    }

    fn terminate(&self, now: Instant, members: &[Entry]) -> Phase {
        self.signal(Signal::TERM, members);
        Phase::Terminating {
            until: now + self.term,
        }
    }

    fn kill(&self, now: Instant, until: Instant, members: &[Entry]) -> Phase {
        self.signal(Signal::KILL, members);
        Phase::Killing {
            until,
            next: now + KILL_INTERVAL,
        }
    }

    /// Signals the group at once, so that nobody in it can fork away, then the others.
    fn signal(&self, signal: Signal, members: &[Entry]) {
        // Nobody in it is left: no error.
        let _ = rustix::process::kill_process_group(self.leader.pid, signal);
        for member in members.iter().filter(|member| self.is_outside(member)) {
            member.identity.signal(signal);
        }
    }

    /// Who of the tree is there, without a leader that has ended.
    fn members(&mut self, census: &Census) -> io::Result<Vec<Entry>> {
        let is_leader = |entry: &Entry| entry.identity.pid == self.leader.pid;
        let mut members = census.trees(|entry| {
            let is_known = is_leader(entry)
                || !self.is_outside(entry)
                || self.outsiders.contains(&entry.identity);
            if is_known {
                return Ok(true);
            }
            entry.identity.carries(|variable| variable == self.marker)
        })?;
        if self.exit.is_some() {
            members.retain(|member| !is_leader(member));
        }
        self.outsiders = members
            .iter()
            .filter(|member| self.is_outside(member))
            .map(|member| member.identity)
            .collect();
        Ok(members)
    }

    fn is_outside(&self, entry: &Entry) -> bool {
        entry.group != Some(self.leader.pid)
    }
}
