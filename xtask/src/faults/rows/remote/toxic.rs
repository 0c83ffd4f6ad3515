//! The server of this row: it serves well, but for the next call after it has taken a poison.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// What it does with a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Poison {
    #[default]
    None,
    /// Answers 404, as if it had been started again.
    Forgets,
    /// Answers byte by byte.
    Drips,
    /// Answers 401.
    Refuses,
    /// Answers 502, when it has done what it was to do.
    Fails,
    /// Resets the connection, the same.
    Resets,
    /// Never says anything.
    IsSilent,
    /// Says without an end that it is there.
    IsEndless,
    /// Ends, with all its connections.
    Dies,
}

#[derive(Debug, Default)]
struct State {
    poison: Poison,
    is_over: bool,
    sessions: BTreeSet<String>,
    sessions_ever: usize,
    goodbyes: u64,
    /// How often each mark was executed.
    executed: BTreeMap<String, u64>,
    connections: Vec<TcpStream>,
}

/// What it has seen.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) executed_twice: u64,
    pub(super) goodbyes: u64,
    /// Sessions that were neither ended nor forgotten.
    pub(super) sessions_left: u64,
}

#[derive(Debug)]
pub(super) struct Toxic {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Toxic {
    pub(super) fn start() -> io::Result<Toxic> {
        let state = Arc::default();
        let address = listen("127.0.0.1:0".parse().map_err(io::Error::other)?, &state)?;
        Ok(Toxic { address, state })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The next call is for this.
    pub(super) fn takes(&self, poison: Poison) {
        held(&self.state).poison = poison;
    }

    /// Serves well again; if it has died, anew.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        let is_over = {
            let mut state = held(&self.state);
            state.poison = Poison::None;
            std::mem::take(&mut state.is_over)
        };
        if is_over {
            self.address = listen(self.address, &self.state)?;
        }
        Ok(())
    }

    pub(super) fn end(self) -> Count {
        end(&self.state, self.address);
        let state = held(&self.state);
        let twice = state.executed.values().filter(|times| **times > 1);
        Count {
            executed_twice: twice.count() as u64,
            goodbyes: state.goodbyes,
            sessions_left: state.sessions.len() as u64,
        }
    }
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(address: SocketAddr, state: &Arc<Mutex<State>>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let state = Arc::clone(state);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            if held(&state).is_over {
                return;
            }
            held(&state).connections.extend(stream.try_clone().ok());
            let state = Arc::clone(&state);
            thread::spawn(move || {
                let _gone = serve(stream, &state, address);
            });
        }
    });
    Ok(address)
}

/// Is no more: nobody listens, and all connections break.
fn end(state: &Mutex<State>, address: SocketAddr) {
    held(state).is_over = true;
    while TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
    for connection in held(state).connections.drain(..) {
        let _gone = connection.shutdown(Shutdown::Both);
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, address: SocketAddr) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let method = line.split(' ').next().unwrap_or_default().to_owned();
        let (mut length, mut session) = (0, None);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or_default(),
                "mcp-session-id" => session = Some(value.to_owned()),
                _other => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !answer(&method, session, &message, &mut stream, (state, address))? {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

fn respond(stream: &mut TcpStream, status: &str, more: &str, body: &str) -> io::Result<bool> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())?;
    Ok(true)
}

/// Says whether the connection may be used again.
fn answer(
    method: &str,
    session: Option<String>,
    message: &Value,
    stream: &mut TcpStream,
    (state, address): (&Mutex<State>, SocketAddr),
) -> io::Result<bool> {
    let is_known = session
        .as_ref()
        .is_none_or(|it| held(state).sessions.contains(it));
    if !is_known {
        return respond(stream, "404 Not Found", "", "");
    }
    match (method, message["method"].as_str().unwrap_or_default()) {
        ("DELETE", _) => {
            let mut state = held(state);
            state.goodbyes += 1;
            state.sessions.remove(&session.unwrap_or_default());
            respond(stream, "200 OK", "", "")
        }
        ("GET", _) => respond(stream, "405 Method Not Allowed", "", ""),
        (_, "initialize") => {
            let key = {
                let mut state = held(state);
                state.sessions_ever += 1;
                let key = format!("session-{}", state.sessions_ever);
                state.sessions.insert(key.clone());
                key
            };
            let result = json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "toxic", "version": "1"},
            });
            let head = format!("{JSON}Mcp-Session-Id: {key}\r\n");
            respond(stream, "200 OK", &head, &text_of(message, &result))
        }
        (_, "tools/call") => call(message, stream, (state, address)),
        _other if message.get("id").is_some() => respond(
            stream,
            "200 OK",
            JSON,
            &text_of(message, &json!({"tools": []})),
        ),
        _notice => respond(stream, "202 Accepted", "", ""),
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

fn text_of(message: &Value, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()
}

fn call(
    message: &Value,
    stream: &mut TcpStream,
    (state, address): (&Mutex<State>, SocketAddr),
) -> io::Result<bool> {
    let poison = std::mem::take(&mut held(state).poison);
    match poison {
        Poison::Forgets => {
            held(state).sessions.clear();
            return respond(stream, "404 Not Found", "", "");
        }
        Poison::Refuses => return respond(stream, "401 Unauthorized", "", ""),
        Poison::None
        | Poison::Drips
        | Poison::Fails
        | Poison::Resets
        | Poison::IsSilent
        | Poison::IsEndless
        | Poison::Dies => {}
    }
    let mark = message["params"]["arguments"]["mark"].to_string();
    *held(state).executed.entry(mark).or_default() += 1;
    let body = text_of(
        message,
        &json!({"content": [{"type": "text", "text": "done"}]}),
    );
    match poison {
        Poison::None | Poison::Forgets | Poison::Refuses => respond(stream, "200 OK", JSON, &body),
        Poison::Drips => {
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: {length}\r\n\r\n");
            for byte in head.bytes().chain(body.bytes()) {
                stream.write_all(&[byte])?;
            }
            Ok(true)
        }
        Poison::Fails => respond(stream, "502 Bad Gateway", "", "no"),
        Poison::Resets => {
            rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
            held(state).connections.clear();
            // The last hold on it goes with whoever called.
            Ok(false)
        }
        Poison::IsSilent => {
            let _cut = stream.read(&mut [0]);
            Ok(false)
        }
        Poison::IsEndless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
            while stream.write_all(b": here\r\n\r\n").is_ok() {
                thread::park_timeout(Duration::from_millis(1));
            }
            Ok(false)
        }
        Poison::Dies => {
            // With what it knew.
            held(state).sessions.clear();
            end(state, address);
            Ok(false)
        }
    }
}
