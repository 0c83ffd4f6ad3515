//! One request on one connection, and what is known of it should that break.
//!
//! **Invariant:** a request of which the server may have seen the body is never sent again here.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;

use crate::{
    link::{NoRoom, Room, Share},
    tasks,
    upstream::connect::Connector,
};

/// How long a connection that nobody uses is thought to be still good: servers close theirs after 5 s and more.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(4);

/// So much of a body is read in any case.
const SMALL_BYTES: usize = 64 << 10;

/// The longest head of a response.
const HEAD_BYTES: usize = 64 << 10;

/// The body of a request, which knows whether it has been taken.
#[derive(Debug)]
pub(super) struct Letter {
    content: Option<Bytes>,
    taken: Arc<AtomicBool>,
}

impl Letter {
    pub(super) fn new(content: Bytes) -> Self {
        Letter {
            content: Some(content).filter(|content| !content.is_empty()),
            taken: Arc::default(),
        }
    }
}

impl Body for Letter {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.taken.store(true, Ordering::Relaxed);
        Poll::Ready(self.content.take().map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.content
                .as_ref()
                .map_or(0, |content| content.len() as u64),
        )
    }
}

/// A connection on which nothing is under way.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    sender: SendRequest<Letter>,
    since: Instant,
}

/// Why there is no response. The words are for a person.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection to be had, so that the server cannot have seen the request.
    Unmet(String),
    /// It cannot have seen it either: the connection ended before.
    Undelivered(String),
    /// It may have.
    Lost(String),
    /// It sends us elsewhere, where we do not go.
    Misled(String),
    /// It was not sent: the server wants to be left alone, for so long.
    Resting(String, Duration),
}

impl Failure {
    pub(super) fn into_words(self) -> String {
        let (Failure::Unmet(words)
        | Failure::Undelivered(words)
        | Failure::Lost(words)
        | Failure::Misled(words)
        | Failure::Resting(words, _)) = self;
        words
    }
}

impl Connection {
    /// Opens one. The error is for a person.
    pub(in crate::upstream) async fn open(connector: &Connector) -> Result<Self, String> {
        let stream = connector.connect().await?;
        let (sender, connection) = http1::Builder::new()
            .max_header_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tasks::spawn("remote connection", async move {
            // Whoever waits for something on it hears of its end.
            let _ended = connection.await;
        });
        Ok(Connection {
            sender,
            since: Instant::now(),
        })
    }

    /// Whether it can be used once more.
    pub(super) fn is_good(&self) -> bool {
        self.sender.is_ready() && self.since.elapsed() < IDLE_MAX
    }

    /// Its response has been read.
    pub(super) fn rested(mut self) -> Self {
        self.since = Instant::now();
        self
    }
}

/// Sends a request, on this connection if it is still good.
pub(super) async fn send(
    connector: &Connector,
    idle: Option<Connection>,
    request: impl Fn(Letter) -> Request<Letter>,
    content: Bytes,
) -> Result<(Response<Incoming>, Connection), Failure> {
    let mut idle = idle.filter(Connection::is_good);
    loop {
        let is_used = idle.is_some();
        let mut connection = match idle.take() {
            Some(connection) => connection,
            None => Connection::open(connector).await.map_err(Failure::Unmet)?,
        };
        let letter = Letter::new(content.clone());
        let taken = Arc::clone(&letter.taken);
        match connection.sender.send_request(request(letter)).await {
            Ok(response) => return Ok((response, connection)),
            Err(error) if taken.load(Ordering::Relaxed) => {
                return Err(Failure::Lost(words(&error)));
            }
            // It has been closed while nobody used it.
            Err(_) if is_used => {}
            Err(error) => return Err(Failure::Undelivered(words(&error))),
        }
    }
}

fn words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "the connection ended before there was a response".to_owned()
    } else {
        error.to_string()
    }
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than it may be.
    TooLong,
    /// There was no room for it.
    NoRoom,
    /// The connection broke.
    Broken,
}

impl Unread {
    /// The same for a person. `limit` is the longest message, in bytes.
    pub(super) fn words(self, limit: usize) -> String {
        match self {
            Unread::TooLong => format!("a message of more than {limit} bytes was dropped"),
            Unread::NoRoom => "a message was dropped for which there was no room".to_owned(),
            Unread::Broken => "the connection broke".to_owned(),
        }
    }
}

/// The next part of a body; `None` at its end.
pub(super) async fn next_part(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame =
            std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// All of a body, and what it takes of the room for all.
pub(super) async fn whole(
    body: &mut Incoming,
    limit: usize,
    room: &Arc<Room>,
) -> Result<(Bytes, Option<Share>), Unread> {
    let mut all = BytesMut::new();
    let mut share = None;
    while let Some(part) = next_part(body).await {
        let part = part.map_err(|_| Unread::Broken)?;
        let bytes = all.len() + part.len();
        if bytes > limit {
            return Err(Unread::TooLong);
        }
        if bytes > SMALL_BYTES {
            let share = share.get_or_insert_with(|| Share::of(room));
            share.try_set(bytes).map_err(|NoRoom| Unread::NoRoom)?;
        }
        all.extend_from_slice(&part);
    }
    Ok((all.freeze(), share))
}
