//! The guardian's loop: one poll, then everything that has happened.
//!
//! **Invariant:** nothing in it waits for anybody: not for the daemon, which may have died,
//! and not for a server, which may hang.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use sys::signals::Signals;

use crate::census::{self, Census};
use crate::outbox::Outbox;
use crate::place::Place;
use crate::protocol::{Command, Introduction, Patience, Receiver, Report, Spawn};
use crate::server::Server;
use crate::spawn::{self, Failure};
use crate::stop::{Progress, Tree};

/// How long servers are held for the next daemon when one has died.
///
/// Shims take up a new one within a second; 5 s later nobody wants them any more.
const HOLD: Duration = Duration::from_secs(5);

/// What servers get when nobody is there any more to say how long they may take.
const ALONE: Patience = Patience {
    eof: Duration::from_secs(1),
    term: Duration::from_millis(1500),
};

/// How long the last sweep, and the last reports, may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// How soon to look again who is there, when there was no descriptor for it.
const WANT_INTERVAL: Duration = Duration::from_millis(100);

/// How soon to look again during the last sweep.
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

/// Serves the daemon at the other end of `socket`, until it is told to end, or TERM or INT
/// arrives; then nothing is left that it started.
///
/// `epoch` is that daemon's: the daemons after it get those behind it, so no server ever hears an
/// id of a daemon again, however many guardians that daemon had before.
///
/// When the daemon is gone without a word, the next one may connect to `meeting_place`, a path
/// where a socket is made, within 5 s, and takes the servers over. Without such a path, or when
/// none comes, it ends.
///
/// It makes the whole process the guardian: call it on the main thread, with no other
/// thread running and nothing else to do afterwards. It fails, in words on standard error,
/// if the process cannot be set up or the daemon talks nonsense.
pub fn run(socket: OwnedFd, meeting_place: Option<PathBuf>, epoch: u32) -> ExitCode {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    sys::memory::economise();
    let mut place = meeting_place.map(Place::new);
    let served = set_up(socket, place.as_mut(), epoch).and_then(Guardian::serve);
    if let Some(place) = place {
        place.leave();
    }
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell, and perhaps nobody reads.
            let _ = writeln!(io::stderr(), "mcpool guardian: {error}");
            ExitCode::FAILURE
        }
    }
}

fn set_up(socket: OwnedFd, place: Option<&mut Place>, epoch: u32) -> io::Result<Guardian> {
    // Fails only for the leader of a group, which has no terminal to lose either.
    let _ = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    rustix::thread::set_name(c"mcpool-guardian")?;
    sys::orphans::adopt()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(Guardian {
        socket,
        door: place.map(Place::open).transpose()?,
        signals: Signals::watch(&[Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP])?,
        receiver: Receiver::default(),
        outbox: Outbox::default(),
        servers: BTreeMap::new(),
        daemon: Daemon::Listening,
        epoch,
        ending: false,
        look_again: None,
    })
}

#[derive(Debug)]
struct Guardian {
    socket: OwnedFd,
    /// Where the next daemon comes in.
    door: Option<UnixListener>,
    signals: Signals,
    receiver: Receiver,
    outbox: Outbox,
    servers: BTreeMap<u64, Server>,
    daemon: Daemon,
    /// That of the daemon that listens, or did so last.
    epoch: u32,
    ending: bool,
    /// When to look who is there, as it could not be found out the last time.
    look_again: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    Listening,
    /// It has died, and until then the next one may come.
    Awaited {
        until: Instant,
    },
    /// It has died, and what is left ends. Whoever comes now is told so.
    Gone,
}

impl Guardian {
    fn serve(mut self) -> io::Result<()> {
        let mut trouble = None;
        while !(self.ending && self.servers.is_empty()) {
            self.wait(self.interest(), self.timeout())?;
            self.heed_signals()?;
            if let Err(error) = self.take_commands() {
                // What comes next on this socket cannot be understood.
                trouble = Some(error);
                self.lose_daemon();
            }
            // First, so that the next daemon hears how things stand now.
            self.look_after_servers()?;
            self.meet_next_daemon();
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
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        // A socket without a peer is always ready, even if nothing is asked of it.
        if !interest.is_empty() {
            fds.push(PollFd::new(&self.socket, interest));
        }
        // While a daemon listens, nobody else has any business here.
        if let Some(door) = self.door.as_ref().filter(|_| !self.has_daemon()) {
            fds.push(PollFd::new(door, PollFlags::IN));
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What we want of the socket; nothing once the daemon is gone.
    fn interest(&self) -> PollFlags {
        match self.daemon {
            Daemon::Listening if self.outbox.is_empty() => PollFlags::IN,
            Daemon::Listening => PollFlags::IN | PollFlags::OUT,
            Daemon::Awaited { .. } | Daemon::Gone => PollFlags::empty(),
        }
    }

    fn has_daemon(&self) -> bool {
        self.daemon == Daemon::Listening
    }

    fn timeout(&self) -> Option<Duration> {
        let trees = self.servers.values().map(|server| &server.tree);
        let deadlines = trees.filter_map(Tree::deadline);
        let patience = match self.daemon {
            Daemon::Awaited { until } => Some(until),
            Daemon::Listening | Daemon::Gone => None,
        };
        // What is due is so until then, and would have us look without end.
        let deadline = match self.look_again {
            Some(again) => again,
            None => deadlines.chain(patience).min()?,
        };
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
        while self.has_daemon() {
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
            // One that is not there has been reported as gone already.
            Command::Record { upstream, record } => {
                if let Some(server) = self.servers.get_mut(&upstream) {
                    server.keep(record);
                }
            }
            Command::Stop { upstream, patience } => {
                if let Some(server) = self.servers.get_mut(&upstream) {
                    server.stop(Instant::now(), patience, Census::take().ok().as_ref());
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
        } else if self.servers.contains_key(&upstream) {
            Err(Failure {
                errno: Errno::EXIST,
                text: format!("upstream {upstream} runs already"),
            })
        } else {
            spawn::spawn(order, fds)
        };
        let report = match spawned {
            Ok((leader, pipes)) => {
                let tree = Tree::new(leader, spawn::marker(upstream));
                self.servers.insert(upstream, Server::new(tree, pipes));
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

    /// Tells the daemon, if there is one. The next one is told how it stands then.
    fn report(&mut self, report: &Report) {
        if self.has_daemon() {
            self.outbox.push(report);
        }
    }

    fn shut_down(&mut self, patience: Patience) {
        self.ending = true;
        let (now, census) = (Instant::now(), Census::take().ok());
        for server in self.servers.values_mut() {
            server.stop(now, patience, census.as_ref());
        }
    }

    /// The daemon is gone. Its servers are held for the next one, if there are any, and if the
    /// last word was not that all should end.
    fn lose_daemon(&mut self) {
        if !self.has_daemon() {
            return;
        }
        self.outbox = Outbox::default();
        self.receiver = Receiver::default();
        if self.door.is_some() && !self.servers.is_empty() && !self.ending {
            self.daemon = Daemon::Awaited {
                until: Instant::now() + HOLD,
            };
        } else {
            self.give_up_daemon();
        }
    }

    fn give_up_daemon(&mut self) {
        self.daemon = Daemon::Gone;
        self.shut_down(ALONE);
    }

    /// Lets the next daemon in, or gives up on it.
    fn meet_next_daemon(&mut self) {
        if self.has_daemon() {
            return;
        }
        if let Some(socket) = self.door.as_ref().and_then(welcome) {
            self.socket = socket;
            self.daemon = Daemon::Listening;
            self.epoch += 1;
            self.introduce();
        } else if let Daemon::Awaited { until } = self.daemon
            && (until <= Instant::now() || self.servers.is_empty())
        {
            self.give_up_daemon();
        }
    }

    /// Tells the next daemon what there is.
    fn introduce(&mut self) {
        self.outbox.push(&Report::Introduction(Introduction {
            epoch: self.epoch,
            held: u32::try_from(self.servers.len()).unwrap_or(u32::MAX),
            ending: self.ending,
        }));
        for (upstream, server) in &self.servers {
            let (held, fds) = server.hand_over(*upstream);
            self.outbox.push_with_fds(&Report::Held(held), fds);
            if let Some(exit) = server.tree.exit() {
                self.outbox.push(&Report::Exited {
                    upstream: *upstream,
                    code: exit.code,
                    signal: exit.signal,
                });
            }
        }
    }

    fn look_after_servers(&mut self) -> io::Result<()> {
        self.reap_strangers()?;
        let mut ended = Vec::new();
        for (upstream, server) in &mut self.servers {
            if server.tree.exit().is_none()
                && let Some(exit) = sys::wait::ended(server.tree.leader().pid)?
            {
                server.leader_ended(exit);
                ended.push(Report::Exited {
                    upstream: *upstream,
                    code: exit.code,
                    signal: exit.signal,
                });
            }
        }
        for report in &ended {
            self.report(report);
        }
        if !ended.is_empty() {
            // Calls are answered by it. To look who else is there takes time.
            self.outbox.flush(self.socket.as_fd());
        }
        let now = Instant::now();
        self.look_again = None;
        if self.servers.values().any(|server| server.tree.is_due(now)) {
            // For want of a descriptor, most likely; what is due stays so.
            if self.advance_servers(now).is_err() {
                self.look_again = Some(now + WANT_INTERVAL);
            }
        }
        Ok(())
    }

    fn advance_servers(&mut self, now: Instant) -> io::Result<()> {
        let mut census = Census::take()?;
        census.reap(|pid| is_leader(&self.servers, pid));
        let mut reports = Vec::new();
        let mut advanced = Ok(());
        self.servers.retain(|upstream, server| {
            let tree = &mut server.tree;
            if !tree.is_due(now) {
                return true;
            }
            match tree.advance(now, &census) {
                Err(error) => {
                    advanced = Err(error);
                    true
                }
                Ok(Progress::Lives) => true,
                Ok(Progress::Over { survivors }) => {
                    census::reap(tree.leader().pid);
                    if tree.exit().is_none() {
                        reports.push(Report::Exited {
                            upstream: *upstream,
                            code: None,
                            signal: None,
                        });
                    }
                    reports.push(Report::Gone {
                        upstream: *upstream,
                        survivors,
                    });
                    false
                }
            }
        });
        for report in &reports {
            self.report(report);
        }
        advanced
    }

    /// Reaps the orphans that became our children and have ended.
    ///
    /// A leader that has ended stands in the way of those behind it in the kernel's list. It
    /// does so only while its tree is being ended, and then a census finds them.
    fn reap_strangers(&self) -> io::Result<()> {
        while let Some((pid, _)) = sys::wait::ended_child()? {
            if is_leader(&self.servers, pid) || !census::reap(pid) {
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
            // If it is not known who is there, it will be the next time.
            if let Ok(census) = Census::take() {
                let is_nobody = |census: Census| census.below().is_empty();
                if census.below().is_empty() && Census::take().is_ok_and(is_nobody) {
                    break;
                }
                for entry in census.below() {
                    entry.identity.signal(Signal::KILL);
                }
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
            if self.outbox.is_empty() || !self.has_daemon() || left.is_zero() {
                return Ok(());
            }
            self.wait(PollFlags::OUT, Some(left))?;
            self.signals.drain()?;
        }
    }
}

fn is_leader(servers: &BTreeMap<u64, Server>, pid: Pid) -> bool {
    let mut leaders = servers.values().map(|server| server.tree.leader());
    leaders.any(|leader| leader.pid == pid)
}

/// Somebody who has come in, if it is one of us.
fn welcome(door: &UnixListener) -> Option<OwnedFd> {
    // Nobody is there, or has gone again: the next look finds whoever comes.
    let (socket, _nameless) = door.accept().ok()?;
    socket.set_nonblocking(true).ok()?;
    let user = sys::peer::user(&socket).ok()?;
    (user == rustix::process::geteuid().as_raw()).then(|| socket.into())
}
