//! The modern era over HTTP (2026-07-28): no session, each request stands for itself.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    Home, eventually, until,
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
pub(crate) fn request(method: &str, mut params: Value) -> Value {
    params["_meta"] = meta();
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

/// A call of a tool, likewise.
pub(crate) fn call_of(tool: &str, arguments: Value) -> Value {
    request("tools/call", json!({"name": tool, "arguments": arguments}))
}

/// Sends a request with the headers that go with it.
#[track_caller]
pub(crate) fn ask(web: &Web, message: &Value) -> Response {
    fitted(web, message).post(message)
}

/// An answer that came within a second, so that it is no stream and has a status of its own; sooner or later a machine
/// lets a server answer in that time.
#[track_caller]
fn quick(web: &Web, message: &Value) -> Response {
    eventually("an answer within a second", || {
        Some(ask(web, message)).filter(|answer| !answer.is_stream())
    })
}

/// With the headers that go with a request.
pub(crate) fn fitted(web: &Web, message: &Value) -> Web {
    let mut web = web
        .with("MCP-Protocol-Version", Some(VERSION))
        .with("Mcp-Method", message["method"].as_str());
    let params = &message["params"];
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        web = web.with("Mcp-Name", Some(name));
    }
    web
}

/// How many sessions there are.
pub(crate) fn sessions(home: &Home) -> usize {
    home.status()["sessions"].as_array().unwrap().len()
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
    let data = &answer["error"]["data"];
    assert_eq!(
        (&data["supported"], &data["requested"], &data["reason"]),
        (
            &json!(versions),
            &json!("v999.0.0"),
            &json!("unsupported-version")
        )
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

#[test]
fn each_request_stands_for_itself_and_all_share_the_process_of_the_sessions_beside() {
    let home = Home::new();
    let web = home.web(&["--fatal-second-initialize"]);
    let pid =
        web.session().result("echo", json!({"text": "x"}))["structuredContent"]["pid"].clone();
    let found = ask(&web, &request("server/discover", json!({})));
    assert_eq!(found.status, 200);
    let found = found.json();
    assert_eq!(found["result"]["supportedVersions"][0], VERSION, "{found}");
    assert_eq!(found["result"]["resultType"], "complete");
    for number in 0..3 {
        let text = format!("call {number}");
        let call = call_of("echo", json!({"text": text}));
        let answer = quick(&web, &call);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("mcp-session-id"), None);
        let answer = answer.json();
        let result = &answer["result"];
        assert_eq!(result["content"][0]["text"], text, "{answer}");
        assert_eq!(result["structuredContent"]["pid"], pid, "{answer}");
        assert_eq!(result["resultType"], "complete", "{answer}");
    }
    let unknown = quick(&web, &request("unknown/method", json!({})));
    assert_eq!(error(unknown), (404, json!(7), -32601));
    // What the server says is wrong with a request is an answer.
    let params = json!({"name": "nothing"});
    let wrong = ask(&web, &request("prompts/get", params));
    assert_eq!(error(wrong), (200, json!(7), -32602));
    let listed = ask(&web, &request("tools/list", json!({}))).json();
    assert!(listed["result"]["ttlMs"].is_u64(), "{listed}");
    until("the end of all these sessions", || sessions(&home) == 1);
}

#[test]
fn what_belongs_to_a_request_comes_before_its_answer_and_nobody_comes_back_to_it() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut message = call_of("progress", json!({"steps": 3}));
    message["params"]["_meta"]["progressToken"] = json!("mine");
    let mut stream = ask(&web, &message);
    assert_eq!(stream.status, 200);
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    assert_eq!(stream.header("mcp-session-id"), None);
    for step in 1..=3 {
        let progress = stream.event().unwrap();
        assert_eq!(progress["method"], "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], "mine");
        assert_eq!(progress["params"]["progress"], step);
    }
    assert_eq!(stream.event().unwrap()["id"], 7);
    assert_eq!(stream.event(), None);
    let text = ask(&web, &message).text();
    assert!(text.contains("data: ") && !text.contains("id: "), "{text}");
    until("the end of the sessions", || sessions(&home) == 0);
}

#[test]
fn who_goes_away_has_cancelled_whether_anything_had_come_or_not() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let never = home.file("never");
    // Nothing has come.
    let message = call_of("slow", json!({"until": never, "mark": "first"}));
    let body = message.to_string();
    let waits = fitted(&web, &message).send("POST", body.as_bytes());
    home.noted("record", "executed first");
    assert_eq!(sessions(&home), 1);
    drop(waits);
    home.noted("record", "cancelled");
    until("the end of the session", || sessions(&home) == 0);
    // A stream has begun.
    let mut message = call_of("slow", json!({"until": never, "mark": "second"}));
    message["params"]["_meta"]["progressToken"] = json!(1);
    let mut stream = ask(&web, &message);
    assert_eq!(stream.event().unwrap()["method"], "notifications/progress");
    stream.hang_up();
    until("the second is cancelled", || {
        home.count("record", "cancelled") == 2
    });
    until("the end of the session", || sessions(&home) == 0);
    // A notification names nothing here.
    let mut message = call_of("slow", json!({"until": home.file("now"), "mark": "third"}));
    message["params"]["_meta"]["progressToken"] = json!(1);
    let mut stream = ask(&web, &message);
    assert!(stream.event().is_some());
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(ask(&web, &cancelled).status, 202);
    fs::write(home.file("now"), "").unwrap();
    assert!(stream.event().unwrap()["result"].is_object());
    assert_eq!(home.count("record", "cancelled"), 2);
}

#[test]
fn who_listens_hears_what_it_asked_for_until_it_goes_away() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut stream = ask(
        &web,
        &request(
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": true}}),
        ),
    );
    assert!(stream.is_stream());
    let first = stream.event().unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let mut other = ask(
        &web,
        &request(
            "subscriptions/listen",
            json!({"notifications": {"promptsListChanged": true}}),
        ),
    );
    assert!(other.event().is_some());
    let tag = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(first["params"]["_meta"][tag], 7, "{first}");
    assert_eq!(ask(&web, &call_of("change", json!({}))).status, 200);
    let told = stream.event().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"][tag], 7, "{told}");
    until("the end of the call", || sessions(&home) == 2);
    stream.hang_up();
    other.hang_up();
    until("the end of both", || sessions(&home) == 0);
}

#[test]
fn an_argument_that_stands_in_a_header_is_the_same_there() {
    let home = Home::new();
    let web = home.web(&[]);
    let said = |text: &str, header: Option<&str>| {
        let message = call_of("mirrored", json!({"text": text}));
        let web = fitted(&web, &message).with("Mcp-Param-Text", header);
        web.post(&message)
    };
    // From now on it is known what the server lists.
    assert_eq!(ask(&web, &request("tools/list", json!({}))).status, 200);
    for (text, header) in [
        ("Hello", "Hello"),
        ("Hello", "=?base64?SGVsbG8=?="),
        ("SGVsbG8=", "SGVsbG8="),
        ("=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
    ] {
        let answer = said(text, Some(header));
        assert_eq!(answer.status, 200, "{text} {header}");
        assert_eq!(answer.json()["result"]["content"][0]["text"], text);
    }
    for header in [
        None,
        Some("hello"),
        Some("=?base64?SGVsbG8?="),
        Some("=?base64?SGVs!!!bG8=?="),
    ] {
        assert_eq!(
            error(said("Hello", header)),
            (400, json!(7), -32020),
            "{header:?}"
        );
    }
    let other = call_of("echo", json!({"text": "Hello"}));
    let web = fitted(&web, &other).with("Mcp-Param-Text", Some("x"));
    assert_eq!(web.post(&other).status, 200, "it is not about this tool");
}

#[test]
fn there_are_no_more_sessions_than_may_be_and_the_rest_is_asked_to_come_later() {
    let home = Home::new();
    let web = home.web_with(&[], "[limits]\nsessions = 1\n");
    let listen = request(
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let mut stream = ask(&web, &listen);
    assert!(stream.event().is_some());
    let refused = ask(&web, &call_of("echo", json!({})));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(error(refused), (503, json!(7), -32603));
    stream.hang_up();
    until("there is a place again", || {
        ask(&web, &call_of("echo", json!({}))).status == 200
    });
}

#[test]
fn a_server_that_is_configured_no_longer_is_not_found_by_the_next_request() {
    let home = Home::new();
    let web = home.web(&[]);
    assert_eq!(ask(&web, &call_of("echo", json!({}))).status, 200);
    let only = web.to("/mcp");
    assert_eq!(ask(&only, &call_of("echo", json!({}))).status, 200);
    home.configure("[http]\nlisten = [\"127.0.0.1:0\"]\n");
    assert_eq!(
        error(ask(&web, &call_of("echo", json!({})))),
        (404, json!(7), -32603)
    );
    assert_eq!(
        error(ask(&only, &call_of("echo", json!({})))),
        (404, json!(7), -32000)
    );
}

#[test]
fn a_server_of_the_same_era_hears_and_says_what_it_would_without_us() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--era", "modern", "--record", &record]);
    let found = ask(&web, &request("server/discover", json!({}))).json();
    assert_eq!(found["result"]["supportedVersions"][0], VERSION, "{found}");
    let answer = ask(&web, &call_of("echo", json!({"text": "hello"}))).json();
    assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");
    // It asks its client by an answer, and is told by the next request, each a session of its own.
    let mut message = call_of("elicit", json!({"text": "name?"}));
    let can = &mut message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    *can = json!({"elicitation": {}});
    let asked = ask(&web, &message).json();
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let question = &result["inputRequests"]["ask"];
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "name?");
    message["params"]["requestState"] = result["requestState"].clone();
    let said = json!({"action": "accept", "content": {}});
    message["params"]["inputResponses"] = json!({"ask": said});
    let answer = ask(&web, &message).json();
    let heard = answer["result"]["content"][0]["text"].as_str();
    assert_eq!(serde_json::from_str::<Value>(heard.unwrap()).unwrap(), said);
    // Logs come where they are wanted.
    let log = call_of("log", json!({"text": "hello"}));
    quick(&web, &log);
    let mut log = log;
    log["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("info");
    let mut stream = ask(&web, &log);
    assert_eq!(stream.event().unwrap()["params"]["data"], "hello");
    assert_eq!(stream.event().unwrap()["id"], 7);
    // Changes come to who listens.
    let listen = json!({"notifications": {"toolsListChanged": true}});
    let mut stream = ask(&web, &request("subscriptions/listen", listen));
    assert!(stream.event().is_some());
    ask(&web, &call_of("change", json!({})));
    let told = stream.event().unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let tag = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(told["params"]["_meta"][tag], 7, "{told}");
    // Who goes away has cancelled.
    let slow = call_of("slow", json!({"until": home.file("never"), "mark": "slow"}));
    let waits = fitted(&web, &slow).send("POST", slow.to_string().as_bytes());
    home.noted("record", "executed slow");
    drop(waits);
    home.noted("record", "cancelled");
    assert_eq!(home.upstream_pids().len(), 1);
}

#[test]
fn what_an_older_server_asks_is_the_answer_and_the_next_request_goes_on_with_the_first() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let able = |mut message: Value| {
        let can = &mut message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        *can = json!({"elicitation": {}});
        message
    };
    let message = able(call_of("elicit", json!({"text": "name?", "mark": "once"})));
    let asked = ask(&web, &message);
    assert_eq!(asked.status, 200);
    let asked = asked.json();
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let (key, question) = result["inputRequests"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "name?");
    assert_eq!(sessions(&home), 1, "it is waited for");
    let said = json!({"action": "accept", "content": {"name": "Alice"}});
    let mut again = message.clone();
    again["id"] = json!("again");
    again["params"]["requestState"] = result["requestState"].clone();
    again["params"]["inputResponses"] = json!({key: said});
    // Elsewhere nobody waits for it.
    let other = home.project("other");
    let elsewhere = web.to(&format!("/mcp/fake?workspace={}", other.display()));
    let refused = ask(&elsewhere, &again);
    assert_eq!(refused.json()["error"]["code"], -32602);
    let answer = ask(&web, &again);
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["id"], "again");
    let heard = answer["result"]["content"][0]["text"].as_str();
    let heard = heard.unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(serde_json::from_str::<Value>(heard).unwrap(), said);
    assert_eq!(home.count("record", "executed once"), 1);
    until("the end of the session", || sessions(&home) == 0);
    // It was good once.
    let refused = ask(&web, &again);
    assert_eq!(refused.json()["error"]["code"], -32602);
}

#[test]
fn many_requests_at_once_are_answered_once_each() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    thread::scope(|scope| {
        for client in 0..16 {
            let web = &web;
            scope.spawn(move || {
                for round in 0..10 {
                    let mark = format!("m{client}.{round}");
                    let mut message = call_of("echo", json!({"text": mark, "mark": mark}));
                    message["id"] = json!(mark);
                    let answer = ask(web, &message);
                    assert_eq!(answer.status, 200);
                    let answer = answer.json();
                    assert_eq!(answer["id"], mark, "{answer}");
                    assert_eq!(answer["result"]["content"][0]["text"], mark, "{answer}");
                }
            });
        }
    });
    for client in 0..16 {
        for round in 0..10 {
            let executed = format!("executed m{client}.{round} ");
            assert_eq!(home.count("record", &executed), 1, "{executed}");
        }
    }
    until("the end of the sessions", || sessions(&home) == 0);
    assert_eq!(home.upstream_pids().len(), 1);
}

#[test]
fn a_request_is_answered_though_its_server_dies_or_the_daemon_ends() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let crashed = ask(&web, &call_of("crash", json!({"code": 3})));
    assert_eq!(crashed.status, 200);
    let crashed = crashed.json();
    assert_eq!(
        crashed["error"]["data"]["reason"], "upstream-exited",
        "{crashed}"
    );
    assert_eq!(crashed["error"]["data"]["maybeExecuted"], true);
    let answer = ask(&web, &call_of("echo", json!({"text": "again"}))).json();
    assert_eq!(answer["result"]["content"][0]["text"], "again", "{answer}");
    let slow = call_of("slow", json!({"until": home.file("never"), "mark": "slow"}));
    thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&web, &slow));
        home.noted("record", "executed slow");
        home.done(&["stop"]);
        let ended = waits.join().unwrap();
        assert_eq!(ended.status, 200);
        let ended = ended.json();
        assert_eq!(ended["id"], 7);
        assert_eq!(
            ended["error"]["data"]["reason"], "upstream-stopped",
            "{ended}"
        );
    });
}

#[test]
fn an_upgrade_comes_in_between_requests_however_many_there_are() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let (is_over, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let upgrades = thread::scope(|scope| {
        for client in 0..4 {
            let (web, home, is_over, calls) = (&web, &home, &is_over, &calls);
            scope.spawn(move || {
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    round += 1;
                    let mark = format!("m{client}.{round}");
                    let message = call_of("echo", json!({"text": mark, "mark": mark}));
                    let answer = ask(web, &message);
                    assert_eq!(answer.status, 200);
                    let answer = answer.json();
                    assert_eq!(answer["result"]["content"][0]["text"], mark, "{answer}");
                    assert_eq!(home.count("record", &format!("executed {mark} ")), 1);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until("calls", || calls.load(Ordering::Relaxed) > 8);
        let upgrades = [(); 3].map(|()| home.run(&["upgrade"]));
        is_over.store(true, Ordering::Relaxed);
        upgrades
    });
    for upgrade in upgrades {
        assert_eq!(upgrade.code, Some(0), "{upgrade:?}");
    }
    assert_eq!(home.upstream_pids().len(), 1);
}
