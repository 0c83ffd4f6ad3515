//! `cargo xtask sim`: seeded worlds around the core, built for speed with its assertions on.

use std::process::Stdio;

use anyhow::Context as _;

use crate::{shell, test::Counts};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// As `--seeds 10000`, `--seed 42 --trace` or `--minutes 60`; `--help` says all
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    shell::run(shell::cargo().args(build()).arg("--").args(&args.arguments))
}

/// What a plain run of all tests plays.
pub(crate) fn count() -> anyhow::Result<Counts> {
    let mut command = shell::cargo();
    command.args(build());
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    let mut counts = Counts::default();
    counts.add(status.success());
    Ok(counts)
}

fn build() -> [&'static str; 6] {
    ["run", "--quiet", "--profile", "sim", "--package", "sim"]
}
