//! The folder of the installation cannot be written to.

use std::process::Command;

use anyhow::Context as _;
use rustix::process::geteuid;

use super::Row;
use crate::{
    faults::{
        Stage,
        home::{Home, wrapped},
        session::{PATIENCE, Session},
        shown::Shown,
    },
    shell,
};

pub(super) const ROW: Row = Row {
    numbers: &[41],
    fault: "a home that is read only",
    short: 1,
    play,
};

/// The folder as it is, but for whoever runs in here it is not to be written to.
const READ_ONLY: &str =
    "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";

/// What shims and verbs return that get no daemon.
const NO_DAEMON: [i32; 2] = [1, 3];

fn play(stage: &Stage, rounds: u32, shown: &mut Shown) -> anyhow::Result<()> {
    if !geteuid().is_root() || !shell::exists("unshare") {
        shown.not_tried("nothing may be mounted here");
        return Ok(());
    }
    let home = stage.home()?;
    home.configure(&home.fake_server("fake", &[], ""))?;
    let (mut tried, mut named) = (0, 0);
    for _ in 0..rounds {
        for verb in [
            home.connect("fake"),
            home.fake(&[]),
            home.verb(&["serve"]),
            home.verb(&["add", "more", "--", "/bin/cat"]),
        ] {
            tried += 1;
            match refusal(&home, &verb)? {
                Refusal::Named => named += 1,
                Refusal::Other(words) => shown.tell(format!("{verb:?} says {words}")),
            }
        }
    }
    shown.all("refused with the name of the folder", named, tried);
    // Nothing of it stays in the way of whoever may write.
    let mut session = Session::greeted(home.connect("fake"))?;
    shown.fact("served afterwards by process", session.server()?.pid);
    session.close()?;
    home.end()?.show(shown);
    Ok(())
}

enum Refusal {
    Named,
    Other(String),
}

fn refusal(home: &Home<'_>, verb: &Command) -> anyhow::Result<Refusal> {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation=private",
        "/bin/sh",
        "-c",
        READ_ONLY,
    ]);
    command.arg(home.pool());
    wrapped(&mut command, verb);
    let output = shell::ended_within(&mut command, PATIENCE)?;
    let output = output.with_context(|| format!("{command:?} does not end"))?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_named = words.contains(&*home.pool().to_string_lossy());
    let is_refused = output
        .status
        .code()
        .is_some_and(|code| NO_DAEMON.contains(&code));
    if is_named && is_refused {
        return Ok(Refusal::Named);
    }
    Ok(Refusal::Other(format!(
        "{words:?} and ends with {}",
        output.status
    )))
}
