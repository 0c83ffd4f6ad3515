//! Where the configuration wants the daemon to listen over HTTP.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use config::{Http, HttpSocket, Listen, Tls};
use serde::{Deserialize, Serialize};
use shim::places::Places;

use super::{secure::Acceptor, socket};

/// Where the daemon listens if nobody says otherwise.
const PORT: u16 = 7665;

/// Where it is wanted that we listen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) addresses: Vec<Listen>,
    pub(super) tls: Option<Tls>,
    pub(super) socket: Option<PathBuf>,
}

impl Wanted {
    /// An installation beside the usual one has no port unless it is told one: both would want the same. Who
    /// wants no port wants no socket, unless it is told so.
    pub(super) fn of(http: &Http, places: &Places) -> Self {
        let addresses = match (&http.listen, &places.home) {
            (Some(addresses), _) => addresses.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) => at_port(PORT),
        };
        let usual = socket::beside(&places.socket);
        let socket = match &http.socket {
            Some(HttpSocket::At(path)) => Some(path.clone()),
            Some(HttpSocket::Usual) => Some(usual),
            None if !addresses.is_empty() => Some(usual),
            Some(HttpSocket::Off) | None => None,
        };
        Wanted {
            addresses,
            tls: http.tls.clone(),
            socket,
        }
    }

    /// With what TLS is spoken, if it is anywhere.
    pub(super) fn acceptor(&self) -> anyhow::Result<Option<Acceptor>> {
        let is_wanted = self.addresses.iter().any(|listen| listen.is_secure);
        let tls = self.tls.as_ref().filter(|_| is_wanted);
        tls.map(Acceptor::of).transpose()
    }

    /// Each place in words, for a person and to be compared with what was wanted before.
    fn told(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(|listen| {
            let scheme = if listen.is_secure { "https" } else { "http" };
            let path = if listen.server.is_some() { "" } else { "/NAME" };
            let server = listen.server.as_ref();
            let server = server.map_or_else(String::new, |server| format!(" ({server})"));
            format!("{scheme}://{}/mcp{path}{server}", listen.address)
        });
        let socket = self.socket.iter().map(|path| path.display().to_string());
        addresses.chain(socket).collect()
    }
}

/// Where the file had a daemon listen when that began to; nothing if it was not the file that said where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked(Option<Vec<String>>);

impl Asked {
    pub(crate) fn by_file(http: &Http, places: &Places) -> Self {
        Asked(Some(Wanted::of(http, places).told()))
    }

    /// Where the file has the next daemon listen, if that is elsewhere by now.
    pub(crate) fn instead(&self, http: &Http, places: &Places) -> Option<Vec<String>> {
        let then = self.0.as_ref()?;
        let now = Wanted::of(http, places).told();
        (now != *then).then_some(now)
    }
}

/// Where a daemon of these places listens over HTTP, with this configuration.
pub fn http_addresses(http: &Http, places: &Places) -> Vec<SocketAddr> {
    let wanted = Wanted::of(http, places).addresses;
    wanted.into_iter().map(|it| it.address).collect()
}

/// This port of this machine, for itself.
pub(crate) fn at_port(port: u16) -> Vec<Listen> {
    let all = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let listen = |address| Listen {
        address: SocketAddr::new(address, port),
        server: None,
        is_secure: false,
    };
    all.map(listen).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_installation_has_a_port_of_its_own_accord() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = Places::find(Some(folder.path())).unwrap();
        let listen = |http: &Http, places: &Places| {
            let wanted = Wanted::of(http, places);
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
                is_secure: false,
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

    #[test]
    fn what_the_file_says_later_is_told_and_only_if_it_was_the_file_that_said_where() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::find(Some(folder.path())).unwrap();
        let at = |text: &str, server: Option<&str>| Http {
            listen: Some(vec![Listen {
                address: text.parse().unwrap(),
                server: server.map(|server| server.parse().unwrap()),
                is_secure: false,
            }]),
            socket: Some(HttpSocket::Off),
            ..Http::default()
        };
        let asked = Asked::by_file(&at("127.0.0.1:1", None), &places);
        assert_eq!(asked.instead(&at("127.0.0.1:1", None), &places), None);
        let elsewhere = asked.instead(&at("127.0.0.1:2", None), &places);
        assert_eq!(elsewhere.unwrap(), ["http://127.0.0.1:2/mcp/NAME"]);
        let for_one = asked.instead(&at("127.0.0.1:1", Some("one")), &places);
        assert_eq!(for_one.unwrap(), ["http://127.0.0.1:1/mcp (one)"]);
        let nowhere = asked.instead(&Http::default(), &places);
        assert_eq!(nowhere, Some(Vec::new()));
        let nobody = Asked::default();
        assert_eq!(nobody.instead(&at("127.0.0.1:2", None), &places), None);
    }
}
