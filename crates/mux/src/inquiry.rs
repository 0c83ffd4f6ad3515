//! What a server of the modern era asks, put to a client of the legacy era (2026-07-28, multi-round-trip requests).
//!
//! Such a server answers a request with its questions and is done with it. The client is asked as a legacy
//! server would ask it, and when it has answered, its request goes to the server once more, with the answers.
//! What can be answered without the client is.
//!
//! **Invariant:** a request goes again only behind the answers to all that it was answered with, and not more
//! often than [`ROUNDS_MAX`]. Whatever waits for a client does so for a time.

use alloc::{
    borrow::Cow,
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::{Fault, Frame, Message, Method, Outgoing, RequestId, Span, quoted};

use crate::{
    action::Outbox,
    ask::needed,
    exchange::Claim,
    fact::Fact,
    from_session::cancellation,
    ids::{SessionId, UpstreamId},
    moment::Moment,
    mux::Mux,
    refusal::Refusal,
    root::root,
    scales::Weighed,
    session::{Session, Stage, Whereabouts},
    timers::Timer,
};

/// How often a server may answer one request with questions. The clients' own limits are 8 and 10.
const ROUNDS_MAX: u32 = 8;

/// One request of a client whose server asks before it answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inquiry {
    /// The request as the client has sent it.
    request: Weighed<Frame>,
    rounds: u32,
    /// What the server wants to have back, as JSON.
    state: Option<Box<str>>,
    /// Questions that the client has not answered, by the ids that it sees, with what the server calls them.
    waiting: BTreeMap<u64, Question>,
    /// Answers to the others, by what the server calls them.
    answers: BTreeMap<Box<str>, Box<str>>,
    /// While its client is asked: until when. While nobody is and it does not go yet: when it does.
    #[serde(default)]
    due: Option<Moment>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    /// What the server calls it, as it is written.
    name: Box<str>,
    method: Method,
}

/// What a server asks in place of an answer.
struct Asked<'a> {
    state: Option<&'a str>,
    /// Names, methods and parameters.
    questions: Vec<(String, Method, String)>,
}

impl Inquiry {
    /// Whether its client has something to answer.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it is neither at its server nor on its way there.
    pub(crate) fn rests(&self) -> bool {
        self.waits() || self.due.is_some()
    }

    /// Bytes that are held of it.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.request.len()
    }

    pub(crate) fn weigh_again(&mut self, session: &crate::scales::Scales) {
        self.request.hang_on(session);
    }
}

impl Session {
    /// How many of its requests rest until it has answered something, or for a moment.
    pub(crate) fn asking(&self) -> usize {
        self.inquiries.values().filter(|it| it.rests()).count()
    }

    /// How many questions it has not answered, whoever asks them.
    pub(crate) fn questions(&self) -> usize {
        let inquired: usize = self.inquiries.values().map(|it| it.waiting.len()).sum();
        self.asks.open.len() + inquired
    }

    /// Whether it is asked anything.
    pub(crate) fn is_asked(&self) -> bool {
        self.questions() > 0
    }
}

impl<'a> Asked<'a> {
    fn read(frame: &'a Frame, result: &Span) -> Self {
        let members = frame.members(result).unwrap_or_default();
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let state = find("requestState").map(|state| state.value);
        let asked = find("inputRequests").and_then(|asked| frame.members(&asked.at));
        let questions = asked.unwrap_or_default().into_iter().filter_map(|asked| {
            let members = frame.members(&asked.at)?;
            let find = |name: &str| members.iter().find(|member| member.name == name);
            let method = frame.text(&find("method")?.at)?;
            let params = find("params").map_or("{}", |params| params.value);
            Some((
                asked.written.to_string(),
                Method::from_name(&method),
                params.to_string(),
            ))
        });
        Asked {
            state,
            questions: questions.collect(),
        }
    }

    /// Whether the client has to be asked.
    fn is_for_client(&self) -> bool {
        let mut questions = self.questions.iter();
        questions.any(|(_, method, _)| *method != Method::RootsList)
    }
}

impl Mux {
    /// A server has answered a legacy client's request with questions.
    pub(crate) fn inquire(
        &mut self,
        upstream_id: UpstreamId,
        claim: &Claim,
        request: Option<Weighed<Frame>>,
        (frame, result): (&Frame, &Span),
        out: &mut Outbox,
    ) {
        let asked = Asked::read(frame, result);
        let Some(session) = self.sessions.get_mut(&claim.session) else {
            return;
        };
        let before = session.inquiries.remove(&claim.id);
        let rounds = before.as_ref().map_or(0, |before| before.rounds) + 1;
        // What goes again is what the client has said, with nothing of an earlier round.
        let request = before.map(|before| before.request).or(request);
        let too_many = session.questions() + asked.questions.len() > self.limits.session_asks;
        let refusal = match &request {
            None => Some(Refusal::AnswerDropped),
            Some(_) if rounds > ROUNDS_MAX => Some(Refusal::TooManyRounds),
            Some(_) if too_many => Some(Refusal::Overloaded),
            // It can answer nothing more.
            Some(_) if session.is_ending && asked.is_for_client() => Some(Refusal::InputRefused),
            Some(_) => self.refusal_of_questions(claim.session, &asked),
        };
        let (Some(request), None) = (request, &refusal) else {
            let refusal = refusal.unwrap_or(Refusal::AnswerDropped);
            self.refuse_inquiry(claim, refusal, out);
            return;
        };
        let inquiry = Inquiry {
            request,
            rounds,
            state: asked.state.map(Box::from),
            waiting: BTreeMap::new(),
            answers: BTreeMap::new(),
            due: None,
        };
        self.put_questions(upstream_id, claim, inquiry, asked.questions, out);
    }

    /// A client is not asked. That it is not able to is for its model to know, where a tool was called.
    fn refuse_inquiry(&mut self, claim: &Claim, refusal: Refusal, out: &mut Outbox) {
        let is_of_tool = claim.method == Method::ToolsCall;
        if !is_of_tool || !matches!(refusal, Refusal::NotCapable { .. }) {
            self.refuse(claim.session, &claim.id, claim.line, refusal, out);
            return;
        }
        let answer = tool_error(&refusal, &claim.id);
        out.tell(Fact::Refused {
            session: claim.session,
            refusal,
        });
        self.answer(claim.session, &claim.id, claim.line, answer, out);
    }

    /// Why a client cannot be asked all of this.
    fn refusal_of_questions(&self, session: SessionId, asked: &Asked<'_>) -> Option<Refusal> {
        let session = self.sessions.get(&session)?;
        asked.questions.iter().find_map(|(_, method, params)| {
            if *method == Method::RootsList {
                return None;
            }
            let question = match question(0, method, params) {
                Ok(question) => question,
                // What is no request cannot be put to anybody, and would be waited for without end.
                Err(fault) => return Some(Refusal::AnswerMalformed { fault }),
            };
            let Message::Request { params, .. } = &question.message else {
                return None;
            };
            let is_able = needed(method, params, &question).is_some_and(|it| session.class.has(it));
            (!is_able).then(|| Refusal::NotCapable {
                method: method.clone(),
            })
        })
    }

    fn put_questions(
        &mut self,
        upstream_id: UpstreamId,
        claim: &Claim,
        mut inquiry: Inquiry,
        questions: Vec<(String, Method, String)>,
        out: &mut Outbox,
    ) {
        let asks_nothing = questions.is_empty();
        let mut shown = Vec::new();
        for (name, method, params) in questions {
            if method == Method::RootsList {
                let roots = self.roots_of(claim.session, upstream_id);
                inquiry.answers.insert(name.into(), roots.into());
                continue;
            }
            let Some(session) = self.sessions.get_mut(&claim.session) else {
                return;
            };
            let id = session.asks.issue();
            let question = question(id, &method, &params);
            shown.extend(question.ok().map(|frame| frame.unchanged()));
            let name = name.into();
            inquiry.waiting.insert(id, Question { name, method });
        }
        let Some(session) = self.sessions.get_mut(&claim.session) else {
            return;
        };
        let waits = inquiry.waits();
        inquiry.due = if waits {
            Some(self.now + self.limits.inquiry_patience)
        } else {
            // A server that only wants to be asked again is not asked without a pause.
            asks_nothing.then(|| self.now + self.limits.inquiry_pace)
        };
        let rests = inquiry.rests();
        session
            .open
            .insert(claim.id.clone(), Whereabouts::Asking(claim.line));
        session.inquiries.insert(claim.id.clone(), inquiry);
        for frame in shown {
            self.tell_with(claim.session, Some(claim.line), frame, out);
        }
        if waits {
            // Its answer must be read, whatever else it has said.
            self.resume_if_room(claim.session, out);
        } else if !rests {
            self.ask_again(claim.session, &claim.id, out);
        }
        self.watch_inquiries(claim.session);
    }

    /// Sees to it that those end, or go again, for which it is time.
    fn watch_inquiries(&mut self, session_id: SessionId) {
        let timer = Timer::Inquiry(session_id);
        let session = self.sessions.get(&session_id);
        let due =
            session.and_then(|session| session.inquiries.values().filter_map(|it| it.due).min());
        match due {
            Some(due) => self.timers.set(timer, due),
            None => self.timers.clear(timer),
        }
    }

    /// A client has not answered in time, or a request has rested long enough.
    pub(crate) fn on_inquiry_due(&mut self, session_id: SessionId, out: &mut Outbox) {
        let now = self.now;
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let inquiries = session.inquiries.iter();
        let is_due = |inquiry: &Inquiry| inquiry.due.is_some_and(|due| due <= now);
        let due: Vec<(RequestId, bool)> = inquiries
            .filter(|(_, inquiry)| is_due(inquiry))
            .map(|(id, inquiry)| (id.clone(), inquiry.waits()))
            .collect();
        for (id, waits) in due {
            if waits {
                let after = self.limits.inquiry_patience;
                let refusal = Refusal::InputTookTooLong { after };
                self.end_inquiry(session_id, &id, Some(refusal), out);
            } else {
                self.ask_again(session_id, &id, out);
            }
        }
        self.watch_inquiries(session_id);
    }

    /// The folders of a session, as the answer to `roots/list`.
    fn roots_of(&self, session: SessionId, upstream_id: UpstreamId) -> String {
        let upstream = self.upstreams.get(&upstream_id);
        let bound = upstream.and_then(|upstream| upstream.workspace.clone());
        let session = self.sessions.get(&session);
        let own = || session.and_then(|session| session.opening.workspace.clone());
        let root = bound.or_else(own).map(|workspace| root(&workspace));
        format!(r#"{{"roots":[{}]}}"#, root.unwrap_or_default())
    }

    /// A client has answered; says whether that was a question of this kind.
    pub(crate) fn take_inquired(
        &mut self,
        session_id: SessionId,
        frame: &Frame,
        out: &mut Outbox,
    ) -> bool {
        let Message::Response { id, result, .. } = &frame.message else {
            return false;
        };
        let Some(shown) = id.as_ref().and_then(RequestId::as_number) else {
            return false;
        };
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return false;
        };
        let mut inquiries = session.inquiries.iter_mut();
        let found = inquiries.find_map(|(id, inquiry)| {
            let question = inquiry.waiting.remove(&shown)?;
            Some((id.clone(), inquiry, question))
        });
        let Some((id, inquiry, question)) = found else {
            return false;
        };
        let answer = match result {
            Some(result) => Some(frame.json(result)),
            // Whoever is asked may say no to that, in words.
            None if question.method == Method::ElicitationCreate => Some(r#"{"action":"cancel"}"#),
            None => None,
        };
        let Some(answer) = answer else {
            self.end_inquiry(session_id, &id, Some(Refusal::InputRefused), out);
            return true;
        };
        inquiry.answers.insert(question.name, answer.into());
        if !inquiry.waits() {
            self.ask_again(session_id, &id, out);
            self.watch_inquiries(session_id);
        }
        self.pause_if_enough(session_id, out);
        true
    }

    /// Sends a request again, now that all is answered that its server wanted to know.
    fn ask_again(&mut self, session_id: SessionId, id: &RequestId, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(Whereabouts::Asking(line)) = session.open.get(id).copied() else {
            return;
        };
        let inquiry = session.inquiries.get_mut(id);
        let again = inquiry.and_then(|inquiry| {
            inquiry.due = None;
            inquiry.again()
        });
        match again {
            Some(frame) => self.submit(session_id, line, (frame, Stage::Repeated), out),
            None => self.end_inquiry(session_id, id, Some(Refusal::AnswerDropped), out),
        }
    }

    /// Answers those requests so that wait in this way, as far as this is true of them.
    pub(crate) fn end_inquiries(
        &mut self,
        session_id: SessionId,
        is_over: impl Fn(&Inquiry) -> bool,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get(&session_id) else {
            return;
        };
        let inquiries = session.inquiries.iter();
        let over: Vec<RequestId> = inquiries
            .filter(|(_, inquiry)| is_over(inquiry))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.end_inquiry(session_id, &id, Some(refusal.clone()), out);
        }
    }

    /// A question of an inquiry has an answer that nobody can use: its request is answered so.
    pub(crate) fn end_inquiry_by(
        &mut self,
        session_id: SessionId,
        shown: &RequestId,
        refusal: &Refusal,
        out: &mut Outbox,
    ) {
        let session = self.sessions.get(&session_id);
        let (Some(shown), Some(session)) = (shown.as_number(), session) else {
            return;
        };
        let mut inquiries = session.inquiries.iter();
        let asking = inquiries.find(|(_, inquiry)| inquiry.waiting.contains_key(&shown));
        let Some(id) = asking.map(|(id, _)| id.clone()) else {
            return;
        };
        self.end_inquiry(session_id, &id, Some(refusal.clone()), out);
    }

    /// Nobody wants to know any longer. With a refusal, the request is answered so.
    pub(crate) fn end_inquiry(
        &mut self,
        session_id: SessionId,
        id: &RequestId,
        refusal: Option<Refusal>,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.get_mut(&session_id) else {
            return;
        };
        let Some(Whereabouts::Asking(line)) = session.open.get(id).copied() else {
            return;
        };
        let inquiry = session.inquiries.remove(id);
        self.watch_inquiries(session_id);
        let waiting = inquiry.into_iter().flat_map(|inquiry| inquiry.waiting);
        for shown in waiting.map(|(shown, _)| shown).collect::<Vec<u64>>() {
            let words = cancellation(shown, "its answer is not needed any more");
            self.tell_with(session_id, Some(line), words, out);
        }
        if let Some(refusal) = refusal {
            self.refuse(session_id, id, line, refusal, out);
            return;
        }
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.open.remove(id);
        }
        self.end_unanswered(session_id, line, out);
    }
}

impl Inquiry {
    /// The request with the answers.
    fn again(&self) -> Option<Frame> {
        let Message::Request { params, .. } = &self.request.message else {
            return None;
        };
        let place = params.at.as_ref()?;
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(name, answer)| format!("{}:{answer}", as_written(name)))
            .collect();
        let answers = format!("{{{}}}", answers.join(","));
        let mut with = Vec::from([("inputResponses", answers.as_str())]);
        with.extend(self.state.as_deref().map(|state| ("requestState", state)));
        let edited = self
            .request
            .edited(place, &["inputResponses", "requestState"], &with)?;
        let words = self
            .request
            .rewrite(&mut [(place.clone(), edited.as_bytes())]);
        Frame::parse(Bytes::from(words.to_vec())).ok()
    }
}

/// Where the result of a tool that is a word of ours says why.
pub(crate) const REASON: &str = "mcpool/reason";

/// A refusal as the result of a tool, which models read.
fn tool_error(refusal: &Refusal, id: &RequestId) -> Outgoing {
    let words = quoted(&refusal.to_string());
    let reason = refusal.reason();
    Outgoing::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{words}}}],"isError":true,"_meta":{{"{REASON}":"{reason}"}}}}}}"#
    ))
}

/// The name of a question as JSON. An earlier version may have frozen it without its quotes.
fn as_written(name: &str) -> Cow<'_, str> {
    if name.starts_with('"') {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(quoted(name))
    }
}

/// A question as a legacy server would ask it. One by address has a name there, by which it is settled.
fn question(shown: u64, method: &Method, params: &str) -> Result<Frame, Fault> {
    let whole =
        format!(r#"{{"jsonrpc":"2.0","id":{shown},"method":"{method}","params":{params}}}"#);
    let frame = Frame::parse(Bytes::from(whole))?;
    let Message::Request { params, .. } = &frame.message else {
        return Ok(frame);
    };
    let mode = params.mode.as_ref().and_then(|span| frame.text(span));
    let name = quoted(&format!("mcpool-{shown}"));
    let place = params
        .at
        .clone()
        .filter(|_| mode.as_deref() == Some("url") && params.elicitation_id.is_none());
    let edited = place
        .as_ref()
        .and_then(|place| frame.edited(place, &[], &[("elicitationId", &name)]));
    let (Some(place), Some(edited)) = (place, edited) else {
        return Ok(frame);
    };
    let named: Outgoing = frame.rewrite(&mut [(place, edited.as_bytes())]);
    Frame::parse(Bytes::from(named.to_vec()))
}
