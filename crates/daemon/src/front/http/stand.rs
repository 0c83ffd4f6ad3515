//! Where the daemon listens over HTTP: at all of its addresses, or nowhere.
//!
//! **Invariant:** it never listens at a port that nobody has named, and what keeps it from listening is told.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    os::fd::{AsFd, RawFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use config::{Http, HttpAuth};
use mux::Limits;
use serde::{Deserialize, Serialize};
use shim::places::Places;
use sys::handed;
use tokio::{
    net::TcpListener,
    sync::{
        Semaphore,
        mpsc::{self, Receiver, Sender},
        watch,
    },
    time,
};

use super::{
    Front,
    gate::Gate,
    handover::{FrozenConnection, Loose, Readiness, Tubes},
    holder, stand_at,
    token::Token,
};
use crate::{hub::Input, link::Room, observe, tasks, upgrade::Handed};

/// Where the daemon listens if nobody says otherwise.
const PORT: u16 = 7665;

/// How long all connections may take to be let go that are ready for it.
const LET_GO_PATIENCE: Duration = Duration::from_secs(2);

/// The name of the token's file in the folder of the state.
const TOKEN_FILE: &str = "http-token";

/// Where we listen, for `status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listening {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) auth: Option<HttpAuth>,
    /// Why it is nowhere, though it should be somewhere.
    pub(crate) trouble: Option<String>,
}

/// The listeners, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct HttpStand {
    pub(crate) listening: Listening,
    inner: Option<Inner>,
}

/// What there is if it listens.
#[derive(Debug)]
struct Inner {
    front: Arc<Front>,
    listeners: Vec<Arc<TcpListener>>,
    /// Ends with those who let people in.
    open: Option<watch::Sender<()>>,
    /// Connections that nobody serves any more.
    let_go: Receiver<Loose>,
    loose: Vec<Loose>,
}

/// The listeners and connections as they are handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrozenHttp {
    listeners: Vec<RawFd>,
    connections: Vec<FrozenConnection>,
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
    /// Listens where the configuration says.
    pub(crate) fn take(http: &Http, places: &Places, shared: Shared<'_>) -> HttpStand {
        let wanted = wanted(http, places);
        if wanted.is_empty() {
            return HttpStand::default();
        }
        let auth = http.auth.unwrap_or(default_auth());
        match listen(&wanted, auth, &places.state, shared) {
            Ok(stand) => stand,
            Err(error) => {
                let trouble = format!("{error:#}");
                observe::no_http(&trouble);
                HttpStand {
                    listening: Listening {
                        addresses: Vec::new(),
                        auth: Some(auth),
                        trouble: Some(trouble),
                    },
                    inner: None,
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
    ) -> anyhow::Result<(HttpStand, Tubes)> {
        let listeners = frozen.listeners.into_iter().map(|listener| {
            let listener = StdListener::from(handed::take(listener)?);
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        });
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        let auth = http.auth.unwrap_or(default_auth());
        let mut stand = stand(listeners, auth, &places.state, shared)?;
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

    /// Has requests that have not begun wait, until connections go on.
    pub(crate) fn pause(&self) {
        if let Some(inner) = &self.inner {
            inner.front.pause(true);
        }
    }

    /// Lets nobody in, and has all connections let go, which must be ready for it; whether they were.
    pub(crate) async fn let_go(&mut self) -> bool {
        let Some(inner) = &mut self.inner else {
            return true;
        };
        inner.open = None;
        inner.front.halt.all();
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
        let listeners = inner.listeners.iter();
        let listeners = listeners
            .map(|listener| handed.over(listener.as_fd()))
            .collect();
        let connections = inner.loose.iter();
        Some(FrozenHttp {
            listeners,
            connections: connections.map(|loose| loose.freeze(handed)).collect(),
        })
    }

    /// Serves those on who were let go, and lets people in again.
    pub(crate) fn go_on(&mut self) -> Tubes {
        let mut tubes = Tubes::new();
        let Some(inner) = &mut self.inner else {
            return tubes;
        };
        inner.front.pause(false);
        for loose in std::mem::take(&mut inner.loose) {
            loose.go_on(&inner.front, &mut tubes);
        }
        if inner.open.is_none() {
            let (open, is_open) = watch::channel(());
            for listener in &inner.listeners {
                let (front, listener) = (Arc::clone(&inner.front), Arc::clone(listener));
                tasks::spawn("http door", stand_at(front, listener, is_open.clone()));
            }
            inner.open = Some(open);
        }
        tubes
    }
}

/// An installation beside the usual one has no port unless it is told one: both would want the same.
fn wanted(http: &Http, places: &Places) -> Vec<SocketAddr> {
    match (&http.listen, &places.home) {
        (Some(addresses), _) => addresses.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .map(|address| SocketAddr::new(address, PORT))
        .to_vec(),
    }
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
    wanted: &[SocketAddr],
    auth: HttpAuth,
    state: &Path,
    shared: Shared<'_>,
) -> anyhow::Result<HttpStand> {
    let mut listeners = Vec::new();
    for address in wanted {
        match bind(*address) {
            Ok(listener) => listeners.push(listener),
            // A machine may have no such addresses at all.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && wanted.len() > 1 => {
                tracing::debug!(%address, %error, "cannot listen there");
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let holder = holder::name(*address);
                return Err(anyhow!(
                    "{address} is taken by {holder}; end that, or name another address in `http.listen`"
                ));
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen at {address}"));
            }
        }
    }
    let mut stand = stand(listeners, auth, state, shared)?;
    stand.go_on();
    observe::listening_for_http(&stand.listening.addresses);
    Ok(stand)
}

/// A stand with these listeners, where nobody is let in yet.
fn stand(
    listeners: Vec<TcpListener>,
    auth: HttpAuth,
    state: &Path,
    shared: Shared<'_>,
) -> anyhow::Result<HttpStand> {
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    let token = Token::of_file(&state.join(TOKEN_FILE))?;
    let gate = Gate::new(&addresses, auth, token);
    let places = (shared.sessions, shared.connections);
    let (inbox, room) = (shared.inbox.clone(), Arc::clone(shared.room));
    let (loose, let_go) = mpsc::channel(shared.connections.max(1));
    let front = Front::new(gate, inbox, room, shared.limits, places, loose);
    Ok(HttpStand {
        listening: Listening {
            addresses,
            auth: Some(auth),
            trouble: None,
        },
        inner: Some(Inner {
            front: Arc::new(front),
            listeners: listeners.into_iter().map(Arc::new).collect(),
            open: None,
            let_go,
            loose: Vec::new(),
        }),
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_installation_has_a_port_of_its_own_accord() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = Places::find(Some(folder.path())).unwrap();
        let listen = |http: &Http, places: &Places| {
            let addresses = wanted(http, places);
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert!(listen(&Http::default(), &places).is_empty());
        let own = Http {
            listen: Some(vec!["127.0.0.1:1".parse().unwrap()]),
            ..Http::default()
        };
        assert_eq!(listen(&own, &places), ["127.0.0.1:1"]);
        places.home = None;
        assert_eq!(
            listen(&Http::default(), &places),
            ["127.0.0.1:7665", "[::1]:7665"]
        );
        let off = Http {
            listen: Some(Vec::new()),
            ..Http::default()
        };
        assert!(listen(&off, &places).is_empty());
    }
}
