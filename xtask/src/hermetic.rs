//! `cargo test` for the whole workspace, shown as it runs, and counted.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::Context as _;

use crate::{shell, test::Counts, ui};

/// Runs all tests, also after one has failed.
///
/// Tests that could not even be compiled, or that killed their program, count
/// as one failure.
pub(crate) fn run() -> anyhow::Result<Counts> {
    let mut command = shell::cargo();
    command.args([
        "test",
        "--workspace",
        "--features",
        "mcpool/test-programs",
        "--no-fail-fast",
    ]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut counts = Counts::default();
    let stdout = child
        .stdout
        .take()
        .context("a piped standard output is there")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading what cargo prints")?;
        if let Some(program) = counts_of(&line) {
            counts.passed += program.passed;
            counts.failed += program.failed;
        }
        ui::line(line);
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// The counts in the closing line of one test program.
fn counts_of(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |label: &str| {
        let part = numbers
            .split(';')
            .find(|part| part.trim().ends_with(label))?;
        part.trim().split(' ').next()?.parse().ok()
    };
    Some(Counts {
        passed: number(" passed")?,
        failed: number(" failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_program_is_counted_and_no_other() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(
            counts_of(line),
            Some(Counts {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(counts_of("test a::b ... ok"), None);
    }
}
