//! `mcpool remove`: take a server out of the configuration.

use std::path::PathBuf;

use serde::Serialize;
use shim::places::Places;

use crate::{
    args::Output,
    config_file,
    exit::Exit,
    ui::{Page, Render, Ui},
};

/// Remove a server from the configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the server
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    config: PathBuf,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    config_file::edit(&places.config, |text| {
        config::remove_server(text, &places.config, &args.name)
    })?;
    let removed = Removed {
        name: args.name.clone(),
        config: places.config.clone(),
    };
    ui.show(&removed, args.output.format())?;
    Ok(Exit::Done)
}

impl Render for Removed {
    fn render(&self, page: &mut Page) {
        page.line(format_args!(
            "Removed `{}` from {}. Sessions that use it keep it until they end.",
            self.name,
            self.config.display()
        ));
    }
}
