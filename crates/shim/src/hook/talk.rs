//! An event sent to a daemon that takes hooks over WebSockets, in the way of mcp-proxy: at `/hook`, as the
//! request `hook/EVENT`, or as a notification of that name.

use std::io;

use tungstenite::{
    Error, HandshakeError, Message, WebSocket,
    client::{IntoClientRequest as _, client_with_config},
    http::{HeaderValue, Request, header::AUTHORIZATION},
    protocol::WebSocketConfig,
};
use wire::{Json, quoted};

use super::{
    BYTES_MAX, Deadline, Failure,
    arguments::{Hook, Wants},
    post::{bearer, one_line},
    target::Url,
    tool::{self, ID},
};

/// Sends the event; says what is for the agent.
pub(super) fn tell(
    url: &Url,
    hook: &Hook,
    event: &str,
    deadline: Deadline,
) -> Result<Option<String>, Failure> {
    let request = handshake(url, hook, event)?;
    let stream = url.connect(deadline)?;
    let config = WebSocketConfig::default()
        .max_message_size(usize::try_from(BYTES_MAX).ok())
        .max_frame_size(usize::try_from(BYTES_MAX).ok());
    let (mut socket, _response) =
        client_with_config(request, stream, Some(config)).map_err(|error| match error {
            HandshakeError::Failure(error) => failure(deadline, error),
            HandshakeError::Interrupted(_) => Failure::TimedOut(deadline.whole),
        })?;
    let message = message(hook, event);
    let sent = socket.send(Message::text(message));
    sent.map_err(|error| failure(deadline, error))?;
    match hook.wants {
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

/// The path is that of hooks; who asks is told as mcp-proxy tells it.
fn handshake(url: &Url, hook: &Hook, event: &str) -> Result<Request<()>, Failure> {
    let session = Json::parse(event).and_then(|event| event.member("session_id")?.string());
    // Text that would mean something else in a URL is none of an agent's.
    let is_plain = |id: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !id.is_empty() && id.bytes().all(is_plain)
    };
    let query = url.query().unwrap_or_default();
    let mut parts: Vec<String> = Some(query.to_owned())
        .into_iter()
        .filter(|query| !query.is_empty())
        .collect();
    if let Some(session) = session.filter(|id| is_plain(id))
        && !query
            .split('&')
            .any(|pair| pair.starts_with("session_key="))
    {
        parts.push(format!("session_key={session}"));
    }
    let question = if parts.is_empty() { "" } else { "?" };
    let url = format!("ws://{}/hook{question}{}", url.authority(), parts.join("&"));
    let bad = |error: String| Failure::Said(format!("cannot ask for {url}: {error}"));
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| bad(error.to_string()))?;
    if let Some(token) = bearer(hook)? {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| bad("the token cannot stand in a header".into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

fn message(hook: &Hook, event: &str) -> String {
    let id = match hook.wants {
        Wants::Answer => format!(r#""id":{ID},"#),
        Wants::Nothing => String::new(),
    };
    let method = quoted(&format!("hook/{}", hook.event));
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

/// Says goodbye, and waits until that is answered.
fn close<Stream: io::Read + io::Write>(socket: &mut WebSocket<Stream>) -> Result<(), Error> {
    socket.close(None)?;
    loop {
        match socket.read() {
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
