//! Whether a server that works on something is alive: it spoke lately, or it answers a ping.
//!
//! A server that says nothing and answers no ping is called unresponsive. What is new waits then, and
//! what runs goes on: a tool may well keep its server from answering for twenty minutes. The process
//! is stopped only when it works on no call of a tool, so that none is ever cut off for being slow.
//!
//! **Invariant:** any word of a server ends its silence.

use serde::{Deserialize, Serialize};
use wire::{Fault, Frame, Method, Outgoing};

use crate::{
    action::Outbox,
    exchange::{Errand, Exchange, MintedId},
    fact::Fact,
    ids::UpstreamId,
    moment::Moment,
    mux::Mux,
    timers::Timer,
};

/// Pings that a server must miss in a row to be called unresponsive.
const PINGS: u32 = 3;

/// The part of the time between two pings that the last of them has to be answered.
const LAST_WAIT: u32 = 6;

/// The signs of life of one process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pulse {
    /// When it last said anything, be it no message.
    heard: Moment,
    /// Pings that it was sent since then.
    pings: u32,
    pub(crate) is_unresponsive: bool,
}

impl Mux {
    /// A server has said something, which is a sign of life whatever it is.
    pub(crate) fn on_upstream_said(
        &mut self,
        upstream_id: UpstreamId,
        said: Result<(Frame, Option<MintedId>), Fault>,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let was_unresponsive = upstream.is_ready() && upstream.pulse.is_unresponsive;
        upstream.pulse = Pulse {
            heard: self.now,
            ..Pulse::default()
        };
        if was_unresponsive {
            out.tell(Fact::UpstreamResponsive {
                upstream: upstream_id,
            });
            self.watch_pulse(upstream_id);
        }
        match said {
            Ok((frame, within)) => self.on_upstream_frame(upstream_id, frame, within, out),
            Err(fault) => self.on_upstream_fault(upstream_id, fault, out),
        }
        if was_unresponsive {
            // Only now: whose business the word was could not be told beside new calls.
            self.release(upstream_id, out);
        }
    }

    /// A server has something to do from now on: sees to it that its silence is noticed.
    ///
    /// The timer stays set when everything has been answered: it fires in vain, which is cheaper than
    /// to set it again for every request.
    pub(crate) fn watch_pulse(&mut self, upstream_id: UpstreamId) {
        let timer = Timer::Pulse(upstream_id);
        let interval = self.limits.ping_interval;
        // What was announced before the verdict may leave after it; the verdict stands already.
        let is_judged = self
            .upstreams
            .get(&upstream_id)
            .is_some_and(|upstream| upstream.pulse.is_unresponsive);
        if !interval.is_zero() && !is_judged && !self.timers.is_set(timer) {
            self.timers.set(timer, self.now + interval);
        }
    }

    /// A server has said nothing for a while, or has not answered a ping.
    pub(crate) fn on_pulse(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let interval = self.limits.ping_interval;
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        let busy_since = upstream.exchanges.busy_since();
        let (true, Some(busy_since)) = (upstream.is_ready(), busy_since) else {
            upstream.pulse.pings = 0;
            return;
        };
        let heard = upstream.pulse.heard;
        let ping_at = heard.max(busy_since) + interval;
        if upstream.pulse.pings == 0 && ping_at > self.now {
            self.timers.set(Timer::Pulse(upstream_id), ping_at);
        } else if upstream.pulse.pings < PINGS {
            upstream.pulse.pings += 1;
            let wait = if upstream.pulse.pings == PINGS {
                interval / LAST_WAIT
            } else {
                interval
            };
            self.ping(upstream_id, out);
            self.timers.set(Timer::Pulse(upstream_id), self.now + wait);
        } else {
            upstream.pulse.is_unresponsive = true;
            out.tell(Fact::UpstreamUnresponsive {
                upstream: upstream_id,
                quiet: self.now - heard.max(busy_since),
                open: upstream.exchanges.claimed(),
            });
            self.stop_if_hung(upstream_id, out);
        }
    }

    fn ping(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        if upstream.pulse.pings == 1 {
            // Those of an earlier silence that it never answered, and will not.
            upstream.exchanges.close_errands(Errand::Ping);
        }
        let exchange = Exchange::of_errand(Errand::Ping, self.now);
        let id = upstream.exchanges.open(exchange);
        let request = Mux::pulse_request(upstream.key.era, id);
        Mux::tell_upstream(upstream_id, Outgoing::from(request), out);
    }

    /// Stops a server that does not respond, unless it may be at work on a call.
    pub(crate) fn stop_if_hung(&mut self, upstream_id: UpstreamId, out: &mut Outbox) {
        let is_hung = self.upstreams.get(&upstream_id).is_some_and(|upstream| {
            upstream.is_ready()
                && upstream.pulse.is_unresponsive
                && !upstream.exchanges.has_sent(&Method::ToolsCall)
        });
        if is_hung {
            self.stop(upstream_id, out);
        }
    }
}
