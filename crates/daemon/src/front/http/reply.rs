//! Responses: one message, or a stream of them as server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::{
    Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
        SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
    },
};
use mux::Refusal;
use wire::{Outgoing, Pieces, RequestId};

use super::{
    HttpFault, Key,
    events::Events,
    presence::Attendance,
    timed::Answering,
    web::{VERSION, WEBSOCKET},
};
use crate::link::{Denial, Parcel, Piece, TubeEnd};

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const FRESH: HeaderValue = HeaderValue::from_static("no-cache, no-transform");

/// What a response has behind its head.
#[derive(Debug)]
pub(super) struct Reply {
    what: What,
    /// Held for as long as there is any of it.
    answering: Option<Answering>,
    /// Who has to have all of it.
    attendance: Option<Attendance>,
}

#[derive(Debug)]
enum What {
    /// So many bytes, in pieces.
    Whole(<Pieces as IntoIterator>::IntoIter),
    Events(Events),
}

impl Reply {
    fn whole(bytes: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces = bytes.into_iter().filter(|piece| !piece.is_empty());
        let pieces: Pieces = pieces.collect();
        Reply {
            what: What::Whole(pieces.into_iter()),
            answering: None,
            attendance: None,
        }
    }

    /// Whether it is a stream, whose end nobody knows.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.what, What::Events(_))
    }

    /// Keeps it known, as long as there is any of it, that a request is being answered.
    pub(super) fn with(mut self, answering: Answering) -> Self {
        self.answering = Some(answering);
        self
    }
}

/// Nothing behind the head.
pub(super) fn bare(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::whole([]));
    *response.status_mut() = status;
    response
}

pub(super) fn json(status: StatusCode, message: &Outgoing) -> Response<Reply> {
    in_pieces(status, message.pieces().iter().cloned())
}

/// A message that is counted until it is written.
pub(super) fn parcel(status: StatusCode, parcel: Parcel) -> Response<Reply> {
    in_pieces(status, parcel.into_pieces())
}

/// When whoever hears that this is not now may come again, in seconds.
const SOON: HeaderValue = HeaderValue::from_static("1");

fn in_pieces(status: StatusCode, pieces: impl IntoIterator<Item = Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(pieces));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, SOON);
    }
    response
}

/// The answer that a session begins with, and what that is known by, which somebody waits for.
pub(super) fn greeting(
    answer: Parcel,
    key: Key,
    attendance: Option<Attendance>,
) -> Response<Reply> {
    let mut response = parcel(StatusCode::OK, answer);
    if let Ok(key) = HeaderValue::from_str(&key.to_text()) {
        response.headers_mut().insert(SESSION_ID, key);
        response.body_mut().attendance = attendance;
    }
    response
}

/// What was posted is no message.
pub(super) fn malformed(message: &Outgoing) -> Response<Reply> {
    json(StatusCode::BAD_REQUEST, message)
}

/// Events as they come.
pub(super) fn events(events: Events) -> Response<Reply> {
    let mut response = Response::new(Reply {
        what: What::Events(events),
        answering: None,
        attendance: None,
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, FRESH);
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The rest of a stream whose head was written by somebody else.
pub(super) fn rest_of_events(from: TubeEnd) -> Reply {
    events(Events::of_session(Piece::Begun(None), from)).into_body()
}

/// What is refused.
pub(super) fn denied(denial: &Denial) -> Response<Reply> {
    denied_to(denial, None)
}

/// The same, for the request with this id if there is one.
pub(super) fn denied_to(denial: &Denial, id: Option<&RequestId>) -> Response<Reply> {
    match denial {
        Denial::Transport(fault) => refused_to(fault, id),
        Denial::Message(fault) => json(fault.status(), &fault.to_response(id)),
        Denial::Server(refusal) => {
            let is_nothing = matches!(
                refusal,
                Refusal::NoSuchServer { .. } | Refusal::NoSuchMethod { .. }
            );
            let status = if is_nothing {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::BAD_REQUEST
            };
            json(status, &refusal.to_response(id))
        }
    }
}

pub(super) fn refused(fault: &HttpFault) -> Response<Reply> {
    refused_to(fault, None)
}

fn refused_to(fault: &HttpFault, id: Option<&RequestId>) -> Response<Reply> {
    let status = fault.status();
    let mut response = json(status, &fault.to_response(id));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let HttpFault::NoSuchMethod { allowed } = fault {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if *fault == HttpFault::HeardAll {
        headers.insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    }
    response
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.what {
            What::Whole(pieces) => Poll::Ready(pieces.next()),
            What::Events(events) => events.poll_frame(context),
        };
        if self.is_end_stream()
            && let Some(attendance) = &mut self.attendance
        {
            attendance.is_over();
        }
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.what {
            What::Whole(pieces) => pieces.as_slice().is_empty(),
            What::Events(events) => events.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.what {
            What::Whole(pieces) => {
                let pieces = pieces.as_slice().iter();
                SizeHint::with_exact(pieces.map(|piece| piece.len() as u64).sum())
            }
            What::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_so_to_people_and_programs() {
        let response = refused(&HttpFault::NoSuchSession);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let json = HttpFault::NoSuchSession.to_response(None).to_vec();
        let json = String::from_utf8(json).unwrap();
        assert!(
            json.contains("-32001") && json.contains("Session not found"),
            "{json}"
        );
        let ending = refused(&HttpFault::Ending);
        assert!(ending.headers().contains_key(RETRY_AFTER));
    }
}
