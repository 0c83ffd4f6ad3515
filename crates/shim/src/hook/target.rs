//! Where an event goes that leaves this installation: a URL, and a connection that ends by its deadline.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    time::Duration,
};

use tungstenite::http::Uri;

use super::{Deadline, Failure, within};
use crate::meet::is_silence;

/// A URL that an event can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
    host: String,
    port: u16,
    is_secure: bool,
}

/// What is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// It cannot be read as one.
    NoUrl,
    /// It wants TLS.
    WantsTls,
    /// Another scheme.
    OtherScheme,
    /// It is none for WebSockets, where it has to be.
    NoSocket,
    /// It says who we are.
    HasUser,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadUrl::NoUrl => "it must be as http://127.0.0.1:8080/path or ws://127.0.0.1:8080",
            BadUrl::WantsTls => {
                "hooks speak no TLS, which takes longer than they may; name a server of this \
                 machine, or put one before it"
            }
            BadUrl::OtherScheme => "it must begin with http:// or ws://",
            BadUrl::NoSocket => "it must begin with ws:// or wss://",
            BadUrl::HasUser => "it must name no user; a token goes by --bearer-env",
        })
    }
}

/// What may be shown of a word that is, or was meant to be, a URL: no more than its scheme. Behind that there may be
/// a user, a password or a token, and where one that cannot be read has them, nobody knows.
pub(crate) fn shown(url: &str) -> String {
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    match url.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(is_of_scheme) => format!("{scheme}://…"),
        _ => "…".to_owned(),
    }
}

impl Url {
    /// Reads it; says also whether it is one for WebSockets.
    pub(super) fn parse(text: &str) -> Result<(Self, bool), BadUrl> {
        let (url, is_web_socket) = Self::parse_any(text)?;
        if url.is_secure {
            return Err(BadUrl::WantsTls);
        }
        Ok((url, is_web_socket))
    }

    /// Reads one for WebSockets, with TLS or without.
    pub(crate) fn of_socket(text: &str) -> Result<Self, BadUrl> {
        match Self::parse_any(text) {
            Ok((url, true)) => Ok(url),
            Ok((_, false)) | Err(BadUrl::OtherScheme) => Err(BadUrl::NoSocket),
            Err(why) => Err(why),
        }
    }

    fn parse_any(text: &str) -> Result<(Self, bool), BadUrl> {
        let uri: Uri = text.parse().map_err(|_| BadUrl::NoUrl)?;
        let (is_web_socket, is_secure) = match uri.scheme_str() {
            Some("http") => (false, false),
            Some("https") => (false, true),
            Some("ws") => (true, false),
            Some("wss") => (true, true),
            Some(_other) => return Err(BadUrl::OtherScheme),
            None => return Err(BadUrl::NoUrl),
        };
        let authority = uri.authority().ok_or(BadUrl::NoUrl)?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::HasUser);
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(BadUrl::NoUrl);
        }
        let url = Url {
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if is_secure { 443 } else { 80 }),
            is_secure,
            uri,
        };
        Ok((url, is_web_socket))
    }

    /// Whether it leads to this machine whatever other names mean.
    pub(super) fn is_of_this_machine(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.is_localhost() || address.is_some_and(|address| address.is_loopback())
    }

    /// Never anybody else, whatever a name server says (RFC 6761, section 6.3).
    fn is_localhost(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
    }

    /// Whether TLS is spoken there.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// A name, or an address without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Host and port, as a request names them.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |it| it.as_str())
    }

    /// Path and query, as a request names them.
    pub(super) fn path_and_query(&self) -> &str {
        let path = self.uri.path_and_query().map_or("/", |it| it.as_str());
        if path.is_empty() { "/" } else { path }
    }

    /// What stands behind the `?`.
    pub(super) fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// A connection to there.
    pub(crate) fn connect(&self, deadline: Deadline) -> Result<Timed<TcpStream>, Failure> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in self.addresses(deadline)? {
            match TcpStream::connect_timeout(&address, deadline.left()?) {
                Ok(stream) => {
                    // What is written is written at once; without this it only may take longer.
                    let _slower = stream.set_nodelay(true);
                    return Ok(Timed { stream, deadline });
                }
                Err(error) => last = error,
            }
        }
        if is_silence(&last) {
            return Err(Failure::TimedOut(deadline.whole));
        }
        let authority = self.authority();
        Err(Failure::Said(format!(
            "cannot connect to {authority}: {last}"
        )))
    }

    /// Its addresses. Names may take as long as they like to be found, so somebody else waits for that.
    fn addresses(&self, deadline: Deadline) -> Result<Vec<SocketAddr>, Failure> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        if self.is_localhost() {
            let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(own.map(|own| SocketAddr::new(own, self.port)).to_vec());
        }
        let named = (self.host.clone(), self.port);
        let find = move || named.to_socket_addrs().map(Iterator::collect);
        within(deadline, find)?
            .map_err(|error| Failure::Said(format!("cannot find the host {}: {error}", self.host)))
    }
}

/// A stream that can be told how long to wait.
pub(super) trait Patient {
    fn read_within(&self, time: Duration) -> io::Result<()>;
    fn write_within(&self, time: Duration) -> io::Result<()>;
}

impl Patient for TcpStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }

    fn write_within(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }
}

impl Patient for UnixStream {
    fn read_within(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }

    fn write_within(&self, time: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(time))
    }
}

/// Bytes both ways.
pub trait Channel: Read + Write {}

impl<Stream: Read + Write> Channel for Stream {}

/// A stream of which nothing lasts longer than until a deadline.
#[derive(Debug)]
pub(crate) struct Timed<Stream> {
    pub(super) stream: Stream,
    pub(super) deadline: Deadline,
}

impl<Stream> Timed<Stream> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.left();
        left.map_err(|_| io::ErrorKind::TimedOut.into())
    }
}

impl<Stream: Patient + Read> Read for Timed<Stream> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read_within(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl<Stream: Patient + Write> Write for Timed<Stream> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write_within(self.left()?)?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(Url, bool), BadUrl> {
        Url::parse(text)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let (url, is_web_socket) = parsed("http://[::1]:81/a?b=c").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, is_web_socket),
            ("::1", 81, false)
        );
        assert_eq!(url.authority(), "[::1]:81");
        assert_eq!(url.path_and_query(), "/a?b=c");
        assert!(url.is_of_this_machine());
        let (url, is_web_socket) = parsed("ws://localhost").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, is_web_socket),
            ("localhost", 80, true)
        );
        assert_eq!(url.path_and_query(), "/");
        assert!(url.is_of_this_machine());
        // Another name may mean anything.
        let (url, _) = parsed("http://localhost.example/").unwrap();
        assert!(!url.is_of_this_machine());
    }

    #[test]
    fn a_daemon_with_tls_is_at_its_own_port_and_a_page_is_no_daemon() {
        let url = Url::of_socket("wss://h/mcp").unwrap();
        assert_eq!((url.port, url.is_secure(), url.host()), (443, true, "h"));
        assert!(!Url::of_socket("ws://h").unwrap().is_secure());
        for text in ["http://h", "https://h", "ftp://h"] {
            assert_eq!(Url::of_socket(text), Err(BadUrl::NoSocket), "{text}");
        }
        assert_eq!(Url::of_socket("h:1"), Err(BadUrl::NoUrl));
    }

    #[test]
    fn of_a_url_only_the_scheme_is_shown() {
        for (url, expected) in [
            ("ftp://me:pw@h/", "ftp://…"),
            ("https://h/mcp?token=pw", "https://…"),
            ("ws://me:p w@h", "ws://…"),
            ("me:pw@h/?a=b://c", "…"),
            ("h", "…"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_no_event_can_be_sent_to_is_refused() {
        for (text, why) in [
            ("", BadUrl::NoUrl),
            ("127.0.0.1:80", BadUrl::NoUrl),
            ("/hook", BadUrl::NoUrl),
            ("http://", BadUrl::NoUrl),
            ("http://a b/", BadUrl::NoUrl),
            ("https://h/", BadUrl::WantsTls),
            ("wss://h/", BadUrl::WantsTls),
            ("ftp://h/", BadUrl::OtherScheme),
            ("http://me:secret@127.0.0.1/", BadUrl::HasUser),
        ] {
            assert_eq!(parsed(text).unwrap_err(), why, "{text}");
        }
    }
}
