//! The disk is full, under the logs and under what the daemon remembers.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Resource, geteuid};
use serde_json::json;

use super::Row;
use crate::{
    faults::{
        Stage,
        home::{Home, number, wrapped},
        processes::{Process, until},
        session::{PATIENCE, Session},
        shown::{Shown, percentile},
    },
    shell,
};

pub(super) const ROW: Row = Row {
    numbers: &[13],
    fault: "the disk is full",
    short: 1,
    play,
};

/// Calls of a round, each of which has its server write a line to its log.
const CALLS: u64 = 200;

/// A disk of 64 KiB in the place of each folder that is written to; the daemon sees it, nobody else.
const SMALL: &str = "for folder in logs state; do mkdir -p -m 700 \"$0/$folder\" && \
                     mount -t tmpfs -o size=64k,mode=700 none \"$0/$folder\" || exit; done; exec \"$@\"";

/// As much as it wants.
const LARGE: &str =
    "for folder in logs state; do mount -o remount,size=8m \"$0/$folder\" || exit; done";

/// What of a disk is in short supply.
enum Disk {
    /// There is a small one, which can be made larger.
    Small,
    /// No file may be longer than it is: that fails in the same way.
    LimitOfFiles,
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let home = stage.home()?;
    // A daemon with other folders than its clients takes no command of theirs.
    let names = (0..rounds).map(|round| format!("next-{round}"));
    let servers = ["fake".to_owned()].into_iter().chain(names);
    let servers = servers.map(|name| home.fake_server(&name, &[&format!("--say={name}")], ""));
    home.configure(&servers.collect::<String>())?;
    let can_mount = geteuid().is_root() && shell::exists("unshare") && shell::exists("nsenter");
    let (disk, serve) = if can_mount {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "/bin/sh", "-c", SMALL]);
        command.arg(home.pool());
        wrapped(&mut command, &home.verb(&["serve"]));
        (Disk::Small, command)
    } else {
        (Disk::LimitOfFiles, home.verb(&["serve"]))
    };
    let mut child = home.serve(serve)?;
    let daemon = Process::of(child.id()).context("the daemon runs")?;
    let mut session = home.session("fake")?;
    let (mut failed, mut called, mut lost) = (0, 0, 0);
    let mut resumed = Vec::new();
    for round in 0..rounds {
        disk.fill(&home, daemon, &mut session)?;
        for _ in 0..CALLS {
            let (answer, _) = session.call("stderr", json!({"text": "a line for the log"}))?;
            called += 1;
            failed += u64::from(answer.get("result").is_none());
        }
        // So is a server that was never there before.
        let mut next = home.session(&format!("next-{round}"))?;
        next.must_call("echo", json!({}))?;
        next.close()?;
        let before = lost;
        until(PATIENCE, || {
            lost = lost_lines(&home);
            lost > before
        });
        disk.give_room(&home, daemon)?;
        let begun = Instant::now();
        let is_written = || {
            let said = session.must_call("stderr", json!({"text": "there is room"}));
            let status = said.and_then(|_| home.status());
            status.is_ok_and(|status| status["daemon"]["log_trouble"].is_null())
        };
        until(PATIENCE, is_written).context("nothing is written though there is room")?;
        resumed.push(begun.elapsed());
    }
    shown.fact("a disk of 64 KiB", matches!(disk, Disk::Small));
    shown.fact("calls on a full disk", called);
    shown.at_most("calls failed", failed, 0);
    shown.at_least("lines that were lost and counted", lost, u64::from(rounds));
    shown.within(
        "logs go on after, longest",
        percentile(&resumed, 100),
        Duration::from_secs(5),
    );
    session.close()?;
    home.done(&["stop"])?;
    child.wait()?;
    home.end()?.show(shown);
    Ok(())
}

impl Disk {
    fn fill(&self, home: &Home<'_>, daemon: Process, session: &mut Session) -> anyhow::Result<()> {
        match self {
            Disk::LimitOfFiles => return daemon.limit(Resource::Fsize, Some(0)),
            Disk::Small => {}
        }
        let before = lost_lines(home);
        let line = "x".repeat(4000);
        let is_full = || {
            let many = (0..20).map(|_| session.must_call("stderr", json!({"text": line})));
            many.flatten().count() == 20 && lost_lines(home) > before
        };
        until(PATIENCE, is_full).context("the disk does not fill")?;
        Ok(())
    }

    fn give_room(&self, home: &Home<'_>, daemon: Process) -> anyhow::Result<()> {
        match self {
            Disk::LimitOfFiles => daemon.limit(Resource::Fsize, None),
            Disk::Small => {
                let mut command = Command::new("nsenter");
                let target = format!("--target={}", daemon.pid);
                command.args([&target, "--mount", "/bin/sh", "-c", LARGE]);
                shell::run(command.arg(home.pool()))
            }
        }
    }
}

fn lost_lines(home: &Home<'_>) -> u64 {
    let status = home.status();
    status.map_or(0, |status| number(&status["daemon"]["log_lines_lost"]))
}
