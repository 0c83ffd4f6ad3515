//! What servers are given, held against what sessions have asked.

use wire::{Frame, Message, Method, Outgoing, Params, RequestId};

use super::{
    Audit, Invariant, OfAsk,
    client::is_grouped,
    print::Print,
    server::{Process, Working},
    to_session::{Reason, own_reason},
};
use crate::{Class, Era, SessionId, UpstreamId, kept_words::Wanted};

impl Audit {
    pub(super) fn start(&mut self, upstream: UpstreamId, on_behalf_of: SessionId) {
        let Some(client) = self.clients.get(&on_behalf_of) else {
            return self.find(
                Invariant::WantedChildren,
                format_args!("{upstream} is started for {on_behalf_of}, which is gone"),
            );
        };
        let is_alone = client.is_alone || self.private_routes.contains(&client.route);
        let launched = (client.route.clone(), is_alone.then_some(on_behalf_of));
        let server = self.servers.entry(upstream).or_default();
        let before = core::mem::replace(&mut server.process, Process::Starting);
        server.launched = Some(launched);
        if before != Process::None {
            self.find(
                Invariant::WantedChildren,
                format_args!("{upstream} is started and has a process already"),
            );
        }
    }

    pub(super) fn stop(&mut self, upstream: UpstreamId) {
        let server = self.servers.entry(upstream).or_default();
        let before = core::mem::replace(&mut server.process, Process::Stopping);
        if !matches!(before, Process::Starting | Process::Running) {
            self.find(
                Invariant::WantedChildren,
                format_args!("{upstream} is stopped and does not run"),
            );
        }
    }

    pub(super) fn send_to_upstream(&mut self, upstream: UpstreamId, message: &Outgoing) {
        let frames = self.frames_of(message);
        if !self.servers.get(&upstream).is_some_and(super::Server::runs) {
            return self.find(
                Invariant::WantedChildren,
                format_args!("{upstream} does not run and is spoken to"),
            );
        }
        for frame in &frames {
            match &frame.message {
                Message::Request {
                    id, method, params, ..
                } => self.hand_request(upstream, id, method, params, frame),
                Message::Notification { method, params } => {
                    self.hand_notification(upstream, method, params, frame);
                }
                Message::Response { id, .. } => {
                    self.hand_answer(upstream, id.as_ref(), frame);
                }
            }
        }
    }

    fn hand_request(
        &mut self,
        upstream: UpstreamId,
        id: &RequestId,
        method: &Method,
        params: &Params,
        frame: &Frame,
    ) {
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        let token = params.meta_token.as_ref().map(|(token, _)| token);
        let minted = id.as_number().filter(|minted| server.issue(*minted));
        let Some(minted) = minted.filter(|_| token.is_none_or(|token| token == id)) else {
            return self.find(
                Invariant::OwnerOnly,
                format_args!(
                    "{upstream} is given {method} under {id:?}, which is not new or not ours"
                ),
            );
        };
        let is_initialized = server.is_initialized;
        let print = is_grouped(method).then(|| Print::across(frame));
        let launched = server.launched.as_ref();
        let has_kept_words = launched.is_some_and(|(route, _)| self.kept.contains_key(route));
        // Ours look like nobody else's, and each goes once to a process.
        let print = print.filter(|print| {
            let is_ours = || {
                let ours = Wanted::by(frame).map(|wanted| wanted.request(minted, server.era));
                ours.is_some_and(|ours| ours == frame.unchanged())
            };
            !(has_kept_words && is_ours() && server.compared.insert(*print))
        });
        let working = Working {
            print,
            is_askable: method.is_askable(),
            ..Working::default()
        };
        server.sent.insert(minted, working);
        if *method == Method::Initialize {
            let declared = params.capabilities.as_ref();
            let class = declared.map(|span| Class::declared(frame.json(span)));
            if let Some(server) = self.servers.get_mut(&upstream) {
                server.greeting = Some(minted);
            }
            self.greet(upstream, Era::Legacy, class.unwrap_or_default());
        } else if *method == Method::Discover && !is_initialized {
            if let Some(server) = self.servers.get_mut(&upstream) {
                server.greeting = Some(minted);
            }
            self.greet(upstream, Era::Modern, Class::default());
        } else if !is_initialized {
            self.find(
                Invariant::AtMostOnce,
                format_args!("{upstream} is given {method} before the handshake is over"),
            );
        }
        if let Some(print) = print {
            self.follow((upstream, minted), method, print, Print::of(frame));
        }
    }

    fn greet(&mut self, upstream: UpstreamId, era: Era, class: Class) {
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        server.era = era;
        if server.class.replace(class).is_some() {
            self.find(
                Invariant::AtMostOnce,
                format_args!("{upstream} is greeted twice"),
            );
        }
        let server = self.servers.get(&upstream);
        let Some((route, None)) = server.and_then(|server| server.launched.as_ref()) else {
            return;
        };
        let launched = Some((route.clone(), None));
        let twin = self.servers.iter().find(|(other, server)| {
            **other != upstream
                && server.launched == launched
                && (server.class, server.era) == (Some(class), era)
        });
        if let Some((twin, _)) = twin
            && !self.private_routes.contains(route)
        {
            let twin = *twin;
            self.find(
                Invariant::WantedChildren,
                format_args!("{upstream} and {twin} have the same share key"),
            );
        }
    }

    /// A session's request goes to a server: one that is open there, and no more often than it may.
    fn follow(
        &mut self,
        (upstream, minted): (UpstreamId, u64),
        method: &Method,
        print: Print,
        exact: Print,
    ) {
        let era = self.servers.get(&upstream).map(|server| server.era);
        let is_of = |it: &super::Inquired| it.upstream == upstream && it.questions.is_empty();
        let settled = self.step.inquired.as_ref().is_some_and(|it| {
            let server = self.servers.get(&upstream);
            let working = server.and_then(|server| server.sent.get(&it.minted));
            is_of(it) || working.is_some_and(|working| working.print == Some(print))
        });
        if settled {
            // All that it asked was answered here.
            self.settle_inquiry();
        }
        let clients = &self.clients;
        let leaving = &self.step.leaving;
        let Some(group) = self.groups.get_mut(&print) else {
            if let Some(server) = self.servers.get_mut(&upstream) {
                server.sent.remove(&minted);
            }
            return self.find(
                Invariant::OwnerOnly,
                format_args!("{upstream} is given {method} #{minted}, which nobody has open"),
            );
        };
        let mut may_go = group.members().any(|asked| {
            let (session, id) = asked;
            let Some(client) = clients.get(session) else {
                return false;
            };
            // One of a batch that has been cancelled further on in the same batch.
            let is_leaving = || leaving.iter().any(|(_, left)| left == asked);
            client.upstream == Some(upstream)
                && client.open.get(id).map_or_else(is_leaving, |asking| {
                    let is_bridged = era != Some(client.era);
                    if !is_bridged && asking.exact != Some(exact) {
                        return false;
                    }
                    asking.in_batch || method.is_read_only() || client.may_go(asking.line)
                })
        });
        may_go &= group.send((upstream, minted));
        self.step.touched.insert(print);
        let is_blocked = self.servers.get(&upstream).is_some_and(|it| it.is_blocked);
        if is_blocked && !self.step.has_announced {
            self.find(
                Invariant::WithinCaps,
                format_args!("{upstream} has more to read than may wait and is given {method}"),
            );
        }
        if !may_go {
            self.find(
                Invariant::AtMostOnce,
                format_args!("{upstream} is given {method} #{minted} too often or too early"),
            );
        }
    }

    fn hand_notification(
        &mut self,
        upstream: UpstreamId,
        method: &Method,
        params: &Params,
        frame: &Frame,
    ) {
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        if *method == Method::Initialized {
            let is_first = !core::mem::replace(&mut server.is_initialized, true);
            if !is_first || server.class.is_none() {
                self.find(
                    Invariant::AtMostOnce,
                    format_args!("{upstream} hears {method} twice or too early"),
                );
            }
        } else if *method == Method::Cancelled {
            let named = params.request_id.as_ref().map(|(id, _)| id);
            let is_open = |id: &u64| {
                let working = server.sent.get(id);
                working.is_some_and(|working| working.answer.is_none())
            };
            let doubtful = named.and_then(RequestId::as_number);
            let doubtful = doubtful.is_some_and(|id| self.step.doubtful.remove(&(upstream, id)));
            if let Some(id) = named.and_then(RequestId::as_number).filter(is_open) {
                self.forget_sent(upstream, id);
            } else if !doubtful {
                self.find(
                    Invariant::OwnerOnly,
                    format_args!(
                        "{upstream} hears of a cancellation of what is not open: {named:?}"
                    ),
                );
            }
        } else if *method == Method::Progress && !self.is_ask_progress(upstream, params, frame) {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{upstream} hears of progress that nobody whom it asked has told"),
            );
        }
    }

    /// Whether a client has just told this of what the server has asked it.
    fn is_ask_progress(&self, upstream: UpstreamId, params: &Params, frame: &Frame) -> bool {
        let message = Print::of(frame);
        let token = params.token.as_ref().map(|(token, _)| token);
        self.step.ask_progress.iter().any(|said| {
            let OfAsk {
                session,
                shown,
                print,
            } = said;
            let asked = self
                .clients
                .get(session)
                .and_then(|client| client.asks.get(shown));
            let Some((_, id)) = asked.filter(|(of, _)| *of == upstream) else {
                return false;
            };
            let ask = self
                .servers
                .get(&upstream)
                .and_then(|server| server.asks.get(id));
            *print == message
                && ask.is_some_and(|ask| ask.token.is_some() && ask.token.as_ref() == token)
        })
    }

    /// A server has its answer: from the client that was asked, or from us.
    fn hand_answer(&mut self, upstream: UpstreamId, id: Option<&RequestId>, frame: &Frame) {
        let server = self.servers.get_mut(&upstream);
        let ask = id
            .zip(server)
            .and_then(|(id, server)| server.asks.get_mut(id));
        let (Some(ask), Some(id)) = (ask, id) else {
            return self.find(
                Invariant::OneOutcome,
                format_args!("{upstream} is answered {id:?}, which it does not ask"),
            );
        };
        let answer = Print::of(frame);
        let said = self.step.ask_answers.iter();
        let mut said = said.filter(|said| ask.shown == Some((said.session, said.shown)));
        let has_said = said.clone().next().is_some();
        let is_clients = said.any(|said| said.print == answer);
        let is_ours = match &frame.message {
            Message::Response {
                error: Some(error), ..
            } => own_reason(frame, error)
                // In place of what a client says only if there is no room for it.
                .is_some_and(|reason| !has_said || reason == Reason::Overloaded),
            Message::Response { .. } => {
                matches!(ask.method, Method::Ping | Method::RootsList) || ask.again > 0
            }
            Message::Request { .. } | Message::Notification { .. } => false,
        };
        if !is_clients && ask.again > 0 {
            ask.again -= 1;
        } else {
            let shown = ask.shown;
            if let Some(server) = self.servers.get_mut(&upstream) {
                server.asks.remove(id);
            }
            if let Some((session, shown)) = shown
                && let Some(client) = self.clients.get_mut(&session)
            {
                client.asks.remove(&shown);
            }
        }
        if !is_clients && !is_ours {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{upstream} is answered {id:?} by nobody whom it asked"),
            );
        }
    }
}
