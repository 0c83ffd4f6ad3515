//! `mcpool restart`: stop a server and start it again.

use std::time::Duration;

use anyhow::Context;
use daemon::admin::{Outcome, Upstream};
use serde::Serialize;
use shim::{places::Places, preface::AdminAsk};

use crate::{
    args::Output,
    daemon_link,
    exit::Exit,
    ui::{Page, Render, Ui},
};

/// How often whoever waits is told what for, if that has changed.
const LOOK: Duration = Duration::from_millis(500);

/// Restart a server behind its sessions, once it has answered what it works on
///
/// What comes meanwhile waits for the new process. A server that was given up for failing is tried at
/// once, and its failures are forgotten. Without a session it is started by the next one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the server, as `mcpool status` shows it
    name: String,
    /// Wait at most so long for what it works on, then end it all the same
    #[arg(long, default_value_t = 30, value_name = "SECS")]
    wait: u64,
    /// Do not wait: what it works on ends with an error
    #[arg(long, conflicts_with = "wait")]
    now: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Restarted {
    server: String,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let server = args.name.clone();
    let wait = Duration::from_secs(if args.now { 0 } else { args.wait });
    let ask = AdminAsk::Restart {
        server: server.clone(),
        wait,
    };
    let mut told = String::new();
    daemon_link::ask_and_watch(places, ask, LOOK, || {
        let Ok(Outcome::Status(status)) = daemon_link::ask(places, AdminAsk::Status) else {
            return;
        };
        let own = |upstream: &&Upstream| upstream.server == server;
        let awaited = awaited(&server, status.upstreams.iter().filter(own));
        if awaited != told {
            ui.remark(&awaited);
            told = awaited;
        }
    })
    .with_context(|| format!("restarting `{server}`"))?;
    ui.show(&Restarted { server }, args.output.format())?;
    Ok(Exit::Done)
}

/// What a restart waits for.
fn awaited<'a>(server: &str, upstreams: impl Iterator<Item = &'a Upstream>) -> String {
    let draining = upstreams.filter(|upstream| upstream.state == "draining");
    let open: usize = draining.map(|upstream| upstream.in_flight).sum();
    match open {
        0 => format!("Waiting for `{server}` to start."),
        1 => format!("Waiting for 1 answer of `{server}`; `--now` does not wait."),
        _ => format!("Waiting for {open} answers of `{server}`; `--now` does not wait."),
    }
}

impl Render for Restarted {
    fn render(&self, page: &mut Page) {
        page.line(format_args!("`{}` is restarted.", self.server));
    }
}
