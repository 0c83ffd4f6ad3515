//! The other half of the suite: servers of its own, and mcpool as what speaks HTTP to them.
//!
//! The suite starts a server for each scenario and runs a program with its address. That program is this one
//! again ([`act()`]): it gives mcpool the address as the `url` of a server, and is itself the client over stdio in
//! front of it. Each scenario is played once for a client of either era.

mod act;
mod session;

use std::{
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

pub(crate) use self::act::{Args as ActArgs, act};
use super::{
    checks,
    report::{Goal, Played, Report},
    suite::Bench,
    version::{Fixture, Version},
};
use crate::{shell, ui};

/// How long a scenario may take; the suite gives up on the client a little sooner.
const PATIENCE: Duration = Duration::from_mins(2);
const CLIENT_PATIENCE_MS: &str = "90000";

/// Scenarios at the same time.
const AT_ONCE: usize = 3;

/// What is played in each version, and how many checks there are for a client of the legacy era and of the
/// modern one. `auth/…` is not among them: mcpool is given credentials as headers, and signs in nowhere.
const PLAYED: [(Version, &[&str], (usize, usize)); 3] = [
    (Version::V2025_06_18, &["initialize", "tools_call"], (3, 3)),
    (
        Version::V2025_11_25,
        &[
            "initialize",
            "tools_call",
            "elicitation-sep1034-client-defaults",
            "sse-retry",
            "json-schema-2020-12-preservation",
        ],
        (20, 20),
    ),
    (
        Version::V2026_07_28,
        &[
            "tools_call",
            "request-metadata",
            "sep-2322-client-request-state",
            "http-standard-headers",
            "http-custom-headers",
            "http-invalid-tool-headers",
            "json-schema-ref-no-deref",
            "json-schema-2020-12-preservation",
        ],
        (62, 62),
    ),
];

/// Plays all of these versions' scenarios.
pub(crate) fn play(
    bench: &Bench<'_>,
    (mcpool, xtask): (&Path, &Path),
    versions: &[Version],
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for (version, scenarios, checks) in PLAYED {
        if !versions.contains(&version) {
            continue;
        }
        for (era, goal) in [(Fixture::Legacy, checks.0), (Fixture::Modern, checks.1)] {
            let name = format!("{} servers, {} client", version.name(), era.name());
            ui::progress(format!("    playing {name}"));
            let folder = bench.folder.join(name.replace([' ', ','], "-"));
            let group = Group {
                bench,
                mcpool,
                xtask,
                folder: &folder,
                version,
                era,
            };
            report.add(group.play(name, scenarios, goal)?);
        }
    }
    Ok(report)
}

/// Scenarios of one version with clients of one era.
struct Group<'a> {
    bench: &'a Bench<'a>,
    mcpool: &'a Path,
    /// This program, as a client that is started for each scenario.
    xtask: &'a Path,
    folder: &'a Path,
    version: Version,
    era: Fixture,
}

impl Group<'_> {
    fn play(&self, name: String, scenarios: &[&str], goal: usize) -> anyhow::Result<Played> {
        let begun = Instant::now();
        let mut outputs = Vec::new();
        for some in scenarios.chunks(AT_ONCE) {
            let ended: Vec<anyhow::Result<Output>> = thread::scope(|scope| {
                let threads: Vec<_> = some
                    .iter()
                    .map(|scenario| scope.spawn(|| self.play_one(scenario)))
                    .collect();
                let joined = threads.into_iter().map(|thread| {
                    let played = thread.join();
                    played.unwrap_or_else(|_panic| Err(anyhow!("a thread has panicked")))
                });
                joined.collect()
            });
            outputs.extend(ended);
        }
        let outputs: Vec<Output> = outputs.into_iter().collect::<anyhow::Result<_>>()?;
        let failed = outputs.iter().filter(|output| !output.status.success());
        let words: Vec<String> = failed
            .map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned())
            .collect();
        let is_content = words.is_empty();
        for words in words {
            ui::progress(words);
        }
        Ok(Played {
            name,
            behind: "the suite's",
            checks: checks::read(&self.folder.join("checks"))?,
            goal: Goal::Full(goal),
            is_content,
            took: begun.elapsed(),
        })
    }

    fn play_one(&self, scenario: &str) -> anyhow::Result<Output> {
        // The suite takes it apart at its blanks.
        let mut act = format!(
            "{} conformance-client --mcpool {} --folder {} --era {}",
            self.xtask.display(),
            self.mcpool.display(),
            self.bench.folder.display(),
            self.era.name()
        );
        // For a client that speaks as before mcpool would say `initialize` first, and that is looked at, too.
        if (self.era, self.version.fixture()) == (Fixture::Legacy, Fixture::Modern) {
            act.push_str(" --server-era modern");
        }
        let provisioned = self.bench.provisioned;
        let mut command = Command::new(provisioned.node());
        command.arg(provisioned.npm_script("conformance"));
        command.args(["client", "--scenario", scenario, "--command", &act]);
        command.args(["--spec-version", self.version.name()]);
        command.args(["--timeout", CLIENT_PATIENCE_MS, "--output-dir"]);
        command.arg(self.folder.join("checks"));
        let ended = shell::ended_within(&mut command, PATIENCE)?;
        ended.with_context(|| format!("{scenario} did not end within {} s", PATIENCE.as_secs()))
    }
}
