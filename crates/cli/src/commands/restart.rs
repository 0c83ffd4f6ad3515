//! `mcpool restart`: stop a server and start it again.

use anyhow::Context;
use serde::Serialize;
use shim::{places::Places, preface::AdminAsk};

use crate::{
    daemon_link,
    exit::Exit,
    ui::{Format, Page, Render, Ui},
};

/// Stop a server's processes; those that have sessions are started again
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the server, as `mcpool status` shows it
    name: String,
}

#[derive(Debug, Serialize)]
struct Restarted {
    server: String,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let server = args.name.clone();
    daemon_link::ask(
        places,
        AdminAsk::Restart {
            server: server.clone(),
        },
    )
    .with_context(|| format!("restarting `{server}`"))?;
    ui.show(&Restarted { server }, Format::Plain)?;
    Ok(Exit::Done)
}

impl Render for Restarted {
    fn render(&self, page: &mut Page) {
        page.line(format_args!("`{}` is restarted.", self.server));
    }
}
