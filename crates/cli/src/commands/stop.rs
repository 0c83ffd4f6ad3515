//! `mcpool stop`: end all servers and the daemon.

use anyhow::Context;
use serde::Serialize;
use shim::{places::Places, preface::AdminAsk, rendezvous::RendezvousError};

use crate::{
    daemon_link,
    exit::Exit,
    ui::{Format, Page, Render, Ui},
};

/// Stop all servers and the daemon; the next session starts it again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Clone, Copy, Debug, Serialize)]
enum Stopped {
    Now,
    AlreadyBefore,
}

pub(crate) fn run(_: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let stopped = match daemon_link::ask(places, AdminAsk::Stop) {
        Ok(_) => Stopped::Now,
        Err(error) if is_not_running(&error) => Stopped::AlreadyBefore,
        Err(error) => return Err(error).context("stopping the daemon"),
    };
    ui.show(&stopped, Format::Plain)?;
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
        page.line(match self {
            Stopped::Now => "The daemon and all servers are stopped.",
            Stopped::AlreadyBefore => "The daemon does not run.",
        });
    }
}
