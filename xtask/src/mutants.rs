//! `cargo xtask mutants`: the test of the tests.
//!
//! Each bug of `sim/mutants.toml` is planted in a copy of the sources, and must be caught: by the
//! simulation, else by the core's own tests. A bug that nothing catches is a hole in the proof.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use toml_edit::DocumentMut;

use crate::{shell, test::Counts, ui};

/// Longest time that one run of the simulation or of the tests may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// Longest time that a build may take: nothing is learnt from it, and a machine may do other things besides.
const BUILT_WITHIN: Duration = Duration::from_mins(30);

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
    /// It is there; in these words.
    Caught(String),
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
    if let Verdict::Caught(words) = nursery.simulation(args.seeds)? {
        bail!("the simulation fails without a planted bug: {words}");
    }
    if let Verdict::Caught(words) = nursery.core_tests()? {
        bail!("the core's tests fail without a planted bug: {words}");
    }
    let is_meant = |mutant: &&Mutant| {
        args.names.is_empty() || args.names.iter().any(|name| mutant.name.contains(name))
    };
    let mut counts = Counts::default();
    for mutant in mutants.iter().filter(is_meant) {
        let began = Instant::now();
        nursery.plant(mutant)?;
        let judged = nursery.judge(args);
        nursery.pull(mutant)?;
        let caught_by = judged.with_context(|| format!("the bug `{}` is planted", mutant.name))?;
        counts.add(!caught_by.is_empty());
        let seconds = began.elapsed().as_secs();
        let verdict = if caught_by.is_empty() {
            format!("NOT CAUGHT: {}", mutant.breaks)
        } else {
            caught_by.join("; ")
        };
        ui::line(format!("{:<42} {verdict} ({seconds} s)", mutant.name));
    }
    ensure!(counts != Counts::default(), "there is no such bug");
    Ok(counts)
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
            })
        })
        .collect()
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
    fn judge(&self, args: &Args) -> anyhow::Result<Vec<String>> {
        let mut caught_by = Vec::new();
        if let Verdict::Caught(words) = self.simulation(args.seeds)? {
            caught_by.push(format!("simulation: {words}"));
        }
        if (caught_by.is_empty() || args.both)
            && let Verdict::Caught(words) = self.core_tests()?
        {
            caught_by.push(format!("core tests: {words}"));
        }
        Ok(caught_by)
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
            "--sampled-only",
        ]);
        verdict(&mut run, |line| line.strip_prefix("FAILED "))
    }

    fn core_tests(&self) -> anyhow::Result<Verdict> {
        let test = ["test", "--quiet", "--package", "mux", "--package", "wire"];
        self.build(&[&test[..], &["--no-run"]].concat())?;
        let mut run = self.cargo(&test);
        run.arg("--no-fail-fast");
        verdict(&mut run, |line| line.strip_prefix("test result: FAILED. "))
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

/// Runs a test program; `words_of` finds the line that says what failed.
fn verdict(
    command: &mut Command,
    words_of: impl Fn(&str) -> Option<&str>,
) -> anyhow::Result<Verdict> {
    let Some(output) = shell::ended_within(command, PATIENCE)? else {
        return Ok(Verdict::Caught("it never ends".to_owned()));
    };
    if output.status.success() {
        return Ok(Verdict::Missed);
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let words = said.lines().find_map(words_of);
    let words =
        words.with_context(|| format!("{command:?} ended with {}: {said}", output.status))?;
    Ok(Verdict::Caught(words.trim().to_owned()))
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
    use super::*;

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
