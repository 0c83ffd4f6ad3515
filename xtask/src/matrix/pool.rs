//! An mcpool of its own for one cell, or for another part of the tests: a home folder, a daemon, and proof that both go away.

use std::{
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::servers::Server;
use crate::shell;

/// How long a process may take to be gone after `mcpool stop` has returned.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How long any verb may take; `stop` waits for servers that need to be killed.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// The mcpool of one cell.
#[derive(Debug)]
pub(crate) struct Pool {
    mcpool: PathBuf,
    home: PathBuf,
}

/// What `mcpool status --json` said.
pub(crate) struct Status(Value);

impl Pool {
    /// A home folder in `folder`; the daemon comes with the first session.
    pub(crate) fn new(mcpool: &Path, folder: &Path) -> anyhow::Result<Pool> {
        let home = folder.join("home");
        fs::create_dir(&home).with_context(|| format!("creating {}", home.display()))?;
        Ok(Pool {
            mcpool: mcpool.to_owned(),
            home,
        })
    }

    /// What a user writes in place of the command line: the same one, with mcpool before it.
    pub(crate) fn connect(
        &self,
        server: Server,
        env: &[(&str, String)],
        command: &[String],
    ) -> Vec<String> {
        let mut line: Vec<String> = vec![self.mcpool.display().to_string(), "connect".into()];
        line.extend(["--home".into(), self.home.display().to_string()]);
        line.extend(["--name".into(), server.name().into()]);
        for (name, _) in env {
            line.extend(["--env".into(), (*name).into()]);
        }
        line.push("--".into());
        line.extend_from_slice(command);
        line
    }

    /// `MCPOOL_HOME`.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Runs a verb that must do what it is told; what it prints.
    pub(crate) fn done<const N: usize>(&self, arguments: [&str; N]) -> anyhow::Result<String> {
        shell::output_within(&mut self.verb(arguments), ANSWERS_WITHIN)
    }

    pub(crate) fn status(&self) -> anyhow::Result<Status> {
        let text = self.done(["status", "--json"])?;
        let status =
            serde_json::from_str(&text).with_context(|| format!("reading the status {text:?}"))?;
        Ok(Status(status))
    }

    /// Stops the daemon; everything that it ran must be gone, and its socket, too.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        let status = self.status()?;
        self.done(["stop"])?;
        for (what, pid) in status.processes() {
            ensure!(
                shell::wait_for_end(pid, GONE_WITHIN),
                "{what} (process {pid}) outlived `mcpool stop`"
            );
        }
        ensure!(
            !self.home.join("mcpool.sock").exists(),
            "the socket outlived `mcpool stop`"
        );
        self.must_be_clean()
    }

    /// What the books say that a daemon keeps in tests. One that was built for users keeps none.
    fn must_be_clean(&self) -> anyhow::Result<()> {
        let path = self.home.join("logs/daemon.log");
        let log =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let verdicts: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("audit: "))
            .collect();
        let is_audited = has_sibling(&self.mcpool, "fake-server");
        ensure!(
            !is_audited || !verdicts.is_empty(),
            "the daemon ended without a word of its books"
        );
        let wrong: Vec<&str> = verdicts
            .into_iter()
            .filter(|line| !line.ends_with(", clean"))
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// The ends of all logs, for a person who wonders why a cell failed.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for folder in [self.home.join("logs"), self.home.join("state")] {
            for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                let content = fs::read(file.path()).unwrap_or_default();
                let content = String::from_utf8_lossy(&content).into_owned();
                let lines: Vec<&str> = content.lines().collect();
                let end = lines[lines.len().saturating_sub(20)..].join("\n    ");
                text.extend([format!("{}:\n    {end}\n", file.path().display())]);
            }
        }
        text
    }

    fn verb<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(&self.mcpool);
        command.args(arguments).env("MCPOOL_HOME", &self.home);
        command
    }
}

impl Drop for Pool {
    /// A cell that failed half-way leaves no daemon behind either.
    fn drop(&mut self) {
        let is_held = fs::read_to_string(self.home.join("state/daemon.lock"))
            .is_ok_and(|lock| !lock.is_empty());
        if is_held {
            // The cell has failed already; a daemon that does not listen is ended with all orphans.
            let _ = self.done(["stop"]);
        }
    }
}

impl Status {
    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    pub(crate) fn upstreams(&self, server: Server) -> Vec<&Value> {
        of_server(&self.0["upstreams"], server)
    }

    pub(crate) fn sessions(&self, server: Server) -> usize {
        of_server(&self.0["sessions"], server).len()
    }

    /// The daemon, and each server process.
    fn processes(&self) -> Vec<(String, u32)> {
        let pid = |value: &Value| {
            value["pid"]
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok())
        };
        let daemon = pid(&self.0["daemon"]).map(|pid| ("the daemon".to_owned(), pid));
        let upstreams = self.0["upstreams"].as_array().into_iter().flatten();
        let upstreams = upstreams.filter_map(|upstream| {
            Some((format!("server {}", upstream["server"]), pid(upstream)?))
        });
        daemon.into_iter().chain(upstreams).collect()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

fn of_server(list: &Value, server: Server) -> Vec<&Value> {
    let of_server = |entry: &&Value| entry["server"].as_str() == Some(server.name());
    list.as_array()
        .into_iter()
        .flatten()
        .filter(of_server)
        .collect()
}

/// The folder beside which `mcpoold` must lie.
pub(crate) fn has_sibling(mcpool: &Path, name: impl AsRef<OsStr>) -> bool {
    mcpool.with_file_name(name.as_ref()).exists()
}
