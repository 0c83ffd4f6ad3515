//! The versions that are played, and what is to be reached in each.

use super::report::{Goal, Missing};

/// What `cargo xtask test` plays.
pub(crate) const TODAY: [Version; 3] = [
    Version::V2025_06_18,
    Version::V2025_11_25,
    Version::V2026_07_28,
];

/// What each server is configured with besides its command; lines of TOML.
///
/// Four checks of 2025-11-25 want responses to be streams, and one to end before its answer has come.
pub(crate) const SETTINGS: &str = "sse_poll_after = \"60ms\"";

/// What of 2026-07-28 does not pass with a legacy server. `docs/eras.md` says of each why.
pub(crate) const UNTRANSLATABLE: &[Missing] = &[
    failed(
        "input-required-result-basic-elicitation",
        "sep-2322-elicitation-incomplete",
    ),
    failed(
        "input-required-result-basic-list-roots",
        "sep-2322-list-roots-incomplete",
    ),
    failed(
        "input-required-result-basic-sampling",
        "sep-2322-sampling-incomplete",
    ),
    warned(
        "input-required-result-ignore-extra-params",
        "sep-2322-ignore-unexpected-params",
    ),
    warned(
        "input-required-result-missing-input-response",
        "sep-2322-missing-response-rerequests",
    ),
    failed(
        "input-required-result-multi-round",
        "sep-2322-multi-round-r1",
    ),
    failed(
        "input-required-result-multiple-input-requests",
        "sep-2322-multiple-inputs-incomplete",
    ),
    failed(
        "input-required-result-non-tool-request",
        "sep-2322-non-tool-incomplete",
    ),
    failed(
        "input-required-result-request-state",
        "sep-2322-request-state-incomplete",
    ),
    failed(
        "input-required-result-result-type",
        "sep-2322-result-type-included",
    ),
    failed(
        "input-required-result-tampered-state",
        "sep-2322-reject-tampered-state",
    ),
    warned(
        "input-required-result-validate-input",
        "sep-2322-validate-input-responses",
    ),
    failed(
        "server-stateless",
        "sep-2575-server-rejects-undeclared-capability",
    ),
    failed("server-stateless", "sep-2575-missing-capability-http-400"),
];

const fn failed(scenario: &'static str, check: &'static str) -> Missing {
    Missing {
        scenario,
        check,
        is_warning: false,
    }
}

const fn warned(scenario: &'static str, check: &'static str) -> Missing {
    Missing {
        is_warning: true,
        ..failed(scenario, check)
    }
}

/// A version of the protocol that the suite has scenarios for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Version {
    #[value(name = "2025-06-18")]
    V2025_06_18,
    #[value(name = "2025-11-25")]
    V2025_11_25,
    #[value(name = "2026-07-28")]
    V2026_07_28,
}

/// The server behind mcpool, by the era that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fixture {
    Legacy,
    Modern,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Version::V2025_06_18 => "2025-06-18",
            Version::V2025_11_25 => "2025-11-25",
            Version::V2026_07_28 => "2026-07-28",
        }
    }

    /// The server of the other era.
    pub(crate) fn other_fixture(self) -> Fixture {
        match self.fixture() {
            Fixture::Legacy => Fixture::Modern,
            Fixture::Modern => Fixture::Legacy,
        }
    }

    /// The server of its own era.
    pub(crate) fn fixture(self) -> Fixture {
        match self {
            Version::V2025_06_18 | Version::V2025_11_25 => Fixture::Legacy,
            Version::V2026_07_28 => Fixture::Modern,
        }
    }

    /// What all its scenarios must give with such a server behind mcpool.
    pub(crate) fn goal(self, fixture: Fixture) -> Goal {
        match (self, fixture) {
            (Version::V2025_06_18, _) => Goal::Full(56),
            (Version::V2025_11_25, _) => Goal::Full(84),
            (Version::V2026_07_28, Fixture::Modern) => Goal::Full(152),
            (Version::V2026_07_28, Fixture::Legacy) => Goal::But(128, UNTRANSLATABLE),
        }
    }

    /// Whether the suite says what it required when it was released.
    pub(crate) fn has_requirements(self) -> bool {
        match self {
            Version::V2025_06_18 => false,
            Version::V2025_11_25 | Version::V2026_07_28 => true,
        }
    }
}

impl Fixture {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fixture::Legacy => "legacy",
            Fixture::Modern => "modern",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::shell;

    #[test]
    fn the_page_of_the_eras_says_what_is_reached_and_of_each_check_that_is_missing_why() {
        let page = fs::read_to_string(shell::root().join("docs/eras.md")).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
        for version in TODAY {
            let name = version.name();
            let goals = [version.fixture(), version.other_fixture()].map(|it| version.goal(it));
            let [own, other] = goals.map(Goal::words);
            let row = format!("| {name}, all | {own} | {other} |");
            assert!(rows.contains(&&*row), "{row}");
        }
        let mut told = rows.iter().filter(|row| row.contains("| `sep-")).count();
        for missing in UNTRANSLATABLE {
            let Missing {
                scenario,
                check,
                is_warning,
            } = missing;
            let note = if *is_warning { " (a warning)" } else { "" };
            let row = format!("| `{scenario}` | `{check}`{note} | ");
            assert!(rows.iter().any(|it| it.starts_with(&row)), "{row}");
            told -= 1;
        }
        assert_eq!(told, 0, "the page tells of others");
    }
}
