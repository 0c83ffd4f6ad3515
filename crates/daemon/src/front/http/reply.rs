//! Responses: one message, or a stream of them as server-sent events.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
        SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
    },
};
use mux::Refusal;
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, Sleep, sleep_until},
};
use wire::{Outgoing, RequestId};

use super::{
    HttpFault, Key,
    modern::Stream,
    timed::Answering,
    web::{VERSION, WEBSOCKET},
};
use crate::link::{Denial, EventId, Parcel, Piece};

/// How often a stream says that it lives.
pub(super) const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

/// Below this size, in bytes, an event is copied into one piece.
const COPY_BELOW: usize = 4096;

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const FRESH: HeaderValue = HeaderValue::from_static("no-cache, no-transform");

const EVENT_TAIL: &[u8] = b"\n\n";
pub(super) const COMMENT: &[u8] = b": alive\n\n";

/// When to come back for the rest, in milliseconds.
const RETRY: &[u8] = b"retry: 500\n\n";

/// What a response has behind its head.
#[derive(Debug)]
pub(super) struct Reply {
    what: What,
    /// Held for as long as there is any of it.
    answering: Option<Answering>,
}

#[derive(Debug)]
enum What {
    /// So many bytes, in pieces.
    Whole(VecDeque<Bytes>),
    Events(Events),
    Stream(Stream),
}

/// Messages as they come.
#[derive(Debug)]
struct Events {
    from: Receiver<Piece>,
    /// Of the event that is being written.
    pieces: VecDeque<Bytes>,
    /// When to say again that the stream lives.
    due: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Reply {
    fn whole(bytes: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces = bytes.into_iter().filter(|piece| !piece.is_empty());
        Reply {
            what: What::Whole(pieces.collect()),
            answering: None,
        }
    }

    /// Whether it is a stream, whose end nobody knows.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.what, What::Events(_) | What::Stream(_))
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
    let mut response = Response::new(Reply::whole(message.pieces().iter().cloned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The one message that answers.
pub(super) fn answer(parcel: Parcel, begins: Option<Key>) -> Response<Reply> {
    let mut response = json(StatusCode::OK, &parcel.open());
    if let Some(key) = begins
        && let Ok(key) = HeaderValue::from_str(&key.to_text())
    {
        response.headers_mut().insert(SESSION_ID, key);
    }
    response
}

/// What was posted is no message.
pub(super) fn malformed(message: &Outgoing) -> Response<Reply> {
    json(StatusCode::BAD_REQUEST, message)
}

/// Events, the `first` of which is here already.
pub(super) fn events(first: Piece, from: Receiver<Piece>) -> Response<Reply> {
    let mut events = Events {
        from,
        pieces: VecDeque::new(),
        due: Box::pin(sleep_until(Instant::now() + COMMENT_INTERVAL)),
        is_over: false,
    };
    events.take(first);
    as_stream(What::Events(events))
}

/// A stream to which nobody comes back.
pub(super) fn stream(stream: Stream) -> Response<Reply> {
    as_stream(What::Stream(stream))
}

fn as_stream(what: What) -> Response<Reply> {
    let mut response = Response::new(Reply {
        what,
        answering: None,
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, FRESH);
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The rest of a stream whose head was written by somebody else.
pub(super) fn rest_of_events(from: Receiver<Piece>) -> Reply {
    events(Piece::Begun(None), from).into_body()
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
            let status = if matches!(refusal, Refusal::NoSuchServer { .. }) {
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
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

impl Events {
    fn take(&mut self, piece: Piece) {
        match piece {
            // That it has begun is said by the head.
            Piece::Begun(None) => {}
            Piece::Begun(Some(id)) => self
                .pieces
                .push_back(format!("id: {id}\ndata: \n\n").into()),
            Piece::Part { id, parcel } => self.pieces.extend(event(Some(id), &parcel.open())),
            Piece::Answer { id, parcel, .. } => {
                self.pieces.extend(event(Some(id), &parcel.open()));
                self.is_over = true;
            }
            Piece::Interlude => {
                self.pieces.push_back(Bytes::from_static(RETRY));
                self.is_over = true;
            }
            // None of these comes behind the beginning of a stream.
            Piece::Fault(_) | Piece::Done | Piece::Refused(_) | Piece::Over => self.is_over = true,
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                self.due.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
                return Poll::Ready(Some(piece));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.from.poll_recv(context) {
                Poll::Ready(Some(piece)) => self.take(piece),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        std::task::ready!(self.due.as_mut().poll(context));
        self.due.as_mut().reset(Instant::now() + COMMENT_INTERVAL);
        // It has to be watched again.
        context.waker().wake_by_ref();
        Poll::Ready(Some(Bytes::from_static(COMMENT)))
    }
}

/// A message as an event.
pub(super) fn event(id: Option<EventId>, message: &Outgoing) -> Vec<Bytes> {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let head = format!("{id}event: message\ndata: ");
    let bytes = message.len() + head.len() + EVENT_TAIL.len();
    if bytes < COPY_BELOW {
        let mut whole = BytesMut::with_capacity(bytes);
        whole.put_slice(head.as_bytes());
        for piece in message.pieces() {
            whole.put_slice(&one_line(piece));
        }
        whole.put_slice(EVENT_TAIL);
        return vec![whole.freeze()];
    }
    let pieces = message.pieces().iter().map(one_line);
    [Bytes::from(head)]
        .into_iter()
        .chain(pieces)
        .chain([Bytes::from_static(EVENT_TAIL)])
        .collect()
}

/// The end of a line would be the end of an event's line. Within JSON it is a blank like any other.
fn one_line(piece: &Bytes) -> Bytes {
    if memchr::memchr2(b'\r', b'\n', piece).is_none() {
        return piece.clone();
    }
    super::exchange::without_line_ends(piece)
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.what {
            What::Whole(pieces) => Poll::Ready(pieces.pop_front()),
            What::Events(events) => events.poll_frame(context),
            What::Stream(stream) => stream.poll_frame(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.what {
            What::Whole(pieces) => pieces.is_empty(),
            What::Events(events) => events.is_over && events.pieces.is_empty(),
            What::Stream(stream) => stream.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.what {
            What::Whole(pieces) => {
                SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum())
            }
            What::Events(_) | What::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use mux::LineNumber;
    use tokio::sync::mpsc;

    use super::*;
    use crate::link::StreamId;

    async fn next(reply: &mut Reply) -> Option<String> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *reply).poll_frame(context)).await;
        let data = frame?.unwrap().into_data().unwrap();
        Some(String::from_utf8(data.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_says_now_and_then_that_it_lives_and_ends_with_its_sender() {
        let (to, from) = mpsc::channel(1);
        let mut reply = events(Piece::Begun(None), from).into_body();
        let began = Instant::now();
        for _ in 0..3 {
            assert_eq!(next(&mut reply).await.as_deref(), Some(": alive\n\n"));
        }
        assert_eq!(began.elapsed(), 3 * COMMENT_INTERVAL);
        drop(to);
        assert_eq!(next(&mut reply).await, None);
    }

    const ID: EventId = EventId {
        stream: StreamId::LISTENER,
        number: 7,
    };

    #[tokio::test]
    async fn a_client_is_told_where_to_go_on_and_when() {
        let (to, from) = mpsc::channel(1);
        let id = EventId {
            stream: StreamId::of(LineNumber(3)),
            ..ID
        };
        let mut reply = events(Piece::Begun(Some(id)), from).into_body();
        assert_eq!(
            next(&mut reply).await.as_deref(),
            Some("id: 3-7\ndata: \n\n")
        );
        to.try_send(Piece::Interlude).unwrap();
        assert_eq!(next(&mut reply).await.as_deref(), Some("retry: 500\n\n"));
        assert_eq!(next(&mut reply).await, None);
    }

    #[test]
    fn an_event_has_its_message_on_one_line_whatever_its_size() {
        let whole = |message: Outgoing| {
            let bytes: Vec<u8> = event(Some(ID), &message).concat();
            String::from_utf8(bytes).unwrap()
        };
        let head = "id: 0-7\nevent: message\ndata: ";
        let short = Outgoing::from("{\r\"a\":1}".to_owned());
        assert_eq!(whole(short), format!("{head}{{ \"a\":1}}\n\n"));
        let text = "x".repeat(2 * COPY_BELOW);
        let long = Outgoing::from(text.clone());
        assert_eq!(event(Some(ID), &long).len(), 3, "it is not copied");
        assert_eq!(whole(long), format!("{head}{text}\n\n"));
    }

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
