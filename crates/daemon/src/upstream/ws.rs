//! WebSocket with a server that runs already: a message is a frame of text, either way.
//!
//! **Invariant:** a connection that was opened is closed by us exactly once, unless the server, or the network,
//! has done so before.

use std::{mem, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use hyper::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use mux::Exit;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use shim::query;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        error::{ProtocolError, SubProtocolError},
        handshake::client::Request,
        protocol::WebSocketConfig,
    },
};
use wire::Frame;

use super::{
    End, Job, Wanted,
    connect::{Connector, NoWay, Stream},
    ends::{Ear, Voice},
    rest::{self, GREETING_HOLD_MAX, Patience},
    words_of,
};
use crate::launch::RemoteSpec;

/// What both sides speak on it.
const PROTOCOL: HeaderValue = HeaderValue::from_static("mcp");

/// How long the server may take to agree to it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first pause before one that is not there yet is looked for again; each is twice as long as the one before, up
/// to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often it is asked whether it is still there; it has as long again to answer.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A buffer for each connection, so not a large one.
const READ_BUFFER_BYTES: usize = 16 << 10;

type Socket = WebSocketStream<Box<dyn Stream>>;
type Way = SplitSink<Socket, Message>;
type Sending = Pin<Box<dyn Future<Output = (Way, Result<(), Error>)> + Send>>;

/// Our way to the server: free, or with a message on it.
enum WayOut {
    Free(Way),
    Busy(Sending),
    Gone,
}

impl WayOut {
    fn is_free(&self) -> bool {
        matches!(self, WayOut::Free(_))
    }

    /// Begins to send something, if nothing else is on its way.
    fn begin(&mut self, message: Message) {
        *self = match mem::replace(self, WayOut::Gone) {
            WayOut::Free(mut way) => WayOut::Busy(Box::pin(async move {
                let sent = way.send(message).await;
                (way, sent)
            })),
            other @ (WayOut::Busy(_) | WayOut::Gone) => other,
        };
    }

    /// Returns when what is on its way has been sent; never if nothing is.
    async fn sent(&mut self) -> Result<(), Error> {
        let WayOut::Busy(sending) = self else {
            return std::future::pending().await;
        };
        let (way, sent) = sending.await;
        *self = WayOut::Free(way);
        sent
    }
}

/// Holds a conversation until the hub or the server ends it.
pub(super) async fn converse(
    job: &Job,
    connector: Connector,
    ear: &mut Ear,
    voice: Voice,
    wanted: &mut Wanted,
) -> End {
    let target = connector.target.to_string();
    let opened = tokio::select! {
        biased;
        () = wanted.overdue() => return End::told(),
        opened = open_in_time(job, &connector) => opened,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(why) => return End::unstarted(why),
    };
    job.tell_reached().await;
    let (way, mut heard) = socket.split();
    let mut way = WayOut::Free(way);
    let mut pings = time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_heard = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = wanted.overdue() => return End::told(),
            message = heard.next() => {
                last_heard = Instant::now();
                if let Some(why) = on_message(message, &voice, job.message_bytes).await {
                    return lost(&target, why, &voice).await;
                }
            }
            sent = way.sent() => {
                if let Err(error) = sent {
                    return lost(&target, error.to_string(), &voice).await;
                }
            }
            frame = ear.next(), if way.is_free() => match frame {
                Some((frame, _busy)) => way.begin(text_of(&frame)),
                None => break,
            },
            _tick = pings.tick() => {
                if last_heard.elapsed() > 2 * PING_EVERY {
                    return lost(&target, "it does not answer".to_owned(), &voice).await;
                }
                way.begin(Message::Ping(Bytes::new()));
            }
        }
    }
    if let (WayOut::Free(mut way), Some(left)) = (way, wanted.left(GOODBYE)) {
        let goodbye = async {
            let _gone = way.send(Message::Close(None)).await;
            // The server's own is the end.
            while let Some(Ok(_)) = heard.next().await {}
        };
        let _late = time::timeout(left, goodbye).await;
    }
    End::told()
}

async fn lost(target: &str, why: String, voice: &Voice) -> End {
    voice.complain(format!("{target}: {why}")).await;
    End::of(Exit::Disconnected, Vec::new())
}

/// Passes on what came; if it is the end, says why.
async fn on_message(
    message: Option<Result<Message, Error>>,
    voice: &Voice,
    limit: usize,
) -> Option<String> {
    match message {
        Some(Ok(Message::Text(text))) => voice.say(Bytes::from(text), None).await,
        Some(Ok(Message::Binary(bytes))) => {
            let words = format!(
                "a frame of {} bytes that is no text was dropped",
                bytes.len()
            );
            voice.complain(words).await;
        }
        // The answer to a ping goes by itself.
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
        Some(Ok(Message::Close(Some(close)))) => {
            let clean = |character: &char| !character.is_control();
            let reason: String = close.reason.chars().filter(clean).collect();
            return Some(format!(
                "it has closed the connection ({} {reason})",
                close.code
            ));
        }
        Some(Ok(Message::Close(None))) | None => {
            return Some("it has closed the connection".to_owned());
        }
        Some(Err(Error::Capacity(_))) => {
            return Some(format!("it sent a message of more than {limit} bytes"));
        }
        Some(Err(error)) => return Some(error.to_string()),
    }
    None
}

fn text_of(frame: &Frame) -> Message {
    let text = frame.unchanged().to_vec();
    // A frame that was parsed is text.
    Message::text(String::from_utf8(text).unwrap_or_default())
}

/// Why there is no WebSocket, for a person.
enum Unopened {
    /// Nobody is there, as far as that can be seen.
    NobodyThere(String),
    /// Somebody is, who does not agree to it.
    Refused(String),
    /// Somebody is, who wants to be left alone for so long.
    Resting(String, Duration),
}

/// Opens a WebSocket, also to a server that comes only while it is waited for. Each wait ends sooner than whoever
/// has the patience, so that it is told why.
async fn open_in_time(job: &Job, connector: &Connector) -> Result<Socket, String> {
    let began = Instant::now();
    let until = began + job.wait;
    // Who can wait for its start has it wait for a rest as well, and each server as long as for a greeting.
    let held_until = began + job.wait.max(GREETING_HOLD_MAX);
    let mut pause = FIRST_PAUSE;
    let rest = job.left_alone.at(&connector.target.place, &job.spec);
    let mut patience = Patience::within(GREETING_HOLD_MAX);
    loop {
        patience.until(held_until);
        if let Err(left) = patience.wait(&rest).await {
            return Err(format!("{}: {}", connector.target, rest::words(left)));
        }
        let why = match time::timeout(PATIENCE, open(job, connector)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(Unopened::Refused(why))) => return Err(why),
            Ok(Err(Unopened::Resting(why, wanted))) => {
                rest.begin(wanted);
                patience.until(held_until);
                if !patience.allows(&rest, wanted) {
                    return Err(why);
                }
                continue;
            }
            Ok(Err(Unopened::NobodyThere(why))) => why,
            Err(_late) => {
                let (target, seconds) = (&connector.target, PATIENCE.as_secs());
                return Err(format!("{target}: no WebSocket within {seconds} s"));
            }
        };
        if Instant::now() + pause >= until {
            return Err(why);
        }
        time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Opens a WebSocket if the server is there.
async fn open(job: &Job, connector: &Connector) -> Result<Socket, Unopened> {
    let target = &connector.target;
    let opened = shake_hands(job, connector, true).await?;
    let is_without = |error: &Error| {
        matches!(
            error,
            Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
                SubProtocolError::NoSubProtocol
            ))
        )
    };
    let opened = match opened {
        // It speaks what it always speaks.
        Err(error) if is_without(&error) => shake_hands(job, connector, false).await?,
        other => other,
    };
    opened.map_err(|error| {
        let Error::Http(response) = error else {
            return Unopened::Refused(format!("{target}: {error}"));
        };
        let status = response.status();
        if status.is_redirection() {
            return Unopened::Refused(format!(
                "{target} answered {status}: it is elsewhere, where nothing is sent that is for this one; \
                 write its place into `url`"
            ));
        }
        let rest = rest::wanted_by(status, response.headers());
        let why = words_of(status, rest, target, &job.server);
        match rest {
            Some(rest) => Unopened::Resting(why, rest),
            None => Unopened::Refused(why),
        }
    })
}

async fn shake_hands(
    job: &Job,
    connector: &Connector,
    with_protocol: bool,
) -> Result<Result<Socket, Error>, Unopened> {
    let target = &connector.target;
    let mut request = request(&job.spec, connector).map_err(Unopened::Refused)?;
    if with_protocol {
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    }
    let stream = connector.connect().await;
    let stream = stream.map_err(|no_way| match no_way {
        NoWay::NobodyThere(why) => Unopened::NobodyThere(format!("{target}: {why}")),
        NoWay::Mistrusted(why) => Unopened::Refused(format!("{target}: {why}")),
    })?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(job.message_bytes))
        .max_frame_size(Some(job.message_bytes));
    let opened = client_async_with_config(request, stream, Some(config)).await;
    Ok(opened.map(|(socket, _response)| socket))
}

fn request(spec: &RemoteSpec, connector: &Connector) -> Result<Request, String> {
    let mut url = connector.target.whole();
    if let Some(key) = &spec.session_key {
        let value = utf8_percent_encode(&key.key, NON_ALPHANUMERIC);
        url = query::with(&url, &key.param, &value.to_string());
    }
    let unfit = |_error: Error| "`url` cannot be used".to_owned();
    let mut request = url.into_client_request().map_err(unfit)?;
    let headers = request.headers_mut();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("mcpool/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in &spec.headers {
        let unsendable = || format!("the header `{name}` cannot be sent");
        let name: HeaderName = name.parse().map_err(|_| unsendable())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(request)
}
