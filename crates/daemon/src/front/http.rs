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
mod handover;
mod holder;
mod peer;
mod reply;
mod routes;
mod stand;
mod strangers;
mod timed;
mod token;
mod visit;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use mux::Limits;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, futures::OwnedNotified, mpsc::Sender, watch},
    time,
};

pub(crate) use fault::HttpFault;
pub(crate) use handover::{Readiness, Tubes};
pub(crate) use stand::{FrozenHttp, HttpStand, Listening, Shared};
pub(crate) use visit::{Caller, Key, Place, Post, Visit, Wish};

use crate::{
    hub::Input,
    link::{ConnectionId, Halt, Room},
    tasks,
};
use gate::Gate;
use handover::{Loose, Loosely, Rewound};
use strangers::{Stranger, Strangers};
use timed::{Busy, Pause, Timed};

/// How long a connection may rest between two requests.
const REST_PATIENCE: Duration = Duration::from_secs(75);

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

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
    /// How many of them there may be.
    connections_max: usize,
    strangers: Strangers,
    /// Has all connections let go.
    halt: Halt,
    /// Where they go then.
    loose: Sender<Loose>,
    /// Whether no request begins.
    pause: Pause,
    /// How far each connection is.
    busy: Mutex<BTreeMap<ConnectionId, Busy>>,
    last_connection: AtomicU64,
}

impl Front {
    fn new(
        gate: Gate,
        inbox: Sender<Input>,
        room: Arc<Room>,
        limits: &Limits,
        (sessions, connections): (Arc<Semaphore>, usize),
        loose: Sender<Loose>,
    ) -> Self {
        Front {
            gate,
            inbox,
            room,
            message_bytes: limits.message_bytes,
            batch_messages: limits.batch_messages,
            sessions,
            connections: Arc::new(Semaphore::new(connections)),
            connections_max: connections,
            strangers: Strangers::default(),
            halt: Halt::default(),
            loose,
            pause: Pause::default(),
            busy: Mutex::default(),
            last_connection: AtomicU64::new(0),
        }
    }

    /// A connection begins to be served.
    fn begin(self: &Arc<Self>) -> Served {
        let id = ConnectionId(1 + self.last_connection.fetch_add(1, Ordering::Relaxed));
        let busy = Busy::of(id, self.pause.clone());
        self.busy().insert(id, busy.clone());
        Served {
            front: Arc::clone(self),
            busy,
            wanted: Box::pin(self.halt.wanted()),
        }
    }

    /// Has requests that have not begun left where they are, or taken in again.
    fn pause(&self, is_on: bool) {
        self.pause.set(is_on);
        if !is_on {
            self.busy().values().for_each(Busy::wake);
        }
    }

    /// Nobody panics who holds it.
    fn busy(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for as long as it is served.
struct Served {
    front: Arc<Front>,
    busy: Busy,
    /// Ends when it is to be let go. That is heard from the beginning, though its task begins later.
    wanted: Pin<Box<OwnedNotified>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.front.busy().remove(&self.busy.connection());
    }
}

/// Lets people in at one address until nobody is to be let in any more.
async fn stand_at(front: Arc<Front>, listener: Arc<TcpListener>, mut open: watch::Receiver<()>) {
    loop {
        let next = tokio::select! {
            biased;
            _dropped = open.changed() => return,
            next = next_connection(&front, &listener) => next,
        };
        match next {
            Ok((stream, peer, place, stranger)) => {
                let ours = stream.local_addr();
                let served = front.begin();
                tasks::spawn("http connection", async move {
                    if let Ok(ours) = ours {
                        // A message is written as a whole.
                        let _slower = stream.set_nodelay(true);
                        let stream = Rewound::new(Bytes::new(), stream);
                        serve(served, stream, (peer, ours), stranger).await;
                    }
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
    listener: &TcpListener,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit, Stranger)> {
    let place = Arc::clone(&front.connections).acquire_owned().await;
    // It is never closed.
    let place = place.map_err(io::Error::other)?;
    let room = front.strangers.place().await;
    let (stream, peer) = listener.accept().await?;
    let stranger = front.strangers.welcome(room);
    Ok((stream, peer, place, stranger))
}

/// Answers the requests of one connection.
async fn serve(
    mut served: Served,
    stream: Rewound,
    (peer, ours): (SocketAddr, SocketAddr),
    mut stranger: Stranger,
) {
    let (front, busy) = (Arc::clone(&served.front), served.busy.clone());
    let known = front.gate.look_at(peer, ours);
    let stream = TokioIo::new(Timed::new(stream, busy.clone()));
    let acquaintance = stranger.acquaintance();
    let (behind, of) = (Arc::clone(&front), busy.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, busy, acquaintance) = (Arc::clone(&behind), of.clone(), acquaintance.clone());
        async move {
            let answering = busy.begin();
            let passed = (&busy, move || acquaintance.is_made());
            let response = exchange::respond(&front, known, request, passed).await;
            Ok::<_, Infallible>(response.map(|reply| reply.with(answering)))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REST_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(stream, service);
    let is_let_go = tokio::select! {
        biased;
        () = &mut served.wanted => true,
        () = stranger.has_to_go() => false,
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection over HTTP has ended early");
            }
            false
        }
    };
    if is_let_go {
        // Before what answers is dropped, and with it that it does.
        let loosely = Loosely::of(&busy);
        let parts = connection.into_parts();
        let stream = parts.io.into_inner().into_inner();
        front.let_go((stream, parts.read_buf), loosely);
    }
}
