//! Servers that never answer `initialize`, or not for a long time.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    processes::until,
    session::{PATIENCE, Session, reason},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[4],
    fault: "a server does not answer initialize",
    short: 2,
    play,
};

/// How long a session waits: 25 s in life.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// Sessions that wait for one server.
const SESSIONS: u64 = 8;

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let mut waits = Vec::new();
    let (mut processes, mut usable) = (0, 0);
    let mut left = crate::faults::home::Left::default();
    for _ in 0..rounds {
        let home = stage.home()?;
        let go = home.file("go");
        let (never, slow) = (home.file("never"), home.file("slow"));
        home.configure(&format!(
            "[limits]\nstart_patience = \"{} ms\"\n{}{}",
            START_PATIENCE.as_millis(),
            home.fake_server("never", &["--record", &never, "--hang-at", "start"], ""),
            home.fake_server("slow", &["--record", &slow, "--start-until", &go], ""),
        ))?;
        let (hanging, starting) = thread::scope(|scope| {
            let hanging = scope.spawn(|| wait_all(&home, "never"));
            let starting = scope.spawn(|| wait_all(&home, "slow"));
            (hanging.join(), starting.join())
        });
        let panicked = "a session panicked";
        let hanging = hanging.ok().context(panicked)??;
        let starting = starting.ok().context(panicked)??;
        waits.extend(hanging.iter().chain(&starting).map(|(_, took)| *took));
        fs::write(&go, "").context("letting it start")?;
        usable += use_all(&home, starting)?;
        drop(hanging);
        processes = processes
            .max(home.count("never", "started "))
            .max(home.count("slow", "started "));
        left.add(home.end()?);
    }
    shown.all(
        "answered that it still starts",
        waits.len() as u64,
        u64::from(rounds) * 2 * SESSIONS,
    );
    shown.within(
        "answered after, longest",
        percentile(&waits, 100),
        START_PATIENCE * 11 / 10,
    );
    shown.at_most("most processes of a server", processes, 1);
    shown.all(
        "usable later in the same session",
        usable,
        u64::from(rounds) * SESSIONS,
    );
    left.show(shown);
    Ok(())
}

/// Greets in many sessions at once; what is told each, and after how long.
fn wait_all(home: &Home<'_>, name: &str) -> anyhow::Result<Vec<(Session, Duration)>> {
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = Session::open(home.connect(name))?;
        let begun = Instant::now();
        let id = session.greet()?;
        sessions.push((session, id, begun));
    }
    let mut waited = Vec::new();
    for (mut session, id, begun) in sessions {
        let answer = session.answer(id)?;
        let took = begun.elapsed();
        ensure!(reason(&answer) == "still-starting", "told {answer}");
        waited.push((session, took));
    }
    Ok(waited)
}

/// How many of them can be used once it has started.
fn use_all(home: &Home<'_>, sessions: Vec<(Session, Duration)>) -> anyhow::Result<u64> {
    let is_ready = || {
        home.status().is_ok_and(|status| {
            let mut upstreams = status["upstreams"].as_array().into_iter().flatten();
            upstreams.any(|upstream| upstream["server"] == "slow" && upstream["state"] == "ready")
        })
    };
    until(PATIENCE, is_ready).context("it did not get ready")?;
    let mut usable = 0;
    for (mut session, _) in sessions {
        let id = session.greet()?;
        let is_greeted = session.answer(id)?.get("result").is_some();
        session.say_greeted()?;
        let (answer, _) = session.call("echo", json!({}))?;
        usable += u64::from(is_greeted && answer.get("result").is_some());
        session.close()?;
    }
    Ok(usable)
}
