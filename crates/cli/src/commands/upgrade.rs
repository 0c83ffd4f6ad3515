//! `mcpool upgrade`: the running daemon goes on as the program that is installed now.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use daemon::admin::{Outcome, Upgraded};
use serde::Serialize;
use shim::{places::Places, preface::AdminAsk};

use super::stop::is_not_running;
use crate::{
    args::Output,
    daemon_link::{self, Declined, NoAnswer},
    exit::Exit,
    ui::{Format, Page, Render, Ui},
};

/// How long it is tried again, and the pause between, while something is in the way that passes by itself.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Have the running daemon go on as the program that is installed now
///
/// Sessions stay connected, servers keep running with what they have in memory, and no call is lost.
/// The new program is tried first; should it not be able to go on, nothing is changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Shown {
    /// Whether there was a daemon to upgrade.
    upgraded: bool,
    #[serde(flatten)]
    what: Option<Upgraded>,
}

impl Shown {
    fn of(what: Option<Upgraded>) -> Self {
        Shown {
            upgraded: what.is_some(),
            what,
        }
    }
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let shown = Shown::of(upgrade(places)?);
    ui.show(&shown, args.output.format())?;
    Ok(Exit::Done)
}

/// Upgrades the daemon that runs, and tells a person of it; says whether there was one.
pub(super) fn upgrade_if_running(places: &Places, ui: &mut Ui) -> anyhow::Result<bool> {
    let shown = Shown::of(upgrade(places)?);
    if shown.upgraded {
        ui.show(&shown, Format::Plain)?;
    }
    Ok(shown.upgraded)
}

/// `None` if no daemon runs.
fn upgrade(places: &Places) -> anyhow::Result<Option<Upgraded>> {
    match ask_until_it_can_be(places) {
        Ok(Outcome::Upgraded(upgraded)) => Ok(Some(upgraded)),
        Ok(_) => bail!("the daemon gave another answer than one to an upgrade"),
        Err(error) if is_not_running(&error) => Ok(None),
        Err(error) if error.is::<Declined>() || error.is::<NoAnswer>() => {
            Err(error).context("the daemon goes on as it was")
        }
        Err(error) => Err(error).context(
            "upgrading the daemon, which may have ended; its servers wait for the next one, \
             which the next session starts",
        ),
    }
}

/// Asks again for as long as what is in the way passes by itself: sessions that just come in, for one.
fn ask_until_it_can_be(places: &Places) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    loop {
        let answer = daemon_link::ask(places, AdminAsk::Upgrade);
        let is_for_now = |error: &anyhow::Error| {
            error
                .downcast_ref::<Declined>()
                .is_some_and(|declined| declined.is_for_now)
        };
        match answer {
            Err(error) if is_for_now(&error) && begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

impl Render for Shown {
    fn render(&self, page: &mut Page) {
        let Some(what) = &self.what else {
            page.line(
                "The daemon does not run; the next session starts the program that is installed.",
            );
            return;
        };
        let Upgraded {
            from,
            to,
            program,
            sessions,
            processes,
            pause_ms,
        } = what;
        if from == to {
            page.line(format_args!("The daemon runs on as mcpool {to}."));
        } else {
            page.line(format_args!(
                "The daemon went on from mcpool {from} to {to}."
            ));
        }
        let installed = env!("CARGO_PKG_VERSION");
        if to != installed {
            page.line(format_args!(
                "This is mcpool {installed}, and the daemon was started from {} and goes on as what is installed there. \
                 `mcpool stop` has the next session start this one.",
                program.display()
            ));
        }
        page.line(format_args!(
            "{}, {}; they paused for {pause_ms} ms.",
            counted(*sessions, "session", "sessions"),
            counted(*processes, "server process", "server processes"),
        ));
    }
}
