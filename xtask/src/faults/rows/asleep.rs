//! Everything of ours is stopped for a while, as by a machine that sleeps.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    processes::{self, Process, until},
    session::PATIENCE,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[20],
    fault: "the whole tree is stopped and goes on",
    short: 1,
    play,
};

/// Longer than any ping is waited for here.
const ASLEEP: Duration = Duration::from_secs(5);

const SERVERS: usize = 4;

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let mut text = "[limits]\nping_interval = \"1s\"\n".to_owned();
    let names: Vec<String> = (0..SERVERS)
        .map(|number| format!("server-{number}"))
        .collect();
    for name in &names {
        text += &home.fake_server(name, &["--record", &home.file(name)], "");
    }
    home.configure(&text)?;
    let mut sessions = Vec::new();
    let mut servers = Vec::new();
    for name in &names {
        let mut session = home.session(name)?;
        servers.push(session.server()?);
        sessions.push(session);
    }
    let mut first_calls = Vec::new();
    let (mut waited, mut answered) = (0, 0);
    for round in 0..rounds {
        // One call of each sleeps as well.
        let go = home.file(&format!("go-{round}"));
        let mut open = Vec::new();
        for (session, name) in sessions.iter_mut().zip(&names) {
            open.push(session.begin_call("slow", json!({"until": go}))?);
            let calls = u64::from(round) + 1;
            until(PATIENCE, || home.count(name, "call slow") == calls)
                .context("the call is lost")?;
        }
        sleep(&home)?;
        for session in &mut sessions {
            let begun = Instant::now();
            session.must_call("echo", json!({}))?;
            first_calls.push(begun.elapsed());
        }
        fs::write(&go, "")?;
        for (session, id) in sessions.iter_mut().zip(open) {
            waited += 1;
            answered += u64::from(session.answer(id)?.get("result").is_some());
        }
    }
    let still: Vec<&Process> = servers.iter().filter(|server| server.is_alive()).collect();
    shown.within(
        "first call after, longest",
        percentile(&first_calls, 100),
        Duration::from_secs(3),
    );
    shown.all("calls that slept, answered", answered, waited);
    shown.all("servers still there", still.len() as u64, SERVERS as u64);
    for session in sessions {
        session.close()?;
    }
    home.end()?.show(shown);
    Ok(())
}

fn sleep(home: &Home<'_>) -> anyhow::Result<()> {
    let mut all = processes::with_descendants(home.daemon().context("a daemon runs")?);
    all.extend(home.shims());
    for process in &all {
        process.signal(Signal::STOP);
    }
    thread::sleep(ASLEEP);
    for process in all.iter().rev() {
        process.signal(Signal::CONT);
    }
    Ok(())
}
