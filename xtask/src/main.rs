//! `cargo xtask`: what a developer of mcpool does besides writing it.
//!
//! One verb, one file. Nothing in here is installed, and nothing that users run
//! depends on it.

mod bench;
mod bless;
mod build;
mod canary;
mod check;
mod clients;
mod conformance;
mod errors_page;
mod faults;
mod fuzz;
mod hermetic;
mod install;
mod licences;
mod matrix;
mod moving;
mod mutants;
mod parsers;
mod pipes;
mod provision;
mod scratch;
mod shell;
mod sim;
mod soak;
mod staged;
mod table;
mod test;
#[cfg(test)]
mod tidy;
mod ui;

use clap::Parser;

/// Development tasks of mcpool
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
enum Verb {
    /// What a change must pass before it is sent: format, lints, documentation, licences
    Check(check::Args),
    /// Every test: hermetic ones, then real clients against real servers
    Test(test::Args),
    /// Accept new snapshots and write the generated documents
    Bless(bless::Args),
    /// Play seeded worlds around the core, or one of them again
    Sim(sim::Args),
    /// Plant bugs, one after the other, and show that the tests catch each
    Mutants(mutants::Args),
    /// Look for inputs that break a promise, guided by which code they reach
    Fuzz(fuzz::Args),
    /// Measure mcpool beside a direct server and a bare relay
    Bench(bench::Args),
    /// Real processes under a long, mixed and rude load, every message of it checked
    Soak(soak::Args),
    /// One bad day after the other over real processes, and a table of what came of them
    Faults(faults::Args),
    /// The official conformance suite over HTTP, with servers of our own behind mcpool
    Conformance(conformance::Args),
    /// What the conformance suite runs as the client of its own servers
    #[command(hide = true)]
    ConformanceClient(conformance::ActArgs),
    /// The agents and SDKs that people use, over stdio and HTTP, with a server of each era behind
    Clients(clients::Args),
    /// Build mcpool and put it into a folder
    Install(install::Args),
}

fn main() -> anyhow::Result<()> {
    match Verb::parse() {
        Verb::Check(args) => check::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bless(args) => bless::run(&args),
        Verb::Sim(args) => sim::run(&args),
        Verb::Mutants(args) => mutants::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Soak(args) => soak::run(&args),
        Verb::Faults(args) => faults::run(&args),
        Verb::Conformance(args) => conformance::run(&args),
        Verb::ConformanceClient(args) => conformance::act(&args),
        Verb::Clients(args) => clients::run(&args),
        Verb::Install(args) => install::run(&args),
    }
}
