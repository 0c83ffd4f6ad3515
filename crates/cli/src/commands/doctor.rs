//! `mcpool doctor`: what is wrong, and what to do about it.

use std::path::Path;

use shim::places::Places;

use crate::{
    args::Output,
    doctor::{self, Installation},
    exit::Exit,
    ui::Ui,
};

/// Look for everything that commonly goes wrong, and say what to do about it
///
/// Starts and stops nothing. Ends with code 0 if nothing is wrong, and else with 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mend what can be changed back, and say how
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args, home: Option<&Path>, ui: &mut Ui) -> anyhow::Result<Exit> {
    let installation = match home {
        Some(_) => Installation::Named,
        None => Installation::Usual,
    };
    let mut report = doctor::examine(&Places::find(home)?, installation);
    if args.fix {
        report = report.fixed(|error| ui.remark(format_args!("mcpool: {error:#}")));
    }
    ui.show(&report, args.output.format())?;
    Ok(if report.is_well {
        Exit::Done
    } else {
        Exit::Failed
    })
}
