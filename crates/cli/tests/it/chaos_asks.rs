//! Questions of a server to sessions that have gone: it is told at once, and nobody else is asked.

use std::fs;

use serde_json::json;

use crate::support::{Client, Home, until};

/// A session that can be asked, on a server that keeps a record and works on what was cancelled.
fn askable(home: &Home) -> Client {
    let record = home.file("record");
    let mut client = home.open(&["--record", &record, "--ignore-cancel"]);
    client.initialize_with(&json!({"sampling": {}, "elicitation": {}}));
    client
}

/// Waits until the server has heard an answer, which must be an error of ours.
#[track_caller]
fn heard_error(home: &Home) -> i64 {
    let heard: serde_json::Value = serde_json::from_str(&home.noted("record", "heard ")).unwrap();
    assert_eq!(heard["error"]["data"]["source"], "mcpool", "{heard}");
    heard["error"]["code"].as_i64().unwrap()
}

#[test]
fn a_question_that_lies_with_a_session_that_is_killed_is_answered_with_an_error() {
    for tool in ["sample", "elicit"] {
        let home = Home::new();
        let (mut alice, mut bob) = (askable(&home), askable(&home));
        alice.begin(tool, json!({"text": "are you there?"}));
        alice.wait_for(|message| message.get("method").is_some());
        alice.process().kill();
        assert_eq!(heard_error(&home), -32603, "{tool}");
        bob.hears_nothing();
    }
}

#[test]
fn what_a_call_asks_after_its_session_was_killed_is_refused_and_put_to_nobody() {
    let home = Home::new();
    let (mut alice, mut bob) = (askable(&home), askable(&home));
    let go = home.file("go");
    alice.begin("sample", json!({"text": "for alice", "until": go}));
    home.noted("record", "call sample");
    alice.process().kill();
    home.noted("record", "cancelled");
    fs::write(go, "").unwrap();
    assert_eq!(heard_error(&home), -32603);
    bob.hears_nothing();
    assert_eq!(bob.text("echo", json!({"text": "fine"})), "fine");
}

#[test]
fn what_is_asked_when_nobody_is_left_is_refused() {
    let home = Home::new();
    let mut alice = askable(&home);
    let go = home.file("go");
    alice.text("unsolicited-request", json!({"until": go}));
    alice.process().kill();
    until("no session being left", || {
        home.status()["sessions"] == json!([])
    });
    fs::write(go, "").unwrap();
    assert_eq!(heard_error(&home), -32603);
    // The server is as good as before.
    let mut bob = askable(&home);
    assert_eq!(bob.text("echo", json!({"text": "fine"})), "fine");
    assert_eq!(home.upstream()["restarts"], 0);
}

#[test]
fn what_is_asked_outside_of_any_call_is_put_to_nobody_while_there_are_several() {
    let home = Home::new();
    let (mut alice, mut bob) = (askable(&home), askable(&home));
    let go = home.file("go");
    alice.text("unsolicited-request", json!({"until": go}));
    fs::write(go, "").unwrap();
    assert_eq!(heard_error(&home), -32603);
    alice.hears_nothing();
    bob.hears_nothing();
}
