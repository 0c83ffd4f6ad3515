//! How a conversation begins: with the answer to `initialize` or to `server/discover`, or with the stream of an
//! old server.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{StatusCode, body::Incoming, header::HeaderValue};
use serde::Deserialize;
use tokio::{sync::mpsc::Sender, time};
use wire::{Frame, Message};

use super::{
    News,
    answer::{Answer, NoAnswer, answer_in},
    connection::{Connection, Failure, next_part},
    exchange::{Form, bytes_of, follow},
    mirrors::mirrors_of,
    talk::{Rejection, SESSION, Talk},
};
use crate::upstream::{
    rest::{GREETING_HOLD_MAX, Patience},
    sse::{Event, Events},
};

/// How long an old server may take to say where messages go.
const ENDPOINT_PATIENCE: Duration = Duration::from_secs(10);

/// How a conversation has begun.
pub(super) enum Greeting {
    /// The server has answered.
    Greeted {
        session: Option<HeaderValue>,
        version: Option<HeaderValue>,
        answer: Answer,
    },
    /// The same in the modern era.
    Discovered(Answer),
    /// It has answered that it does not speak so.
    Refused(Bytes),
    /// It is one of 2024-11-05: messages go to this path, and all that it says comes on this stream.
    Old {
        path: String,
        stream: Box<(Incoming, Events)>,
    },
    /// It cannot be spoken to. The words are for a person.
    Failed(String),
}

#[derive(Deserialize)]
struct Said {
    result: Option<Greeted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Greeted {
    protocol_version: String,
}

/// How long a `server/discover` is held for a server that has too much to do: less than the core takes for a sign
/// that a server does not know it.
const DISCOVER_HOLD_MAX: Duration = Duration::from_secs(8);

/// Says `initialize`.
pub(super) async fn greet(talk: &Talk, frame: &Frame, idle: Option<Connection>) -> Greeting {
    let (response, connection) = match talk
        .post_in_time(
            bytes_of(frame),
            &[],
            idle,
            Patience::within(GREETING_HOLD_MAX),
            |_| true,
        )
        .await
    {
        Ok(response) => response,
        Err(failure) => return Greeting::unheard(talk, failure),
    };
    let status = response.status();
    if !status.is_success() {
        let rest = talk.rest_after(&response);
        let error = talk.error_of(response).await;
        let why = format!("{}{}", talk.words_of(status, rest), error.words());
        if !may_be_of_version(status) {
            return Greeting::Failed(why);
        }
        if error.is_of_no_handshake()
            && let Some(answer) = error.renamed(frame)
        {
            return Greeting::refused(talk, &answer);
        }
        return open_old(talk).await.unwrap_or_else(|other| match other {
            Some(other) => Greeting::Failed(format!("{}: {other}", talk.connector.target)),
            None => Greeting::refused(talk, &no_such_method(frame, &why)),
        });
    }
    let session = response.headers().get(&SESSION).cloned();
    match answer_in(talk, frame, response, connection).await {
        Ok(answer) => Greeting::Greeted {
            session,
            version: version_of(&answer.bytes),
            answer,
        },
        Err(why) => Greeting::Failed(why.words(talk, "initialize")),
    }
}

/// Says `server/discover`, as to a server of the modern era.
pub(super) async fn discover(talk: &Talk, frame: &Frame, idle: Option<Connection>) -> Greeting {
    let mirrors = mirrors_of(frame, None);
    let (mut idle, mut is_told) = (idle, false);
    loop {
        let patience = Patience::within(DISCOVER_HOLD_MAX);
        let post = talk.post_in_time(bytes_of(frame), &mirrors, idle.take(), patience, |_| true);
        let (response, connection) = match post.await {
            Ok(response) => response,
            Err(failure) => return Greeting::unheard(talk, failure),
        };
        let status = response.status();
        if status.is_success() {
            return match answer_in(talk, frame, response, connection).await {
                Ok(answer) if is_result(&answer.bytes) => Greeting::Discovered(answer),
                Ok(answer) => Greeting::refused(talk, &String::from_utf8_lossy(&answer.bytes)),
                Err(why) => Greeting::Failed(why.words(talk, "server/discover")),
            };
        }
        let rest = talk.rest_after(&response);
        let error = talk.error_of(response).await;
        let why = format!("{}{}", talk.words_of(status, rest), error.words());
        if !may_be_of_version(status) {
            return Greeting::Failed(why);
        }
        if error.rejection() == Some(Rejection::Version) && !is_told {
            is_told = true;
            continue;
        }
        let answer = error.renamed(frame);
        let answer = answer.unwrap_or_else(|| no_such_method(frame, &why));
        return Greeting::refused(talk, &answer);
    }
}

/// Whether a server may answer so because it is of another version of the protocol. That nobody is let in, or
/// that the server is in trouble, says nothing of how it speaks.
fn may_be_of_version(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

/// The answer in place of a server that has none in words of the protocol: there is no such method.
fn no_such_method(frame: &Frame, why: &str) -> String {
    let id = frame
        .id()
        .map_or_else(|| "null".to_owned(), ToString::to_string);
    let why = wire::quoted(why);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":{why}}}}}"#)
}

fn is_result(answer: &Bytes) -> bool {
    let answer = Frame::parse(answer.clone());
    answer.is_ok_and(|answer| {
        matches!(
            answer.message,
            Message::Response {
                result: Some(_),
                ..
            }
        )
    })
}

impl Greeting {
    fn unheard(talk: &Talk, failure: Failure) -> Self {
        Greeting::Failed(match failure {
            Failure::Misled(why) => why,
            other @ (Failure::Unmet(_)
            | Failure::Undelivered(_)
            | Failure::Lost(_)
            | Failure::Resting(..)) => {
                format!("{}: {}", talk.connector.target, other.into_words())
            }
        })
    }

    /// It ends in the error of whoever waits for the start, and may quote what the server was told.
    fn refused(talk: &Talk, answer: &str) -> Self {
        Greeting::Refused(talk.veil.over_words(answer).into())
    }
}

impl NoAnswer {
    fn words(self, talk: &Talk, asked: &str) -> String {
        let target = &talk.connector.target;
        match self {
            NoAnswer::Unread => format!("{target} did not answer `{asked}`"),
            NoAnswer::OtherKind(kind) => format!(
                "{target} answered `{asked}` with {kind}, which is no message; is the path right?"
            ),
        }
    }
}

fn version_of(answer: &[u8]) -> Option<HeaderValue> {
    let answer: Said = serde_json::from_slice(answer).ok()?;
    HeaderValue::from_str(&answer.result?.protocol_version).ok()
}

/// Opens the stream of a server of 2024-11-05, if it is one. An error has words if it is, and cannot be used.
async fn open_old(talk: &Talk) -> Result<Greeting, Option<String>> {
    let response = talk.listen(None).await.map_err(|_| None)?;
    if !(response.status().is_success() && matches!(Form::of(&response), Form::Events)) {
        return Err(None);
    }
    let mut body = response.into_body();
    let mut events = Events::new(talk.limit);
    let mut endpoint = None;
    let named = time::timeout(ENDPOINT_PATIENCE, async {
        while let Some(Ok(part)) = next_part(&mut body).await {
            events.feed(&part, |event| {
                if let Event::Endpoint(place) = event {
                    endpoint.get_or_insert(place);
                }
            });
            if endpoint.is_some() {
                return;
            }
        }
    });
    let _late = named.await;
    let endpoint = endpoint.ok_or(None)?;
    let endpoint = String::from_utf8_lossy(&endpoint);
    let path = talk.connector.target.within(&endpoint).ok_or_else(|| {
        let shown = config::shown_address(&endpoint);
        Some(format!(
            "it wants its messages at another server ({shown}), where nothing is sent that is for this one"
        ))
    })?;
    Ok(Greeting::Old {
        path,
        stream: Box::new((body, events)),
    })
}

/// Has an old server hear `initialize` as well; `None` if nobody waits for that any more.
pub(super) async fn begin_old(
    talk: &Arc<Talk>,
    frame: Frame,
    path: String,
    stream: Box<(Incoming, Events)>,
    news: &Sender<News>,
) -> Option<Greeting> {
    let mut there = Talk::clone(talk);
    there.path.clone_from(&path);
    // What it answers comes on its stream, which has to be followed first.
    let begun = news
        .send(News::Greeted(Greeting::Old { path, stream }))
        .await;
    begun.ok()?;
    match there
        .post_in_time(
            bytes_of(&frame),
            &[],
            None,
            Patience::within(GREETING_HOLD_MAX),
            |_| true,
        )
        .await
    {
        Ok((response, _busy)) if response.status().is_success() => None,
        Ok((response, _busy)) => {
            let rest = there.rest_after(&response);
            Some(Greeting::Failed(there.words_of(response.status(), rest)))
        }
        Err(failure) => Some(Greeting::unheard(talk, failure)),
    }
}

/// Passes on all that an old server says, until its stream ends.
pub(super) async fn follow_old(talk: Arc<Talk>, stream: Box<(Incoming, Events)>) {
    let (mut body, mut events) = *stream;
    // There is no answer that would end it.
    let _broken = follow(&talk, None, &mut body, &mut events).await;
}
