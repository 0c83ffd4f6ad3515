//! Files of ours name processes by numbers that are others' by now.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use serde_json::json;

use super::Row;
use crate::faults::{
    Stage,
    home::{Home, Left},
    processes::{Process, until},
    session::{PATIENCE, Session},
    shown::Shown,
};

pub(super) const ROW: Row = Row {
    numbers: &[23],
    fault: "numbers of processes are used again",
    short: 2,
    play,
};

/// Somebody who has nothing to do with us.
struct Stranger(Child);

impl Stranger {
    fn come() -> anyhow::Result<Stranger> {
        let mut command = Command::new("sleep");
        command
            .arg("1000")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(Stranger(command.spawn().context("starting a stranger")?))
    }

    fn is_unharmed(&self) -> bool {
        Process::of(self.0.id()).is_some_and(|stranger| stranger.is_alive())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may be gone: that is what the row tells of.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    let (mut unharmed, mut served, mut strangers) = (0, 0, 0);
    let mut left = Left::default();
    for _ in 0..rounds {
        let home = stage.home()?;
        let (daemon, guardian) = (Stranger::come()?, Stranger::come()?);
        name_them(&home, &daemon, &guardian)?;
        served += u64::from(live(&home)?);
        for stranger in [&daemon, &guardian] {
            strangers += 1;
            unharmed += u64::from(stranger.is_unharmed());
        }
        left.add(home.end()?);
    }
    shown.all("strangers that got no signal", unharmed, strangers);
    shown.all("served", served, u64::from(rounds));
    left.show(shown);
    Ok(())
}

/// What a daemon and a guardian of another boot have left, and the strangers that have their numbers.
fn name_them(home: &Home<'_>, daemon: &Stranger, guardian: &Stranger) -> anyhow::Result<()> {
    let state = home.pool().join("state");
    fs::create_dir_all(&state)?;
    for folder in [&home.pool(), &state] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    let (daemon, guardian) = (daemon.0.id(), guardian.0.id());
    fs::write(
        state.join("daemon.lock"),
        format!("{daemon}\n/nowhere/mcpool.sock\n"),
    )?;
    // It started at another time.
    fs::write(home.pool().join("guard.pid"), format!("{guardian} 1\n"))?;
    Ok(())
}

/// A start, and the death of a server and of a daemon.
fn live(home: &Home<'_>) -> anyhow::Result<bool> {
    let mut session = Session::greeted(home.fake(&[]))?;
    let server = session.server()?;
    server.kill();
    until(PATIENCE, || !server.is_alive()).context("a server does not die")?;
    let is_served = || session.must_call("echo", json!({})).is_ok();
    until(PATIENCE, is_served).context("a server is not started again")?;
    let daemon = home.daemon().context("a daemon runs")?;
    daemon.kill();
    until(PATIENCE, || !daemon.is_alive()).context("it does not die")?;
    let is_served = || session.must_call("echo", json!({})).is_ok();
    let is_served = until(PATIENCE, is_served).is_some();
    session.close()?;
    Ok(is_served)
}
