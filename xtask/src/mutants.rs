//! `cargo xtask mutants`: the test of the tests.
//!
//! Each bug of `sim/mutants.toml` is planted in a copy of the sources, and must be caught: by the
//! simulation, else by the core's own tests. A bug that nothing catches is a hole in the proof.
//!
//! A bug may name steps that are pinned in `sim/regressions`. They were pinned for such a bug, and must
//! break under it, or they no longer reach what they are there for.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use toml_edit::{DocumentMut, Table};

use crate::{shell, test::Counts, ui};

/// Longest time that one run of the simulation or of the tests may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Longest time that a build may take: nothing is learnt from it, and a machine may do other things besides.
const BUILT_WITHIN: Duration = Duration::from_mins(30);

/// How the simulation begins to say that its worlds were too few, or too tame.
const IDLE: &str = "these faults never happened";

/// Worlds that the simulation tries.
const SEEDS: u64 = 2000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Plant only those whose name contains one of these texts
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Worlds that the simulation tries before the core's own tests have their turn
    #[arg(long, value_name = "N", default_value_t = SEEDS)]
    seeds: u64,
    /// Ask the core's own tests also when the simulation has caught it
    #[arg(long)]
    both: bool,
}

/// A bug, and where it goes.
#[derive(Debug)]
struct Mutant {
    name: String,
    /// The promise that it breaks.
    breaks: String,
    file: PathBuf,
    before: String,
    after: String,
    /// Files of `sim/regressions`, without their ending, that must break under it.
    regressions: Vec<String>,
}

/// A copy of the sources in which bugs may be planted, with a target folder of its own.
struct Nursery {
    sources: PathBuf,
    target: PathBuf,
}

/// What a run of tests said of a bug.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing: all is well, they think.
    Missed,
    /// That something is strange, which need not be the bug; in these words.
    Unproven(String),
    /// It is there; in these words.
    Caught(String),
}

/// Who has found a bug.
#[derive(Debug, Default, PartialEq, Eq)]
struct Judged {
    /// Tests that have, and their words.
    caught_by: Vec<String>,
    /// Tests that proved nothing, and their words.
    unproven: Vec<String>,
    /// Pinned steps that do not break under it, and should.
    vain: Vec<String>,
    /// Whether the core's own tests had their turn.
    has_asked_core: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let counts = plant_all(args)?;
    ui::line(format!(
        "\n{} passed, {} failed",
        counts.passed, counts.failed
    ));
    ensure!(counts.failed == 0, "not every planted bug was caught");
    Ok(())
}

/// As `cargo xtask test` runs it: all of them.
pub(crate) fn run_all() -> anyhow::Result<Counts> {
    plant_all(&Args {
        names: Vec::new(),
        seeds: SEEDS,
        both: false,
    })
}

fn plant_all(args: &Args) -> anyhow::Result<Counts> {
    let mutants = catalogue()?;
    let nursery = Nursery::new()?;
    must_be_well("the simulation fails", nursery.simulation(args.seeds)?)?;
    let is_meant = |mutant: &&Mutant| {
        args.names.is_empty() || args.names.iter().any(|name| mutant.name.contains(name))
    };
    let mut counts = Counts::default();
    let mut has_asked_core = false;
    for mutant in mutants.iter().filter(is_meant) {
        let began = Instant::now();
        nursery.plant(mutant)?;
        let judged = nursery.judge(mutant, args);
        nursery.pull(mutant)?;
        let judged = judged.with_context(|| format!("the bug `{}` is planted", mutant.name))?;
        counts.add(judged.is_caught());
        has_asked_core |= judged.has_asked_core;
        let seconds = began.elapsed().as_secs();
        let words = judged.words(mutant);
        ui::line(format!("{:<42} {words} ({seconds} s)", mutant.name));
    }
    ensure!(counts != Counts::default(), "there is no such bug");
    if has_asked_core {
        must_be_well("the core's tests fail", nursery.core_tests()?)?;
    }
    Ok(counts)
}

/// Tests that find something where nothing is planted prove nothing.
fn must_be_well(who: &str, verdict: Verdict) -> anyhow::Result<()> {
    match verdict {
        Verdict::Missed => Ok(()),
        Verdict::Unproven(words) | Verdict::Caught(words) => {
            bail!("{who} without a planted bug: {words}")
        }
    }
}

fn catalogue() -> anyhow::Result<Vec<Mutant>> {
    let path = shell::root().join("sim/mutants.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let document: DocumentMut = text
        .parse()
        .with_context(|| format!("reading {}", path.display()))?;
    let tables = document
        .get("mutant")
        .and_then(|item| item.as_array_of_tables())
        .context("sim/mutants.toml has no [[mutant]]")?;
    tables
        .iter()
        .map(|table| {
            let field = |key: &str| {
                let text = table.get(key).and_then(|item| item.as_str());
                text.map(str::to_owned)
                    .with_context(|| format!("a [[mutant]] of sim/mutants.toml has no `{key}`"))
            };
            Ok(Mutant {
                name: field("name")?,
                breaks: field("breaks")?,
                file: field("file")?.into(),
                before: field("before")?,
                after: field("after")?,
                regressions: regressions_of(table)?,
            })
        })
        .collect()
}

/// Those that a planted bug names.
fn regressions_of(table: &Table) -> anyhow::Result<Vec<String>> {
    let Some(names) = table.get("regressions") else {
        return Ok(Vec::new());
    };
    let names = names.as_array().into_iter().flatten();
    let names: Option<Vec<String>> = names.map(|name| name.as_str().map(str::to_owned)).collect();
    names
        .filter(|names| !names.is_empty())
        .context("the `regressions` of a [[mutant]] are a list of names")
}

/// Where pinned steps lie, by the name that a bug knows them by.
fn regression(name: &str) -> PathBuf {
    Path::new("sim/regressions").join(format!("{name}.jsonl"))
}

impl Nursery {
    /// Copies what has changed since the last time, so that as little as possible is built again.
    fn new() -> anyhow::Result<Self> {
        let home = shell::root().join("target/mutants");
        let nursery = Nursery {
            sources: home.join("sources"),
            target: home.join("target"),
        };
        let mut list = Command::new("git");
        list.current_dir(shell::root());
        list.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        for file in shell::output(&mut list)?.lines() {
            let from = shell::root().join(file);
            // A file that was removed and not committed yet is listed all the same.
            if from.is_file() {
                copy_if_changed(&from, &nursery.sources.join(file))?;
            }
        }
        Ok(nursery)
    }

    fn plant(&self, mutant: &Mutant) -> anyhow::Result<()> {
        let file = self.sources.join(&mutant.file);
        let text = fs::read_to_string(&file)
            .with_context(|| format!("reading {}", mutant.file.display()))?;
        let found = text.matches(&mutant.before).count();
        ensure!(
            found == 1,
            "`{}` cannot be planted: its `before` stands {found} times in {}, not once",
            mutant.name,
            mutant.file.display()
        );
        fs::write(&file, text.replacen(&mutant.before, &mutant.after, 1))?;
        Ok(())
    }

    fn pull(&self, mutant: &Mutant) -> anyhow::Result<()> {
        copy_if_changed(
            &shell::root().join(&mutant.file),
            &self.sources.join(&mutant.file),
        )
    }

    /// Who catches the bug that is planted now.
    fn judge(&self, mutant: &Mutant, args: &Args) -> anyhow::Result<Judged> {
        let mut judged = Judged::default();
        judged.add("simulation", self.simulation(args.seeds)?);
        for name in &mutant.regressions {
            judged.add_pinned(name, self.pinned(name)?);
        }
        if judged.caught_by.is_empty() || args.both {
            judged.add("core tests", self.core_tests()?);
            judged.has_asked_core = true;
        }
        Ok(judged)
    }

    fn simulation(&self, seeds: u64) -> anyhow::Result<Verdict> {
        let build = [
            "build",
            "--quiet",
            "--profile",
            "mutants",
            "--package",
            "sim",
        ];
        self.build(&build)?;
        let mut run = self.cargo(&["run", "--quiet", "--profile", "mutants", "--package", "sim"]);
        run.args([
            "--",
            "--seeds",
            &seeds.to_string(),
            "--first",
            // A bug of which another has left steps behind would be caught by these alone.
            "--no-pin",
        ]);
        verdict(&mut run, "FAILED ")
    }

    /// What the simulation says of pinned steps. It has been built.
    fn pinned(&self, name: &str) -> anyhow::Result<Verdict> {
        let mut run = self.cargo(&["run", "--quiet", "--profile", "mutants", "--package", "sim"]);
        run.arg("--").arg("--replay").arg(regression(name));
        verdict(&mut run, "FAILED ")
    }

    fn core_tests(&self) -> anyhow::Result<Verdict> {
        let test = ["test", "--quiet", "--package", "mux", "--package", "wire"];
        self.build(&[&test[..], &["--no-run"]].concat())?;
        let mut run = self.cargo(&test);
        run.arg("--no-fail-fast");
        verdict(&mut run, "test result: FAILED. ")
    }

    /// A bug that does not compile proves nothing.
    fn build(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let built = shell::output_within(&mut self.cargo(arguments), BUILT_WITHIN);
        built.map(drop).context("the sources do not compile")
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = shell::cargo();
        command
            .args(arguments)
            .current_dir(&self.sources)
            // Cargo starts the tests as processes of their own; one that never ends goes with it.
            .process_group(0)
            .env("CARGO_TARGET_DIR", &self.target)
            // A bug shows itself in many places at once; one line of it is enough.
            .env("RUST_BACKTRACE", "0")
            .env("RUSTFLAGS", "-Awarnings");
        command
    }
}

impl Judged {
    fn add(&mut self, who: &str, verdict: Verdict) {
        match verdict {
            Verdict::Missed => {}
            Verdict::Unproven(words) => self.unproven.push(format!("{who}: {words}")),
            Verdict::Caught(words) => self.caught_by.push(format!("{who}: {words}")),
        }
    }

    fn add_pinned(&mut self, name: &str, verdict: Verdict) {
        match verdict {
            Verdict::Caught(words) => self.caught_by.push(format!("{name}: {words}")),
            Verdict::Missed => self.vain.push(name.to_owned()),
            Verdict::Unproven(words) => self.vain.push(format!("{name} ({words})")),
        }
    }

    /// Whether it is, also by all that are there for it.
    fn is_caught(&self) -> bool {
        !self.caught_by.is_empty() && self.vain.is_empty()
    }

    /// What is told of the bug.
    fn words(&self, mutant: &Mutant) -> String {
        if self.is_caught() {
            return self.caught_by.join("; ");
        }
        if !self.caught_by.is_empty() {
            return format!(
                "NOT CAUGHT by what is pinned for it: {}",
                self.vain.join(", ")
            );
        }
        let breaks = format!("NOT CAUGHT: {}", mutant.breaks);
        let unproven = self.unproven.iter().cloned();
        [breaks]
            .into_iter()
            .chain(unproven)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Runs a test program, which says what failed in a line that begins like this.
fn verdict(command: &mut Command, failed: &str) -> anyhow::Result<Verdict> {
    let output = shell::ended_within(command, PATIENCE)?;
    verdict_of(output.as_ref(), failed).with_context(|| format!("running {command:?}"))
}

/// What a test program has said, if it ended at all.
///
/// One that does not end proves nothing: the machine may be slow. Where a bug keeps something from ever
/// happening, the test that waits for it has to say so.
fn verdict_of(output: Option<&Output>, failed: &str) -> anyhow::Result<Verdict> {
    let Some(output) = output else {
        let minutes = PATIENCE.as_secs() / 60;
        let words = format!("it has not ended within {minutes} min");
        return Ok(Verdict::Unproven(words));
    };
    if output.status.success() {
        return Ok(Verdict::Missed);
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let words = said.lines().filter_map(|line| line.strip_prefix(failed));
    let (idle, broken): (Vec<&str>, Vec<&str>) = words.partition(|words| words.starts_with(IDLE));
    match (broken.first(), idle.first()) {
        (Some(words), _) => Ok(Verdict::Caught(words.trim().to_owned())),
        (None, Some(words)) => Ok(Verdict::Unproven(words.trim().to_owned())),
        (None, None) => bail!("it ended with {}: {said}", output.status),
    }
}

fn copy_if_changed(from: &Path, to: &Path) -> anyhow::Result<()> {
    let wanted = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, wanted).with_context(|| format!("writing {}", to.display()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;

    /// A run of the simulation that ended like this.
    fn ended(code: i32, said: &str) -> Verdict {
        let output = Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: said.into(),
            stderr: Vec::new(),
        };
        verdict_of(Some(&output), "FAILED ").unwrap()
    }

    fn judged(verdicts: impl IntoIterator<Item = Verdict>) -> Judged {
        let mut judged = Judged::default();
        for verdict in verdicts {
            judged.add("simulation", verdict);
        }
        judged
    }

    #[test]
    fn a_promise_that_was_broken_is_a_catch_whatever_else_is_said() {
        let said = "2 worlds\nFAILED session-1 waits\nFAILED these faults never happened: hung\n";
        let verdict = ended(1, said);
        assert_eq!(verdict, Verdict::Caught("session-1 waits".to_owned()));
        assert!(judged([verdict]).is_caught());
        assert_eq!(ended(0, "nothing is broken\n"), Verdict::Missed);
    }

    #[test]
    fn what_never_ends_and_faults_that_never_happened_are_no_catch() {
        let idle = ended(1, "FAILED these faults never happened: hung\n");
        let endless = verdict_of(None, "FAILED ").unwrap();
        for verdict in [&idle, &endless] {
            assert!(matches!(verdict, Verdict::Unproven(_)), "{verdict:?}");
        }
        let judged = judged([idle, endless]);
        assert!(!judged.is_caught());
        let mutant = catalogue().unwrap().remove(0);
        let words = judged.words(&mutant);
        assert!(words.starts_with("NOT CAUGHT: "), "{words}");
        assert!(words.contains("has not ended"), "{words}");
        assert!(words.contains("never happened: hung"), "{words}");
    }

    #[test]
    fn pinned_steps_that_no_longer_break_are_no_catch_whoever_else_catches() {
        let mut judged = judged([Verdict::Caught("x waits".to_owned())]);
        judged.add_pinned("works", Verdict::Caught("y waits".to_owned()));
        assert!(judged.is_caught());
        judged.add_pinned("is_in_vain", Verdict::Missed);
        assert!(!judged.is_caught());
        let words = judged.words(&catalogue().unwrap().remove(0));
        assert_eq!(words, "NOT CAUGHT by what is pinned for it: is_in_vain");
    }

    #[test]
    fn all_pinned_steps_have_a_planted_bug_that_they_are_there_for() {
        let mutants = catalogue().unwrap();
        let mut named: Vec<PathBuf> = mutants
            .iter()
            .flat_map(|mutant| &mutant.regressions)
            .map(|name| regression(name))
            .collect();
        named.sort();
        named.dedup();
        let folder = shell::root().join("sim/regressions");
        let entries = fs::read_dir(folder).unwrap();
        let mut pinned: Vec<PathBuf> = entries
            .map(|entry| Path::new("sim/regressions").join(entry.unwrap().file_name()))
            .collect();
        pinned.sort();
        assert_eq!(pinned, named);
    }

    #[test]
    fn a_run_that_fails_without_a_word_is_an_error() {
        let output = Output {
            status: ExitStatus::from_raw(101 << 8),
            stdout: Vec::new(),
            stderr: b"no space is left".to_vec(),
        };
        let error = verdict_of(Some(&output), "FAILED ").unwrap_err();
        assert!(error.to_string().contains("no space is left"), "{error}");
    }

    #[test]
    fn every_bug_of_the_catalogue_can_be_planted_once() {
        let mutants = catalogue().unwrap();
        assert!(mutants.len() >= 20, "{}", mutants.len());
        for mutant in &mutants {
            let text = fs::read_to_string(shell::root().join(&mutant.file)).unwrap();
            assert_eq!(text.matches(&mutant.before).count(), 1, "{}", mutant.name);
            assert_ne!(mutant.before, mutant.after, "{}", mutant.name);
            let namesakes = mutants.iter().filter(|other| other.name == mutant.name);
            assert_eq!(namesakes.count(), 1, "{}", mutant.name);
        }
    }
}
