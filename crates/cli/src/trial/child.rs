//! A process that ends with us.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{self, ChildStdin, ChildStdout, Command},
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use sys::{child::ChildSetup, process::Hold};

/// How long a process may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child of ours; dropping it ends it, kindly at first.
#[derive(Debug)]
pub(crate) struct Child {
    child: process::Child,
}

impl Child {
    /// Starts it on the main thread, with whose end it would be asked to end as well.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        // A Ctrl-C at the terminal is for us alone: we end the others in order.
        command.process_group(0);
        ChildSetup { umask: 0o077 }.apply_to(&mut command);
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Child { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The pipes to and from it, which it was started with.
    pub(crate) fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.child.stdin.take().zip(self.child.stdout.take())
    }

    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }

    /// Waits for its end, which was brought about elsewhere.
    pub(crate) fn ends_by(&mut self, deadline: Instant) -> io::Result<bool> {
        // While it has not been reaped, its number is not another's.
        let hold = Hold::of(Pid::from_child(&self.child))?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&hold, PollFlags::IN)], Some(&left)) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => return self.has_ended(),
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        if !self.ends_by(Instant::now() + PATIENCE)? {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nothing can be done about a child that cannot be ended.
        let _ = self.end();
    }
}
