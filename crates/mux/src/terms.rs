//! How long a request may take: in all, and without getting on.
//!
//! A server need not tell of progress, and a client has limits of its own, so the first is a day and
//! the second has to be asked for. Neither says anything about the server: what is cancelled is one
//! request, and whether the process is alive is for [`crate::pulse`] to find out.
//!
//! **Invariant:** every exchange ends, and whoever waits for it is told; but that by which a server is listened
//! to, which nobody waits for.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    action::Outbox,
    event::{IdleTimeout, Opening},
    exchange::{Exchange, Exchanges, MintedId, Owner},
    ids::UpstreamId,
    limits::Limits,
    moment::Moment,
    mux::Mux,
    refusal::Refusal,
    timers::Timer,
};

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The answer, whatever progress there was.
    Answer,
    /// An answer or any progress.
    Progress,
}

/// What holds for the requests of one server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// Longest life, whatever progress there is.
    pub(crate) life: Duration,
    /// Longest life without progress.
    pub(crate) idle: IdleTimeout,
}

impl Terms {
    /// What this server's own settings say, or else what holds for all.
    pub(crate) fn of(opening: &Opening, limits: &Limits) -> Self {
        Terms {
            life: opening.request_timeout.unwrap_or(limits.request_timeout),
            idle: opening
                .request_idle_timeout
                .unwrap_or(limits.request_idle_timeout),
        }
    }

    /// When a request that is opened now ends at the earliest.
    fn earliest_end(self, now: Moment) -> Moment {
        match self.idle {
            IdleTimeout::After(idle) => now + self.life.min(idle),
            IdleTimeout::Never => now + self.life,
        }
    }

    /// When an exchange ends unless something happens, and what it lacks then.
    fn end(self, exchange: &Exchange) -> (Moment, Refusal) {
        let at_all = exchange.opened + self.life;
        let of_age = Refusal::TookTooLong {
            after: self.life,
            lack: Lack::Answer,
        };
        match (self.idle, &exchange.owner) {
            (IdleTimeout::After(idle), Owner::Session(_)) if exchange.moved + idle < at_all => {
                let of_idleness = Refusal::TookTooLong {
                    after: idle,
                    lack: Lack::Progress,
                };
                (exchange.moved + idle, of_idleness)
            }
            (IdleTimeout::After(_) | IdleTimeout::Never, _) => (at_all, of_age),
        }
    }

    /// Those whose time is over, oldest first.
    fn overdue(self, exchanges: &Exchanges, now: Moment) -> Vec<(MintedId, Refusal)> {
        let ends = ending(exchanges).map(|(id, exchange)| {
            let (at, refusal) = self.end(exchange);
            (id, at, refusal)
        });
        let is_over = |(_, at, _): &(MintedId, Moment, Refusal)| *at <= now;
        let id_and_why = |(id, _, refusal)| (id, refusal);
        match self.idle {
            // None is older than those before it.
            IdleTimeout::Never => ends.take_while(is_over).map(id_and_why).collect(),
            IdleTimeout::After(_) => ends.filter(is_over).map(id_and_why).collect(),
        }
    }

    /// When the next of them ends.
    fn next_end(self, exchanges: &Exchanges) -> Option<Moment> {
        let mut ends = ending(exchanges).map(|(_, exchange)| self.end(exchange).0);
        match self.idle {
            IdleTimeout::Never => ends.next(),
            IdleTimeout::After(_) => ends.min(),
        }
    }
}

/// Those that are expected to end.
fn ending(exchanges: &Exchanges) -> impl Iterator<Item = (MintedId, &Exchange)> {
    exchanges
        .iter()
        .filter(|(_, exchange)| !exchange.is_lasting())
}

impl Mux {
    /// A request has been opened: sees to it that it does not become too old.
    ///
    /// The timer stays set when everything has been answered: it fires in vain a day later, which
    /// is cheaper than to set it again for every request.
    pub(crate) fn watch_request_timeout(&mut self, upstream_id: UpstreamId) {
        if let Some(upstream) = self.upstreams.get(&upstream_id) {
            let at = upstream.terms.earliest_end(self.now);
            self.timers
                .set_no_later(Timer::RequestTimeout(upstream_id), at);
        }
    }

    /// The time of some requests may be over.
    pub(crate) fn on_request_timeout(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get(&upstream_id) else {
            return;
        };
        let overdue = upstream.terms.overdue(&upstream.exchanges, self.now);
        for (minted, refusal) in overdue {
            self.end_overdue(upstream_id, minted, &refusal, out);
        }
        if let Some(upstream) = self.upstreams.get(&upstream_id)
            && let Some(at) = upstream.terms.next_end(&upstream.exchanges)
        {
            self.timers
                .set_no_later(Timer::RequestTimeout(upstream_id), at);
        }
    }

    fn end_overdue(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let now = self.now;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        // It may have ended with one before it.
        let Some(exchange) = upstream.exchanges.get_mut(minted) else {
            return;
        };
        let Owner::Session(claim) = &exchange.owner else {
            upstream.exchanges.close(minted);
            return;
        };
        let is_idle = matches!(
            refusal,
            Refusal::TookTooLong {
                lack: Lack::Progress,
                ..
            }
        );
        let is_asked = self
            .sessions
            .get(&claim.session)
            .is_some_and(crate::session::Session::is_asked);
        if is_idle && is_asked {
            // It is the client that takes its time: the server waits for what it has asked.
            exchange.moved = now;
        } else {
            self.cancel_and_refuse(upstream_id, minted, refusal, out);
        }
    }
}
