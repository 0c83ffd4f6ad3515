//! `cargo xtask soak`: real processes under a long, mixed and rude load, and every message of it checked.
//!
//! Clients that share servers use the same ids and the same tokens. All that they say carries its owner's
//! mark, and is compared byte for byte when it comes back. What the servers executed is compared with
//! what the clients were told.

mod client;
mod daemon;
pub(crate) mod faults;
pub(crate) mod record;
mod report;
mod script;
mod session;
mod shared;
pub(crate) mod words;

use std::{
    sync::{Barrier, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use self::{
    daemon::Figures,
    report::Report,
    shared::{Server, Shared},
};
use crate::{
    build::{self, Profile},
    canary, scratch, shell, ui,
};

/// How often it is looked whether it is time to crash a server, or to end.
const LOOK: Duration = Duration::from_millis(50);

/// Messages of a soak that is a part of all tests.
const SHORT_MESSAGES: u32 = 200_000;

/// Crashes of each server in a run that is not timed: fewer than what counts as dying all the time.
const CRASHES: u32 = 4;

/// Between two crashes of a server later on, so that it has served well for long enough.
const CRASH_EVERY: Duration = Duration::from_secs(65);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Messages to be exchanged, both ways together
    #[arg(long, default_value_t = 1_000_000)]
    messages: u32,
    /// Go on for so long, however many messages that makes
    #[arg(long, conflicts_with = "messages")]
    minutes: Option<u32>,
    /// What the clients' dice begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Concurrent clients
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    clients: u16,
    /// Programs with debug assertions, and a daemon that keeps books of its core; these are slower
    #[arg(long)]
    debug: bool,
    /// Leave the home and the ledgers, for whoever looks into a fault
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let profile = if args.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let report = soak(args, profile)?;
    ui::line(report.text());
    ensure!(report.is_clean(), "the soak found faults");
    Ok(())
}

/// A short soak, as a part of all tests.
pub(crate) fn short() -> anyhow::Result<Report> {
    let args = Args {
        messages: SHORT_MESSAGES,
        minutes: None,
        seed: 1,
        clients: 12,
        debug: true,
        keep: false,
    };
    soak(&args, Profile::Debug)
}

fn soak(args: &Args, profile: Profile) -> anyhow::Result<Report> {
    let programs = build::programs(&["mcpool", "xtask"], profile)?;
    let folder = scratch::folder("mcpool-soak-", args.keep)?;
    let server = |(name, asks): (&str, bool)| Server::new(name.to_owned(), asks);
    let shared = Shared {
        seed: args.seed,
        mcpool: programs.get("mcpool")?,
        soak_server: programs.get("soak-server")?,
        folder: folder.path().to_path_buf(),
        servers: [("one", false), ("two", false), ("asks", true)]
            .map(server)
            .into(),
        messages: 0.into(),
        is_ending: false.into(),
        barrier: Barrier::new(usize::from(args.clients) + 1),
        faults: faults::Faults::default(),
        counts: std::sync::Mutex::default(),
        records: std::sync::Mutex::default(),
    };
    std::fs::create_dir(shared.ledgers())?;
    let ended = thread::scope(|scope| {
        for client in 0..args.clients {
            let shared = &shared;
            scope.spawn(move || client::run(shared, client));
        }
        drive(args, &shared)
    })?;
    daemon::await_emptiness(&shared)?;
    let stopped = shell::output_within(&mut shared.verb("stop"), daemon::ANSWERS_WITHIN);
    stopped.context("stopping the daemon")?;
    for leak in canary::found_in(&shared.home()) {
        shared.faults.note(faults::Class::Unexpected, leak);
    }
    let books = daemon::verdict_of_books(&shared)?;
    ensure!(
        books.is_some() || matches!(profile, Profile::Release) || !shared.faults.are_none(),
        "the daemon said nothing of its books"
    );
    Report::new(args, &shared, ended, books)
}

/// What was seen of the daemon when all clients were at rest.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) first: Figures,
    pub(crate) last: Figures,
    /// From the first look to the last.
    pub(crate) took: Duration,
}

/// Crashes servers now and then until it is enough.
fn drive(args: &Args, shared: &Shared) -> anyhow::Result<Ended> {
    let mut meetings = shared.meetings();
    let first = meetings.look(|| Figures::of(shared));
    let begun = Instant::now();
    let mut crashes = Crashes::new(args, begun);
    while !shared.is_ending() {
        thread::sleep(LOOK);
        let share = match args.minutes {
            Some(minutes) => begun.elapsed().as_secs_f64() / (f64::from(minutes) * 60.0),
            None => shared.messages() / f64::from(args.messages),
        };
        if share >= 1.0 {
            shared.end();
        } else {
            crashes.cause(share, shared)?;
        }
    }
    let last = meetings.look(|| Figures::at_rest(shared, first.as_ref().ok()));
    Ok(Ended {
        first: first?,
        last: last?,
        took: begun.elapsed(),
    })
}

/// When which server is to die next.
#[derive(Debug)]
struct Crashes {
    is_timed: bool,
    caused: u32,
    last: Instant,
}

impl Crashes {
    fn new(args: &Args, now: Instant) -> Crashes {
        Crashes {
            is_timed: args.minutes.is_some(),
            caused: 0,
            last: now,
        }
    }

    /// Has all servers die once if it is time: every other time in the middle of an answer, else killed.
    fn cause(&mut self, share: f64, shared: &Shared) -> anyhow::Result<()> {
        let is_due = if self.is_timed {
            self.last.elapsed() >= CRASH_EVERY
        } else {
            self.caused < CRASHES && share * f64::from(CRASHES + 1) >= f64::from(self.caused + 1)
        };
        if !is_due {
            return Ok(());
        }
        self.caused += 1;
        self.last = Instant::now();
        for server in &shared.servers {
            if self.caused.is_multiple_of(2) {
                daemon::kill(server)?;
            } else {
                server.crashes_due.fetch_add(1, Ordering::AcqRel);
            }
        }
        Ok(())
    }
}
