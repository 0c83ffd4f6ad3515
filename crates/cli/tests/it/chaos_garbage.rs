//! What is no message, from servers and from clients: dropped, counted, and nobody else's business.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home, garbage,
    processes::{Process, processor_ticks},
    until,
};

#[test]
fn whatever_a_server_writes_the_next_message_is_read_and_all_else_is_counted() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let pid = alice.server_pid();
    let lines = garbage::lines();
    assert!(lines.len() >= 80, "{}", lines.len());
    for line in &lines {
        let hex = garbage::hex(&[line, b"\n".as_slice()].concat());
        let answer = alice.call("garbage", json!({"hex": hex, "text": "after it"}));
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, "after it", "{:?}", String::from_utf8_lossy(line));
    }
    bob.hears_nothing();
    alice.hears_nothing();
    assert_eq!(alice.server_pid(), pid);
    let upstream = home.upstream();
    assert_eq!(upstream["faults"], lines.len());
    assert_eq!(upstream["restarts"], 0);
}

#[test]
fn what_only_looks_odd_is_a_message() {
    let home = Home::new();
    let mut client = home.session(&[]);
    for (before, after) in [(" \t", ""), ("", " \r"), ("\r\n\n", "\r"), ("\n\n\n", "")] {
        let line = format!(r#"{before}{{"jsonrpc" : "2.0" , "method":"fake/odd"}}{after}"#);
        let hex = garbage::hex(format!("{line}\n").as_bytes());
        client.text("garbage", json!({"hex": hex}));
        client.wait_for(|message| message["method"] == "fake/odd");
    }
    assert_eq!(home.upstream()["faults"], 0);
}

#[test]
fn a_server_that_writes_a_hundred_and_one_lines_of_nonsense_at_once_is_degraded() {
    let home = Home::new();
    let mut client = home.session(&[]);
    client.text("noise", json!({"text": "la la la", "times": 100}));
    assert_eq!(home.upstream()["degraded"], false);
    // They count for ten seconds, so all are written at once, by a process that has written none.
    home.done(&["restart", "fake-server"]);
    client.text("noise", json!({"text": "la la la", "times": 101}));
    let status = home.status();
    assert_eq!(status["upstreams"][0]["degraded"], true, "{status}");
    assert_eq!(status["counts"]["upstream-degraded"], 1);
    assert!(home.done(&["status"]).contains("fake-server: degraded"));
    // It is served on, and a new process begins anew.
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    home.done(&["restart", "fake-server"]);
    client.server_pid();
    assert_eq!(home.upstream()["degraded"], false);
}

#[test]
fn a_banner_of_64_kib_before_the_greeting_is_tolerated_in_lines_and_in_one() {
    let home = Home::new();
    let long = "=".repeat(64 << 10);
    for (options, faults) in [
        (["--banner-bytes", "65536"], 1024),
        (["--banner", long.as_str()], 1),
    ] {
        let mut client = home.session(&options);
        let pid = client.server_pid();
        let status = home.status();
        let mut upstreams = status["upstreams"].as_array().unwrap().iter();
        let upstream = upstreams.find(|upstream| upstream["pid"] == pid).unwrap();
        assert_eq!(upstream["faults"], faults);
    }
}

/// A home with a server for whose messages 256 KiB are the limit.
fn narrow_home() -> Home {
    let home = Home::new();
    home.configure(&format!(
        "[limits]\nmessage_bytes = \"256 KiB\"\n[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n"
    ));
    home
}

/// A call of another session that is open while something goes wrong, and the file that ends it.
fn bystander(home: &Home) -> (Client, u64, String) {
    let mut client = home.configured("fake");
    let go = home.file("go");
    let call = client.begin("slow", json!({"until": go, "text": "not my fault"}));
    until("the bystander's call", || home.upstream()["in_flight"] == 1);
    (client, call, go)
}

#[test]
fn a_giant_line_is_an_error_to_the_request_that_it_answers_and_to_no_other() {
    let home = narrow_home();
    let mut alice = home.configured("fake");
    let (mut bob, call, go) = bystander(&home);
    let giant = json!({
        "head": r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":""#,
        "bytes": 10 << 20,
        "tail": r#""}]}}"#,
    });
    let error = alice.call("giant-line", giant)["error"].clone();
    assert_eq!(error["data"]["reason"], "answer-too-long", "{error}");
    assert_eq!(alice.text("echo", json!({"text": "next"})), "next");
    std::fs::write(go, "").unwrap();
    let text = bob.response(call)["result"]["content"][0]["text"].clone();
    assert_eq!(text, "not my fault");
}

#[test]
fn a_giant_line_that_is_no_answer_ends_nobodys_call() {
    let home = narrow_home();
    let mut alice = home.configured("fake");
    let (mut bob, call, go) = bystander(&home);
    for head in [
        "",
        "Downloading ",
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":""#,
    ] {
        let giant = json!({"head": head, "bytes": 10 << 20, "answers": true, "text": "here"});
        assert_eq!(alice.text("giant-line", giant), "here");
    }
    bob.hears_nothing();
    std::fs::write(go, "").unwrap();
    assert!(bob.response(call)["result"].is_object());
    assert_eq!(home.upstream()["faults"], 3);
}

#[test]
fn a_giant_answer_of_which_nobody_knows_whose_it_is_leaves_nobody_waiting() {
    let home = narrow_home();
    let mut alice = home.configured("fake");
    let (mut bob, call, _go) = bystander(&home);
    let giant = json!({
        "head": r#"{"result":{"content":[{"type":"text","text":""#,
        "bytes": 10 << 20,
        "tail": r#""},"jsonrpc":"2.0"}"#,
    });
    let mine = alice.call("giant-line", giant);
    for error in [mine, bob.response(call)] {
        let data = &error["error"]["data"];
        assert_eq!(data["reason"], "answer-too-long", "{error}");
        assert_eq!(data["maybeExecuted"], true);
    }
    assert_eq!(alice.text("echo", json!({"text": "next"})), "next");
}

#[test]
fn a_line_that_never_ends_is_dropped_with_its_server_and_its_call_is_answered() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let before = client.server_pid();
    let half = json!({"text": "{\"jsonrpc\":\"2.0\",\"result\"", "eof": true});
    let error = client.call("partial-line", half)["error"].clone();
    assert_eq!(error["data"]["reason"], "upstream-exited", "{error}");
    assert_ne!(client.server_pid(), before);
    until("the log saying so", || {
        let log = home.done(&["logs", "fake-server"]);
        log.contains("its last line has no end: 25 bytes")
    });
}

#[test]
fn a_server_that_closes_its_output_and_lives_on_is_replaced() {
    let home = Home::new();
    let mut client = home.session(&["--ignore-eof"]);
    let before = Process::of(client.server_pid()).unwrap();
    let mute = client.begin("close-output", json!({}));
    until("the end of its output being noticed", || {
        let upstream = home.upstream();
        let is_another = upstream["pid"].is_u64() && upstream["pid"] != before.pid;
        upstream["state"] == "draining" || is_another
    });
    // It lives on for a while, and what comes meanwhile waits for the next.
    let later = client.begin("echo", json!({"text": "next"}));
    let error = client.response(mute)["error"].clone();
    assert_eq!(error["data"]["reason"], "upstream-exited", "{error}");
    let waited = client.response(later);
    assert_eq!(waited["result"]["content"][0]["text"], "next", "{waited}");
    assert_ne!(client.server_pid(), before.pid);
    assert!(!before.is_alive());
}

#[test]
fn nobody_is_busy_with_a_line_that_does_not_go_on() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let mut other = home.session(&["--another"]);
    client.begin("partial-line", json!({"text": "{\"jsonrpc\":"}));
    until("the silence", || home.upstream()["in_flight"] == 1);
    let daemon = home.daemon_pid().unwrap();
    let before = processor_ticks(daemon);
    // The fact that is waited for: a second and a half of another process.
    other.text("slow", json!({"ms": 1500}));
    let ticks = processor_ticks(daemon) - before;
    assert!(
        ticks <= 10,
        "{ticks} of about 150 ticks were spent on nothing"
    );
    // When the line goes on, it is a line like any other.
    assert_eq!(other.text("echo", json!({"text": "other"})), "other");
    client.text("garbage", json!({"hex": garbage::hex(b"\n")}));
}

#[test]
fn a_client_that_writes_garbage_is_answered_each_time_and_keeps_its_session() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let pid = bob.server_pid();
    let lines = garbage::lines();
    for line in &lines {
        alice.write_bytes(line);
        let answer = alice.wait_for(|message| message.get("error").is_some());
        let code = answer["error"]["code"].as_i64().unwrap();
        assert!(code == -32700 || code == -32600, "{answer}");
        assert!(answer["id"].is_null(), "{answer}");
    }
    alice.hears_nothing();
    bob.hears_nothing();
    assert_eq!(alice.server_pid(), pid);
    let status = home.status();
    assert_eq!(status["counts"]["session-fault"], lines.len());
    assert_eq!(status["upstreams"][0]["faults"], 0);
}

#[test]
fn a_flood_on_standard_error_is_drained_while_others_call() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    // Known not to ask, so that they run side by side.
    alice.text("stderr-flood", json!({"bytes": 1}));
    let go = home.file("go");
    let flood = alice.begin(
        "stderr-flood",
        json!({"bytes": 1 << 20, "until": go, "text": "all of it"}),
    );
    until("the flood", || home.upstream()["in_flight"] == 1);
    for number in 0..100 {
        let text = number.to_string();
        assert_eq!(bob.text("echo", json!({"text": text})), text);
    }
    std::fs::write(go, "").unwrap();
    let answer = alice.response(flood);
    assert_eq!(answer["result"]["content"][0]["text"], "all of it");
    has_noted_the_flood(&home);
}

#[track_caller]
fn has_noted_the_flood(home: &Home) {
    until("a line of the flood in the log", || {
        let log = home.done(&["logs", "fake-server"]);
        log.contains("so much to say")
    });
}

#[test]
fn a_flood_on_standard_error_before_the_greeting_keeps_nobody_from_being_greeted() {
    let home = Home::new();
    // A pipe holds 64 KiB: with nobody to read it the server would never come to its first message.
    let bytes = (16 << 20).to_string();
    let mut client = home.session(&["--flood-stderr", &bytes]);
    let text = client.text("echo", json!({"text": "heard"}));
    assert_eq!(text, "heard");
    assert_eq!(home.upstream()["restarts"], 0);
    has_noted_the_flood(&home);
}

#[test]
fn a_notification_that_nobody_knows_goes_to_a_session_that_is_alone_and_else_to_nobody() {
    let home = Home::new();
    let is_it = |message: &Value| message["method"] == "notifications/fake/unknown";
    let mut alice = home.session(&[]);
    let call = alice.begin("unknown", json!({}));
    alice.wait_for(is_it);
    alice.response(call);
    let mut bob = home.session(&[]);
    assert_eq!(bob.server_pid(), alice.server_pid());
    alice.text("unknown", json!({"text": "whose is it?"}));
    alice.hears_nothing();
    bob.hears_nothing();
    let dropped = &home.upstream()["dropped"];
    assert_eq!(*dropped, json!({"unknown-notification": 1}));
}

#[test]
fn a_server_that_stops_reading_for_a_while_loses_nothing() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record];
    let (mut alice, mut bob) = (home.session(&options), home.session(&options));
    let go = home.file("go");
    let deaf = alice.begin("deaf", json!({"until": go, "text": "awake"}));
    home.noted("record", "call deaf");
    let calls: Vec<u64> = (0..50)
        .map(|number| bob.begin("echo", json!({"text": number.to_string()})))
        .collect();
    until("all of them being on their way", || {
        home.upstream()["in_flight"] == 51
    });
    std::fs::write(go, "").unwrap();
    assert!(alice.response(deaf)["result"].is_object());
    for (number, call) in calls.into_iter().enumerate() {
        let answer = bob.response(call);
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(*text, number.to_string());
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_arrives_whole_and_holds_up_no_other_server() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&["--another"]));
    let slow = alice.begin("slow-drip", json!({"ms": 2, "text": "drop by drop"}));
    assert_eq!(bob.text("echo", json!({"text": "quick"})), "quick");
    let answer = alice.response(slow);
    assert_eq!(answer["result"]["content"][0]["text"], "drop by drop");
}

#[test]
fn a_frozen_server_holds_up_its_own_sessions_alone() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&["--another"]));
    let server = Process::of(alice.server_pid()).unwrap();
    server.signal(Signal::STOP);
    let call = alice.begin("echo", json!({"text": "thawed"}));
    assert_eq!(
        bob.text("echo", json!({"text": "not frozen"})),
        "not frozen"
    );
    server.signal(Signal::CONT);
    let answer = alice.response(call);
    assert_eq!(answer["result"]["content"][0]["text"], "thawed");
}
