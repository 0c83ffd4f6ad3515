//! Messages of the modern era over HTTP (2026-07-28): each says itself which version it is of and what its sender
//! can do, and its headers say again what the body says.
//!
//! **Invariant:** what the hub gets from here is exactly one request of a version that is served, and its headers
//! agree with it; whatever else comes is answered under its own id, with the status that goes with the error.

mod fault;
mod headers;
mod mirrored;

use std::sync::Arc;

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{HeaderName, HeaderValue},
};
use memchr::memmem;
use mux::{MODERN_VERSION, Refusal, Said, check_method, check_sender, said_version};
use tokio::time;
use wire::{Frame, Kind, Message, Method, Params};

pub(crate) use fault::ModernFault;
pub(crate) use headers::encoded;
pub(crate) use mirrored::{
    Mirroring, Param, check as check_params, headers_of as param_headers, is_annotated, tools_of,
};

use super::{
    Caller, Found, Front, HttpFault, Key, Place, Post,
    events::{COMMENT_INTERVAL, Events},
    hook::{self, Waits},
    presence::{Attendance, Presence, Round},
    reply::{self, Reply, SESSION_ID},
    status,
    timed::{Busy, Stage},
};
use crate::{
    hub::Input,
    link::{Chunk, Denial, NoRoom, Room, Share, Tube, TubeEnd},
};
use fault::Mismatch;
use headers::{Known, ParamHeaders, decoded};

const VERSION_HEADER: Known = Known {
    name: HeaderName::from_static("mcp-protocol-version"),
    written: "MCP-Protocol-Version",
};
const METHOD_HEADER: Known = Known {
    name: HeaderName::from_static("mcp-method"),
    written: "Mcp-Method",
};
const NAME_HEADER: Known = Known {
    name: HeaderName::from_static("mcp-name"),
    written: "Mcp-Name",
};

/// A request of the modern era, on its way to the hub.
#[derive(Debug)]
pub(crate) struct ModernPost {
    pub(crate) place: Place,
    /// The workspace of the place, once that was looked at.
    pub(crate) found: Option<Found>,
    pub(crate) caller: Caller,
    pub(crate) frame: Frame,
    pub(crate) bytes: usize,
    /// What it takes of the room for all until the hub takes it in.
    pub(crate) share: Option<Share>,
    /// The session that it goes on with.
    pub(crate) continues: Option<Key>,
    /// Those that say again what its arguments are; `None` if it need not have any.
    pub(crate) headers: Option<ParamHeaders>,
    pub(crate) presence: Arc<Presence>,
    /// Where the response is made of what comes.
    pub(crate) reply: Tube<Chunk>,
}

impl ModernPost {
    /// Takes room again, as it is to wait for longer.
    pub(crate) fn count_in(&mut self, room: &Arc<Room>) -> Result<(), NoRoom> {
        let mut share = Share::of(room);
        share.try_set(self.bytes)?;
        self.share = Some(share);
        Ok(())
    }
}

/// A request to be handed over.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) frame: Frame,
    pub(super) bytes: usize,
    pub(super) share: Option<Share>,
    pub(super) headers: Option<ParamHeaders>,
    /// What waits for the answer, if that is a hook of an agent.
    pub(super) hook: Option<Waits>,
}

/// Whether the head of a request says that it is of the modern era.
pub(super) fn is_claimed(headers: &HeaderMap) -> bool {
    let version = headers.get(&VERSION_HEADER.name);
    version.is_some_and(|version| is_claimed_by(version, headers))
}

fn is_claimed_by(version: &HeaderValue, headers: &HeaderMap) -> bool {
    // One that nobody knows yet is taken for a later one, but for a session, which has a version.
    version == MODERN_VERSION || !headers.contains_key(&SESSION_ID) && is_later(version)
}

fn is_later(version: &HeaderValue) -> bool {
    let version = version.to_str().unwrap_or_default();
    // Being dates, they sort as text.
    !mux::is_legacy(version) && version > mux::GREETING_VERSION
}

/// Whether a post is of the modern era.
///
/// The body has the first word, and then the version. The other headers are no sign of it beside another version:
/// some clients of older ones send them as well.
pub(super) fn is_modern(headers: &HeaderMap, said: &Said) -> bool {
    let (is_said, is_greeting) = match said {
        Said::One(frame) => (
            is_of_body(frame),
            frame.method() == Some(&Method::Initialize),
        ),
        Said::Batch(frames) => (frames.iter().flatten().any(is_of_body), false),
    };
    if is_said {
        return true;
    }
    if let Some(version) = headers.get(&VERSION_HEADER.name) {
        return is_claimed_by(version, headers);
    }
    headers.contains_key(&METHOD_HEADER.name) && !headers.contains_key(&SESSION_ID) && !is_greeting
}

fn is_of_body(frame: &Frame) -> bool {
    params(frame).is_some_and(|params| params.modern.is_some())
}

fn params(frame: &Frame) -> Option<&Params> {
    match &frame.message {
        Message::Request { params, .. } | Message::Notification { params, .. } => Some(params),
        Message::Response { .. } => None,
    }
}

/// Answers what was posted.
pub(super) async fn answer(
    (front, busy): (&Front, &Busy),
    (place, caller): (Place, Caller),
    headers: &HeaderMap,
    post: Post,
) -> Response<Reply> {
    let Said::One(frame) = post.said else {
        return reply::denied(&ModernFault::NotOneRequest.into());
    };
    let id = frame.id().cloned();
    if let Err(denial) = check(headers, &frame) {
        tracing::debug!(?denial, "refused over HTTP");
        return reply::denied_to(&denial, id.as_ref());
    }
    if frame.kind() == Kind::Notification {
        // This version has none that says anything over HTTP.
        return reply::bare(StatusCode::ACCEPTED);
    }
    let is_call = frame.method() == Some(&Method::ToolsCall);
    let request = Request {
        bytes: post.bytes,
        share: post.share,
        headers: is_call.then(|| ParamHeaders::of(headers)),
        hook: None,
        frame,
    };
    let responded = match begin((front, busy), (place, caller), request).await {
        Ok((from, attendance)) => respond(from, attendance).await,
        Err(fault) => Err(Denial::Transport(fault)),
    };
    busy.is_at(Stage::Written);
    responded.unwrap_or_else(|denial| reply::denied_to(&denial, id.as_ref()))
}

/// Hands a request over, and says where what comes of it comes.
pub(super) async fn begin(
    (front, busy): (&Front, &Busy),
    (place, caller): (Place, Caller),
    request: Request,
) -> Result<(TubeEnd<Chunk>, Attendance), HttpFault> {
    let (to, from) = Tube::to(busy.connection());
    let (attendance, presence) = Attendance::new(front.inbox.clone());
    let id = request.frame.id().cloned();
    let post = ModernPost {
        place,
        found: None,
        caller,
        bytes: request.bytes,
        share: request.share,
        continues: continues(&request.frame),
        headers: request.headers,
        presence: Arc::clone(&presence),
        reply: to,
        frame: request.frame,
    };
    hand_over(front, post).await?;
    busy.is_round(Round {
        presence,
        id,
        hook: request.hook,
    });
    Ok((from, attendance))
}

async fn hand_over(front: &Front, post: ModernPost) -> Result<(), HttpFault> {
    let place = Arc::clone(&front.sessions).try_acquire_owned();
    let place = place.map_err(|_| HttpFault::Full)?;
    let input = Input::Posted(Box::new(post), place);
    front.inbox.send(input).await.map_err(|_| HttpFault::Ending)
}

/// Makes a response of what comes to a request that another program had taken.
pub(super) async fn respond_again(
    from: TubeEnd<Chunk>,
    attendance: Attendance,
    round: &Round,
    busy: &Busy,
) -> Response<Reply> {
    if let Some(waits) = &round.hook {
        let responding = hook::respond(&waits.event, from, attendance, busy);
        return waits.in_time(responding).await.unwrap_or_else(|late| late);
    }
    let responded = respond(from, attendance).await;
    busy.is_at(Stage::Written);
    responded.unwrap_or_else(|denial| reply::denied_to(&denial, round.id.as_ref()))
}

/// Makes a response of what comes.
pub(super) async fn respond(
    mut from: TubeEnd<Chunk>,
    mut attendance: Attendance,
) -> Result<Response<Reply>, Denial> {
    let first = match time::timeout(COMMENT_INTERVAL, from.recv()).await {
        Ok(Some(Chunk::Answer(parcel))) => {
            attendance.is_over();
            return Ok(reply::parcel(status::of_modern(parcel.message()), parcel));
        }
        Ok(Some(Chunk::Refused(denial))) => {
            attendance.is_over();
            return Err(denial);
        }
        // Its session has ended without a word.
        Ok(None) => {
            attendance.is_over();
            return Err(Denial::Transport(HttpFault::Ending));
        }
        Ok(Some(part @ Chunk::Part(_))) => Some(part),
        Err(_long) => None,
    };
    Ok(reply::events(Events::of_request(first, from, attendance)))
}

/// Whether a message is what it must be, and its headers agree with it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "three methods are about something with a name"
)]
fn check(headers: &HeaderMap, frame: &Frame) -> Result<(), Denial> {
    let (method, params) = match &frame.message {
        Message::Request { method, params, .. } => (method, params),
        // What headers it has is not said anywhere.
        Message::Notification { .. } => return Ok(()),
        Message::Response { .. } => return Err(ModernFault::NotOneRequest.into()),
    };
    let version = said_version(frame, params)?;
    agree(headers, &VERSION_HEADER, Some(&version), |text| {
        Ok(text.into())
    })?;
    if *version != *MODERN_VERSION {
        let requested = version.into();
        return Err(Refusal::UnsupportedVersion { requested }.into());
    }
    check_sender(frame, params)?;
    agree(headers, &METHOD_HEADER, Some(method.name()), |text| {
        Ok(text.into())
    })?;
    let named = match method {
        Method::ToolsCall | Method::PromptsGet => Some(&params.name),
        Method::ResourcesRead => Some(&params.uri),
        _others => None,
    };
    if let Some(name) = named {
        let name = name.as_ref().and_then(|span| frame.text(span));
        agree(headers, &NAME_HEADER, name.as_deref(), decoded)?;
    }
    Ok(check_method(method)?)
}

/// Whether a header says what the body says.
fn agree<'h>(
    headers: &'h HeaderMap,
    known: &Known,
    body: Option<&str>,
    read: impl Fn(&'h str) -> Result<std::borrow::Cow<'h, str>, Mismatch>,
) -> Result<(), ModernFault> {
    let header = known.find(headers)?;
    let header = header.map(read).transpose();
    let mismatch = match (header, body) {
        (Err(mismatch), _) => mismatch,
        (Ok(Some(header)), Some(body)) if header == body => return Ok(()),
        (Ok(None), None) => return Ok(()),
        (Ok(Some(_)), Some(_)) => Mismatch::Unequal,
        (Ok(None), Some(_)) => Mismatch::Missing,
        (Ok(Some(_)), None) => Mismatch::Unfounded,
    };
    Err(known.fault(mismatch))
}

/// The session that a request goes on with, as what it sends back says.
fn continues(frame: &Frame) -> Option<Key> {
    let at = params(frame)?.at.as_ref()?;
    // Few have it, and each of the others would be read once more.
    memmem::find(frame.json(at).as_bytes(), b"\"requestState\"")?;
    let state = frame.member(at, "requestState")?;
    let state = frame.text(&state.at)?;
    let (key, _number) = state.strip_prefix(mux::HANDLE_PREFIX)?.split_once('.')?;
    Key::parse(key)
}

#[cfg(test)]
mod tests;
