//! Where a server runs: an address, taken apart.
//!
//! **Invariant:** a target has no user and no password, and what is shown of it has no query: there may be a
//! secret in it.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use hyper::Uri;

/// Path of a server on a unix socket, unless its address says another.
const DEFAULT_PATH: &str = "/mcp";

/// An address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) protocol: Protocol,
    pub(super) place: Place,
    /// Path and query.
    pub(super) path: String,
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    WebSocket,
}

/// Where it is spoken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Socket(PathBuf),
    Network {
        /// A name, or an address without brackets.
        host: String,
        port: u16,
        is_secure: bool,
    },
}

impl Target {
    /// Reads an address. The error is for a person and quotes nothing that may be a secret.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url
            .strip_prefix("unix:")
            .or(url.starts_with('/').then_some(url))
        {
            return Self::of_socket(path);
        }
        let uri: Uri = url.parse().map_err(|_| "is no address".to_owned())?;
        let (protocol, is_secure) = match uri.scheme_str() {
            Some("http") => (Protocol::Http, false),
            Some("https") => (Protocol::Http, true),
            Some("ws") => (Protocol::WebSocket, false),
            Some("wss") => (Protocol::WebSocket, true),
            Some(_) | None => {
                let known = config::SCHEMES.join(", ");
                return Err(format!("must begin with one of {known}, or `/`"));
            }
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            let what = "must not hold a user or a password; put what the server wants to see into `headers`";
            return Err(what.to_owned());
        }
        let host = authority
            .host()
            .trim_matches(['[', ']'])
            .to_ascii_lowercase();
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Target {
            protocol,
            place: Place::Network {
                host,
                port: authority
                    .port_u16()
                    .unwrap_or(if is_secure { 443 } else { 80 }),
                is_secure,
            },
            path: path.to_owned(),
        })
    }

    /// `/run/x.sock` or `/run/x.sock:/path`.
    fn of_socket(text: &str) -> Result<Self, String> {
        let (socket, path) = match text.split_once(":/") {
            Some((socket, path)) => (socket, format!("/{path}")),
            None => (text, DEFAULT_PATH.to_owned()),
        };
        let path: Uri = path
            .parse()
            .map_err(|_| "has no path behind `:`".to_owned())?;
        Ok(Target {
            protocol: Protocol::Http,
            place: Place::Socket(Path::new(socket).to_path_buf()),
            path: path
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }

    /// Whether it is HTTP that is spoken there.
    pub(crate) fn is_http(&self) -> bool {
        self.protocol == Protocol::Http
    }

    /// What stands in the header `Host`.
    pub(super) fn authority(&self) -> String {
        match &self.place {
            Place::Socket(_) => "localhost".to_owned(),
            Place::Network { host, port, .. } => {
                let host = if host.parse::<IpAddr>().is_ok_and(|host| host.is_ipv6()) {
                    format!("[{host}]")
                } else {
                    host.clone()
                };
                if *port == self.default_port() {
                    host
                } else {
                    format!("{host}:{port}")
                }
            }
        }
    }

    /// Where a redirect, or the endpoint that a server names, leads to; `None` if that is another origin,
    /// which must not see what is for this one.
    pub(super) fn within(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let uri: Uri = location.parse().ok()?;
            return uri.path_and_query().map(|path| path.as_str().to_owned());
        }
        if !location.contains("://") {
            if location.starts_with("//") || location.contains(':') {
                return None;
            }
            let path = self.path.split('?').next().unwrap_or_default();
            let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
            let uri: Uri = format!("{folder}{location}").parse().ok()?;
            return uri.path_and_query().map(|path| path.as_str().to_owned());
        }
        let other = Target::parse(location).ok()?;
        (other.protocol == self.protocol && other.place == self.place).then_some(other.path)
    }

    fn scheme(&self) -> &'static str {
        let is_secure = matches!(
            self.place,
            Place::Network {
                is_secure: true,
                ..
            }
        );
        match (self.protocol, is_secure) {
            (Protocol::Http, false) => "http",
            (Protocol::Http, true) => "https",
            (Protocol::WebSocket, false) => "ws",
            (Protocol::WebSocket, true) => "wss",
        }
    }

    fn default_port(&self) -> u16 {
        match &self.place {
            Place::Network {
                is_secure: true, ..
            } => 443,
            Place::Network { .. } | Place::Socket(_) => 80,
        }
    }

    /// The whole address, with what may be a secret.
    pub(super) fn whole(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl fmt::Display for Target {
    /// Without the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        match &self.place {
            Place::Socket(socket) => write!(f, "unix:{}:{path}", socket.display()),
            Place::Network { .. } => write!(f, "{}://{}{path}", self.scheme(), self.authority()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_shown_without_its_query() {
        for (url, shown, path) in [
            (
                "http://127.0.0.1:3000/mcp?key=1",
                "http://127.0.0.1:3000/mcp",
                "/mcp?key=1",
            ),
            ("https://host", "https://host/", "/"),
            ("https://host:443/x", "https://host/x", "/x"),
            ("ws://[::1]:99/ws", "ws://[::1]:99/ws", "/ws"),
            ("wss://host/a/b", "wss://host/a/b", "/a/b"),
            ("unix:/run/a.sock", "unix:/run/a.sock:/mcp", "/mcp"),
            ("/run/a.sock:/x?y", "unix:/run/a.sock:/x", "/x?y"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.to_string().as_str(), target.path.as_str()),
                (shown, path)
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_a_word_of_it() {
        for url in [
            "",
            "host",
            "ftp://host/secret",
            "http://",
            "https://me:secret@host/",
            "http:// secret/",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_what_is_at_the_same_origin_is_within() {
        let target = Target::parse("https://host/a/mcp?x").unwrap();
        for (location, path) in [
            ("/other?y=1", Some("/other?y=1")),
            ("https://host/b", Some("/b")),
            ("https://host:443/b", Some("/b")),
            ("https://HOST/b", Some("/b")),
            ("messages?id=7", Some("/a/messages?id=7")),
            ("http://host/b", None),
            ("https://host:444/b", None),
            ("https://other/b", None),
            ("wss://host/b", None),
            ("//other/b", None),
            ("https://host@other/b", None),
            ("https://me@host/b", None),
            ("javascript:alert(1)", None),
        ] {
            assert_eq!(target.within(location).as_deref(), path, "{location}");
        }
    }
}
