//! How much sessions want to hear of a server's log, and how chatty that makes the server.

/// The severities of RFC 5424, most verbose first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// What a session that never set a level hears once another has set one.
///
/// Before that it hears whatever the server sends of its own accord.
pub(crate) const UNASKED: Level = Level::Info;

impl Level {
    const NAMES: [(&'static str, Level); 8] = [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("notice", Level::Notice),
        ("warning", Level::Warning),
        ("error", Level::Error),
        ("critical", Level::Critical),
        ("alert", Level::Alert),
        ("emergency", Level::Emergency),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Level::NAMES.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }

    pub(crate) fn name(self) -> &'static str {
        Level::NAMES.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}
