//! Who may come in over HTTP: looked at before anything else is, on every path that there is or is not.
//!
//! **Invariant:** nothing of a request is served, and no more of it is read than its head, before it is clear
//! that no page of a browser has sent it and who has.

use std::net::SocketAddr;

use config::{HttpAuth, Listen};
use hyper::{
    HeaderMap, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, VIA},
    http::request::Parts,
};

use super::{
    Caller, Generation, HttpFault, peer,
    routes::{Admits, Route},
    token::Token,
};

/// The rules.
#[derive(Debug)]
pub(super) struct Gate {
    /// What a request may be for, exactly.
    hosts: Vec<String>,
    /// Where a page may be from: ours, which are not over TLS.
    origins: Vec<String>,
    auth: HttpAuth,
    token: Token,
}

/// What is known of whoever has made the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A process of our user, as the system says.
    SameUser,
    /// The same, at a unix socket that nobody else can reach: no host is named there, and no page of a
    /// browser gets there.
    AtOurSocket,
    /// Anybody.
    Unknown,
    /// Anybody, perhaps at another machine: only the token counts.
    Elsewhere,
}

/// A request that has passed.
#[derive(Debug)]
pub(super) struct Passed<'r> {
    pub(super) caller: Caller,
    /// The token that it has brought, if it was let in by one.
    pub(super) token: Option<Generation>,
    pub(super) route: &'static Route,
    /// What stands for the name in the route's path.
    pub(super) name: &'r str,
}

/// What this machine is called by itself.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The port of `https` URLs that name none.
const HTTPS: u16 = 443;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What only somebody in between adds. Whoever stands behind that is not the one that has connected.
const FORWARDED: [&str; 3] = ["forwarded", "x-real-ip", VIA_NAME];
const VIA_NAME: &str = "via";
const FORWARDED_PREFIXES: [&str; 2] = ["x-forwarded-", "cf-"];

impl Gate {
    /// One in front of these addresses. Over TLS this machine has these names.
    pub(super) fn new(
        addresses: &[Listen],
        names: &[String],
        (auth, token): (HttpAuth, Token),
    ) -> Self {
        let (mut hosts, mut origins) = (Vec::new(), Vec::new());
        for listen in addresses {
            let port = listen.address.port();
            if listen.is_secure {
                hosts.extend(names.iter().map(|name| format!("{name}:{port}")));
                // The usual port goes without saying.
                hosts.extend(names.iter().filter(|_| port == HTTPS).cloned());
            } else {
                hosts.extend(LOOPBACK.map(|name| format!("{name}:{port}")));
                origins.extend(LOOPBACK.map(|name| format!("http://{name}:{port}")));
            }
        }
        Gate {
            hosts,
            origins,
            auth,
            token,
        }
    }

    /// The token that counts now, or none.
    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// Who has made a connection from `peer` to `ours`, if that decides anything here.
    pub(super) fn look_at(&self, peer: SocketAddr, ours: SocketAddr) -> Peer {
        match self.auth {
            HttpAuth::SameUser => peer::find(peer, ours),
            HttpAuth::None | HttpAuth::Token => Peer::Unknown,
        }
    }

    /// Lets a request pass, or says why not.
    pub(super) fn check<'r>(&self, head: &'r Parts, peer: Peer) -> Result<Passed<'r>, HttpFault> {
        if peer != Peer::AtOurSocket {
            self.check_host(head)?;
        }
        self.check_origin(&head.headers)?;
        let row = Route::find(head.uri.path());
        let (caller, token) = match row {
            Some((
                Route {
                    admits: Admits::Everybody,
                    ..
                },
                _,
            )) => (Caller::Anybody, None),
            Some((
                Route {
                    admits: Admits::TheKnown,
                    ..
                },
                _,
            ))
            | None => self.caller(&head.headers, peer)?,
        };
        if head.method == Method::POST && !is_json(&head.headers) {
            return Err(HttpFault::NotJson);
        }
        let (route, name) = row.ok_or(HttpFault::NoSuchPath)?;
        route.check_method(&head.method)?;
        Ok(Passed {
            caller,
            token,
            route,
            name,
        })
    }

    fn check_host(&self, head: &Parts) -> Result<(), HttpFault> {
        let host = only(&head.headers, &HOST)
            .map_err(|_several| HttpFault::NoHost)?
            .ok_or(HttpFault::NoHost)?;
        let is_ours = |host: &[u8]| self.hosts.iter().any(|ours| ours.as_bytes() == host);
        let authority = head.uri.authority();
        if !is_ours(host.as_bytes())
            || authority.is_some_and(|authority| authority.as_str().as_bytes() != host.as_bytes())
        {
            return Err(HttpFault::ForeignHost);
        }
        Ok(())
    }

    /// A browser says where a page is from that sends something.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), HttpFault> {
        let foreign = HttpFault::ForeignOrigin;
        let origin = only(headers, &ORIGIN).map_err(|_several| foreign.clone())?;
        let is_ours = |origin: &HeaderValue| {
            let mut origins = self.origins.iter();
            origins.any(|ours| ours.as_bytes() == origin.as_bytes())
        };
        if origin.is_some_and(|origin| !is_ours(origin)) {
            return Err(foreign);
        }
        let site = only(headers, &SEC_FETCH_SITE).map_err(|_several| foreign.clone())?;
        match site.map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_other) => Err(foreign),
        }
    }

    /// Who asks, and with which token. What somebody in between has passed on may come from anywhere.
    fn caller(
        &self,
        headers: &HeaderMap,
        peer: Peer,
    ) -> Result<(Caller, Option<Generation>), HttpFault> {
        let given = only(headers, &AUTHORIZATION).ok().flatten();
        let given = given.and_then(|given| bearer(given.as_bytes()));
        if let Some(token) = given.and_then(|given| self.token.find(given)) {
            return Ok((Caller::Token, Some(token)));
        }
        let caller = match self.auth {
            HttpAuth::None | HttpAuth::SameUser | HttpAuth::Token if peer == Peer::Elsewhere => {
                return Err(HttpFault::Unauthorized);
            }
            HttpAuth::None if !is_forwarded(headers) => Caller::Anybody,
            HttpAuth::SameUser if peer == Peer::SameUser && !is_forwarded(headers) => {
                Caller::SameUser
            }
            HttpAuth::None | HttpAuth::SameUser | HttpAuth::Token
                if peer == Peer::AtOurSocket && !is_forwarded(headers) =>
            {
                Caller::SameUser
            }
            HttpAuth::None | HttpAuth::SameUser | HttpAuth::Token => {
                return Err(HttpFault::Unauthorized);
            }
        };
        Ok((caller, None))
    }
}

/// The token in a header, if it is one. The scheme may be written in any letters (RFC 9110, section 11.1).
fn bearer(given: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = given.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// There are several headers of this name.
pub(super) struct Several;

/// The header of this name, of which there may be one.
pub(super) fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Several> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Several);
    }
    Ok(first)
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    debug_assert_eq!(VIA.as_str(), VIA_NAME);
    headers.keys().any(|name| {
        FORWARDED.contains(&name.as_str())
            || FORWARDED_PREFIXES
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
    })
}

/// A kind of content without its parameters (RFC 9110, section 8.3.1).
pub(super) fn bare(kind: &[u8]) -> &[u8] {
    let parameters = kind.iter().position(|byte| *byte == b';');
    let bare = kind.get(..parameters.unwrap_or(kind.len()));
    bare.unwrap_or_default().trim_ascii()
}

/// A form of a page cannot say that.
fn is_json(headers: &HeaderMap) -> bool {
    const JSON: &[u8] = b"application/json";
    let Ok(Some(value)) = only(headers, &CONTENT_TYPE) else {
        return false;
    };
    is_kind(bare(value.as_bytes()), JSON)
}

/// Whether these are the same kind. As it is written nearly always takes some instructions, without regard to case
/// some hundreds.
pub(super) fn is_kind(given: &[u8], kind: &[u8]) -> bool {
    given == kind || given.eq_ignore_ascii_case(kind)
}

#[cfg(test)]
mod tests;
