//! The guardian's loop: one poll, then everything that has happened.
//!
//! **Invariant:** nothing in it waits for anybody: not for the daemon, which may have died,
//! and not for a server, which may hang.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use sys::signals::Signals;

use crate::census::{self, Census};
use crate::outbox::Outbox;
use crate::protocol::{Command, Patience, Receiver, Report, Spawn};
use crate::spawn::{self, Failure};
use crate::stop::{Progress, Tree};

/// What servers get when nobody is there any more to say how long they may take.
const ALONE: Patience = Patience {
    eof: Duration::from_secs(1),
    term: Duration::from_millis(1500),
};

/// How long the last sweep, and the last reports, may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// How soon to look again during the last sweep.
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// Serves the daemon at the other end of `socket`, until it is told to end, or the daemon is
/// gone, or TERM or INT arrives; then nothing is left that it started.
///
/// It makes the whole process the guardian: call it on the main thread, with no other
/// thread running and nothing else to do afterwards. It fails, in words on standard error,
/// if the process cannot be set up or the daemon talks nonsense.
pub fn run(socket: OwnedFd) -> ExitCode {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    sys::memory::economise();
    let served = set_up(socket).and_then(Guardian::serve);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell, and perhaps nobody reads.
            let _ = writeln!(io::stderr(), "mcpool guardian: {error}");
            ExitCode::FAILURE
        }
    }
}

fn set_up(socket: OwnedFd) -> io::Result<Guardian> {
    // Fails only for the leader of a group, which has no terminal to lose either.
    let _ = rustix::process::setsid();
    rustix::thread::set_name(c"mcpool-guardian")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(Guardian {
        socket,
        signals: Signals::watch(&[Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP])?,
        receiver: Receiver::default(),
        outbox: Outbox::default(),
        trees: BTreeMap::new(),
        daemon: Daemon::Listening,
        ending: false,
    })
}

#[derive(Debug)]
struct Guardian {
    socket: OwnedFd,
    signals: Signals,
    receiver: Receiver,
    outbox: Outbox,
    trees: BTreeMap<u64, Tree>,
    daemon: Daemon,
    ending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    Listening,
    Gone,
}

impl Guardian {
    fn serve(mut self) -> io::Result<()> {
        let mut trouble = None;
        while !(self.ending && self.trees.is_empty()) {
            self.wait(self.interest(), self.timeout())?;
            self.heed_signals()?;
            if let Err(error) = self.take_commands() {
                // What comes next on this socket cannot be understood.
                trouble = Some(error);
                self.lose_daemon();
            }
            self.look_after_trees()?;
            self.outbox.flush(self.socket.as_fd());
            if self.outbox.is_broken() {
                self.lose_daemon();
            }
            // Environments are large, and the next event may be days away.
            sys::memory::give_back();
        }
        self.sweep()?;
        self.say_farewell()?;
        trouble.map_or(Ok(()), Err)
    }

    /// Sleeps until a signal arrives, the socket is ready for `interest`, or time is up.
    fn wait(&self, interest: PollFlags, timeout: Option<Duration>) -> io::Result<()> {
        let mut fds = [
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.socket, interest),
        ];
        // A socket without a peer is always ready, even if nothing is asked of it.
        let watched = if interest.is_empty() { 1 } else { 2 };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match rustix::event::poll(&mut fds[..watched], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What we want of the socket; nothing once the daemon is gone.
    fn interest(&self) -> PollFlags {
        match self.daemon {
            Daemon::Listening if self.outbox.is_empty() => PollFlags::IN,
            Daemon::Listening => PollFlags::IN | PollFlags::OUT,
            Daemon::Gone => PollFlags::empty(),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let deadline = self.trees.values().filter_map(Tree::deadline).min()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn heed_signals(&mut self) -> io::Result<()> {
        for signal in self.signals.drain()? {
            if signal == Signal::TERM || signal == Signal::INT {
                self.shut_down(ALONE);
            }
            // CHILD has woken us, that is all. HUP means nothing to us, who have no terminal.
        }
        Ok(())
    }

    fn take_commands(&mut self) -> io::Result<()> {
        while self.daemon == Daemon::Listening {
            match self.receiver.fill(&self.socket) {
                Ok(0) => self.lose_daemon(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // It died with reports unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.lose_daemon(),
                Err(error) => return Err(error),
            }
            while let Some((command, fds)) =
                self.receiver.next_command().map_err(io::Error::other)?
            {
                self.obey(command, fds);
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command, fds: Vec<OwnedFd>) {
        match command {
            Command::Spawn(order) => self.spawn(&order, fds),
            Command::Stop { upstream, patience } => {
                // One that is not there has been reported as gone already.
                if let Some(tree) = self.trees.get_mut(&upstream) {
                    tree.stop(Instant::now(), patience, &Census::take());
                }
            }
            Command::Shutdown { patience } => self.shut_down(patience),
        }
    }

    fn spawn(&mut self, order: &Spawn, fds: Vec<OwnedFd>) {
        let upstream = order.upstream;
        let spawned = if self.ending {
            Err(Failure {
                errno: Errno::SHUTDOWN,
                text: "mcpool is stopping".to_owned(),
            })
        } else if self.trees.contains_key(&upstream) {
            Err(Failure {
                errno: Errno::EXIST,
                text: format!("upstream {upstream} runs already"),
            })
        } else {
            spawn::spawn(order, fds)
        };
        let report = match spawned {
            Ok(leader) => {
                self.trees
                    .insert(upstream, Tree::new(leader, spawn::marker(upstream)));
                let pid = leader.pid.as_raw_nonzero().get().unsigned_abs();
                Report::Spawned {
                    upstream,
                    pid,
                    start_time: leader.start_time,
                }
            }
            Err(Failure { errno, text }) => Report::SpawnFailed {
                upstream,
                errno: errno.raw_os_error(),
                text,
            },
        };
        self.outbox.push(&report);
    }

    fn shut_down(&mut self, patience: Patience) {
        self.ending = true;
        let (now, census) = (Instant::now(), Census::take());
        for tree in self.trees.values_mut() {
            tree.stop(now, patience, &census);
        }
    }

    /// The daemon is gone: so are the other ends of the servers' pipes, and so they go too.
    fn lose_daemon(&mut self) {
        if self.daemon == Daemon::Listening {
            self.daemon = Daemon::Gone;
            self.shut_down(ALONE);
        }
    }

    fn look_after_trees(&mut self) -> io::Result<()> {
        self.reap_strangers()?;
        for (upstream, tree) in &mut self.trees {
            if tree.exit().is_none()
                && let Some(exit) = sys::wait::ended(tree.leader().pid)?
            {
                tree.leader_ended(exit);
                self.outbox.push(&Report::Exited {
                    upstream: *upstream,
                    code: exit.code,
                    signal: exit.signal,
                });
            }
        }
        let now = Instant::now();
        if self.trees.values().any(|tree| tree.is_due(now)) {
            let mut census = Census::take();
            census.reap(|pid| is_leader(&self.trees, pid));
            self.advance_trees(now, &census);
        }
        Ok(())
    }

    fn advance_trees(&mut self, now: Instant, census: &Census) {
        let outbox = &mut self.outbox;
        self.trees.retain(|upstream, tree| {
            if !tree.is_due(now) {
                return true;
            }
            match tree.advance(now, census) {
                Progress::Lives => true,
                Progress::Over { survivors } => {
                    census::reap(tree.leader().pid);
                    if tree.exit().is_none() {
                        outbox.push(&Report::Exited {
                            upstream: *upstream,
                            code: None,
                            signal: None,
                        });
                    }
                    outbox.push(&Report::Gone {
                        upstream: *upstream,
                        survivors,
                    });
                    false
                }
            }
        });
    }

    /// Reaps the orphans that became our children and have ended.
    ///
    /// A leader that has ended stands in the way of those behind it in the kernel's list. It
    /// does so only while its tree is being ended, and then a census finds them.
    fn reap_strangers(&self) -> io::Result<()> {
        while let Some((pid, _)) = sys::wait::ended_child()? {
            if is_leader(&self.trees, pid) || !census::reap(pid) {
                break;
            }
        }
        Ok(())
    }

    /// Kills whoever is still below us and belongs to no tree.
    fn sweep(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            self.reap_strangers()?;
            let census = Census::take();
            if census.below().is_empty() && Census::take().below().is_empty() {
                break;
            }
            for entry in census.below() {
                entry.identity.signal(Signal::KILL);
            }
            // What the daemon still says is not listened to.
            self.wait(PollFlags::empty(), Some(SWEEP_INTERVAL))?;
            self.signals.drain()?;
        }
        Ok(())
    }

    /// Gives a daemon that reads the last reports.
    fn say_farewell(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + FAREWELL;
        loop {
            self.outbox.flush(self.socket.as_fd());
            let left = deadline.saturating_duration_since(Instant::now());
            if self.outbox.is_empty() || self.daemon == Daemon::Gone || left.is_zero() {
                return Ok(());
            }
            self.wait(PollFlags::OUT, Some(left))?;
            self.signals.drain()?;
        }
    }
}

fn is_leader(trees: &BTreeMap<u64, Tree>, pid: Pid) -> bool {
    trees.values().any(|tree| tree.leader().pid == pid)
}
