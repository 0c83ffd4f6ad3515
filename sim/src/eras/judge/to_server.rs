//! What goes to servers: requests of those who wait for them, once, in the words of the server's era, and answers
//! to what a server of the legacy era asked.

use std::collections::BTreeMap;

use mux::{Era, SessionId, UpstreamId};
use wire::{Frame, Message, Method, Params};

use super::{
    Due, Given, Inquiry, Judge, Kind, Open, Process, Said, Seen, Server, refusals::own_reason,
};
use crate::{
    eras::{
        specs::spec_of,
        words::{Back, CLASSES, LEVELS, Request, SENDER, Shape, page_asked, request_in},
    },
    invariants::{Broken, ensure},
    payload::{Mark, Owner, mark_of},
    world::Held,
};

impl Judge {
    pub(super) fn check_to_server(&mut self, id: UpstreamId, frame: &Frame, text: &str) -> Held {
        let server = self.servers.get(&id);
        ensure!(
            server.is_some_and(|it| matches!(it.process, Process::Running | Process::Stopping)),
            "{id} has no process and is sent {text}"
        );
        match &frame.message {
            Message::Request {
                id: named,
                method,
                params,
                ..
            } => {
                let Some(minted) = named.as_number() else {
                    return Err(Broken(format!("{id} is asked under a foreign id: {text}")));
                };
                self.check_first(id, method, text)?;
                self.check_era(id, (method, params, frame), text)?;
                let plain = || self.asked_plainly(id, (method, frame), text);
                let claim = match request_in(text).or_else(plain) {
                    Some(mark) => {
                        Some(self.check_request(id, minted, mark, (params, frame, text))?)
                    }
                    None => self.check_errand(id, minted, (method, frame), text)?,
                };
                let given = Given {
                    claim,
                    is_over: false,
                    cancelled: None,
                };
                let server = self.servers.get_mut(&id);
                let before = server.and_then(|server| server.given.insert(minted, given));
                ensure!(before.is_none(), "{id} sees {minted} twice: {text}");
                Ok(())
            }
            Message::Notification {
                method: Method::Cancelled,
                params,
            } => {
                let minted = params
                    .request_id
                    .as_ref()
                    .and_then(|(named, _)| named.as_number());
                self.check_cancelled(id, minted.unwrap_or(u64::MAX), text)
            }
            Message::Notification { method, .. } => {
                let Some(server) = self.servers.get_mut(&id) else {
                    return Ok(());
                };
                server.initialized += 1;
                let is_first = server.initialized == 1 && server.greeted_at.is_some();
                ensure!(
                    *method == Method::Initialized && is_first && server.era == Some(Era::Legacy),
                    "{id} is told what nobody said: {text}"
                );
                Ok(())
            }
            Message::Response {
                id: Some(named),
                result,
                error,
                ..
            } => {
                let result = result.as_ref().map(|result| frame.json(result));
                let error = error.as_ref().map(|error| frame.json(error));
                self.check_reply(id, &named.to_string(), (result, error), text)
            }
            Message::Response { id: None, .. } => {
                Err(Broken(format!("{id} gets an answer to nothing: {text}")))
            }
        }
    }

    /// A server is spoken to first as its era wants it, and goes on so.
    fn check_first(&mut self, id: UpstreamId, method: &Method, text: &str) -> Held {
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        if let Some(era) = server.era {
            let is_ready =
                server.greeted_at.is_some() && (era == Era::Modern || server.initialized == 1);
            ensure!(
                is_ready,
                "{id} is asked before it has said what it is: {text}"
            );
            ensure!(
                *method != Method::Initialize,
                "{id} is greeted twice: {text}"
            );
            return Ok(());
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a server is asked nothing else first"
        )]
        let era = match method {
            Method::Initialize => Some(Era::Legacy),
            Method::Discover => Some(Era::Modern),
            _other => None,
        };
        server.era = era;
        ensure!(era.is_some(), "{id} is first asked {text}");
        Ok(())
    }

    fn check_era(
        &self,
        id: UpstreamId,
        (method, params, frame): (&Method, &Params, &Frame),
        text: &str,
    ) -> Held {
        if self.servers[&id].era == Some(Era::Legacy) {
            let words = SENDER
                .iter()
                .chain(&["inputResponses", "requestState", "resultType"]);
            let foreign: Vec<_> = words.filter(|word| text.contains(**word)).collect();
            ensure!(
                foreign.is_empty(),
                "{id} is of the legacy era and hears {foreign:?}: {text}"
            );
            let is_modern = matches!(method, Method::Discover | Method::Listen);
            ensure!(!is_modern, "{id} is of the legacy era and is asked {text}");
            return Ok(());
        }
        let is_legacy = matches!(
            method,
            Method::Initialize
                | Method::Ping
                | Method::SetLevel
                | Method::ResourcesSubscribe
                | Method::ResourcesUnsubscribe
        );
        ensure!(!is_legacy, "{id} is of the modern era and is asked {text}");
        let said = params.modern.as_deref();
        let version = said.and_then(|said| frame.text(said.version.as_ref()?));
        let has_all =
            said.is_some_and(|said| said.capabilities.is_some() && said.client_info.is_some());
        ensure!(
            version.as_deref() == Some("2026-07-28") && has_all,
            "{id} does not hear who asks: {text}"
        );
        Ok(())
    }

    /// A request of a session: somebody waits for it, and it goes once for each time that it may.
    fn check_request(
        &mut self,
        id: UpstreamId,
        minted: u64,
        mark: Mark,
        (params, frame, text): (&Params, &Frame, &str),
    ) -> Result<(SessionId, Mark), Broken> {
        let Owner::Session(owner) = mark.owner else {
            return Err(Broken(format!("{id} is asked by a server: {text}")));
        };
        let era = self.servers[&id].era;
        let Some(session) = self.sessions.get_mut(&owner) else {
            return Err(Broken(format!(
                "{id} is asked by {owner}, which is gone: {text}"
            )));
        };
        ensure!(
            session.upstream == Some(id),
            "{id} is asked by {owner}, which is not at it: {text}"
        );
        ensure!(
            !session.is_stalled && !self.servers[&id].is_stalled,
            "somebody does not read, and {id} is asked by {owner}: {text}"
        );
        check_device(&self.servers, &self.said, (session.name, mark), text)?;
        let level = session.level;
        let may_change = session.may_want_other_level();
        let Some(open) = session.open.values_mut().find(|open| open.origin == mark) else {
            return Err(Broken(format!(
                "{id} is asked what nobody waits for: {text}"
            )));
        };
        ensure!(
            open.sent.is_none() && open.answer.is_none(),
            "{id} is asked twice: {text}"
        );
        let is_ours = era == Some(Era::Legacy);
        ensure!(
            !open.has_bad_handle || !is_ours,
            "{id} is asked with a bad handle: {text}"
        );
        let most = open.rounds + u32::from(open.request.shape.is_read_only());
        ensure!(
            open.writes <= most,
            "{id} is asked again what may not be repeated: {text}"
        );
        check_words(id, open, minted, (params, text))?;
        let has_rounds = open.inquiry.is_some();
        if let Some(inquiry) = open.inquiry.take() {
            check_answers(id, &inquiry, text)?;
        }
        if era == Some(Era::Modern) {
            let is_own = open.request.era == Era::Modern;
            let level = if is_own { open.request.level } else { level };
            let may_differ = !is_own && may_change;
            check_sender(
                id,
                &open.request,
                (level, may_differ),
                (params, frame, text),
            )?;
        }
        let uses_device = spec_of(session.name).uses_device(open.request.shape);
        open.sent = Some((id, minted));
        open.writes += 1;
        let due = Due::Goes(owner, open.request.id.clone());
        if has_rounds {
            self.settle_due(&due);
            self.saw(Seen::WentAgain);
        }
        if uses_device {
            self.saw(Seen::DeviceUsed);
        }
        Ok((owner, mark))
    }

    /// The pooler asks on its own account, or on that of all sessions.
    fn check_errand(
        &mut self,
        id: UpstreamId,
        minted: u64,
        (method, frame): (&Method, &Frame),
        text: &str,
    ) -> Result<Option<(SessionId, Mark)>, Broken> {
        if let Some(at) = page_asked(method, frame) {
            return self.check_compared(id, at, text).map(|()| None);
        }
        let is_known = matches!(
            method,
            Method::Initialize
                | Method::Discover
                | Method::Ping
                | Method::SetLevel
                | Method::ResourcesSubscribe
                | Method::ResourcesUnsubscribe
                | Method::Listen
        );
        ensure!(is_known, "{id} is asked by nobody: {text}");
        if *method == Method::Listen
            && let Some(server) = self.servers.get_mut(&id)
        {
            let Message::Request { params, .. } = &frame.message else {
                return Ok(None);
            };
            let filter = params
                .at
                .as_ref()
                .and_then(|at| frame.member(at, "notifications"));
            let filter = filter.map_or("", |filter| filter.value);
            server.listens.insert(minted, filter.to_owned());
        }
        if matches!(method, Method::ResourcesSubscribe | Method::Listen) {
            self.is_asked_to_tell(id, text);
        }
        Ok(None)
    }

    fn check_cancelled(&mut self, id: UpstreamId, minted: u64, text: &str) -> Held {
        let now = self.now;
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        let is_listen = server.listens.remove(&minted).is_some();
        let Some(given) = server.given.get_mut(&minted) else {
            return Err(Broken(format!("{id} never saw what is cancelled: {text}")));
        };
        ensure!(
            !given.is_over && given.cancelled.is_none() && (given.claim.is_some() || is_listen),
            "{id} hears of the cancellation of what is over: {text}"
        );
        given.cancelled = Some(now);
        self.abandoned.push((id, minted));
        self.settle_due(&Due::Cancelled(id, minted));
        Ok(())
    }

    /// Whoever was said not to wait any longer does not, nor may it come back.
    pub(super) fn check_abandoned(&mut self) -> Held {
        for place in std::mem::take(&mut self.abandoned) {
            let mut open = self
                .sessions
                .values()
                .flat_map(|session| session.open.values());
            let waits = open.find(|open| open.sent == Some(place) && open.answer.is_none());
            let waits = waits.map(|open| open.request.mark);
            ensure!(
                waits.is_none(),
                "{} was told to cancel what {waits:?} waits for",
                place.0
            );
            let mut parked = self
                .sessions
                .values()
                .flat_map(|session| session.parked.values());
            let is_parked = parked.any(|parked| (parked.upstream, parked.minted) == place);
            ensure!(
                !is_parked,
                "{} was told to cancel what a client may come back for",
                place.0
            );
        }
        Ok(())
    }

    /// A server gets an answer to what it asked: once, and of the client that was asked.
    fn check_reply(
        &mut self,
        id: UpstreamId,
        named: &str,
        (result, error): (Option<&str>, Option<&str>),
        text: &str,
    ) -> Held {
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        ensure!(
            server.era == Some(Era::Legacy),
            "{id} is of the modern era and is answered: {text}"
        );
        let Some(ask) = server.asks.remove(named) else {
            return Err(Broken(format!(
                "{id} gets an answer to what it did not ask: {text}"
            )));
        };
        let (class, is_early) = (
            server.class.unwrap_or_default(),
            server.greeted_at.is_none(),
        );
        self.settle_due(&Due::AskAnswered(id, named.to_owned()));
        if let Some(said) = mark_of(text) {
            ensure!(
                ask.reply == Some(said.number)
                    && ask.put.is_some_and(|put| said.owner == Owner::Session(put)),
                "{id} gets the answer of another to {ask:?}: {text}"
            );
            let words = &self.said[said.number].words;
            ensure!(
                text.contains(words),
                "{id} does not hear {words} but {text}"
            );
            return Ok(());
        }
        if let Some(result) = result {
            ensure!(!ask.asks.is_for_clients(), "{id} gets {result} to {ask:?}");
            return Ok(());
        }
        if ask.is_refused {
            ensure!(
                error.is_some_and(|error| error.contains(r#""code":-1,"#)),
                "{id} gets {text} to {ask:?}"
            );
            return Ok(());
        }
        let has_stream = ask.within.is_some();
        let waits = ask.within.is_some_and(|minted| self.waits_for(id, minted));
        let reason = error.and_then(own_reason).unwrap_or_default();
        ensure!(
            ask.reply.is_none(),
            "{id} gets {reason}, and {ask:?} was answered"
        );
        let allowed = match reason.as_str() {
            "not-capable" => !ask.asks.is_for_class(class),
            // What is asked before anybody has said what it is has no owner.
            "owner-unclear" => ask.asks.is_for_clients() && !has_stream || is_early,
            "owner-gone" => ask.asks.is_for_clients() && (!waits || ask.put.is_some()),
            "input-refused" => ask.is_left,
            _never => false,
        };
        ensure!(
            allowed,
            "what {id} asks is refused without a reason: {text}"
        );
        Ok(())
    }

    /// Whether a session that says more waits for what its server does about this request.
    fn waits_for(&self, id: UpstreamId, minted: u64) -> bool {
        let mut sessions = self.sessions.values().filter(|it| !it.is_ending);
        sessions.any(|session| {
            let mut open = session.open.values();
            open.any(|open| open.sent == Some((id, minted)))
        })
    }

    /// Whether a server of this kind of answer may be asked for it.
    pub(crate) fn may_answer(&self, id: UpstreamId, shape: Shape, kind: Kind) -> bool {
        let era = self.servers.get(&id).and_then(|server| server.era);
        match kind {
            Kind::Result => true,
            Kind::Error => !matches!(
                shape,
                Shape::Subscribe(_) | Shape::Unsubscribe(_) | Shape::SetLevel(_)
            ),
            Kind::NotFound | Kind::Address => era == Some(Era::Legacy) && shape.is_askable(),
            Kind::Questions => era == Some(Era::Modern) && shape.is_askable(),
        }
    }
}

/// What one call at a time may use no other call uses.
fn check_device(
    servers: &BTreeMap<UpstreamId, Server>,
    said: &[Said],
    (name, mark): (&str, Mark),
    text: &str,
) -> Held {
    let uses = |name: &str, mark: Mark| {
        let shape = said[mark.number].shape;
        shape.is_some_and(|shape| spec_of(name).uses_device(shape))
    };
    if !uses(name, mark) {
        return Ok(());
    }
    for (id, server) in servers {
        let mut given = server.given.values();
        let at_work = given.find(|given| {
            let is_at_work = !given.is_over && given.cancelled.is_none();
            given
                .claim
                .is_some_and(|(_, mark)| is_at_work && uses(server.name, mark))
        });
        ensure!(
            at_work.is_none(),
            "{id} is at {at_work:?}, and this goes: {text}"
        );
    }
    Ok(())
}

/// What a client has written arrives, under a token of ours if it has one.
fn check_words(id: UpstreamId, open: &Open, minted: u64, (params, text): (&Params, &str)) -> Held {
    // What its client has come back for goes as it was said first, if it has to go at all.
    let body = open.first.as_ref().unwrap_or(&open.request).body();
    ensure!(
        text.contains(&body),
        "{id} does not hear\n  {body} but\n  {text}"
    );
    let token = params.meta_token.as_ref();
    let token = token.map(|(token, _)| token.as_number());
    ensure!(
        token == open.request.token.as_ref().map(|_| Some(minted)),
        "{id} hears another token: {text}"
    );
    Ok(())
}

/// A request goes again with the answers to all that it was answered with, and what its server wants to have back.
fn check_answers(id: UpstreamId, inquiry: &Inquiry, text: &str) -> Held {
    let state = &inquiry.state;
    let is_whole = text.contains(&format!(r#""requestState":{state}"#));
    ensure!(is_whole, "{id} does not get {state} back: {text}");
    for (name, (_, asks, _)) in &inquiry.asks {
        let answer = inquiry.answers.get(name);
        let is_answered = answer.is_some() || !asks.is_for_clients();
        let answer = answer.map_or(r#"{"roots":["#, |answer| answer);
        let is_there = text.contains(&format!(r#""{name}":{answer}"#));
        ensure!(
            is_there && is_answered,
            "{id} does not get the answer {name}: {text}"
        );
    }
    Ok(())
}

/// A server of the modern era hears who asks, as who asks has said it.
fn check_sender(
    id: UpstreamId,
    request: &Request,
    (level, may_differ): (Option<u8>, bool),
    (params, frame, text): (&Params, &Frame, &str),
) -> Held {
    let back = request.back.as_ref().map(Back::members);
    ensure!(
        back.is_none_or(|back| text.contains(&back)),
        "{id} does not hear what was brought back: {text}"
    );
    let said = params.modern.as_deref();
    let class = said.and_then(|said| said.capabilities.as_ref());
    let class = class.map(|span| frame.json(span));
    ensure!(
        class == Some(CLASSES[usize::from(request.class)]),
        "{id} hears of {class:?}: {text}"
    );
    let named = said.and_then(|said| frame.text(said.log_level.as_ref()?));
    let level = level.map(|level| LEVELS[usize::from(level)]);
    ensure!(
        may_differ || named.as_deref() == level,
        "{id} hears of {named:?} and not {level:?}: {text}"
    );
    Ok(())
}
