//! Sessions over HTTP, as clients of the versions with a handshake have them.

use std::{collections::BTreeSet, fs, thread};

use serde_json::json;

use crate::support::{
    Home, eventually,
    processes::Holder,
    until,
    web::{Web, call},
};

#[test]
fn a_session_begins_is_answered_and_ends() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.clone();
    let greeting = session.begin("2025-06-18", json!({}));
    assert_eq!(greeting["serverInfo"]["name"], "fake-server");
    assert_eq!(greeting["protocolVersion"], "2025-06-18");
    let key = session.session.clone().unwrap();
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let answer = session.result("echo", json!({"text": "hello"}));
    assert_eq!(answer["content"][0]["text"], "hello");
    let list = json!({"jsonrpc": "2.0", "id": "one", "method": "tools/list"});
    let listed = eventually("an answer within a second, which is no stream", || {
        Some(session.post(&list)).filter(|listed| !listed.is_stream())
    });
    assert_eq!(listed.status, 200);
    assert_eq!(listed.json()["id"], "one");
    let status = home.status();
    let shown = &status["sessions"][0];
    assert_eq!(
        (&shown["front"], &shown["client"]),
        (&json!("http"), &json!("web 1"))
    );
    assert_eq!(session.delete().status, 200);
    let gone = (404, -32001, "no-such-session".to_owned());
    assert_eq!(session.post(&call(9, "echo", json!({}))).error(), gone);
    assert_eq!(session.get().error(), gone);
    assert_eq!(session.delete().error(), gone);
    until("the end of the session", || {
        home.status()["sessions"].as_array().unwrap().is_empty()
    });
}

#[test]
fn sessions_over_http_and_stdio_share_one_process() {
    let home = Home::new();
    let web = home.web(&["--fatal-second-initialize"]);
    let mut shim = home.configured("fake");
    let pid = shim.server_pid();
    let sessions: Vec<Web> = (0..8).map(|_| web.session()).collect();
    let keys: BTreeSet<_> = sessions.iter().map(|it| it.session.clone()).collect();
    assert_eq!(keys.len(), 8);
    thread::scope(|scope| {
        for (number, mut session) in sessions.into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..5 {
                    let text = format!("{number} says {round}");
                    let result = session.result("echo", json!({"text": text}));
                    assert_eq!(result["content"][0]["text"], text);
                    assert_eq!(result["structuredContent"]["pid"], pid);
                }
            });
        }
    });
    assert_eq!(
        shim.text("echo", json!({"text": "still here"})),
        "still here"
    );
    let status = home.status();
    assert_eq!(status["upstreams"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["upstreams"][0]["sessions"], 9);
}

#[test]
fn what_belongs_to_a_call_comes_with_its_answer_and_nothing_else_does() {
    let home = Home::new();
    let web = home.web(&[]);
    let (mut one, mut other) = (web.session(), web.session());
    let mut listens = one.get();
    let mut elsewhere = other.get();
    assert!(listens.is_stream());
    assert_eq!(
        listens.header("cache-control"),
        Some("no-cache, no-transform")
    );
    let mut stream = one.call("progress", json!({"steps": 3}));
    for step in 1..=3 {
        let progress = stream.event().unwrap();
        assert_eq!(progress["method"], "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], 1);
        assert_eq!(progress["params"]["progress"], step);
    }
    assert_eq!(stream.event().unwrap()["id"], 1);
    assert_eq!(stream.event(), None);
    // A change of the lists is everybody's.
    other.result("change", json!({}));
    for listener in [&mut listens, &mut elsewhere] {
        let told = listener.event().unwrap();
        assert_eq!(told["method"], "notifications/tools/list_changed");
    }
    let busy = one.get();
    assert_eq!(busy.error(), (409, -32000, "already-listening".to_owned()));
    one.result("change", json!({}));
    assert!(listens.event().is_some(), "the first goes on listening");
    one.delete();
    assert_eq!(listens.event(), None);
}

#[test]
fn what_is_said_while_nobody_listens_is_heard_by_the_next_who_does() {
    let home = Home::new();
    let web = home.web(&[]);
    let (mut one, mut other) = (web.session(), web.session());
    other.result("change", json!({}));
    let mut first = one.get();
    assert_eq!(
        first.event().unwrap()["method"],
        "notifications/tools/list_changed"
    );
    first.hang_up();
    until("another who may listen", || {
        let mut next = one.get();
        if next.status != 200 {
            return false;
        }
        other.result("rugpull", json!({}));
        assert!(next.event().is_some());
        true
    });
    one.result("echo", json!({}));
}

#[test]
fn a_server_asks_during_a_call_and_is_answered_by_a_post() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.clone();
    session.begin("2025-11-25", json!({"sampling": {}, "elicitation": {}}));
    for (tool, method, result) in [
        (
            "sample",
            "sampling/createMessage",
            json!({"model": "m", "role": "assistant", "content": {"type": "text", "text": "yes"}}),
        ),
        (
            "elicit",
            "elicitation/create",
            json!({"action": "accept", "content": {}}),
        ),
    ] {
        let mut stream = session.call(tool, json!({}));
        let ask = stream.event().unwrap();
        assert_eq!(ask["method"], method, "{ask}");
        let answer = json!({"jsonrpc": "2.0", "id": ask["id"], "result": result});
        let heard = session.post(&answer);
        assert_eq!(heard.status, 202);
        let answer = stream.event().unwrap();
        assert_eq!(answer["result"]["content"][0]["type"], "text", "{answer}");
        assert_eq!(stream.event(), None);
    }
}

#[test]
fn a_call_is_cancelled_by_a_notification_and_by_nothing_else() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let mut session = web.session();
    let file = home.file("go on");
    // It is there when something of the call has come.
    let stream = session.post(&call(77, "slow", json!({"until": file})));
    assert_eq!((stream.status, stream.is_stream()), (200, true));
    let cancelled = session.post(&json!({
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 77},
    }));
    assert_eq!(cancelled.status, 202);
    let text = stream.text();
    assert!(!text.contains(r#""id":77"#), "{text}");
    home.noted("record", "received notifications/cancelled");
    // Who goes away has cancelled nothing.
    let mut goes = session.call(
        "progress",
        json!({"steps": 1, "until": file, "mark": "left"}),
    );
    goes.event();
    goes.hang_up();
    fs::write(&file, "").unwrap();
    session.result("echo", json!({}));
    assert_eq!(home.count("record", "received notifications/cancelled"), 1);
}

#[test]
fn batches_are_for_the_version_that_has_them() {
    let home = Home::new();
    let web = home.web(&[]);
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "two", "method": "tools/list"},
    ]);
    let mut old = web.clone();
    old.begin("2025-03-26", json!({}));
    let answers = old.post(&batch).json();
    let ids: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, [&json!(1), &json!("two")]);
    let told = old.post(&json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]));
    assert_eq!(told.status, 202);
    let new = web.session();
    let (status, code, _) = new.post(&batch).error();
    assert_eq!((status, code), (400, -32600));
    assert_eq!(web.post(&batch).error().0, 400, "no session begins so");
}

#[test]
fn what_is_not_as_it_should_be_is_told_by_the_status() {
    let home = Home::new();
    let web = home.web(&[]);
    let session = web.session();
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let status = |web: &Web| web.post(&ping).error();
    assert_eq!(status(&web), (400, -32000, "no-session".to_owned()));
    let mut stranger = session.clone();
    stranger.session = Some("0".repeat(32));
    assert_eq!(
        status(&stranger),
        (404, -32001, "no-such-session".to_owned())
    );
    let elsewhere = session.to("/mcp");
    assert_eq!(status(&elsewhere).0, 404, "a session stays at its path");
    let accepts = session.with("Accept", Some("application/json"));
    assert_eq!(status(&accepts), (406, -32000, "not-acceptable".to_owned()));
    let plain = session.with("Content-Type", Some("text/plain"));
    assert_eq!(status(&plain), (415, -32000, "not-json".to_owned()));
    for version in ["2027-01-01", "1999-01-01"] {
        let other = session.with("MCP-Protocol-Version", Some(version));
        assert_eq!(status(&other), (400, -32000, "unknown-version".to_owned()));
    }
    for version in ["2025-03-26", "2025-11-25"] {
        let same = session.with("MCP-Protocol-Version", Some(version));
        assert_eq!(same.post(&ping).status, 200);
    }
    let get = web.get();
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(session.request("PUT", b"").status, 405);
    assert_eq!(
        session.request("POST", b"{").error(),
        (400, -32700, "malformed".to_owned())
    );
    assert_eq!(session.request("POST", b"").error().0, 400);
    let pretty = serde_json::to_vec_pretty(&ping).unwrap();
    assert_eq!(session.request("POST", &pretty).json()["id"], 1);
    let health = web.to("/health").with("Accept", None).get();
    assert_eq!((health.status, health.text()), (200, String::new()));
    for path in [
        "/",
        "/.well-known/oauth-protected-resource",
        "/mcp/fake/more",
    ] {
        assert_eq!(web.to(path).get().status, 404, "{path}");
    }
    assert_eq!(session.post(&ping).status, 200);
}

#[test]
fn a_message_on_several_lines_reaches_its_server_on_one() {
    let home = Home::new();
    let session = home.web(&[]).session();
    let text = "one line\nand another";
    let pretty = serde_json::to_vec_pretty(&call(5, "echo", json!({"text": text}))).unwrap();
    let answer = session.request("POST", &pretty).json();
    assert_eq!(answer["result"]["content"][0]["text"], text);
}

#[test]
fn large_messages_go_both_ways() {
    let home = Home::new();
    let mut session = home.web(&[]).session();
    let text = "x".repeat(3 << 20);
    let result = session.result("echo", json!({"text": text}));
    assert!(result["content"][0]["text"] == text.as_str());
}

#[test]
fn a_path_names_its_server_and_binds_to_a_workspace() {
    let home = Home::new();
    let web = home.web(&[]);
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}}});
    let mut only = web.to("/mcp");
    only.begin("2025-11-25", json!({}));
    let missing = web.to("/mcp/missing").post(&hello).error();
    assert_eq!(missing, (404, -32603, "no-such-server".to_owned()));
    let project = home.project("work");
    let mut bound = web.to(&format!("/mcp/fake?workspace={}", project.display()));
    bound.begin("2025-11-25", json!({}));
    let status = home.status();
    let sessions = status["sessions"].as_array().unwrap();
    let bound = sessions
        .iter()
        .filter(|it| it["workspace"] == project.to_str().unwrap());
    assert_eq!(bound.count(), 1, "{status}");
    for workspace in ["/", "/nowhere/at/all", "relative", ""] {
        let wrong = web.to(&format!("/mcp/fake?repo={workspace}"));
        assert_eq!(wrong.post(&hello).status, 400, "{workspace}");
    }
    home.configure(&format!(
        "{}\n[servers.second]\ncommand = \"second\"\n",
        fs::read_to_string(home.pool().join("config.toml")).unwrap()
    ));
    let several = web.to("/mcp").post(&hello);
    assert_eq!(several.status, 404);
    let text = several.text();
    assert!(
        text.contains("/mcp/fake") && text.contains("/mcp/second"),
        "{text}"
    );
    // It fails to start, and nothing is left of the session that wanted it.
    let failed = web.to("/mcp/second").post(&hello);
    assert_eq!(
        (failed.status, failed.header("mcp-session-id")),
        (200, None)
    );
    assert_eq!(failed.json()["error"]["data"]["reason"], "start-failed");
}

#[test]
fn pages_of_browsers_are_kept_out_and_the_token_lets_others_in() {
    let home = Home::new();
    let web = home.web_with(&[], "auth = \"token\"");
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(
        web.post(&ping).error(),
        (401, -32000, "unauthorized".to_owned())
    );
    assert_eq!(web.with("Host", Some("evil.com")).post(&ping).status, 403);
    assert_eq!(web.with("Host", None).post(&ping).status, 400);
    let origin = Some("http://evil.com");
    assert_eq!(web.with("Origin", origin).post(&ping).status, 403);
    assert_eq!(web.to("/health").with("Origin", origin).get().status, 403);
    assert_eq!(web.to("/health").get().status, 200);
    let token = fs::read_to_string(home.pool().join("state/http-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim_end());
    let mut known = web.with("Authorization", Some(&bearer)).session();
    known.result("echo", json!({}));
    let unknown = known.with("Authorization", None);
    assert_eq!(unknown.post(&ping).status, 401);
}

#[test]
fn a_session_that_is_silent_for_long_is_over() {
    let home = Home::new();
    // Long enough to say two things one after the other.
    let web = home.web_with(&[], "session_idle_timeout = \"5s\"");
    let listener = web.session();
    let mut listens = listener.get();
    assert!(listens.is_stream());
    let session = web.session();
    until("the end of the silent session", || {
        home.status()["sessions"].as_array().unwrap().len() == 1
    });
    assert_eq!(session.post(&call(1, "echo", json!({}))).status, 404);
    listener.clone().result("change", json!({}));
    assert!(listens.event().is_some(), "who listens is there");
}

#[test]
fn a_port_that_another_has_is_left_to_it_and_status_names_that() {
    let home = Home::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let other = Holder::of(other);
    home.configure(&format!(
        "[http]\nlisten = [\"{address}\"]\n[servers.fake]\ncommand = '{}'\n",
        crate::support::FAKE_SERVER
    ));
    let mut client = home.configured("fake");
    client.text("echo", json!({"text": "stdio goes on"}));
    let http = home.status()["daemon"]["http"].clone();
    assert_eq!(http["addresses"], json!([]));
    let trouble = http["trouble"].as_str().unwrap();
    let holder = format!("process {}", other.pid());
    assert!(
        trouble.contains(&holder) && trouble.contains(&address.to_string()),
        "{trouble}"
    );
    let page = home.done(&["status"]);
    assert!(page.contains(&holder), "{page}");
}

#[test]
fn a_body_that_is_too_long_is_refused_by_its_head() {
    let home = Home::new();
    let web = home.web_with(&[], "[limits]\nmessage_bytes = \"64 KiB\"\n");
    let mut session = web.session();
    let long = vec![b' '; (64 << 10) + 1];
    let refused = session.request("POST", &long).error();
    assert_eq!(refused, (413, -32000, "body-too-long".to_owned()));
    session.result("echo", json!({"text": "x".repeat(60 << 10)}));
}

#[test]
fn more_calls_than_may_wait_are_all_answered_once() {
    let home = Home::new();
    let record = home.file("record");
    let more = "[limits]\nsession_in_flight = 1\nsession_queue = 2\n";
    let web = home.web_with(&["--record", &record], more);
    let session = web.session();
    thread::scope(|scope| {
        for id in 1..=24 {
            let session = session.clone();
            scope.spawn(move || {
                let arguments = json!({"text": id.to_string(), "mark": format!("m{id}")});
                let answer = session.post(&call(id, "echo", arguments)).json();
                assert_eq!(answer["id"], id);
                assert_eq!(answer["result"]["content"][0]["text"], id.to_string());
            });
        }
    });
    for id in 1..=24 {
        assert_eq!(home.count("record", &format!("executed m{id} ")), 1);
    }
}

#[test]
fn a_call_whose_server_dies_is_answered_and_the_session_goes_on() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.session();
    let before = session.result("echo", json!({}))["structuredContent"]["pid"].clone();
    let answer = session.call("crash", json!({"code": 3})).json();
    assert_eq!(
        answer["error"]["data"]["reason"], "upstream-exited",
        "{answer}"
    );
    let after = session.result("echo", json!({}))["structuredContent"]["pid"].clone();
    assert_ne!(before, after);
}

#[test]
fn who_is_asked_to_wait_when_the_daemon_ends_is_answered() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let session = web.session();
    let mut listens = session.get();
    let waits = session.clone();
    let call = thread::spawn(move || {
        waits
            .post(&call(1, "hang", json!({"mark": "hangs"})))
            .answer()
    });
    home.noted("record", "executed hangs");
    home.done(&["stop"]);
    let answer = call.join().unwrap();
    assert_eq!(answer["error"]["data"]["source"], "mcpool", "{answer}");
    while listens.event().is_some() {}
}

#[test]
fn strangers_who_say_nothing_keep_nobody_out() {
    let home = Home::new();
    let web = home.web(&[]);
    let address = home.http_address();
    let strangers: Vec<_> = (0..40)
        .map(|_| std::net::TcpStream::connect(&address).unwrap())
        .collect();
    let mut session = web.session();
    session.result("echo", json!({}));
    drop(strangers);
}

#[test]
fn a_session_waits_for_a_server_that_starts_slowly() {
    let home = Home::new();
    let file = home.file("started");
    let web = home.web(&[]);
    home.configure(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[servers.slow]\ncommand = '{}'\nargs = {}\nscope = \"global\"\n",
        crate::support::FAKE_SERVER,
        json!(["--start-until", file]),
    ));
    let mut slow = web.to("/mcp/slow");
    let begins = thread::spawn(move || {
        slow.begin("2025-11-25", json!({}));
        slow.result("echo", json!({"text": "at last"}))
    });
    until("the server being started", || {
        let status = home.status();
        let upstreams = status["upstreams"].as_array().unwrap();
        upstreams
            .iter()
            .any(|it| it["server"] == "slow" && it["state"] == "initializing")
    });
    fs::write(&file, "").unwrap();
    assert_eq!(begins.join().unwrap()["content"][0]["text"], "at last");
}
