//! Where the daemon listens over HTTP: at all of its addresses, or nowhere.
//!
//! **Invariant:** it never listens at a port that nobody has named, and what keeps it from listening is told.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow};
use config::{Http, HttpAuth, HttpSocket, Listen};
use mux::Limits;
use shim::places::Places;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc::Sender, watch},
};

use super::{
    Entry, Front,
    gate::Gate,
    holder,
    socket::{self, Spot},
    stand_at,
    token::Token,
    watch_token,
};
use crate::{hub::Input, link::Room, observe, tasks};

/// Where the daemon listens if nobody says otherwise.
const PORT: u16 = 7665;

/// Where we listen, for `status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listening {
    pub(crate) addresses: Vec<Listen>,
    /// The unix socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) auth: Option<HttpAuth>,
    /// Why it is nowhere, though it should be somewhere.
    pub(crate) trouble: Option<String>,
}

/// The listeners, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct HttpStand {
    pub(crate) listening: Listening,
    _open: Option<watch::Sender<()>>,
    _spot: Option<Spot>,
}

/// Where it is wanted that we listen.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    addresses: Vec<Listen>,
    socket: Option<PathBuf>,
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
        if wanted.addresses.is_empty() && wanted.socket.is_none() {
            return HttpStand::default();
        }
        let auth = http.auth.unwrap_or(default_auth());
        match listen(wanted, auth, &places.state, shared) {
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
}

/// An installation beside the usual one has no port unless it is told one: both would want the same. Who
/// wants no port wants no socket, unless it is told so.
fn wanted(http: &Http, places: &Places) -> Wanted {
    let addresses = match (&http.listen, &places.home) {
        (Some(addresses), _) => addresses.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .map(|address| Listen {
            address: SocketAddr::new(address, PORT),
            server: None,
        })
        .to_vec(),
    };
    let usual = socket::beside(&places.socket);
    let socket = match &http.socket {
        Some(HttpSocket::At(path)) => Some(path.clone()),
        Some(HttpSocket::Usual) => Some(usual),
        None if !addresses.is_empty() => Some(usual),
        Some(HttpSocket::Off) | None => None,
    };
    Wanted { addresses, socket }
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
    wanted: Wanted,
    auth: HttpAuth,
    state: &Path,
    shared: Shared<'_>,
) -> anyhow::Result<HttpStand> {
    let (mut entries, mut addresses) = (Vec::new(), Vec::new());
    for Listen { address, server } in &wanted.addresses {
        let Some(listener) = bind(*address, wanted.addresses.len())? else {
            continue;
        };
        addresses.push(Listen {
            address: listener.local_addr()?,
            server: server.clone(),
        });
        let only = server.as_ref().map(|server| Arc::from(server.as_str()));
        entries.push(Entry::Tcp(listener, only));
    }
    let mut spot = None;
    if let Some(path) = &wanted.socket {
        let (listener, taken) = socket::listen(path)?;
        entries.push(Entry::Unix(listener));
        spot = Some(taken);
    }
    let token = Token::of_state(state)?;
    let all: Vec<SocketAddr> = addresses.iter().map(|listen| listen.address).collect();
    let gate = Gate::new(&all, auth, token);
    let places = (shared.sessions, shared.connections);
    let (inbox, room) = (shared.inbox.clone(), Arc::clone(shared.room));
    let front = Arc::new(Front::new(gate, inbox, room, shared.limits, places));
    let (open, is_open) = watch::channel(());
    for entry in entries {
        tasks::spawn(
            "http door",
            stand_at(Arc::clone(&front), entry, is_open.clone()),
        );
    }
    tasks::spawn("token", watch_token(front, is_open));
    observe::listening_for_http(&all, wanted.socket.as_deref());
    Ok(HttpStand {
        listening: Listening {
            addresses,
            socket: wanted.socket,
            auth: Some(auth),
            trouble: None,
        },
        _open: Some(open),
        _spot: spot,
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
                "{address} is taken by {holder}; end that, or name another address in `http.listen`"
            ))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen at {address}")),
    }
}

fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
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
            let wanted = wanted(http, places);
            let addresses = wanted.addresses.iter().map(|it| it.address.to_string());
            let socket = wanted.socket.iter().filter_map(|path| path.file_name());
            let socket = socket.map(|name| name.to_string_lossy().into_owned());
            addresses.chain(socket).collect::<Vec<_>>()
        };
        assert!(listen(&Http::default(), &places).is_empty());
        let own = Http {
            listen: Some(vec![Listen {
                address: "127.0.0.1:1".parse().unwrap(),
                server: None,
            }]),
            ..Http::default()
        };
        assert_eq!(listen(&own, &places), ["127.0.0.1:1", "http.sock"]);
        let without = Http {
            socket: Some(HttpSocket::Off),
            ..own
        };
        assert_eq!(listen(&without, &places), ["127.0.0.1:1"]);
        let alone = Http {
            socket: Some(HttpSocket::At("/elsewhere/alone".into())),
            ..Http::default()
        };
        assert_eq!(listen(&alone, &places), ["alone"]);
        places.home = None;
        assert_eq!(
            listen(&Http::default(), &places),
            ["127.0.0.1:7665", "[::1]:7665", "http.sock"]
        );
        let off = Http {
            listen: Some(Vec::new()),
            ..Http::default()
        };
        assert!(listen(&off, &places).is_empty());
    }
}
