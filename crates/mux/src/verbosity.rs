//! How much sessions want to hear of a server's log, and how chatty that makes the server.

use serde::{Deserialize, Serialize};
use wire::Method;

use crate::{action::Outbox, exchange::Errand, ids::UpstreamId, mux::Mux};

/// The severities of RFC 5424, most verbose first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        Level::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, level)| *level)
    }

    pub(crate) fn name(self) -> &'static str {
        Level::NAMES
            .iter()
            .find(|(_, level)| *level == self)
            .map_or("info", |(name, _)| name)
    }
}

impl Mux {
    /// Whether any session of an upstream has set a log level.
    pub(crate) fn is_logging(&self, upstream_id: UpstreamId) -> bool {
        self.upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| !upstream.listeners.is_empty())
    }

    /// The most verbose level that any session of an upstream wants.
    pub(crate) fn wanted_level(&self, upstream_id: UpstreamId) -> Option<Level> {
        let upstream = self.upstreams.get(&upstream_id)?;
        upstream
            .listeners
            .iter()
            .filter_map(|session| self.sessions.get(session)?.level)
            .min()
    }

    /// Tells the server how verbose to be, if that has changed.
    pub(crate) fn tell_level(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let wanted = self.wanted_level(upstream_id);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        // A server cannot be told to be as it was: who never asked hears that much of it anyway.
        let is_told_in_vain = upstream.level.is_some() && !upstream.attached.is_empty();
        let Some(wanted) = wanted.or(is_told_in_vain.then_some(UNASKED)) else {
            return;
        };
        if upstream.level != Some(wanted) {
            upstream.level = Some(wanted);
            self.touch_record(upstream_id);
            self.run_errand(
                upstream_id,
                Errand::SetLevel,
                &Method::SetLevel,
                ("level", wanted.name()),
                out,
            );
        }
    }
}
