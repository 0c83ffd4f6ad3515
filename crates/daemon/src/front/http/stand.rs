//! Where the daemon listens over HTTP: at all of its addresses, or nowhere.
//!
//! **Invariant:** it never listens at a port that nobody has named, and what keeps it from listening is told.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, anyhow};
use config::{Http, HttpAuth};
use mux::Limits;
use shim::places::Places;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc::Sender, watch},
};

use super::{Front, gate::Gate, holder, stand_at, token::Token};
use crate::{hub::Input, link::Room, observe, tasks};

/// Where the daemon listens if nobody says otherwise.
const PORT: u16 = 7665;

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
    _open: Option<watch::Sender<()>>,
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
                    _open: None,
                }
            }
        }
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
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    let token = Token::of_file(&state.join(TOKEN_FILE))?;
    let gate = Gate::new(&addresses, auth, token);
    let places = (shared.sessions, shared.connections);
    let (inbox, room) = (shared.inbox.clone(), Arc::clone(shared.room));
    let front = Arc::new(Front::new(gate, inbox, room, shared.limits, places));
    let (open, is_open) = watch::channel(());
    for listener in listeners {
        tasks::spawn(
            "http door",
            stand_at(Arc::clone(&front), listener, is_open.clone()),
        );
    }
    observe::listening_for_http(&addresses);
    Ok(HttpStand {
        listening: Listening {
            addresses,
            auth: Some(auth),
            trouble: None,
        },
        _open: Some(open),
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
