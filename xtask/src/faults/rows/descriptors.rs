//! More connections than the daemon may have descriptors.

use std::{
    os::unix::net::UnixStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::{
    faults::{
        Stage,
        home::{self, Home},
        processes::{Process, until},
        session::{PATIENCE, Session},
        shown::{Shown, percentile},
    },
    shell,
};

pub(super) const ROW: Row = Row {
    numbers: &[15],
    fault: "the daemon runs out of descriptors",
    short: 2,
    waits_for: Some("a row that knows how descriptors are shared out"),
    play,
};

const DESCRIPTORS: &str = "64";

/// Who connects and says nothing.
const CONNECTIONS: usize = 200;

/// How long the daemon is starved.
const STARVED: Duration = Duration::from_secs(2);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    if !shell::exists("prlimit") {
        shown.not_tried("there is no `prlimit`");
        return Ok(());
    }
    let home = stage.home()?;
    let mut child = home::start(starved_daemon(&home))?;
    let is_there = || UnixStream::connect(home.pool().join("mcpool.sock")).is_ok();
    until(PATIENCE, is_there).context("the daemon did not start")?;
    let daemon = Process::of(child.id()).context("the daemon runs")?;
    let mut session = Session::greeted(home.fake(&[]))?;
    session.server()?;
    let mut recovered = Vec::new();
    let (mut used, mut starved) = (Duration::ZERO, Duration::ZERO);
    let (mut called, mut most_open) = (0, 0);
    for round in 0..rounds {
        let connections: Vec<UnixStream> = (0..CONNECTIONS)
            .filter_map(|_| UnixStream::connect(home.pool().join("mcpool.sock")).ok())
            .collect();
        // Once it has taken in what it can.
        until(PATIENCE, || daemon.descriptors() >= 30).context("it takes nobody in")?;
        thread::sleep(Duration::from_millis(200));
        most_open = most_open.max(daemon.descriptors());
        let (before, begun) = (daemon.processor_time(), Instant::now());
        while begun.elapsed() < STARVED {
            session.must_call("echo", json!({}))?;
            called += 1;
            thread::sleep(Duration::from_millis(50));
        }
        used += daemon.processor_time_since(before);
        starved += begun.elapsed();
        drop(connections);
        let begun = Instant::now();
        let mut next = Session::greeted(home.fake(&[&format!("--round-{round}")]))?;
        next.must_call("echo", json!({}))?;
        recovered.push(begun.elapsed());
        next.close()?;
    }
    shown.fact("descriptors of the daemon then", most_open);
    shown.at_least(
        "calls of an open session while starved",
        called,
        u64::from(rounds),
    );
    shown.share("processor while starved", used, starved, 5.0);
    shown.within(
        "new session and server served after, longest",
        percentile(&recovered, 100),
        Duration::from_secs(1),
    );
    session.close()?;
    let left = home.end()?;
    child.wait()?;
    left.show(shown);
    Ok(())
}

fn starved_daemon(home: &Home<'_>) -> Command {
    let serve = home.verb(&["serve"]);
    let mut command = Command::new("prlimit");
    command
        .arg(format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}"))
        .arg(serve.get_program())
        .args(serve.get_args())
        .env_clear();
    for (name, value) in serve.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
        .current_dir(home.root())
        .stderr(std::process::Stdio::null());
    command
}
