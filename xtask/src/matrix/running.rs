//! A client that runs: its transcript, its end, and its death if it does not end.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::clients::Script;
use crate::shell;

/// A client process in a group of its own, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    said: mpsc::Receiver<String>,
    errors: PathBuf,
}

impl Running {
    /// Starts the client in `work`; what it writes to standard error goes to a file in `folder`.
    pub(crate) fn start(
        mut command: Command,
        script: &Script,
        work: &Path,
        folder: &Path,
    ) -> anyhow::Result<Running> {
        let errors = folder.join("stderr");
        let log =
            File::create(&errors).with_context(|| format!("creating {}", errors.display()))?;
        command.current_dir(work).process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let stdout = child
            .stdout
            .take()
            .context("a piped standard output is there")?;
        let is_one_line = matches!(script, Script::Session(_));
        let (tell, said) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut text = String::new();
            let read = if is_one_line {
                reader.read_line(&mut text)
            } else {
                reader.read_to_string(&mut text)
            };
            if read.is_ok() {
                let _ = tell.send(text); // Nobody may be waiting any more.
            }
        });
        Ok(Running {
            child,
            said,
            errors,
        })
    }

    /// What the client wrote: the line with its transcript, or all of a one-shot run.
    pub(crate) fn said(&mut self, until: Instant) -> anyhow::Result<String> {
        let patience = until.saturating_duration_since(Instant::now());
        match self.said.recv_timeout(patience) {
            Ok(text) => Ok(text),
            Err(_) => bail!("the client said nothing in time\n{}", self.errors()),
        }
    }

    /// Lets the client end, and waits for it.
    pub(crate) fn finish(mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        drop(self.child.stdin.take());
        if !shell::wait_for_end(self.child.id(), patience) {
            bail!(
                "the client did not end within {} s\n{}",
                patience.as_secs(),
                self.errors()
            );
        }
        Ok(self.child.wait()?)
    }

    /// What the client wrote to standard error, as far as it is worth showing.
    pub(crate) fn errors(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(15)..];
        format!(
            "standard error of the client:\n    {}",
            shown.join("\n    ")
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL); // It may end at this very moment.
            }
            let _ = self.child.wait();
        }
    }
}
