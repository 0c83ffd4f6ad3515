//! `cargo xtask test`: the whole truth, closed by one line of counts.

use std::{
    path::{self, PathBuf},
    time::Duration,
};

use anyhow::ensure;

use crate::{
    build::{self, Profile},
    conformance, faults, fuzz, hermetic, matrix, moving, mutants, parsers, provision, sim, soak,
    staged, ui,
};

/// How long each fuzz target runs.
const FUZZ_EACH: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this part
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Of the matrix, run only cells whose name contains this text, as in "python-1 × git"
    #[arg(long, default_value = "")]
    cells: String,
    /// Of each cell, run only the half without mcpool: do newly pinned packages work at all?
    #[arg(long)]
    direct_only: bool,
    /// Run the matrix through this mcpool, not through the one of this checkout
    #[arg(long, value_name = "FILE", conflicts_with = "direct_only")]
    mcpool: Option<PathBuf>,
}

/// What `test` consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What `cargo test` runs: Rust only, no network
    Hermetic,
    /// Ten thousand seeded worlds around the core
    Sim,
    /// Bugs that are planted, each of which must be caught; only when asked for
    Mutants,
    /// Each fuzz target for a minute
    Fuzz,
    /// Real processes under a long, mixed and rude load, every message of it checked
    Soak,
    /// A short round of each kind of fault, over real processes
    Faults,
    /// The official suite over HTTP, each version alone and then two of each at the same time
    Conformance,
    /// What we accept, read by the parsers of Node and of Python
    Parsers,
    /// `mcpool advise`, on a machine where several agents each run real servers
    Advise,
    /// `mcpool import` and `undo`: with real clients, killed at every system call, and beside writers
    Moving,
    /// Real clients against real servers
    Matrix,
}

/// The parts with real clients or servers.
const PROVISIONED: [Part; 5] = [
    Part::Conformance,
    Part::Parsers,
    Part::Advise,
    Part::Moving,
    Part::Matrix,
];

/// How many tests went well, and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, is_passed: bool) {
        if is_passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    pub(crate) fn add_all(&mut self, others: Counts) {
        self.passed += others.passed;
        self.failed += others.failed;
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let wants = |part| args.part.is_none_or(|only| only == part);
    let mut counts = Counts::default();
    // First of all, because a machine without npm or Python should hear it at once.
    let provisioned = if PROVISIONED.into_iter().any(wants) {
        Some(provision::provision()?)
    } else {
        None
    };
    if wants(Part::Hermetic) {
        ui::part("cargo test");
        counts.add_all(hermetic::run()?);
    }
    if wants(Part::Sim) {
        ui::part("simulation");
        counts.add_all(sim::count()?);
    }
    // They test the tests, and take as long as all the rest together.
    if args.part == Some(Part::Mutants) {
        ui::part("planted bugs");
        counts.add_all(mutants::run_all()?);
    }
    if wants(Part::Fuzz) {
        ui::part("fuzz targets");
        counts.add_all(fuzz::run_all(FUZZ_EACH)?);
    }
    if wants(Part::Soak) {
        ui::part("soak");
        let report = soak::short()?;
        ui::line(report.text());
        counts.add(report.is_clean());
    }
    if wants(Part::Faults) {
        ui::part("faults");
        counts.add_all(faults::short()?);
    }
    if let Some(provisioned) = provisioned.as_ref().filter(|_| wants(Part::Conformance)) {
        ui::part("conformance");
        counts.add_all(conformance::short(provisioned)?);
    }
    if let Some(provisioned) = provisioned.as_ref().filter(|_| wants(Part::Parsers)) {
        ui::part("other parsers");
        counts.add_all(parsers::run(provisioned)?);
    }
    if let Some(provisioned) = provisioned.as_ref().filter(|_| wants(Part::Advise)) {
        ui::part("advice");
        counts.add_all(staged::run(provisioned)?);
    }
    if let Some(provisioned) = provisioned.as_ref().filter(|_| wants(Part::Moving)) {
        ui::part("moving in and out");
        counts.add_all(moving::run(provisioned)?);
    }
    if let Some(provisioned) = provisioned.as_ref().filter(|_| wants(Part::Matrix)) {
        ui::part("real clients against real servers");
        let mcpool = match &args.mcpool {
            _ if args.direct_only => None,
            Some(mcpool) => Some(path::absolute(mcpool)?),
            None => Some(build::programs(&["mcpool"], Profile::Debug)?.get("mcpool")?),
        };
        counts.add_all(matrix::run(provisioned, mcpool.as_deref(), &args.cells)?);
    }
    ui::line(format!(
        "\n{} passed, {} failed",
        counts.passed, counts.failed
    ));
    ensure!(counts.failed == 0, "not all tests passed");
    Ok(())
}
