//! Whether another program can go on with the state: it is run beside this one and tries.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use mux::{Limits, Mux};
use rustix::process::Pid;
use sys::process::Hold;

use super::{FrozenDaemon, Successor, successor::in_memory};
use crate::process::await_readable;

/// What the other program says when it can, before its version.
const CAN: &str = "can go on: mcpool ";

/// Longest state that is read: all that may wait in memory, twice over as hexadecimal digits.
const STATE_MAX: u64 = 4 << 30;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most that is quoted of what it says instead.
const QUOTED_MAX: u64 = 512;

/// Reads a state from standard input and says on standard output whether this program can go on with it.
pub fn check_state() -> anyhow::Result<()> {
    let mut state = Vec::new();
    io::stdin()
        .take(STATE_MAX)
        .read_to_end(&mut state)
        .context("reading the state")?;
    check(&state)?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(io::stdout(), "{CAN}{version}").context("telling")
}

fn check(state: &[u8]) -> anyhow::Result<()> {
    let frozen = FrozenDaemon::read(state)?;
    Mux::thaw(frozen.hub.mux.get().as_bytes(), Limits::default())?;
    Ok(())
}

impl Successor {
    /// Has the program that is installed now show that it can go on with this state; returns its version.
    /// Blocks until it has, or has failed.
    pub(crate) fn rehearse(&self, state: &[u8]) -> anyhow::Result<String> {
        let program = self.program.display();
        let [mut said, mut complaint] = [in_memory(&[])?, in_memory(&[])?];
        let mut child = Command::new(&self.program)
            .arg0("mcpool")
            .args(["serve", "--check-state"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(in_memory(state)?))
            .stdout(Stdio::from(said.try_clone()?))
            .stderr(Stdio::from(complaint.try_clone()?))
            .spawn()
            .with_context(|| format!("executing {program}"))?;
        let exit = wait(&mut child).context("waiting for it")?;
        let Some(exit) = exit else {
            let seconds = PATIENCE.as_secs();
            bail!("{program} does not say within {seconds} s whether it can go on");
        };
        let (said, complaint) = (text_of(&mut said)?, text_of(&mut complaint)?);
        ensure!(
            exit.success(),
            "{program} cannot go on with what there is ({exit}): {complaint}"
        );
        let version = said.strip_prefix(CAN);
        let version = version.with_context(|| format!("{program} is not mcpool"))?;
        Ok(version.to_owned())
    }
}

/// Waits until it ends; one that takes too long is killed, and `None`.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let hold = Hold::of(Pid::from_child(child))?;
    if await_readable(&hold, PATIENCE)? {
        return child.wait().map(Some);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// What was written to it, as far as it is worth a line.
fn text_of(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(QUOTED_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // It has seen the state, and might quote it further down.
    Ok(text.trim().lines().next().unwrap_or_default().to_owned())
}
