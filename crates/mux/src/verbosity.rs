//! How much sessions want to hear of a server's log, and how chatty that makes the server.

use serde::{Deserialize, Serialize};
use wire::Method;

use crate::{
    action::Outbox,
    era::Era,
    exchange::{Errand, MintedId, Owner},
    ids::{LineNumber, UpstreamId},
    mux::Mux,
    offers::Offer,
    session::Whereabouts,
    stream::Whose,
};

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
    /// How many there are.
    pub(crate) const COUNT: usize = 8;

    /// All of them, most verbose first.
    pub(crate) const ALL: [Level; Level::COUNT] = [
        Level::Debug,
        Level::Info,
        Level::Notice,
        Level::Warning,
        Level::Error,
        Level::Critical,
        Level::Alert,
        Level::Emergency,
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::Alert => "alert",
            Level::Emergency => "emergency",
        }
    }
}

impl Mux {
    /// Whether any session of an upstream has set a log level, or asks something now for which it wants messages.
    pub(crate) fn is_logging(&self, upstream_id: UpstreamId) -> bool {
        self.upstreams.get(&upstream_id).is_some_and(|upstream| {
            !upstream.listeners.is_empty() || upstream.exchanges.wanted_level().is_some()
        })
    }

    /// The most verbose level that any session of an upstream wants, or any request that is there. Once the server
    /// is told one, that counts as wanted, too, which who never set a level is to hear.
    pub(crate) fn wanted_level(&self, upstream_id: UpstreamId) -> Option<Level> {
        let upstream = self.upstreams.get(&upstream_id)?;
        let of_sessions = upstream
            .listeners
            .iter()
            .filter_map(|session| self.sessions.get(session)?.level)
            .min();
        let of_requests = upstream.exchanges.wanted_level();
        let set = of_sessions.into_iter().chain(of_requests).min();
        if set.or(upstream.level).is_none() || set.is_some_and(|level| level <= UNASKED) {
            return set;
        }
        let never_asked = upstream.attached.iter().any(|session| {
            let session = self.sessions.get(session);
            session.is_some_and(|session| session.era == Era::Legacy && session.level.is_none())
        });
        if never_asked { Some(UNASKED) } else { set }
    }

    /// The line of the oldest request of a session of the modern era that wants a message of this severity, among
    /// those that its server is at: to no other it may be told.
    pub(crate) fn line_that_hears(
        &self,
        whose: Whose,
        upstream_id: UpstreamId,
        level: Level,
    ) -> Option<LineNumber> {
        let session = self.sessions.get(&whose.session)?;
        let is_meant = |minted: &MintedId| whose.request.is_none_or(|(known, _)| known == *minted);
        let exchanges = &self.upstreams.get(&upstream_id)?.exchanges;
        let lines = session.open.values().filter_map(|whereabouts| {
            let Whereabouts::Upstream(minted) = whereabouts else {
                return None;
            };
            let exchange = exchanges
                .get(*minted)
                .filter(|it| it.is_sent() && is_meant(minted))?;
            match &exchange.owner {
                Owner::Session(claim) => {
                    let hears = claim.log_level.is_some_and(|least| level >= least);
                    hears.then_some(claim.line)
                }
                Owner::Ourselves(_) => None,
            }
        });
        lines.min()
    }

    /// A session has come or gone. If the server was told a level, another may be right by now: who never set one
    /// is not to miss what others do not want.
    pub(crate) fn tell_level_again(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let upstream = self.upstreams.get(&upstream_id);
        if upstream.is_some_and(|upstream| upstream.level.is_some()) {
            self.tell_level(upstream_id, out);
        }
    }

    /// Tells the server how verbose to be, if that has changed. That a request has ended that wanted more is no reason:
    /// what others do not want is kept from them here, and the next one most likely wants as much.
    pub(crate) fn tell_level(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let wanted = self.wanted_level(upstream_id);
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let handshake = upstream.handshake.as_ref();
        if handshake.is_some_and(|said| !said.offers.has(Offer::Logging)) {
            return;
        }
        // It cannot be told to be as it was, only to say no more than anybody might hear of it.
        let is_told_in_vain =
            upstream.level.is_some_and(|level| level < UNASKED) && !upstream.attached.is_empty();
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
