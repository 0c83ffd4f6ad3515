//! `mcpool connect`: what clients run. The small program does it.

use std::{ffi::OsString, os::unix::process::CommandExt, path::Path, process::Command};

use anyhow::Context;
use shim::sibling;

use crate::exit::Exit;

/// Open a session on a server, over stdin and stdout: what a client runs
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// NAME, or OPTIONS and -- COMMAND; see `mcpool connect --help`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARG"
    )]
    rest: Vec<OsString>,
}

/// The name of the program that clients run.
const SMALL_PROGRAM: &str = "mcpool";

/// Becomes the shim; returns only if that fails.
pub(crate) fn run(args: &Args, home: Option<&Path>) -> anyhow::Result<Exit> {
    let program = sibling::path(SMALL_PROGRAM)?;
    let mut command = Command::new(&program);
    command.arg("connect");
    if let Some(home) = home {
        command.arg("--home").arg(home);
    }
    let error = command.args(&args.rest).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
