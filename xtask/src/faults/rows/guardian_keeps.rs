//! The daemon is killed, and nobody comes after it; or somebody does.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::{Home, Left},
    processes::{self, Process, until},
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[26],
    fault: "a killed daemon leaves servers to the guardian",
    short: 2,
    play,
};

/// How often the tool is called before, so that the server has something to remember.
const COUNTED: u64 = 3;

#[derive(Default)]
struct Seen {
    /// Without a next daemon.
    gone: Vec<Duration>,
    survivors: u64,
    /// With one.
    kept: u64,
    remembered: u64,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    let mut left = Left::default();
    for _ in 0..rounds {
        let home = stage.home()?;
        die_alone(&home, &mut seen)?;
        left.add(home.end()?.without_files());
        let home = stage.home()?;
        if let Err(error) = die_with_an_heir(&home, &mut seen) {
            shown.tell(format!("with a next daemon: {error:#}"));
        }
        left.add(home.end()?);
    }
    shown.at_most("survivors without a next daemon", seen.survivors, 0);
    // 5 s until they are given up, and the end of those that want to be killed.
    shown.within(
        "gone after, longest",
        percentile(&seen.gone, 100),
        Duration::from_secs(10),
    );
    shown.all(
        "same server with a next daemon",
        seen.kept,
        u64::from(rounds),
    );
    shown.all("its memory intact", seen.remembered, u64::from(rounds));
    left.show(shown);
    Ok(())
}

/// The tree of a server that does not end before it must, and everything above it.
fn tree(home: &Home<'_>) -> anyhow::Result<(Session, Process, Vec<Process>)> {
    let record = home.file("record");
    let options = [
        "--record",
        &record,
        "--grandchild",
        "--double-fork",
        "--ignore-term",
    ];
    let mut session = Session::greeted(home.fake(&options))?;
    let is_grown = || home.count("record", "lingering ") == 2;
    until(PATIENCE, is_grown).context("descendants do not start")?;
    for _ in 0..COUNTED {
        session.must_call("count", json!({}))?;
    }
    let daemon = home.daemon().context("a daemon runs")?;
    let all = processes::with_descendants(daemon);
    Ok((session, daemon, all))
}

fn die_alone(home: &Home<'_>, seen: &mut Seen) -> anyhow::Result<()> {
    let (session, daemon, all) = tree(home)?;
    // Nobody is there who might want another one.
    session.kill()?;
    let begun = Instant::now();
    daemon.kill();
    let _late = until(PATIENCE, || !all.iter().any(Process::is_alive));
    seen.gone.push(begun.elapsed());
    seen.survivors += all.iter().filter(|process| process.is_alive()).count() as u64;
    Ok(())
}

fn die_with_an_heir(home: &Home<'_>, seen: &mut Seen) -> anyhow::Result<()> {
    let (mut session, daemon, _) = tree(home)?;
    let server = session.server()?;
    daemon.kill();
    let id = session.begin_call("count", json!({}))?;
    let mut answer = session.answer(id)?;
    if answer.get("error").is_some() {
        // It may have been on its way when the daemon died.
        (answer, _) = session.call("count", json!({}))?;
    }
    let text = answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_default();
    seen.remembered += u64::from(text.parse().is_ok_and(|count: u64| count > COUNTED));
    seen.kept += u64::from(session.server()? == server && server.is_alive());
    session.close()
}
