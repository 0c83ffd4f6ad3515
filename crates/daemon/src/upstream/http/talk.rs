//! What all requests of one conversation have in common.
//!
//! **Invariant:** nothing that is for one origin is ever sent to another: neither a redirect nor an endpoint
//! that the server names leads there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use mux::{MODERN_VERSION, Refusal};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{sync::mpsc::Sender, time};
use wire::{Frame, Kind};

use super::{
    connection::{Connection, Failure, Letter, send, whole},
    mirrors::{Listed, Mirror, sift},
};
use crate::{
    launch::RemoteSpec,
    link::{Room, Share},
    logs::Veil,
    upstream::{
        connect::Connector,
        ends::Voice,
        rest::{self, Patience, Rest},
        standing::Standing,
        words_of,
    },
};

/// Places to which a request is led on, at the same origin.
const REDIRECTS_MAX: usize = 3;

/// Bytes of an error's body that are looked at.
const ERROR_BYTES: usize = 64 << 10;

/// Characters of a server's words that are repeated.
const QUOTED_CHARACTERS: usize = 200;

/// How long the end of an error's body is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What does not change from one request to the next.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) connector: Connector,
    /// Path and query that messages are posted to.
    pub(super) path: String,
    /// Those that the user has set, and ours.
    pub(super) headers: HeaderMap,
    /// What the server calls the session.
    pub(super) session: Option<HeaderValue>,
    /// The version that it has answered with.
    pub(super) version: Option<HeaderValue>,
    /// What the server is called here.
    pub(super) server: Arc<str>,
    pub(super) limit: usize,
    pub(super) room: Arc<Room>,
    pub(super) voice: Voice,
    pub(super) standing: Standing,
    /// What it is told and nobody else is.
    pub(super) veil: Veil,
    /// Where it is told what tools the server has named, in the modern era.
    pub(super) lists: Sender<Listed>,
    /// For how long it wants to be left alone.
    pub(super) rest: Rest,
}

/// The headers that every request has.
pub(super) fn headers_of(spec: &RemoteSpec, connector: &Connector) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let key = spec.session_key.as_ref();
    let key = key.map(|key| (key.header.as_str(), key.key.as_str()));
    let own = spec
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.chain(key) {
        let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is no header"))?;
        let value = HeaderValue::from_str(value);
        let mut value =
            value.map_err(|_| format!("the value of the header `{name}` cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let authority = connector.target.authority();
    let host =
        HeaderValue::from_str(&authority).map_err(|_| "the host cannot be sent".to_owned())?;
    headers.insert(header::HOST, host);
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "mcpool/",
            env!("CARGO_PKG_VERSION")
        )));
    Ok(headers)
}

impl Talk {
    /// The same with a server that is spoken to as in the modern era: it gives out no session, and each request
    /// says what it is of.
    pub(super) fn modern(&self, spec: &RemoteSpec) -> Self {
        let mut talk = self.clone();
        talk.version = Some(HeaderValue::from_static(MODERN_VERSION));
        talk.session = None;
        if let Some(key) = spec.session_key.as_ref().filter(|it| it.in_legacy_alone) {
            talk.headers.remove(key.header.as_str());
        }
        talk
    }

    pub(super) fn is_modern(&self) -> bool {
        self.version
            .as_ref()
            .is_some_and(|version| version == MODERN_VERSION)
    }

    /// Posts a message, with the headers that say again what it says.
    pub(super) async fn post(
        &self,
        message: Bytes,
        mirrors: &[Mirror],
        idle: Option<Connection>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let mut more = vec![(header::CONTENT_TYPE, JSON), (header::ACCEPT, BOTH)];
        more.extend_from_slice(mirrors);
        self.ask(Method::POST, &more, message, idle).await
    }

    /// The same as soon as the server may be spoken to. If it has too much to do, the message is posted again when it
    /// says, unless that is too late, or `repeatable` says that it must not.
    pub(super) async fn post_in_time(
        &self,
        message: Bytes,
        mirrors: &[Mirror],
        mut idle: Option<Connection>,
        mut patience: Patience,
        repeatable: impl Fn(StatusCode) -> bool,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        loop {
            let waited = patience.wait(&self.rest).await;
            waited.map_err(|left| Failure::Resting(rest::words(left), left))?;
            let posted = self.post(message.clone(), mirrors, idle.take()).await?;
            let Some(rest) = self.rest_after(&posted.0) else {
                return Ok(posted);
            };
            if !(repeatable(posted.0.status()) && patience.allows(&self.rest, rest)) {
                return Ok(posted);
            }
        }
    }

    /// Takes note of how long the server wants to be left alone.
    pub(super) fn rest_after(&self, response: &Response<Incoming>) -> Option<Duration> {
        let rest = rest::wanted_by(response.status(), response.headers())?;
        self.rest.begin(rest);
        Some(rest)
    }

    /// The same, as the pause before a stream is asked for again: for no longer than a server is left alone.
    pub(super) fn pause_after(&self, response: &Response<Incoming>) -> Option<Duration> {
        self.rest_after(response).map(rest::believed)
    }

    /// Asks for a stream of events, where another broke off if that is said.
    pub(super) async fn listen(
        &self,
        last_event: Option<&str>,
    ) -> Result<Response<Incoming>, Failure> {
        let last_event = last_event.and_then(|id| HeaderValue::from_str(id).ok());
        let mut more = vec![(header::ACCEPT, EVENTS)];
        more.extend(last_event.map(|id| (LAST_EVENT, id)));
        let asked = self.ask(Method::GET, &more, Bytes::new(), None).await;
        asked.map(|(response, _busy)| response)
    }

    /// Says that the session is over.
    pub(super) async fn leave(&self) -> Result<StatusCode, Failure> {
        let asked = self.ask(Method::DELETE, &[], Bytes::new(), None).await;
        asked.map(|(response, _busy)| response.status())
    }

    async fn ask(
        &self,
        method: Method,
        more: &[(HeaderName, HeaderValue)],
        content: Bytes,
        mut idle: Option<Connection>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let mut path = self.path.clone();
        for _ in 0..=REDIRECTS_MAX {
            let request = |letter| self.request(&method, &path, more, letter);
            let (response, connection) =
                send(&self.connector, idle.take(), request, content.clone()).await?;
            if !response.status().is_redirection() {
                return Ok((response, connection));
            }
            path = self.led_to(&response)?;
        }
        let target = &self.connector.target;
        Err(Failure::Misled(format!(
            "{target} leads from one place to the next without an end"
        )))
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        more: &[(HeaderName, HeaderValue)],
        letter: Letter,
    ) -> Request<Letter> {
        let mut request = Request::new(letter);
        *request.method_mut() = method.clone();
        // It was taken out of an address, so it is fit to be in one.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let own = [(SESSION, &self.session), (VERSION, &self.version)];
        for (name, value) in own {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        for (name, value) in more {
            headers.insert(name, value.clone());
        }
        request
    }

    /// Where a redirect leads to that may be followed: to the same origin, with the same method and body.
    fn led_to(&self, response: &Response<Incoming>) -> Result<String, Failure> {
        let status = response.status();
        let target = &self.connector.target;
        let location = response.headers().get(header::LOCATION);
        let location = location
            .and_then(|location| location.to_str().ok())
            .unwrap_or_default();
        let shown = config::shown_address(location);
        let is_repeatable = matches!(
            status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        match target.within(location) {
            Some(path) if is_repeatable => Ok(path),
            Some(_) => Err(Failure::Misled(format!(
                "{target} answered {status}, to {shown}, where a message cannot follow; if that is its \
                 place, write it into `url`"
            ))),
            None => Err(Failure::Misled(format!(
                "{target} answered {status}, to another server ({shown}), where nothing is sent that is for \
                 this one; if that is its place, write it into `url`"
            ))),
        }
    }

    /// What a status says to a person, and how long the server wants to be left alone.
    pub(super) fn words_of(&self, status: StatusCode, rest: Option<Duration>) -> String {
        words_of(status, rest, &self.connector.target, &self.server)
    }

    /// Passes on the answer to a request.
    pub(super) async fn pass_on(&self, frame: &Frame, answer: Bytes, share: Option<Share>) {
        let is_list = self.is_modern() && frame.method() == Some(&wire::Method::ToolsList);
        if !is_list {
            return self.voice.say(answer, share).await;
        }
        let (answer, tools) = sift(answer);
        // First of all: whoever hears of a tool may call it at once.
        let _ending = self.lists.send(Listed::Page(tools)).await;
        self.voice.say(answer, share).await;
    }

    /// Passes on what came on the stream of a request.
    pub(super) async fn say_within(&self, frame: Option<&Frame>, message: Bytes) {
        let request = frame.and_then(|frame| frame.id()?.as_number());
        match request {
            Some(request) => self.voice.say_within(request, message).await,
            None => self.voice.say(message, None).await,
        }
    }

    /// Answers a request with an error, in the server's place.
    pub(super) async fn refuse(&self, frame: &Frame, why: String, maybe_executed: bool) {
        self.refuse_until(frame, why, maybe_executed, None).await;
    }

    /// The same if it may do better after this time.
    pub(super) async fn refuse_until(
        &self,
        frame: &Frame,
        why: String,
        maybe_executed: bool,
        retry_in: Option<Duration>,
    ) {
        let is_read_only = frame.method().is_some_and(wire::Method::is_read_only);
        self.answer(
            frame,
            &Refusal::UpstreamRefused {
                server: Arc::clone(&self.server),
                // It may quote what the server was told.
                why: self.veil.over_words(&why),
                maybe_executed: maybe_executed && !is_read_only,
                retry_in,
            },
        )
        .await;
    }

    /// Answers a request so.
    pub(super) async fn answer(&self, frame: &Frame, refusal: &Refusal) {
        let answer = refusal.to_response(frame.id());
        self.voice.say(Bytes::from(answer.to_vec()), None).await;
    }

    /// Whether this says that the server does not know the session. It should be 404; servers that were made
    /// after the first examples of the usual libraries say 400.
    pub(super) fn is_forgotten(&self, status: StatusCode, error: &ErrorBody) -> bool {
        let says_so = match status {
            StatusCode::NOT_FOUND => true,
            StatusCode::BAD_REQUEST => error.names_a_session(),
            _other => false,
        };
        self.session.is_some() && says_so
    }

    /// What stands in the body of an error.
    pub(super) async fn error_of(&self, response: Response<Incoming>) -> ErrorBody {
        let mut body = response.into_body();
        let read = time::timeout(ERROR_PATIENCE, whole(&mut body, ERROR_BYTES, &self.room)).await;
        match read {
            Ok(Ok((bytes, _share))) => ErrorBody(bytes),
            Ok(Err(_)) | Err(_) => ErrorBody(Bytes::new()),
        }
    }
}

/// The body of a response that is an error.
#[derive(Debug)]
pub(super) struct ErrorBody(Bytes);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

#[derive(Deserialize)]
struct Error {
    code: i64,
    #[serde(default)]
    message: String,
    /// Whatever a server puts there.
    #[serde(default)]
    data: serde_json::Value,
}

/// Why a server of the modern era has not even looked at what a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Its headers do not say what it says, as the server sees that (-32020).
    Headers,
    /// It does not take it in this version, and would in this version (-32022).
    Version,
    /// It does not take it in this version at all.
    NoVersion,
}

impl ErrorBody {
    /// If it is the answer to this request: that, as it stands there.
    pub(super) fn answer_to(&self, frame: &Frame) -> Option<Bytes> {
        let answer = Frame::parse(self.0.clone()).ok()?;
        let is_it = answer.kind() == Kind::Response && answer.id() == frame.id();
        is_it.then(|| self.0.clone())
    }

    fn read(&self) -> Option<Error> {
        let text = str::from_utf8(&self.0).ok()?;
        let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
        serde_json::from_str(envelope.error.get()).ok()
    }

    fn names_a_session(&self) -> bool {
        let text = String::from_utf8_lossy(&self.0).to_ascii_lowercase();
        text.contains("session id") || text.contains("session not found")
    }

    /// Whether it is of a server that knows no handshake (2026-07-28), or not this one.
    pub(super) fn is_of_no_handshake(&self) -> bool {
        self.read()
            .is_some_and(|error| matches!(error.code, -32_022..=-32_020 | -32_601))
    }

    /// Why a server of the modern era has not looked at a request, if it says so.
    pub(super) fn rejection(&self) -> Option<Rejection> {
        let error = self.read()?;
        let supported = error.data["supported"].as_array();
        let knows_ours = supported.is_some_and(|all| all.iter().any(|it| it == MODERN_VERSION));
        match error.code {
            -32_020 => Some(Rejection::Headers),
            -32_022 if knows_ours => Some(Rejection::Version),
            -32_022 => Some(Rejection::NoVersion),
            _other => None,
        }
    }

    /// The same error as the answer to this request, whatever it was the answer to.
    pub(super) fn renamed(&self, frame: &Frame) -> Option<String> {
        let text = str::from_utf8(&self.0).ok()?;
        let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
        let (id, error) = (frame.id()?, envelope.error);
        Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))
    }

    /// What it says, fit to be shown, behind a colon; nothing if it says nothing.
    pub(super) fn words(&self) -> String {
        let said = self.read().map(|error| error.message).unwrap_or_default();
        let clean: String = said
            .chars()
            .filter(|character| !character.is_control())
            .take(QUOTED_CHARACTERS)
            .collect();
        if clean.is_empty() {
            clean
        } else {
            format!(" (\"{clean}\")")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: &str) -> ErrorBody {
        ErrorBody(format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#).into())
    }

    #[test]
    fn why_a_request_was_not_looked_at_stands_in_its_error_whatever_else_does() {
        for (error, rejection) in [
            (
                r#"{"code":-32020,"message":"no"}"#,
                Some(Rejection::Headers),
            ),
            (
                r#"{"code":-32022,"data":{"supported":["2027-01-01","2026-07-28"]}}"#,
                Some(Rejection::Version),
            ),
            (
                r#"{"code":-32022,"data":{"supported":["2025-11-25"]}}"#,
                Some(Rejection::NoVersion),
            ),
            (
                r#"{"code":-32022,"data":"none"}"#,
                Some(Rejection::NoVersion),
            ),
            (r#"{"code":-32601,"data":[1]}"#, None),
        ] {
            assert_eq!(said(error).rejection(), rejection, "{error}");
            assert!(said(error).is_of_no_handshake(), "{error}");
        }
        assert_eq!(said(r#"{"code":-32000,"data":{}}"#).rejection(), None);
        assert!(!said(r#"{"code":-32000,"data":"x"}"#).is_of_no_handshake());
    }

    #[test]
    fn an_error_becomes_the_answer_to_what_was_asked() {
        let frame = Bytes::from_static(br#"{"jsonrpc":"2.0","id":7,"method":"initialize"}"#);
        let frame = Frame::parse(frame).unwrap();
        let error = r#"{"code":-32601, "message":"no"}"#;
        let renamed = said(error).renamed(&frame).unwrap();
        assert_eq!(
            renamed,
            format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error}}}"#)
        );
        assert_eq!(
            ErrorBody(Bytes::from_static(b"<html>")).renamed(&frame),
            None
        );
    }
}
