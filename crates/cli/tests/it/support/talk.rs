//! A client over a WebSocket that says exactly what a test tells it to.

use std::{
    collections::VecDeque,
    net::TcpStream,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tungstenite::{
    Error, HandshakeError, Message, WebSocket,
    client::IntoClientRequest as _,
    http::{HeaderName, HeaderValue},
    protocol::frame::coding::CloseCode,
};

use super::{
    PATIENCE,
    web::{Web, call},
};

/// A session over a WebSocket.
pub(crate) struct Talk {
    socket: WebSocket<TcpStream>,
    requests: u64,
    /// What was heard while something else was awaited.
    heard: VecDeque<Value>,
}

/// Why there is none: the status, and the reason that its body gives.
pub(crate) type Refusal = (u16, String);

impl Web {
    /// Asks for a WebSocket at this path, with these headers in place of the usual ones; an empty value
    /// leaves one out.
    pub(crate) fn try_talk(&self, path: &str, headers: &[(&str, &str)]) -> Result<Talk, Refusal> {
        let mut request = format!("ws://{}{path}", self.address())
            .into_client_request()
            .unwrap();
        let usual = [("sec-websocket-protocol", "mcp")];
        for (name, value) in usual.iter().chain(headers) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(name, value);
        }
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "mcp");
                Ok(Talk {
                    socket,
                    requests: 0,
                    heard: VecDeque::new(),
                })
            }
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body: Value = serde_json::from_slice(body).unwrap_or_default();
                let reason = body["error"]["data"]["reason"].as_str().unwrap_or_default();
                Err((response.status().as_u16(), reason.to_owned()))
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// A session over a WebSocket, greeted, where the daemon may die meanwhile.
    pub(crate) fn may_talk(&self) -> Option<Talk> {
        let path = self.path.replace("/mcp", "/ws");
        let request = format!("ws://{}{path}", self.address());
        let mut request = request.into_client_request().ok()?;
        let protocol = HeaderValue::from_static("mcp");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let (socket, _response) = tungstenite::client(request, stream).ok()?;
        let mut talk = Talk {
            socket,
            requests: 0,
            heard: VecDeque::new(),
        };
        let hello = super::client::hello("2025-11-25", &json!({}));
        talk.try_answer(&hello)?;
        Some(talk)
    }

    /// A session over a WebSocket on the server that this one is at, greeted.
    #[track_caller]
    pub(crate) fn talk(&self) -> Talk {
        self.talk_with(json!({}))
    }

    /// The same of a client that can do this.
    #[track_caller]
    pub(crate) fn talk_with(&self, capabilities: Value) -> Talk {
        let path = self.path.replace("/mcp", "/ws");
        let mut talk = self.try_talk(&path, &[]).unwrap();
        talk.begin(capabilities);
        talk
    }
}

impl Talk {
    /// Greets the server; what it answers.
    #[track_caller]
    pub(crate) fn begin(&mut self, capabilities: Value) -> Value {
        self.say(&json!({
            "jsonrpc": "2.0",
            "id": "hello",
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "clientInfo": {"name": "talk", "version": "1"},
            },
        }));
        let greeting = self.answer(&json!("hello"));
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        greeting["result"].clone()
    }

    #[track_caller]
    pub(crate) fn say(&mut self, message: &Value) {
        self.send(Message::text(message.to_string()));
    }

    #[track_caller]
    pub(crate) fn send(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    /// What comes next, whatever it is.
    pub(crate) fn next(&mut self) -> Result<Message, Error> {
        self.socket.read()
    }

    /// The next message that was not heard yet.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        match self.heard.pop_front() {
            Some(heard) => heard,
            None => self.listen(),
        }
    }

    #[track_caller]
    fn listen(&mut self) -> Value {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                    panic!("{other:?}")
                }
            }
        }
    }

    /// The answer to this; what else is said meanwhile can be heard later.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: &Value) -> Value {
        let is_it = |message: &Value| message["id"] == *id && message.get("method").is_none();
        if let Some(at) = self.heard.iter().position(is_it) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let message = self.listen();
            if is_it(&message) {
                return message;
            }
            self.heard.push_back(message);
        }
    }

    /// The answer to a request, where the daemon may die meanwhile.
    pub(crate) fn try_answer(&mut self, request: &Value) -> Option<Value> {
        let said = Message::text(request.to_string());
        self.socket.send(said).ok()?;
        loop {
            let Message::Text(text) = self.socket.read().ok()? else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == request["id"] && answer.get("method").is_none() {
                return Some(answer);
            }
        }
    }

    /// Calls a tool; what it is answered with may come later.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.requests += 1;
        self.say(&call(self.requests, tool, arguments));
        self.requests
    }

    /// Calls a tool and waits for the answer; its result.
    #[track_caller]
    pub(crate) fn result(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.call(tool, arguments);
        let answer = self.answer(&json!(id));
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"].clone()
    }

    /// Reads until the other side has closed it; with which code.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> Option<CloseCode> {
        loop {
            match self.socket.read() {
                Ok(Message::Close(close)) => return close.map(|close| close.code),
                Ok(Message::Text(text)) => {
                    self.heard.push_back(serde_json::from_str(&text).unwrap());
                }
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Says goodbye, and is told the same.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.socket.close(None).unwrap();
        assert_eq!(self.closed(), None);
    }

    /// The socket is a process's from now on, and that is killed.
    pub(crate) fn vanish(self) {
        let stream = OwnedFd::from(self.socket.into_inner());
        let mut client = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::from(stream))
            .spawn()
            .unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }
}
