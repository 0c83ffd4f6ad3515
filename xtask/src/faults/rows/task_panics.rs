//! A task of the daemon panics, as a fault of ours would have it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::number,
    session::{Session, reason},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[10],
    fault: "the task that reads a session panics",
    short: 3,
    play,
};

/// Until the session whose task it was is served again; it has to come in anew.
const SERVED_AGAIN: Duration = Duration::from_secs(1);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let stage = stage.of_tests()?;
    let home = stage.home()?;
    let mut other = Session::greeted(home.fake(&[]))?;
    let server = other.server()?;
    let daemon = home.daemon().context("a daemon runs")?;
    let mut doomed = Session::greeted(home.fake(&[]))?;
    let mut again = Vec::new();
    for round in 0..rounds {
        let begun = Instant::now();
        let id = doomed.begin("failpoint/panic", &json!({"round": round}))?;
        other.must_call("echo", json!({}))?;
        // Its shim cannot know how far it has come.
        let answer = doomed.answer(id)?;
        ensure!(reason(&answer) == "daemon-restarted", "{answer}");
        doomed.must_call("echo", json!({}))?;
        again.push(begun.elapsed());
    }
    let counted = number(&home.status()?["daemon"]["task_panics"]);
    shown.all("panics in the status", counted, u64::from(rounds));
    let is_alive = home.daemon() == Some(daemon) && other.server()? == server;
    shown.all("daemon and server alive", u64::from(is_alive), 1);
    shown.within(
        "served again, longest",
        percentile(&again, 100),
        SERVED_AGAIN,
    );
    other.close()?;
    doomed.close()?;
    let left = home.end()?;
    left.without_words("a task panicked").show(shown);
    Ok(())
}
