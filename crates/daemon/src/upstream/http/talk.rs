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
use mux::Refusal;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time;
use wire::{Frame, Kind};

use super::connection::{Connection, Failure, Letter, send, whole};
use crate::{
    link::Room,
    logs::Veil,
    upstream::{connect::Connector, ends::Voice, standing::Standing, words_of},
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
}

impl Talk {
    /// Posts a message.
    pub(super) async fn post(
        &self,
        message: Bytes,
        idle: Option<Connection>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let more = [(header::CONTENT_TYPE, JSON), (header::ACCEPT, BOTH)];
        self.ask(Method::POST, &more, message, idle).await
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

    /// What a status says to a person.
    pub(super) fn words_of(&self, status: StatusCode) -> String {
        words_of(status, &self.connector.target, &self.server)
    }

    /// Answers a request with an error, in the server's place.
    pub(super) async fn refuse(&self, frame: &Frame, why: String, maybe_executed: bool) {
        let is_read_only = frame.method().is_some_and(wire::Method::is_read_only);
        self.answer(
            frame,
            &Refusal::UpstreamRefused {
                server: Arc::clone(&self.server),
                // It may quote what the server was told.
                why: self.veil.over_words(&why),
                maybe_executed: maybe_executed && !is_read_only,
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

    /// Whether it is of a server that knows no handshake (2026-07-28).
    pub(super) fn is_modern(&self) -> bool {
        self.read()
            .is_some_and(|error| (-32_022..=-32_020).contains(&error.code))
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
