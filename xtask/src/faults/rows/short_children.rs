//! Servers that leave a great many short processes to whoever adopts them.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    processes::{self, Process, until},
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[27],
    fault: "many short processes are left to us",
    short: 2,
    play,
};

/// Orphans of one round.
const ORPHANS: u32 = 500;

/// The shell leaves one process after the other behind, and serves then.
const SCRIPT: &str = r#"i=0; while [ $i -lt "$0" ]; do ( : & ); i=$((i+1)); done; exec "$@""#;

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let mut first = Session::greeted(home.fake(&[]))?;
    first.server()?;
    let guardian = home.guardian()?;
    let zombies = || {
        let tree = processes::with_descendants(guardian);
        tree.iter().filter(|process| process.is_zombie()).count() as u64
    };
    let mut samples = Vec::new();
    let mut empty_after = Vec::new();
    for round in 0..rounds {
        let mut command = home.verb(&["connect", "--name", "orphans", "--scope", "global", "--"]);
        command
            .args(["/bin/sh", "-c", SCRIPT, &ORPHANS.to_string()])
            .arg(&home.stage.fake_server)
            .arg(format!("--round-{round}"));
        let mut session = Session::open(command)?;
        let greeting = session.greet()?;
        let answer = loop {
            if let Some(answer) = session.answer_within(greeting, Duration::ZERO)? {
                break answer;
            }
            samples.push(zombies());
            thread::sleep(Duration::from_millis(2));
        };
        anyhow::ensure!(answer.get("result").is_some(), "told {answer}");
        let begun = Instant::now();
        until(PATIENCE, || zombies() == 0).context("zombies stay")?;
        empty_after.push(begun.elapsed());
        session.say_greeted()?;
        session.must_call("echo", json!({}))?;
        session.close()?;
    }
    first.close()?;
    shown.fact("orphans", ORPHANS * rounds);
    shown.fact("looks", samples.len());
    samples.sort_unstable();
    shown.fact(
        "zombies at a look, most",
        samples.last().copied().unwrap_or(0),
    );
    // What has just ended is one until its parent has been told.
    let typical = samples.get(samples.len() / 2).copied().unwrap_or(0);
    shown.at_most("zombies at a look, median", typical, 1);
    shown.within(
        "none left after, longest",
        percentile(&empty_after, 100),
        Duration::from_secs(1),
    );
    let is_there = Process::of(guardian.pid) == Some(guardian);
    shown.at_least("guardian still there", u64::from(is_there), 1);
    home.end()?.show(shown);
    Ok(())
}
