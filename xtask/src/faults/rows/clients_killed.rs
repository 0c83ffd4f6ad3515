//! Clients and shims are killed in the middle of calls.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fastrand::Rng;
use serde_json::{Value, json};

use super::Row;
use crate::faults::{
    Stage,
    home::{Home, open_in},
    processes::{Process, until},
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[7, 8],
    fault: "clients and shims are killed at any moment",
    short: 12,
    play,
};

/// Sessions of a round, one of which has a server of its own.
const SESSIONS: usize = 6;

/// Calls that each has open.
const CALLS: usize = 5;

/// The longest life of a session.
const LIFE: Duration = Duration::from_millis(60);

#[derive(Default)]
struct Seen {
    killed: u64,
    calls: u64,
    /// From the last kill until the daemon knows of no session and no request.
    emptied: Vec<Duration>,
    own_servers_ended: Vec<Duration>,
    /// From the last kill until the server knew that nobody waits for any of its calls.
    cancelled: Vec<Duration>,
    not_cancelled: u64,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let mut chance = Rng::with_seed(stage.seed);
    let mut seen = Seen::default();
    // As it is when somebody has been there.
    round(&home, &mut chance, &mut seen)?;
    let daemon = home.daemon().context("a daemon runs")?;
    let first = at_rest(daemon, u64::MAX);
    for _ in 0..rounds {
        round(&home, &mut chance, &mut seen)?;
    }
    let last = at_rest(daemon, first);
    shown.fact("killed", seen.killed);
    shown.fact("calls open then", seen.calls);
    shown.within(
        "nothing in flight after, longest",
        percentile(&seen.emptied, 100),
        Duration::from_secs(1),
    );
    shown.at_most(
        "executed calls that were not cancelled",
        seen.not_cancelled,
        0,
    );
    shown.within(
        "cancelled at the server after, longest",
        percentile(&seen.cancelled, 100),
        Duration::from_secs(1),
    );
    shown.within(
        "server of a session gone after, longest",
        percentile(&seen.own_servers_ended, 100),
        Duration::from_secs(5),
    );
    shown.at_most(
        "more descriptors of the daemon",
        last.saturating_sub(first),
        0,
    );
    home.end()?.show(shown);
    Ok(())
}

/// The daemon's descriptors once it has no more than these, or after a while.
fn at_rest(daemon: Process, most: u64) -> u64 {
    // It may still be about to close what it was asked through.
    let _late = until(Duration::from_secs(2), || daemon.descriptors() <= most);
    daemon.descriptors()
}

fn round(home: &Home<'_>, chance: &mut Rng, seen: &mut Seen) -> anyhow::Result<()> {
    let record = home.file("record");
    let shared = ["--record", &record];
    let mut sessions = Vec::new();
    for _ in 1..SESSIONS {
        sessions.push(Session::greeted(home.fake(&shared))?);
    }
    let mut own = home.verb(&["connect", "--scope", "session", "--"]);
    own.arg(&home.stage.fake_server);
    let mut own = Session::greeted(own)?;
    let own_server = own.server()?;
    sessions.push(own);
    for session in &mut sessions {
        for _ in 0..CALLS {
            session.begin_call("hang", json!({}))?;
            seen.calls += 1;
        }
    }
    let mut last = Instant::now();
    for session in sessions {
        thread::sleep(LIFE.mul_f64(chance.f64()) / u32::try_from(SESSIONS)?);
        last = Instant::now();
        seen.killed += 1;
        if chance.bool() {
            session.kill()?;
        } else {
            session.vanish()?;
        }
    }
    let is_empty = |status: &Value| open_in(status) == (0, 0);
    until(PATIENCE, || {
        home.status().is_ok_and(|status| is_empty(&status))
    })
    .context("something stays in flight")?;
    seen.emptied.push(last.elapsed());
    until(PATIENCE, || !own_server.is_alive()).context("the server of one session stays")?;
    seen.own_servers_ended.push(last.elapsed());
    match until(PATIENCE, || not_cancelled(home) == 0) {
        Some(_) => seen.cancelled.push(last.elapsed()),
        None => seen.not_cancelled = not_cancelled(home),
    }
    Ok(())
}

/// Calls that the shared server works on, though those who made them are gone.
fn not_cancelled(home: &Home<'_>) -> u64 {
    let called = home.count("record", "call hang");
    called.saturating_sub(home.count("record", "cancelled"))
}
