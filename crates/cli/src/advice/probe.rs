//! One more copy of a server, started to see how it begins.
//!
//! It gets the command line, the folder and the environment of a copy that runs, is greeted as a client
//! would, and is ended again.
//!
//! **Invariant:** when [`probe`] returns, nothing of that copy is left.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::ffi::OsStringExt,
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use sys::process_table::Identity;

use super::signals::Group;
use crate::{
    survey::{self, Running, figures},
    trial::Child,
};

/// Longest wait for an answer: `npx` may look for a newer package first.
const PATIENCE: Duration = Duration::from_mins(1);

/// For how long a server that has said all may still ask for roots.
const QUIET: Duration = Duration::from_millis(500);

/// How long the copy may take to end.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    ready_after: Duration,
    asks_for_roots: bool,
    pss_kb: u64,
}

/// Starts a copy of this server and notes in its signals what was seen.
pub(crate) fn probe(group: &mut Group) -> anyhow::Result<()> {
    let Some(copy) = group.copies.first() else {
        return Ok(());
    };
    let seen = start_and_see(&copy.running)
        .with_context(|| format!("trying another copy of `{}`", group.name))?;
    group.signals.ready_after = Some(seen.ready_after);
    group.signals.asks_for_roots = Some(seen.asks_for_roots);
    group.signals.after_start_kb = Some(seen.pss_kb);
    Ok(())
}

fn start_and_see(running: &Running) -> anyhow::Result<Seen> {
    let command = same_command(running)?;
    let folder = running.folder.clone().unwrap_or_else(|| "/".into());
    let begun = Instant::now();
    let mut child = Child::start(command)?;
    let pipes = child.take_pipes().context("a child without pipes")?;
    let group = Pid::from_raw(i32::try_from(child.id())?);
    let mut members = Vec::new();
    let seen = Talk::new(pipes).see(begun, &folder, || {
        members = tree(child.id())?;
        Ok(figures(&members).pss_kb)
    });
    if members.is_empty() {
        members = tree(child.id()).unwrap_or_default();
    }
    // Its first process has not been waited for, so the group is still its own.
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::TERM);
    }
    // One that stays is ended below.
    let _ = child.ends_by(Instant::now() + END_PATIENCE);
    for member in members {
        member.signal(Signal::KILL);
    }
    seen
}

fn tree(pid: u32) -> anyhow::Result<Vec<Identity>> {
    let census = survey::take()?;
    let members = census.tree(pid).into_iter();
    Ok(members.map(|process| process.identity).collect())
}

/// The command that started a server that runs, with pipes in place of its own.
fn same_command(running: &Running) -> anyhow::Result<Command> {
    let process = Path::new("/proc").join(running.pid.to_string());
    let census = survey::take()?;
    let environment = fs::read(process.join("environ"))?;
    let now = census.get(running.pid).context("it has ended")?;
    ensure!(now.identity == running.root, "it has ended");
    let (program, arguments) = now.argv.split_first().context("it has ended")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    for variable in environment.split(|byte| *byte == 0) {
        let mut parts = variable.splitn(2, |byte| *byte == b'=');
        if let (Some(name @ [_, ..]), Some(value)) = (parts.next(), parts.next()) {
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            command.env(text(name), text(value));
        }
    }
    if let Some(folder) = &running.folder {
        command.current_dir(folder);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Ok(command)
}

/// A conversation with the copy.
struct Talk {
    stdin: ChildStdin,
    lines: mpsc::Receiver<Value>,
    asks_for_roots: bool,
}

impl Talk {
    fn new((stdin, stdout): (ChildStdin, ChildStdout)) -> Self {
        let (sender, lines) = mpsc::sync_channel(64);
        thread::spawn(move || read(stdout, &sender));
        Talk {
            stdin,
            lines,
            asks_for_roots: false,
        }
    }

    fn see(
        mut self,
        begun: Instant,
        folder: &Path,
        pss_kb: impl FnOnce() -> anyhow::Result<u64>,
    ) -> anyhow::Result<Seen> {
        let deadline = begun + PATIENCE;
        self.write(&json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"roots": {"listChanged": true}},
                "clientInfo": {"name": "mcpool-advise", "version": env!("CARGO_PKG_VERSION")},
            },
        }))?;
        self.wait_for(1, deadline, folder)?;
        let ready_after = begun.elapsed();
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        self.write(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}))?;
        self.wait_for(2, deadline, folder)?;
        let quiet_until = Instant::now() + QUIET;
        while let Some(message) = self.next(quiet_until) {
            self.hear(&message, folder)?;
        }
        Ok(Seen {
            ready_after,
            asks_for_roots: self.asks_for_roots,
            pss_kb: pss_kb()?,
        })
    }

    fn wait_for(&mut self, id: u32, deadline: Instant, folder: &Path) -> anyhow::Result<()> {
        loop {
            let Some(message) = self.next(deadline) else {
                bail!("it ended, or said nothing for {} s", PATIENCE.as_secs());
            };
            if message.get("method").is_none() && message["id"] == id {
                return Ok(());
            }
            self.hear(&message, folder)?;
        }
    }

    /// Answers what it asks, as a client would that works in this folder.
    fn hear(&mut self, message: &Value, folder: &Path) -> anyhow::Result<()> {
        let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) else {
            return Ok(());
        };
        match method {
            "roots/list" => {
                self.asks_for_roots = true;
                let uri = format!("file://{}", folder.display());
                self.write(
                    &json!({"jsonrpc": "2.0", "id": id, "result": {"roots": [{"uri": uri}]}}),
                )
            }
            "ping" => self.write(&json!({"jsonrpc": "2.0", "id": id, "result": {}})),
            _other => self.write(&json!({
                "jsonrpc": "2.0", "id": id,
                "error": {"code": -32601, "message": "not here"},
            })),
        }
    }

    /// The next message; `None` if there is none until then.
    fn next(&self, until: Instant) -> Option<Value> {
        let left = until.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).ok()
    }

    fn write(&mut self, message: &Value) -> anyhow::Result<()> {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .context("it has ended")
    }
}

/// Sends on what it says, but for what is no message.
fn read(stdout: ChildStdout, sender: &mpsc::SyncSender<Value>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Ok(message) = serde_json::from_str(&line)
            && sender.send(message).is_err()
        {
            return;
        }
    }
}
