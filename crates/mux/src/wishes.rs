//! What sessions wish to hear, merged into what their upstream is asked for.
//!
//! A wish is weighed when its turn to be sent has come, not when it arrives: until then others may
//! have wished the same, or the opposite.

use alloc::boxed::Box;

use wire::{Frame, Message, Method, RequestId};

use crate::{
    action::Outbox,
    answers::empty_result,
    era::Era,
    exchange::{Effect, Errand, MintedId},
    ids::{LineNumber, SessionId, UpstreamId},
    keeping::Keepsake,
    mux::Mux,
    offers::Offer,
    refusal::Refusal,
    subscribe::Forward,
    verbosity::Level,
};

const NO_URI: Refusal = Refusal::BadParameter {
    what: "`uri` must say which resource it is about",
};

const NO_LEVEL: Refusal = Refusal::BadParameter {
    what: "`level` must be `debug`, `info`, `notice`, `warning`, `error`, `critical`, `alert` or `emergency`",
};

impl Mux {
    /// What a request that goes to the upstream now will change when it is answered; `None` if it
    /// was answered here.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "methods that need no treatment of their own pass through"
    )]
    pub(crate) fn weigh(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<Effect> {
        let Message::Request { id, method, .. } = &frame.message else {
            return Some(Effect::Nothing);
        };
        let place = (session_id, upstream_id);
        if let Some(refusal) = self.refusal_of_state(place, frame) {
            // Others may have been kept from going for this one.
            self.give_up_turn(session_id);
            self.refuse(session_id, id, line, refusal, out);
            return None;
        }
        match method {
            Method::ResourcesSubscribe => self.weigh_subscribe(place, id, line, frame, out),
            Method::ResourcesUnsubscribe => self.weigh_unsubscribe(place, id, line, frame, out),
            Method::SetLevel => self.weigh_level(place, id, line, frame, out),
            Method::ToolsCall => self.weigh_call(place, id, line, out),
            Method::Discover | Method::Listen if self.is_modern(session_id) => {
                self.answer_modern(place, (id, line), frame, out);
                None
            }
            Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList => {
                let wanted = self.page_wanted(upstream_id, frame);
                Some(wanted.map_or(Effect::Nothing, Effect::Listed))
            }
            _plain => Some(Effect::Nothing),
        }
    }

    fn weigh_subscribe(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        id: &RequestId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<Effect> {
        let Some(uri) = uri_of(frame) else {
            return self.pass_on_or_refuse((session_id, upstream_id), id, line, NO_URI, out);
        };
        let is_modern = self.is_modern_server(upstream_id);
        if is_modern && !self.offers(upstream_id, Offer::Subscriptions) {
            let refusal = Refusal::NoSuchMethod {
                method: Method::ResourcesSubscribe,
            };
            self.refuse(session_id, id, line, refusal, out);
            return None;
        }
        let subscriptions_max = self.limits.subscriptions;
        let subscriptions = &mut self.upstreams.get_mut(&upstream_id)?.subscriptions;
        let session = self.sessions.get(&session_id);
        let awaited = session.map_or(0, |session| session.subscribing.len());
        if subscriptions.count_of(session_id) + awaited >= subscriptions_max {
            self.refuse(session_id, id, line, Refusal::Overloaded, out);
            return None;
        }
        if is_modern {
            self.begin_subscribing((session_id, upstream_id), (id, line), uri, out);
            return None;
        }
        let subscriptions = &mut self.upstreams.get_mut(&upstream_id)?.subscriptions;
        let forward = subscriptions.subscribe(&uri, session_id);
        match forward {
            Forward::Yes => Some(Effect::Subscribed(uri)),
            Forward::No => {
                let keepsake = Keepsake::Subscription(uri);
                self.answer_and_keep(session_id, (id, line), empty_result(id), keepsake, out);
                None
            }
        }
    }

    fn weigh_unsubscribe(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        id: &RequestId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<Effect> {
        let Some(uri) = uri_of(frame) else {
            return self.pass_on_or_refuse((session_id, upstream_id), id, line, NO_URI, out);
        };
        let subscriptions = &mut self.upstreams.get_mut(&upstream_id)?.subscriptions;
        let mut forward = subscriptions.unsubscribe(&uri, session_id);
        if forward == Forward::Yes && self.is_modern_server(upstream_id) {
            self.listen_to(upstream_id, out);
            forward = Forward::No;
        }
        self.end_subscribing(session_id, &uri, out);
        if forward == Forward::No {
            self.answer_empty(session_id, id, line, out);
        }
        // Whatever the upstream makes of it: the session is not subscribed any more.
        self.keep_no_longer(session_id, &Keepsake::Subscription(uri), out);
        match forward {
            Forward::Yes => Some(Effect::Nothing),
            Forward::No => None,
        }
    }

    fn weigh_level(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        id: &RequestId,
        line: LineNumber,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Option<Effect> {
        let has_logging = self.offers(upstream_id, Offer::Logging);
        let (Some(level), true) = (level_of(frame), has_logging) else {
            let refusal = if has_logging {
                NO_LEVEL
            } else {
                Refusal::NoSuchMethod {
                    method: Method::SetLevel,
                }
            };
            return self.pass_on_or_refuse((session_id, upstream_id), id, line, refusal, out);
        };
        let upstream = self.upstreams.get_mut(&upstream_id)?;
        upstream.listeners.insert(session_id);
        let is_said_with_each = upstream.key.era == Era::Modern;
        let known = upstream.level;
        let before = self
            .sessions
            .get_mut(&session_id)
            .and_then(|session| session.level.replace(level));
        let wanted = self.wanted_level(upstream_id);
        if wanted == Some(level) && known != wanted && !is_said_with_each {
            return Some(Effect::Verbosity { level, before });
        }
        self.tell_level(upstream_id, out);
        self.answer_and_keep(
            session_id,
            (id, line),
            empty_result(id),
            Keepsake::Level,
            out,
        );
        None
    }

    /// A wish that means nothing here: a server of the legacy era answers it for itself, one of the modern era
    /// does not know its method.
    fn pass_on_or_refuse(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        id: &RequestId,
        line: LineNumber,
        refusal: Refusal,
        out: &mut Outbox,
    ) -> Option<Effect> {
        if !self.is_modern_server(upstream_id) {
            return Some(Effect::Nothing);
        }
        self.refuse(session_id, id, line, refusal, out);
        None
    }

    /// The upstream has agreed to what a request wished, or has not.
    pub(crate) fn take_effect(
        &mut self,
        (session_id, upstream_id): (SessionId, UpstreamId),
        minted: MintedId,
        effect: &Effect,
        is_success: bool,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        match effect {
            Effect::Nothing | Effect::Listed(_) => {}
            Effect::Subscribed(uri) if is_success => upstream.subscriptions.agreed(uri, minted),
            Effect::Subscribed(uri) => {
                if upstream.subscriptions.refused(uri, minted) {
                    self.unsubscribe(upstream_id, uri, out);
                }
            }
            Effect::Verbosity { level, .. } if is_success => {
                upstream.level = Some(*level);
                self.touch_record(upstream_id);
                self.tell_level(upstream_id, out);
            }
            Effect::Verbosity { level, before } => {
                self.restore_level(session_id, upstream_id, *level, *before);
                self.give_up_effect(upstream_id, minted, effect, out);
            }
        }
    }

    /// Nobody will learn what the upstream made of a wish: sees to it that it does not serve nobody.
    pub(crate) fn give_up_effect(
        &mut self,
        upstream_id: UpstreamId,
        minted: MintedId,
        effect: &Effect,
        out: &mut Outbox,
    ) {
        let Some(upstream) = self.upstreams.get_mut(&upstream_id) else {
            return;
        };
        match effect {
            Effect::Nothing | Effect::Listed(_) => {}
            Effect::Subscribed(uri) => {
                if upstream.subscriptions.given_up(uri, minted) {
                    self.unsubscribe(upstream_id, uri, out);
                }
            }
            Effect::Verbosity { .. } => {
                upstream.level = None;
                self.touch_record(upstream_id);
                self.tell_level(upstream_id, out);
            }
        }
    }

    pub(crate) fn unsubscribe(&mut self, upstream_id: UpstreamId, uri: &str, out: &mut Outbox) {
        self.run_errand(
            upstream_id,
            Errand::Unsubscribe,
            &Method::ResourcesUnsubscribe,
            ("uri", uri),
            out,
        );
    }

    pub(crate) fn is_modern(&self, session: SessionId) -> bool {
        let session = self.sessions.get(&session);
        session.is_some_and(|session| session.era == Era::Modern)
    }

    fn is_modern_server(&self, upstream: UpstreamId) -> bool {
        let upstream = self.upstreams.get(&upstream);
        upstream.is_some_and(|upstream| upstream.key.era == Era::Modern)
    }

    fn offers(&self, upstream: UpstreamId, offer: Offer) -> bool {
        let upstream = self.upstreams.get(&upstream);
        let said = upstream.and_then(|upstream| upstream.handshake.as_ref());
        said.is_some_and(|said| said.offers.has(offer))
    }

    fn restore_level(
        &mut self,
        session_id: SessionId,
        upstream_id: UpstreamId,
        refused: Level,
        before: Option<Level>,
    ) {
        if let Some(session) = self.sessions.get_mut(&session_id)
            && session.level == Some(refused)
        {
            session.level = before;
            if before.is_none()
                && let Some(upstream) = self.upstreams.get_mut(&upstream_id)
            {
                upstream.listeners.remove(&session_id);
            }
        }
    }
}

/// The resource that a request is about.
pub(crate) fn uri_of(frame: &Frame) -> Option<Box<str>> {
    let Message::Request { params, .. } = &frame.message else {
        return None;
    };
    Some(frame.text(params.uri.as_ref()?)?.into())
}

pub(crate) fn level_of(frame: &Frame) -> Option<Level> {
    let Message::Request { params, .. } = &frame.message else {
        return None;
    };
    Level::from_name(&frame.text(params.level.as_ref()?)?)
}

/// From which severity on a request of the modern era wants log messages.
pub(crate) fn log_level_of(frame: &Frame) -> Option<Level> {
    let Message::Request { params, .. } = &frame.message else {
        return None;
    };
    let wanted = params.modern.as_ref()?.log_level.as_ref()?;
    Level::from_name(&frame.text(wanted)?)
}
