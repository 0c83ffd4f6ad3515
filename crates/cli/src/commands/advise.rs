//! `mcpool advise`: what runs in duplicate, what it costs, and what to share.

use std::io;

use anyhow::ensure;
use shim::places::Places;

use crate::{
    advice::{self, Ended, Report},
    args::Output,
    config_file,
    exit::Exit,
    survey::{self, Known, Survey},
    ui::Ui,
};

/// Show which servers run in duplicate now, what that costs, and which to share
///
/// Looks at the processes of the agents of this user: of each server how many copies there are, for how
/// many sessions and workspaces, what they hold in memory, and how many files they watch.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these servers, as they are called here; without any, all
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// Start one more copy of each server, to see how long it takes and whether it asks for roots
    #[arg(long)]
    probe: bool,
    /// End the servers whose session has ended, after asking
    #[arg(long)]
    kill_orphans: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args, places: &Places, ui: &mut Ui) -> anyhow::Result<Exit> {
    let census = survey::take()?;
    let known = known(places, ui).and_of_clients(Some(&census));
    let mut survey = Survey::of(&census, &known);
    if !args.servers.is_empty() {
        let names = args.servers.iter().map(String::as_str);
        let unknown: Vec<&str> = names.filter(|name| !survey.has(name)).collect();
        // Before anything is started or ended.
        ensure!(
            unknown.is_empty(),
            "nothing that runs here without mcpool is called {}; `mcpool advise` shows what there is",
            unknown.join(", ")
        );
        survey.keep(|server| args.servers.contains(&server.identity.name));
    }
    let mut groups = advice::groups(&survey);
    if args.probe {
        for group in &mut groups {
            if let Err(error) = advice::probe::probe(group) {
                ui.remark(format_args!("note: {error:#}"));
            }
        }
    }
    // Measured before anything is ended.
    let report = Report::of(&survey, &groups);
    let ended = if args.kill_orphans {
        Some(end_orphans(&survey, &known, ui)?)
    } else {
        None
    };
    let report = report.with_ended(ended);
    ui.show(&report, args.output.format())?;
    let is_done = ended.is_none_or(|ended| ended.left == 0);
    Ok(if is_done { Exit::Done } else { Exit::Failed })
}

/// A broken configuration names no servers, and is no reason to say nothing.
fn known(places: &Places, ui: &mut Ui) -> Known {
    let loaded =
        config_file::read(&places.config).and_then(|text| Ok(config::load(&text, &places.config)?));
    match loaded {
        Ok(config) => Known::of(&config),
        Err(error) => {
            ui.remark(format_args!("note: {error:#}"));
            Known::default()
        }
    }
}

fn end_orphans(survey: &Survey, known: &Known, ui: &mut Ui) -> anyhow::Result<Ended> {
    let orphans = &survey.orphans;
    if orphans.is_empty() {
        return Ok(Ended::default());
    }
    for orphan in orphans {
        ui.remark(format_args!(
            "{}, process {} and {} below it",
            orphan.identity.name,
            orphan.pid,
            orphan.members.len().saturating_sub(1)
        ));
    }
    ui.remark(format_args!("End these {}? [y/N]", orphans.len()));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return advice::orphans::end(orphans, known);
    }
    Ok(Ended {
        orphans: 0,
        left: orphans.len(),
    })
}
