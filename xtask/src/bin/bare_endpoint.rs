//! The floor of the fronts over sockets: what any endpoint must cost at least.
//!
//! `bare-endpoint http|ws` listens at a port of 127.0.0.1 that is free, writes its address to standard
//! output, and serves until its standard input ends: HTTP with hyper, or WebSockets with `tungstenite`. A
//! message is answered where it was read, with what `echo-server` answers. There is no server behind it,
//! nothing is checked, and nothing is remembered of anybody.

#[path = "echo_server/echo.rs"]
mod echo;

use std::{
    env,
    io::{self, Write as _},
    pin::Pin,
    process::ExitCode,
};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body::Body as _;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

/// As much as the daemon reads of a connection at once.
const BUFFER: usize = 16 << 10;

/// What is spoken.
#[derive(Clone, Copy)]
enum Spoken {
    Http,
    WebSocket,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let spoken = match env::args().nth(1).as_deref() {
        Some("http") => Spoken::Http,
        Some("ws") => Spoken::WebSocket,
        _ => return Ok(ExitCode::from(2)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut output = io::stdout();
    writeln!(output, "{}", listener.local_addr()?)?;
    output.flush()?;
    let (mut input, mut ignored) = (tokio::io::stdin(), [0; 64]);
    loop {
        tokio::select! {
            count = input.read(&mut ignored) => if count? == 0 {
                return Ok(ExitCode::SUCCESS);
            },
            comer = listener.accept() => {
                let (stream, _peer) = comer?;
                stream.set_nodelay(true)?;
                serve(spoken, stream);
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "who measures sees that an answer is missing"
)]
fn serve(spoken: Spoken, stream: TcpStream) {
    tokio::spawn(async move {
        // That a connection breaks is its client's business.
        match spoken {
            Spoken::Http => drop(serve_http(stream).await),
            Spoken::WebSocket => drop(serve_web(stream).await),
        }
    });
}

async fn serve_http(stream: TcpStream) -> hyper::Result<()> {
    http1::Builder::new()
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service_fn(respond))
        .await
}

async fn respond(request: Request<Incoming>) -> hyper::Result<Response<String>> {
    let (mut body, mut message) = (request.into_body(), Vec::new());
    while let Some(frame) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        if let Ok(data) = frame?.into_data() {
            message.extend_from_slice(&data);
        }
    }
    let mut response = Response::new(answer_to(&message));
    if response.body().is_empty() {
        *response.status_mut() = StatusCode::ACCEPTED;
    } else {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(response)
}

async fn serve_web(stream: TcpStream) -> tungstenite::Result<()> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER);
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if let Message::Text(text) = &message {
            let answer = answer_to(text.as_bytes());
            if !answer.is_empty() {
                socket.send(Message::text(answer)).await?;
            }
        }
    }
    Ok(())
}

/// Empty for what gets no answer.
fn answer_to(message: &[u8]) -> String {
    let mut answer = Vec::with_capacity(256);
    echo::answer(message, &mut answer);
    let _end_of_line = answer.pop();
    String::from_utf8(answer).unwrap_or_default()
}
