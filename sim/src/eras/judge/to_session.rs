//! What goes to sessions: answers to those who asked, in the words of their era, and all else to whom it
//! concerns.

use std::collections::BTreeMap;

use mux::{Era, SessionId, UpstreamId};
use wire::{Frame, Member, Message, Span};

use super::{
    Due, Judge, Kind, Open, Outcome, Parked, Question, Seen, Told, refusals::own_reason,
    told::subscription,
};
use crate::{
    eras::{
        specs::{ONCE_TTL, spec_of},
        words::{self, Shape},
    },
    invariants::{Broken, ensure},
    payload::{Mark, Owner, causes, mark_of},
    world::Held,
};

/// Where an answer says that it is what another was answered with.
const ONCE: &str = "dev.mcpool/once";

impl Judge {
    pub(super) fn check_to_session(&mut self, id: SessionId, frame: &Frame, text: &str) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Err(Broken(format!("{id} is gone and is sent {text}")));
        };
        let is_repeated = text.contains(ONCE);
        let foreign = causes(text).find(|cause| !is_repeated && self.is_foreign(id, text, *cause));
        ensure!(
            foreign.is_none(),
            "{id} hears what belongs to {foreign:?}: {text}"
        );
        match &frame.message {
            Message::Response { id: None, .. } => {
                Err(Broken(format!("{id} gets an answer to nothing: {text}")))
            }
            Message::Response {
                id: Some(named),
                result,
                error,
                ..
            } => {
                let named = named.to_string();
                let Some(open) = self.take_open(id, &named) else {
                    return Err(Broken(format!(
                        "{id} gets an answer that it is not owed: {text}"
                    )));
                };
                self.settle_due(&Due::Answered(id, named.clone()));
                self.settle_due(&Due::Goes(id, named));
                match (result, error) {
                    (Some(result), _) => self.check_result(id, open, (frame, result), text),
                    (None, error) => self.check_error(id, &open, (frame, error.as_ref()), text),
                }
            }
            Message::Request { id: shown, .. } => {
                ensure!(
                    session.era == Some(Era::Legacy) || session.turning.is_some(),
                    "{id} is of the modern era and is asked: {text}"
                );
                self.check_asked(id, shown.as_number(), text)
            }
            Message::Notification { method, .. } => self.check_told(id, (method, frame), text),
        }
    }

    fn take_open(&mut self, id: SessionId, named: &str) -> Option<Open> {
        self.sessions.get_mut(&id)?.open.remove(named)
    }

    /// Whether what is because of this is not this session's business, and its server was honest about it.
    fn is_foreign(&self, id: SessionId, text: &str, cause: Mark) -> bool {
        let by = mark_of(text).map(|mark| mark.owner);
        let was_cancelled = match by {
            Some(Owner::Server(upstream)) => self.is_stale(upstream, cause),
            Some(Owner::Session(_)) | None => false,
        };
        cause.owner != Owner::Session(id) && !was_cancelled
    }

    /// Whether a server goes on with what it was told long ago not to: what it says then is nobody's.
    pub(super) fn is_stale(&self, upstream: UpstreamId, cause: Mark) -> bool {
        let given = self.servers.get(&upstream).into_iter();
        let mut given = given.flat_map(|server| server.given.values());
        let is_for = given.rfind(|given| given.claim.is_some_and(|(_, mark)| mark == cause));
        let life = self.limits.ghost_life;
        is_for.is_none_or(|given| given.cancelled.is_some_and(|at| self.now >= at + life))
    }

    fn check_result(
        &mut self,
        id: SessionId,
        open: Open,
        (frame, result): (&Frame, &Span),
        text: &str,
    ) -> Held {
        let members = frame.members(result).unwrap_or_default();
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let kind = find("resultType").map(|kind| kind.value);
        match open.request.era {
            Era::Modern => ensure!(
                matches!(kind, Some(r#""complete""# | r#""input_required""#)),
                "{id} is of the modern era and gets a result of the type {kind:?}: {text}"
            ),
            Era::Legacy => ensure!(
                kind.is_none(),
                "{id} is of the legacy era and gets a result of a type: {text}"
            ),
        }
        if open.request.era == Era::Modern
            && open.request.shape.is_cacheable()
            && kind == Some(r#""complete""#)
        {
            ensure!(
                find("ttlMs").is_some() && find("cacheScope").is_some(),
                "{id} does not hear how long it holds: {text}"
            );
        }
        let is_at_legacy = open
            .sent
            .is_some_and(|(at, _)| self.servers[&at].era == Some(Era::Legacy));
        ensure!(
            !open.has_bad_handle || !is_at_legacy,
            "{id} comes with a bad handle and gets {text}"
        );
        self.saw_post(id, Seen::PostAnswered);
        if text.contains(ONCE) {
            return self.check_repeated(id, &open, text);
        }
        match open.request.shape {
            Shape::Hello | Shape::Discover => self.check_greeted(id, &open, &members, text),
            Shape::Listen(_) => self.check_listened(id, &open, (frame, result), text),
            Shape::Subscribe(at) => {
                let at = usize::from(at);
                ensure!(
                    open.overlaps || self.has_agreed(id, at),
                    "{id} is subscribed to what nobody tells: {text}"
                );
                self.take_effect(id, &open);
                Ok(())
            }
            Shape::Unsubscribe(_) | Shape::SetLevel(_) | Shape::Ping => {
                self.take_effect(id, &open);
                Ok(())
            }
            Shape::Plain(at) => self.check_page(id, &open, (at, &members), text),
            Shape::Call(_) | Shape::Prompt | Shape::Read(_) | Shape::List(_) => {
                let is_answer = open.answer.is_some_and(|(number, _)| {
                    mark_of(text).is_some_and(|mark| mark.number == number)
                });
                if !is_answer && kind == Some(r#""input_required""#) {
                    return self.check_parked(id, open, (frame, &members), text);
                }
                self.check_answer(id, &open, kind, text)
            }
        }
    }

    /// A call is answered with what another was answered with: with the configuration's leave, by the same server, for
    /// a while, and once.
    fn check_repeated(&mut self, id: SessionId, open: &Open, text: &str) -> Held {
        let session = self.sessions.get(&id);
        let upstream = session.and_then(|session| session.upstream.map(Owner::Server));
        let may = session.is_some_and(|session| {
            !session.is_post && spec_of(session.name).repeats(open.request.shape)
        });
        let said = mark_of(text).map(|mark| mark.number);
        let cause = said.and_then(|number| self.said[number].cause);
        let (Some(number), Some(cause)) = (said, cause) else {
            return Err(Broken(format!("{id} gets an answer of nobody: {text}")));
        };
        let shape = self.said[cause.number].shape;
        let said = &mut self.said[number];
        let is_fresh = self.now < said.at + ONCE_TTL;
        ensure!(
            may && is_fresh
                && shape == Some(open.request.shape)
                && upstream == Some(said.mark.owner),
            "{id} gets what another was answered with: {text}"
        );
        ensure!(
            cause.owner != Owner::Session(id) && said.heard.insert((id, ONCE.to_owned())),
            "{id} gets what it has been answered with before: {text}"
        );
        ensure!(
            text.contains(&said.words),
            "{id} does not hear {} but {text}",
            said.words
        );
        self.saw(Seen::Repeated);
        Ok(())
    }

    fn saw_post(&mut self, id: SessionId, seen: Seen) {
        if self
            .sessions
            .get(&id)
            .is_some_and(|session| session.is_post)
        {
            self.saw(seen);
        }
    }

    /// An answer of a server's reaches who asked.
    fn check_answer(
        &mut self,
        id: SessionId,
        open: &Open,
        result_type: Option<&str>,
        text: &str,
    ) -> Held {
        let Some((number, kind)) = open.answer else {
            let is_our_own = Judge::is_failed_tool(open, text);
            ensure!(is_our_own, "{id} gets an answer of nobody: {text}");
            return Ok(());
        };
        let said = &self.said[number];
        ensure!(
            mark_of(text) == Some(said.mark) && said.cause == Some(open.origin),
            "{id} gets the answer to another request: {text}"
        );
        let words = said.words.clone();
        ensure!(
            text.contains(&words),
            "{id} does not hear\n  {words} but\n  {text}"
        );
        let Owner::Server(upstream) = said.mark.owner else {
            return Ok(());
        };
        let server_era = self.era_at(upstream, open);
        let wants_input = result_type == Some(r#""input_required""#);
        let is_right = match kind {
            Kind::Result => !wants_input,
            Kind::Questions => wants_input && open.request.era == Era::Modern,
            Kind::Address => {
                wants_input && open.request.era == Era::Modern && server_era == Era::Legacy
            }
            Kind::Error | Kind::NotFound => false,
        };
        ensure!(
            is_right,
            "{id} gets {kind:?} of a server of {server_era:?} as {text}"
        );
        self.saw(match (kind, open.request.era, server_era) {
            (Kind::Questions, ..) => Seen::Passed,
            (Kind::Address, ..) => Seen::AddressFirst,
            (_, Era::Legacy, Era::Legacy) => Seen::LegacyAtLegacy,
            (_, Era::Legacy, Era::Modern) => Seen::LegacyAtModern,
            (_, Era::Modern, Era::Legacy) => Seen::ModernAtLegacy,
            (_, Era::Modern, Era::Modern) => Seen::ModernAtModern,
        });
        Ok(())
    }

    /// Whether this says that a tool has failed because it asks what the client cannot do.
    fn is_failed_tool(open: &Open, text: &str) -> bool {
        let class = open.request.class;
        let asks_too_much = open.inquiry.as_ref().is_some_and(|inquiry| {
            let mut asks = inquiry.asks.values();
            asks.any(|(_, asks, _)| !asks.is_for_class(class))
        });
        asks_too_much
            && matches!(open.request.shape, Shape::Call(_))
            && text.contains(r#""isError":true"#)
    }

    /// The era of the server that has answered: of one that is gone, that in which whatever it said was kept.
    fn era_at(&self, upstream: UpstreamId, open: &Open) -> Era {
        let era = self.servers.get(&upstream).and_then(|server| server.era);
        let is_kept = open.origin != open.request.mark;
        era.unwrap_or(if is_kept {
            Era::Legacy
        } else {
            open.request.era
        })
    }

    fn check_greeted(
        &mut self,
        id: SessionId,
        open: &Open,
        members: &[Member<'_>],
        text: &str,
    ) -> Held {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        let server = session
            .upstream
            .and_then(|upstream| self.servers.get(&upstream));
        let own = server.filter(|it| it.has_spoken).map(|it| it.greeting);
        let named = mark_of(text).map(|mark| mark.number);
        match own {
            Some(own) => {
                ensure!(
                    Some(own) == named,
                    "{id} is greeted by another server: {text}"
                );
                self.check_age_of_greeting(id, (own, members), text)?;
            }
            None => self.check_kept(id, open, (Told::Greeting, members), text)?,
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        let find = |name: &str| members.iter().find(|member| member.name == name);
        if open.request.shape == Shape::Hello {
            session.is_greeted = true;
            session.news = [1; 3];
            let version = find("protocolVersion").map(|version| version.value);
            ensure!(
                version == Some(r#""2025-11-25""#),
                "{id} is greeted in {version:?}: {text}"
            );
            return Ok(());
        }
        let versions = find("supportedVersions").map_or("", |versions| versions.value);
        ensure!(
            versions.contains("2026-07-28") && text.contains("serverInfo"),
            "{id} hears of {versions}: {text}"
        );
        Ok(())
    }

    /// A wish to be told of changes has ended.
    fn check_listened(
        &mut self,
        id: SessionId,
        open: &Open,
        (frame, result): (&Frame, &Span),
        text: &str,
    ) -> Held {
        let named = subscription(frame, result);
        ensure!(
            named.as_deref() == Some(&*open.request.id),
            "{id} hears of the end of {named:?}: {text}"
        );
        let session = self.sessions.get(&id);
        let is_over = session.is_some_and(|it| it.is_ending || it.turning.is_some());
        ensure!(
            is_over || self.is_shutting_down,
            "{id} still listens and hears that it does not: {text}"
        );
        self.saw(Seen::ListenEnded);
        Ok(())
    }

    fn take_effect(&mut self, id: SessionId, open: &Open) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let is = |tells: bool| (!open.overlaps).then_some(tells);
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others change nothing")]
        match open.request.shape {
            Shape::Subscribe(at) => drop(
                session
                    .topics
                    .insert(words::URIS[usize::from(at)], is(true)),
            ),
            Shape::Unsubscribe(at) => drop(
                session
                    .topics
                    .insert(words::URIS[usize::from(at)], is(false)),
            ),
            Shape::SetLevel(at) => {
                (session.level, session.is_level_unsure) = (Some(at), open.overlaps);
            }
            _other => {}
        }
    }

    /// A request is answered with what its server asks: the server stays at it, and the client may come back.
    fn check_parked(
        &mut self,
        id: SessionId,
        open: Open,
        (frame, members): (&Frame, &[Member<'_>]),
        text: &str,
    ) -> Held {
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let Some((upstream, minted)) = open.sent else {
            return Err(Broken(format!(
                "{id} is asked for what no server is at: {text}"
            )));
        };
        let handle = find("requestState")
            .map_or("", |state| state.value)
            .to_owned();
        let prefix = format!(r#""mcpool.{}."#, words::handle_name(id));
        ensure!(
            handle.starts_with(&prefix),
            "{id} gets the handle {handle}: {text}"
        );
        ensure!(
            self.handles.insert(handle.clone()),
            "{handle} is given twice: {text}"
        );
        let asked = find("inputRequests").and_then(|asked| frame.members(&asked.at));
        let mut asks = BTreeMap::new();
        let mut is_again = false;
        for question in asked.unwrap_or_default() {
            let number = mark_of(question.value).map(|mark| mark.number);
            let server = self.servers.get_mut(&upstream).into_iter();
            let mut known = server.flat_map(|server| &mut server.asks);
            let Some((named, ask)) = known.find(|(_, ask)| Some(ask.number) == number) else {
                return Err(Broken(format!(
                    "{id} is asked what nobody wants to know: {text}"
                )));
            };
            ensure!(
                ask.put.is_none_or(|put| put == id) && ask.asks.is_for_class(open.request.class),
                "{id} is asked what another was asked, or what it cannot do: {text}"
            );
            ensure!(
                ask.reply.is_none() && !ask.is_left,
                "{id} is asked again what it has answered, or has left unanswered too often: {text}"
            );
            is_again |= ask.put.replace(id).is_some();
            asks.insert(question.name.to_string(), named.clone());
        }
        ensure!(!asks.is_empty(), "{id} is asked nothing: {text}");
        if is_again {
            self.saw(Seen::AskedTheSameAgain);
        }
        if open.origin != open.request.mark {
            self.saw(Seen::AskedOnReturn);
            for ask in asks.values() {
                self.settle_due(&Due::AskAnswered(upstream, ask.clone()));
            }
        }
        self.saw(Seen::Parked);
        self.saw_post(id, Seen::PostParked);
        let until = self.now + self.limits.round_patience;
        let parked = Parked {
            upstream,
            minted,
            origin: open.origin,
            request: open.request,
            first: open.first,
            asks,
            unanswered: open.unanswered,
            until,
            outcome: Outcome::Open,
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.parked.insert(handle, parked);
        }
        Ok(())
    }

    fn check_error(
        &mut self,
        id: SessionId,
        open: &Open,
        (frame, error): (&Frame, Option<&Span>),
        text: &str,
    ) -> Held {
        let members = error
            .and_then(|error| frame.members(error))
            .unwrap_or_default();
        let find = |name: &str| members.iter().find(|member| member.name == name);
        self.saw_post(id, Seen::PostAnswered);
        if let Some(reason) = find("data").and_then(|data| own_reason(data.value)) {
            return self.check_refusal(id, open, &reason, text);
        }
        let name = self.sessions.get(&id).map_or("", |session| session.name);
        if text.contains(words::NOT_TOLD) && spec_of(name).refuses(open.request.shape) {
            self.saw(Seen::NotTold);
            return Ok(());
        }
        let Some((number, kind)) = open.answer else {
            return Err(Broken(format!("{id} gets an error of nobody: {text}")));
        };
        let said = &self.said[number];
        ensure!(
            mark_of(text) == Some(said.mark) && said.cause == Some(open.origin),
            "{id} gets the error of another request: {text}"
        );
        let Owner::Server(upstream) = said.mark.owner else {
            return Ok(());
        };
        let is_bridged =
            open.request.era == Era::Modern && self.era_at(upstream, open) == Era::Legacy;
        let code = find("code").map_or("", |code| code.value);
        let expected = match (kind, is_bridged) {
            (Kind::Error, _) => "-32000",
            (Kind::NotFound, true) => "-32602",
            (Kind::NotFound, false) => "-32002",
            (Kind::Address, false) => "-32042",
            (Kind::Address, true) | (Kind::Result | Kind::Questions, _) => "none",
        };
        ensure!(
            code == expected,
            "{id} gets {code} in place of {expected}: {text}"
        );
        if kind == Kind::NotFound && is_bridged {
            self.saw(Seen::NotFound);
        }
        Ok(())
    }

    /// A client of the legacy era is asked something.
    fn check_asked(&mut self, id: SessionId, shown: Option<u64>, text: &str) -> Held {
        let Some((mark, shown)) = mark_of(text).zip(shown) else {
            return Err(Broken(format!("{id} is asked what nobody asked: {text}")));
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        ensure!(
            shown > session.shown_last,
            "{id} is asked under an id that it has seen: {text}"
        );
        session.shown_last = shown;
        ensure!(!session.is_ending, "{id} has ended and is asked: {text}");
        ensure!(
            !text.contains("inputRequests"),
            "{id} is asked in words of the modern era: {text}"
        );
        let Owner::Server(upstream) = mark.owner else {
            return Err(Broken(format!("{id} is asked by a client: {text}")));
        };
        let class = session.class;
        let mut has_stream = false;
        let inquired = session.open.iter_mut().find_map(|(named, open)| {
            let inquiry = open.inquiry.as_mut()?;
            let mut asks = inquiry.asks.iter_mut();
            let (name, asked) = asks.find(|(_, (number, ..))| *number == mark.number)?;
            Some((named.clone(), name.clone(), asked))
        });
        let (question, asks) = if let Some((named, name, (_, asks, is_put))) = inquired {
            ensure!(
                !std::mem::replace(is_put, true),
                "{id} is asked twice: {text}"
            );
            let asks = *asks;
            session
                .asked
                .insert(shown, Question::Inquired(named.clone(), name));
            self.settle_due(&Due::Goes(id, named));
            self.saw(Seen::Inquired);
            ("inquired", asks)
        } else {
            let server = self.servers.get_mut(&upstream).into_iter();
            let mut asks = server.flat_map(|server| &mut server.asks);
            let Some((named, ask)) = asks.find(|(_, ask)| ask.number == mark.number) else {
                return Err(Broken(format!(
                    "{id} is asked what nobody wants to know: {text}"
                )));
            };
            ensure!(
                ask.put.is_none(),
                "{id} is asked what somebody was asked before: {text}"
            );
            ask.put = Some(id);
            has_stream = ask.within.is_some();
            session
                .asked
                .insert(shown, Question::Asked(upstream, named.clone()));
            ("asked", ask.asks)
        };
        ensure!(
            asks.is_for_clients() && asks.is_for_class(class),
            "{id} is {question} what it cannot do: {text}"
        );
        if has_stream {
            self.saw(Seen::AskedWithin);
        }
        Ok(())
    }
}
