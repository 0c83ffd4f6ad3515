//! An event sent to a daemon that takes hooks over WebSockets, in the way of mcp-proxy: at `/hook`, as the
//! request `hook/EVENT`, or as a notification of that name.

use std::io;

use tungstenite::{
    Error, HandshakeError, Message, WebSocket,
    client::{IntoClientRequest as _, client_with_config},
    error::{ProtocolError, SubProtocolError},
    http::{HeaderName, HeaderValue, Request, header::SEC_WEBSOCKET_PROTOCOL},
    protocol::WebSocketConfig,
};
use wire::{Json, quoted};

use super::{
    BYTES_MAX, Deadline, Failure,
    arguments::Wants,
    post::one_line,
    target::Url,
    tool::{self, ID},
};
use crate::{mcp_proxy::SESSION_KEY, query};

/// What sessions with such a daemon speak.
const PROTOCOL: HeaderValue = HeaderValue::from_static("mcp");

/// An event that is told. Its headers are secrets, so it is never shown.
pub(crate) struct Telling<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// A JSON object.
    pub(crate) event: &'a str,
    pub(crate) wants: Wants,
    /// What the daemon is told besides, as names and values.
    pub(crate) headers: &'a [(String, String)],
}

/// Sends the event over a connection to there; says what is for the agent.
pub(crate) fn tell<Stream: io::Read + io::Write>(
    stream: Stream,
    url: &Url,
    telling: &Telling<'_>,
    deadline: Deadline,
) -> Result<Option<String>, Failure> {
    let request = request(url, &place_for_hooks(url, telling.event), telling.headers)?;
    let config = WebSocketConfig::default()
        .max_message_size(usize::try_from(BYTES_MAX).ok())
        .max_frame_size(usize::try_from(BYTES_MAX).ok());
    let (mut socket, _response) =
        client_with_config(request, stream, Some(config)).map_err(|error| match error {
            HandshakeError::Failure(error) => failure(deadline, error),
            HandshakeError::Interrupted(_) => Failure::TimedOut(deadline.whole),
        })?;
    let message = message(telling);
    let sent = socket.send(Message::text(message));
    sent.map_err(|error| failure(deadline, error))?;
    match telling.wants {
        Wants::Answer => {
            let said = answer(&mut socket, deadline)?;
            // It is here, whatever becomes of the goodbye.
            let _gone = socket.close(None).and_then(|()| socket.flush());
            Ok(said)
        }
        // That it was closed in good order is how we know that it has arrived.
        Wants::Nothing => {
            let closed = close(&mut socket);
            closed.map_err(|error| failure(deadline, error))?;
            Ok(None)
        }
    }
}

/// Whether the daemon takes sessions, over a connection to there.
pub(crate) fn greet<Stream: io::Read + io::Write>(
    stream: Stream,
    url: &Url,
    headers: &[(String, String)],
    deadline: Deadline,
) -> Result<(), Failure> {
    let place = format!("ws://{}{}", url.authority(), url.path_and_query());
    let mut request = request(url, &place, headers)?;
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    match client_with_config(request, stream, None) {
        // One that does not say what it speaks, speaks what it always speaks.
        Ok(_)
        | Err(HandshakeError::Failure(Error::Protocol(
            ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol),
        ))) => Ok(()),
        Err(HandshakeError::Failure(error)) => Err(failure(deadline, error)),
        Err(HandshakeError::Interrupted(_)) => Err(Failure::TimedOut(deadline.whole)),
    }
}

/// The path is that of hooks; who asks is told as mcp-proxy tells it.
fn place_for_hooks(url: &Url, event: &str) -> String {
    let session = Json::parse(event).and_then(|event| event.member("session_id")?.string());
    // Text that would mean something else in a URL is none of an agent's.
    let is_plain = |id: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !id.is_empty() && id.bytes().all(is_plain)
    };
    let query = url.query().unwrap_or_default();
    let question = if query.is_empty() { "" } else { "?" };
    let place = format!("ws://{}/hook{question}{query}", url.authority());
    match session.filter(|id| is_plain(id)) {
        Some(session) => query::with(&place, SESSION_KEY, &session),
        None => place,
    }
}

fn request(url: &Url, place: &str, headers: &[(String, String)]) -> Result<Request<()>, Failure> {
    // The query may hold a token.
    let shown = url.authority();
    let bad = |error: String| Failure::Said(format!("cannot ask {shown}: {error}"));
    let mut request = place
        .into_client_request()
        .map_err(|error| bad(error.to_string()))?;
    for (name, value) in headers {
        let unfit = |what: &str| bad(format!("{what} of the header `{name}` cannot be sent"));
        let header: HeaderName = name.parse().map_err(|_| unfit("the name"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unfit("the value"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(header, value);
    }
    Ok(request)
}

fn message(telling: &Telling<'_>) -> String {
    let id = match telling.wants {
        Wants::Answer => format!(r#""id":{ID},"#),
        Wants::Nothing => String::new(),
    };
    let method = quoted(&format!("hook/{}", telling.name));
    let event = telling.event;
    format!(r#"{{"jsonrpc":"2.0",{id}"method":{method},"params":{event}}}"#)
}

/// The result, if it is any.
fn answer<Stream: io::Read + io::Write>(
    socket: &mut WebSocket<Stream>,
    deadline: Deadline,
) -> Result<Option<String>, Failure> {
    loop {
        let message = socket.read().map_err(|error| failure(deadline, error))?;
        let (Message::Text(_) | Message::Binary(_)) = &message else {
            continue;
        };
        let Ok(text) = message.to_text() else {
            continue;
        };
        // What it asks of us may have the same id.
        let Some(answer) = Json::parse(text).filter(|it| tool::is_answer(*it)) else {
            continue;
        };
        if let Some(error) = answer.member("error").filter(|it| it.text() != "null") {
            let words = error.member("message").and_then(Json::string);
            let words = words.unwrap_or(error.text().into());
            return Err(Failure::Said(format!(
                "the daemon answered with an error: {}",
                one_line(&words)
            )));
        }
        let result = answer.member("result").ok_or_else(|| {
            Failure::Said("the daemon's answer has neither result nor error".into())
        })?;
        return Ok((result.text() != "null").then(|| result.text().to_owned()));
    }
}

/// Says goodbye, and waits until that is answered. Who has answered it may take their time to hang up.
fn close<Stream: io::Read + io::Write>(socket: &mut WebSocket<Stream>) -> Result<(), Error> {
    socket.close(None)?;
    loop {
        match socket.read() {
            Ok(Message::Close(_)) => return Ok(()),
            Ok(_said_before) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn failure(deadline: Deadline, error: Error) -> Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two of them are told otherwise than the library does"
    )]
    match error {
        Error::Io(error) => deadline.of_error("talking to the daemon", error),
        Error::Http(response) => {
            Failure::Said(format!("the daemon answered {}", response.status()))
        }
        other => Failure::Said(format!("talking to the daemon: {other}")),
    }
}
