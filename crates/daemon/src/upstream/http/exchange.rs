//! One request of ours, and all that comes of it.
//!
//! **Invariant:** a request is answered once, by the server or in its place, or whoever waits for this hears
//! that the server is lost, and whether it can have seen the request.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Response, StatusCode, body::Incoming, header};
use mux::Refusal;
use tokio::time;
use wire::{Frame, Message, Method};

use super::{
    again::is_passing,
    answer::relist,
    connection::{Connection, Failure, Unread, next_part, whole},
    mirrors::{Mirror, mirrors_of, tool_of},
    talk::{Rejection, Talk},
};
use crate::{
    link::{NoRoom, Share},
    upstream::{
        rest::{self, HOLD_MAX, Held, Patience},
        sse::{Event, Events},
    },
};

/// So much of an event is kept in any case.
const SMALL_BYTES: usize = 64 << 10;

/// How often in a row it is tried to go on with a stream that broke off.
const RESUMES_MAX: u32 = 5;

/// How long to wait before that, unless the server says otherwise; twice as long each time.
const RESUME_AFTER: Duration = Duration::from_millis(500);

/// The longest such wait of ours.
const RESUME_AFTER_MAX: Duration = Duration::from_secs(10);

/// How long the end of a stream is waited for that has brought the answer.
const END_PATIENCE: Duration = Duration::from_millis(100);

/// What came of a request.
#[derive(Debug)]
pub(super) enum Came {
    /// It is answered, or the answer comes another way. The connection may be used again.
    Done(Option<Connection>),
    /// The server does not know the session.
    Forgotten(Vec<Frame>),
    /// There is no way to the server any more.
    Unreachable(String, Vec<Frame>),
}

/// What came of a response.
enum Heard {
    Done(Option<Connection>),
    Forgotten,
    /// The server has not looked at what is wanted. The words are for a person.
    Rejected(Rejection, String),
    /// It broke off; if it was a stream, this far.
    Lost(String, Option<Events>),
}

/// How a stream of events ended for whoever followed it.
pub(super) enum Followed {
    /// With the answer that was waited for.
    Answered(Bytes, Option<Share>),
    /// The server has said that it tells nothing more by this request.
    Over,
    /// With an answer of which no more is known than that it is one too long, or one without room.
    Unkept(Unread),
    /// Before.
    Broken,
}

/// Posts a request and passes on what comes, to the end.
pub(super) async fn exchange(
    talk: Arc<Talk>,
    frame: Frame,
    mut mirrors: Vec<Mirror>,
    mut idle: Option<Connection>,
    held: Held,
) -> Came {
    let message = bytes_of(&frame);
    let (mut is_repeated, mut is_rejected) = (false, false);
    loop {
        let patience = Patience::of(held.clone());
        let post = talk.post_in_time(message.clone(), &mirrors, idle.take(), patience, |status| {
            may_be_repeated(status, &frame)
        });
        let heard = match post.await {
            Err(Failure::Unmet(why) | Failure::Undelivered(why)) => {
                return Came::Unreachable(why, vec![frame]);
            }
            Err(Failure::Misled(why)) => {
                talk.refuse(&frame, why, false).await;
                return Came::Done(None);
            }
            Err(Failure::Resting(why, left)) => {
                let why = format!("{}: {why}", talk.connector.target);
                talk.refuse_until(&frame, why, false, Some(left)).await;
                return Came::Done(None);
            }
            Err(Failure::Lost(why)) => Heard::Lost(why, None),
            Ok((response, connection)) => hear(&talk, &frame, response, connection).await,
        };
        let (why, events) = match heard {
            Heard::Done(connection) => return Came::Done(connection),
            // It has looked at no more than the session, so nothing was done.
            Heard::Forgotten => return Came::Forgotten(vec![frame]),
            Heard::Rejected(rejection, why) => {
                if !is_rejected && may_do_better(&talk, &frame, rejection, &mut mirrors).await {
                    is_rejected = true;
                    continue;
                }
                talk.refuse(&frame, why, false).await;
                return Came::Done(None);
            }
            Heard::Lost(why, events) => (why, events),
        };
        // In the modern era nothing goes on where it broke off.
        let resumable = events.filter(|events| events.last_id.is_some() && !talk.is_modern());
        if let Some(events) = resumable {
            match resume(&talk, &frame, events).await {
                Heard::Done(connection) => return Came::Done(connection),
                Heard::Forgotten => return Came::Forgotten(Vec::new()),
                Heard::Lost(..) | Heard::Rejected(..) => {}
            }
        }
        // If it is gone, what else is open is lost as well, and the core knows what follows.
        if let Err(why) = talk.connector.connect().await {
            return Came::Unreachable(why.into(), Vec::new());
        }
        let is_read_only = frame.method().is_some_and(Method::is_read_only);
        if !is_read_only || is_repeated {
            let target = &talk.connector.target;
            talk.refuse(&frame, format!("{target}: {why}"), true).await;
            return Came::Done(None);
        }
        is_repeated = true;
    }
}

/// Whether a request that got this status in place of an answer may be sent again. That there were too many (429)
/// says that it was not looked at (RFC 6585, section 4). Whoever says that there is no service now (503) may be
/// something that stands before the server, and has lost the answer of a server that has carried it out.
fn may_be_repeated(status: StatusCode, frame: &Frame) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || frame.method().is_some_and(Method::is_read_only)
}

/// Whether a request that was not looked at is worth being sent again, if need be with other headers.
async fn may_do_better(
    talk: &Talk,
    frame: &Frame,
    rejection: Rejection,
    mirrors: &mut Vec<Mirror>,
) -> bool {
    match (rejection, tool_of(frame)) {
        // It had to be told the version once.
        (Rejection::Version, _) => true,
        (Rejection::Headers, Some(tool)) => {
            let listed = relist(talk, frame).await;
            let mut tools = listed.tools().iter();
            let known = tools.find(|(name, _)| *name == tool);
            let better = mirrors_of(frame, known.map(|(_, params)| &**params));
            let is_other = better != *mirrors;
            *mirrors = better;
            let _ending = talk.lists.send(listed).await;
            is_other
        }
        (Rejection::Headers, None) | (Rejection::NoVersion, _) => false,
    }
}

/// A message as it was written.
pub(super) fn bytes_of(frame: &Frame) -> Bytes {
    match frame.unchanged().pieces() {
        [whole] => whole.clone(),
        several => several.concat().into(),
    }
}

impl Talk {
    /// Passes on a response to a request that is not sent again, whatever that response is.
    pub(super) async fn end(
        &self,
        frame: &Frame,
        response: Response<Incoming>,
        connection: Connection,
    ) -> Came {
        let why = match hear(self, frame, response, connection).await {
            Heard::Done(connection) => return Came::Done(connection),
            Heard::Forgotten => return Came::Forgotten(Vec::new()),
            Heard::Rejected(_, why) => why,
            Heard::Lost(why, _) => format!("{}: {why}", self.connector.target),
        };
        self.refuse(frame, why, false).await;
        Came::Done(None)
    }
}

/// Passes on a response to a request.
async fn hear(
    talk: &Talk,
    frame: &Frame,
    response: Response<Incoming>,
    connection: Connection,
) -> Heard {
    let status = response.status();
    if status == StatusCode::NOT_FOUND && talk.session.is_some() {
        return Heard::Forgotten;
    }
    if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
        // Without a session there is no other way on which an answer may come.
        return if talk.is_modern() {
            Heard::Lost(format!("status {status} in place of an answer"), None)
        } else {
            Heard::Done(None)
        };
    }
    if !status.is_success() {
        return refuse_status(talk, frame, response).await;
    }
    match Form::of(&response) {
        Form::Events => {
            let mut body = response.into_body();
            let events = Events::new(talk.limit);
            match follow_to_answer(talk, frame, &mut body, events).await {
                Heard::Done(None) if is_over(&mut body).await => {
                    Heard::Done(Some(connection.rested()))
                }
                heard @ (Heard::Done(_)
                | Heard::Forgotten
                | Heard::Rejected(..)
                | Heard::Lost(..)) => heard,
            }
        }
        Form::Json => {
            let mut body = response.into_body();
            match whole(&mut body, talk.limit, &talk.room).await {
                Ok((answer, share)) => {
                    pass_on(talk, frame, answer, share).await;
                    Heard::Done(Some(connection.rested()))
                }
                Err(Unread::Broken) => Heard::Lost("the response broke off".to_owned(), None),
                Err(unread) => {
                    talk.answer(frame, &refusal_of(unread, talk.limit)).await;
                    Heard::Done(None)
                }
            }
        }
        Form::Other(kind) => {
            let target = &talk.connector.target;
            let why =
                format!("{target} answered with {kind}, which is no message; is the path right?");
            talk.refuse(frame, why, true).await;
            Heard::Done(None)
        }
    }
}

/// A body that is to be the answer.
async fn pass_on(talk: &Talk, frame: &Frame, answer: Bytes, share: Option<Share>) {
    if is_answer_to(&answer, frame) {
        talk.pass_on(frame, answer, share).await;
    } else {
        let target = &talk.connector.target;
        let why = format!("{target} answered with what is no answer to the request");
        talk.refuse(frame, why, true).await;
    }
}

async fn refuse_status(talk: &Talk, frame: &Frame, response: Response<Incoming>) -> Heard {
    let status = response.status();
    let rest = talk.rest_after(&response);
    let error = talk.error_of(response).await;
    let words = || format!("{}{}", talk.words_of(status, rest), error.words());
    if let Some(rejection) = error.rejection().filter(|_| talk.is_modern()) {
        return Heard::Rejected(rejection, words());
    }
    if let Some(answer) = error.answer_to(frame) {
        talk.voice.say(answer, None).await;
        return Heard::Done(None);
    }
    if talk.is_forgotten(status, &error) {
        return Heard::Forgotten;
    }
    let why = words();
    let maybe_executed = status.is_server_error();
    talk.refuse_until(frame, why, maybe_executed, rest).await;
    Heard::Done(None)
}

/// What is in a response.
pub(super) enum Form {
    Json,
    Events,
    Other(String),
}

impl Form {
    pub(super) fn of(response: &Response<Incoming>) -> Self {
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Form::Json
        } else if essence.eq_ignore_ascii_case("text/event-stream") {
            Form::Events
        } else if essence.is_empty() {
            Form::Other("something of no kind".to_owned())
        } else {
            let clean = |character: &char| !character.is_control();
            Form::Other(essence.chars().filter(clean).take(100).collect())
        }
    }
}

/// Whether there is nothing behind the answer, so that the connection can be used again.
async fn is_over(body: &mut Incoming) -> bool {
    let next = time::timeout(END_PATIENCE, next_part(body)).await;
    matches!(next, Ok(None))
}

async fn follow_to_answer(
    talk: &Talk,
    frame: &Frame,
    body: &mut Incoming,
    mut events: Events,
) -> Heard {
    match follow(talk, Some(frame), body, &mut events).await {
        Followed::Answered(answer, share) => {
            talk.pass_on(frame, answer, share).await;
            Heard::Done(None)
        }
        Followed::Unkept(unread) => {
            talk.answer(frame, &refusal_of(unread, talk.limit)).await;
            Heard::Done(None)
        }
        // Only what listens is taken back by a server.
        Followed::Over => Heard::Done(None),
        Followed::Broken => Heard::Lost(
            "the stream broke off before the answer".to_owned(),
            Some(events),
        ),
    }
}

/// Passes on all messages of a stream but the answer to this request, which comes back.
pub(super) async fn follow(
    talk: &Talk,
    frame: Option<&Frame>,
    body: &mut Incoming,
    events: &mut Events,
) -> Followed {
    let mut share = Share::of(&talk.room);
    let mut found = VecDeque::new();
    while let Some(Ok(part)) = next_part(body).await {
        events.feed(&part, |event| found.push_back(event));
        let held = events.held();
        if held > SMALL_BYTES && share.try_set(held) == Err(NoRoom) {
            return Followed::Unkept(Unread::NoRoom);
        }
        while let Some(event) = found.pop_front() {
            match (event, frame) {
                (Event::Message(message), frame) => {
                    let bearing =
                        frame.map_or(Bearing::Other, |frame| Bearing::of(&message, frame));
                    if bearing == Bearing::Answer {
                        return Followed::Answered(message, Some(share));
                    }
                    talk.say_within(frame, message).await;
                    if bearing == Bearing::EndsListening {
                        return Followed::Over;
                    }
                }
                (Event::TooLong, Some(_)) => return Followed::Unkept(Unread::TooLong),
                (Event::TooLong, None) => {
                    talk.voice.complain(Unread::TooLong.words(talk.limit)).await;
                }
                (Event::Endpoint(_), _) => {}
            }
        }
        share.set(events.held());
        if frame.is_none() {
            talk.standing.heard(events.last_id.as_deref());
        }
    }
    Followed::Broken
}

/// Goes on with a stream that broke off behind an event with an id. What the server has said of other messages is not
/// waited for: an answer that is there already costs it little, and may be there no longer then.
async fn resume(talk: &Talk, frame: &Frame, mut events: Events) -> Heard {
    let (mut failures, mut wanted) = (0, None);
    while failures < RESUMES_MAX {
        let wait = wanted
            .take()
            .map(rest::believed)
            .or(events.retry)
            .unwrap_or(RESUME_AFTER);
        let longer = wait * (1 << failures);
        time::sleep(longer.min(RESUME_AFTER_MAX.max(wait))).await;
        let Ok(response) = talk.listen(events.last_id.as_deref()).await else {
            failures += 1;
            continue;
        };
        let status = response.status();
        if status == StatusCode::NOT_FOUND && talk.session.is_some() {
            return Heard::Forgotten;
        }
        wanted = talk.rest_after(&response);
        if status.is_client_error() && !is_passing(status) || wanted > Some(HOLD_MAX) {
            break;
        }
        if !(status.is_success() && matches!(Form::of(&response), Form::Events)) {
            failures += 1;
            continue;
        }
        failures = 0;
        events.resume();
        match follow_to_answer(talk, frame, &mut response.into_body(), events).await {
            Heard::Lost(_, Some(left)) => events = left,
            other @ (Heard::Done(_)
            | Heard::Forgotten
            | Heard::Rejected(..)
            | Heard::Lost(_, None)) => return other,
        }
    }
    Heard::Lost(
        "the stream broke off and could not be resumed".to_owned(),
        None,
    )
}

/// What a message is to a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bearing {
    /// Its answer.
    Answer,
    /// By it the server takes back that it tells of changes (2026-07-28, `subscriptions/listen`): nothing else that
    /// it cancels is one of our requests.
    EndsListening,
    /// Neither.
    Other,
}

impl Bearing {
    fn of(message: &Bytes, frame: &Frame) -> Self {
        let Ok(said) = Frame::parse(message.clone()) else {
            return Bearing::Other;
        };
        match &said.message {
            Message::Response { .. } if said.id() == frame.id() => Bearing::Answer,
            Message::Notification { method, params, .. }
                if *method == Method::Cancelled
                    && frame.method() == Some(&Method::Listen)
                    && params.request_id.as_ref().map(|(id, _)| id) == frame.id() =>
            {
                Bearing::EndsListening
            }
            Message::Response { .. } | Message::Notification { .. } | Message::Request { .. } => {
                Bearing::Other
            }
        }
    }
}

/// Whether a message is the answer to a request.
pub(super) fn is_answer_to(message: &Bytes, frame: &Frame) -> bool {
    Bearing::of(message, frame) == Bearing::Answer
}

pub(super) fn refusal_of(unread: Unread, limit: usize) -> Refusal {
    match unread {
        Unread::TooLong => Refusal::AnswerTooLong { limit },
        Unread::NoRoom | Unread::Broken => Refusal::AnswerDropped,
    }
}
