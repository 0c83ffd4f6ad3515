//! A server is killed as the kernel does it when there is no memory left.

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    processes::until,
    session::{PATIENCE, reason},
    shown::Shown,
};

pub(super) const ROW: Row = Row {
    numbers: &[16],
    fault: "a server is killed for its memory",
    short: 8,
    play,
};

/// Memory that the daemon may have gained, in KiB: what its allocator holds on to.
const MORE_KB: u64 = 4 << 10;

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    let server = |round: u32| {
        let name = format!("server-{round}");
        let record = home.file(&name);
        home.fake_server(&name, &["--record", &record], "idle_timeout = \"0s\"")
    };
    home.configure(&(0..=rounds).map(server).collect::<String>())?;
    let (mut told, mut said_so) = (0, 0);
    let mut first_kb = None;
    for round in 0..=rounds {
        let name = format!("server-{round}");
        let mut session = home.session(&name)?;
        let server = session.server()?;
        let call = session.begin_call("hang", json!({}))?;
        // Not before it is there: what was never written is for the next process.
        until(PATIENCE, || home.count(&name, "call hang") == 1).context("the call is lost")?;
        server.kill();
        let answer = session.answer(call)?;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        let daemon = home.daemon().context("a daemon runs")?;
        if first_kb.is_none() {
            // The first is to make it as it is when something has happened.
            first_kb = Some(daemon.memory_kb());
        } else {
            told += u64::from(reason(&answer) == "upstream-exited");
            let is_said = message.contains("killed") && message.contains('9');
            said_so += u64::from(is_said);
            if !is_said {
                shown.tell(format!("told {message:?}"));
            }
        }
        session.must_call("echo", json!({}))?;
        session.close()?;
    }
    shown.all("told at once", told, u64::from(rounds));
    shown.all("told that it was killed (9)", said_so, u64::from(rounds));
    let last_kb = home.daemon().context("a daemon runs")?.memory_kb();
    shown.at_most(
        "more memory of the daemon, KiB",
        last_kb.saturating_sub(first_kb.unwrap_or(0)),
        MORE_KB,
    );
    home.end()?.show(shown);
    Ok(())
}
