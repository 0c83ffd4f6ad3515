//! `mcpool serve`: the daemon itself.

use daemon::ServeOptions;
use shim::{places::Places, sibling};

use super::connect::SMALL_PROGRAM;
use crate::exit::Exit;

/// Run the daemon here; sessions start it in the background by themselves
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the terminal, log to a file, and say `ready` on stdout
    #[arg(long)]
    background: bool,
}

pub(crate) fn run(args: &Args, places: Places) -> anyhow::Result<Exit> {
    daemon::serve(ServeOptions {
        places,
        background: args.background,
        guardian_program: sibling::path(SMALL_PROGRAM)?,
    })?;
    Ok(Exit::Done)
}
