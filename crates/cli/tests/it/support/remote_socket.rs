//! A server that runs already and speaks WebSocket.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tungstenite::{
    Message, WebSocket,
    handshake::server::{ErrorResponse, Request, Response},
};

use super::{quiet_listener, until};

#[derive(Default)]
struct State {
    /// What connections asked for: path and query, and the subprotocol.
    asked: Vec<(String, Option<String>)>,
    /// With what they said who they are.
    authorized: Vec<Option<String>>,
    seen: Vec<Value>,
    /// What the next who asks is told: a status, and when to come again.
    refusal: Option<(u16, &'static str)>,
    closed: usize,
    connections: Vec<TcpStream>,
}

/// The server; its connections last as long as this does.
pub(crate) struct RemoteSocket {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl RemoteSocket {
    /// One that agrees to a subprotocol, or does not care.
    pub(crate) fn start(agrees: bool) -> RemoteSocket {
        RemoteSocket::listening(quiet_listener(), agrees)
    }

    /// The same at an address.
    pub(crate) fn at(address: &str, agrees: bool) -> RemoteSocket {
        RemoteSocket::listening(TcpListener::bind(address).unwrap(), agrees)
    }

    fn listening(listener: TcpListener, agrees: bool) -> RemoteSocket {
        let remote = RemoteSocket {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let state = Arc::clone(&remote.state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let state = Arc::clone(&state);
                state
                    .lock()
                    .unwrap()
                    .connections
                    .push(stream.try_clone().unwrap());
                thread::spawn(move || serve(stream, &state, agrees));
            }
        });
        remote
    }

    /// Has too much to do for the next who asks, who is told when to come again.
    pub(crate) fn refuses_once(&self, status: u16, retry_after: &'static str) {
        self.state.lock().unwrap().refusal = Some((status, retry_after));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn asked(&self) -> Vec<(String, Option<String>)> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(crate) fn authorized(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().authorized.clone()
    }

    pub(crate) fn closed(&self) -> usize {
        self.state.lock().unwrap().closed
    }

    /// How often this was said.
    pub(crate) fn count(&self, method: &str) -> usize {
        let state = self.state.lock().unwrap();
        state
            .seen
            .iter()
            .filter(|it| it["method"] == method)
            .count()
    }

    /// Cuts all connections, once this has been said.
    #[track_caller]
    pub(crate) fn cut_after(&self, method: &str) {
        until(method, || self.count(method) > 0);
        for connection in self.state.lock().unwrap().connections.drain(..) {
            let _gone = connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, agrees: bool) {
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let note = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let protocol = request.headers().get("sec-websocket-protocol");
        let protocol = protocol.map(|it| it.to_str().unwrap().to_owned());
        let authorized = request.headers().get("authorization");
        let authorized = authorized.map(|it| it.to_str().unwrap().to_owned());
        let mut state = state.lock().unwrap();
        state.authorized.push(authorized);
        state
            .asked
            .push((request.uri().to_string(), protocol.clone()));
        if let Some((status, retry_after)) = state.refusal.take() {
            let refusal = Response::builder()
                .status(status)
                .header("retry-after", retry_after);
            return Err(refusal.body(None).unwrap());
        }
        if let Some(protocol) = protocol.filter(|_| agrees) {
            let value = protocol.parse().unwrap();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", value);
        }
        Ok(response)
    };
    let Ok(mut socket) = tungstenite::accept_hdr(stream, note) else {
        return;
    };
    while let Ok(message) = socket.read() {
        match message {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                state.lock().unwrap().seen.push(message.clone());
                answer(&message, &mut socket);
            }
            Message::Close(_) => state.lock().unwrap().closed += 1,
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

fn answer(message: &Value, socket: &mut WebSocket<TcpStream>) {
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}},
            "resultType": "complete",
        }),
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "socket", "version": "1"},
        }),
        "tools/call" if message["params"]["name"] == "hang" => return,
        "tools/call" => {
            let text = &message["params"]["arguments"]["text"];
            json!({"content": [{"type": "text", "text": text}]})
        }
        _other if message.get("id").is_some() => json!({"tools": []}),
        _notice => return,
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    let _gone = socket.send(Message::text(answer.to_string()));
}
