//! Sessions over HTTP: listeners at addresses of this machine to itself, and a task for each connection.
//!
//! A request passes the gate, or is told why not; what passed becomes a [`Visit`] of the hub, and the response
//! is made of what comes back. Nothing of a session is known here.
//!
//! **Invariant:** nobody who comes in can keep others out: there are limits on how many connections there are,
//! how many of these have not passed the gate, how long a request may take to come and how long it may be.

mod comer;
mod events;
mod exchange;
mod fault;
mod gate;
mod handover;
pub mod holder;
mod hook;
mod look;
mod modern;
mod nudge;
mod peer;
mod place;
mod presence;
mod reply;
mod routes;
mod secure;
mod socket;
mod stand;
mod status;
mod strangers;
mod timed;
pub mod token;
mod visit;
mod wanted;
mod web;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use mux::Limits;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::Sender, watch},
    time,
};

pub(crate) use fault::HttpFault;
pub(crate) use handover::{AllTubes, Readiness, Tubes};
pub(crate) use modern::{
    Mirroring, ModernFault, ModernPost, Param, check_params, encoded, is_annotated, param_headers,
    tools_of,
};
pub(crate) use presence::Presence;
pub(crate) use stand::{FrozenHttp, HttpStand, Listening, Shared};
pub(crate) use visit::{Caller, Found, Key, Place, Post, Visit, Wish};
pub use wanted::http_addresses;
pub(crate) use wanted::{Asked, at_port};

use crate::{
    alarm::Ticks,
    hub::Input,
    link::{ConnectionId, Room},
    tasks,
};
use comer::{Comer, Rewound};
use gate::{Gate, Peer};
use handover::{Loose, Loosely};
use look::Order;
use nudge::Nudges;
use secure::Acceptor;
use strangers::{Stranger, Strangers};
use timed::{Busy, Pause, Timed};

pub(crate) use token::{FIRST_GENERATION, Generation};

/// How long a connection may rest between two requests.
const REST_PATIENCE: Duration = Duration::from_secs(75);

/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of one request.
const HEADERS_MAX: usize = 100;

/// How many may have connected that are not let in yet. Whoever comes beside them at an address comes again a second
/// later.
const BACKLOG: i32 = 1024;

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
    /// How many of them there may be.
    connections_max: usize,
    strangers: Strangers,
    /// Where they go then.
    loose: Sender<Loose>,
    /// Whether no request begins.
    pause: Pause,
    /// For those who look at folders of agents.
    looks: Arc<Semaphore>,
    /// How far each connection is.
    busy: Mutex<BTreeMap<ConnectionId, Busy>>,
    /// Those that do not rest.
    awake: Mutex<BTreeMap<ConnectionId, Busy>>,
    last_connection: AtomicU64,
    /// Held once more for each WebSocket that is granted and that the hub has not yet.
    grants: Arc<()>,
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
            strangers: Strangers::of(connections),
            loose,
            pause: Pause::default(),
            looks: Arc::new(Semaphore::new(hook::LOOKS_MAX)),
            busy: Mutex::default(),
            awake: Mutex::default(),
            last_connection: AtomicU64::new(0),
            grants: Arc::default(),
        }
    }

    /// A connection begins to be served, for which this server is meant by who names none.
    fn begin(self: &Arc<Self>, only: Option<Arc<str>>) -> Served {
        let id = ConnectionId(1 + self.last_connection.fetch_add(1, Ordering::Relaxed));
        let busy = Busy::of(id, self.pause.clone());
        self.busy().insert(id, busy.clone());
        self.wakes(&busy);
        Served {
            front: Arc::clone(self),
            busy,
            only,
        }
    }

    /// A connection is to be looked after.
    fn wakes(&self, busy: &Busy) {
        lock(&self.awake).insert(busy.connection(), busy.clone());
        self.pause.stir();
    }

    /// A connection needs nobody to look after it, as it rests or has ended.
    fn rests(&self, busy: &Busy) {
        lock(&self.awake).remove(&busy.connection());
    }

    /// Those that are to be looked after.
    fn awake(&self) -> impl Iterator<Item = Busy> + use<> {
        let awake: Vec<Busy> = lock(&self.awake).values().cloned().collect();
        awake.into_iter()
    }

    /// Has all connections let go that there are.
    fn let_all_go(&self) {
        let all = self.busy();
        all.values().for_each(|it| it.orders().tell(Order::LetGo));
    }

    /// Another token counts: whoever was let in by an earlier one last has to go.
    fn revoke_all_but(&self, counts: Generation) {
        let all = self.busy();
        let has_to_go = |it: &&Busy| it.token().is_some_and(|had| had != counts);
        let has_to_go = all.values().filter(has_to_go);
        has_to_go.for_each(|it| it.orders().tell(Order::End));
    }

    /// Has what clients have not taken go along with their connections.
    fn is_late(&self) {
        self.pause.is_late();
        self.busy().values().for_each(Busy::wake);
    }

    /// Has requests that have not begun left where they are, or taken in again.
    fn pause(&self, is_on: bool) {
        self.pause.set(is_on);
        if !is_on {
            self.busy().values().for_each(Busy::wake);
        }
    }

    fn busy(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Busy>> {
        lock(&self.busy)
    }

    /// Who has come; `None` if that is nobody who is ever let in.
    fn look_at(&self, comer: &Comer) -> Option<Peer> {
        match comer {
            Comer::Tcp(stream) => {
                let (peer, ours) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
                Some(self.gate.look_at(peer, ours))
            }
            // Anybody else gets no word and is not read.
            Comer::Unix(stream) => {
                let user = rustix::process::geteuid().as_raw();
                let is_ours = stream.peer_cred().is_ok_and(|peer| peer.uid() == user);
                is_ours.then_some(Peer::AtOurSocket)
            }
            Comer::Secure(_) => Some(Peer::Elsewhere),
        }
    }
}

/// A connection for as long as it is served.
struct Served {
    front: Arc<Front>,
    busy: Busy,
    /// The server that is meant by who names none, if it is clear where it came in.
    only: Option<Arc<str>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.front.busy().remove(&self.busy.connection());
        self.front.rests(&self.busy);
    }
}

/// Looks now and then whether another token counts, and has the hub hear of it, and at first of the one that does.
async fn watch_token(front: Arc<Front>, mut open: watch::Receiver<()>) {
    let (token, ticks) = (front.gate.token(), Ticks::new());
    let mut generations = token.generations();
    generations.mark_changed();
    loop {
        tokio::select! {
            biased;
            _dropped = open.changed() => return,
            changed = generations.changed() => {
                let generation = *generations.borrow_and_update();
                front.revoke_all_but(generation);
                let is_over = changed.is_err()
                    || front.inbox.send(Input::Revoked(generation)).await.is_err();
                if is_over {
                    return;
                }
            }
            () = ticks.next(TOKEN_LOOK) => token.look(),
        }
    }
}

/// Where people come in.
#[derive(Debug)]
enum Entry {
    /// At an address, and this server is meant by who names none.
    Tcp(TcpListener, Option<Arc<str>>),
    /// The same, over TLS.
    Secure(TcpListener, Option<Arc<str>>, Acceptor),
    Unix(UnixListener),
}

/// Who has come in.
#[derive(Debug)]
enum Arrived {
    Here(Comer),
    /// Once there was a handshake.
    ToShakeHands(TcpStream, Acceptor),
}

impl Arrived {
    /// Who can be served; `None` if there is no handshake, or none in time, or the connection is told to go.
    async fn comer(self, stranger: &mut Stranger, busy: &Busy) -> Option<Comer> {
        let (stream, acceptor) = match self {
            Arrived::Here(comer) => return Some(comer),
            Arrived::ToShakeHands(stream, acceptor) => (stream, acceptor),
        };
        let accepted = tokio::select! {
            biased;
            // Nobody can go on with half a handshake, so it holds nothing up.
            _order = busy.orders().come() => return None,
            // In a box, as a connection would have room for it until its end.
            accepted = Box::pin(acceptor.accept(stream)) => accepted,
            () = stranger.has_to_go() => return None,
        };
        match accepted {
            Ok(stream) => Some(Comer::Secure(stream)),
            Err(error) => {
                tracing::debug!(%error, "no handshake over TLS");
                None
            }
        }
    }
}

/// Lets people in at one address until nobody is to be let in any more.
async fn stand_at(front: Arc<Front>, entry: Arc<Entry>, mut open: watch::Receiver<()>) {
    loop {
        let next = tokio::select! {
            biased;
            _dropped = open.changed() => return,
            next = next_connection(&front, &entry) => next,
        };
        match next {
            Ok((arrived, place, mut stranger)) => {
                let served = front.begin(entry.only());
                tasks::spawn("http connection", async move {
                    let Some(comer) = arrived.comer(&mut stranger, &served.busy).await else {
                        return;
                    };
                    let stream = Rewound::new(Bytes::new(), comer);
                    let stream = Timed::new(stream, served.busy.clone());
                    serve(served, stream, stranger).await;
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
) -> io::Result<(Arrived, OwnedSemaphorePermit, Stranger)> {
    let place = Arc::clone(&front.connections).acquire_owned().await;
    // It is never closed.
    let place = place.map_err(io::Error::other)?;
    let room = front.strangers.place().await;
    let arrived = entry.accept().await?;
    let stranger = front.strangers.welcome(room);
    Ok((arrived, place, stranger))
}

impl Entry {
    /// The server that is meant by who names none, if it is clear here.
    fn only(&self) -> Option<Arc<str>> {
        match self {
            Entry::Tcp(_, only) | Entry::Secure(_, only, _) => only.clone(),
            Entry::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Arrived> {
        match self {
            Entry::Tcp(listener, _) => Ok(Arrived::Here(Comer::Tcp(accepted(listener).await?))),
            Entry::Secure(listener, _, acceptor) => {
                let stream = accepted(listener).await?;
                Ok(Arrived::ToShakeHands(stream, acceptor.clone()))
            }
            Entry::Unix(listener) => {
                let (stream, _nameless) = listener.accept().await?;
                Ok(Arrived::Here(Comer::Unix(stream)))
            }
        }
    }
}

async fn accepted(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _peer) = listener.accept().await?;
    // A message is written as a whole.
    let _slower = stream.set_nodelay(true);
    Ok(stream)
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Entry::Tcp(listener, _) | Entry::Secure(listener, ..) => listener.as_fd(),
            Entry::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Answers the requests of one connection, which has no buffers while it rests.
async fn serve(mut served: Served, mut stream: Timed<Rewound>, mut stranger: Stranger) {
    let (front, busy) = (Arc::clone(&served.front), served.busy.clone());
    let Some(known) = front.look_at(stream.get_ref().comer()) else {
        return;
    };
    loop {
        front.wakes(&busy);
        // In a box of its own, that is there no longer than its buffers.
        let attended = Box::pin(attend(&served, known, stream, &mut stranger)).await;
        let rest = match attended {
            Attended::Over => return,
            Attended::LetGo(rest, read, loosely) => {
                return front.let_go((rest, read), loosely, served.only.take());
            }
            Attended::Rests(rest) => rest,
        };
        stream = rest;
        if stream.get_ref().has_unread() || stream.has_unwritten() {
            continue;
        }
        front.rests(&busy);
        let order = tokio::select! {
            biased;
            order = busy.orders().come() => Some(order),
            _comes = stream.get_ref().comer().readable() => None,
            () = time::sleep(REST_PATIENCE) => Some(Order::End),
        };
        match order {
            None | Some(Order::Rest) => {}
            Some(Order::End) => return,
            Some(Order::LetGo) => {
                let rest = (stream, Bytes::new());
                return front.let_go(rest, Loosely::of(&busy), served.only.take());
            }
        }
    }
}

/// What has become of a connection that was served.
enum Attended {
    /// It has ended, or has become something else.
    Over,
    /// It is at rest.
    Rests(Timed<Rewound>),
    /// It is let go, with what was read of it and not understood.
    LetGo(Timed<Rewound>, Bytes, Option<Loosely>),
}

/// Answers requests until the connection ends, rests or is let go.
async fn attend(
    served: &Served,
    known: Peer,
    stream: Timed<Rewound>,
    stranger: &mut Stranger,
) -> Attended {
    let (front, busy) = (&served.front, &served.busy);
    let acquaintance = stranger.acquaintance();
    let (behind, of, only) = (Arc::clone(front), busy.clone(), served.only.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (busy, acquaintance) = (of.clone(), acquaintance.clone());
        let is_known = move |token: Option<Generation>| {
            if !busy.has_passed() {
                acquaintance.is_made();
                busy.passes();
            }
            if let Some(token) = token {
                busy.has_token(token);
            }
        };
        let known = (known, only.clone());
        let (front, busy) = (Arc::clone(&behind), of.clone());
        exchange::respond(front, known, request, (busy, is_known))
    });
    // How long a connection may rest, and a head may take, is counted elsewhere.
    let mut connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // That a client has gone while it is answered is seen below it (`timed`).
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let nudges = Nudges::new();
    let mut has_to_go = pin!(stranger.has_to_go());
    let attended = std::future::poll_fn(|context| {
        while let Poll::Ready(order) = busy.orders().poll(context) {
            if order != Order::Rest || busy.can_rest() {
                return Poll::Ready(Err(order));
            }
        }
        let poll = |context: &mut Context<'_>| Pin::new(&mut connection).poll(context);
        if let Poll::Ready(ended) = nudges.poll(context, poll) {
            return Poll::Ready(Ok(ended));
        }
        // With what has come by now it may be a stranger no longer.
        if !busy.has_passed() && has_to_go.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Order::End));
        }
        Poll::Pending
    });
    match attended.await {
        Ok(ended) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection over HTTP has ended early");
            }
            Attended::Over
        }
        Err(Order::End) => Attended::Over,
        Err(Order::LetGo) => {
            // Before what answers is dropped, and with it that it does.
            let loosely = Loosely::of(busy);
            // What has become a WebSocket is let go of by the hub.
            connection.into_parts().map_or(Attended::Over, |parts| {
                Attended::LetGo(parts.io.into_inner(), parts.read_buf, loosely)
            })
        }
        Err(Order::Rest) => connection.into_parts().map_or(Attended::Over, |parts| {
            let mut stream = parts.io.into_inner();
            stream.get_mut().put_back(parts.read_buf);
            Attended::Rests(stream)
        }),
    }
}

/// Nobody panics who holds one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
