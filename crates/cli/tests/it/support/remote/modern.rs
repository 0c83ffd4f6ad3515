//! What such a server does in the modern era (2026-07-28): no session, and headers that say what the body says.

use std::{
    io::{self, Read as _},
    net::TcpStream,
    sync::Mutex,
};

use serde_json::{Value, json};

use super::{JSON, Seen, State, answer_to, begin_stream, event, receive, respond, text};

const VERSION: &str = "2026-07-28";

/// Whether a request says that it is of that era.
pub(super) fn is_meant(seen: &Seen) -> bool {
    seen.header("mcp-protocol-version") == Some(VERSION)
}

/// What it says to anything else.
pub(super) fn refuse(seen: &Seen, out: &mut TcpStream) -> io::Result<bool> {
    if seen.method != "POST" {
        respond(out, "405 Method Not Allowed", "", "")?;
        return Ok(true);
    }
    let data = json!({"supported": [VERSION], "requested": "?"});
    fail(seen, out, "400 Bad Request", (-32022, data))
}

fn fail(
    seen: &Seen,
    out: &mut TcpStream,
    status: &str,
    (code, data): (i64, Value),
) -> io::Result<bool> {
    let error = json!({"code": code, "message": "no", "data": data});
    let body = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error});
    respond(out, status, JSON, &body.to_string())?;
    Ok(true)
}

/// Whether the head says what the body says.
fn agrees(seen: &Seen) -> bool {
    let params = &seen.body["params"];
    let name = params["name"].as_str().or(params["uri"].as_str());
    let region = params["arguments"]["region"].as_str();
    let region = region.filter(|_| params["name"] == "routed" || params["name"] == "later");
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] == VERSION
        && params["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_object()
        && seen.header("mcp-method") == Some(seen.says())
        && seen.header("mcp-name") == name
        && seen.header("mcp-param-region") == region
        // Nobody can do it right.
        && params["name"] != "never"
        && seen.header("mcp-session-id").is_none()
        && seen.header("mcpool-session").is_none()
}

pub(super) fn answer(seen: &Seen, out: &mut TcpStream, state: &Mutex<State>) -> io::Result<bool> {
    if !agrees(seen) {
        return fail(seen, out, "400 Bad Request", (-32020, Value::Null));
    }
    let mut result = match seen.says() {
        "server/discover" => json!({
            "supportedVersions": [VERSION],
            "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "remote", "version": "2"}},
        }),
        "tools/list" => {
            let annotated = |kind: &str| json!({"type": "object", "properties": {"region": {"type": kind, "x-mcp-header": "Region"}}});
            match seen.body["params"]["cursor"].as_str() {
                None => json!({"nextCursor": "more", "tools": [
                    {"name": "echo", "inputSchema": {"type": "object"}},
                    {"name": "routed", "inputSchema": annotated("string")},
                    {"name": "broken", "inputSchema": annotated("number")},
                ]}),
                Some(_more) if state.lock().unwrap().lacks_page => {
                    respond(out, "503 Service Unavailable", "", "")?;
                    return Ok(true);
                }
                Some(_more) => {
                    json!({"tools": [{"name": "later", "inputSchema": annotated("string")}]})
                }
            }
        }
        "tools/call" => return call(seen, out, state),
        "subscriptions/listen" => return listen(seen, out, state),
        _unknown => return fail(seen, out, "404 Not Found", (-32601, Value::Null)),
    };
    result["resultType"] = json!("complete");
    result["ttlMs"] = json!(0);
    result["cacheScope"] = json!("private");
    respond(
        out,
        "200 OK",
        JSON,
        &answer_to(&seen.body, result).to_string(),
    )?;
    Ok(true)
}

/// Tells of changes until the client goes.
fn listen(seen: &Seen, out: &mut TcpStream, state: &Mutex<State>) -> io::Result<bool> {
    let filter = &seen.body["params"]["notifications"];
    if let Some(goes_on) = receive(out, state)? {
        return Ok(goes_on);
    }
    let meta = json!({"io.modelcontextprotocol/subscriptionId": seen.body["id"]});
    let said = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"_meta": meta, "notifications": filter}});
    event(out, None, &said)?;
    state.lock().unwrap().listeners.push(out.try_clone()?);
    wait_for_the_end(out);
    Ok(false)
}

fn wait_for_the_end(out: &mut TcpStream) {
    let mut byte = [0];
    let _cut = out.read(&mut byte);
}

fn call(seen: &Seen, out: &mut TcpStream, state: &Mutex<State>) -> io::Result<bool> {
    let params = &seen.body["params"];
    let answers = &params["inputResponses"];
    let mut result = match params["name"].as_str().unwrap_or_default() {
        "progress" => {
            begin_stream(out, "")?;
            let progress =
                json!({"progressToken": params["_meta"]["progressToken"], "progress": 1});
            let level = &params["_meta"]["io.modelcontextprotocol/logLevel"];
            event(
                out,
                None,
                &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}),
            )?;
            if level.is_string() {
                let who = &params["arguments"]["who"];
                let log = json!({"level": level, "data": who});
                event(
                    out,
                    None,
                    &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": log}),
                )?;
            }
            event(out, None, &answer_to(&seen.body, text("done")))?;
            return Ok(false);
        }
        "hang" => {
            begin_stream(out, "")?;
            wait_for_the_end(out);
            state.lock().unwrap().deserted += 1;
            return Ok(false);
        }
        "nothing" => {
            respond(out, "204 No Content", "", "")?;
            return Ok(true);
        }
        "ask" if answers.is_null() => json!({
            "resultType": "input_required",
            "requestState": "kept",
            "inputRequests": {"who": {"method": "elicitation/create", "params": {
                "message": "who?", "requestedSchema": {"type": "object", "properties": {}}}}},
        }),
        "ask" => {
            assert_eq!(params["requestState"], "kept");
            text(&answers["who"]["content"]["name"].to_string())
        }
        _echo => text(params["arguments"]["text"].as_str().unwrap_or_default()),
    };
    if result["resultType"].is_null() {
        result["resultType"] = json!("complete");
    }
    respond(
        out,
        "200 OK",
        JSON,
        &answer_to(&seen.body, result).to_string(),
    )?;
    Ok(true)
}
