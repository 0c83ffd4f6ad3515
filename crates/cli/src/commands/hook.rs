//! `mcpool hook`: what an agent's hook runs. The small program does it.

use std::{ffi::OsString, path::Path};

use super::connect::become_small;
use crate::exit::Exit;

/// Tell a shared server of an event of an agent: what an agent's hook runs
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, override_help = shim::hook::arguments::HELP)]
pub(crate) struct Args {
    /// EVENT and OPTIONS; see `mcpool hook --help`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARG"
    )]
    rest: Vec<OsString>,
}

/// Becomes the program of hooks; returns only if that fails.
pub(crate) fn run(home: Option<&Path>) -> anyhow::Result<Exit> {
    become_small("hook", home)
}
