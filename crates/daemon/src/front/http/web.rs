//! A request for a WebSocket: checked, granted, and its socket handed to the hub.
//!
//! **Invariant:** what is said over a socket is read only after its request has passed the gate like any other.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    header::{
        CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    http::request::Parts,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::time;
use tungstenite::handshake::derive_accept_key;

use super::{
    Caller, Front, Generation, HttpFault, Place, Visit, Wish,
    comer::Rewound,
    reply::{self, Reply},
    timed::{Busy, Timed},
};
use crate::{
    hub::Input,
    link::{Piece, Socket, Tube},
    tasks,
};

/// What is spoken over a WebSocket here.
const SUBPROTOCOL: &str = "mcp";

/// How long it may take until a response has been written that grants a WebSocket.
const GRANT_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a key as it is sent: sixteen in base64.
const KEY_BYTES: usize = 24;

pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Whether a request is for a WebSocket, at a path where it could be for something else.
pub(super) fn is_wanted(head: &Parts) -> bool {
    head.method == Method::GET && names(&head.headers, &UPGRADE, "websocket")
}

/// Grants a WebSocket, and has the hub begin a session over it.
pub(super) async fn meet(
    (front, busy): (&Front, &Busy),
    head: &Parts,
    place: Place,
    (caller, token): (Caller, Option<Generation>),
    upgrade: OnUpgrade,
) -> Result<Response<Reply>, HttpFault> {
    let accept = check(&head.headers)?;
    let permit = Arc::clone(&front.sessions).try_acquire_owned();
    let permit = permit.map_err(|_| HttpFault::Full)?;
    let (to, mut from) = Tube::to(busy.connection());
    let visit = |place, wish| Visit {
        place,
        found: None,
        caller,
        wish,
        reply: to.clone(),
    };
    let meeting = Input::Visited(Box::new(visit(place.clone(), Wish::Meet)));
    let sent = front.inbox.send(meeting).await;
    sent.map_err(|_| HttpFault::Ending)?;
    match from.recv().await {
        Some(Piece::Done) => {}
        Some(Piece::Refused(denial)) => return Ok(reply::denied(&denial)),
        Some(
            Piece::Begun(_)
            | Piece::Part { .. }
            | Piece::Answer { .. }
            | Piece::Fault(_)
            | Piece::Over
            | Piece::Interlude,
        )
        | None => return Err(HttpFault::Ending),
    }
    let inbox = front.inbox.clone();
    // Its connection is not known to the front any more by then, and to nobody else yet.
    let granting = Arc::clone(&front.grants);
    tasks::spawn("websocket", async move {
        let (socket, early) = match granted(upgrade).await {
            Ok(granted) => granted,
            Err(error) => return tracing::debug!(%error, "a WebSocket has come to nothing"),
        };
        let talk = Visit {
            place,
            found: None,
            caller,
            wish: Wish::Talk(socket, early, permit, token),
            reply: to,
        };
        let _hub_gone = inbox.send(Input::Visited(Box::new(talk))).await;
        drop(granting);
        if let Some(Piece::Refused(denial)) = from.recv().await {
            tracing::debug!(?denial, "a WebSocket has come too late");
        }
    });
    Ok(grant(&accept))
}

/// Whether it is a request for a WebSocket as they are spoken here; what it is answered with.
fn check(headers: &HeaderMap) -> Result<HeaderValue, HttpFault> {
    let is_asked_for =
        names(headers, &UPGRADE, "websocket") && names(headers, &CONNECTION, "upgrade");
    if !is_asked_for || headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(HttpFault::NoWebSocket);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| key.len() == KEY_BYTES) else {
        return Err(HttpFault::bad_request(
            "there is no Sec-WebSocket-Key of 16 bytes",
        ));
    };
    if !offers(headers) {
        return Err(HttpFault::NoSubprotocol);
    }
    let accept = HeaderValue::from_str(&derive_accept_key(key));
    accept.map_err(|_| HttpFault::NoWebSocket)
}

/// Whether the words of a header have this one among them, in whatever case.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|known| known.eq_ignore_ascii_case(word))
}

fn offers(headers: &HeaderMap) -> bool {
    words(headers, &SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == SUBPROTOCOL)
}

fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn grant(accept: &HeaderValue) -> Response<Reply> {
    let mut response = reply::bare(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
    let spoken = HeaderValue::from_static(SUBPROTOCOL);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, spoken);
    response
}

/// The socket, once the response has been written, and what was read behind the request.
async fn granted(upgrade: OnUpgrade) -> io::Result<(Socket, Bytes)> {
    let upgraded = time::timeout(GRANT_PATIENCE, upgrade).await?;
    let (descriptor, early) = taken_apart(upgraded.map_err(io::Error::other)?)?;
    Ok((Socket::web(descriptor)?, early))
}

fn taken_apart(upgraded: Upgraded) -> io::Result<(OwnedFd, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Timed<Rewound>>>();
    let parts = parts.map_err(|_| io::Error::other("it is none of our streams"))?;
    let (stream, unwritten) = parts.io.into_inner().into_parts();
    if !unwritten.is_empty() {
        return Err(io::Error::other(
            "its client has not taken that it is granted",
        ));
    }
    let (comer, unread) = stream.into_parts();
    let early = if unread.is_empty() {
        parts.read_buf
    } else {
        [parts.read_buf, unread].concat().into()
    };
    Ok((comer.into_descriptor()?, early))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a request with these headers: the status of the refusal, or 101.
    fn status(headers: &[(&str, &str)]) -> StatusCode {
        let mut request = hyper::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        match check(&head.headers) {
            Ok(accept) => grant(&accept).status(),
            Err(fault) => fault.status(),
        }
    }

    const ASKS: [(&str, &str); 5] = [
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "other, mcp"),
    ];

    #[test]
    fn a_request_is_granted_that_asks_for_what_is_spoken_here() {
        assert_eq!(status(&ASKS), 101);
        for (at, (name, values)) in [
            ("upgrade", &["h2c", ""][..]),
            ("connection", &["close"]),
            ("sec-websocket-version", &["8", "14", ""]),
            ("sec-websocket-key", &["short", ""]),
            ("sec-websocket-protocol", &["MCP", "mcp2", ""]),
        ]
        .into_iter()
        .enumerate()
        {
            let expected = if at < 3 { 426 } else { 400 };
            let mut without = ASKS.to_vec();
            without.remove(at);
            assert_eq!(status(&without), expected, "without {name}");
            for value in values {
                let mut other = ASKS;
                other[at].1 = value;
                assert_eq!(status(&other), expected, "{name}: {value}");
            }
        }
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_standard() {
        let mut headers = HeaderMap::new();
        for (name, value) in ASKS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let accept = check(&headers).unwrap();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let response = grant(&accept);
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "mcp");
    }
}
