//! What a server lists at an address, to who comes there as a client does.

use std::{future::poll_fn, pin::Pin, time::Duration};

use anyhow::{Context as _, bail, ensure};
use http_body::Body as _;
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime, time};

/// How long it may take, with the start of the server.
const PATIENCE: Duration = Duration::from_mins(1);

const VERSION: &str = "2025-11-25";

/// The answer to `tools/list`.
pub(super) fn tools(url: &str) -> anyhow::Result<Value> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listed = runtime.block_on(async { time::timeout(PATIENCE, listed(url)).await });
    listed
        .with_context(|| format!("{url} did not answer within {} s", PATIENCE.as_secs()))?
        .with_context(|| url.to_owned())
}

async fn listed(url: &str) -> anyhow::Result<Value> {
    let rest = url.strip_prefix("http://").context("it is no address")?;
    let (host, _) = rest.split_once('/').context("it has no path")?;
    let stream = TcpStream::connect(host).await.context("connecting")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut talk = Talk {
        sender,
        host,
        path: &rest[host.len()..],
        session: None,
    };
    tokio::select! {
        listed = talk.list() => listed,
        ended = connection => bail!("the connection ended: {ended:?}"),
    }
}

/// One session.
struct Talk<'a> {
    sender: SendRequest<String>,
    host: &'a str,
    path: &'a str,
    session: Option<String>,
}

impl Talk<'_> {
    async fn list(&mut self) -> anyhow::Result<Value> {
        let hello = json!({
            "protocolVersion": VERSION,
            "capabilities": {},
            "clientInfo": {"name": "moving", "version": "1"},
        });
        self.ask("initialize", &hello).await?;
        let greeted = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.post("POST", &greeted).await?;
        let listed = self.ask("tools/list", &json!({})).await?;
        self.post("DELETE", &Value::Null).await?;
        Ok(listed)
    }

    async fn ask(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params});
        let body = self.post("POST", &request).await?;
        // What takes long comes as a stream.
        let mut messages = body
            .lines()
            .map(|line| line.strip_prefix("data:").unwrap_or(line))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let answer = messages.find(|message| message["id"] == method);
        answer.with_context(|| format!("{method} was answered with {body}"))
    }

    async fn post(&mut self, verb: &str, message: &Value) -> anyhow::Result<String> {
        let mut request = Request::builder()
            .method(verb)
            .uri(self.path)
            .header("Host", self.host)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request
                .header("Mcp-Session-Id", session)
                .header("Mcp-Protocol-Version", VERSION);
        }
        let body = if message.is_null() {
            String::new()
        } else {
            message.to_string()
        };
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(body)?).await?;
        let status = response.status();
        ensure!(status.is_success(), "{verb} was answered with {status}");
        if let Some(session) = response.headers().get("Mcp-Session-Id") {
            self.session = Some(session.to_str()?.to_owned());
        }
        text(response.into_body()).await
    }
}

async fn text(mut body: Incoming) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8(bytes)?)
}
