//! There is no daemon to be had, as its program is gone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::Row;
use crate::{
    faults::{
        Stage,
        home::{Home, Left},
        processes::until,
        session::{PATIENCE, Session, reason},
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

/// How long one of several sessions is listened to.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Seen {
    /// From the start of the shims to the first answer.
    usable: Vec<Duration>,
    direct: u64,
    /// Others that were told both causes: why there is no daemon, and why they run no server themselves.
    refused: u64,
    /// From their start until they were told so.
    refused_after: Vec<Duration>,
    /// Of these, those that a daemon served later, in the same session.
    went_over: u64,
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
        round(&home, &mut seen, shown)?;
        left.add(home.end()?);
    }
    let rounds = u64::from(rounds);
    shown.all("rounds in which one session ran it", seen.direct, rounds);
    shown.all(
        "others that were told why",
        seen.refused,
        rounds * (SESSIONS as u64 - 1),
    );
    // Clients give up after 30 s.
    shown.within(
        "told after, longest",
        percentile(&seen.refused_after, 100),
        Duration::from_secs(28),
    );
    shown.all(
        "others that went over to a daemon",
        seen.went_over,
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

fn round(home: &Home<'_>, seen: &mut Seen, shown: &mut Shown) -> anyhow::Result<()> {
    let mcpool = home.another_installation(None)?;
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = Session::open(home.fake_by(&mcpool, &[]))?;
        let greeting = session.greet()?;
        waiting.push((session, greeting));
    }
    let mut session = first_served(&mut waiting)?;
    session.say_greeted()?;
    session.must_call("echo", json!({}))?;
    seen.usable.push(begun.elapsed());
    let mut others = Vec::new();
    for (mut other, greeting) in waiting {
        let answer = other.answer(greeting)?;
        seen.refused_after.push(begun.elapsed());
        if is_told_why(&answer) {
            seen.refused += 1;
        } else {
            shown.tell(format!("another session was told {answer}"));
        }
        others.push(other);
    }
    seen.direct += 1;
    let server = session.server()?;
    let is_told = |status: &Value| {
        let all = status["direct"].as_array();
        all.is_some_and(|all| all.len() == 1 && all[0]["pid"] == server.pid)
    };
    seen.told += u64::from(is_told(&status_without_daemon(home)?));
    // A daemon comes after all, and is asked for the same server.
    let mut waiting = Session::open(home.fake(&[]))?;
    let greeting = waiting.greet()?;
    let is_told_by_daemon = || home.status().is_ok_and(|status| is_told(&status));
    seen.told += u64::from(until(PATIENCE, is_told_by_daemon).is_some());
    let started = || {
        let upstreams = home.status().map(|status| status["upstreams"].clone());
        let pids = upstreams.ok().and_then(|all| Some(all.as_array()?.clone()));
        pids.into_iter()
            .flatten()
            .filter(|upstream| !upstream["pid"].is_null())
            .count()
    };
    seen.second_servers += started() as u64;
    session.close().context("the session that ran the server")?;
    until(PATIENCE, || !server.is_alive()).context("the server does not end")?;
    let answer = waiting.answer(greeting)?;
    seen.served += u64::from(answer.get("result").is_some());
    waiting.close().context("the session that waited")?;
    for mut other in others {
        seen.went_over += u64::from(is_served_in_the_end(&mut other));
        other.close().context("a session that went over")?;
    }
    Ok(())
}

/// Whether a session that was refused is served: its shim looks for a daemon only now and then.
fn is_served_in_the_end(session: &mut Session) -> bool {
    let is_served = |session: &mut Session| -> anyhow::Result<bool> {
        let greeting = session.greet()?;
        Ok(session.answer(greeting)?.get("result").is_some())
    };
    until(PATIENCE, || is_served(session).unwrap_or(false)).is_some()
}

/// Takes out the first session whose greeting a server answers.
fn first_served(waiting: &mut Vec<(Session, u64)>) -> anyhow::Result<Session> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for at in 0..waiting.len() {
            let (session, greeting) = &mut waiting[at];
            let answer = session.answer_within(*greeting, LOOK)?;
            if answer.is_some_and(|answer| answer.get("result").is_some()) {
                return Ok(waiting.remove(at).0);
            }
        }
    }
    bail!("nobody runs the server")
}

/// Whether it says why there is no daemon, and why the session runs no server itself.
fn is_told_why(answer: &Value) -> bool {
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    reason(answer) == "daemon-unreachable"
        && message.contains("mcpoold is missing")
        && message.contains("another session runs it already")
}

/// What there is, without a daemon; none is started for that.
fn status_without_daemon(home: &Home<'_>) -> anyhow::Result<Value> {
    let mut status = home.verb(&["status", "--json"]);
    let output = shell::ended_within(&mut status, PATIENCE)?;
    let output = output.context("no status")?;
    Ok(serde_json::from_slice(&output.stdout)?)
}
