//! A server writes to its standard error without end, while others call.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[14, 36],
    fault: "a server floods its standard error",
    short: 2,
    play,
};

/// What it writes in one round.
const FLOOD: u64 = 64 << 20;

/// All logs together, and those of one server: five old ones and the present one.
const LOGS_MAX: u64 = 200 << 20;
const SERVER_LOGS_MAX: u64 = 6 * (10 << 20);

/// Calls that tell how it is without a flood.
const QUIET_CALLS: usize = 300;

/// What is not worth comparing: a call that takes this has not been held up.
const NO_DELAY: Duration = Duration::from_millis(2);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let mut flooding = Session::greeted(home.fake(&["--flooding"]))?;
    let mut neighbour = Session::greeted(home.fake(&["--flooding"]))?;
    let mut other = Session::greeted(home.fake(&["--other"]))?;
    // Known not to ask, so that they run side by side.
    flooding.must_call("stderr-flood", json!({"bytes": 1}))?;
    let mut quiet = Vec::new();
    for _ in 0..QUIET_CALLS {
        quiet.push(neighbour.must_call("echo", json!({}))?);
        other.must_call("echo", json!({}))?;
    }
    let quiet = percentile(&quiet, 99).unwrap_or_default();
    let daemon = home.daemon().context("a daemon runs")?;
    let (mut beside, mut elsewhere) = (Vec::new(), Vec::new());
    let (before, begun) = (daemon.processor_time(), Instant::now());
    let mut unanswered = 0;
    for _ in 0..rounds {
        let flood = flooding.begin_call("stderr-flood", json!({"bytes": FLOOD}))?;
        let answer = loop {
            if let Some(answer) = flooding.answer_within(flood, Duration::ZERO)? {
                break answer;
            }
            beside.push(neighbour.must_call("echo", json!({}))?);
            elsewhere.push(other.must_call("echo", json!({}))?);
            anyhow::ensure!(begun.elapsed() < PATIENCE * rounds, "the flood has no end");
        };
        unanswered += u64::from(answer.get("result").is_none());
    }
    let (took, used) = (begun.elapsed(), daemon.processor_time_since(before));
    shown.fact(
        "written",
        format!("{} MiB in {took:.1?}", (FLOOD >> 20) * u64::from(rounds)),
    );
    shown.at_least("calls beside it", beside.len() as u64, u64::from(rounds));
    shown.at_most("floods without an answer", unanswered, 0);
    shown.fact("p99 without a flood", format!("{quiet:.1?}"));
    let most = (quiet * 2).max(NO_DELAY);
    shown.within("p99 of the same server", percentile(&beside, 99), most);
    shown.within("p99 of another server", percentile(&elsewhere, 99), most);
    shown.share("processor of the daemon", used, took, 50.0);
    let logs = home.pool().join("logs");
    shown.at_most("bytes of all logs", bytes(&logs, ""), LOGS_MAX);
    shown.at_most(
        "bytes of the server's logs",
        bytes(&logs, "fake"),
        SERVER_LOGS_MAX,
    );
    for session in [flooding, neighbour, other] {
        session.close()?;
    }
    home.end()?.show(shown);
    Ok(())
}

/// The bytes of all files in a folder whose name begins so.
fn bytes(folder: &Path, beginning: &str) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let such = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(beginning)
    });
    such.filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
