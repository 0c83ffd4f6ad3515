//! The versions of the protocol, and the two eras that they fall into.
//!
//! *Legacy* versions begin with a handshake (2024-11-05 … 2025-11-25); the *modern* one has none: each request
//! says by itself what it is of (2026-07-28). A server over stdio that speaks both speaks one of them in a
//! process, so that the era is a part of what must be equal for two sessions to share one.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// How a peer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Era {
    /// With a handshake.
    #[default]
    Legacy,
    /// With what it is in each request.
    Modern,
}

impl Era {
    /// The name in the configuration and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Era::Legacy => Era::Modern,
            Era::Modern => Era::Legacy,
        }
    }
}

/// The version of the modern era.
pub const MODERN_VERSION: &str = "2026-07-28";

/// All versions that clients are served in, newest first, as `server/discover` lists them.
pub const SERVED_VERSIONS: [&str; 5] = [
    MODERN_VERSION,
    "2025-11-25",
    "2025-06-18",
    "2025-03-26",
    "2024-11-05",
];

/// The versions of the legacy era, oldest first. Being dates, they sort as text.
pub(crate) const LEGACY_VERSIONS: [&str; 4] =
    ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The version that we greet servers with: the newest that has a handshake.
pub const GREETING_VERSION: &str = "2025-11-25";

/// The one version that allows several messages on one line.
pub(crate) const BATCH_VERSION: &str = "2025-03-26";

/// Whether this is a version that has a handshake.
pub fn is_legacy(version: &str) -> bool {
    LEGACY_VERSIONS.contains(&version) || version == "2024-10-07"
}

/// Whether clients of this version know that a response over HTTP may end before its stream does, and come back
/// for the rest.
pub fn knows_polling(version: &str) -> bool {
    is_legacy(version) && version >= "2025-11-25"
}

/// What to answer a client that asked for `asked` when the server speaks `spoken`.
///
/// The client's own version, unless the server's is older or nobody knows the client's: the result
/// of `initialize` only ever gained members, so it needs no other change.
pub(crate) fn answered_version(asked: &str, spoken: &str) -> String {
    String::from(if is_legacy(asked) && asked <= spoken {
        asked
    } else {
        spoken
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_version_with_a_handshake_alone_knows_polling() {
        let know = LEGACY_VERSIONS.into_iter().filter(|it| knows_polling(it));
        assert!(know.eq(["2025-11-25"]));
        assert!(!knows_polling("2026-07-28") && !knows_polling(""));
    }

    #[test]
    fn a_client_is_answered_in_its_own_version_or_the_servers_older_one() {
        let table = [
            ("2025-06-18", "2025-11-25", "2025-06-18"),
            ("2025-11-25", "2025-06-18", "2025-06-18"),
            ("2024-11-05", "2025-06-18", "2024-11-05"),
            ("1999-01-01", "2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-11-25", "2025-11-25"),
            ("2025-11-25", "2025-11-25", "2025-11-25"),
        ];
        for (asked, spoken, answered) in table {
            assert_eq!(
                answered_version(asked, spoken),
                answered,
                "{asked} of {spoken}"
            );
        }
    }
}
