//! The rest of a response, written by whoever goes on with its connection.

use std::{io, pin::Pin};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use tokio::io::AsyncWriteExt;

use super::super::{
    comer::Rewound,
    reply::Reply,
    timed::{Busy, Course, Stage, Timed},
};

/// Writes the head of a response; returns what is to be written behind it.
pub(super) async fn write_head(
    stream: &mut Timed<Rewound>,
    busy: &Busy,
    response: Response<Reply>,
) -> io::Result<Reply> {
    let (head, body) = response.into_parts();
    let head = head_of((head.status, &head.headers), &body, busy.course());
    write(stream, busy, &head).await?;
    if body.is_stream() {
        busy.is_at(Stage::Streams);
    }
    Ok(body)
}

/// The head of a response.
pub(super) fn head_of(
    (status, headers): (StatusCode, &HeaderMap),
    body: &Reply,
    course: Course,
) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    };
    for (name, value) in headers {
        line(name.as_str(), value.as_bytes());
    }
    match body.size_hint().exact() {
        Some(length) if !body.is_stream() => {
            line(CONTENT_LENGTH.as_str(), length.to_string().as_bytes());
        }
        Some(_) | None if course.is_unchunked => {}
        Some(_) | None => line(TRANSFER_ENCODING.as_str(), b"chunked"),
    }
    if course.is_last {
        line(CONNECTION.as_str(), b"close");
    }
    head.extend_from_slice(b"\r\n");
    head
}

pub(super) async fn write_body(
    stream: &mut Timed<Rewound>,
    busy: &Busy,
    mut body: Reply,
) -> io::Result<()> {
    let is_chunked = body.is_stream() && !busy.course().is_unchunked;
    loop {
        let frame = tokio::select! {
            biased;
            frame = next_frame(&mut body) => frame,
            gone = has_gone(stream) => return Err(gone),
        };
        let Some(frame) = frame else {
            break;
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        // An empty chunk would end the body.
        if data.is_empty() {
            continue;
        }
        if is_chunked {
            let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
            chunk.extend_from_slice(&data);
            chunk.extend_from_slice(b"\r\n");
            write(stream, busy, &chunk).await?;
        } else {
            write(stream, busy, &data).await?;
        }
    }
    if is_chunked {
        busy.is_at(Stage::Written);
        write(stream, busy, b"0\r\n\r\n").await?;
    }
    Ok(())
}

/// Writes what its client has not taken before, and returns when that has gone.
pub(super) async fn has_gone(stream: &mut Timed<Rewound>) -> io::Error {
    if let Err(error) = stream.written().await {
        return error;
    }
    stream.get_ref().comer().has_gone().await;
    io::ErrorKind::BrokenPipe.into()
}

async fn next_frame(body: &mut Reply) -> Option<Frame<Bytes>> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    next.await?.ok()
}

/// Until all of it is written the connection cannot be let go.
pub(super) async fn write(
    stream: &mut Timed<Rewound>,
    busy: &Busy,
    bytes: &[u8],
) -> io::Result<()> {
    busy.note_write(true);
    stream.write_all(bytes).await?;
    busy.note_write(false);
    Ok(())
}
