//! `cargo xtask fuzz`: look for inputs that break a promise, guided by which code they reach.
//!
//! The promises and the inputs worth keeping are in `fuzz/`. What a run finds lies under
//! `target/fuzzing`; only `--keep` writes into the checkout.

mod engine;

use std::{path::PathBuf, sync::Mutex, thread, time::Duration};

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;

use crate::{
    build::{self, Profile, Programs},
    shell,
    test::Counts,
    ui,
};
use engine::{Finding, Folders, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to break
    #[arg(value_enum)]
    target: Target,
    /// How long to look
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// How many processes look at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: u32,
    /// Check only this input, and say how it fails
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "jobs", "keep"])]
    input: Option<PathBuf>,
    /// Afterwards, keep in the checkout as few inputs as reach all code that was reached
    #[arg(long)]
    keep: bool,
}

/// What can be broken: each is a file in `fuzz/fuzz_targets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Files of clients, imported and taken back
    Clients,
    /// Streams of bytes, cut into lines
    Codec,
    /// Configuration files, read and edited
    Config,
    /// Messages, read and edited
    Envelope,
    /// What is said over the link before the messages
    Preface,
    /// Worlds of the simulation, step by step
    Sim,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Clients => "clients",
            Target::Codec => "codec",
            Target::Config => "config",
            Target::Envelope => "envelope",
            Target::Preface => "preface",
            Target::Sim => "sim",
        }
    }

    /// Longest input that is tried, in bytes: what is longer reaches no other code and takes its time.
    fn input_bytes_max(self) -> u32 {
        match self {
            Target::Codec => 600,
            // As many steps as are ever decoded.
            Target::Clients | Target::Config | Target::Envelope | Target::Sim => 4096,
            // Longer than the longest answer of a daemon.
            Target::Preface => 5000,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let program = programs()?.get(args.target.name())?;
    if let Some(input) = &args.input {
        let input = std::path::absolute(input)?;
        return engine::replay(&program, &input);
    }
    let folders = Folders::prepare(args.target)?;
    let mut look = engine::look(&program, args.target, &folders, args.seconds);
    if args.jobs > 1 {
        look.arg(format!("-fork={}", args.jobs));
    }
    let ended = shell::run(&mut look);
    if let Some(finding) = engine::finding(&program, &folders)? {
        bail!("{}", shown(args.target, &finding));
    }
    ended?;
    if args.keep {
        let kept = engine::keep(&program, &folders)?;
        ui::line(format!(
            "kept {kept} inputs in {}",
            folders.corpus.display()
        ));
    }
    Ok(())
}

/// Looks into every target for so long, as many at a time as there are processors.
pub(crate) fn run_all(each: Duration) -> anyhow::Result<Counts> {
    let programs = programs()?;
    let waiting = Mutex::new(Target::value_variants().iter());
    let counts = Mutex::new(Counts::default());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    let work = || {
        while let Some(target) = next() {
            let is_clean = match quietly(&programs, *target, each) {
                Ok(line) => {
                    ui::line(line);
                    true
                }
                Err(error) => {
                    ui::line(format!("{}: {error:#}", target.name()));
                    false
                }
            };
            if let Ok(mut counts) = counts.lock() {
                counts.add(is_clean);
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, Into::into);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
    Ok(counts.into_inner().unwrap_or_default())
}

/// Looks into one target, its chatter in a file; one line for people if nothing was found.
fn quietly(programs: &Programs, target: Target, time: Duration) -> anyhow::Result<String> {
    let program = programs.get(target.name())?;
    let folders = Folders::prepare(target)?;
    let log = folders.work.join("log");
    let seconds = u32::try_from(time.as_secs()).context("no time that anybody waits")?;
    let mut look = engine::look(&program, target, &folders, seconds);
    match engine::logged(&mut look, &log)? {
        Outcome::Clean { inputs } => {
            let rate = inputs / u64::from(seconds.max(1));
            Ok(format!(
                "{}: {inputs} inputs in {seconds} s ({rate}/s), nothing found",
                target.name()
            ))
        }
        Outcome::Broken => match engine::finding(&program, &folders)? {
            Some(finding) => bail!("{}", shown(target, &finding)),
            None => bail!("the engine failed; see {}", log.display()),
        },
    }
}

/// What a person needs to know to mend it.
fn shown(target: Target, finding: &Finding) -> String {
    let Finding {
        input,
        smaller,
        words,
    } = finding;
    let name = target.name();
    let shortest = smaller.as_ref().unwrap_or(input);
    let smaller = smaller.as_ref().map_or_else(String::new, |smaller| {
        format!("\n  smaller: {}", smaller.display())
    });
    format!(
        "{words}\n  found: {}{smaller}\n  again: cargo xtask fuzz {name} --input {}\n  \
         once it is mended: move it to fuzz/regressions/{name}",
        input.display(),
        shortest.display()
    )
}

fn programs() -> anyhow::Result<Programs> {
    if !shell::exists("c++") {
        bail!("the fuzzing engine is C++: install a compiler, for example `apt-get install g++`");
    }
    build::programs(&["fuzz"], Profile::Fuzz)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_target_has_a_program_and_inputs_and_there_are_no_others() {
        let names = |folder: &str| -> BTreeSet<String> {
            fs::read_dir(shell::root().join("fuzz").join(folder))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        let known: BTreeSet<String> = Target::value_variants()
            .iter()
            .map(|target| target.name().to_owned())
            .collect();
        assert_eq!(names("fuzz_targets"), known);
        assert_eq!(names("corpus"), known);
        assert!(names("dictionaries").is_subset(&known));
        assert!(names("regressions").is_subset(&known));
    }
}
