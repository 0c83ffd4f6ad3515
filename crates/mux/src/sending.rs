//! How a request leaves: under an id of ours, and announced first if it must never run twice.
//!
//! **Invariant:** what a shim was told is held goes to the server only after the shim was told that
//! it goes, unless it may be repeated. What is kept of a request that was sent is what may be repeated.

use alloc::boxed::Box;
use core::mem;

use wire::{Frame, Message, Method, Outgoing};

use crate::{
    action::{Action, Outbox},
    askable::Askable,
    bridge,
    era::Era,
    exchange::{Claim, Effect, Exchange, Kept, MintedId, Owner},
    handles::{class_of, request_of},
    handshake::NAMELESS,
    ids::{LineNumber, SessionId, UpstreamId},
    lanes::Manner,
    mux::Mux,
    release::Before,
    scales::Weighed,
    session::{Held, Stage, Whereabouts},
    upstream::Standing,
    verbosity::Level,
    wishes::log_level_of,
};

impl Mux {
    /// Gives the upstream a request whose turn has come, or the session its answer if we have it.
    pub(crate) fn send(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        held: Held,
        askable: Option<Askable>,
        before: Before,
        out: &mut Outbox,
    ) {
        let Some(effect) = self.weigh(session_id, upstream_id, held.line, &held.frame, out) else {
            return;
        };
        let Message::Request {
            id, method, params, ..
        } = &held.frame.message
        else {
            return;
        };
        let (Some(session), Some(upstream)) = (
            self.sessions.get_mut(&session_id),
            self.upstreams.get_mut(&upstream_id),
        ) else {
            return;
        };
        let must_announce = before == Before::Held
            && session.keeps_lines()
            && !session.batches.contains_key(&held.line)
            && !may_be_repeated(method);
        // What a modern server asks its clients understand.
        let is_bridged = (session.era, upstream.key.era) == (Era::Modern, Era::Legacy);
        let may_be_parked = is_bridged && method.is_askable() && upstream.class().can_be_asked();
        let log_level = log_level_of(&held.frame).filter(|_| session.era == Era::Modern);
        let subscribed = match &effect {
            Effect::Subscribed(uri) => Some(uri.clone()),
            Effect::Nothing | Effect::Listed(_) | Effect::Verbosity { .. } => None,
        };
        let minted = upstream.exchanges.open(Exchange {
            owner: Owner::Session(Box::new(Claim {
                session: session_id,
                id: id.clone(),
                token: params.meta_token.as_ref().map(|(token, _)| token.clone()),
                line: held.line,
                method: method.clone(),
                effect,
                era: session.era,
                asks: may_be_parked.then(|| request_of(&held.frame)).flatten(),
                class: is_bridged.then(|| class_of(&held.frame)).flatten(),
                log_level,
            })),
            opened: self.now,
            moved: self.now,
            kept: Kept::Nothing,
            again: None,
        });
        if let Some(uri) = subscribed {
            upstream.subscriptions.asked(&uri, session_id, minted);
        }
        let whereabouts = Whereabouts::Upstream(minted);
        session.open.insert(id.clone(), whereabouts);
        if let Some(askable) = askable {
            self.begin_call((session_id, upstream_id), minted, askable);
        }
        self.watch_request_timeout(upstream_id);
        if log_level.is_some() {
            self.tell_level(upstream_id, out);
        }
        if must_announce {
            self.announce((session_id, upstream_id), minted, held, out);
        } else {
            self.send_minted((session_id, upstream_id), minted, &held.frame, out);
            self.keep_if_repeatable(upstream_id, minted, held);
        }
    }

    /// Takes note of what a call keeps others from, now that it goes.
    fn begin_call(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        askable: Askable,
    ) {
        let Askable {
            tool,
            manner,
            device,
            once,
        } = askable;
        if let Some(once) = once {
            self.begin_once((session_id, upstream_id), once, minted);
        }
        if let Some(device) = device {
            self.devices.take(device, session_id, (upstream_id, minted));
        }
        let probation_until = self.now + self.limits.probation;
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream
                .lanes
                .begin(minted, session_id, tool, manner, probation_until);
        }
        self.note_call(session_id, upstream_id);
        if manner == Manner::Probation {
            self.watch_probation(upstream_id);
        }
    }

    /// Keeps a request that the next process may be given, should this one end before it answers, or that may
    /// have to go once more.
    fn keep_if_repeatable(&mut self, upstream_id: UpstreamId, minted: MintedId, held: Held) {
        let is_repeatable = held.stage == Stage::Fresh
            && held.frame.method().is_some_and(Method::is_read_only)
            && held.frame.len() <= self.limits.repeated_bytes;
        let Some(exchange) = self.exchange(upstream_id, minted) else {
            return;
        };
        if is_repeatable {
            exchange.kept = Kept::Repeatable(Box::new(held.frame));
        } else {
            self.keep_if_asked_back(upstream_id, minted, held.frame);
        }
    }

    /// Keeps a request that its server may answer with questions for a client that has to be asked otherwise.
    fn keep_if_asked_back(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        frame: Weighed<Frame>,
    ) {
        let upstream = self.upstreams.get(&upstream_id);
        let may_be = upstream.is_some_and(|upstream| upstream.key.era == Era::Modern)
            && frame.method().is_some_and(Method::is_askable)
            && frame.len() <= self.limits.repeated_bytes;
        if let Some(exchange) = self.exchange(upstream_id, minted)
            && may_be
            && matches!(&exchange.owner, Owner::Session(claim) if claim.era == Era::Legacy)
        {
            exchange.again = Some(Box::new(frame));
        }
    }

    fn exchange(&mut self, upstream_id: UpstreamId, minted: MintedId) -> Option<&mut Exchange> {
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        upstream.exchanges.get_mut(minted)
    }

    fn announce(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        held: Held,
        out: &mut Outbox,
    ) {
        if let Some(session) = self.sessions.get_mut(&session_id) {
            let announcing = session.announcing.entry(held.line).or_default();
            announcing.on_their_way += 1;
            announcing.minted = Some(minted);
        }
        out.act(Action::Announce {
            session: session_id,
            line: held.line,
        });
        let exchange = self
            .upstreams
            .get_mut(&upstream_id)
            .and_then(|upstream| upstream.exchanges.get_mut(minted));
        if let Some(exchange) = exchange {
            exchange.kept = Kept::Unsent(Box::new(held.frame));
        }
    }

    fn send_minted(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        if let Some(upstream) = self.upstreams.get_mut(&upstream_id) {
            upstream.standing = Standing::Used;
            if frame.method() == Some(&Method::ToolsCall) {
                upstream.memory.note_call(session_id);
            }
        }
        self.watch_pulse(upstream_id);
        let words = self.request_in_era((session_id, upstream_id), minted, frame);
        Mux::tell_upstream(upstream_id, words, out);
    }

    /// A session's request as its server reads it.
    fn request_in_era(
        &self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        frame: &Frame,
    ) -> Outgoing {
        let (Some(session), Some(upstream)) = (
            self.sessions.get(&session_id),
            self.upstreams.get(&upstream_id),
        ) else {
            return frame.unchanged();
        };
        match (session.era, upstream.key.era) {
            (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => {
                bridge::renumbered(frame, minted)
            }
            (Era::Modern, Era::Legacy) => bridge::request_to_legacy(frame, minted),
            (Era::Legacy, Era::Modern) => {
                let capabilities = session.class.to_json();
                let client = session.client_info.as_deref();
                let sender = bridge::Sender {
                    client: client.unwrap_or(NAMELESS),
                    capabilities: &capabilities,
                    level: session.level.map(Level::name),
                };
                bridge::request_to_modern(frame, minted, &sender)
            }
        }
    }

    /// The shim knows: the request may go.
    pub(crate) fn on_announced(
        &mut self,
        session_id: SessionId,
        line: LineNumber,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let upstream_id = session.upstream();
        let Some(announcing) = session.announcing.get_mut(&line) else {
            return;
        };
        announcing.on_their_way -= 1;
        if announcing.on_their_way > 0 {
            return;
        }
        let minted = announcing.minted;
        session.announcing.remove(&line);
        let (Some(minted), Some(upstream_id)) = (minted, upstream_id) else {
            return;
        };
        // What a process that is being stopped has not seen is for the next one.
        let exchange = self
            .upstreams
            .get_mut(&upstream_id)
            .filter(|upstream| upstream.is_ready() && !upstream.is_retiring)
            .and_then(|upstream| upstream.exchanges.get_mut(minted));
        if let Some(exchange) = exchange
            && let Kept::Unsent(frame) = mem::replace(&mut exchange.kept, Kept::Nothing)
        {
            self.send_minted((session_id, upstream_id), minted, &frame, out);
            self.keep_if_asked_back(upstream_id, minted, *frame);
            self.resume_if_room(session_id, out);
        }
    }
}

/// Whether a request does no harm when the next daemon sends it again, not knowing that it was sent.
pub(crate) fn may_be_repeated(method: &Method) -> bool {
    method.is_read_only()
        || matches!(
            method,
            Method::ResourcesSubscribe
                | Method::ResourcesUnsubscribe
                | Method::SetLevel
                | Method::Listen
        )
}
