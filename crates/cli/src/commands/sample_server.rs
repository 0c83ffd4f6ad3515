//! `mcpool sample-server`: the server of `mcpool try`, hidden from the help.

use std::io;

use crate::{exit::Exit, sample};

/// Serve the demonstration's own MCP server over stdin and stdout
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Memory to hold, in MB
    #[arg(long, default_value_t = 0, value_name = "MB")]
    ballast: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    sample::serve(args.ballast, io::stdin().lock(), io::stdout().lock())?;
    Ok(Exit::Done)
}
