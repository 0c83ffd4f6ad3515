//! The versions that are played, and what is to be reached in each.

use super::report::Goal;

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

    /// The server of its own era.
    pub(crate) fn fixture(self) -> Fixture {
        match self {
            Version::V2025_06_18 | Version::V2025_11_25 => Fixture::Legacy,
            Version::V2026_07_28 => Fixture::Modern,
        }
    }

    /// What all its scenarios must give with such a server behind mcpool.
    pub(crate) fn goal(self, fixture: Fixture) -> Goal {
        match self {
            // What cannot be translated between eras is no goal.
            _other_era if fixture != self.fixture() => Goal::Unset,
            Version::V2025_06_18 => Goal::Full(56),
            Version::V2025_11_25 => Goal::Full(84),
            Version::V2026_07_28 => Goal::Full(152),
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
