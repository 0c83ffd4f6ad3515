//! The daemon has no descriptor left, while everybody wants one.

use std::{
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::Resource;
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
    numbers: &[15],
    fault: "the daemon runs out of descriptors",
    short: 2,
    play,
};

/// Who connects and says nothing.
const CONNECTIONS: usize = 200;

/// How long the daemon is starved.
const STARVED: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Seen {
    called: u64,
    used: Duration,
    starved: Duration,
    /// Servers that ended while there was nothing to start them with, and whose session was told so.
    told: u64,
    /// A new session, on a new server.
    recovered: Vec<Duration>,
    /// The server that had ended.
    again: Vec<Duration>,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let mut session = Session::greeted(home.fake(&[]))?;
    session.server()?;
    let mut seen = Seen::default();
    for number in 0..rounds {
        round(&home, &mut session, number, &mut seen)?;
    }
    shown.at_least(
        "calls of an open session while starved",
        seen.called,
        u64::from(rounds),
    );
    shown.share("processor while starved", seen.used, seen.starved, 5.0);
    shown.all(
        "told why a server does not start",
        seen.told,
        u64::from(rounds),
    );
    let most = Duration::from_secs(1);
    shown.within(
        "new session and server served after, longest",
        percentile(&seen.recovered, 100),
        most,
    );
    shown.within(
        "server that had ended serves after, longest",
        percentile(&seen.again, 100),
        most,
    );
    session.close()?;
    home.end()?.show(shown);
    Ok(())
}

fn round(
    home: &Home<'_>,
    session: &mut Session,
    number: u32,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let daemon = home.daemon().context("a daemon runs")?;
    let mut other = Session::greeted(home.fake(&[&format!("--say=other-{number}")]))?;
    let server = other.server()?;
    // Not one more: every descriptor that it has has a lower number.
    daemon.limit(Resource::Nofile, Some(daemon.lowest_free_descriptor()))?;
    let connections: Vec<UnixStream> = (0..CONNECTIONS)
        .filter_map(|_| UnixStream::connect(home.pool().join("mcpool.sock")).ok())
        .collect();
    let (before, begun) = (daemon.processor_time(), Instant::now());
    while begun.elapsed() < STARVED {
        session.must_call("echo", json!({}))?;
        seen.called += 1;
        thread::sleep(Duration::from_millis(50));
    }
    seen.used += daemon.processor_time_since(before);
    seen.starved += begun.elapsed();
    // Late: what fails for long is tried ever more seldom.
    server.kill();
    until(PATIENCE, || !server.is_alive()).context("a server does not die")?;
    let (answer, _) = other.call("echo", json!({}))?;
    seen.told += u64::from(!reason(&answer).is_empty());
    daemon.limit(Resource::Nofile, None)?;
    drop(connections);
    let begun = Instant::now();
    let mut next = Session::greeted(home.fake(&[&format!("--say=next-{number}")]))?;
    next.must_call("echo", json!({}))?;
    seen.recovered.push(begun.elapsed());
    let is_served = || {
        let answer = other.call("echo", json!({}));
        answer.is_ok_and(|(answer, _)| answer.get("result").is_some())
    };
    until(PATIENCE, is_served).context("a server is not started again")?;
    seen.again.push(begun.elapsed());
    next.close()?;
    other.close()
}
