//! Servers that stop, and servers that are only slow.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    processes::Process,
    session::{PATIENCE, Session},
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[3],
    fault: "a server hangs, or is slow",
    short: 2,
    play,
};

/// How long a server may say nothing before it is pinged: 30 s in life.
const PING: Duration = Duration::from_millis(500);

/// When a hang has to be noticed, as a part of that: 100 s in life.
const NOTICED_PERCENT: u32 = 333;

/// How long a call takes that is slow, far more than a hang takes to be noticed.
const SLOW: Duration = Duration::from_millis(2500);

/// What is seen of all rounds.
#[derive(Default)]
struct Seen {
    noticed: Vec<Duration>,
    /// Calls of the session beside it, while the server hung.
    beside: Vec<Duration>,
    /// Servers that were stopped though a call was open, and calls that had no result.
    stopped: u64,
    unanswered: u64,
    replaced: u64,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    home.configure(&format!(
        "[limits]\nping_interval = \"{} ms\"\n{}{}",
        PING.as_millis(),
        (0..rounds)
            .map(|round| home.fake_server(
                &format!("hung-{round}"),
                &[&format!("--hung-{round}")],
                ""
            ))
            .collect::<String>(),
        home.fake_server("other", &[], ""),
    ))?;
    let mut seen = Seen::default();
    let mut other = home.session("other")?;
    other.server()?;
    for round in 0..rounds {
        let name = format!("hung-{round}");
        let mut session = home.session(&name)?;
        let server = session.server()?;
        hang_in_a_call(&home, &mut session, &name, server, &mut other, &mut seen)?;
        be_slow(&mut session, server, &mut seen)?;
        hang_without_a_call(&mut session, server, &mut seen)?;
        session.close()?;
    }
    other.close()?;
    shown.within(
        "noticed after, longest",
        percentile(&seen.noticed, 100),
        PING * NOTICED_PERCENT / 100,
    );
    shown.at_least(
        "calls beside it",
        seen.beside.len() as u64,
        u64::from(rounds),
    );
    shown.within(
        "calls beside it, p99",
        percentile(&seen.beside, 99),
        Duration::from_millis(50),
    );
    shown.at_most("stopped in the middle of a call", seen.stopped, 0);
    shown.at_most("calls without a result", seen.unanswered, 0);
    shown.all(
        "replaced when nothing but reads was open",
        seen.replaced,
        u64::from(rounds),
    );
    home.end()?.show(shown);
    Ok(())
}

/// Its state as the status says it, of the server of this name.
fn state(home: &Home<'_>, name: &str) -> anyhow::Result<String> {
    let status = home.status()?;
    let mut upstreams = status["upstreams"].as_array().into_iter().flatten();
    let upstream = upstreams.find(|upstream| upstream["server"] == name);
    let state = upstream.and_then(|upstream| upstream["state"].as_str());
    Ok(state
        .with_context(|| format!("no {name} in {status}"))?
        .to_owned())
}

fn hang_in_a_call(
    home: &Home<'_>,
    session: &mut Session,
    name: &str,
    server: Process,
    other: &mut Session,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    server.signal(Signal::STOP);
    let begun = Instant::now();
    let call = session.begin_call("echo", json!({"text": "late"}))?;
    while state(home, name)? != "unresponsive" {
        ensure!(begun.elapsed() < PATIENCE, "a hang was not noticed");
        seen.beside.push(other.must_call("echo", json!({}))?);
    }
    seen.noticed.push(begun.elapsed());
    // It stays as it is, for as long as it took.
    let noticed = begun.elapsed();
    while begun.elapsed() < noticed * 2 {
        seen.beside.push(other.must_call("echo", json!({}))?);
        thread::sleep(Duration::from_millis(2));
    }
    seen.stopped += u64::from(!server.is_alive());
    server.signal(Signal::CONT);
    let answer = session.answer(call)?;
    seen.unanswered += u64::from(answer.get("result").is_none());
    Ok(())
}

fn be_slow(session: &mut Session, server: Process, seen: &mut Seen) -> anyhow::Result<()> {
    let slow = json!({"ms": u64::try_from(SLOW.as_millis())?, "text": "done"});
    let (answer, _) = session.call("slow", slow)?;
    seen.unanswered += u64::from(answer.get("result").is_none());
    seen.stopped += u64::from(!server.is_alive());
    Ok(())
}

/// What only reads is given to another process.
fn hang_without_a_call(
    session: &mut Session,
    server: Process,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    server.signal(Signal::STOP);
    let list = session.begin("tools/list", &json!({}))?;
    let answer = session.answer(list)?;
    seen.unanswered += u64::from(answer.get("result").is_none());
    seen.replaced += u64::from(!server.is_alive());
    Ok(())
}
