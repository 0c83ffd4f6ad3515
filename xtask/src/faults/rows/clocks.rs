//! Clocks that differ by more than a day from one process to the next.
//!
//! The clocks of the machine are everybody's, so none is set here: the daemon lives in a time of its own,
//! and the next one in another.

use std::{
    process::{Child, Command},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Signal, geteuid};
use serde_json::json;

use super::Row;
use crate::{
    faults::{
        Stage,
        home::{Home, wrapped},
        processes::until,
        session::{PATIENCE, reason},
        shown::{Shown, percentile},
    },
    shell,
};

pub(super) const ROW: Row = Row {
    numbers: &[19],
    fault: "clocks jump between daemons",
    short: 1,
    play,
};

/// Calls of a life of a daemon.
const CALLS: u32 = 500;

/// What a daemon's clock shows more than that of its clients, in seconds.
const OFFSETS: [i64; 3] = [100_000, 1_000_000, -1];

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    if !geteuid().is_root() || !can_shift() {
        shown.not_tried("no process may have a time of its own here");
        return Ok(());
    }
    let home = stage.home()?;
    home.configure(&format!(
        "[limits]\nping_interval = \"1s\"\n{}",
        home.fake_server("fake", &[], "")
    ))?;
    let (mut called, mut failed, mut shifted) = (0, 0, 0);
    let mut times = Vec::new();
    let mut child = home.serve(shifted_daemon(&home, OFFSETS[0]))?;
    let mut session = home.session("fake")?;
    let mut server = session.server()?;
    let mut kept = 0;
    for (turn, offset) in OFFSETS.iter().cycle().take(3 * rounds as usize).enumerate() {
        if turn > 0 {
            child = next_daemon(&home, child, *offset)?;
        }
        for _ in 0..CALLS {
            let (answer, time) = session.call("echo", json!({}))?;
            times.push(time);
            called += 1;
            if answer.get("result").is_none() && reason(&answer) != "daemon-restarted" {
                failed += 1;
                shown.tell(format!("told {answer}"));
            }
        }
        let now = session.server()?;
        kept += u64::from(now == server);
        server = now;
        shifted += 1;
    }
    shown.fact("daemons with a time of their own", shifted);
    shown.fact("calls", called);
    shown.at_most("timeouts and other failures", failed, 0);
    shown.all("same server as before", kept, shifted);
    shown.within(
        "answered after, longest",
        percentile(&times, 100),
        Duration::from_secs(2),
    );
    session.close()?;
    home.done(&["stop"])?;
    child.wait()?;
    home.end()?.show(shown);
    Ok(())
}

fn can_shift() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--time", "--monotonic=1", "--boottime=1", "true"]);
    shell::output(&mut command).is_ok()
}

fn shifted_daemon(home: &Home<'_>, offset: i64) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--time");
    command.args([
        format!("--monotonic={offset}"),
        format!("--boottime={offset}"),
    ]);
    wrapped(&mut command, &home.verb(&["serve"]));
    command
}

/// A daemon with another time takes the place of the one before, which dies.
fn next_daemon(home: &Home<'_>, mut before: Child, offset: i64) -> anyhow::Result<Child> {
    let daemon = home.daemon().context("a daemon runs")?;
    // The shim would have one of its own time there first.
    let shims = home.shims();
    for shim in &shims {
        shim.signal(Signal::STOP);
    }
    daemon.kill();
    before.wait()?;
    until(PATIENCE, || !daemon.is_alive()).context("it does not die")?;
    let next = home.serve(shifted_daemon(home, offset));
    for shim in &shims {
        shim.signal(Signal::CONT);
    }
    next
}
