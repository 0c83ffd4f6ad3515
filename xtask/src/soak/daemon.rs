//! The daemon of a soak, seen from outside.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::{
    faults::Class,
    shared::{Server, Shared},
};
use crate::shell;

/// How long mcpool may take to answer a person.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How long the daemon may take to let go of what its sessions no longer need.
const RESTS_WITHIN: Duration = Duration::from_secs(5);

/// How long what is left of clients may take to go.
const EMPTY_WITHIN: Duration = Duration::from_secs(20);

/// What a line of the daemon's log says that tells of a fault.
const FOUND: [&str; 3] = ["audit: ", "the core contradicts itself", "a task panicked"];

/// What the daemon takes of the machine while all of its sessions rest.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Resident memory that is its own, in KiB, and the most that it ever had in all.
    pub(crate) memory_kb: u64,
    pub(crate) peak_kb: u64,
    pub(crate) files: usize,
    pub(crate) threads: u64,
    pub(crate) sessions: usize,
    /// Requests that nobody has ended, by the daemon's own account.
    pub(crate) in_flight: u64,
    /// The processes of its servers.
    pub(crate) servers: Vec<u32>,
    /// Messages of servers that went to nobody, by reason.
    pub(crate) dropped: Vec<(String, u64)>,
    /// How often each kind of thing has happened.
    pub(crate) counts: Value,
}

impl Figures {
    pub(crate) fn of(shared: &Shared) -> anyhow::Result<Figures> {
        let status = status(shared)?;
        let pid = status["daemon"]["pid"].as_u64().context("no daemon runs")?;
        let process = PathBuf::from(format!("/proc/{pid}"));
        let text =
            fs::read_to_string(process.join("status")).context("reading about the daemon")?;
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let figure =
                line.and_then(|line| line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok());
            figure.with_context(|| format!("no {name} in {text}"))
        };
        let each = |list: &'static str| status[list].as_array().into_iter().flatten();
        let owed = each("upstreams").chain(each("sessions"));
        let dropped = each("upstreams").filter_map(|upstream| upstream["dropped"].as_object());
        let mut reasons = BTreeMap::<String, u64>::new();
        for (reason, count) in dropped.flatten() {
            *reasons.entry(reason.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
        let pids =
            each("upstreams").filter_map(|upstream| u32::try_from(upstream["pid"].as_u64()?).ok());
        Ok(Figures {
            memory_kb: figure("RssAnon")?,
            peak_kb: figure("VmHWM")?,
            files: fs::read_dir(process.join("fd"))?.count(),
            threads: figure("Threads")?,
            sessions: each("sessions").count(),
            in_flight: owed
                .map(|peer| peer["in_flight"].as_u64().unwrap_or(0))
                .sum(),
            servers: pids.collect(),
            dropped: reasons.into_iter().collect(),
            counts: status["counts"].clone(),
        })
    }

    /// The same, once no more is open than there was, or after a while.
    pub(crate) fn at_rest(shared: &Shared, first: Option<&Figures>) -> anyhow::Result<Figures> {
        let begun = Instant::now();
        loop {
            let figures = Figures::of(shared)?;
            // The daemon may still be about to close what it was asked through.
            let is_at_rest = first.is_none_or(|first| {
                figures.files <= first.files && figures.threads <= first.threads
            });
            if is_at_rest && figures.in_flight == 0 || begun.elapsed() > RESTS_WITHIN {
                return Ok(figures);
            }
        }
    }
}

fn status(shared: &Shared) -> anyhow::Result<Value> {
    let text = shell::output_within(shared.verb("status").arg("--json"), ANSWERS_WITHIN)?;
    serde_json::from_str(&text).with_context(|| format!("reading the status {text:?}"))
}

/// Waits until no session is left and nobody owes anything.
pub(crate) fn await_emptiness(shared: &Shared) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let figures = Figures::of(shared)?;
        if figures.sessions == 0 && figures.in_flight == 0 {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < EMPTY_WITHIN,
            "something is left: {figures:#?}"
        );
    }
}

/// What the daemon's books say, if it was built to keep them; whatever they have found is a fault. The
/// daemon must have ended.
pub(crate) fn verdict_of_books(shared: &Shared) -> anyhow::Result<Option<String>> {
    let logs = shared.home().join("logs");
    let mut verdict = None;
    for entry in fs::read_dir(&logs).context("listing the logs")? {
        let entry = entry?;
        if !entry
            .file_name()
            .to_string_lossy()
            .starts_with("daemon.log")
        {
            continue;
        }
        let text = fs::read_to_string(entry.path()).context("reading the daemon's log")?;
        for line in text.lines() {
            if line.contains("audit: ") && line.ends_with(", clean") {
                verdict = line
                    .split_once("audit: ")
                    .map(|(_, words)| words.to_owned());
            } else if FOUND.iter().any(|words| line.contains(words)) {
                shared.faults.note(Class::Unexpected, line.to_owned());
            }
        }
    }
    Ok(verdict)
}

/// Kills the process that answered last.
pub(crate) fn kill(server: &Server) -> anyhow::Result<()> {
    let number = server.pid.load(Ordering::Acquire);
    let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else {
        bail!("server {} has answered nothing yet", server.name);
    };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(()); // It has died of something else.
    };
    // Not another one that has the number by now.
    let command = fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
    if command.contains("soak-server") {
        server.crashes.fetch_add(1, Ordering::AcqRel);
        let _ended = pidfd_send_signal(&process, Signal::KILL);
    }
    Ok(())
}
