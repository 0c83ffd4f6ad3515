//! What was there before these books: servers of an earlier daemon, and what clients had said to it.

use std::{collections::BTreeSet, string::String};

use serde::Deserialize;
use wire::{Frame, Message, Method};

use super::{
    Audit, Invariant,
    client::unknown,
    server::{Ask, Process, Server, Working},
};
use crate::{
    LineNumber, Past, Record, Said, SessionId, UpstreamId,
    era::{BATCH_VERSION, answered_version},
    record::Contents,
};

/// As much of a result of `initialize`, or of its parameters, as matters here.
#[derive(Deserialize)]
struct Spoken {
    #[serde(rename = "protocolVersion")]
    version: String,
}

/// The version in the result of an `initialize`, or in what asks for it.
pub(super) fn version_of(json: &str) -> Option<String> {
    let spoken: Option<Spoken> = serde_json::from_str(json).ok();
    spoken.map(|spoken| spoken.version)
}

impl Audit {
    pub(super) fn inherited(&mut self, upstream: UpstreamId, record: &Record) {
        let mut server = Server::default();
        server.process = Process::Running;
        if let Ok(contents) = Contents::read(record) {
            let key = contents.key;
            server.launched = Some((key.route, key.session));
            server.class = Some(key.class);
            server.era = key.era;
            server.told_of = Some(BTreeSet::new());
            server.is_initialized = contents.handshake.is_some();
            server.spoken = contents.handshake.map(|handshake| handshake.version);
            for id in contents.asks {
                let ask = Ask {
                    question: None,
                    print: None,
                    method: unknown(),
                    token: None,
                    shown: None,
                    again: 0,
                };
                server.asks.insert(id, ask);
            }
            for id in contents.listens.into_iter().flatten() {
                server.sent.insert(id, Working::default());
            }
        }
        self.servers.insert(upstream, server);
        self.step.inherited = Some(upstream);
    }

    /// A server that was taken over has heard what it had asked, or is asked to end.
    pub(super) fn check_inherited(&mut self, upstream: UpstreamId) {
        let server = self.servers.get(&upstream);
        let is_left = server.is_some_and(|server| {
            let is_stopped = server.process == Process::Stopping;
            !is_stopped && (!server.is_initialized || !server.asks.is_empty())
        });
        if is_left {
            self.find(
                Invariant::OneOutcome,
                format_args!("{upstream} was taken over and waits for an answer, or for its end"),
            );
        }
    }

    pub(super) fn replayed(
        &mut self,
        session: SessionId,
        line: LineNumber,
        past: Past,
        said: &Said,
    ) {
        self.step.replayed = Some(session);
        match (past, said) {
            (Past::Kept, Said::One(frame)) => self.recall(session, frame),
            (Past::Kept, Said::Batch(_)) => {}
            (Past::Sent | Past::Repeated, Said::One(frame)) => {
                self.client_said(session, line, frame, false);
                self.was_sent((session, line), past, frame);
            }
            (Past::Sent | Past::Repeated, Said::Batch(frames)) => {
                self.client_said_several(session, line, frames);
                for frame in frames.iter().flatten() {
                    self.was_sent((session, line), past, frame);
                }
            }
        }
    }

    /// What a client had said holds, and nobody answers it again.
    fn recall(&mut self, session: SessionId, frame: &Frame) {
        let Message::Request { method, params, .. } = &frame.message else {
            return;
        };
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let text = |span| frame.text(span).map(String::from);
        if *method == Method::Initialize {
            let version = params.protocol_version.as_ref().and_then(text);
            self.step.recalled = Some((session, version.unwrap_or_default()));
        } else if *method == Method::ResourcesSubscribe {
            let uri = params.uri.as_ref().and_then(text);
            client.uris.extend(uri.map(String::into_boxed_str));
        }
    }

    /// A client that was greeted by an earlier daemon has its server again.
    pub(super) fn routed_again(&mut self, session: SessionId, upstream: UpstreamId) {
        let recalled = self.step.recalled.take_if(|(of, _)| *of == session);
        let (Some((_, asked)), Some(client)) = (recalled, self.clients.get_mut(&session)) else {
            return;
        };
        let server = self.servers.entry(upstream).or_default();
        server.attached.insert(session);
        let version = match &server.spoken {
            Some(spoken) => answered_version(&asked, spoken),
            None => asked,
        };
        client.speaks_batches = version == BATCH_VERSION;
    }

    /// A request may have gone to a server before there were these books.
    fn was_sent(&mut self, (session, line): (SessionId, LineNumber), past: Past, frame: &Frame) {
        let Message::Request { id, .. } = &frame.message else {
            return;
        };
        let client = self.clients.get(&session);
        let asking = client.and_then(|client| client.open.get(id));
        // Another may have had its id.
        let asking = asking.filter(|asking| asking.line == line);
        if let Some(print) = asking.and_then(|asking| asking.print)
            && !self.step.doubled.contains(&(session, id.clone()))
            && let Some(group) = self.groups.get_mut(&print)
        {
            group.was_sent(past);
        }
    }
}
