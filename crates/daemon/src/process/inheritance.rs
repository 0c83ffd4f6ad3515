//! What a daemon before us has left: a guardian, and the servers that it holds.
//!
//! All of it is found out before anybody is let in, so this blocks.
//!
//! **Invariant:** when it is known what was left, nothing else of an earlier daemon runs.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use ::guardian::{
    orphans,
    protocol::{Held, Introduction, Receiver, Report},
};
use anyhow::{Context, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal},
};

use sys::process::Hold;

use crate::observe;

/// How long a guardian may take to say what it holds: it has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// The guardian of an earlier daemon, connected.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pub(super) socket: UnixStream,
    /// What was received of it and not looked at.
    pub(super) receiver: Receiver,
    pub(super) pid: Pid,
    pub(super) hold: Hold,
    /// Whether it ends and starts nothing any more.
    pub(super) ending: bool,
}

impl Predecessor {
    /// The guardian's process id.
    pub(crate) fn pid(&self) -> u32 {
        number(self.pid)
    }
}

/// A server, and our ends of its standard input, output and error.
pub(crate) type Server = (Held, Vec<OwnedFd>);

/// All that was left.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    pub(crate) guardian: Option<Predecessor>,
    /// Ours, as that guardian counts its daemons, 0 without one; later if more are known to have been.
    pub(crate) epoch: u32,
    /// Its servers.
    pub(crate) servers: Vec<Server>,
}

impl Inheritance {
    /// Meets the guardian that waits there. One that cannot be met or understood is ended, with all
    /// that it holds. Fails if that cannot be done either.
    pub(crate) fn find(meeting_place: &Path) -> anyhow::Result<Inheritance> {
        if let Ok(socket) = UnixStream::connect(meeting_place) {
            return Self::receive(socket);
        }
        // Nobody is there, or somebody who cannot be met.
        let survivors = orphans::end_unreachable(meeting_place);
        if survivors > 0 {
            observe::orphans_survived(survivors);
        }
        Ok(Inheritance::default())
    }

    fn receive(socket: UnixStream) -> anyhow::Result<Inheritance> {
        let user = sys::peer::user(&socket).context("asking whose guardian it is")?;
        ensure!(
            user == rustix::process::geteuid().as_raw(),
            "user {user} waits where the guardian should be"
        );
        let pid = sys::peer::process(&socket)?
            .context("the guardian of an earlier daemon is in another pid namespace")?;
        let hold = Hold::of(pid).context("watching the guardian")?;
        let mut receiver = Receiver::default();
        match introduction(&socket, &mut receiver) {
            Ok((introduction, servers)) => Ok(Inheritance {
                guardian: Some(Predecessor {
                    socket,
                    receiver,
                    pid,
                    hold,
                    ending: introduction.ending,
                }),
                epoch: introduction.epoch,
                servers,
            }),
            Err(error) => {
                observe::guardian_not_understood(&error);
                // It is one process, and the descriptor is of that one. If it has ended, all the better.
                let _gone = hold.signal(Signal::KILL);
                drop(socket);
                await_end(&hold)?;
                let survivors = orphans::end(number(pid), orphans::Guardian::Inherited);
                if survivors > 0 {
                    observe::orphans_survived(survivors);
                }
                Ok(Inheritance::default())
            }
        }
    }
}

pub(super) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// The first words of the guardian, and all that it holds.
fn introduction(
    socket: &UnixStream,
    receiver: &mut Receiver,
) -> anyhow::Result<(Introduction, Vec<Server>)> {
    let deadline = Instant::now() + PATIENCE;
    let (first, _none) = next(socket, receiver, deadline)?;
    let Report::Introduction(introduction) = first else {
        bail!("it did not introduce itself");
    };
    let mut servers: Vec<Server> = Vec::new();
    while servers.len() < introduction.held as usize {
        match next(socket, receiver, deadline)? {
            (Report::Held(held), fds) => servers.push((held, fds)),
            // How the processes of those ended that are on their way out does not matter any more.
            (Report::Exited { .. }, _none) => {}
            (other, _none) => bail!("it said {other:?} before it had told what it holds"),
        }
    }
    Ok((introduction, servers))
}

fn next(
    socket: &UnixStream,
    receiver: &mut Receiver,
    deadline: Instant,
) -> anyhow::Result<(Report, Vec<OwnedFd>)> {
    loop {
        if let Some(report) = receiver.next_report()? {
            return Ok(report);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(
            await_readable(socket, left)?,
            "it says nothing for {} s",
            PATIENCE.as_secs()
        );
        match receiver.fill(socket) {
            Ok(0) => bail!("it hung up"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the end of a guardian that has hung up or was killed.
fn await_end(hold: &Hold) -> io::Result<()> {
    if await_readable(hold, PATIENCE)? {
        Ok(())
    } else {
        let words = "the guardian of an earlier daemon does not end";
        Err(io::Error::new(io::ErrorKind::TimedOut, words))
    }
}

/// Waits until it is readable; `false` if it is not within that time.
pub(crate) fn await_readable(fd: impl std::os::fd::AsFd, patience: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
