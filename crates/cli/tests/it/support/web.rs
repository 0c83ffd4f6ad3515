//! A client over HTTP that says exactly what a test tells it to, one connection for each request.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
};

use serde_json::{Value, json};

use super::{Home, PATIENCE, until};

/// A session over HTTP, or what may become one.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    address: String,
    pub(crate) path: String,
    /// Sent with each request, but for what it says itself.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) session: Option<String>,
    requests: u64,
}

/// A connection that stays open between two requests.
pub(crate) struct KeptOpen {
    web: Web,
    reader: BufReader<TcpStream>,
}

/// A response whose head has come.
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    /// The last that an event of it was known by.
    pub(crate) last: Option<String>,
    /// When to come back for the rest, in milliseconds.
    pub(crate) retry: Option<u64>,
}

/// What comes behind the head.
struct Body {
    reader: BufReader<TcpStream>,
    length: Length,
}

enum Length {
    Known(usize),
    /// So much is left of this chunk; `None` between two.
    Chunks(Option<usize>),
    Over,
}

impl Home {
    /// Configures the scripted server as `fake`, over HTTP as well, and runs the daemon.
    #[track_caller]
    pub(crate) fn web(&self, options: &[&str]) -> Web {
        self.web_with(options, "")
    }

    /// The same with more lines in the table of HTTP.
    #[track_caller]
    pub(crate) fn web_with(&self, options: &[&str], more: &str) -> Web {
        self.configure(&format!(
            "[http]\nlisten = [\"127.0.0.1:0\"]\n{more}\n[servers.fake]\ncommand = '{}'\nargs = {}\nscope = \"global\"\n",
            super::FAKE_SERVER,
            json!(options),
        ));
        self.come_and_go("fake");
        Web::at(&self.http_address(), "/mcp/fake")
    }

    /// A session on a configured server, greeted, of which nothing is left: whoever counts sessions counts others.
    #[track_caller]
    pub(crate) fn come_and_go(&self, name: &str) {
        let sessions = || self.status()["sessions"].as_array().unwrap().len();
        let client = self.configured(name);
        let there = sessions();
        client.close();
        until("the end of a session", || sessions() < there);
    }

    /// Where the daemon listens.
    #[track_caller]
    pub(crate) fn http_address(&self) -> String {
        let status = self.status();
        let address = status["daemon"]["http"]["addresses"][0].as_str();
        address.unwrap_or_else(|| panic!("{status}")).to_owned()
    }
}

impl Web {
    pub(crate) fn at(address: &str, path: &str) -> Web {
        let accept = "application/json, text/event-stream";
        let headers = [
            ("Host", address),
            ("Content-Type", "application/json"),
            ("Accept", accept),
        ];
        Web {
            address: address.to_owned(),
            path: path.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            session: None,
            requests: 0,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The same at another path.
    pub(crate) fn to(&self, path: &str) -> Web {
        Web {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// The same at another daemon.
    pub(crate) fn moved_to(&self, address: &str) -> Web {
        Web {
            address: address.to_owned(),
            ..self.with("Host", Some(address))
        }
    }

    /// The same with another value of a header, or without it.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> Web {
        let mut web = self.clone();
        web.headers.retain(|(known, _)| known != name);
        let added = value.map(|value| (name.to_owned(), value.to_owned()));
        web.headers.extend(added);
        web
    }

    #[track_caller]
    pub(crate) fn request(&self, method: &str, body: &[u8]) -> Response {
        Response::read(BufReader::new(self.send(method, body)))
    }

    /// Sends a request, and does not wait for what comes.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let head = self.head(method, "close", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        // What is refused by its head is not read any further.
        let _refused = stream.write_all(body);
        stream
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection for several requests.
    pub(crate) fn kept_open(&self) -> KeptOpen {
        let reader = BufReader::new(self.connect());
        KeptOpen {
            web: self.clone(),
            reader,
        }
    }

    fn head(&self, method: &str, connection: &str, length: usize) -> String {
        let path = &self.path;
        let first = format!("{method} {path} HTTP/1.1\r\nConnection: {connection}\r\n");
        let session = self.session.iter().map(|key| ("Mcp-Session-Id", key));
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        let length = length.to_string();
        let last = [("Content-Length", &length)];
        let lines = headers
            .chain(session)
            .chain(last)
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        std::iter::once(first)
            .chain(lines)
            .chain(["\r\n".to_owned()])
            .collect()
    }

    #[track_caller]
    pub(crate) fn post(&self, message: &Value) -> Response {
        self.request("POST", message.to_string().as_bytes())
    }

    /// The same where the daemon may die meanwhile: the status and all that comes, if anything does.
    pub(crate) fn try_post(&self, message: &Value) -> Option<(u16, String)> {
        let body = message.to_string();
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = self.head("POST", "close", body.len()) + &body;
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        let _cut = stream.read_to_string(&mut text);
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text))
    }

    #[track_caller]
    pub(crate) fn get(&self) -> Response {
        self.request("GET", b"")
    }

    /// Goes on with a stream behind this event of it.
    #[track_caller]
    pub(crate) fn resume(&self, last: &str) -> Response {
        self.with("Last-Event-ID", Some(last)).get()
    }

    #[track_caller]
    pub(crate) fn delete(&self) -> Response {
        self.request("DELETE", b"")
    }

    /// Greets the server as a client of this version that can do this; what it answers.
    #[track_caller]
    pub(crate) fn begin(&mut self, version: &str, capabilities: Value) -> Value {
        let response = self.post(&json!({
            "jsonrpc": "2.0",
            "id": "hello",
            "method": "initialize",
            "params": {
                "protocolVersion": version,
                "capabilities": capabilities,
                "clientInfo": {"name": "web", "version": "1"},
            },
        }));
        assert_eq!(response.status, 200);
        self.session = Some(response.header("mcp-session-id").unwrap().to_owned());
        let greeting = response.json();
        assert_eq!(greeting["id"], "hello", "{greeting}");
        let heard = self.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert_eq!(heard.status, 202);
        assert_eq!(heard.text(), "");
        greeting["result"].clone()
    }

    /// Another session of its kind, greeted.
    #[track_caller]
    pub(crate) fn session(&self) -> Web {
        let mut session = self.clone();
        session.begin("2025-11-25", json!({}));
        session
    }

    /// Calls a tool; what it is answered with may come later.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Response {
        self.requests += 1;
        self.post(&call(self.requests, tool, arguments))
    }

    /// Calls a tool and waits for the answer; its result.
    #[track_caller]
    pub(crate) fn result(&mut self, tool: &str, arguments: Value) -> Value {
        let response = self.call(tool, arguments);
        assert_eq!(response.status, 200);
        let answer = response.answer();
        assert_eq!(answer["id"], self.requests, "{answer}");
        answer["result"].clone()
    }
}

/// A call of a tool.
pub(crate) fn call(id: u64, tool: &str, arguments: Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": id,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, "_meta": {"progressToken": id}},
    })
}

/// A call that nothing is heard of until the file is there.
pub(crate) fn quiet_call(id: u64, file: &str, mark: &str) -> Value {
    let mut call = call(id, "slow", json!({"until": file, "mark": mark}));
    call["params"].as_object_mut().unwrap().remove("_meta");
    call
}

impl KeptOpen {
    /// Sends a part of a request's head, or what comes behind one.
    #[track_caller]
    pub(crate) fn write(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// All of a request, as text.
    pub(crate) fn request(&self, message: &Value) -> String {
        let body = message.to_string();
        self.web.head("POST", "keep-alive", body.len()) + &body
    }

    /// Everything that comes until the connection is closed.
    #[track_caller]
    pub(crate) fn rest(mut self) -> String {
        let mut text = String::new();
        self.reader.read_to_string(&mut text).unwrap();
        text
    }

    /// The same, whatever it is.
    #[track_caller]
    pub(crate) fn all(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// What is answered to the next request that has not been answered.
    #[track_caller]
    pub(crate) fn response(self) -> (Response, Web) {
        (Response::read(self.reader), self.web)
    }

    /// Asks for something, and what is answered with one message.
    #[track_caller]
    pub(crate) fn post(&mut self, message: &Value) -> Value {
        let request = self.request(message);
        self.write(&request);
        self.answer()
    }

    /// The next answer, which is one message.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Value {
        let reader = BufReader::new(self.reader.get_ref().try_clone().unwrap());
        assert!(self.reader.buffer().is_empty());
        let response = Response::read(reader);
        let (status, text) = (response.status, response.text());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Response {
    #[track_caller]
    pub(crate) fn read(mut reader: BufReader<TcpStream>) -> Response {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut response = Response {
            status,
            headers,
            body: Body {
                reader,
                length: Length::Over,
            },
            last: None,
            retry: None,
        };
        let length = response.header("content-length");
        response.body.length = match length.map(|length| length.parse().unwrap()) {
            Some(length) => Length::Known(length),
            None if response.header("transfer-encoding") == Some("chunked") => Length::Chunks(None),
            None => Length::Over,
        };
        response
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    /// All of the body.
    #[track_caller]
    pub(crate) fn text(mut self) -> String {
        let mut text = String::new();
        self.body.read_to_string(&mut text).unwrap();
        text
    }

    /// The body as the one message that it is, or is the only one of: what takes a second, as anything does on a
    /// machine that lets nobody run, comes as a stream.
    #[track_caller]
    pub(crate) fn json(mut self) -> Value {
        if self.is_stream() {
            let message = self.event().unwrap();
            assert_eq!(self.event(), None, "{message}");
            return message;
        }
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The status and what the error says that is the body.
    #[track_caller]
    pub(crate) fn error(self) -> (u16, i64, String) {
        let status = self.status;
        let error = &self.json()["error"];
        let reason = error["data"]["reason"].as_str().unwrap_or_default();
        (status, error["code"].as_i64().unwrap(), reason.to_owned())
    }

    /// The next message of a stream; `None` at its end.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Option<Value> {
        loop {
            let data = self.data()?;
            if !data.is_empty() {
                return Some(serde_json::from_str(&data).unwrap());
            }
        }
    }

    /// The text of the next event of a stream, which may be empty; `None` at its end.
    #[track_caller]
    pub(crate) fn data(&mut self) -> Option<String> {
        assert!(self.is_stream(), "{} {:?}", self.status, self.headers);
        let mut data = None;
        loop {
            let line = self.body.line()?;
            if let Some(text) = line.strip_prefix("data: ") {
                data = Some(text.to_owned());
            } else if let Some(id) = line.strip_prefix("id: ") {
                self.last = Some(id.to_owned());
            } else if let Some(wait) = line.strip_prefix("retry: ") {
                self.retry = Some(wait.parse().unwrap());
            } else if line.is_empty() && data.is_some() {
                return data;
            }
        }
    }

    /// The answer, which may be the whole body or the last event.
    #[track_caller]
    pub(crate) fn answer(mut self) -> Value {
        if !self.is_stream() {
            return self.json();
        }
        let mut last = None;
        while let Some(event) = self.event() {
            last = Some(event);
        }
        last.unwrap()
    }

    /// Whether the rest of it never comes.
    pub(crate) fn ends_early(mut self) -> bool {
        let mut rest = Vec::new();
        let read = self.body.reader.read_to_end(&mut rest);
        read.is_err() || !rest.ends_with(b"0\r\n\r\n")
    }

    /// The client goes away.
    pub(crate) fn hang_up(self) {
        let _gone = self.body.reader.get_ref().shutdown(Shutdown::Both);
    }
}

impl Body {
    /// The next line, without its end; `None` at the end of it all.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            if self.read(&mut byte).unwrap() == 0 {
                return None;
            }
            if byte == *b"\n" {
                return Some(String::from_utf8(line).unwrap());
            }
            line.extend(byte);
        }
    }

    /// How much may be read at once.
    fn left(&mut self) -> io::Result<usize> {
        match self.length {
            Length::Over => Ok(0),
            Length::Known(left) | Length::Chunks(Some(left)) if left > 0 => Ok(left),
            Length::Known(_) => Ok(0),
            Length::Chunks(before) => {
                let mut line = String::new();
                if before.is_some() {
                    self.reader.read_line(&mut line)?;
                    line.clear();
                }
                self.reader.read_line(&mut line)?;
                let left = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0);
                self.length = if left == 0 {
                    Length::Over
                } else {
                    Length::Chunks(Some(left))
                };
                Ok(left)
            }
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left()?.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..most])?;
        match &mut self.length {
            Length::Known(left) | Length::Chunks(Some(left)) => *left -= read,
            Length::Chunks(None) | Length::Over => {}
        }
        Ok(read)
    }
}
