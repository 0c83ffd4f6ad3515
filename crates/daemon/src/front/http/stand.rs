//! Where the daemon listens over HTTP: at all of its addresses, or nowhere.
//!
//! **Invariant:** it never listens at a port that nobody has named, and what keeps it from listening is told.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::{
        fd::{AsFd, RawFd},
        unix::net::UnixListener as StdUnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use config::{Http, HttpAuth, Listen, Tls};
use mux::Limits;
use serde::{Deserialize, Serialize};
use shim::places::Places;
use sys::handed;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{
        Semaphore,
        mpsc::{self, Receiver, Sender},
        watch,
    },
    time,
};

use super::{
    BACKLOG, Entry, Front,
    gate::Gate,
    handover::{AllTubes, FrozenConnection, Loose, Readiness},
    holder,
    look::look_after,
    secure::Acceptor,
    socket::{self, Identity, Spot},
    stand_at,
    token::{FrozenToken, Token},
    wanted::{Asked, Wanted},
    watch_token,
};
use crate::{
    hub::Input,
    link::Room,
    observe, tasks,
    upgrade::{Handed, Os},
};

/// How long all connections may take to be let go that are ready for it.
const LET_GO_PATIENCE: Duration = Duration::from_secs(2);

/// Where we listen, for `status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listening {
    pub(crate) addresses: Vec<Listen>,
    /// The unix socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) auth: Option<HttpAuth>,
    /// Why it is nowhere, though it should be somewhere.
    pub(crate) trouble: Option<String>,
    /// Where the file has the next daemon listen, if that is elsewhere by now.
    pub(crate) next: Option<Vec<String>>,
}

/// The listeners, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct HttpStand {
    pub(crate) listening: Listening,
    /// What it was asked for.
    pub(crate) asked: Asked,
    inner: Option<Inner>,
}

/// What there is if it listens.
#[derive(Debug)]
struct Inner {
    front: Arc<Front>,
    entries: Vec<Arc<Entry>>,
    /// The place of the unix socket.
    spot: Option<Spot>,
    /// Ends with those who let people in.
    open: Option<watch::Sender<()>>,
    /// Connections that nobody serves any more.
    let_go: Receiver<Loose>,
    loose: Vec<Loose>,
}

/// The listeners and connections as they are handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenHttp {
    /// Those at addresses.
    listeners: Vec<RawFd>,
    /// For each of these, which server is meant by who names none.
    #[serde(default)]
    only: Vec<Option<Arc<str>>>,
    /// For each, whether TLS is spoken there.
    #[serde(default)]
    secure: Vec<bool>,
    /// The one at a path, and what was put there.
    #[serde(default)]
    socket: Option<(RawFd, Os, Identity)>,
    connections: Vec<FrozenConnection>,
    /// What the token is known by that counts.
    #[serde(default)]
    token: Option<FrozenToken>,
    /// What was asked for; nothing by a program of before.
    #[serde(default)]
    asked: Asked,
}

/// What those who come in share with others.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) inbox: &'a Sender<Input>,
    pub(crate) room: &'a Arc<Room>,
    pub(crate) limits: &'a Limits,
    /// Places of the sessions that there may be.
    pub(crate) sessions: Arc<Semaphore>,
    /// Connections that there may be.
    pub(crate) connections: usize,
}

impl HttpStand {
    /// Listens where the configuration says; where somebody listens for us already, there.
    pub(crate) fn take(
        http: &Http,
        places: &Places,
        passed: Vec<StdListener>,
        shared: Shared<'_>,
    ) -> HttpStand {
        let wanted = Wanted::of(http, places);
        if wanted.addresses.is_empty() && wanted.socket.is_none() {
            return HttpStand::default();
        }
        let auth = http.auth.unwrap_or(default_auth());
        match listen(&wanted, passed, (auth, &places.state), shared) {
            Ok(stand) => stand,
            Err(error) => {
                let trouble = format!("{error:#}");
                observe::no_http(&trouble);
                HttpStand {
                    listening: Listening {
                        auth: Some(auth),
                        trouble: Some(trouble),
                        ..Listening::default()
                    },
                    ..HttpStand::default()
                }
            }
        }
    }

    /// Goes on where the program before us stood, with its connections. What these are owed goes by the tubes.
    pub(crate) fn resume(
        frozen: FrozenHttp,
        http: &Http,
        places: &Places,
        shared: Shared<'_>,
    ) -> anyhow::Result<(HttpStand, AllTubes)> {
        let mut entries = Vec::new();
        let (mut only, mut secure) = (frozen.only.into_iter(), frozen.secure.into_iter());
        let acceptor = acceptor_or_none(http);
        for listener in frozen.listeners {
            let listener = StdListener::from(handed::take(listener)?);
            listener.set_nonblocking(true)?;
            let (listener, only) = (TcpListener::from_std(listener)?, only.next().flatten());
            match (secure.next(), &acceptor) {
                (Some(true), Some(acceptor)) => {
                    entries.push(Entry::Secure(listener, only, acceptor.clone()));
                }
                // There is nobody left who could speak TLS there.
                (Some(true), None) => {}
                (Some(false) | None, _) => entries.push(Entry::Tcp(listener, only)),
            }
        }
        let mut spot = None;
        if let Some((listener, path, identity)) = frozen.socket {
            let listener = StdUnixListener::from(handed::take(listener)?);
            listener.set_nonblocking(true)?;
            entries.push(Entry::Unix(UnixListener::from_std(listener)?));
            spot = Some(Spot::thaw(OsString::from(path).into(), identity));
        }
        let auth = http.auth.unwrap_or(default_auth());
        let token = Token::of_state_or_none(&places.state, frozen.token.as_ref());
        let names = names(http.tls.as_ref());
        let mut stand = stand((entries, spot), names, (auth, token), shared)?;
        stand.asked = frozen.asked;
        let connections = frozen.connections.into_iter().map(Loose::thaw);
        if let Some(inner) = &mut stand.inner {
            inner.loose = connections.collect::<io::Result<_>>()?;
        }
        let tubes = stand.go_on();
        Ok((stand, tubes))
    }

    /// How far connections are from being let go.
    pub(crate) fn readiness(&self) -> Readiness {
        let inner = self.inner.as_ref();
        inner.map_or_else(
            || Readiness::Can {
                owed: BTreeSet::new(),
                slow: BTreeSet::new(),
            },
            |inner| inner.front.readiness(),
        )
    }

    /// Has requests that have not begun wait, until connections go on. Who was let in by a token that counts no
    /// longer has to go before anything is handed over.
    pub(crate) fn pause(&self) {
        if let Some(inner) = &self.inner {
            inner.front.gate.token().look();
            inner.front.pause(true);
        }
    }

    /// Has what clients have not taken by now go along with their connections.
    pub(crate) fn is_late(&self) {
        if let Some(inner) = &self.inner {
            inner.front.is_late();
        }
    }

    /// Lets nobody in, and has all connections let go, which must be ready for it; whether they were.
    pub(crate) async fn let_go(&mut self) -> bool {
        let Some(inner) = &mut self.inner else {
            return true;
        };
        inner.open = None;
        inner.front.let_all_go();
        let all = u32::try_from(inner.front.connections_max).unwrap_or(u32::MAX);
        // All have their places back when all have ended, and none takes long.
        let places = Arc::clone(&inner.front.connections).acquire_many_owned(all);
        let all_ended = time::timeout(LET_GO_PATIENCE, places).await;
        while let Ok(loose) = inner.let_go.try_recv() {
            inner.loose.push(loose);
        }
        all_ended.is_ok()
    }

    /// What the program that takes our place goes on with.
    pub(crate) fn freeze<'a>(&'a self, handed: &mut Handed<'a>) -> Option<FrozenHttp> {
        let inner = self.inner.as_ref()?;
        let (mut listeners, mut servers, mut socket) = (Vec::new(), Vec::new(), None);
        let mut secure = Vec::new();
        for entry in &inner.entries {
            let descriptor = handed.over(entry.as_fd());
            match (&**entry, &inner.spot) {
                (entry @ (Entry::Tcp(_, only) | Entry::Secure(_, only, _)), _) => {
                    listeners.push(descriptor);
                    servers.push(only.clone());
                    secure.push(matches!(entry, Entry::Secure(..)));
                }
                (Entry::Unix(_), Some(spot)) => {
                    let (path, identity) = spot.freeze();
                    socket = Some((descriptor, path.into_os_string().into(), identity));
                }
                // There is a place for each.
                (Entry::Unix(_), None) => {}
            }
        }
        // Those over TLS end with whoever speaks that for us.
        let connections = inner.loose.iter().filter(|loose| loose.can_move());
        Some(FrozenHttp {
            listeners,
            only: servers,
            secure,
            socket,
            connections: connections.map(|loose| loose.freeze(handed)).collect(),
            token: Some(inner.front.gate.token().freeze()),
            asked: self.asked.clone(),
        })
    }

    /// Serves those on who were let go, and lets people in again.
    pub(crate) fn go_on(&mut self) -> AllTubes {
        let mut tubes = AllTubes::default();
        let Some(inner) = &mut self.inner else {
            return tubes;
        };
        inner.front.pause(false);
        // Some may have been let go after we had stopped waiting for them.
        while let Ok(loose) = inner.let_go.try_recv() {
            inner.loose.push(loose);
        }
        for loose in std::mem::take(&mut inner.loose) {
            loose.go_on(&inner.front, &mut tubes);
        }
        if inner.open.is_none() {
            let (open, is_open) = watch::channel(());
            for entry in &inner.entries {
                let (front, entry) = (Arc::clone(&inner.front), Arc::clone(entry));
                tasks::spawn("http door", stand_at(front, entry, is_open.clone()));
            }
            let front = Arc::clone(&inner.front);
            tasks::spawn("token", watch_token(front, is_open.clone()));
            let front = Arc::clone(&inner.front);
            tasks::spawn("http look", look_after(front, is_open));
            inner.open = Some(open);
        }
        tubes
    }
}

/// With what TLS is spoken, or nothing: a program that takes another's place cannot refuse to.
fn acceptor_or_none(http: &Http) -> Option<Acceptor> {
    Acceptor::of(http.tls.as_ref()?)
        .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "there is no TLS"))
        .ok()
}

/// What clients call this machine over TLS.
fn names(tls: Option<&Tls>) -> &[String] {
    tls.map_or(&[], |tls| &tls.names)
}

/// Where the system says who has connected, that will do.
fn default_auth() -> HttpAuth {
    if cfg!(target_os = "linux") {
        HttpAuth::SameUser
    } else {
        HttpAuth::Token
    }
}

fn listen(
    wanted: &Wanted,
    mut passed: Vec<StdListener>,
    (auth, state): (HttpAuth, &Path),
    shared: Shared<'_>,
) -> anyhow::Result<HttpStand> {
    let mut entries = Vec::new();
    let acceptor = wanted.acceptor()?;
    for Listen {
        address,
        server,
        is_secure,
    } in &wanted.addresses
    {
        let is_there = |it: &StdListener| it.local_addr().is_ok_and(|there| there == *address);
        let listener = match passed.iter().position(is_there) {
            Some(at) => Some(TcpListener::from_std(passed.swap_remove(at))?),
            None => bind(*address, wanted.addresses.len())?,
        };
        if let Some(listener) = listener {
            let only = server.as_ref().map(|server| Arc::from(server.as_str()));
            entries.push(match &acceptor {
                Some(acceptor) if *is_secure => Entry::Secure(listener, only, acceptor.clone()),
                // That it is has a certificate, or the configuration is refused.
                Some(_) | None => Entry::Tcp(listener, only),
            });
        }
    }
    let mut spot = None;
    if let Some(path) = &wanted.socket {
        let (listener, taken) = socket::listen(path)?;
        entries.push(Entry::Unix(listener));
        spot = Some(taken);
    }
    let token = Token::of_state(state)?;
    let names = names(wanted.tls.as_ref());
    let mut stand = stand((entries, spot), names, (auth, token), shared)?;
    stand.go_on();
    let listening = &stand.listening;
    let all: Vec<SocketAddr> = listening.addresses.iter().map(|it| it.address).collect();
    observe::listening_for_http(&all, listening.socket.as_deref());
    Ok(stand)
}

/// A stand with these ways in, where nobody is let in yet.
fn stand(
    (entries, spot): (Vec<Entry>, Option<Spot>),
    names: &[String],
    (auth, token): (HttpAuth, Token),
    shared: Shared<'_>,
) -> anyhow::Result<HttpStand> {
    let mut addresses = Vec::new();
    for entry in &entries {
        let (listener, only, is_secure) = match entry {
            Entry::Tcp(listener, only) => (listener, only, false),
            Entry::Secure(listener, only, _) => (listener, only, true),
            Entry::Unix(_) => continue,
        };
        addresses.push(Listen {
            address: listener.local_addr()?,
            server: only.as_deref().map(str::parse).transpose()?,
            is_secure,
        });
    }
    let gate = Gate::new(&addresses, names, (auth, token));
    let places = (shared.sessions, shared.connections);
    let (inbox, room) = (shared.inbox.clone(), Arc::clone(shared.room));
    let (loose, let_go) = mpsc::channel(shared.connections.max(1));
    let front = Front::new(gate, inbox, room, shared.limits, places, loose);
    Ok(HttpStand {
        listening: Listening {
            addresses,
            socket: spot.as_ref().map(|spot| spot.path().to_owned()),
            auth: Some(auth),
            trouble: None,
            next: None,
        },
        asked: Asked::default(),
        inner: Some(Inner {
            front: Arc::new(front),
            entries: entries.into_iter().map(Arc::new).collect(),
            spot,
            open: None,
            let_go,
            loose: Vec::new(),
        }),
    })
}

/// Listens at this address, one of so many; `None` if the machine has no such addresses at all.
fn bind(address: SocketAddr, of: usize) -> anyhow::Result<Option<TcpListener>> {
    match try_bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && of > 1 => {
            tracing::debug!(%address, %error, "cannot listen there");
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = holder::name(address);
            Err(anyhow!(
                "{address} was taken by {holder} when the daemon started; end that if it still has it, or \
                 name another address in `http.listen`"
            ))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen at {address}")),
    }
}

fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
