//! What servers ask and tell, held against whose it may be.

use std::boxed::Box;

use wire::{Frame, Message, Method, Params, RequestId, meta_name};

use super::{Audit, Invariant, Told, client::covers, eras::inquiry, print::Print};
use crate::{SessionId, UpstreamId, memory::LOGGER};

impl Told {
    /// The resource that has changed, if it says that.
    fn changed(&self) -> Option<&str> {
        let uri = self.uri.as_deref();
        uri.filter(|_| self.method == Method::ResourceUpdated)
    }
}

impl Audit {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "methods that need no treatment of their own pass through"
    )]
    pub(super) fn show_ask(
        &mut self,
        session: SessionId,
        id: &RequestId,
        method: &Method,
        params: &Params,
        frame: &Frame,
    ) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let shown = id.as_number().filter(|shown| *shown > client.asks_shown);
        let token = params.meta_token.as_ref().map(|(token, _)| token);
        let Some(shown) = shown.filter(|_| token.is_none_or(|token| token == id)) else {
            return self.find(
                Invariant::OwnerOnly,
                format_args!("{session} is asked under {id:?}, which is not new or not ours"),
            );
        };
        client.asks_shown = shown;
        let print = Print::of(frame);
        let upstream = client.upstream;
        if let Some(upstream) = upstream
            && self.take_question(upstream, method, frame)
        {
            self.settle_inquiry();
            if let Some(client) = self.clients.get_mut(&session) {
                client.asks.insert(shown, (upstream, inquiry()));
            }
            return;
        }
        let server = upstream.and_then(|id| self.servers.get_mut(&id));
        let found = server.and_then(|server| {
            let mut asks = server.asks.iter_mut();
            asks.find(|(_, ask)| ask.print == Some(print) && ask.shown.is_none())
        });
        let (Some((asked, ask)), Some(upstream)) = (found, upstream) else {
            return self.find(
                Invariant::OwnerOnly,
                format_args!("{session} is asked {method}, which its server did not ask"),
            );
        };
        ask.shown = Some((session, shown));
        let asked = asked.clone();
        if let Some(client) = self.clients.get_mut(&session) {
            client.asks.insert(shown, (upstream, asked));
        }
        let is_meant = match method {
            Method::SamplingCreate | Method::ElicitationCreate => {
                self.may_be_meant(session, upstream)
            }
            _unknown => self.is_concerned(session, upstream),
        };
        if !is_meant {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{session} is asked {method}, which another session may have caused"),
            );
        }
    }

    /// Whether a server has just asked this in place of an answer.
    fn take_question(&mut self, upstream: UpstreamId, method: &Method, frame: &Frame) -> bool {
        let Message::Request { params, .. } = &frame.message else {
            return false;
        };
        // What is settled by address has a name of ours.
        let place = params.at.as_ref();
        let params = place.and_then(|place| frame.edited(place, &["elicitationId"], &[]));
        let alike = |said: &str| {
            let whole = std::format!(r#"{{"jsonrpc":"2.0","id":0,"method":"x","params":{said}}}"#);
            let parsed = Frame::parse(whole.into()).ok();
            let edited = parsed.and_then(|parsed| {
                let Message::Request { params: own, .. } = &parsed.message else {
                    return None;
                };
                parsed.edited(own.at.as_ref()?, &["elicitationId"], &[])
            });
            edited == params
        };
        let inquired = self.step.inquired.as_mut();
        let Some(inquired) = inquired.filter(|inquired| inquired.upstream == upstream) else {
            return false;
        };
        let questions = &mut inquired.questions;
        let at = questions
            .iter()
            .position(|(asked, said)| asked == method && alike(said));
        at.map(|at| questions.swap_remove(at)).is_some()
    }

    /// Where a server asks in place of an answer what no client need be asked, its request goes again when its turn
    /// has come.
    pub(super) fn settle_questions_to_us(&mut self) {
        let inquired = self.step.inquired.as_ref();
        let is_for_us = inquired.is_some_and(|inquired| {
            let mut questions = inquired.questions.iter();
            questions.all(|(method, _)| *method == Method::RootsList)
        });
        if is_for_us {
            self.settle_inquiry();
        }
    }

    /// An answer that is questions is none: its request may go once more, with the answers.
    pub(super) fn settle_inquiry(&mut self) {
        let Some(inquired) = &mut self.step.inquired else {
            return;
        };
        let (upstream, minted) = (inquired.upstream, inquired.minted);
        // Its other questions come as well.
        inquired.minted = 0;
        let server = self.servers.get_mut(&upstream);
        let Some(working) = server.and_then(|server| server.sent.remove(&minted)) else {
            return;
        };
        self.step.due.retain(|due| *due != (upstream, minted));
        if let Some(print) = working.print {
            if let Some(group) = self.groups.get_mut(&print) {
                group.returned((upstream, minted));
            }
            self.step.touched.insert(print);
        }
    }

    /// Whether a message may be of this session: it came on the stream of one of its requests, or has no
    /// reference and nobody else has a call open that could have caused it.
    fn may_be_meant(&self, session: SessionId, upstream: UpstreamId) -> bool {
        if let Some(is_own) = self.is_on_own_stream(session, upstream) {
            return is_own;
        }
        if self.is_alone_at(session, upstream) {
            return true;
        }
        let (Some(client), Some(server)) =
            (self.clients.get(&session), self.servers.get(&upstream))
        else {
            return false;
        };
        let mut works = server
            .sent
            .values()
            .filter(|working| working.is_askable && working.answer.is_none());
        client.has_askable()
            && works.all(|working| {
                let group = working.print.and_then(|print| self.groups.get(&print));
                group.is_some_and(|group| group.members().any(|(of, _)| *of == session))
            })
    }

    /// The same of a message that nobody here understands.
    fn is_concerned(&self, session: SessionId, upstream: UpstreamId) -> bool {
        let is_own = self.is_on_own_stream(session, upstream);
        is_own.unwrap_or_else(|| self.is_alone_at(session, upstream))
    }

    /// Whether the stream that a message came on is that of a request of this session; `None` if it is that of
    /// no session's request.
    fn is_on_own_stream(&self, session: SessionId, upstream: UpstreamId) -> Option<bool> {
        let (at, request) = self.step.within.filter(|(at, _)| *at == upstream)?;
        let Some(working) = self.servers.get(&at)?.sent.get(&request) else {
            // Nobody waits for it any more.
            return Some(false);
        };
        let group = self.groups.get(&working.print?);
        Some(group.is_some_and(|group| group.members().any(|(of, _)| *of == session)))
    }

    fn is_alone_at(&self, session: SessionId, upstream: UpstreamId) -> bool {
        let server = self.servers.get(&upstream);
        server.is_some_and(|server| server.only_session() == Some(session))
    }

    /// A server tells something.
    pub(super) fn hear_told(
        &mut self,
        upstream: UpstreamId,
        method: &Method,
        params: &Params,
        frame: &Frame,
    ) {
        let token = params.token.as_ref();
        let uri = params.uri.as_ref().and_then(|span| frame.text(span));
        let told = Told {
            upstream,
            method: method.clone(),
            print: Print::of(frame),
            token: token.and_then(|(token, _)| token.as_number()),
            uri: uri.map(Box::from),
        };
        if let Some(uri) = told.changed() {
            if let Some(server) = self.servers.get_mut(&upstream) {
                server.tells_of(uri);
            }
            for client in self.clients.values_mut() {
                if client.upstream == Some(upstream) {
                    client.may_miss(uri);
                }
            }
        }
        self.step.told.push(told);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "methods that need no treatment of their own pass through"
    )]
    pub(super) fn tell(
        &mut self,
        session: SessionId,
        method: &Method,
        params: &Params,
        frame: &Frame,
    ) {
        let Some(upstream) = self
            .clients
            .get(&session)
            .and_then(|client| client.upstream)
        else {
            return self.find(
                Invariant::OwnerOnly,
                format_args!("{session} has no server and is told {method}"),
            );
        };
        let wish = wish_of(params, frame);
        if let Some(wish) = wish {
            return self.tell_listener((session, upstream), &wish, method, params, frame);
        }
        let is_rightly_told = match method {
            Method::Cancelled => self.withdraw_ask(session, params),
            Method::Progress => self.is_own_progress(session, upstream, params, frame),
            // Several of them are told as one.
            Method::ToolsListChanged
            | Method::PromptsListChanged
            | Method::ResourcesListChanged => {
                let server = self.servers.get(&upstream);
                server.is_some_and(|server| server.attached.contains(&session))
            }
            Method::LogMessage if is_own_warning(frame) => {
                let server = self.servers.get(&upstream);
                server.is_some_and(|server| server.attached.contains(&session))
            }
            Method::LogMessage => {
                self.was_told(upstream, method, frame).is_some()
                    && self.may_be_meant(session, upstream)
            }
            Method::ResourceUpdated => {
                let comes_back = self.step.replayed == Some(session);
                let was_told = self.was_told_of(upstream, params, frame).is_some();
                let uri = params.uri.as_ref().and_then(|span| frame.text(span));
                let client = self.clients.get(&session);
                uri.zip(client).is_some_and(|(uri, client)| {
                    (was_told || comes_back && self.has_told_of(upstream, &uri))
                        && client.has_asked_for(&uri)
                })
            }
            Method::ElicitationComplete => self.was_told(upstream, method, frame).is_some(),
            _unknown => {
                self.was_told(upstream, method, frame).is_some()
                    && self.is_concerned(session, upstream)
            }
        };
        if !is_rightly_told {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{session} is told {method}, which is not for it"),
            );
        }
    }

    /// A client is told what it has asked for by a wish of this name.
    fn tell_listener(
        &mut self,
        (session, upstream): (SessionId, UpstreamId),
        wish: &str,
        method: &Method,
        params: &Params,
        frame: &Frame,
    ) {
        let uri = params.uri.as_ref().and_then(|span| frame.text(span));
        let list = match method.name() {
            "notifications/tools/list_changed" => Some("toolsListChanged"),
            "notifications/prompts/list_changed" => Some("promptsListChanged"),
            "notifications/resources/list_changed" => Some("resourcesListChanged"),
            _no_list => None,
        };
        if *method == Method::ListenAcknowledged
            && let Some(client) = self.clients.get_mut(&session)
        {
            let missed = client.acknowledge(wish);
            self.step.missed.insert((session, wish.into()), missed);
        }
        let was_told = uri.as_deref().is_none_or(|uri| {
            self.was_told_of(upstream, params, frame).is_some()
                || self.take_missed((session, wish), uri)
                || self.is_acknowledged_now((session, wish)) && self.has_told_of(upstream, uri)
        });
        let client = self.clients.get(&session);
        let wants = client.is_some_and(|client| client.listens(wish, list, uri.as_deref()));
        if !was_told || !wants {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{session} is told {method} for {wish}, which it did not ask for"),
            );
        }
    }

    /// What the server has just told of a resource, if that is this one, whatever else stands there.
    fn was_told_of(&self, upstream: UpstreamId, params: &Params, frame: &Frame) -> Option<&Told> {
        let uri = params.uri.as_ref().and_then(|span| frame.text(span))?;
        self.step
            .told
            .iter()
            .find(|told| told.upstream == upstream && told.changed() == Some(uri.as_ref()))
    }

    fn is_acknowledged_now(&self, (session, wish): (SessionId, &str)) -> bool {
        self.step.missed.contains_key(&(session, wish.into()))
    }

    /// Whether a server that was taken over has told of a resource since.
    fn has_told_of(&self, upstream: UpstreamId, uri: &str) -> bool {
        let server = self.servers.get(&upstream);
        server.is_some_and(|server| server.has_told_of(uri))
    }

    /// Whether a wish was acknowledged just now, and this has changed before that and is not told yet.
    fn take_missed(&mut self, (session, wish): (SessionId, &str), uri: &str) -> bool {
        let missed = self.step.missed.get_mut(&(session, wish.into()));
        missed.is_some_and(|missed| {
            let mut wholes = missed.iter().rev();
            let whole = wholes.find(|whole| covers(whole, uri)).cloned();
            whole.is_some_and(|whole| missed.remove(&whole))
        })
    }

    /// What the server has just told, if it is exactly this.
    fn was_told(&self, upstream: UpstreamId, method: &Method, frame: &Frame) -> Option<&Told> {
        let print = Print::of(frame);
        self.step
            .told
            .iter()
            .find(|told| told.upstream == upstream && told.method == *method && told.print == print)
    }

    /// A client need not answer any more.
    fn withdraw_ask(&mut self, session: SessionId, params: &Params) -> bool {
        let id = params.request_id.as_ref();
        let Some(shown) = id.and_then(|(id, _)| id.as_number()) else {
            return false;
        };
        let client = self.clients.get_mut(&session);
        let asked = client.and_then(|client| client.asks.remove(&shown));
        if asked.as_ref().is_some_and(|(_, asked)| *asked == inquiry()) {
            // Its server waits for nothing.
            return true;
        }
        let was_asked = asked.is_some();
        let withdrawn = &mut self.step.withdrawn;
        let at = withdrawn.iter().position(|ask| *ask == (session, shown));
        was_asked && at.map(|at| withdrawn.swap_remove(at)).is_some()
    }

    /// Whether progress is of a request that this session has open, under the token that it chose.
    fn is_own_progress(
        &mut self,
        session: SessionId,
        upstream: UpstreamId,
        params: &Params,
        frame: &Frame,
    ) -> bool {
        let said = self.was_told(upstream, &Method::Progress, frame);
        let said = said.and_then(|told| told.token);
        let token = params.token.as_ref().map(|(token, _)| token);
        let working = self
            .servers
            .get_mut(&upstream)
            .zip(said)
            .and_then(|(server, id)| server.sent.get_mut(&id));
        let (Some(working), Some(client)) = (working, self.clients.get(&session)) else {
            return false;
        };
        let is_own = working.answer.is_none()
            && client.open.values().any(|asking| {
                asking.print == working.print
                    && asking.token.is_some()
                    && asking.token.as_ref() == token
            });
        if is_own {
            working.owner = Some(session);
        }
        is_own
    }
}

/// Whether it is a word of ours among the messages of the server.
fn is_own_warning(frame: &Frame) -> bool {
    let text = frame.unchanged().to_vec();
    let logger = std::format!(r#""logger":"{LOGGER}""#);
    text.windows(logger.len())
        .any(|part| part == logger.as_bytes())
}

/// The name of the wish that a message comes of (2026-07-28, `subscriptions/listen`).
fn wish_of(params: &Params, frame: &Frame) -> Option<std::string::String> {
    let members = frame.members(params.meta.as_ref()?)?;
    let mut names = members
        .iter()
        .filter(|member| member.name == meta_name::SUBSCRIPTION);
    names.next().map(|name| name.value.into())
}
