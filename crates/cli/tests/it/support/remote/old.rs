//! What such a server does that speaks as servers did before there was one place for everything (2024-11-05).

use std::{
    io::{self, Write as _},
    net::TcpStream,
    sync::Mutex,
};

use serde_json::json;

use super::{Seen, State, begin_stream, event, respond, text};

pub(super) fn answer(seen: &Seen, out: &mut TcpStream, state: &Mutex<State>) -> io::Result<bool> {
    if seen.method == "GET" {
        // Once it knows where to post it does so, and is answered here.
        state.lock().unwrap().listeners.push(out.try_clone()?);
        begin_stream(out, "")?;
        out.write_all(b"event: endpoint\r\ndata: /messages?id=7\r\n\r\n")?;
        return Ok(true);
    }
    if seen.path != "/messages?id=7" {
        respond(out, "405 Method Not Allowed", "", "")?;
        return Ok(true);
    }
    respond(out, "202 Accepted", "", "Accepted")?;
    let message = &seen.body;
    let result = match seen.says() {
        "initialize" => json!({
            "protocolVersion": "2024-11-05",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "old", "version": "1"},
        }),
        "tools/call" => text(
            message["params"]["arguments"]["text"]
                .as_str()
                .unwrap_or_default(),
        ),
        "tools/list" => json!({"tools": []}),
        _other if message.get("id").is_some() => json!({}),
        _notice => return Ok(true),
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    if let Some(listener) = state.lock().unwrap().listeners.last_mut() {
        event(listener, None, &answer)?;
    }
    Ok(true)
}
