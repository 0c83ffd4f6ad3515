//! `cargo xtask conformance`: the official suite against mcpool's front for HTTP, with servers of our own behind it.
//!
//! The suite knows only what comes over HTTP, so whatever it sees was said by mcpool, or by a server over
//! stdio that mcpool let speak. Suites at the same time share one daemon and one process of each server and
//! class: whoever guesses whose a message is loses checks then.
//!
//! To have `cargo xtask test` play another version: [`version::TODAY`].

mod checks;
mod clients;
pub(crate) mod daemon;
mod report;
mod suite;
pub(crate) mod version;

use std::{path::Path, thread};

use anyhow::{anyhow, ensure};

pub(crate) use self::clients::{ActArgs, act};
use self::{
    daemon::Daemon,
    report::{Played, Report},
    suite::{Bench, Suite, Target},
    version::{Fixture, Version},
};
use crate::{
    build::{self, Profile},
    provision::{self, Provisioned},
    scratch,
    test::Counts,
    ui,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Play all scenarios of these versions [default: those that `cargo xtask test` plays]
    #[arg(value_enum, value_name = "VERSION")]
    versions: Vec<Version>,
    /// Play exactly what a version requires, as it was when it was released
    #[arg(long, value_enum, value_name = "VERSION")]
    requirements: Vec<Version>,
    /// Which server is behind mcpool [default: the one of the version's era]
    #[arg(long, value_enum)]
    fixture: Option<Fixture>,
    /// So many of each suite, all of them at the same time [default: one suite after the other]
    #[arg(long, value_name = "COPIES", value_parser = clap::value_parser!(u8).range(1..=16))]
    at_once: Option<u8>,
    /// Play against a server that is there, without mcpool
    #[arg(long, conflicts_with = "fixture")]
    url: Option<String>,
    /// Play the scenarios for clients: the suite has the server, and mcpool is what speaks HTTP to it
    #[arg(long, conflicts_with_all = ["requirements", "fixture", "at_once", "url"])]
    clients: bool,
    /// Leave the folder with what the suites found and with the home of the daemon
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let suites = suites(args)?;
    let provisioned = provision::provision_npm()?;
    let folder = scratch::folder("mcpool-conformance-", args.keep)?;
    let bench = Bench {
        provisioned: &provisioned,
        folder: folder.path(),
    };
    if args.clients {
        let versions = if args.versions.is_empty() {
            &version::TODAY[..]
        } else {
            &args.versions
        };
        return ended(&as_client(&bench, versions)?);
    }
    let rounds = match args.at_once {
        None => suites.into_iter().map(|suite| vec![suite]).collect(),
        Some(copies) => vec![copied(&suites, copies)],
    };
    let report = match &args.url {
        Some(url) => play(&bench, &rounds, &|_suite| Target {
            url: url.clone(),
            name: "at the URL",
        })?,
        None => through_mcpool(&bench, &rounds)?,
    };
    ended(&report)
}

fn ended(report: &Report) -> anyhow::Result<()> {
    ui::line(report.text());
    ensure!(report.counts().failed == 0, "not all is as it should be");
    Ok(())
}

/// Plays the scenarios for clients, with mcpool between the suite's servers and clients of ours.
fn as_client(bench: &Bench<'_>, versions: &[Version]) -> anyhow::Result<Report> {
    let programs = build::programs(&["mcpool", "xtask"], Profile::Debug)?;
    // Building may have replaced the program that runs here.
    let (mcpool, xtask) = (programs.get("mcpool")?, programs.get("xtask")?);
    clients::play(bench, (&mcpool, &xtask), versions)
}

/// What `cargo xtask test` plays: each version alone, with a server of its era and with one of the other, then two of
/// each at the same time, and at last mcpool as a client.
pub(crate) fn short(provisioned: &Provisioned) -> anyhow::Result<Counts> {
    let folder = scratch::folder("mcpool-conformance-", false)?;
    let bench = Bench {
        provisioned,
        folder: folder.path(),
    };
    let suites = version::TODAY.map(Suite::all);
    let required = version::TODAY.into_iter().filter_map(Suite::required);
    let across = version::TODAY.map(Suite::across);
    let alone = suites.iter().cloned().chain(required).chain(across);
    let mut rounds: Vec<Vec<Suite>> = alone.map(|suite| vec![suite]).collect();
    rounds.push(copied(&suites, 2));
    let report = through_mcpool(&bench, &rounds)?;
    ui::line(report.text());
    let clients = as_client(&bench, &version::TODAY)?;
    ui::line(clients.text());
    let mut counts = report.counts();
    counts.add_all(clients.counts());
    Ok(counts)
}

fn suites(args: &Args) -> anyhow::Result<Vec<Suite>> {
    let mut suites: Vec<Suite> = args.versions.iter().copied().map(Suite::all).collect();
    for version in args.requirements.iter().copied() {
        let suite = Suite::required(version);
        suites.push(
            suite.ok_or_else(|| {
                anyhow!("the suite does not say what {} requires", version.name())
            })?,
        );
    }
    if suites.is_empty() {
        suites.extend(version::TODAY.map(Suite::all));
    }
    if let Some(fixture) = args.fixture {
        for suite in &mut suites {
            suite.fixture = fixture;
        }
    }
    Ok(suites)
}

/// So many of each.
fn copied(suites: &[Suite], copies: u8) -> Vec<Suite> {
    let copies = (0..copies).flat_map(|_copy| suites.iter().cloned());
    copies.collect()
}

/// Plays against a daemon of our own, which then has something to say, too.
fn through_mcpool(bench: &Bench<'_>, rounds: &[Vec<Suite>]) -> anyhow::Result<Report> {
    let programs = build::programs(&["mcpool", "xtask"], Profile::Debug)?;
    let (mcpool, server) = (programs.get("mcpool")?, programs.get("conformance-server")?);
    let daemon = Daemon::start(&mcpool, &server, version::SETTINGS, bench.folder)?;
    let report = play(bench, rounds, &|suite| Target {
        url: daemon.url(suite.fixture),
        name: suite.fixture.name(),
    });
    let end = daemon.end();
    let mut report = report?;
    report.complain(end);
    Ok(report)
}

/// Plays one round after the other; those of a round at the same time.
fn play(
    bench: &Bench<'_>,
    rounds: &[Vec<Suite>],
    target: &(impl Fn(&Suite) -> Target + Sync),
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for (number, round) in rounds.iter().enumerate() {
        let names: Vec<String> = round.iter().map(Suite::name).collect();
        ui::progress(format!("    playing {}", names.join(" beside ")));
        let folder = bench.folder.join(format!("round-{number}"));
        let all: Vec<anyhow::Result<Played>> = thread::scope(|scope| {
            let play = |(copy, suite): (usize, &Suite)| {
                let folder: &Path = &folder;
                let suite = suite.clone();
                scope.spawn(move || {
                    let folder = folder.join(format!("{}-{copy}", suite.name().replace(' ', "-")));
                    suite.play(bench, &target(&suite), &folder)
                })
            };
            let threads: Vec<_> = round.iter().enumerate().map(play).collect();
            let joined = threads.into_iter().map(|thread| {
                let played = thread.join();
                played.unwrap_or_else(|_panic| Err(anyhow!("a thread has panicked")))
            });
            joined.collect()
        });
        for played in all {
            report.add(played?);
        }
    }
    Ok(report)
}
