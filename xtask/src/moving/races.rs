//! A thousand imports beside eight processes that rewrite the same file 50 times a second.

use anyhow::Context as _;

use crate::shell;

/// The test of the end-to-end tests that does it, a few times only there.
const TEST: &str = "moving_races::no_change_of_eight_writers_is_lost_by_imports_beside_them";

/// How many imports, each with its undo.
const IMPORTS: usize = 1000;

pub(super) fn run() -> anyhow::Result<String> {
    let mut command = shell::cargo();
    command
        .args(["test", "--package", "mcpool", "--test", "it"])
        .args(["--features", "mcpool/test-programs", "--", "--exact", TEST])
        .args(["--nocapture"])
        .env("MCPOOL_TEST_IMPORTS", IMPORTS.to_string());
    let said = shell::output(&mut command)?;
    let made = said
        .lines()
        .find(|line| line.ends_with(" were made beside eight writers"));
    let made = made.context("the test was not run")?;
    Ok(made.trim().to_owned())
}
