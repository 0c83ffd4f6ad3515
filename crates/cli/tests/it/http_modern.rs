//! The modern era over HTTP (2026-07-28): no session, each request stands for itself.

use serde_json::{Value, json};

use crate::support::{
    Home,
    web::{Response, Web, call},
};

const VERSION: &str = "2026-07-28";

/// What every request says of its sender.
fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "web", "version": "1"},
    })
}

/// A request with the id 7.
fn request(method: &str, mut params: Value) -> Value {
    params["_meta"] = meta();
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

/// Sends a request with the headers that go with it.
#[track_caller]
fn ask(web: &Web, message: &Value) -> Response {
    let mut web = web
        .with("MCP-Protocol-Version", Some(VERSION))
        .with("Mcp-Method", message["method"].as_str());
    let params = &message["params"];
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        web = web.with("Mcp-Name", Some(name));
    }
    web.post(message)
}

/// The status, the id and the code of an error.
#[track_caller]
fn error(response: Response) -> (u16, Value, i64) {
    let status = response.status;
    assert_eq!(response.header("mcp-session-id"), None);
    let answer = response.json();
    let code = answer["error"]["code"].as_i64();
    let code = code.unwrap_or_else(|| panic!("{answer}"));
    (status, answer["id"].clone(), code)
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_its_status_code_and_id() {
    let home = Home::new();
    let web = home.web(&[]);
    let modern = web.with("MCP-Protocol-Version", Some(VERSION));
    let id = json!(7);
    // `_meta` lacks something.
    let mut bare = request("server/discover", json!({}));
    bare["params"] = json!({});
    assert_eq!(error(ask(&web, &bare)), (400, id.clone(), -32602));
    // The head lacks something, or says something else.
    let list = request("tools/list", json!({}));
    assert_eq!(error(modern.post(&list)), (400, id.clone(), -32020));
    assert_eq!(error(web.post(&list)), (400, id.clone(), -32020));
    let other = modern.with("Mcp-Method", Some("prompts/list"));
    assert_eq!(error(other.post(&list)), (400, id.clone(), -32020));
    let add = request("tools/call", json!({"name": "add"}));
    let nameless = modern.with("Mcp-Method", Some("tools/call"));
    assert_eq!(error(nameless.post(&add)), (400, id.clone(), -32020));
    // The version is not known.
    let mut later = request("server/discover", json!({}));
    later["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("v999.0.0");
    let refused = web
        .with("MCP-Protocol-Version", Some("v999.0.0"))
        .with("Mcp-Method", Some("server/discover"))
        .post(&later);
    assert_eq!(refused.status, 400);
    let answer = refused.json();
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&id, &json!(-32022))
    );
    let versions = [
        VERSION,
        "2025-11-25",
        "2025-06-18",
        "2025-03-26",
        "2024-11-05",
    ];
    assert_eq!(
        answer["error"]["data"],
        json!({"supported": versions, "requested": "v999.0.0"})
    );
    // The method is gone.
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    ] {
        let refused = ask(&web, &request(method, json!({})));
        assert_eq!(error(refused), (404, id.clone(), -32601), "{method}");
    }
    // There is no such server.
    let refused = ask(&web.to("/mcp/other"), &list);
    assert_eq!(error(refused), (404, id, -32603));
    assert_eq!(home.status()["sessions"], json!([]));
}

#[test]
fn a_body_is_one_message_and_nothing_else_is_there() {
    let home = Home::new();
    let web = home.web(&[]);
    let modern = web
        .with("MCP-Protocol-Version", Some(VERSION))
        .with("Mcp-Method", Some("tools/list"));
    let list = request("tools/list", json!({}));
    let batch = json!([list, list]);
    assert_eq!(error(modern.post(&batch)), (400, Value::Null, -32600));
    let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
    assert_eq!(error(modern.post(&answer)), (400, json!(7), -32600));
    assert_eq!(
        error(modern.request("POST", b"{")),
        (400, Value::Null, -32700)
    );
    // A notification is taken, and says nothing to anybody.
    for method in ["notifications/cancelled", "notifications/whatever"] {
        let told = json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": 7}});
        let taken = web.with("MCP-Protocol-Version", Some(VERSION)).post(&told);
        assert_eq!((taken.status, &*taken.text()), (202, ""));
    }
    // There is no stream beside the responses, and nothing to end.
    let mut other = modern.clone();
    other.session = Some("0123456789abcdef0123456789abcdef".to_owned());
    for web in [&modern, &other] {
        for response in [web.get(), web.delete()] {
            assert_eq!(response.header("allow"), Some("POST"));
            let refused = (405, -32000, "method-not-allowed".to_owned());
            assert_eq!(response.error(), refused);
        }
    }
}

#[test]
fn a_client_of_an_older_version_is_what_it_is_though_it_sends_the_newer_headers() {
    let home = Home::new();
    let web = home.web(&[]);
    let older = web.with("MCP-Protocol-Version", Some("2025-11-25"));
    let mut session = older.with("Mcp-Method", Some("initialize"));
    session.begin("2025-11-25", json!({}));
    let mut session = session.with("Mcp-Method", Some("tools/call"));
    let answer = session.result("echo", json!({"text": "hello"}));
    assert_eq!(answer["content"][0]["text"], "hello");
    // Without a session such a request is nobody's.
    session.session = None;
    assert_eq!(
        session.post(&call(9, "echo", json!({}))).error(),
        (400, -32000, "no-session".to_owned())
    );
}
