//! What clients and servers can know of a conversation, and what they may rely on.
//!
//! The books are kept from the messages alone, without a look into the core.

use std::collections::{BTreeMap, BTreeSet};

use wire::{Frame, Message, Method, RequestId};

use crate::{Action, Answered, SessionId, UpstreamId, tests::render::frames_of};

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) clients: BTreeMap<SessionId, Client>,
    pub(super) servers: BTreeMap<UpstreamId, Server>,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) is_open: bool,
    /// Requests that have neither been answered nor cancelled.
    pub(super) open: BTreeSet<RequestId>,
    initialize: Option<RequestId>,
}

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) process: Process,
    greetings: usize,
    initialized: usize,
    /// Every id that it ever saw, over all its processes.
    minted: BTreeSet<u64>,
    /// Those that the process that runs has seen.
    seen: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
    /// What it asked and has no answer to, and how many times.
    asks: BTreeMap<RequestId, usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Process {
    #[default]
    None,
    Starting,
    Running,
    Stopping,
}

impl Ledger {
    pub(super) fn client_said(&mut self, session: SessionId, frame: &Frame) {
        let client = self.clients.get_mut(&session).unwrap();
        match &frame.message {
            Message::Request { id, method, .. } => {
                let is_new = client.open.insert(id.clone());
                if is_new && *method == Method::Initialize && client.initialize.is_none() {
                    client.initialize = Some(id.clone());
                }
            }
            Message::Notification {
                method: Method::Cancelled,
                params,
            } => {
                let id = params.request_id.as_ref().map(|(id, _)| id.clone());
                if let Some(id) = id.filter(|id| client.initialize.as_ref() != Some(id)) {
                    client.open.remove(&id);
                }
            }
            Message::Notification { .. } | Message::Response { .. } => {}
        }
    }

    pub(super) fn server_said(&mut self, upstream: UpstreamId, frame: &Frame) {
        let server = self.servers.get_mut(&upstream).unwrap();
        match &frame.message {
            Message::Request { id, .. } => *server.asks.entry(id.clone()).or_default() += 1,
            Message::Notification {
                method: Method::Cancelled,
                params,
            } => {
                if let Some((id, _)) = &params.request_id {
                    server.asks.remove(id);
                }
            }
            Message::Notification { .. } => {}
            Message::Response { id, .. } => {
                let id = id.as_ref().and_then(RequestId::as_number);
                let seen = id.filter(|id| server.seen.contains(id));
                server.answered.extend(seen);
            }
        }
    }

    pub(super) fn left(&mut self, session: SessionId) {
        let client = self.clients.get_mut(&session).unwrap();
        client.is_open = false;
        client.open.clear();
    }

    pub(super) fn exited(&mut self, upstream: UpstreamId) {
        let server = self.servers.get_mut(&upstream).unwrap();
        let minted = core::mem::take(&mut server.minted);
        *server = Server {
            minted,
            ..Server::default()
        };
    }

    /// Every server has an answer to all that it asked.
    pub(super) fn no_server_waits(&self) {
        for (id, server) in &self.servers {
            assert!(
                server.asks.is_empty() || server.process != Process::Running,
                "{id} waits for {:?}",
                server.asks
            );
        }
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::SendToSession {
                session,
                frame,
                answered,
            } => {
                let client = self.clients.get_mut(session).unwrap();
                assert!(client.is_open, "{session} is gone: {action:?}");
                let frames = frames_of(frame);
                match answered {
                    Some(answered) => client.answered(answered, &frames),
                    None => told(&frames),
                }
            }
            Action::Notify { session, .. }
            | Action::Announce { session, .. }
            | Action::PauseSession { session }
            | Action::ResumeSession { session } => {
                assert!(self.clients[session].is_open, "{session} is gone");
            }
            Action::CloseSession { session } => {
                let client = self.clients.get_mut(session).unwrap();
                assert!(client.is_open, "{session} is closed twice");
                assert!(client.open.is_empty(), "{session} waits: {client:?}");
                client.is_open = false;
            }
            Action::StartUpstream {
                upstream,
                on_behalf_of,
            } => {
                assert!(self.clients[on_behalf_of].is_open, "{on_behalf_of} is gone");
                let server = self.servers.entry(*upstream).or_default();
                assert_eq!(server.process, Process::None, "{upstream} runs twice");
                server.process = Process::Starting;
            }
            Action::SendToUpstream { upstream, frame } => {
                let server = self.servers.get_mut(upstream).unwrap();
                for frame in frames_of(frame) {
                    server.hear(*upstream, &frame);
                }
            }
            Action::StopUpstream { upstream } => {
                let server = self.servers.get_mut(upstream).unwrap();
                let runs = matches!(server.process, Process::Starting | Process::Running);
                assert!(runs, "{upstream} is stopped as {:?}", server.process);
                server.process = Process::Stopping;
            }
            Action::AnswerAdmin { .. } => {}
        }
    }
}

impl Client {
    fn answered(&mut self, answered: &Answered, frames: &[Frame]) {
        let mut ids: BTreeSet<&RequestId> = answered.others.iter().collect();
        assert!(ids.insert(&answered.id), "{answered:?} twice");
        let said: BTreeSet<&RequestId> = frames.iter().filter_map(Frame::id).collect();
        assert!(ids.is_subset(&said), "{ids:?} {said:?}");
        for id in ids {
            assert!(self.open.remove(id), "nobody waits for {id}");
            self.initialize = self.initialize.take().filter(|known| known != id);
        }
    }
}

impl Server {
    /// It has asked something that reached us in part only.
    pub(super) fn asked(&mut self, id: &RequestId) {
        *self.asks.entry(id.clone()).or_default() += 1;
    }

    fn hear(&mut self, upstream: UpstreamId, frame: &Frame) {
        let runs = matches!(self.process, Process::Running | Process::Stopping);
        assert!(runs, "{upstream} does not run and hears {frame:?}");
        match &frame.message {
            Message::Request { id, method, .. } => {
                let id = id.as_number().unwrap();
                assert!(self.minted.insert(id), "{upstream} sees #{id} twice");
                self.seen.insert(id);
                if *method == Method::Initialize {
                    self.greetings += 1;
                    assert_eq!(self.greetings, 1, "{upstream} is greeted twice");
                } else {
                    assert_eq!(self.initialized, 1, "{upstream} hears {method} too early");
                }
            }
            Message::Notification {
                method: Method::Initialized,
                ..
            } => {
                self.initialized += 1;
                assert_eq!((self.greetings, self.initialized), (1, 1));
            }
            Message::Notification {
                method: Method::Cancelled,
                params,
            } => {
                let (id, _) = params.request_id.as_ref().unwrap();
                let id = id.as_number().unwrap();
                assert!(self.seen.contains(&id), "{upstream} never saw #{id}");
                assert!(!self.answered.contains(&id), "#{id} was answered");
                assert!(self.cancelled.insert(id), "#{id} is cancelled twice");
            }
            Message::Notification { .. } => {}
            Message::Response { id, .. } => {
                let id = id.as_ref().unwrap();
                let count = self.asks.get_mut(id);
                let count = count.unwrap_or_else(|| panic!("{upstream} did not ask {id}"));
                *count -= 1;
                if *count == 0 {
                    self.asks.remove(id);
                }
            }
        }
    }
}

/// Checks what answers nothing.
fn told(frames: &[Frame]) {
    for frame in frames {
        if let Message::Response { id: Some(id), .. } = &frame.message {
            // Only a request that must not be taken for another is answered beside the books.
            let text = frame.unchanged().to_vec();
            let is_in_use = text.windows(9).any(|word| word == b"id-in-use");
            assert!(is_in_use, "an answer to {id} that is none");
        }
    }
}
