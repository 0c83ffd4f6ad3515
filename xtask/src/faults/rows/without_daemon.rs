//! There is no daemon to be had, as its program is gone.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::{
    faults::{
        Stage,
        home::{Home, Left},
        processes::until,
        session::{PATIENCE, Session},
        shown::{Shown, percentile},
    },
    shell,
};

pub(super) const ROW: Row = Row {
    numbers: &[43],
    fault: "no daemon can be had",
    short: 1,
    play,
};

/// Sessions that want the same server at once.
const SESSIONS: usize = 4;

#[derive(Default)]
struct Seen {
    /// From the start of the shims to the first answer.
    usable: Vec<Duration>,
    direct: u64,
    refused: u64,
    /// Statuses that told of it, without a daemon and with one.
    told: u64,
    /// Sessions that a daemon let wait for the one that ran without it, and served then.
    served: u64,
    second_servers: u64,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    let mut left = Left::default();
    for _ in 0..rounds {
        let home = stage.home()?;
        round(&home, &mut seen)?;
        left.add(home.end()?);
    }
    let rounds = u64::from(rounds);
    shown.all("rounds in which one session ran it", seen.direct, rounds);
    shown.all(
        "others that were told why",
        seen.refused,
        rounds * (SESSIONS as u64 - 1),
    );
    shown.within(
        "usable after, longest",
        percentile(&seen.usable, 100),
        Duration::from_secs(3),
    );
    shown.all("told by `status`", seen.told, 2 * rounds);
    shown.at_most(
        "servers that a daemon started beside it",
        seen.second_servers,
        0,
    );
    shown.all("served by a daemon when it had ended", seen.served, rounds);
    left.show(shown);
    Ok(())
}

fn round(home: &Home<'_>, seen: &mut Seen) -> anyhow::Result<()> {
    let programs = Programs::without_daemon(home)?;
    let begun = Instant::now();
    let mut direct = Vec::new();
    let opened: Vec<anyhow::Result<Session>> =
        (0..SESSIONS).map(|_| programs.session(home)).collect();
    for session in opened {
        match session {
            Ok(session) => direct.push(session),
            Err(_) => seen.refused += 1,
        }
    }
    let mut session = direct.pop().context("nobody runs the server")?;
    seen.direct += u64::from(direct.is_empty());
    session.must_call("echo", json!({}))?;
    seen.usable.push(begun.elapsed());
    let server = session.server()?;
    let is_told = |status: &serde_json::Value| {
        let all = status["direct"].as_array();
        all.is_some_and(|all| all.len() == 1 && all[0]["pid"] == server.pid)
    };
    seen.told += u64::from(is_told(&status_without_daemon(home)?));
    // A daemon comes after all, and is asked for the same server.
    let mut waiting = Session::open(home.fake(&[]))?;
    let greeting = waiting.greet()?;
    let is_told_by_daemon = || home.status().is_ok_and(|status| is_told(&status));
    seen.told += u64::from(until(PATIENCE, is_told_by_daemon).is_some());
    let others = || {
        let upstreams = home.status().map(|status| status["upstreams"].clone());
        let pids = upstreams.ok().and_then(|all| Some(all.as_array()?.clone()));
        pids.into_iter()
            .flatten()
            .filter(|upstream| !upstream["pid"].is_null())
            .count()
    };
    seen.second_servers += others() as u64;
    session.close()?;
    until(PATIENCE, || !server.is_alive()).context("the server does not end")?;
    let answer = waiting.answer(greeting)?;
    seen.served += u64::from(answer.get("result").is_some());
    waiting.close()
}

/// An installation that lacks the daemon's program.
struct Programs {
    mcpool: PathBuf,
}

impl Programs {
    fn without_daemon(home: &Home<'_>) -> anyhow::Result<Programs> {
        let folder = home.root().join("bin");
        fs::create_dir(&folder)?;
        let mcpool = folder.join("mcpool");
        fs::copy(&home.stage.mcpool, &mcpool)?;
        Ok(Programs { mcpool })
    }

    fn session(&self, home: &Home<'_>) -> anyhow::Result<Session> {
        Session::greeted(home.fake_by(&self.mcpool, &[]))
    }
}

/// What there is, without a daemon; none is started for that.
fn status_without_daemon(home: &Home<'_>) -> anyhow::Result<serde_json::Value> {
    let mut status = home.verb(&["status", "--json"]);
    let output = shell::ended_within(&mut status, PATIENCE)?;
    let output = output.context("no status")?;
    Ok(serde_json::from_slice(&output.stdout)?)
}
