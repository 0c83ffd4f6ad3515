//! How a conversation begins: with the answer to `initialize`, or with the stream of an old server.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{StatusCode, body::Incoming, header::HeaderValue};
use serde::Deserialize;
use tokio::time;
use wire::Frame;

use super::{
    connection::{Connection, Failure, Unread, next_part, whole},
    exchange::{Followed, Form, bytes_of, follow},
    talk::{SESSION, Talk},
};
use crate::{
    link::Share,
    upstream::sse::{Event, Events},
};

/// How long an old server may take to say where messages go.
const ENDPOINT_PATIENCE: Duration = Duration::from_secs(10);

/// How a conversation has begun.
pub(super) enum Greeting {
    /// The server has answered.
    Greeted {
        session: Option<HeaderValue>,
        version: Option<HeaderValue>,
        answer: Bytes,
        share: Option<Share>,
        idle: Option<Connection>,
    },
    /// It is one of 2024-11-05: messages go to this path, and all that it says comes on this stream.
    Old {
        path: String,
        stream: Box<(Incoming, Events)>,
    },
    /// It cannot be spoken to. The words are for a person.
    Failed(String),
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Greeted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Greeted {
    protocol_version: String,
}

/// Says `initialize`.
pub(super) async fn greet(talk: &Talk, frame: &Frame, idle: Option<Connection>) -> Greeting {
    let target = &talk.connector.target;
    let (response, connection) = match talk.post(bytes_of(frame), idle).await {
        Ok(response) => response,
        Err(Failure::Misled(why)) => return Greeting::Failed(why),
        Err(Failure::Undelivered(why) | Failure::Lost(why)) => {
            return Greeting::Failed(format!("{target}: {why}"));
        }
    };
    let status = response.status();
    if !status.is_success() {
        let is_of_old = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        let error = talk.error_of(response).await;
        if error.is_modern() {
            let words = error.words();
            return Greeting::Failed(format!(
                "{target} knows no `initialize`{words}: it speaks a version that mcpool does not speak with \
                 servers by URL yet"
            ));
        }
        let why = format!("{}{}", talk.words_of(status), error.words());
        if !is_of_old {
            return Greeting::Failed(why);
        }
        return open_old(talk).await.unwrap_or_else(|other| {
            Greeting::Failed(other.map_or(why, |other| format!("{target}: {other}")))
        });
    }
    let session = response.headers().get(&SESSION).cloned();
    let (answer, share, idle) = match Form::of(&response) {
        Form::Events => {
            let mut events = Events::new(talk.limit);
            let mut body = response.into_body();
            match follow(talk, Some(frame), &mut body, &mut events).await {
                Followed::Answered(answer, share) => (answer, share, None),
                Followed::Unkept(_) | Followed::Broken => {
                    return Greeting::Failed(format!("{target} did not answer `initialize`"));
                }
            }
        }
        Form::Json => {
            let mut body = response.into_body();
            match whole(&mut body, talk.limit, &talk.room).await {
                Ok((answer, share)) => (answer, share, Some(connection.rested())),
                Err(Unread::TooLong | Unread::NoRoom | Unread::Broken) => {
                    return Greeting::Failed(format!("{target} did not answer `initialize`"));
                }
            }
        }
        Form::Other(kind) => {
            return Greeting::Failed(format!(
                "{target} answered `initialize` with {kind}, which is no message; is the path right?"
            ));
        }
    };
    Greeting::Greeted {
        session,
        version: version_of(&answer),
        answer,
        share,
        idle,
    }
}

fn version_of(answer: &[u8]) -> Option<HeaderValue> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
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

/// Passes on all that an old server says, until its stream ends.
pub(super) async fn follow_old(talk: Arc<Talk>, stream: Box<(Incoming, Events)>) {
    let (mut body, mut events) = *stream;
    // There is no answer that would end it.
    let _broken = follow(&talk, None, &mut body, &mut events).await;
}
