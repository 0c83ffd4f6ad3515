//! What happened, entered into the books.

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use wire::{About, Fault, Frame, Kind, Message, Method, Named, Params, Purpose, RequestId};

use super::{
    Audit, Client, Inquired, Invariant, OfAsk, Step,
    client::{Asking, Input, is_grouped, of_fault, unknown},
    eras::{filter_of, questions_in},
    group::Group,
    inherited::version_of,
    print::Print,
    server::{Ask, Process},
};
use crate::{
    Asks, Era, Event, LineNumber, Link, Opening, Scope, SessionId, UpstreamId,
    handles::{question, request_of},
};

impl Audit {
    /// Takes in what happens next, before the core does.
    #[expect(clippy::too_many_lines, reason = "one arm per event reads better")]
    pub fn event(&mut self, event: &Event) {
        self.step = Step::default();
        self.count.events += 1;
        match event {
            Event::SessionOpened { session, opening } => self.open(*session, opening),
            Event::SessionFrame {
                session,
                line,
                frame,
            } => self.client_said(*session, *line, frame, false),
            Event::SessionBatch {
                session,
                line,
                frames,
            } => self.client_said_several(*session, *line, frames),
            Event::SessionOverrun {
                session,
                line,
                fault,
            } => self.client_overran(*session, *line, fault),
            Event::SessionFault {
                session,
                line,
                fault,
            } => self.client_erred(*session, *line, fault, false),
            Event::SessionClosed { session } => self.leave(*session),
            Event::Announced { session, line } => self.announced(*session, *line),
            Event::UpstreamStarted { upstream, .. } => {
                if let Some(server) = self.servers.get_mut(upstream)
                    && server.process == Process::Starting
                {
                    server.process = Process::Running;
                }
            }
            Event::UpstreamFrame {
                upstream,
                frame,
                within,
            } => {
                // What follows an answer is of other requests.
                let request = within.filter(|_| frame.kind() != Kind::Response);
                self.step.within = request.map(|request| (*upstream, request));
                self.server_said(*upstream, frame);
            }
            Event::UpstreamFault { upstream, fault } => self.server_erred(*upstream, fault),
            Event::UpstreamExited {
                upstream,
                unwritten,
                ..
            } => {
                self.returned(*upstream, unwritten);
                self.ended(*upstream);
            }
            Event::UpstreamStartFailed { upstream, .. } => self.ended(*upstream),
            Event::SessionReplayed {
                session,
                line,
                past,
                said,
            } => self.replayed(*session, *line, *past, said),
            Event::UpstreamInherited {
                upstream, record, ..
            } => self.inherited(*upstream, record),
            Event::UpstreamBlocked { upstream } => self.blocked(*upstream, true),
            Event::UpstreamWritable { upstream } => self.blocked(*upstream, false),
            Event::SessionEnding { session } => {
                if let Some(client) = self.clients.get_mut(session) {
                    client.input = Input::Ended;
                }
            }
            Event::SessionReplayEnded { .. }
            | Event::SessionCut { .. }
            | Event::SessionListens { .. }
            | Event::SessionBlocked { .. }
            | Event::SessionWritable { .. }
            | Event::UpstreamComplained { .. }
            | Event::AdminAsked { .. }
            | Event::Buffered { .. }
            | Event::DeadlineReached
            | Event::Shutdown => {}
        }
    }

    fn open(&mut self, session: SessionId, opening: &Opening) {
        if opening.resumes {
            // Its shim has come back before the end of its last link was seen.
            self.leave(session);
        } else if !self.seen.insert(session) {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{session} was the id of another session"),
            );
        }
        if let Some(kept) = &opening.kept {
            let known = self.kept.entry(opening.route.clone()).or_default();
            known.extend(kept.iter().cloned());
        }
        let client = Client {
            route: opening.route.clone(),
            may_repeat: opening.rules.once.is_some(),
            era: Era::default(),
            is_alone: opening.scope == Scope::Session || opening.asks == Asks::Session,
            upstream: None,
            speaks_batches: false,
            open: BTreeMap::new(),
            excused: BTreeMap::new(),
            parked: BTreeMap::new(),
            kept_lines: (opening.link == Link::Keeping).then(BTreeSet::new),
            announced: BTreeMap::new(),
            asks: BTreeMap::new(),
            asks_shown: 0,
            uris: BTreeSet::new(),
            overrun: None,
            is_paused: false,
            input: Input::Open,
        };
        self.clients.insert(session, client);
    }

    pub(super) fn client_said_several(
        &mut self,
        session: SessionId,
        line: LineNumber,
        frames: &[Result<Frame, Fault>],
    ) {
        let speaks_batches = |client: &Client| client.speaks_batches;
        if !self.clients.get(&session).is_some_and(speaks_batches) {
            return self.client_erred(session, line, &Fault::NotAnObject, false);
        }
        if let [Err(fault)] = frames {
            return self.client_erred(session, line, fault, false);
        }
        for frame in frames {
            match frame {
                Ok(frame) => self.client_said(session, line, frame, true),
                Err(fault) => self.client_erred(session, line, fault, true),
            }
        }
    }

    pub(super) fn client_said(
        &mut self,
        session: SessionId,
        line: LineNumber,
        frame: &Frame,
        in_batch: bool,
    ) {
        self.count.messages += 1;
        if !self.clients.contains_key(&session) {
            return;
        }
        match &frame.message {
            Message::Request {
                id, method, params, ..
            } => {
                let text = |span| frame.text(span).map(Box::<str>::from);
                self.hear_era(session, method, params);
                let asking = Asking {
                    print: is_grouped(method).then(|| Print::across(frame)),
                    exact: is_grouped(method).then(|| Print::of(frame)),
                    filter: filter_of(method, params, frame),
                    method: method.clone(),
                    token: params.meta_token.as_ref().map(|(token, _)| token.clone()),
                    target: request_of(frame),
                    uri: params.uri.as_ref().and_then(text),
                    ..of_fault(line, in_batch)
                };
                let asking = self.come_back(session, frame, asking);
                self.ask(session, id, asking);
            }
            Message::Notification { method, params } => {
                self.client_told(session, method, params, frame);
            }
            Message::Response { id, .. } => {
                if let Some(shown) = id.as_ref().and_then(RequestId::as_number) {
                    self.is_inquired(session, shown);
                    self.step.ask_answers.push(OfAsk {
                        session,
                        shown,
                        print: Print::of(frame),
                    });
                }
            }
        }
    }

    fn ask(&mut self, session: SessionId, id: &RequestId, asking: Asking) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        client.keep(asking.line);
        if client.open.contains_key(id) {
            self.step.doubled.push((session, id.clone()));
            return;
        }
        if client.excused.contains_key(id) {
            self.step.doubled.push((session, id.clone()));
        }
        if let Some(print) = asking.print {
            let new = || Group::new(&asking.method);
            let group = self.groups.entry(print).or_insert_with(new);
            group.enter((session, id.clone()), asking.in_batch);
            self.step.touched.insert(print);
        }
        if asking.method == Method::ResourcesSubscribe {
            client.uris.extend(asking.uri.clone());
            // The late answer to an earlier wish no longer changes anything.
            let earlier = client.open.values_mut().filter(|open| {
                open.method == Method::ResourcesUnsubscribe && open.uri == asking.uri
            });
            earlier.for_each(|open| open.uri = None);
        }
        client.open.insert(id.clone(), asking);
        let server = client.upstream.and_then(|it| self.servers.get_mut(&it));
        if let Some(server) = server.filter(|server| server.serves()) {
            server.serve(session);
        }
    }

    fn client_told(&mut self, session: SessionId, method: &Method, params: &Params, frame: &Frame) {
        if *method == Method::Cancelled {
            let id = params.request_id.as_ref().map(|(id, _)| id);
            let client = self.clients.get_mut(&session);
            let found = id.zip(client).and_then(|(id, client)| {
                let asking = client.open.get(id)?;
                // The specification forbids to cancel it.
                let is_cancelled = asking.method != Method::Initialize;
                if !is_cancelled {
                    return None;
                }
                client.announced.remove(&asking.line);
                client.open.remove_entry(id)
            });
            if let Some((id, asking)) = found {
                if asking.in_batch
                    && let Some(client) = self.clients.get_mut(&session)
                {
                    client.excused.insert(id.clone(), asking.clone());
                }
                self.step.leaving.push((asking, (session, id)));
            }
        } else if *method == Method::Progress {
            let token = params.token.as_ref();
            if let Some(shown) = token.and_then(|(token, _)| token.as_number()) {
                self.step.ask_progress.push(OfAsk {
                    session,
                    shown,
                    print: Print::of(frame),
                });
            }
        }
    }

    /// A client is in the middle of what is no message. Only of a request can it be told under an id.
    fn client_overran(&mut self, session: SessionId, line: LineNumber, fault: &Fault) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let About { named, purpose } = fault.about();
        if *purpose == Purpose::Answer && matches!(named, Named::One(_)) {
            return;
        }
        let id = fault
            .id()
            .filter(|id| *purpose == Purpose::Question && !client.open.contains_key(*id));
        client.overrun = Some((line, id.is_some()));
        match id {
            Some(id) => drop(client.open.insert(id.clone(), of_fault(line, false))),
            None => self.step.faulty.push(session),
        }
    }

    /// A client said what is no message. It is answered under its id where that cannot be mistaken.
    fn client_erred(
        &mut self,
        session: SessionId,
        line: LineNumber,
        fault: &Fault,
        in_batch: bool,
    ) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        client.keep(line);
        let overrun = client.overrun.take_if(|(begun, _)| *begun == line);
        if overrun.is_some_and(|(_, is_answered)| is_answered) {
            return;
        }
        let is_answer = fault.about().purpose == Purpose::Answer;
        if is_answer && matches!(fault.about().named, Named::One(_) | Named::Several(_)) {
            // What it was asked is answered for it.
            return;
        }
        match fault.id().filter(|id| !client.open.contains_key(*id)) {
            Some(id) => drop(client.open.insert(id.clone(), of_fault(line, in_batch))),
            // It has been told, if its end tells nothing more.
            None if overrun.is_some() => {}
            None => self.step.faulty.push(session),
        }
    }

    /// A session is over.
    pub(super) fn leave(&mut self, session: SessionId) {
        let Some(client) = self.clients.remove(&session) else {
            return;
        };
        if let Some(server) = client
            .upstream
            .and_then(|upstream| self.servers.get_mut(&upstream))
        {
            server.attached.remove(&session);
            server.waiting.remove(&session);
        }
        let open = client.open.into_iter().chain(client.parked);
        let leaving = open.map(|(id, asking)| (asking, (session, id)));
        self.step.leaving.extend(leaving);
        self.step.orphaned.extend(client.asks.into_values());
    }

    fn announced(&mut self, session: SessionId, line: LineNumber) {
        self.step.has_announced = true;
        if let Some(client) = self.clients.get_mut(&session)
            && let Some(announced) = client.announced.get_mut(&line)
        {
            announced.left += 1;
        }
    }

    fn blocked(&mut self, upstream: UpstreamId, is_blocked: bool) {
        if let Some(server) = self.servers.get_mut(&upstream) {
            server.is_blocked = is_blocked;
        }
    }

    fn server_said(&mut self, upstream: UpstreamId, frame: &Frame) {
        self.count.messages += 1;
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        match &frame.message {
            Message::Request {
                id, method, params, ..
            } => {
                let ask = Ask {
                    print: Some(Print::of(frame)),
                    question: Some(question(frame)),
                    method: method.clone(),
                    token: params.meta_token.as_ref().map(|(token, _)| token.clone()),
                    shown: None,
                    again: 0,
                };
                self.server_asked(upstream, id, ask);
            }
            Message::Notification {
                method: Method::Cancelled,
                params,
            } => {
                let id = params.request_id.as_ref().map(|(id, _)| id);
                let ask = id.and_then(|id| server.asks.remove(id));
                self.step.withdrawn.extend(ask.and_then(|ask| ask.shown));
            }
            Message::Notification { method, params } => {
                self.hear_told(upstream, method, params, frame);
            }
            Message::Response { id, result, .. } => {
                let id = id.as_ref().and_then(RequestId::as_number);
                let result = result.as_ref();
                let spoken = result.and_then(|result| version_of(frame.json(result)));
                if let (Some(id), Some(result)) = (id, result)
                    && server.era == Era::Modern
                {
                    let questions = questions_in(frame, result);
                    self.step.inquired = questions.map(|questions| Inquired {
                        upstream,
                        minted: id,
                        questions,
                    });
                }
                if let Some(id) = id {
                    let answer = Answer {
                        exact: Print::of(frame),
                        across: Print::across(frame),
                    };
                    self.server_answered(upstream, (id, answer), spoken);
                }
            }
        }
    }

    fn server_asked(&mut self, upstream: UpstreamId, id: &RequestId, ask: Ask) {
        self.step.asked = Some((upstream, id.clone()));
        if let Some(server) = self.servers.get_mut(&upstream) {
            if let Some(before) = server.asks.get_mut(id) {
                before.again += 1;
            } else {
                server.asks.insert(id.clone(), ask);
            }
        }
    }

    /// What a server that does not read has just asked is not taken in, and never answered.
    pub(super) fn overlook_ask(&mut self) {
        let Some((upstream, id)) = self.step.asked.take() else {
            return;
        };
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        match server.asks.get_mut(&id) {
            Some(ask) if ask.again > 0 => ask.again -= 1,
            Some(_) | None => drop(server.asks.remove(&id)),
        }
    }

    fn server_answered(
        &mut self,
        upstream: UpstreamId,
        (id, answer): (u64, Answer),
        spoken: Option<String>,
    ) {
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        let Some(working) = server.sent.get_mut(&id) else {
            return;
        };
        if working.answer.is_some() {
            return;
        }
        self.step.given.push((upstream, answer.exact));
        if working.print.is_some() {
            working.answer = Some(answer.exact);
            working.answer_across = Some(answer.across);
            self.step.due.push((upstream, id));
        } else {
            server.sent.remove(&id);
        }
        if server.greeting == Some(id) {
            // There is nothing more to a greeting without a handshake.
            server.is_initialized |= server.era == Era::Modern;
            server.spoken = spoken;
        }
    }

    /// A server wrote what is no message. It may have been an answer, or a question.
    fn server_erred(&mut self, upstream: UpstreamId, fault: &Fault) {
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        match fault.about().purpose {
            Purpose::Noise => {}
            Purpose::Question => {
                if let Some(id) = fault.id().cloned() {
                    let ask = Ask {
                        print: None,
                        question: None,
                        method: unknown(),
                        token: None,
                        shown: None,
                        again: 0,
                    };
                    self.server_asked(upstream, &id, ask);
                }
            }
            Purpose::Answer | Purpose::Either => {
                let named: Vec<u64> = match &fault.about().named {
                    Named::Nobody => Vec::new(),
                    Named::One(id) => id.as_number().into_iter().collect(),
                    Named::Several(ids) => ids.iter().filter_map(RequestId::as_number).collect(),
                    Named::Unknown => server.sent.keys().copied().collect(),
                };
                // What was answered before waits for the rest of its batch.
                let is_pending = |id: &u64| {
                    let working = server.sent.get(id);
                    working.is_some_and(|working| working.answer.is_none())
                };
                let meant: Vec<u64> = named.into_iter().filter(is_pending).collect();
                for id in meant {
                    if fault.about().certain_id().is_none() {
                        self.step.doubtful.insert((upstream, id));
                    }
                    self.forget_sent(upstream, id);
                }
            }
        }
    }

    /// A server no longer works on a request.
    pub(super) fn forget_sent(&mut self, upstream: UpstreamId, id: u64) {
        let server = self.servers.get_mut(&upstream);
        let working = server.and_then(|server| server.sent.remove(&id));
        if let Some(print) = working.and_then(|working| working.print) {
            if let Some(group) = self.groups.get_mut(&print) {
                group.sent.remove(&(upstream, id));
            }
            self.step.touched.insert(print);
        }
    }

    /// Requests that were for a process have never been written to it.
    fn returned(&mut self, upstream: UpstreamId, unwritten: &[Frame]) {
        for frame in unwritten {
            let id = frame.id().and_then(RequestId::as_number);
            let server = self.servers.get_mut(&upstream);
            let Some((id, working)) = id
                .zip(server)
                .and_then(|(id, server)| Some((id, server.sent.remove(&id)?)))
            else {
                continue;
            };
            if working.answer.is_some() {
                self.find(
                    Invariant::OneOutcome,
                    format_args!("{upstream} has answered #{id}, which was not written to it"),
                );
            }
            if let Some(print) = working.print {
                if let Some(group) = self.groups.get_mut(&print) {
                    group.returned((upstream, id));
                }
                self.step.touched.insert(print);
            }
        }
    }

    /// A process is gone with all that it had.
    fn ended(&mut self, upstream: UpstreamId) {
        let Some(server) = self.servers.get_mut(&upstream) else {
            return;
        };
        let before = core::mem::take(&mut server.process);
        // What could not be started or greeted is not trusted any more.
        server.is_recalled &= before == Process::Stopping;
        server.launched = None;
        server.class = None;
        server.compared.clear();
        server.is_initialized = false;
        server.is_blocked = false;
        let asks = core::mem::take(&mut server.asks);
        let shown = asks.into_values().filter_map(|ask| ask.shown);
        self.step.withdrawn.extend(shown);
        for (id, working) in core::mem::take(&mut server.sent) {
            // What it has answered waits for the rest of its batch and for nothing else.
            let owed = working.print.filter(|_| working.answer.is_none());
            if let Some(print) = owed {
                if let Some(group) = self.groups.get_mut(&print) {
                    group.died((upstream, id));
                }
                self.step.touched.insert(print);
            } else if working.answer.is_some()
                && let Some(server) = self.servers.get_mut(&upstream)
            {
                server.sent.insert(id, working);
            }
        }
    }
}

/// An answer, as it is recognised by clients of either era.
struct Answer {
    exact: Print,
    across: Print,
}
