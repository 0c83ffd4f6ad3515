//! The daemon stands still, as with a deadlock of ours.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::Left,
    session::Session,
    shown::{Shown, percentile},
};

pub(super) const ROW: Row = Row {
    numbers: &[11],
    fault: "the daemon stands still",
    short: 1,
    play,
};

/// What the watchdog of a daemon that users get has; those of tests have more, which nobody wants to wait for.
const WATCHDOG_SECONDS: &str = "10";

const FOUND_OUT: Duration = Duration::from_secs(15);

/// Until the next daemon has come and has taken over the server.
const SERVED_AGAIN: Duration = Duration::from_secs(2);

/// A daemon that takes longer to answer than this stands still.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// What a daemon that hangs says of each of its threads.
const THREAD: &str = "a thread of the daemon that hangs";

#[derive(Default)]
struct Seen {
    found_out: Vec<Duration>,
    served_again: Vec<Duration>,
    kept_servers: u64,
    /// Last words that say what the threads did.
    told: u64,
    left: Left,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let stage = stage.of_tests()?;
    let mut seen = Seen::default();
    for _ in 0..rounds {
        round(&stage, &mut seen)?;
    }
    shown.within(
        "found out, longest",
        percentile(&seen.found_out, 100),
        FOUND_OUT,
    );
    shown.within(
        "call answered after that, longest",
        percentile(&seen.served_again, 100),
        SERVED_AGAIN,
    );
    shown.all("servers kept", seen.kept_servers, u64::from(rounds));
    shown.all("its threads were told of", seen.told, u64::from(rounds));
    seen.left.show(shown);
    Ok(())
}

fn round(stage: &Stage, seen: &mut Seen) -> anyhow::Result<()> {
    let home = stage.home()?;
    let mut serve = home.verb(&["serve"]);
    serve.env("MCPOOL_WATCHDOG_SECONDS", WATCHDOG_SECONDS);
    let mut child = home.serve(serve)?;
    let mut session = Session::greeted(home.fake(&[]))?;
    let server = session.server()?;
    let mut guilty = Session::greeted(home.fake(&[]))?;
    let begun = Instant::now();
    guilty.begin("failpoint/stall", &json!({}))?;
    // Whatever is asked before it stands still has an answer.
    let mut asked = session.begin_call("echo", json!({}))?;
    while session.answer_within(asked, ANSWERS_WITHIN)?.is_some() {
        asked = session.begin_call("echo", json!({}))?;
    }
    // The next daemon is not to hear of it.
    guilty.kill()?;
    child.wait().context("waiting for the daemon")?;
    seen.found_out.push(begun.elapsed());
    let ended = Instant::now();
    // An error: nobody knows how far it has come.
    session.answer(asked)?;
    seen.served_again.push(ended.elapsed());
    seen.kept_servers += u64::from(session.server()? == server);
    let words = home.lines("errors");
    let is_told = |thread: &str| {
        let name = format!("name={thread:?}");
        words
            .iter()
            .any(|line| line.contains(THREAD) && line.contains(&name))
    };
    seen.told += u64::from(is_told("mcpoold") && is_told("watchdog"));
    session.close()?;
    seen.left.add(home.end()?);
    Ok(())
}
