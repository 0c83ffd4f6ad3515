use bytes::Bytes;
use serde_json::{Value, json};

use super::*;

fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in all {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    map
}

fn frame(message: &Value) -> Frame {
    Frame::parse(Bytes::from(message.to_string())).unwrap()
}

fn one(message: &Value) -> Said {
    Said::One(frame(message))
}

/// What every request says of its sender.
fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn request(method: &str, params: &Value) -> Value {
    let mut params = params.clone();
    params["_meta"] = meta();
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

const OURS: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const LEGACY: (&str, &str) = ("mcp-protocol-version", "2025-11-25");
const SESSION: (&str, &str) = ("mcp-session-id", "0123456789abcdef0123456789abcdef");
const METHOD: (&str, &str) = ("mcp-method", "tools/list");

#[test]
fn the_era_is_decided_for_each_message() {
    let plain = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method});
    let (list, hello) = (plain("tools/list"), plain("initialize"));
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let claims = request("tools/list", &json!({}));
    let half = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {
        "_meta": {"io.modelcontextprotocol/clientCapabilities": {}},
    }});
    let later = ("mcp-protocol-version", "v999.0.0");
    let older = ("mcp-protocol-version", "1999-01-01");
    let greets = ("mcp-method", "initialize");
    for (headers_of, message, modern) in [
        // The body says so, whatever the head says.
        (&[][..], &claims, true),
        (&[LEGACY, SESSION], &claims, true),
        (&[SESSION], &half, true),
        // The version says so.
        (&[OURS], &list, true),
        (&[OURS, SESSION], &list, true),
        (&[OURS], &hello, true),
        (&[OURS], &told, true),
        (&[later], &list, true),
        // A session has one that we know.
        (&[later, SESSION], &list, false),
        (&[older], &list, false),
        // Some clients of older versions send the other headers, too.
        (&[LEGACY, greets], &hello, false),
        (&[LEGACY, METHOD], &told, false),
        (&[METHOD], &list, true),
        (&[METHOD, SESSION], &list, false),
        (&[greets], &hello, false),
        // Nothing says so.
        (&[], &list, false),
        (&[], &hello, false),
        (&[SESSION], &list, false),
        (&[LEGACY, SESSION], &told, false),
    ] {
        let is_modern = is_modern(&headers(headers_of), &one(message));
        assert_eq!(is_modern, modern, "{headers_of:?} {message}");
    }
    let batch = |message: &Value| Said::Batch(vec![Ok(frame(message))]);
    assert!(is_modern(&HeaderMap::new(), &batch(&claims)));
    assert!(!is_modern(&headers(&[SESSION]), &batch(&list)));
}

#[test]
fn a_head_alone_says_it_by_the_version() {
    for (headers_of, claimed) in [
        (&[OURS][..], true),
        (&[OURS, SESSION], true),
        (&[LEGACY], false),
        (&[METHOD], false),
        (&[], false),
    ] {
        assert_eq!(is_claimed(&headers(headers_of)), claimed, "{headers_of:?}");
    }
}

/// The code of what is wrong with a request, and what of it.
fn fault(headers_of: &[(&'static str, &'static str)], message: &Value) -> Option<(i32, String)> {
    let checked = check(&headers(headers_of), &frame(message));
    checked.err().map(told)
}

fn told(denial: Denial) -> (i32, String) {
    match denial {
        Denial::Message(fault) => (fault.code(), fault.to_string()),
        Denial::Server(refusal) => (refusal.code(), refusal.to_string()),
        Denial::Transport(fault) => panic!("{fault:?}"),
    }
}

#[test]
fn a_request_says_of_its_sender_what_it_must() {
    let with = |meta: Value| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let client = "io.modelcontextprotocol/clientInfo";
    let level = "io.modelcontextprotocol/logLevel";
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for (message, missing) in [
        (bare, version),
        (with(json!({})), version),
        (with(json!(7)), version),
        (with(json!({capabilities: {}, client: {}})), version),
        (with(json!({version: 7, capabilities: {}})), version),
        (with(json!({version: null, capabilities: {}})), version),
        (with(json!({version: MODERN_VERSION})), capabilities),
        (
            with(json!({version: MODERN_VERSION, capabilities: []})),
            capabilities,
        ),
        (
            with(json!({version: MODERN_VERSION, capabilities: {}, client: "x"})),
            client,
        ),
        (
            with(json!({version: MODERN_VERSION, capabilities: {}, level: 3})),
            level,
        ),
    ] {
        let (code, text) = fault(&[OURS, METHOD], &message).unwrap();
        assert_eq!(code, -32602, "{message}");
        assert!(text.contains(missing), "{text}: {message}");
    }
    let whole = with(
        json!({version: MODERN_VERSION, capabilities: {}, client: {"name": "x"}, level: "info"}),
    );
    assert_eq!(fault(&[OURS, METHOD], &whole), None);
    assert_eq!(fault(&[OURS, METHOD], &with(meta())), None);
}

/// The headers of a request, the request, and what is wrong with them.
type Case<'a> = (
    &'a [(&'static str, &'static str)],
    &'a Value,
    Option<&'a str>,
);

/// Sees to it that each request with such headers is found good, or wrong in these words.
fn check_all(cases: &[Case<'_>]) {
    for (headers_of, message, wrong) in cases {
        let found = fault(headers_of, message);
        match (&found, wrong) {
            (None, None) => {}
            (Some((-32020, text)), Some(wrong)) if text.contains(wrong) => {}
            _other => panic!("{found:?} is not {wrong:?}: {headers_of:?} {message}"),
        }
    }
}

#[test]
fn the_version_and_the_method_stand_in_the_head_as_in_the_body() {
    let list = &request("tools/list", &json!({}));
    let method = |method| ("mcp-method", method);
    check_all(&[
        (&[OURS, METHOD], list, None),
        (&[OURS, method(" tools/list\t")], list, None),
        (&[OURS, METHOD, ("mcp-name", "whatever")], list, None),
        (&[METHOD], list, Some("`MCP-Protocol-Version` is missing")),
        (
            &[LEGACY, METHOD],
            list,
            Some("`MCP-Protocol-Version` does not say"),
        ),
        (
            &[OURS, OURS, METHOD],
            list,
            Some("`MCP-Protocol-Version` stands there more"),
        ),
        (&[OURS], list, Some("`Mcp-Method` is missing")),
        (
            &[OURS, method("prompts/list")],
            list,
            Some("`Mcp-Method` does not say"),
        ),
        (
            &[OURS, method("TOOLS/LIST")],
            list,
            Some("`Mcp-Method` does not say"),
        ),
        // It has no need to be encoded.
        (
            &[OURS, method("=?base64?dG9vbHMvbGlzdA==?=")],
            list,
            Some("`Mcp-Method` does not say"),
        ),
    ]);
    let mut unreadable = headers(&[OURS]);
    let value = HeaderValue::from_bytes("tools/list\u{e4}".as_bytes()).unwrap();
    unreadable.append("mcp-method", value);
    let fault = check(&unreadable, &frame(list)).unwrap_err();
    assert_eq!(told(fault).1, "the header `Mcp-Method` cannot be read");
}

#[test]
fn what_a_request_is_about_stands_in_the_head_as_in_the_body() {
    let call = &request("tools/call", &json!({"name": "add"}));
    let get = &request("prompts/get", &json!({"name": "über"}));
    let read = &request("resources/read", &json!({"uri": "file:///a b"}));
    let nameless = &request("tools/call", &json!({}));
    let [calls, gets, reads] =
        ["tools/call", "prompts/get", "resources/read"].map(|method| ("mcp-method", method));
    let name = |name| ("mcp-name", name);
    check_all(&[
        (&[OURS, calls, name("add")], call, None),
        (&[OURS, calls, name("  add  ")], call, None),
        (&[OURS, calls, name("=?base64?YWRk?=")], call, None),
        (
            &[OURS, calls, name("Add")],
            call,
            Some("`Mcp-Name` does not say"),
        ),
        (
            &[OURS, calls, name("=?base64?YWR?=")],
            call,
            Some("`Mcp-Name` cannot be read"),
        ),
        (&[OURS, calls], call, Some("`Mcp-Name` is missing")),
        (
            &[OURS, calls, name("add"), name("add")],
            call,
            Some("`Mcp-Name` stands there more"),
        ),
        (&[OURS, gets, name("=?base64?w7xiZXI=?=")], get, None),
        (&[OURS, gets], get, Some("`Mcp-Name` is missing")),
        (&[OURS, reads, name("file:///a b")], read, None),
        (
            &[OURS, reads, name("file:///")],
            read,
            Some("`Mcp-Name` does not say"),
        ),
        // The server says what it thinks of a call of nothing.
        (&[OURS, calls], nameless, None),
        (
            &[OURS, calls, name("add")],
            nameless,
            Some("`Mcp-Name` is about something"),
        ),
    ]);
}

#[test]
fn a_version_that_is_not_served_is_said_so_once_the_head_agrees() {
    let mut message = request("server/discover", &json!({}));
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("v999.0.0");
    let later = ("mcp-protocol-version", "v999.0.0");
    // What else such a version wants, in the head or in the body, is not known.
    let meta = &mut message["params"]["_meta"];
    let object = meta.as_object_mut().unwrap();
    object.remove("io.modelcontextprotocol/clientCapabilities");
    let denial = check(&headers(&[later]), &frame(&message)).unwrap_err();
    let response = reply::denied_to(&denial, None);
    assert_eq!(response.status().as_u16(), 400);
    let Denial::Server(Refusal::UnsupportedVersion { requested }) = denial else {
        panic!("{denial:?}");
    };
    assert_eq!(requested, "v999.0.0");
    let (code, _) = fault(&[OURS, ("mcp-method", "server/discover")], &message).unwrap();
    assert_eq!(code, -32020);
}

#[test]
fn what_older_versions_had_is_gone_and_what_nobody_knows_is_passed_on() {
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    ] {
        let headers_of = [OURS, ("mcp-method", method)];
        let denial = check(&headers(&headers_of), &frame(&request(method, &json!({}))));
        let denial = denial.unwrap_err();
        let status = reply::denied_to(&denial, None).status().as_u16();
        assert_eq!((told(denial).0, status), (-32601, 404));
    }
    let headers_of = [OURS, ("mcp-method", "unknown/method")];
    assert_eq!(
        fault(&headers_of, &request("unknown/method", &json!({}))),
        None
    );
}

#[test]
fn a_notification_needs_no_headers_and_an_answer_is_no_request() {
    let told =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(fault(&[OURS], &told), None);
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(fault(&[OURS], &answer).unwrap().0, -32600);
}

#[test]
fn a_request_that_goes_on_names_the_session() {
    let key = Key::random().unwrap();
    let state = |state: Value| {
        let params = json!({"name": "t", "requestState": state});
        continues(&frame(&request("tools/call", &params)))
    };
    assert_eq!(
        state(json!(format!("mcpool.{}.7", key.to_text()))),
        Some(key)
    );
    for other in [
        json!("something of the server's"),
        json!(format!("mcpool.{}", key.to_text())),
        json!("mcpool.x.1"),
        json!(7),
        json!({"a": format!("mcpool.{}.7", key.to_text())}),
    ] {
        assert_eq!(state(other.clone()), None, "{other}");
    }
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\"requestState\""}}"#;
    let frame = Frame::parse(Bytes::from_static(text.as_bytes())).unwrap();
    assert_eq!(continues(&frame), None);
}
