//! `mcpool status`: what runs, for whom, and what it takes.

mod render;

use anyhow::bail;
use daemon::admin::{Direct, Outcome, SCHEMA, Status};
use serde::Serialize;
use shim::{direct::Locks, places::Places, preface::AdminAsk};

pub(crate) use self::render::elsewhere;
use super::stop::is_not_running;
use crate::{args::Output, config_file, daemon_link, exit::Exit, ui::Ui};

/// Show the daemon, the running servers and the sessions
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

/// The daemon's answer, or what can be said without it.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown {
    status: Status,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let status = match daemon_link::ask(places, AdminAsk::Status) {
        Ok(Outcome::Status(status)) => *status,
        Ok(Outcome::Restarted { .. } | Outcome::Upgraded(_) | Outcome::Stopped { .. }) => {
            bail!("the daemon answered another question")
        }
        Err(error) if is_not_running(&error) => without_daemon(places),
        Err(error) => return Err(error),
    };
    let exit = if status.daemon.is_some() {
        Exit::Done
    } else {
        Exit::Unreachable
    };
    ui.show(&Shown { status }, args.output.format())?;
    Ok(exit)
}

/// A daemon that does not run serves nobody; its configuration can be wrong all the same.
fn without_daemon(places: &Places) -> Status {
    let loaded =
        config_file::read(&places.config).and_then(|text| Ok(config::load(&text, &places.config)?));
    Status {
        schema: SCHEMA,
        daemon: None,
        upstreams: Vec::new(),
        sessions: Vec::new(),
        direct: Locks::of(places)
            .running()
            .unwrap_or_default()
            .into_iter()
            .map(Direct::from)
            .collect(),
        saved_kb: 0,
        config_error: loaded.err().map(|error| error.to_string()),
        counts: std::collections::BTreeMap::new(),
    }
}
