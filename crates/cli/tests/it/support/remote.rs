//! A server that runs already: Streamable HTTP as a test wants it, and a record of all that it was sent.
//!
//! It answers `initialize` with a session, and 404 to what comes for a session that it does not know. Its
//! tools say what happens in a call.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::{Home, eventually, quiet_listener, until};

mod modern;
mod mood;
mod old;

pub(crate) use mood::Mood;
use mood::{misbehave, receive, refuse};

/// How it differs from the usual.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a manner of its own")]
pub(crate) struct Manners {
    /// Answers with events wherever it can.
    pub(crate) streams: bool,
    /// Listens to GET.
    pub(crate) speaks_up: bool,
    /// Wants this in the header `Authorization`.
    pub(crate) wants: Option<String>,
    /// Says what it was told in place of that.
    pub(crate) quotes: bool,
    /// Forgets its session at the first call of each, for ever.
    pub(crate) forgets: bool,
    /// Says 400 where it should say 404.
    pub(crate) says_400: bool,
    /// Leads to this place, whatever it is sent.
    pub(crate) leads_to: Option<String>,
    /// Speaks as servers of 2024-11-05 do.
    pub(crate) is_old: bool,
    /// The eras in which it speaks otherwise.
    pub(crate) speaks: Speaks,
}

/// The eras in which a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Speaks {
    #[default]
    Legacy,
    Modern,
    Both,
}

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What its message is called.
    pub(crate) fn says(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    sessions: BTreeSet<String>,
    sessions_ever: usize,
    /// Open connections, to be cut.
    connections: Vec<TcpStream>,
    /// Streams that somebody listens to.
    listeners: Vec<TcpStream>,
    /// Answers to what broke off, by the id of the last event.
    kept: Vec<(String, Value)>,
    /// Calls whose stream the client has ended.
    deserted: usize,
    /// What becomes of those who want to listen next.
    moods: VecDeque<Mood>,
    /// What becomes of messages in place of an answer: which of them, and the head of the response.
    refusals: VecDeque<(&'static str, String)>,
    /// How many have been told so.
    refused: usize,
    /// Whether the second page of its list cannot be had.
    lacks_page: bool,
}

/// The server, as long as this is there.
pub(crate) struct Remote {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    manners: Arc<Manners>,
    is_over: Arc<AtomicBool>,
}

impl Remote {
    pub(crate) fn start(manners: Manners) -> Remote {
        Self::listening(quiet_listener(), manners)
    }

    /// At an address that another had before.
    pub(crate) fn at(address: SocketAddr, manners: Manners) -> Remote {
        let listener = eventually("the address", || TcpListener::bind(address).ok());
        Self::listening(listener, manners)
    }

    fn listening(listener: TcpListener, manners: Manners) -> Remote {
        let remote = Remote {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
            manners: Arc::new(manners),
            is_over: Arc::default(),
        };
        let (state, manners) = (Arc::clone(&remote.state), Arc::clone(&remote.manners));
        let is_over = Arc::clone(&remote.is_over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (state, manners) = (Arc::clone(&state), Arc::clone(&manners));
                state
                    .lock()
                    .unwrap()
                    .connections
                    .push(stream.try_clone().unwrap());
                thread::spawn(move || {
                    let _gone = serve(stream, &state, &manners);
                });
            }
        });
        remote
    }

    /// It listens at a unix socket, too.
    pub(crate) fn listen_at(&self, socket: &str) {
        let listener = UnixListener::bind(socket).unwrap();
        let address = self.address;
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(near), Ok(far)) = (stream, TcpStream::connect(address)) else {
                    return;
                };
                let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || {
                    let _gone = io::copy(&mut from, &mut to);
                    to.shutdown(Shutdown::Write)
                });
                let (mut from, mut to) = (far, near);
                thread::spawn(move || {
                    let _gone = io::copy(&mut from, &mut to);
                    to.shutdown(Shutdown::Write)
                });
            }
        });
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// All that came, so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How often this was said, or asked for.
    pub(crate) fn count(&self, what: &str) -> usize {
        let is_it = |seen: &&Seen| seen.says() == what || seen.method == what;
        self.seen().iter().filter(is_it).count()
    }

    /// Waits until it has been said so often.
    #[track_caller]
    pub(crate) fn has_seen(&self, what: &str, times: usize) {
        until(what, || self.count(what) >= times);
    }

    /// Waits until so many have been refused, and the only daemon of this home has heard it.
    #[track_caller]
    pub(crate) fn has_refused(&self, times: usize, home: &Home) {
        until("a refusal", || self.state.lock().unwrap().refused >= times);
        // It looks at all that has come before it answers what comes then.
        home.status();
    }

    /// Tells all who listen.
    #[track_caller]
    pub(crate) fn tell(&self, message: &Value) {
        until("somebody who listens", || {
            !self.state.lock().unwrap().listeners.is_empty()
        });
        for listener in &mut self.state.lock().unwrap().listeners {
            // Some have gone.
            let _gone = event(listener, None, message);
        }
    }

    /// Waits until so many have listened.
    pub(crate) fn is_listened_to_by(&self, count: usize) {
        until("so many who listen", || {
            self.state.lock().unwrap().listeners.len() >= count
        });
    }

    /// Forgets all sessions that it has given out.
    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().sessions.clear();
    }

    /// How many calls were left alone by whoever waited for them.
    pub(crate) fn deserted(&self) -> usize {
        self.state.lock().unwrap().deserted
    }

    /// Cuts all connections, and goes on.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.listeners.clear();
        for connection in state.connections.drain(..) {
            let _gone = connection.shutdown(Shutdown::Both);
        }
    }

    /// It is gone, with all its connections.
    pub(crate) fn kill(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Whoever waits for connections sees it at the next, and there are none after that.
        until("the end of the server", || {
            TcpStream::connect(self.address).is_err()
        });
        for connection in &self.state.lock().unwrap().connections {
            let _gone = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.kill();
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, manners: &Manners) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    while let Some(seen) = read(&mut reader)? {
        state.lock().unwrap().seen.push(seen.clone());
        if !answer(&seen, &mut out, state, manners)? {
            break;
        }
    }
    // Another hold on it is kept, to cut it.
    out.shutdown(Shutdown::Both)
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    // A handshake of TLS, which is not for it.
    if reader.fill_buf()?.first() == Some(&0x16) {
        return Ok(None);
    }
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    Ok(Some(Seen {
        method,
        path,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }))
}

fn respond(out: &mut TcpStream, status: &str, more: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    out.write_all(
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n{body}").as_bytes(),
    )
}

const JSON: &str = "Content-Type: application/json\r\n";

fn begin_stream(out: &mut TcpStream, more: &str) -> io::Result<()> {
    out.write_all(
        format!("HTTP/1.1 200 OK\r\n{more}Content-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\r\n\r\n")
            .as_bytes(),
    )
}

fn event(out: &mut TcpStream, id: Option<&str>, message: &Value) -> io::Result<()> {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\r\n"));
    out.write_all(format!("{id}event: message\r\ndata: {message}\r\n\r\n").as_bytes())
}

/// Says what it has to say; `false` if the connection is over.
fn answer(
    seen: &Seen,
    out: &mut TcpStream,
    state: &Mutex<State>,
    manners: &Manners,
) -> io::Result<bool> {
    if let Some(goes_on) = refuse(seen, out, state)? {
        return Ok(goes_on);
    }
    if let Some(place) = &manners.leads_to {
        respond(
            out,
            "307 Temporary Redirect",
            &format!("Location: {place}\r\n"),
            "",
        )?;
        return Ok(true);
    }
    if manners.wants.is_some() && seen.header("authorization") != manners.wants.as_deref() {
        if let (Some(said), true) = (seen.header("authorization"), manners.quotes) {
            let message = format!("{said} is not good enough");
            let body = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": message}});
            return respond(out, "403 Forbidden", JSON, &body.to_string()).map(|()| true);
        }
        respond(out, "401 Unauthorized", "", "")?;
        return Ok(true);
    }
    if manners.is_old {
        return old::answer(seen, out, state);
    }
    if manners.speaks != Speaks::Legacy && modern::is_meant(seen) {
        return modern::answer(seen, out, state);
    }
    if manners.speaks == Speaks::Modern {
        return modern::refuse(seen, out);
    }
    let session = seen.header("mcp-session-id");
    if session.is_none() && seen.says() != "initialize" {
        let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}"#;
        respond(out, "400 Bad Request", JSON, body)?;
        return Ok(true);
    }
    let is_known = session.is_none_or(|it| state.lock().unwrap().sessions.contains(it));
    if !is_known {
        if manners.says_400 {
            respond(
                out,
                "400 Bad Request",
                "",
                "Bad Request: No valid session ID provided",
            )?;
        } else {
            let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
            respond(out, "404 Not Found", JSON, body)?;
        }
        return Ok(true);
    }
    match seen.method.as_str() {
        "DELETE" => {
            state
                .lock()
                .unwrap()
                .sessions
                .remove(session.unwrap_or_default());
            respond(out, "200 OK", "", "")?;
            Ok(true)
        }
        "GET" => listen(seen, out, state, manners),
        _post => hear(seen, out, state, manners),
    }
}

fn listen(
    seen: &Seen,
    out: &mut TcpStream,
    state: &Mutex<State>,
    manners: &Manners,
) -> io::Result<bool> {
    if let Some(last) = seen.header("last-event-id") {
        let kept = state.lock().unwrap().kept.clone();
        let kept = kept.iter().find(|(id, _)| id == last);
        begin_stream(out, "")?;
        if let Some((_, answer)) = kept {
            event(out, None, answer)?;
        }
        return Ok(false);
    }
    if !manners.speaks_up {
        respond(out, "405 Method Not Allowed", "", "")?;
        return Ok(true);
    }
    if let Some(goes_on) = receive(out, state)? {
        return Ok(goes_on);
    }
    state.lock().unwrap().listeners.push(out.try_clone()?);
    Ok(true)
}

fn hear(
    seen: &Seen,
    out: &mut TcpStream,
    state: &Mutex<State>,
    manners: &Manners,
) -> io::Result<bool> {
    let message = &seen.body;
    let result = match seen.says() {
        "initialize" => {
            let key = {
                let mut state = state.lock().unwrap();
                state.sessions_ever += 1;
                let key = format!("session-{}", state.sessions_ever);
                state.sessions.insert(key.clone());
                key
            };
            let version = message["params"]["protocolVersion"].clone();
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {
                "protocolVersion": version,
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "remote", "version": "1"},
            }});
            let header = format!("Mcp-Session-Id: {key}\r\n");
            if manners.streams {
                begin_stream(out, &header)?;
                event(out, None, &answer)?;
                return Ok(false);
            }
            // As people write it, over several lines.
            let text = serde_json::to_string_pretty(&answer).unwrap();
            respond(out, "200 OK", &format!("{JSON}{header}"), &text)?;
            return Ok(true);
        }
        "tools/call" => return call(seen, out, state, manners),
        "tools/list" => json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}),
        "ping" => json!({}),
        _notice => {
            respond(out, "202 Accepted", "", "")?;
            return Ok(true);
        }
    };
    say(message, &result, out, manners)
}

fn say(
    message: &Value,
    result: &Value,
    out: &mut TcpStream,
    manners: &Manners,
) -> io::Result<bool> {
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    if manners.streams {
        begin_stream(out, "")?;
        event(out, None, &answer)?;
        return Ok(false);
    }
    respond(out, "200 OK", JSON, &answer.to_string())?;
    Ok(true)
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

fn call(
    seen: &Seen,
    out: &mut TcpStream,
    state: &Mutex<State>,
    manners: &Manners,
) -> io::Result<bool> {
    let message = &seen.body;
    let params = &message["params"];
    let arguments = &params["arguments"];
    if manners.forgets {
        state.lock().unwrap().sessions.clear();
        respond(out, "404 Not Found", "", "")?;
        return Ok(true);
    }
    let answer = |result: Value| answer_to(message, result);
    match params["name"].as_str().unwrap_or_default() {
        "progress" => {
            begin_stream(out, "")?;
            for step in 1..=3 {
                event(
                    out,
                    None,
                    &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {
                    "progressToken": params["_meta"]["progressToken"], "progress": step}}),
                )?;
            }
            event(out, None, &answer(text("done")))?;
            Ok(false)
        }
        "ask" => ask(message, out, state),
        tool @ ("hang" | "reset" | "silent" | "endless") => misbehave(tool, out),
        "resume" => {
            begin_stream(out, "")?;
            state
                .lock()
                .unwrap()
                .kept
                .push(("e1".to_owned(), answer(text("resumed"))));
            out.write_all(b"id: e1\r\nretry: 10\r\ndata: \r\n\r\n")?;
            Ok(false)
        }
        "cut" => Ok(false),
        "drip" => {
            let body = answer(text("slowly")).to_string();
            let length = body.len();
            out.write_all(
                format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: {length}\r\n\r\n").as_bytes(),
            )?;
            for byte in body.as_bytes() {
                out.write_all(&[*byte])?;
            }
            Ok(true)
        }
        "fail" => {
            respond(out, "502 Bad Gateway", "", "no")?;
            Ok(true)
        }
        "long" => {
            let bytes = usize::try_from(arguments["bytes"].as_u64().unwrap()).unwrap();
            say(message, &text(&"x".repeat(bytes)), out, manners)
        }
        _echo => say(
            message,
            &text(arguments["text"].as_str().unwrap_or_default()),
            out,
            manners,
        ),
    }
}

/// Asks the user of whoever calls, and answers with what was said.
fn ask(message: &Value, out: &mut TcpStream, state: &Mutex<State>) -> io::Result<bool> {
    begin_stream(out, "")?;
    let id = format!("ask-{}", message["id"]);
    event(
        out,
        None,
        &json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {
                "message": "who?", "requestedSchema": {"type": "object", "properties": {}}}}),
    )?;
    let said = eventually("an answer to the question", || {
        let state = state.lock().unwrap();
        let mut seen = state.seen.iter();
        seen.find(|seen| seen.body["id"] == *id)
            .map(|seen| seen.body.clone())
    });
    event(
        out,
        None,
        &answer_to(
            message,
            text(&said["result"]["content"]["name"].to_string()),
        ),
    )?;
    Ok(false)
}

fn answer_to(message: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
}
