//! Sessions that let as much wait as they may.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    caller::{Caller, call, session_on},
    home::{Home, number},
    processes::until,
    session::Session,
    shown::Shown,
};

pub(super) const ROW: Row = Row {
    numbers: &[17],
    fault: "64 sessions let all wait that may",
    short: 1,
    play,
};

const SESSIONS: usize = 64;

/// What they may take while they say nothing.
const IDLE_KB: u64 = 40 << 10;

/// What all messages together may take, as the configuration has it.
const BUFFERED_KB: u64 = 512 << 10;

/// What each asks for and does not read: more than may wait for it.
const CALLS: usize = 12;
const ANSWER_BYTES: usize = 1 << 20;

/// What is around that in an answer.
const HEAD: &str = r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":""#;
const TAIL: &str = r#""}]}}"#;

/// How long all of it may take to come.
const FLOWS_FOR: Duration = Duration::from_mins(3);

/// When a session that is not read has written what it can.
const WRITES_FOR: Duration = Duration::from_secs(2);

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    home.configure(&home.fake_server("fake", &[], ""))?;
    let mut reader = home.session("fake")?;
    reader.must_call("echo", json!({}))?;
    let daemon = home.daemon().context("a daemon runs")?;
    let (mut idle, mut most) = (0, 0);
    for _ in 0..rounds {
        let mut callers = (0..SESSIONS)
            .map(|_| {
                let mut caller = Caller::accepted(&home.pool(), session_on("fake", home.root()))?;
                caller.greet()?;
                Ok(caller)
            })
            .collect::<anyhow::Result<Vec<Caller>>>()?;
        idle = idle.max(daemon.memory_kb());
        let arguments = json!({"bytes": ANSWER_BYTES, "head": HEAD, "tail": TAIL});
        let calls: String = (0..CALLS)
            .map(|id| call(id, "giant-line", &arguments))
            .collect();
        for caller in &mut callers {
            caller.say_within(calls.as_bytes(), WRITES_FOR)?;
        }
        until(FLOWS_FOR, || all_has_come(&home)).context("not all answers have come")?;
        // One that reads is served beside them.
        reader.must_call("echo", json!({}))?;
        most = most.max(daemon.peak_memory_kb());
        drop(callers);
    }
    let mut late = Session::greeted(home.connect("fake"))?;
    late.must_call("echo", json!({}))?;
    shown.at_most("KiB with 64 idle sessions", idle, IDLE_KB);
    shown.at_most("KiB at most", most, IDLE_KB + BUFFERED_KB);
    let is_alive = home.daemon() == Some(daemon);
    shown.all("daemon alive", u64::from(is_alive), 1);
    late.close()?;
    reader.close()?;
    home.end()?.show(shown);
    Ok(())
}

/// Whether the server has answered all that it was asked. More is not asked for who has much to read.
fn all_has_come(home: &Home<'_>) -> bool {
    home.status()
        .is_ok_and(|status| number(&status["upstreams"][0]["in_flight"]) == 0)
}
