//! Processes that a server starts and that do not end with it.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context;

use crate::{agent, record::Record, rewriter};

/// What a descendant of the server is started with instead of options.
const LINGER: &str = "linger";
/// The same, by way of a process that makes a session of its own and exits.
const ESCAPE: &str = "escape";

/// Plays the role that this process was started for; `None` if it is the server itself.
pub(crate) fn play(role: &OsStr, record: &OsStr) -> Option<anyhow::Result<ExitCode>> {
    match role.to_str() {
        Some(LINGER) => Some(linger(record)),
        Some(ESCAPE) => Some(escape(record)),
        Some(agent::ROLE) => Some(agent::play(record)),
        Some(rewriter::ROLE) => Some(rewriter::play(record)),
        _server => None,
    }
}

/// Starts a child that stays in the server's group; if there is a record, waits until it has told of itself there.
pub(crate) fn start_child(record: Option<&Path>) -> anyhow::Result<()> {
    let child = start(LINGER, record)?;
    if let Some(record) = record {
        let told = lingering(child.id());
        while !fs::read_to_string(record)?.lines().any(|line| line == told) {
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

fn lingering(pid: u32) -> String {
    format!("lingering {pid}")
}

/// Starts a descendant that leaves the server's group and session.
pub(crate) fn start_runaway(record: Option<&Path>) -> anyhow::Result<()> {
    start(ESCAPE, record)?.wait()?;
    Ok(())
}

/// Starts this program again; it keeps our standard output and error open.
fn start(role: &str, record: Option<&Path>) -> anyhow::Result<Child> {
    Command::new(env::current_exe()?)
        .arg(role)
        .arg(record.unwrap_or(Path::new("")))
        .stdin(Stdio::null())
        .spawn()
        .context("starting a descendant")
}

fn linger(record: &OsStr) -> anyhow::Result<ExitCode> {
    let path = (!record.is_empty()).then_some(record.as_ref());
    Record::open(path)?.note(format_args!("{}", lingering(std::process::id())));
    loop {
        thread::park();
    }
}

fn escape(record: &OsStr) -> anyhow::Result<ExitCode> {
    rustix::process::setsid()?;
    start(LINGER, Some(record.as_ref()))?;
    Ok(ExitCode::SUCCESS)
}
