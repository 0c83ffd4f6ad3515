//! One request that has passed the gate, and its response.

use std::{convert::Infallible, fmt, pin::Pin, sync::Arc, task::Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame as BodyFrame};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue},
    http::request::Parts,
    upgrade::OnUpgrade,
};
use mux::{Refusal, Said};
use wire::{Fault, Frame, Kind, Method as Asked};

use super::{
    Caller, Front, Generation, HttpFault, Key, Place, Post, Visit, Wish,
    events::Events,
    gate::{self, Passed, Peer, only},
    hook::{self, Hook},
    modern,
    place::place,
    presence::Attendance,
    reply::{self, Reply, SESSION_ID},
    routes::{Admits, What},
    status,
    timed::{Busy, Stage},
    web,
};
use crate::{
    hub::Input,
    link::{EventId, Piece, Share, Tube, TubeEnd},
};

/// Longest body, in bytes, that is read where nobody wants one.
const DISCARDED_BYTES: usize = 16 << 10;

/// Below this many bytes a body is not counted: there is little of it, and often.
const UNCOUNTED_BYTES: usize = 4 << 10;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const POST_ACCEPTS: &str = "both application/json and text/event-stream";
const GET_ACCEPTS: &str = "text/event-stream";

/// What nearly all clients accept, in these words, which is all that we ever send. To compare them whole is a tenth of
/// what it is to take them apart with each request.
const USUALLY_ACCEPTED: &str = "application/json, text/event-stream";

/// What has become of a request that has come whole.
enum Received {
    /// It has its response.
    Answered(Box<Response<Reply>>),
    /// It is at the hub: the response is made of what comes from there.
    AtTheHub(TubeEnd),
}

impl From<Response<Reply>> for Received {
    fn from(response: Response<Reply>) -> Self {
        Received::Answered(Box::new(response))
    }
}

/// Answers a request. Whoever is known by it is so with this token, if it is by one.
///
/// Much is known of a request that comes, and little of one that waits for its answer. The first is in a box that has
/// mostly gone when the next request is looked at, so that its room is used by all in turn and stays in the
/// processor's cache; what a thousand requests that wait take of that counts.
pub(super) fn respond(
    front: Arc<Front>,
    known: (Peer, Option<Arc<str>>),
    request: Request<Incoming>,
    (busy, is_known): (Busy, impl FnOnce(Option<Generation>)),
) -> impl Future<Output = Result<Response<Reply>, Infallible>> {
    let answering = busy.begin();
    let is_unchunked = request.version() != Version::HTTP_11;
    let receiving = Box::pin(receive(front, known, request, (busy.clone(), is_known)));
    async move {
        let received = receiving.await;
        let responded = match received {
            Ok(Received::Answered(response)) => Ok(*response),
            Ok(Received::AtTheHub(from)) => answer(&busy, from).await.inspect_err(|fault| {
                // Where it was for is not kept while it waits.
                tracing::debug!(reason = fault.reason(), "not answered over HTTP");
            }),
            Err(fault) => Err(fault),
        };
        busy.is_at(Stage::Written);
        let mut response = responded.unwrap_or_else(|fault| reply::refused(&fault));
        if busy.course().has_body {
            // Nobody is to take the rest of it for the next request.
            busy.is_last(is_unchunked);
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if response.body().is_stream() {
            busy.is_at(Stage::Streams);
        }
        Ok(response.map(|reply| reply.with(answering)))
    }
}

/// Takes a request in.
async fn receive(
    front: Arc<Front>,
    (peer, only): (Peer, Option<Arc<str>>),
    mut request: Request<Incoming>,
    (busy, is_known): (Busy, impl FnOnce(Option<Generation>)),
) -> Result<Received, HttpFault> {
    // There is none unless it is asked for.
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    if is_last(&head) {
        busy.is_last(head.version != Version::HTTP_11);
    }
    busy.has_body(!body.is_end_stream());
    let served = match pass(&front, &head, peer, is_known) {
        Ok(passed) => serve((&front, &busy), &head, (&passed, only), (body, upgrade)).await,
        Err(fault) => Err(fault),
    };
    served.inspect_err(|fault| {
        tracing::debug!(
            path = head.uri.path(),
            reason = fault.reason(),
            "refused over HTTP"
        );
    })
}

/// Lets a request pass the gate.
fn pass<'r>(
    front: &Front,
    head: &'r Parts,
    peer: Peer,
    is_known: impl FnOnce(Option<Generation>),
) -> Result<Passed<'r>, HttpFault> {
    let passed = front.gate.check(head, peer)?;
    match passed.route.admits {
        // Who that is was not asked.
        Admits::Everybody => {}
        Admits::TheKnown => is_known(passed.token),
    }
    // Who watches for another token knows of this one by now, or it was too late for that.
    let counts = front.gate.token().generation();
    if passed.token.is_some_and(|token| token != counts) {
        return Err(HttpFault::Unauthorized);
    }
    Ok(passed)
}

/// Whether nothing comes behind this request on its connection.
fn is_last(head: &Parts) -> bool {
    let closes = head.headers.get_all(CONNECTION).iter().any(|value| {
        let value = value.to_str().unwrap_or_default();
        value
            .split(',')
            .any(|word| word.trim().eq_ignore_ascii_case("close"))
    });
    closes || head.version != Version::HTTP_11
}

async fn serve(
    (front, busy): (&Front, &Busy),
    head: &Parts,
    (passed, only): (&Passed<'_>, Option<Arc<str>>),
    (body, upgrade): (Incoming, OnUpgrade),
) -> Result<Received, HttpFault> {
    let body = if head.method == Method::POST {
        Some(body)
    } else {
        if !body.is_end_stream() {
            Box::pin(discard(busy, body)).await?;
        }
        busy.has_body(false);
        None
    };
    let (server, is_web) = match passed.route.what {
        What::Health => return Ok(reply::bare(StatusCode::OK).into()),
        What::Hook => {
            let from = (passed.name, passed.caller);
            // It knows no other method.
            let body = body.ok_or(HttpFault::NoSuchMethod { allowed: "POST" })?;
            let posted = Box::pin(post_hook((front, busy), head, from, body)).await;
            return posted.map(Received::from);
        }
        What::OnlyServer => (only, web::is_wanted(head)),
        What::Server => (Some(Arc::from(passed.name)), web::is_wanted(head)),
        What::OnlyServerWeb => (only, true),
        What::ServerWeb => (Some(Arc::from(passed.name)), true),
    };
    let place = place(server, &head.uri, &head.headers)?;
    if is_web {
        let known = (passed.caller, passed.token);
        let met = Box::pin(web::meet((front, busy), head, place, known, upgrade)).await;
        return met.map(Received::from);
    }
    let mut errand = Errand {
        front,
        busy,
        place,
        caller: passed.caller,
        key: None,
    };
    if let Some(body) = body {
        return errand.post(head, body).await;
    }
    if modern::is_claimed(&head.headers) {
        return Err(HttpFault::NoSuchMethod { allowed: "POST" });
    }
    errand.key = key_of_session(&head.headers)?;
    let answered = if head.method == Method::GET {
        Box::pin(errand.listen(&head.headers)).await
    } else {
        Box::pin(errand.leave()).await
    };
    answered.map(Received::from)
}

/// An event of an agent, for the tool that the URL names.
async fn post_hook(
    (front, busy): (&Front, &Busy),
    head: &Parts,
    (event, caller): (&str, Caller),
    body: Incoming,
) -> Result<Response<Reply>, HttpFault> {
    let hook = Hook::of(event, &head.uri)?;
    let place = place(None, &head.uri, &head.headers)?;
    let errand = Errand {
        front,
        busy,
        place,
        caller,
        key: None,
    };
    let waits = hook.waits();
    let answered = waits.in_time(async {
        let (bytes, _share) = errand.read(head, body).await?;
        hook::answer(
            (front, busy),
            (hook, &waits),
            (errand.place, caller),
            &bytes,
        )
        .await
    });
    answered.await.unwrap_or_else(Ok)
}

/// What a request is about.
struct Errand<'a> {
    front: &'a Front,
    /// How far it is.
    busy: &'a Busy,
    place: Place,
    caller: Caller,
    key: Option<Key>,
}

impl Errand<'_> {
    async fn post(mut self, head: &Parts, body: Incoming) -> Result<Received, HttpFault> {
        if !accepts(&head.headers, &["application/json", "text/event-stream"]) {
            return Err(HttpFault::NotAcceptable {
                needed: POST_ACCEPTS,
            });
        }
        let (bytes, share) = self.read(head, body).await?;
        let said = match self.parse(&bytes) {
            Ok(said) => said,
            Err(fault) => {
                let words = Refusal::Malformed { fault }.to_response(None);
                return Ok(reply::malformed(&words).into());
            }
        };
        let post = Post {
            said,
            bytes: bytes.len(),
            share,
        };
        drop(bytes);
        if modern::is_modern(&head.headers, &post.said) {
            let from = (self.place, self.caller);
            let answer = modern::answer((self.front, self.busy), from, &head.headers, post);
            return Ok(Box::pin(answer).await.into());
        }
        self.key = key_of_session(&head.headers)?;
        if let Some(key) = self.key {
            let from = self.send(Wish::Say(key, post)).await?;
            return Ok(Received::AtTheHub(from));
        }
        if !is_initialize(&post.said) {
            return Err(HttpFault::NoSession);
        }
        let begun = Box::pin(self.begin(post)).await;
        begun.map(Received::from)
    }

    /// A session begins with this.
    async fn begin(self, post: Post) -> Result<Response<Reply>, HttpFault> {
        let (front, busy) = (self.front, self.busy);
        let place = Arc::clone(&front.sessions).try_acquire_owned();
        let place = place.map_err(|_| HttpFault::Full)?;
        let (attendance, presence) = Attendance::new(front.inbox.clone());
        busy.is_beginning(Arc::clone(&presence));
        let from = self.send(Wish::Begin(post, place, presence)).await?;
        greet(busy, from, Some(attendance)).await
    }

    async fn listen(self, headers: &HeaderMap) -> Result<Response<Reply>, HttpFault> {
        let Some(key) = self.key else {
            return Err(HttpFault::NoSuchMethod { allowed: "POST" });
        };
        if !accepts(headers, &["text/event-stream"]) {
            return Err(HttpFault::NotAcceptable {
                needed: GET_ACCEPTS,
            });
        }
        let last = only(headers, &LAST_EVENT_ID).map_err(|_several| HttpFault::NothingLeft)?;
        let wish = match last {
            None => Wish::Listen(key),
            Some(last) => {
                let last = last.to_str().ok().and_then(EventId::parse);
                Wish::Resume(key, last.ok_or(HttpFault::NothingLeft)?)
            }
        };
        let busy = self.busy;
        let mut from = self.send(wish).await?;
        let first = from.recv().await;
        busy.is_at(Stage::Written);
        match first {
            Some(Piece::Refused(denial)) => Ok(reply::denied(&denial)),
            Some(first) => Ok(reply::events(Events::of_session(first, from))),
            None => Err(HttpFault::NoSuchSession),
        }
    }

    async fn leave(self) -> Result<Response<Reply>, HttpFault> {
        let Some(key) = self.key else {
            return Err(HttpFault::NoSession);
        };
        let mut from = self.send(Wish::Leave(key)).await?;
        match from.recv().await {
            Some(Piece::Refused(denial)) => Ok(reply::denied(&denial)),
            Some(_done) => Ok(reply::bare(StatusCode::OK)),
            None => Err(HttpFault::NoSuchSession),
        }
    }

    async fn send(self, wish: Wish) -> Result<TubeEnd, HttpFault> {
        // Nothing is made that would have to be kept while this waits.
        let permit = self.front.inbox.reserve().await;
        let permit = permit.map_err(|_| HttpFault::Ending)?;
        let (reply, from) = Tube::to(self.busy.connection());
        self.busy.is_of(self.key);
        let visit = Visit {
            place: self.place,
            found: None,
            caller: self.caller,
            wish,
            reply,
        };
        permit.send(Input::Visited(Box::new(visit)));
        self.busy.is_at(Stage::AtTheHub);
        Ok(from)
    }

    /// The whole body, as long as a message may be, and its place in memory.
    async fn read(
        &self,
        head: &Parts,
        mut body: Incoming,
    ) -> Result<(Bytes, Option<Share>), HttpFault> {
        let limit = self.front.message_bytes;
        let announced = head.headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(HttpFault::TooLong);
        }
        let mut share = Share::of(&self.front.room);
        let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
        loop {
            let Some(frame) = next_frame(self.busy, &mut body).await else {
                break;
            };
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let length = first.len() + whole.len() + data.len();
            if length > limit {
                return Err(HttpFault::TooLong);
            }
            if length > UNCOUNTED_BYTES {
                share.try_set(length).map_err(|_| HttpFault::Full)?;
            }
            if first.is_empty() && whole.is_empty() {
                first = data;
                continue;
            }
            if whole.is_empty() {
                whole.reserve(announced.unwrap_or(length).max(length));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
        self.busy.has_body(false);
        let bytes = if whole.is_empty() {
            first
        } else {
            whole.freeze()
        };
        // A server is written to line by line.
        let bytes = if memchr::memchr2(b'\r', b'\n', &bytes).is_some() {
            without_line_ends(&bytes)
        } else {
            bytes
        };
        let share = Some(share).filter(|share| share.bytes() > 0);
        Ok((bytes, share))
    }

    fn parse(&self, bytes: &Bytes) -> Result<Said, Fault> {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[')
            && let Some(frames) = Frame::parse_batch(bytes, self.front.batch_messages)
        {
            return Ok(Said::Batch(frames));
        }
        Ok(Said::One(Frame::parse(bytes.clone())?))
    }
}

/// Reads what stands where nothing has a meaning, up to a length.
async fn discard(busy: &Busy, mut body: Incoming) -> Result<(), HttpFault> {
    let mut length = 0;
    while let Some(frame) = next_frame(busy, &mut body).await {
        length += frame?.into_data().map_or(0, |data| data.len());
        if length > DISCARDED_BYTES {
            return Err(HttpFault::TooLong);
        }
    }
    Ok(())
}

/// What comes next of a body, as long as that does not take too long.
async fn next_frame(
    busy: &Busy,
    body: &mut Incoming,
) -> Option<Result<BodyFrame<Bytes>, HttpFault>> {
    std::future::poll_fn(|context| {
        let next = Pin::new(&mut *body).poll_frame(context);
        if next.is_pending() && busy.has_become_too_slow() {
            return Poll::Ready(Some(Err(HttpFault::TooSlow)));
        }
        next.map(|frame| {
            frame.map(|frame| frame.map_err(|_| HttpFault::bad_request("the body is cut off")))
        })
    })
    .await
}

/// The response to a post of a session that is at the hub.
pub(super) async fn answer(busy: &Busy, mut from: TubeEnd) -> Result<Response<Reply>, HttpFault> {
    let first = from.recv().await;
    busy.is_at(Stage::Written);
    match first {
        Some(Piece::Answer { parcel, .. }) => {
            Ok(reply::parcel(status::of_legacy(parcel.message()), parcel))
        }
        Some(first) => Ok(other_than_answer(first, from)),
        // The session has ended meanwhile.
        None => Err(HttpFault::NoSuchSession),
    }
}

/// The response to a post that begins a session. What that is known by stands in the head, so there is none before
/// there is an answer; and if it cannot be given out, nobody can go on with the session.
pub(super) async fn greet(
    busy: &Busy,
    mut from: TubeEnd,
    attendance: Option<Attendance>,
) -> Result<Response<Reply>, HttpFault> {
    let first = from.recv().await;
    busy.is_at(Stage::Written);
    match first {
        Some(Piece::Answer {
            parcel,
            begins: Some(beginning),
            ..
        }) => {
            let key = beginning.comes().await;
            Ok(reply::greeting(parcel, key, attendance))
        }
        // What has gone wrong: nothing begins.
        Some(Piece::Answer { parcel, .. }) => {
            Ok(reply::parcel(status::of_legacy(parcel.message()), parcel))
        }
        Some(first) => Ok(other_than_answer(first, from)),
        // All sessions are about to end.
        None => Err(HttpFault::Ending),
    }
}

/// The response to a post, as its first piece is no answer.
fn other_than_answer(first: Piece, from: TubeEnd) -> Response<Reply> {
    match first {
        Piece::Fault(parcel) => reply::parcel(StatusCode::BAD_REQUEST, parcel),
        Piece::Done => reply::bare(StatusCode::ACCEPTED),
        Piece::Refused(denial) => reply::denied(&denial),
        first @ (Piece::Begun(_)
        | Piece::Part { .. }
        | Piece::Answer { .. }
        | Piece::Over
        | Piece::Interlude) => reply::events(Events::of_session(first, from)),
    }
}

/// The same JSON on one line: where an end of a line may stand, a blank may.
pub(super) fn without_line_ends(bytes: &Bytes) -> Bytes {
    let on_one_line = bytes.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    });
    on_one_line.collect()
}

fn is_initialize(said: &Said) -> bool {
    match said {
        Said::One(frame) => {
            frame.kind() == Kind::Request && frame.method() == Some(&Asked::Initialize)
        }
        Said::Batch(_) => false,
    }
}

/// Versions with a handshake. Some clients send none.
fn check_version(headers: &HeaderMap) -> Result<(), HttpFault> {
    let version = only(headers, &VERSION).map_err(|_several| HttpFault::UnknownVersion)?;
    if version.is_some_and(|version| !mux::is_legacy(version.to_str().unwrap_or_default())) {
        return Err(HttpFault::UnknownVersion);
    }
    Ok(())
}

/// The key of the session that a request is for, of a version that has sessions.
fn key_of_session(headers: &HeaderMap) -> Result<Option<Key>, HttpFault> {
    check_version(headers)?;
    let key = only(headers, &SESSION_ID)
        .map_err(|_several| HttpFault::bad_request("there is more than one session id"))?;
    let Some(key) = key else {
        return Ok(None);
    };
    // What is none of ours was never given out.
    let key = key.to_str().ok().and_then(Key::parse);
    key.map(Some).ok_or(HttpFault::NoSuchSession)
}

/// Whether all of these kinds are taken.
fn accepts(headers: &HeaderMap, kinds: &[&str]) -> bool {
    if headers
        .get(ACCEPT)
        .is_some_and(|value| value == USUALLY_ACCEPTED)
    {
        return true;
    }
    kinds.iter().all(|kind| {
        let values = headers.get_all(ACCEPT).iter();
        let mut ranges = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        ranges.any(|range| covers(gate::bare(range), kind.as_bytes()))
    })
}

/// Whether a kind is in this range of kinds.
fn covers(range: &[u8], kind: &[u8]) -> bool {
    let is_of = |family: &[u8]| {
        let (of_kind, rest) = kind.split_at_checked(family.len()).unwrap_or_default();
        rest.starts_with(b"/") && of_kind.eq_ignore_ascii_case(family)
    };
    gate::is_kind(range, kind) || range == b"*/*" || range.strip_suffix(b"/*").is_some_and(is_of)
}

impl fmt::Debug for Errand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errand({:?})", self.place)
    }
}

#[cfg(test)]
mod tests;
