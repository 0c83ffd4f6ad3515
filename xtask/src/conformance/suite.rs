//! One run of the suite.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    checks,
    report::{Goal, Played},
    version::{Fixture, Version},
};
use crate::{provision::Provisioned, shell};

/// How long a suite may take; it gives each of its scenarios half a minute.
const PATIENCE: Duration = Duration::from_mins(5);

/// What all suites are played with.
pub(crate) struct Bench<'a> {
    pub(crate) provisioned: &'a Provisioned,
    pub(crate) folder: &'a Path,
}

/// What is played against.
pub(crate) struct Target {
    pub(crate) url: String,
    /// How the server is called in the table.
    pub(crate) name: &'static str,
}

/// What is played, and against which server.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    version: Version,
    part: Part,
    pub(crate) fixture: Fixture,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    All,
    Required,
}

impl Suite {
    /// All scenarios of a version, with the server of its era.
    pub(crate) fn all(version: Version) -> Suite {
        Suite {
            version,
            part: Part::All,
            fixture: version.fixture(),
        }
    }

    /// The same with the server of the other era.
    pub(crate) fn across(version: Version) -> Suite {
        let fixture = version.other_fixture();
        Suite {
            fixture,
            ..Suite::all(version)
        }
    }

    /// What a version required when it was released, if the suite says so.
    pub(crate) fn required(version: Version) -> Option<Suite> {
        let part = Part::Required;
        let suite = Suite::all(version);
        version
            .has_requirements()
            .then_some(Suite { part, ..suite })
    }

    pub(crate) fn name(&self) -> String {
        let part = match self.part {
            Part::All => "all",
            Part::Required => "required",
        };
        format!("{} {part}", self.version.name())
    }

    /// Plays it to its end. What it finds is no error; that it cannot be played is.
    pub(crate) fn play(
        &self,
        bench: &Bench<'_>,
        target: &Target,
        folder: &Path,
    ) -> anyhow::Result<Played> {
        let mut command = Command::new(bench.provisioned.node());
        command.arg(bench.provisioned.npm_script("conformance"));
        command
            .args(["server", "--url", &target.url, "--output-dir"])
            .arg(folder);
        let version = self.version.name();
        let goal = match self.part {
            Part::All => {
                command.args(["--suite", "all", "--spec-version", version]);
                self.version.goal(self.fixture)
            }
            // Scenarios that are not scored may fail.
            Part::Required => {
                command.args(["--requirements", version]);
                Goal::Exit
            }
        };
        let begun = Instant::now();
        let Some(output) = shell::ended_within(&mut command, PATIENCE)? else {
            bail!("{command:?} did not end within {} s", PATIENCE.as_secs());
        };
        let checks = checks::read(folder).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            format!(
                "{command:?} ended with {}: {}",
                output.status,
                errors.trim()
            )
        })?;
        Ok(Played {
            name: self.name(),
            behind: target.name,
            checks,
            goal,
            is_content: output.status.success(),
            took: begun.elapsed(),
        })
    }
}
