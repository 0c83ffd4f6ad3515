//! Servers that die at every start, at their first call, or some time later.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::Row;
use crate::faults::{
    Stage,
    home::Home,
    processes::until,
    session::{PATIENCE, Session, reason},
    shown::{Shown, percentile},
};
use serde_json::{Value, json};

pub(super) const ROW: Row = Row {
    numbers: &[2],
    fault: "a server dies again and again",
    short: 1,
    play,
};

/// How long one round looks on; all together no longer than the time that the goal is about.
const LOOK: Duration = Duration::from_secs(8);
const LOOK_MAX: Duration = Duration::from_mins(5);

/// How long nobody calls, so that what the daemon does is its own doing.
const QUIET: Duration = Duration::from_secs(3);

/// Between two calls of each session.
const PAUSE: Duration = Duration::from_millis(10);

/// What was seen of one such server.
struct Seen {
    /// From the first refusal that gives it up.
    refusals: Vec<Duration>,
    /// Of these, those that do not name the log.
    nameless: u64,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let record = |name: &str| home.file(&format!("record-{name}"));
    let script = format!("echo 'started 0' >> '{}'; exit 1", record("start"));
    let call = record("call");
    let later = record("later");
    home.configure(&format!(
        "[servers.start]\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"{script}\"]\nscope = \"global\"\n{}{}",
        home.fake_server("call", &["--record", &call, "--exit-at-first-call", "9"], ""),
        home.fake_server("later", &["--record", &later, "--exit-after", "300"], ""),
    ))?;
    let names = ["start", "call", "later"];
    let end = Instant::now() + (LOOK * rounds).min(LOOK_MAX);
    let seen = thread::scope(|scope| {
        let home = &home;
        let sessions: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || call_until(home, name, end)))
            .collect();
        let joined = sessions.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|seen| seen.unwrap_or_else(|_| anyhow::bail!("a session panicked")))
            .collect::<anyhow::Result<Vec<Seen>>>()
    })?;
    for (name, seen) in names.iter().zip(&seen) {
        let spawns = home.count(&format!("record-{name}"), "started ");
        shown.at_most(&format!("spawns, dies at {name}"), spawns, 12);
        shown.at_least(
            "calls refused since given up",
            seen.refusals.len() as u64,
            1,
        );
        shown.within(
            "refused after, p99",
            percentile(&seen.refusals, 99),
            Duration::from_millis(10),
        );
        shown.at_most("refusals that do not name the log", seen.nameless, 0);
    }
    // One of them may be at its one attempt in a minute.
    let mut count = 0;
    let _late = until(PATIENCE, || {
        count = home.status().map_or(0, |status| failed(&status));
        count == names.len() as u64
    });
    shown.all("failed by the status", count, names.len() as u64);
    be_quiet(&home, shown)?;
    home.end()?.show(shown);
    Ok(())
}

fn failed(status: &Value) -> u64 {
    let upstreams = status["upstreams"].as_array().into_iter().flatten();
    let failed = upstreams.filter(|upstream| upstream["state"] == "failed");
    failed.count() as u64
}

/// Nobody calls, and so nothing is to be done.
fn be_quiet(home: &Home<'_>, shown: &mut Shown) -> anyhow::Result<()> {
    let used = || -> anyhow::Result<Duration> {
        let daemon = home.daemon().map(|daemon| daemon.processor_time());
        Ok(daemon.unwrap_or_default() + home.guardian()?.processor_time())
    };
    let before = used()?;
    let begun = Instant::now();
    thread::sleep(QUIET);
    // What the question itself costs is less than a tick.
    shown.share(
        "processor while quiet",
        used()?.saturating_sub(before),
        begun.elapsed(),
        1.0,
    );
    Ok(())
}

/// Greets and calls again and again, whatever is answered.
fn call_until(home: &Home<'_>, name: &str, end: Instant) -> anyhow::Result<Seen> {
    let mut session = Session::open(home.connect(name))?;
    let mut seen = Seen {
        refusals: Vec::new(),
        nameless: 0,
    };
    let mut is_greeted = false;
    let words = format!("`mcpool logs {name}`");
    // A busy machine may take longer until it is given up at all.
    let late = end + PATIENCE;
    while Instant::now() < end || seen.refusals.is_empty() && Instant::now() < late {
        let begun = Instant::now();
        let id = if is_greeted {
            session.begin_call("echo", json!({}))?
        } else {
            session.greet()?
        };
        let answer = session.answer(id)?;
        if reason(&answer) == "still-failing" {
            seen.refusals.push(begun.elapsed());
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            seen.nameless += u64::from(!message.contains(&words));
        } else if !is_greeted && answer.get("result").is_some() {
            session.say_greeted()?;
            is_greeted = true;
        }
        thread::sleep(PAUSE);
    }
    session.close()?;
    Ok(seen)
}
