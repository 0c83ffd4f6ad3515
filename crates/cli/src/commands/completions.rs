//! `mcpool completions`: what a shell needs to complete our verbs.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Cli, exit::Exit, ui::Ui};

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mcpool", &mut script);
    ui.write(&script)?;
    Ok(Exit::Done)
}
