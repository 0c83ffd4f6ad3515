//! One client session over HTTP or over a WebSocket: a socket, and calls of as few bytes and system calls as
//! there can be, so that what is measured is the other side.
//!
//! A call is written out once, and only its number is changed. Its answer must be the one that the server
//! gave, byte for byte, under the same number.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::session::{INITIALIZE, INITIALIZED};

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The number of the first call; each has as many digits.
const FIRST: u64 = 1_000_000_000;
const DIGITS: usize = 10;

/// The key of our frames is four times this byte.
const MASK: u8 = 0x5a;

/// The first byte of a frame that is a whole message of text; what the second has if it is masked; and what
/// stands there in place of a length that needs two bytes.
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
const LONG: u8 = 0x7e;

/// Whoever says nothing is asked whether it is there, and says so.
const PING: &[u8] = &[0x89, 0];
const PONG: &[u8] = &[0x8a, MASKED, MASK, MASK, MASK, MASK];

const ANSWER_HEAD: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const ANSWER_TAIL: &[u8] = br#","result":{"content":[{"type":"text","text":"hello, server"}]}}"#;

/// What a session goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Http,
    WebSocket,
}

impl Front {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Front::Http => "HTTP",
            Front::WebSocket => "WebSocket",
        }
    }

    fn path_of(self, server: &str) -> String {
        match self {
            Front::Http => format!("/mcp/{server}"),
            Front::WebSocket => format!("/ws/{server}"),
        }
    }
}

/// The other side has ended the connection, or it was broken.
#[derive(Debug)]
pub(crate) struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was closed")
    }
}

impl Error for HungUp {}

/// Whether this has come of the end of a connection, and of nothing that was said on it.
pub(crate) fn is_hung_up(error: &anyhow::Error) -> bool {
    let is_end = |error: &io::Error| {
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
        )
    };
    error.is::<HungUp>() || error.downcast_ref::<io::Error>().is_some_and(is_end)
}

/// A greeted session, with one call in flight or none.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: TcpStream,
    front: Front,
    path: String,
    /// The next call as it is written.
    request: Vec<u8>,
    /// Where its number is, and what each byte of that is masked with.
    digits: Range<usize>,
    mask: u8,
    issued: u64,
    /// What has come of an answer.
    unread: Vec<u8>,
    /// Who it is over HTTP.
    key: String,
}

impl Caller {
    /// A session that has called once, as every session that is of any use has.
    pub(crate) fn open(front: Front, address: SocketAddr) -> anyhow::Result<Caller> {
        let mut caller = Caller::greeted(front, address, "echo")?;
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{FIRST},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"hello, server"}}}}}}"#
        );
        caller.request = caller.written(&call);
        let body_at = caller.request.len() - call.len();
        let number_at = call.find("1000000000").context("a call has a number")?;
        caller.digits = body_at + number_at..body_at + number_at + DIGITS;
        caller.mask = match front {
            Front::Http => 0,
            Front::WebSocket => MASK,
        };
        caller.call().context("calling for the first time")?;
        Ok(caller)
    }

    /// A session on this server that has said no more than hello.
    pub(crate) fn greeted(
        front: Front,
        address: SocketAddr,
        server: &str,
    ) -> anyhow::Result<Caller> {
        let mut caller = Caller {
            stream: connect(address)?,
            front,
            path: front.path_of(server),
            request: Vec::new(),
            digits: 0..0,
            mask: 0,
            issued: FIRST,
            unread: Vec::new(),
            key: String::new(),
        };
        caller.greet().context("greeting")?;
        Ok(caller)
    }

    /// Comes again after its connection is lost: over HTTP to the same session, over a WebSocket to another.
    pub(crate) fn come_again(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.stream = connect(address)?;
        self.unread.clear();
        match self.front {
            Front::Http => Ok(()),
            Front::WebSocket => self.greet().context("greeting"),
        }
    }

    /// Says a message.
    pub(crate) fn say(&mut self, message: &str) -> anyhow::Result<()> {
        let written = self.written(message);
        self.stream.write_all(&written).context("saying something")
    }

    /// The next message that comes, whatever comes behind it.
    pub(crate) fn message(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(body) = self.found()? {
                let end = body.end;
                let message = self.unread[body].to_vec();
                self.unread.drain(..end);
                return Ok(message);
            }
            self.read_some()?;
        }
    }

    /// Ends the session, which over a WebSocket ends with its connection.
    pub(crate) fn leave(mut self) -> anyhow::Result<()> {
        if self.front == Front::Http {
            let (path, key, host) = (&self.path, &self.key, self.stream.peer_addr()?);
            let head =
                format!("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nMcp-Session-Id: {key}\r\n\r\n");
            self.stream.write_all(head.as_bytes()).context("leaving")?;
            self.message().context("leaving")?;
        }
        Ok(())
    }

    /// One call, from before it is written until its answer has been read.
    pub(crate) fn call(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.ask()?;
        while !self.hear()? {}
        Ok(begun.elapsed())
    }

    /// Writes a call.
    pub(crate) fn ask(&mut self) -> anyhow::Result<()> {
        self.issued += 1;
        let mut rest = self.issued;
        for digit in self.request[self.digits.clone()].iter_mut().rev() {
            *digit = digit_of(rest) ^ self.mask;
            rest /= 10;
        }
        self.stream.write_all(&self.request).context("calling")
    }

    /// Reads what there is, at least one byte; whether that was the rest of the answer.
    pub(crate) fn hear(&mut self) -> anyhow::Result<bool> {
        let Some(body) = self.read()? else {
            return Ok(false);
        };
        let answer = &self.unread[body];
        let mut number = [0; DIGITS];
        let mut rest = self.issued;
        for digit in number.iter_mut().rev() {
            *digit = digit_of(rest);
            rest /= 10;
        }
        let middle = answer
            .strip_prefix(ANSWER_HEAD)
            .and_then(|answer| answer.strip_suffix(ANSWER_TAIL));
        ensure!(
            middle == Some(&number),
            "the answer to call {} was {}",
            self.issued,
            String::from_utf8_lossy(answer)
        );
        self.unread.clear();
        Ok(true)
    }

    /// Listens over HTTP, on a connection of its own, as most clients do; it goes on while that is there.
    pub(crate) fn listen(&self) -> anyhow::Result<TcpStream> {
        let mut stream = connect(self.stream.peer_addr()?)?;
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nMcp-Session-Id: {}\r\n\r\n",
            self.path,
            stream.peer_addr()?,
            self.key
        );
        stream.write_all(head.as_bytes()).context("listening")?;
        let mut answer = vec![0; 1024];
        let count = stream.read(&mut answer).context("listening")?;
        let answer = String::from_utf8_lossy(&answer[..count]);
        ensure!(answer.starts_with("HTTP/1.1 200"), "listening: {answer}");
        Ok(stream)
    }

    fn greet(&mut self) -> anyhow::Result<()> {
        match self.front {
            Front::Http => {
                let head = self.exchange(INITIALIZE)?;
                // An endpoint that remembers nobody gives no key.
                let key = head
                    .lines()
                    .find_map(|line| line.strip_prefix("mcp-session-id: "));
                key.unwrap_or("0").clone_into(&mut self.key);
                self.exchange(INITIALIZED)?;
            }
            Front::WebSocket => {
                let address = self.stream.peer_addr()?;
                let wish = format!(
                    "GET {} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n\r\n",
                    self.path
                );
                self.stream.write_all(wish.as_bytes())?;
                while !self.unread.ends_with(b"\r\n\r\n") {
                    self.read_some()?;
                }
                let head = String::from_utf8_lossy(&self.unread);
                ensure!(head.starts_with("HTTP/1.1 101"), "no WebSocket: {head}");
                self.unread.clear();
                self.exchange(INITIALIZE)?;
                self.stream.write_all(&self.written(INITIALIZED))?;
            }
        }
        Ok(())
    }

    /// Says something, and takes what it is answered with; what stands before that.
    fn exchange(&mut self, message: &str) -> anyhow::Result<String> {
        self.stream.write_all(&self.written(message))?;
        let body = loop {
            if let Some(body) = self.read()? {
                break body;
            }
        };
        let head = String::from_utf8_lossy(&self.unread[..body.start]).into_owned();
        self.unread.clear();
        Ok(head)
    }

    /// A message as it goes out.
    fn written(&self, message: &str) -> Vec<u8> {
        match self.front {
            Front::Http => {
                let (path, key, length) = (&self.path, &self.key, message.len());
                let host = self.stream.peer_addr();
                let host = host.map_or_else(|_| String::new(), |host| host.to_string());
                let session = if key.is_empty() {
                    String::new()
                } else {
                    format!("Mcp-Session-Id: {key}\r\nMcp-Protocol-Version: 2025-11-25\r\n")
                };
                format!(
                    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{session}Content-Length: {length}\r\n\r\n{message}"
                )
                .into_bytes()
            }
            Front::WebSocket => frame(message),
        }
    }

    /// Reads what there is; where the body is if it is whole.
    fn read(&mut self) -> anyhow::Result<Option<Range<usize>>> {
        self.read_some()?;
        let Some(body) = self.found()? else {
            return Ok(None);
        };
        ensure!(
            body.end == self.unread.len(),
            "something came behind an answer: {}",
            String::from_utf8_lossy(&self.unread)
        );
        Ok(Some(body))
    }

    /// Where the next body is among what was read, if it is whole.
    fn found(&mut self) -> anyhow::Result<Option<Range<usize>>> {
        let body = match self.front {
            Front::Http => body_of_response(&self.unread)?,
            Front::WebSocket => {
                while self.unread.starts_with(PING) {
                    self.unread.drain(..PING.len());
                    self.stream.write_all(PONG)?;
                }
                body_of_frame(&self.unread)?
            }
        };
        Ok(body.filter(|body| body.end <= self.unread.len()))
    }

    fn read_some(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 2048];
        let count = self.stream.read(&mut chunk).context("no answer")?;
        if count == 0 {
            bail!(HungUp);
        }
        self.unread.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The last digit of a number.
fn digit_of(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// A frame of a client's, with one message in it.
fn frame(message: &str) -> Vec<u8> {
    let mut frame = vec![TEXT];
    if let Ok(length @ ..LONG) = u8::try_from(message.len()) {
        frame.push(MASKED | length);
    } else {
        frame.push(MASKED | LONG);
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(&[MASK; 4]);
    frame.extend(message.bytes().map(|byte| byte ^ MASK));
    frame
}

/// Where the body of a frame is to be, if that can be told already.
fn body_of_frame(bytes: &[u8]) -> anyhow::Result<Option<Range<usize>>> {
    Ok(match *bytes {
        [TEXT, length @ ..LONG, ..] => Some(2..2 + usize::from(length)),
        [TEXT, LONG, high, low, ..] => Some(4..4 + usize::from(u16::from_be_bytes([high, low]))),
        [] | [TEXT] | [TEXT, LONG, ..] => None,
        [other, ..] => bail!("a frame begins with {other:#x}"),
    })
}

/// Where the body of a response is to be, if that can be told already.
fn body_of_response(bytes: &[u8]) -> anyhow::Result<Option<Range<usize>>> {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head_len) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &bytes[..head_len];
    let is_fine = head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.1 202");
    let mut lines = head.split(|byte| *byte == b'\n');
    let length = lines.find_map(|line| line.strip_prefix(LENGTH));
    let length: Option<usize> =
        length.and_then(|digits| str::from_utf8(digits.trim_ascii()).ok()?.parse().ok());
    let (true, Some(length)) = (is_fine, length) else {
        bail!("no plain answer: {}", String::from_utf8_lossy(bytes));
    };
    let begin = head_len + 4;
    Ok(Some(begin..begin + length))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_frame_is_found_again_once_it_is_whole() {
        for message in ["short".to_owned(), "x".repeat(300)] {
            let mut masked = frame(&message);
            let length = masked.len() - message.len() - 4;
            masked.drain(length..length + 4);
            masked[1] &= !MASKED;
            let body = body_of_frame(&masked).unwrap().unwrap();
            let unmasked: Vec<u8> = masked[body].iter().map(|byte| byte ^ MASK).collect();
            assert_eq!(unmasked, message.as_bytes());
            assert_eq!(body_of_frame(&masked[..1]).unwrap(), None);
        }
        assert!(body_of_frame(&[0x89, 0]).is_err(), "a ping alone");
    }

    #[test]
    fn a_connection_has_broken_if_it_ended_and_not_if_something_was_said() {
        let failed =
            |kind: ErrorKind| anyhow::Error::from(io::Error::from(kind)).context("no answer");
        assert!(is_hung_up(&anyhow!(HungUp).context("no answer")));
        assert!(is_hung_up(&failed(ErrorKind::ConnectionReset)));
        assert!(
            !is_hung_up(&failed(ErrorKind::WouldBlock)),
            "that was in time"
        );
        let other = body_of_response(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        assert!(!is_hung_up(&other.unwrap_err()));
    }

    #[test]
    fn the_body_of_a_response_is_found_and_what_is_no_answer_is_said() {
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ndate: today\r\n\r\n{}\n";
        let body = body_of_response(response).unwrap().unwrap();
        assert_eq!(&response[body], b"{}\n");
        assert_eq!(body_of_response(&response[..30]).unwrap(), None);
        assert!(body_of_response(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(
            body_of_response(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err()
        );
    }
}
