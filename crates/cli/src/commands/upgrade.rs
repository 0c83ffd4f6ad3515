//! `mcpool upgrade`: the running daemon goes on as the program that is installed now.

use std::{
    mem, thread,
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

/// How long it is tried again while something is in the way that passes by itself: a request that has come in part is
/// given up in half a minute.
const PATIENCE: Duration = Duration::from_secs(35);

/// The first pause between, and the longest: the daemon hears nobody for a moment while it tries.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// When a person is told what is waited for.
const TOLD_AFTER: Duration = Duration::from_secs(2);

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
    let shown = Shown::of(upgrade(places, ui)?);
    ui.show(&shown, args.output.format())?;
    Ok(Exit::Done)
}

/// Upgrades the daemon that runs, and tells a person of it; says whether there was one.
pub(super) fn upgrade_if_running(places: &Places, ui: &mut Ui) -> anyhow::Result<bool> {
    let shown = Shown::of(upgrade(places, ui)?);
    if shown.upgraded {
        ui.show(&shown, Format::Plain)?;
    }
    Ok(shown.upgraded)
}

/// `None` if no daemon runs.
fn upgrade(places: &Places, ui: &mut Ui) -> anyhow::Result<Option<Upgraded>> {
    match ask_until_it_can_be(places, ui) {
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
fn ask_until_it_can_be(places: &Places, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let mut pause = PAUSE;
    let mut is_told = false;
    loop {
        let answer = daemon_link::ask(places, AdminAsk::Upgrade);
        let declined = answer.as_ref().err().and_then(|error| error.downcast_ref());
        let is_for_now = |declined: &&Declined| declined.is_for_now;
        let waited = begun.elapsed();
        let Some(declined) = declined.filter(is_for_now).filter(|_| waited < PATIENCE) else {
            return answer;
        };
        if waited >= TOLD_AFTER && !mem::replace(&mut is_told, true) {
            let seconds = PATIENCE.as_secs();
            ui.remark(format_args!(
                "{declined}; it is tried again for {seconds} s"
            ));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
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
