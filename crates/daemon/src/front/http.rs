//! Sessions over HTTP: listeners at addresses of this machine to itself, and a task for each connection.
//!
//! A request passes the gate, or is told why not; what passed becomes a [`Visit`] of the hub, and the response
//! is made of what comes back. Nothing of a session is known here.
//!
//! **Invariant:** nobody who comes in can keep others out: there are limits on how many connections there are,
//! how many of these have not passed the gate, how long a request may take to come and how long it may be.

mod exchange;
mod fault;
mod gate;
mod holder;
mod modern;
mod peer;
mod reply;
mod routes;
mod socket;
mod stand;
mod strangers;
mod timed;
pub mod token;
mod visit;
mod web;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use mux::Limits;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::Sender, watch},
    time,
};

pub(crate) use fault::HttpFault;
pub(crate) use modern::{ModernFault, ModernPost, Param, check_params, tools_of};
pub(crate) use stand::{HttpStand, Listening, Shared};
pub(crate) use visit::{Caller, Key, Place, Post, Visit, Wish};

use crate::{hub::Input, link::Room, tasks};
use gate::{Gate, Peer};
use strangers::{Stranger, Strangers};
use timed::{Busy, Timed};

pub(crate) use token::{FIRST_GENERATION, Generation};

/// How long a connection may rest between two requests.
const REST_PATIENCE: Duration = Duration::from_secs(75);

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// How often it is looked whether another token counts.
const TOKEN_LOOK: Duration = Duration::from_secs(5);

/// Pause after the system had no descriptor for a new connection.
const STARVED_PAUSE: Duration = Duration::from_millis(100);

/// All that is the same for each connection.
#[derive(Debug)]
pub(crate) struct Front {
    gate: Gate,
    inbox: Sender<Input>,
    room: Arc<Room>,
    message_bytes: usize,
    batch_messages: usize,
    /// Places of the sessions that there may be.
    sessions: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    strangers: Strangers,
}

impl Front {
    fn new(
        gate: Gate,
        inbox: Sender<Input>,
        room: Arc<Room>,
        limits: &Limits,
        (sessions, connections): (Arc<Semaphore>, usize),
    ) -> Self {
        Front {
            gate,
            inbox,
            room,
            message_bytes: limits.message_bytes,
            batch_messages: limits.batch_messages,
            sessions,
            connections: Arc::new(Semaphore::new(connections)),
            strangers: Strangers::default(),
        }
    }
}

/// Looks now and then whether another token counts, and has the hub hear of it.
async fn watch_token(front: Arc<Front>, mut open: watch::Receiver<()>) {
    let token = front.gate.token();
    let mut generations = token.generations();
    loop {
        tokio::select! {
            biased;
            _dropped = open.changed() => return,
            changed = generations.changed() => {
                let generation = *generations.borrow_and_update();
                let is_over = changed.is_err()
                    || front.inbox.send(Input::Revoked(generation)).await.is_err();
                if is_over {
                    return;
                }
            }
            () = time::sleep(TOKEN_LOOK) => token.look(),
        }
    }
}

/// Where people come in.
#[derive(Debug)]
enum Entry {
    /// At an address, and this server is meant by who names none.
    Tcp(TcpListener, Option<Arc<str>>),
    Unix(UnixListener),
}

/// Whoever has come.
#[derive(Debug)]
enum Comer {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// Lets people in at one address until nobody is to be let in any more.
async fn stand_at(front: Arc<Front>, entry: Entry, mut open: watch::Receiver<()>) {
    loop {
        let next = tokio::select! {
            biased;
            _dropped = open.changed() => return,
            next = next_connection(&front, &entry) => next,
        };
        match next {
            Ok((comer, place, stranger)) => {
                let front = Arc::clone(&front);
                let only = entry.only();
                tasks::spawn("http connection", async move {
                    welcome(front, comer, only, stranger).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept");
                tokio::select! {
                    _dropped = open.changed() => return,
                    () = time::sleep(STARVED_PAUSE) => {}
                }
            }
        }
    }
}

/// Whoever comes next, once there is a place for another connection, and for another stranger.
async fn next_connection(
    front: &Front,
    entry: &Entry,
) -> io::Result<(Comer, OwnedSemaphorePermit, Stranger)> {
    let place = Arc::clone(&front.connections).acquire_owned().await;
    // It is never closed.
    let place = place.map_err(io::Error::other)?;
    let room = front.strangers.place().await;
    let comer = entry.accept().await?;
    let stranger = front.strangers.welcome(room);
    Ok((comer, place, stranger))
}

impl Entry {
    /// The server that is meant by who names none, if it is clear here.
    fn only(&self) -> Option<Arc<str>> {
        match self {
            Entry::Tcp(_, only) => only.clone(),
            Entry::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Comer> {
        match self {
            Entry::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Comer::Tcp(stream, peer))
            }
            Entry::Unix(listener) => {
                let (stream, _nameless) = listener.accept().await?;
                Ok(Comer::Unix(stream))
            }
        }
    }
}

/// Finds out who has come, and serves it.
async fn welcome(front: Arc<Front>, comer: Comer, only: Option<Arc<str>>, stranger: Stranger) {
    match comer {
        Comer::Tcp(stream, peer) => {
            let Ok(ours) = stream.local_addr() else {
                return;
            };
            // A message is written as a whole.
            let _slower = stream.set_nodelay(true);
            let known = front.gate.look_at(peer, ours);
            serve(front, stream, (known, only), stranger).await;
        }
        // Anybody else gets no word and is not read.
        Comer::Unix(stream) => {
            let user = rustix::process::geteuid().as_raw();
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == user) {
                serve(front, stream, (Peer::AtOurSocket, only), stranger).await;
            }
        }
    }
}

/// Answers the requests of one connection.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    front: Arc<Front>,
    stream: S,
    (known, only): (Peer, Option<Arc<str>>),
    mut stranger: Stranger,
) {
    let busy = Busy::default();
    // That of the token which it was let in by last; none has this number.
    let passed_by = Arc::new(AtomicU64::new(0));
    let revoked = is_revoked(Arc::clone(&passed_by), front.gate.token().generations());
    let stream = TokioIo::new(Timed::new(stream, busy.clone()));
    let acquaintance = stranger.acquaintance();
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, busy, acquaintance) = (Arc::clone(&front), busy.clone(), acquaintance.clone());
        let (only, passed_by) = (only.clone(), Arc::clone(&passed_by));
        async move {
            let answering = busy.begin();
            let response = exchange::respond(&front, (known, only), request, |caller| {
                acquaintance.is_made();
                if caller == Caller::Token {
                    let generation = front.gate.token().generation();
                    passed_by.store(generation, Ordering::Relaxed);
                }
            })
            .await;
            Ok::<_, Infallible>(response.map(|reply| reply.with(answering)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REST_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(stream, service)
        .with_upgrades();
    tokio::select! {
        biased;
        () = stranger.has_to_go() => {}
        () = revoked => {}
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection over HTTP has ended early");
            }
        }
    }
}

/// Returns when another token counts than the one that somebody was let in by.
async fn is_revoked(passed_by: Arc<AtomicU64>, mut generations: watch::Receiver<Generation>) {
    while generations.changed().await.is_ok() {
        let counts = *generations.borrow_and_update();
        let had = passed_by.load(Ordering::Relaxed);
        if had != 0 && had != counts {
            return;
        }
    }
    std::future::pending::<()>().await;
}
