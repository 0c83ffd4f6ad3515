//! libFuzzer: how it is called, and what it leaves behind.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use anyhow::{Context as _, bail};

use super::Target;
use crate::shell;

/// Longest time that one input may take, in seconds; most take microseconds.
const INPUT_SECONDS_MAX: u32 = 10;

/// Most memory that a target may take, in MiB.
const MEMORY_MIB_MAX: u32 = 2048;

/// How long a broken input is made smaller, in seconds.
const SHRINK_SECONDS: u32 = 20;

/// Where the inputs of one target lie.
pub(super) struct Folders {
    /// In the checkout: those worth keeping.
    pub(super) corpus: PathBuf,
    /// In the checkout: those that once broke a promise.
    regressions: PathBuf,
    dictionary: PathBuf,
    /// For this target alone; nothing in it is missed.
    pub(super) work: PathBuf,
    /// Those that reached new code, of all runs.
    grown: PathBuf,
    /// Those that broke a promise, of this run.
    findings: PathBuf,
}

impl Folders {
    /// Makes those that a run writes to, and forgets the findings of the last one.
    pub(super) fn prepare(target: Target) -> anyhow::Result<Self> {
        let fuzz = shell::root().join("fuzz");
        let work = shell::root().join("target/fuzzing").join(target.name());
        let folders = Folders {
            corpus: fuzz.join("corpus").join(target.name()),
            regressions: fuzz.join("regressions").join(target.name()),
            dictionary: fuzz
                .join("dictionaries")
                .join(format!("{}.dict", target.name())),
            grown: work.join("grown"),
            findings: work.join("findings"),
            work,
        };
        if folders.findings.exists() {
            fs::remove_dir_all(&folders.findings)?;
        }
        for folder in [
            &folders.corpus,
            &folders.regressions,
            &folders.grown,
            &folders.findings,
        ] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(folders)
    }
}

/// How a run ended.
pub(super) enum Outcome {
    Clean {
        /// How many inputs were tried.
        inputs: u64,
    },
    Broken,
}

/// An input that breaks a promise.
pub(super) struct Finding {
    pub(super) input: PathBuf,
    /// The same in fewer bytes, if there is a way.
    pub(super) smaller: Option<PathBuf>,
    /// What the check said.
    pub(super) words: String,
}

/// The command that looks for findings for so long.
pub(super) fn look(program: &Path, target: Target, folders: &Folders, seconds: u32) -> Command {
    let mut command = engine(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.input_bytes_max()))
        .arg(argument("-artifact_prefix=", &folders.findings.join("")))
        .arg("-print_final_stats=1");
    // Where no word has a meaning, there is none.
    if folders.dictionary.exists() {
        command.arg(argument("-dict=", &folders.dictionary));
    }
    command.args([&folders.grown, &folders.corpus, &folders.regressions]);
    command
}

/// Runs to the end with everything that it says in a file.
pub(super) fn logged(command: &mut Command, log: &Path) -> anyhow::Result<Outcome> {
    let file = File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    let text = fs::read(log)?;
    let text = String::from_utf8_lossy(&text);
    let inputs = text.lines().find_map(|line| {
        let number = line.strip_prefix("stat::number_of_executed_units:")?;
        number.trim().parse().ok()
    });
    match inputs {
        Some(inputs) if status.success() => Ok(Outcome::Clean { inputs }),
        Some(_) | None => Ok(Outcome::Broken),
    }
}

/// What the last run found, made smaller, with what the check says of it.
pub(super) fn finding(program: &Path, folders: &Folders) -> anyhow::Result<Option<Finding>> {
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&folders.findings)? {
        let entry = entry?;
        found.push((entry.metadata()?.modified()?, entry.path()));
    }
    found.sort();
    let Some((_, input)) = found.into_iter().next() else {
        return Ok(None);
    };
    let smaller = shrink(program, &input, folders);
    let words = words(program, smaller.as_ref().unwrap_or(&input), folders);
    Ok(Some(Finding {
        input,
        smaller,
        words,
    }))
}

/// Tries to leave bytes out; an input that takes too long or too much memory stays as it is.
fn shrink(program: &Path, input: &Path, folders: &Folders) -> Option<PathBuf> {
    let smaller = folders.work.join("smaller");
    let _ = fs::remove_file(&smaller);
    let mut command = engine(program);
    command
        .arg("-minimize_crash=1")
        .arg(format!("-max_total_time={SHRINK_SECONDS}"))
        .arg(argument("-exact_artifact_path=", &smaller))
        .arg(input);
    // It ends with an error if nothing can be left out.
    let _ = logged(&mut command, &folders.work.join("shrink-log"));
    smaller.exists().then_some(smaller)
}

/// What the check says of an input that breaks its promise.
fn words(program: &Path, input: &Path, folders: &Folders) -> String {
    let log = folders.work.join("replay-log");
    let _ = logged(engine(program).arg(input), &log);
    let text = fs::read(&log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let panic = text
        .lines()
        .skip_while(|line| !line.contains(" panicked at "));
    let is_end = |line: &str| line.starts_with("note: ") || line == "stack backtrace:";
    let panic: Vec<&str> = panic.take_while(|line| !is_end(line)).collect();
    let summary = text.lines().find(|line| line.starts_with("SUMMARY: "));
    if panic.is_empty() {
        summary.unwrap_or("it ended").to_owned()
    } else {
        panic.join("\n")
    }
}

/// Checks one input, with everything that is said shown.
pub(super) fn replay(program: &Path, input: &Path) -> anyhow::Result<()> {
    if !input.is_file() {
        bail!("there is no file {}", input.display());
    }
    shell::run(engine(program).arg(input).env("RUST_BACKTRACE", "1"))
}

/// Replaces the kept inputs by as few as reach the same code as all inputs together; says how many.
///
/// Those that a person gave a name stay, because what they show may be more than which code they reach.
pub(super) fn keep(program: &Path, folders: &Folders) -> anyhow::Result<usize> {
    let chosen = folders.work.join("chosen");
    if chosen.exists() {
        fs::remove_dir_all(&chosen)?;
    }
    fs::create_dir_all(&chosen)?;
    for path in inputs(&folders.corpus)? {
        if let Some(name) = path.file_name().filter(|_| is_named(&path)) {
            fs::copy(&path, chosen.join(name))?;
        }
    }
    let mut command = engine(program);
    // How often a branch is taken makes no other input worth keeping.
    command
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .args([&chosen, &folders.corpus, &folders.grown]);
    shell::run(&mut command)?;
    for path in inputs(&folders.corpus)? {
        fs::remove_file(path)?;
    }
    let chosen = inputs(&chosen)?;
    for path in &chosen {
        let name = path.file_name().unwrap_or_default();
        fs::copy(path, folders.corpus.join(name))?;
    }
    Ok(chosen.len())
}

fn inputs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    paths.collect()
}

/// Whether a person named the file; the engine names those that it makes by their hash.
fn is_named(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() != 40 || !name.iter().all(u8::is_ascii_hexdigit)
}

fn engine(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(shell::root())
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    command
}

/// A flag with a path behind it, whatever bytes that is made of.
fn argument(flag: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push(path);
    argument
}
