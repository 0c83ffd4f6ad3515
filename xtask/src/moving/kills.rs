//! `import` and `undo`, killed at every single system call that they make.
//!
//! The system call at which it ends is not made. Whichever it is, the client's file is the old one or the
//! new one, and the next `undo` makes it the old one again.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::tell;
use crate::{scratch, shell, test::Counts, ui};

/// How long any of them may take; traced programs are slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file as a client has it: one server, and what else there is.
const BEFORE: &str = "{\n  \"mcpServers\": {\n    \"time\": {\n      \"command\": \"uvx\",\n      \
                      \"args\": [\"mcp-server-time\"] \n    }\n  }, \"n\": 0.30142500000000005\n}\n";

/// The configuration of mcpool, into which servers come that clients find over HTTP.
const CONFIG: &str = "# mine\n[http]\nlisten = [\"127.0.0.1:17665\"]\n";

/// An import, how it is told to, and whether it or the undo behind it is killed.
#[derive(Clone, Copy, Debug)]
struct Row {
    import: &'static [&'static str],
    kills_undo: bool,
}

const ROWS: [Row; 3] = [
    Row {
        import: &["import", "--apply"],
        kills_undo: false,
    },
    Row {
        import: &["import", "--http", "--apply"],
        kills_undo: false,
    },
    Row {
        import: &["import", "--http", "--apply"],
        kills_undo: true,
    },
];

pub(super) fn run(mcpool: &Path) -> Counts {
    let mut counts = Counts::default();
    for row in ROWS {
        let name = format!("{} killed at every system call", row.verb().join(" "));
        ui::progress(format!("    {name}"));
        counts.add(tell(&name, &killed(mcpool, row)));
    }
    counts
}

impl Row {
    /// What is killed.
    fn verb(self) -> &'static [&'static str] {
        if self.kills_undo {
            &["undo"]
        } else {
            self.import
        }
    }
}

/// A home with one client that has one server.
struct Home<'a> {
    mcpool: &'a Path,
    folder: TempDir,
    row: Row,
    file: PathBuf,
    config: PathBuf,
    /// The file and the configuration when it was imported.
    after: [Vec<u8>; 2],
}

impl<'a> Home<'a> {
    fn new(mcpool: &'a Path, row: Row) -> anyhow::Result<Self> {
        let folder = scratch::folder("mcpool-kills-", false)?;
        let file = folder.path().join(".cursor/mcp.json");
        fs::create_dir_all(folder.path().join(".cursor"))?;
        fs::create_dir(folder.path().join("work"))?;
        fs::create_dir(folder.path().join("pool"))?;
        let config = folder.path().join("pool/config.toml");
        fs::write(&file, BEFORE)?;
        fs::write(&config, CONFIG)?;
        let mut home = Home {
            mcpool,
            folder,
            row,
            file,
            config,
            after: [Vec::new(), Vec::new()],
        };
        home.done(row.import)?;
        home.after = home.now()?;
        ensure!(
            home.after[0] != BEFORE.as_bytes(),
            "an import changes the file"
        );
        home.done(&["undo"])?;
        home.is_as_before()?;
        Ok(home)
    }

    fn settled(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("MCPOOL_HOME", self.folder.path().join("pool"))
            .current_dir(self.folder.path().join("work"));
        command
    }

    fn done(&self, verb: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.mcpool);
        command.args(verb);
        shell::output_within(&mut self.settled(command), PATIENCE).map(drop)
    }

    /// Begins as each try does.
    fn prepare(&self) -> anyhow::Result<()> {
        if self.row.kills_undo {
            self.done(self.row.import)?;
        }
        Ok(())
    }

    /// The file and the configuration.
    fn now(&self) -> anyhow::Result<[Vec<u8>; 2]> {
        Ok([fs::read(&self.file)?, fs::read(&self.config)?])
    }

    /// Whether the file is the new one. That, and the configuration, are the old one or the new one.
    fn is_new(&self) -> anyhow::Result<bool> {
        let now = self.now()?;
        let before = [BEFORE.as_bytes(), CONFIG.as_bytes()];
        for ((now, before), after) in now.iter().zip(before).zip(&self.after) {
            ensure!(
                now == before || now == after,
                "a file is {:?}",
                String::from_utf8_lossy(now)
            );
        }
        // An address never names what is not configured.
        ensure!(
            now[0] != self.after[0] || now[1] == self.after[1],
            "the client has an address whose server is not configured"
        );
        Ok(now[0] == self.after[0])
    }

    fn is_as_before(&self) -> anyhow::Result<()> {
        let now = self.now()?;
        ensure!(
            now[0] == BEFORE.as_bytes() && now[1] == CONFIG.as_bytes(),
            "the files are {:?}",
            now.map(|now| String::from_utf8_lossy(&now).into_owned())
        );
        Ok(())
    }

    /// Runs a verb and writes down its system calls; how often it makes each.
    fn calls(&self, verb: &[&str]) -> anyhow::Result<BTreeMap<String, usize>> {
        let log = self.folder.path().join("calls");
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(&log).arg(self.mcpool);
        command.args(verb);
        let said = shell::output_within(&mut self.settled(command), PATIENCE);
        said.context("strace is needed: install `strace`")?;
        let mut calls = BTreeMap::new();
        let mut process = None;
        for line in fs::read_to_string(&log)?.lines() {
            let (pid, rest) = line.split_once(' ').unwrap_or_default();
            // What it starts ends without it, and changes no file.
            let first = *process.get_or_insert(pid.to_owned()) == *pid;
            let call = rest.trim_start().split_once('(').map(|(call, _)| call);
            if let Some(call) = call.filter(|call| first && is_name(call)) {
                *calls.entry(call.to_owned()).or_insert(0) += 1;
            }
        }
        Ok(calls)
    }

    /// Whether it was killed at this call, the `number`th of its name.
    fn kill_at(&self, verb: &[&str], call: &str, number: usize) -> anyhow::Result<bool> {
        let mut command = Command::new("strace");
        command
            .args(["-o", "/dev/null", "-e"])
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:signal=SIGKILL:when={number}"))
            .arg(self.mcpool)
            .args(verb);
        let output = shell::ended_within(&mut self.settled(command), PATIENCE)?;
        let Some(output) = output else {
            bail!("it did not end when it was to be killed at {call} {number}");
        };
        Ok(output.status.signal() == Some(9) || output.status.code() == Some(137))
    }
}

fn is_name(call: &str) -> bool {
    !call.is_empty()
        && call
            .chars()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
}

fn killed(mcpool: &Path, row: Row) -> anyhow::Result<String> {
    let home = Home::new(mcpool, row)?;
    let verb = row.verb();
    home.prepare()?;
    let calls = home.calls(verb)?;
    home.done(&["undo"])?;
    home.is_as_before()?;
    let (mut all, mut killed, mut old, mut new) = (0, 0, 0, 0);
    for (call, count) in &calls {
        for number in 1..=*count {
            let at = || format!("killed at {call}, number {number} of {count}");
            home.prepare()?;
            all += 1;
            killed += usize::from(home.kill_at(verb, call, number)?);
            if home.is_new().with_context(at)? {
                new += 1;
            } else {
                old += 1;
            }
            home.done(&["undo"]).with_context(at)?;
            home.is_as_before().with_context(at)?;
        }
    }
    // It need not make the same calls each time, and a few of the last may not come.
    ensure!(
        killed * 20 >= all * 19 && old > 0 && new > 0,
        "it was killed {killed} times out of {all}; the file was the old one {old} times, the new one {new}"
    );
    Ok(format!(
        "{killed} times; the file was the old one {old} times, the new one {new} times, never another"
    ))
}
