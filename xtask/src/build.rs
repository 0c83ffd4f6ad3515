//! Building our own programs, and finding what was built.
//!
//! Cargo itself says where an executable lies, so any target folder works.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::shell;

/// How much the compiler shall try.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// With debug assertions: what tests run.
    Debug,
    /// As users get it.
    Release,
    /// With a fuzzing engine inside, and instrumented so that the engine sees which way an input took.
    Fuzz,
}

/// What makes the compiler report each branch and comparison to the engine.
///
/// No sanitizer: those need another compiler, and what they look for cannot happen in code without
/// `unsafe`. Given as a variable, this takes the place of the flags for static executables, which
/// the engine's C++ would not link with.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Where each executable of a package lies, by its name.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// The executable of that name.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.get(name);
        path.cloned()
            .with_context(|| format!("cargo did not say where `{name}` is"))
    }
}

/// Builds all executables of the packages.
pub(crate) fn programs(packages: &[&str], profile: Profile) -> anyhow::Result<Programs> {
    let mut command = shell::cargo();
    command.args([
        "build",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    match profile {
        // With the books that daemons keep in tests, and as everything else is tested.
        Profile::Debug => {
            command.args(["--features", "mcpool/test-programs"]);
        }
        Profile::Release => {
            command.arg("--release");
        }
        Profile::Fuzz => {
            command.args(["--profile", "fuzz", "--features", "fuzz/libfuzzer"]);
            command.env("RUSTFLAGS", INSTRUMENTATION);
        }
    }
    for package in packages {
        command.args(["--package", package]);
    }
    built_by(&mut command)
}

/// Builds the scripted server of the tests; the programs of users stay as they are.
pub(crate) fn fake_server(profile: Profile) -> anyhow::Result<PathBuf> {
    const NAME: &str = "fake-server";
    if let Profile::Debug = profile {
        return programs(&["mcpool"], profile)?.get(NAME);
    }
    let mut command = shell::cargo();
    command.args(["build", "--release", "--package", "mcpool", "--bin", NAME]);
    command.args(["--features", "mcpool/fake-server"]);
    command.arg("--message-format=json-render-diagnostics");
    built_by(&mut command)?.get(NAME)
}

/// Has cargo build, and reads what.
fn built_by(command: &mut Command) -> anyhow::Result<Programs> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).context("reading what cargo built")?;
        let name = message["target"]["name"].as_str();
        if let (Some(name), Some(path)) = (name, message["executable"].as_str()) {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(Programs(programs))
}
