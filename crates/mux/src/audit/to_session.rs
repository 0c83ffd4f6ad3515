//! What sessions are given, held against what they are owed.

use std::collections::BTreeSet;

use serde::Deserialize;
use wire::{Frame, Message, Method, Outgoing, RequestId, Span, meta_name};

use super::{
    Asked, Audit, Invariant,
    client::Asking,
    eras::{Question, questions_of},
    group::{Group, Sent},
    print::Print,
};
use crate::{
    Answered, LineNumber, Notice, SessionId, UpstreamId, era::BATCH_VERSION, inquiry::REASON,
};

/// What a session learns from the answer to its `initialize`.
#[derive(Deserialize)]
struct Greeted<'a> {
    #[serde(rename = "protocolVersion")]
    version: &'a str,
}

impl Audit {
    /// Says that a session exists.
    pub(super) fn must_be_open(&mut self, session: SessionId, what: &str) -> bool {
        let is_open = self.clients.contains_key(&session);
        if !is_open {
            self.find(
                Invariant::NothingToClosed,
                format_args!("{session} is closed and {what}"),
            );
        }
        is_open
    }

    /// The edge is told whether to read a session.
    pub(super) fn pause(&mut self, session: SessionId, is_paused: bool) {
        self.must_be_open(session, "paused or resumed");
        if let Some(client) = self.clients.get_mut(&session) {
            client.is_paused = is_paused;
        }
    }

    pub(super) fn notify(&mut self, session: SessionId, notice: &Notice) {
        self.must_be_open(session, "told of its lines");
        if let Some(client) = self.clients.get_mut(&session) {
            match notice {
                Notice::Held(line) => {
                    let announced = client.announced.entry(*line).or_default();
                    announced.needed = announced.issued + 1;
                }
                Notice::Done(lines) => {
                    for line in lines {
                        client.announced.remove(line);
                        client.is_done(*line);
                    }
                }
            }
        }
    }

    pub(super) fn announce(&mut self, session: SessionId, line: LineNumber) {
        self.must_be_open(session, "told of its lines");
        if let Some(client) = self.clients.get_mut(&session) {
            client.announced.entry(line).or_default().issued += 1;
        }
    }

    pub(super) fn close(&mut self, session: SessionId) {
        if !self.must_be_open(session, "closed again") {
            return;
        }
        let open = self.clients.get(&session).map(|client| &client.open);
        if let Some(id) = open.and_then(|open| open.keys().next()).cloned() {
            self.find(
                Invariant::OneOutcome,
                format_args!("{session} is closed and waits for {id:?}"),
            );
        }
        let kept = self.clients.get(&session).map(|client| &client.kept_lines);
        if let Some(Some(kept)) = kept
            && let Some(line) = kept.first().copied()
        {
            // Its shim would answer what it still has by itself.
            self.find(
                Invariant::OneOutcome,
                format_args!(
                    "{session} is closed and was never told that line {} is done",
                    line.0
                ),
            );
        }
        self.leave(session);
    }

    pub(super) fn send_to_session(
        &mut self,
        session: SessionId,
        message: &Outgoing,
        answered: Option<&Answered>,
    ) {
        let frames = self.frames_of(message);
        if !self.must_be_open(session, "spoken to") {
            return;
        }
        let mut owed = BTreeSet::new();
        for id in answered
            .into_iter()
            .flat_map(|a| a.others.iter().chain([&a.id]))
        {
            if !owed.insert(id) {
                self.find(
                    Invariant::OneOutcome,
                    format_args!("{session} is answered {id:?} twice at once"),
                );
            }
        }
        for (at, frame) in frames.iter().enumerate() {
            match &frame.message {
                Message::Response { id, error, .. } => {
                    let reason = error.as_ref().and_then(|error| own_reason(frame, error));
                    // A server that is a pooler too may say the same.
                    let is_beside = reason == Some(Reason::IdInUse)
                        && frames
                            .iter()
                            .skip(at + 1)
                            .any(|next| next.id() == id.as_ref());
                    match id {
                        Some(id) if !is_beside && owed.remove(id) => {
                            self.answer(session, id, frame);
                        }
                        _unbooked => self.answer_beside(session, id.as_ref(), reason),
                    }
                }
                Message::Request {
                    id, method, params, ..
                } => self.show_ask(session, id, method, params, frame),
                Message::Notification { method, params } => {
                    self.tell(session, method, params, frame);
                }
            }
        }
        for id in owed {
            self.find(
                Invariant::OneOutcome,
                format_args!("{session} is said to be answered {id:?} and is not"),
            );
        }
        if let Some((answered, client)) = answered.zip(self.clients.get_mut(&session)) {
            client.is_done(answered.line);
            client
                .excused
                .retain(|_, asking| asking.line != answered.line);
        }
    }

    /// The answer to a request that is open.
    fn answer(&mut self, session: SessionId, id: &RequestId, frame: &Frame) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let Some(asking) = client.open.remove(id) else {
            return self.answer_excused(session, id);
        };
        if !asking.in_batch {
            client.announced.remove(&asking.line);
        }
        let upstream = client.upstream;
        if let Some((handle, shown)) = questions_of(frame) {
            return self.put_questions((session, upstream), id, asking, (handle, &shown));
        }
        if !self.is_genuine(session, upstream, &asking, frame) {
            self.find(
                Invariant::OwnerOnly,
                format_args!("{session} is answered {id:?} with what is not its own"),
            );
        }
        if let Some(print) = asking.print {
            if let Some(group) = self.groups.get_mut(&print) {
                group.leave(&(session, id.clone()), asking.in_batch);
            }
            self.step.touched.insert(print);
        }
        self.learn_from_answer(session, asking, frame);
    }

    /// A request is answered with questions: those of its server. It is not done with that.
    fn put_questions(
        &mut self,
        (session, upstream): (SessionId, Option<UpstreamId>),
        id: &RequestId,
        asking: Asking,
        (handle, questions): (RequestId, &[Question]),
    ) {
        for (shown, question) in questions {
            let server = upstream.and_then(|upstream| self.servers.get_mut(&upstream));
            let ask = server.and_then(|server| {
                let asks = server.asks.iter_mut();
                let its = asks.filter(|(_, ask)| ask.question.as_ref() == Some(question));
                // One that was not answered is put again.
                let to = Some((session, *shown));
                its.filter(|(_, ask)| ask.shown.is_none() || ask.shown == to)
                    .max_by_key(|(_, ask)| ask.shown == to)
            });
            let Some((asked, ask)) = ask else {
                self.find(
                    Invariant::OwnerOnly,
                    format_args!("{session} is asked {shown}, which its server did not ask"),
                );
                continue;
            };
            ask.shown = Some((session, *shown));
            let asked = asked.clone();
            if let (Some(client), Some(upstream)) = (self.clients.get_mut(&session), upstream) {
                client.asks.insert(*shown, (upstream, asked));
            }
        }
        if let Some(print) = asking.print {
            if let Some(group) = self.groups.get_mut(&print) {
                group.leave(&(session, id.clone()), false);
                // Its answer may wait for its client, as those of a batch do for each other.
                group.enter((session, handle.clone()), true);
            }
            self.step.touched.insert(print);
        }
        if let Some(client) = self.clients.get_mut(&session) {
            let in_batch = true;
            client.parked.insert(handle, Asking { in_batch, ..asking });
        }
    }

    /// An answer to what was cancelled: it had waited for the rest of its batch. The request is out of its
    /// group, so that the answer may be too.
    fn answer_excused(&mut self, session: SessionId, id: &RequestId) {
        let client = self.clients.get_mut(&session);
        let excused = client.and_then(|client| client.excused.remove(id));
        if excused.is_none() {
            self.find(
                Invariant::OneOutcome,
                format_args!("{session} does not wait for {id:?} and is answered"),
            );
        }
    }

    /// Whether the answer is the one of the server, or one of those that we give ourselves.
    fn is_genuine(
        &mut self,
        session: SessionId,
        upstream: Option<UpstreamId>,
        asking: &Asking,
        frame: &Frame,
    ) -> bool {
        let Message::Response { result, error, .. } = &frame.message else {
            return false;
        };
        let answer = Print::of(frame);
        let reason = match (error, result) {
            (Some(error), _) => own_reason(frame, error),
            (None, Some(result)) => own_result(frame, result),
            (None, None) => None,
        };
        if let (Some(upstream), Some(print)) = (upstream, asking.print) {
            // Whose call it was may have asked the very same, and has its own answer yet to come.
            if self.is_repeated(session, upstream, asking, frame) {
                return true;
            }
            let group = self.groups.get(&print).filter(|_| asking.in_batch);
            let before = group.map(Group::servers).unwrap_or_default();
            for server in [upstream].into_iter().chain(before) {
                if self.take_answer(session, server, print, frame) {
                    self.note_result(session, server, asking, frame);
                    return true;
                }
            }
            // The answers of a batch are no longer than one message: the last may be dropped.
            if asking.in_batch
                && reason == Some(Reason::AnswerTooLong)
                && let Some(group) = self.groups.get_mut(&print)
            {
                group.doubt();
                self.step.due.retain(|due| !group.sent.contains(due));
            }
        }
        if reason == Some(Reason::Untold) {
            return self.take_untold(upstream, asking.print);
        }
        if reason.is_some() {
            self.settle_inquiry_of(asking.print);
            return true;
        }
        if asking.print.is_some() {
            return self.is_kept(session, &asking.method, frame);
        }
        let mut given = self.step.given.iter();
        let is_of_server = given.any(|(from, print)| Some(*from) == upstream && *print == answer);
        // Of those that wait for the rest of their batch nobody knows any more whose they were.
        let is_own = result.as_ref().is_some_and(|result| {
            let is_known_here = matches!(
                asking.method,
                Method::Initialize | Method::Discover | Method::Listen
            );
            is_known_here || frame.json(result) == "{}"
        });
        is_of_server || is_own || asking.in_batch
    }

    /// A session has its own answer, which another one may get, too.
    fn note_result(
        &mut self,
        session: SessionId,
        upstream: UpstreamId,
        asking: &Asking,
        frame: &Frame,
    ) {
        let client = self.clients.get(&session);
        let may_be = client.is_some_and(|client| client.may_repeat);
        if may_be
            && asking.method == Method::ToolsCall
            && let Some(server) = self.servers.get_mut(&upstream)
        {
            server.results.insert(Print::across(frame));
        }
    }

    /// Whether it is the result of another session's call at the same server, and says so.
    fn is_repeated(
        &self,
        session: SessionId,
        upstream: UpstreamId,
        asking: &Asking,
        frame: &Frame,
    ) -> bool {
        let Message::Response {
            result: Some(result),
            ..
        } = &frame.message
        else {
            return false;
        };
        let meta = frame.member(result, "_meta");
        let says_so = meta.is_some_and(|meta| frame.member(&meta.at, meta_name::ONCE).is_some());
        let client = self.clients.get(&session);
        let print = Print::across(frame);
        // Whose call it was may have to come back for it first.
        let is_known = self.servers.get(&upstream).is_some_and(|server| {
            let mut answers = server.sent.values().map(|working| working.answer_across);
            server.results.contains(&print) || answers.any(|answer| answer == Some(print))
        });
        says_so
            && asking.method == Method::ToolsCall
            && client.is_some_and(|client| client.may_repeat)
            && is_known
    }

    /// Takes the answer that a server has given to a request of this kind, and that cannot be told, out of the books;
    /// says whether there is one. If it was not given just now, its client has come back for it.
    fn take_untold(&mut self, upstream: Option<UpstreamId>, print: Option<Print>) -> bool {
        let (Some(upstream), Some(print)) = (upstream, print) else {
            return false;
        };
        let (Some(group), Some(server)) =
            (self.groups.get_mut(&print), self.servers.get_mut(&upstream))
        else {
            return false;
        };
        let mut due = self.step.due.iter();
        let waits = |(at, minted): &&Sent| {
            let working = server.sent.get(minted).filter(|_| *at == upstream);
            working.is_some_and(|working| working.answer.is_some())
        };
        let just_now = due.find(|sent| group.sent.contains(sent));
        let Some(sent) = just_now.or_else(|| group.sent.iter().find(waits)).copied() else {
            return false;
        };
        server.sent.remove(&sent.1);
        group.sent.remove(&sent);
        self.step.due.retain(|due| *due != sent);
        true
    }

    /// A request of a kind that was answered with questions is refused for that.
    fn settle_inquiry_of(&mut self, print: Option<Print>) {
        let is_of = self.step.inquired.as_ref().is_some_and(|it| {
            let server = self.servers.get(&it.upstream);
            let working = server.and_then(|server| server.sent.get(&it.minted));
            working.is_some_and(|working| working.print == print)
        });
        if is_of {
            self.settle_inquiry();
        }
    }

    /// Takes an answer that a server gave to one of these requests out of the books.
    fn take_answer(
        &mut self,
        session: SessionId,
        upstream: UpstreamId,
        print: Print,
        frame: &Frame,
    ) -> bool {
        let client_era = self.clients.get(&session).map(|client| client.era);
        let (exact, across) = (Print::of(frame), Print::across(frame));
        let (Some(group), Some(server)) =
            (self.groups.get_mut(&print), self.servers.get_mut(&upstream))
        else {
            return false;
        };
        let is_bridged = client_era != Some(server.era);
        let fits = |(of, id): &&(UpstreamId, u64)| {
            let working = server.sent.get(id).filter(|_| *of == upstream);
            working.is_some_and(|working| {
                let is_it = if is_bridged {
                    working.answer_across == Some(across)
                } else {
                    working.answer == Some(exact)
                };
                is_it && working.owner.is_none_or(|owner| owner == session)
            })
        };
        let Some(sent) = group.sent.iter().find(fits).copied() else {
            return false;
        };
        server.sent.remove(&sent.1);
        group.sent.remove(&sent);
        self.step.due.retain(|due| *due != sent);
        true
    }

    /// The `initialize` of a client has failed: unless another of its is under way or it was greeted before, it
    /// may begin anew, in either era.
    fn begin_again(&mut self, session: SessionId) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let mut open = client.open.values();
        let is_greeting = open.any(|open| open.method == Method::Initialize);
        let server = client.upstream.and_then(|id| self.servers.get(&id));
        let is_attached = server.is_some_and(|server| server.attached.contains(&session));
        if !is_greeting && !is_attached {
            client.upstream = None;
        }
    }

    fn learn_from_answer(&mut self, session: SessionId, asking: Asking, frame: &Frame) {
        let Message::Response {
            result: Some(result),
            ..
        } = &frame.message
        else {
            if asking.method == Method::Initialize {
                self.begin_again(session);
            }
            return;
        };
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        match (asking.method, asking.uri) {
            (Method::Initialize, _) => {
                let greeted = serde_json::from_str::<Greeted<'_>>(frame.json(result));
                client.speaks_batches =
                    greeted.is_ok_and(|greeted| greeted.version == BATCH_VERSION);
                if let Some(upstream) = client.upstream {
                    let server = self.servers.entry(upstream).or_default();
                    server.attached.insert(session);
                }
            }
            (Method::ResourcesSubscribe, Some(uri)) => {
                client.uris.insert(uri);
            }
            (Method::ResourcesUnsubscribe, Some(uri)) => {
                let is_asked_again = client.open.values().any(|open| {
                    open.method == Method::ResourcesSubscribe && open.uri.as_ref() == Some(&uri)
                });
                if !is_asked_again {
                    client.uris.remove(&uri);
                }
            }
            _others => {}
        }
    }

    /// An answer to what was never taken for a request: it could not be read, or its id was in use.
    fn answer_beside(
        &mut self,
        session: SessionId,
        id: Option<&RequestId>,
        reason: Option<Reason>,
    ) {
        // What came in a batch is answered with the rest of it, whenever that is.
        let mut is_owed = self
            .clients
            .get(&session)
            .is_some_and(|client| client.speaks_batches);
        if let Some(id) = id {
            let doubled = &mut self.step.doubled;
            let of_this = |asked: &Asked| asked.0 == session && asked.1 == *id;
            let at = doubled.iter().position(of_this);
            is_owed |= at.map(|at| doubled.swap_remove(at)).is_some();
            is_owed &= reason == Some(Reason::IdInUse);
            self.refuse_beside(session, id);
        } else {
            let faulty = &mut self.step.faulty;
            let at = faulty.iter().position(|erring| *erring == session);
            is_owed |= at.map(|at| faulty.swap_remove(at)).is_some();
            is_owed &= reason.is_some();
        }
        if !is_owed {
            self.find(
                Invariant::OneOutcome,
                format_args!("{session} is given an answer to {id:?} that it does not wait for"),
            );
        }
    }

    /// A request under an id that was in use is no request. Where its namesake was cancelled and had its
    /// answer already, that shows only now.
    fn refuse_beside(&mut self, session: SessionId, id: &RequestId) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        if client.excused.contains_key(id)
            && let Some(asking) = client.open.remove(id)
        {
            self.step.leaving.push((asking, (session, id.clone())));
        }
    }
}

/// Why we have said "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    IdInUse,
    AnswerTooLong,
    Overloaded,
    /// There is an answer, and it cannot be told.
    Untold,
    Another,
}

/// The error that we answer with.
#[derive(Deserialize)]
struct OwnError<'a> {
    #[serde(borrow)]
    data: OwnData<'a>,
}

#[derive(Deserialize)]
struct OwnData<'a> {
    source: &'a str,
    reason: &'a str,
}

/// Why an error of ours says "no"; `None` for one of somebody else.
pub(super) fn own_reason(frame: &Frame, error: &Span) -> Option<Reason> {
    let text = frame.json(error);
    let data = serde_json::from_str::<OwnError<'_>>(text).ok()?.data;
    match (data.source, data.reason) {
        ("mcpool", "id-in-use") => Some(Reason::IdInUse),
        ("mcpool", "answer-too-long") => Some(Reason::AnswerTooLong),
        ("mcpool", "overloaded") => Some(Reason::Overloaded),
        ("mcpool", "answer-untranslatable" | "lacks-capability") => Some(Reason::Untold),
        ("mcpool", _) => Some(Reason::Another),
        _foreign => None,
    }
}

/// The same of the result of a tool.
fn own_result(frame: &Frame, result: &Span) -> Option<Reason> {
    let meta = frame.member(result, "_meta")?;
    frame.member(&meta.at, REASON).map(|_| Reason::Another)
}
