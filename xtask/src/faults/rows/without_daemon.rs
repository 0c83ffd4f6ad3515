//! There is no daemon to be had: its program is gone, or does not serve.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

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

/// A program that is no daemon, and says how a configured server is run.
const NO_DAEMON: &str = "[ \"$1\" = recipe-of ] || { echo 'none today' >&2; exit 1; }";

/// How sessions name their server.
#[derive(Clone, Copy)]
enum Way {
    /// By its command line. The session that runs it becomes it.
    Command,
    /// By its name in the configuration. The session that runs it stays beside it.
    Name,
}

impl Way {
    const ALL: [Way; 2] = [Way::Command, Way::Name];

    fn words(self) -> &'static str {
        match self {
            Way::Command => "command",
            Way::Name => "name",
        }
    }

    /// Why there is no daemon.
    fn cause(self) -> &'static str {
        match self {
            Way::Command => "mcpoold is missing",
            Way::Name => "none today",
        }
    }

    /// A session's command, by way of this `mcpool`.
    fn connect(self, home: &Home<'_>, mcpool: &Path) -> Command {
        match self {
            Way::Command => home.fake_by(mcpool, &[]),
            Way::Name => home.connect_by(mcpool, "fake"),
        }
    }

    /// An installation that has no daemon.
    fn installation(self, home: &Home<'_>) -> anyhow::Result<PathBuf> {
        match self {
            Way::Command => home.another_installation(None),
            Way::Name => {
                home.configure(&home.fake_server("fake", &[], ""))?;
                let real = home.stage.mcpool.with_file_name("mcpoold");
                let real = real.display();
                let script = format!("#!/bin/sh\n{NO_DAEMON}\nexec '{real}' \"$@\"\n");
                home.another_installation(Some(&script))
            }
        }
    }
}

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
    let mut left = Left::default();
    for way in Way::ALL {
        let mut seen = Seen::default();
        for _ in 0..rounds {
            let home = stage.home()?;
            round(&home, way, &mut seen, shown)?;
            left.add(home.end()?);
        }
        seen.show(way, u64::from(rounds), shown);
    }
    left.show(shown);
    Ok(())
}

impl Seen {
    fn show(&self, way: Way, rounds: u64, shown: &mut Shown) {
        let others = rounds * (SESSIONS as u64 - 1);
        let of = |what: &str| format!("{}: {what}", way.words());
        shown.all(
            &of("rounds in which one session ran it"),
            self.direct,
            rounds,
        );
        shown.all(&of("others that were told why"), self.refused, others);
        // Clients give up after 30 s.
        shown.within(
            &of("told after, longest"),
            percentile(&self.refused_after, 100),
            Duration::from_secs(28),
        );
        shown.all(
            &of("others that went over to a daemon"),
            self.went_over,
            others,
        );
        shown.within(
            &of("usable after, longest"),
            percentile(&self.usable, 100),
            Duration::from_secs(3),
        );
        shown.all(&of("told by `status`"), self.told, 2 * rounds);
        shown.at_most(
            &of("servers that a daemon started beside it"),
            self.second_servers,
            0,
        );
        shown.all(
            &of("served by a daemon when it had ended"),
            self.served,
            rounds,
        );
    }
}

fn round(home: &Home<'_>, way: Way, seen: &mut Seen, shown: &mut Shown) -> anyhow::Result<()> {
    let mcpool = way.installation(home)?;
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = Session::open(way.connect(home, &mcpool))?;
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
        if is_told_why(&answer, way) {
            seen.refused += 1;
        } else {
            shown.tell(format!("another session was told {answer}"));
        }
        others.push(other);
    }
    seen.direct += 1;
    let (server, shim) = (session.server()?, session.shim());
    let is_told = |status: &Value| {
        let all = status["direct"].as_array();
        all.is_some_and(|all| all.len() == 1 && all[0]["pid"] == shim)
    };
    seen.told += u64::from(is_told(&status_without_daemon(home)?));
    // A daemon comes after all, and is asked for the same server.
    let mut waiting = Session::open(way.connect(home, &home.stage.mcpool))?;
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
fn is_told_why(answer: &Value, way: Way) -> bool {
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    reason(answer) == "daemon-unreachable"
        && message.contains(way.cause())
        && message.contains("another session runs it already")
}

/// What there is, without a daemon; none is started for that.
fn status_without_daemon(home: &Home<'_>) -> anyhow::Result<Value> {
    let mut status = home.verb(&["status", "--json"]);
    let output = shell::ended_within(&mut status, PATIENCE)?;
    let output = output.context("no status")?;
    Ok(serde_json::from_slice(&output.stdout)?)
}
