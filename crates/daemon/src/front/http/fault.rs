//! What is said over HTTP to what does not even become a message of a session. Words live here alone.

use std::{borrow::Cow, fmt};

use hyper::StatusCode;
use serde_json::json;
use wire::{Outgoing, RequestId};

/// A request that is refused by the transport.
///
/// Clients go by the status and, some of them, by the code; people read the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpFault {
    /// The request names no host, or several.
    NoHost,
    /// The request is for another host: a page of a browser that was led here, for instance.
    ForeignHost,
    /// A page of a browser has sent the request.
    ForeignOrigin,
    /// Nobody knows who has sent the request, and it brings no token.
    Unauthorized,
    /// There is nothing at this path.
    NoSuchPath,
    /// There is a server at this path, and several are configured.
    NotTheOnlyServer {
        /// Their names.
        names: Vec<String>,
    },
    /// The path does not know the method, or knows it only for a session.
    NoSuchMethod {
        /// What it knows.
        allowed: &'static str,
    },
    /// The path is for WebSockets, and the request asks for none of the kind that there is.
    NoWebSocket,
    /// The client offers no subprotocol that is spoken here.
    NoSubprotocol,
    /// The body of a post is no JSON.
    NotJson,
    /// The client does not take the answers that there are.
    NotAcceptable {
        /// What it would have to take.
        needed: &'static str,
    },
    /// The client speaks a version of the protocol that is not known here.
    UnknownVersion,
    /// Something of the URL or of the headers cannot be understood.
    BadRequest {
        /// What.
        what: Cow<'static, str>,
    },
    /// The request is none that begins a session, and names none.
    NoSession,
    /// No session of this name was ever begun here, or it has ended.
    NoSuchSession,
    /// Somebody listens for the session already.
    AlreadyListening,
    /// Of the stream that the client wants to go on with, nothing is left.
    NothingLeft,
    /// The stream that the client wants to go on with is over, and it has heard all of it.
    HeardAll,
    /// The body is longer than a message may be.
    TooLong,
    /// The body did not come in time.
    TooSlow,
    /// There are as many sessions as there may be, or there is no room for the message.
    Full,
    /// The daemon is ending, or has just begun.
    Ending,
    /// The session cannot be begun, or gone on with, just now.
    NotNow {
        /// Why.
        why: String,
    },
}

impl HttpFault {
    /// This of the URL or of the headers cannot be understood.
    pub(super) fn bad_request(what: impl Into<Cow<'static, str>>) -> Self {
        HttpFault::BadRequest { what: what.into() }
    }

    /// A stable word for programs. Never change one; add another.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            HttpFault::NoHost => "no-host",
            HttpFault::ForeignHost => "foreign-host",
            HttpFault::ForeignOrigin => "foreign-origin",
            HttpFault::Unauthorized => "unauthorized",
            HttpFault::NoSuchPath => "no-such-path",
            HttpFault::NotTheOnlyServer { .. } => "not-the-only-server",
            HttpFault::NoSuchMethod { .. } => "method-not-allowed",
            HttpFault::NoWebSocket => "no-websocket",
            HttpFault::NoSubprotocol => "no-subprotocol",
            HttpFault::NotJson => "not-json",
            HttpFault::NotAcceptable { .. } => "not-acceptable",
            HttpFault::UnknownVersion => "unknown-version",
            HttpFault::BadRequest { .. } => "bad-request",
            HttpFault::NoSession => "no-session",
            HttpFault::NoSuchSession => "no-such-session",
            HttpFault::AlreadyListening => "already-listening",
            HttpFault::NothingLeft => "nothing-left",
            HttpFault::HeardAll => "heard-all",
            HttpFault::TooLong => "body-too-long",
            HttpFault::TooSlow => "body-too-slow",
            HttpFault::Full => "full",
            HttpFault::Ending => "ending",
            HttpFault::NotNow { .. } => "not-now",
        }
    }

    /// The JSON-RPC error code: those that servers customarily use.
    pub(crate) fn code(&self) -> i32 {
        match self {
            HttpFault::NoSuchSession => -32001,
            HttpFault::Full | HttpFault::Ending | HttpFault::NotNow { .. } => -32603,
            HttpFault::NoHost
            | HttpFault::ForeignHost
            | HttpFault::ForeignOrigin
            | HttpFault::Unauthorized
            | HttpFault::NoSuchPath
            | HttpFault::NotTheOnlyServer { .. }
            | HttpFault::NoSuchMethod { .. }
            | HttpFault::NoWebSocket
            | HttpFault::NoSubprotocol
            | HttpFault::NotJson
            | HttpFault::NotAcceptable { .. }
            | HttpFault::UnknownVersion
            | HttpFault::BadRequest { .. }
            | HttpFault::NoSession
            | HttpFault::AlreadyListening
            | HttpFault::NothingLeft
            | HttpFault::HeardAll
            | HttpFault::TooLong
            | HttpFault::TooSlow => -32000,
        }
    }

    /// Whether the same request may do better a little later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            HttpFault::TooSlow | HttpFault::Full | HttpFault::Ending => true,
            HttpFault::NotNow { .. } => true,
            HttpFault::NoHost
            | HttpFault::ForeignHost
            | HttpFault::ForeignOrigin
            | HttpFault::Unauthorized
            | HttpFault::NoSuchPath
            | HttpFault::NotTheOnlyServer { .. }
            | HttpFault::NoSuchMethod { .. }
            | HttpFault::NoWebSocket
            | HttpFault::NoSubprotocol
            | HttpFault::NotJson
            | HttpFault::NotAcceptable { .. }
            | HttpFault::UnknownVersion
            | HttpFault::BadRequest { .. }
            | HttpFault::NoSession
            | HttpFault::NoSuchSession
            | HttpFault::AlreadyListening
            | HttpFault::NothingLeft
            | HttpFault::HeardAll
            | HttpFault::TooLong => false,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            HttpFault::NoHost
            | HttpFault::UnknownVersion
            | HttpFault::BadRequest { .. }
            | HttpFault::NoSubprotocol
            | HttpFault::NoSession
            | HttpFault::NothingLeft => StatusCode::BAD_REQUEST,
            HttpFault::NoWebSocket => StatusCode::UPGRADE_REQUIRED,
            HttpFault::Unauthorized => StatusCode::UNAUTHORIZED,
            HttpFault::ForeignHost | HttpFault::ForeignOrigin => StatusCode::FORBIDDEN,
            HttpFault::NoSuchPath
            | HttpFault::NotTheOnlyServer { .. }
            | HttpFault::NoSuchSession => StatusCode::NOT_FOUND,
            // There is no stream to be had by GET (the transport of 2025-03-26 and later, "Listening for Messages"):
            // clients stop asking for it then, and end none of their own.
            HttpFault::NoSuchMethod { .. } | HttpFault::HeardAll => StatusCode::METHOD_NOT_ALLOWED,
            HttpFault::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            HttpFault::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            HttpFault::AlreadyListening => StatusCode::CONFLICT,
            HttpFault::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            HttpFault::TooSlow => StatusCode::REQUEST_TIMEOUT,
            HttpFault::Full | HttpFault::Ending | HttpFault::NotNow { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The body that goes with it, for the request with this id if it is known which one is refused.
    pub(crate) fn to_response(&self, id: Option<&RequestId>) -> Outgoing {
        let id = id.map_or_else(|| "null".to_owned(), ToString::to_string);
        let error = json!({
            "code": self.code(),
            "message": self.to_string(),
            "data": {
                "source": "mcpool",
                "reason": self.reason(),
                "retryable": self.is_retryable(),
            },
        });
        Outgoing::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpFault::NoHost => f.write_str("the request must have one Host header"),
            HttpFault::ForeignHost => f.write_str("this is not the host that the request is for"),
            HttpFault::ForeignOrigin => f.write_str("pages of a browser are not served"),
            HttpFault::Unauthorized => f.write_str(
                "it is not clear who asks: send `Authorization: Bearer` and the token of the file \
                 `http-token` in mcpool's state folder",
            ),
            HttpFault::NoSuchPath => f.write_str(
                "there is nothing here; servers are at `/mcp/NAME`, or `/ws/NAME` for a WebSocket",
            ),
            HttpFault::NotTheOnlyServer { names } if names.is_empty() => {
                f.write_str("no server is configured; `mcpool add` adds one")
            }
            HttpFault::NotTheOnlyServer { names } => {
                let paths: Vec<String> =
                    names.iter().map(|name| format!("`/mcp/{name}`")).collect();
                let paths = paths.join(", ");
                write!(
                    f,
                    "there are several servers: {paths}, or `/ws/NAME` for a WebSocket"
                )
            }
            HttpFault::NoSuchMethod { allowed } => {
                write!(
                    f,
                    "the method is not allowed here, or only in a session: {allowed}"
                )
            }
            HttpFault::NoWebSocket => {
                f.write_str("a WebSocket of version 13 must be asked for here")
            }
            HttpFault::NoSubprotocol => f.write_str(
                "Bad Request: the header Sec-WebSocket-Protocol must offer the subprotocol `mcp`",
            ),
            HttpFault::NotJson => f.write_str("the Content-Type must be application/json"),
            HttpFault::NotAcceptable { needed } => {
                write!(f, "the Accept header must name {needed}")
            }
            HttpFault::UnknownVersion => {
                f.write_str("Bad Request: this version of the protocol is not supported here")
            }
            HttpFault::BadRequest { what } => write!(f, "Bad Request: {what}"),
            HttpFault::NoSession => f.write_str(
                "Bad Request: the header Mcp-Session-Id is missing; begin with `initialize`",
            ),
            HttpFault::NoSuchSession => f.write_str("Session not found"),
            HttpFault::AlreadyListening => f.write_str("somebody listens for this session already"),
            HttpFault::NothingLeft => f.write_str(
                "Bad Request: nothing is left of the stream that this Last-Event-ID is of",
            ),
            HttpFault::HeardAll => f.write_str(
                "the stream that this Last-Event-ID is of is over, and was heard to its end",
            ),
            HttpFault::TooLong => f.write_str("the message is too long"),
            HttpFault::TooSlow => f.write_str("the body did not come in time"),
            HttpFault::Full => f.write_str("there is no room for it now"),
            HttpFault::Ending => f.write_str("the daemon is ending or just beginning"),
            HttpFault::NotNow { why } => write!(f, "the session cannot be served now: {why}"),
        }
    }
}
