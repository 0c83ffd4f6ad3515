//! `mcpool try`: the demonstration.

use anyhow::bail;

use crate::{
    args::Output,
    exit::Exit,
    trial::{self, Plan, Room},
    ui::Ui,
};

/// Show what sharing saves: run a sample server with and without mcpool, and measure
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sessions at the same time
    #[arg(long, default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=200))]
    sessions: u16,
    /// Memory that the sample server holds, in MB
    #[arg(long, default_value_t = 200, value_name = "MB",
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    ballast: u32,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Exit> {
    let sessions = usize::from(args.sessions);
    let wanted = usize::try_from(args.ballast)?;
    let room = Room::now()?.ballast_mb_max(sessions);
    if wanted > 0 && room == 0 {
        bail!("there is not enough free memory for {sessions} servers; try fewer --sessions");
    }
    if room < wanted {
        ui.remark(format_args!(
            "note: {sessions} servers of {wanted} MB do not fit into the free memory; \
             the sample server will hold {room} MB"
        ));
    }
    let plan = Plan {
        sessions,
        ballast_mb: wanted.min(room),
    };
    let report = trial::run(plan, ui)?;
    ui.show(&report, args.output.format())?;
    Ok(Exit::Done)
}
