//! `cargo xtask test --part moving`: `mcpool import` and `undo` where it matters.
//!
//! With the real clients, on homes with files as they have them; killed at every system call; and beside
//! clients that rewrite the same file all the time.

mod address;
mod files;
mod homes;
mod kills;
mod places;
mod races;

use crate::{
    build::{self, Profile},
    provision::Provisioned,
    test::Counts,
    ui,
};

/// Everything of it.
pub(crate) fn run(provisioned: &Provisioned) -> anyhow::Result<Counts> {
    let mcpool = build::programs(&["mcpool"], Profile::Debug)?.get("mcpool")?;
    let mut counts = Counts::default();
    counts.add_all(kills::run(&mcpool));
    counts.add(tell("beside eight writers", &races::run()));
    counts.add_all(places::run(provisioned, &mcpool));
    counts.add_all(homes::run(provisioned, &mcpool));
    Ok(counts)
}

fn tell(name: &str, outcome: &anyhow::Result<String>) -> bool {
    match outcome {
        Ok(said) => ui::line(format!("{name}: {said}")),
        Err(error) => ui::line(format!("{name}: FAILED: {error:#}")),
    }
    outcome.is_ok()
}
