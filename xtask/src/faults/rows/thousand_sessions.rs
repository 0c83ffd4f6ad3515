//! A thousand sessions of ten servers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    caller::{Caller, session_on},
    session::PATIENCE,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[45],
    fault: "1,000 sessions of ten servers",
    short: 1,
    play,
};

const SESSIONS: usize = 1000;
const SERVERS: usize = 10;

/// What one that says nothing may take.
const IDLE_KB: u64 = 64;

/// From the call to the answer to its preface.
const LET_IN: Duration = Duration::from_millis(50);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let mut let_in = Vec::new();
    let (mut idle_kb, mut answered) = (0, 0);
    for _ in 0..rounds {
        let home = stage.home()?;
        let names: Vec<String> = (0..SERVERS)
            .map(|number| format!("server-{number}"))
            .collect();
        let servers = names.iter().map(|name| home.fake_server(name, &[], ""));
        home.configure(&servers.collect::<String>())?;
        let mut first = names
            .iter()
            .map(|name| home.session(name))
            .collect::<anyhow::Result<Vec<_>>>()?;
        // So that all servers run, and what each costs is not counted to the sessions.
        for session in &mut first {
            session.must_call("echo", json!({}))?;
        }
        let daemon = home.daemon().context("a daemon runs")?;
        let before = daemon.memory_kb();
        let mut callers = Vec::new();
        for number in 0..SESSIONS {
            let ask = session_on(&names[number % SERVERS], home.root());
            let begun = Instant::now();
            let mut caller = Caller::accepted(&home.pool(), ask)?;
            let_in.push(begun.elapsed());
            caller.greet()?;
            callers.push(caller);
        }
        let more = daemon.memory_kb().saturating_sub(before);
        idle_kb = idle_kb.max(more / SESSIONS as u64);
        answered += answered_by_all(&mut callers)?;
        drop(callers);
        for session in first {
            session.close()?;
        }
        home.end()?.show(shown);
    }
    shown.all(
        "sessions answered",
        answered,
        u64::from(rounds) * SESSIONS as u64,
    );
    shown.at_most("KiB of an idle session", idle_kb, IDLE_KB);
    shown.within("let in p99", percentile(&let_in, 99), LET_IN);
    Ok(())
}

/// All of them call at once; how many have their own answer.
fn answered_by_all(callers: &mut [Caller]) -> anyhow::Result<u64> {
    for (number, caller) in callers.iter_mut().enumerate() {
        let arguments = json!({"text": format!("of {number}")});
        caller.call(number, "echo", &arguments)?;
    }
    let begun = Instant::now();
    for (number, caller) in callers.iter_mut().enumerate() {
        let answer = caller.message()?;
        let text = &answer["result"]["content"][0]["text"];
        ensure!(
            answer["id"] == number && *text == format!("of {number}"),
            "caller {number} was told {answer}"
        );
        ensure!(begun.elapsed() < PATIENCE, "they are answered too slowly");
    }
    Ok(callers.len() as u64)
}
