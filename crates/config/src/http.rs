//! The table `[http]` as values.

use std::{fmt, net::SocketAddr, path::PathBuf};

use crate::{IdleTimeout, ServerName, word::words};

/// The table `[http]`; `None` is "keep the default".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Where the daemon listens; empty for nowhere. Without TLS these are addresses of this machine to itself.
    pub listen: Option<Vec<Listen>>,
    /// With what it proves who it is, where it speaks TLS.
    pub tls: Option<Tls>,
    /// Whether it listens at a unix socket, too.
    pub socket: Option<HttpSocket>,
    /// Who may come in.
    pub auth: Option<HttpAuth>,
    /// How long a session may say nothing, wait for nothing and listen to nothing before it is over.
    pub session_idle_timeout: Option<IdleTimeout>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// What is meant there by who names no server; `None` for the only one that there is.
    pub server: Option<ServerName>,
    /// Whether TLS is spoken there. Then [`Http::tls`] says with what.
    pub is_secure: bool,
}

/// With what the daemon proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// A file of certificates (PEM), its own first.
    pub cert: PathBuf,
    /// The file of the private key that belongs to it (PEM).
    pub key: PathBuf,
    /// What clients call this machine in their URLs.
    pub names: Vec<String>,
}

/// A unix socket for HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpSocket {
    /// There is none.
    Off,
    /// In the usual place.
    Usual,
    /// Here.
    At(PathBuf),
}

/// Who may come in over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpAuth {
    /// Programs of the same user, as the system knows them; others with the token.
    SameUser,
    /// Who has the token.
    Token,
    /// Every program of this machine.
    None,
}

words!(HttpAuth {
    SameUser => "same-user",
    Token => "token",
    None => "none",
});

impl fmt::Display for HttpAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
