//! `cargo xtask faults`: one bad day after the other, over real processes, and one table of what came of them.
//!
//! A row is one kind of fault with the number that it has in the list of faults. Each plays in homes of
//! its own, counts what clients were told and what servers did, and leaves nothing behind: that is looked
//! at as well, after each row.
//!
//! To add a row: a file in `rows`, and its place in [`rows::ALL`].

mod caller;
mod home;
mod load;
mod processes;
mod report;
mod rows;
pub(crate) mod session;
mod shown;

use std::{path::PathBuf, time::Instant};

use anyhow::{bail, ensure};

use self::{
    home::Home,
    report::Report,
    rows::Row,
    shown::{Pace, Shown},
};
use crate::{
    build::{self, Profile},
    test::Counts,
    ui,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Play only these rows [default: all]
    #[arg(value_name = "ROW")]
    rows: Vec<u8>,
    /// How often each fault happens [default: a few times, differing by row]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Programs with debug assertions, and daemons that keep books of their cores; these are slower
    #[arg(long)]
    debug: bool,
    /// Leave the homes of the rows, with their logs and ledgers, for whoever looks into a miss
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let profile = if args.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let wanted = chosen(&args.rows)?;
    let mut stage = Stage::new(profile, args.seed, Pace::Exact)?;
    stage.keeps_homes = args.keep;
    let report = play(&stage, &wanted, args.rounds);
    ui::line(if args.json {
        report.json()?
    } else {
        report.table()
    });
    let missed = report.missed();
    ensure!(missed == 0, "{missed} rows missed their goals");
    Ok(())
}

/// A short round of all rows, as a part of all tests.
pub(crate) fn short() -> anyhow::Result<Counts> {
    let stage = Stage::new(Profile::Debug, 1, Pace::Busy)?;
    let report = play(&stage, &chosen(&[])?, None);
    ui::line(report.table());
    Ok(report.counts())
}

/// The rows of these numbers, or all.
fn chosen(numbers: &[u8]) -> anyhow::Result<Vec<&'static Row>> {
    if numbers.is_empty() {
        return Ok(rows::ALL.iter().collect());
    }
    for number in numbers {
        if !rows::ALL.iter().any(|row| row.numbers.contains(number)) {
            let known = rows::ALL.iter().flat_map(|row| row.numbers);
            let known: Vec<String> = known.map(u8::to_string).collect();
            bail!("there is no row {number} here, only {}", known.join(", "));
        }
    }
    let is_wanted = |row: &&Row| row.numbers.iter().any(|number| numbers.contains(number));
    Ok(rows::ALL.iter().filter(is_wanted).collect())
}

fn play(stage: &Stage, wanted: &[&'static Row], rounds: Option<u32>) -> Report {
    let mut report = Report::default();
    for row in wanted {
        let rounds = rounds.unwrap_or(row.short);
        ui::progress(format!("{}: {}, {rounds} ×", row.label(), row.fault));
        let begun = Instant::now();
        let mut shown = Shown::new(stage.pace);
        if let Err(error) = (row.play)(stage, rounds, &mut shown) {
            shown.broken(&format!("{error:#}"));
        }
        for words in shown.words() {
            ui::progress(format!("    {words}"));
        }
        report.add(row, rounds, begun.elapsed(), &shown);
    }
    report
}

/// The programs, and what all rows have in common.
pub(crate) struct Stage {
    mcpool: PathBuf,
    fake_server: PathBuf,
    soak_server: PathBuf,
    pub(crate) seed: u64,
    pace: Pace,
    keeps_homes: bool,
    /// Whether the daemons keep books of their cores.
    keeps_books: bool,
}

impl Stage {
    fn new(profile: Profile, seed: u64, pace: Pace) -> anyhow::Result<Stage> {
        let programs = build::programs(&["mcpool", "xtask"], profile)?;
        Ok(Stage {
            mcpool: programs.get("mcpool")?,
            soak_server: programs.get("soak-server")?,
            fake_server: build::fake_server(profile)?,
            seed,
            pace,
            keeps_homes: false,
            keeps_books: matches!(profile, Profile::Debug),
        })
    }

    /// The same with the programs of tests, which can be made to fail.
    pub(crate) fn of_tests(&self) -> anyhow::Result<Stage> {
        let stage = Stage::new(Profile::Debug, self.seed, self.pace)?;
        Ok(Stage {
            keeps_homes: self.keeps_homes,
            ..stage
        })
    }

    /// A home that nobody has been in.
    pub(crate) fn home(&self) -> anyhow::Result<Home<'_>> {
        Home::new(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_number_of_its_own_and_can_be_chosen() {
        let mut seen = BTreeSet::new();
        for row in rows::ALL {
            for number in row.numbers {
                assert!(seen.insert(number), "two rows are number {number}");
                let chosen = chosen(&[*number]).unwrap();
                assert_eq!(chosen.len(), 1);
                assert_eq!(chosen[0].fault, row.fault);
            }
        }
        assert!(chosen(&[0]).is_err());
    }
}
