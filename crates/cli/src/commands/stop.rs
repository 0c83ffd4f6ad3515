//! `mcpool stop`: end all servers and the daemon.

use anyhow::Context;
use serde::Serialize;
use shim::{places::Places, preface::AdminAsk, rendezvous::RendezvousError};

use crate::{
    args::Output,
    daemon_link,
    exit::Exit,
    ui::{Page, Render, Ui},
};

/// Stop all servers and the daemon; the next session starts it again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Stopped {
    /// Whether there was a daemon to stop.
    stopped: bool,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let stopped = match daemon_link::ask(places, AdminAsk::Stop) {
        Ok(_) => true,
        Err(error) if is_not_running(&error) => false,
        Err(error) => return Err(error).context("stopping the daemon"),
    };
    ui.show(&Stopped { stopped }, args.output.format())?;
    Ok(Exit::Done)
}

/// Whether there is nobody to talk to, which is what some verbs hope for.
pub(crate) fn is_not_running(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<RendezvousError>(),
        Some(RendezvousError::NotRunning)
    )
}

impl Render for Stopped {
    fn render(&self, page: &mut Page) {
        page.line(if self.stopped {
            "The daemon and all servers are stopped."
        } else {
            "The daemon does not run."
        });
    }
}
