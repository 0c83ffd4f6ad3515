//! The small process that stands between a client and the daemon.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Client, FAKE_SERVER, Home, until};

#[test]
fn a_shim_that_is_told_to_end_ends_and_says_nothing() {
    let home = Home::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut client = home.session(&[]);
        client.process().signal(signal);
        assert!(client.ended().success(), "{signal:?}");
        assert_eq!(client.errors(), "");
    }
}

#[test]
fn the_home_may_be_named_before_the_verb_and_after_it() {
    let home = Home::new();
    let pool = home.pool().to_str().unwrap().to_owned();
    for arguments in [
        ["--home", &pool, "connect", "--", FAKE_SERVER],
        ["connect", "--home", &pool, "--", FAKE_SERVER],
    ] {
        let mut command = home.mcpool(&arguments);
        let mut client = Client::spawn(command.env_remove("MCPOOL_HOME"));
        client.initialize();
        assert!(client.close().success());
    }
    assert_eq!(home.upstream_pids().len(), 1);
}

#[test]
fn the_end_of_a_shim_is_not_the_end_of_the_server() {
    let home = Home::new();
    let (alice, mut bob) = (home.session(&[]), home.session(&[]));
    let pid = bob.server_pid();
    alice.process().kill();
    assert_eq!(bob.server_pid(), pid);
}

#[test]
fn answers_of_calls_already_sent_are_delivered_after_the_end_of_input() {
    let home = Home::new();
    let go = home.file("go");
    let record = home.file("record");
    let mut client = home.session(&["--record", &record]);
    let id = client.begin("slow", json!({"until": go, "text": "late"}));
    client.close_stdin();
    until("the call", || {
        home.lines("record")
            .iter()
            .any(|line| line.starts_with("call slow"))
    });
    std::fs::write(&go, "").unwrap();
    assert_eq!(client.response(id)["result"]["content"][0]["text"], "late");
    assert_eq!(client.line(), None);
    assert!(client.ended().success());
}

#[test]
fn a_killed_shim_frees_what_it_held_and_its_call_is_cancelled_once() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record];
    let (mut alice, mut bob) = (home.session(&options), home.session(&options));
    alice.begin("slow", json!({"until": home.file("never")}));
    until("the call", || {
        home.lines("record")
            .iter()
            .any(|line| line.starts_with("call slow"))
    });
    alice.process().kill();
    until("the cancellation", || {
        home.lines("record")
            .iter()
            .any(|line| line.starts_with("cancelled"))
    });
    until("the end of the session", || {
        home.status()["sessions"]
            .as_array()
            .is_some_and(|sessions| sessions.len() == 1)
    });
    bob.text("echo", json!({}));
    let lines = home.lines("record");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("cancelled"))
            .count(),
        1,
        "{lines:?}"
    );
}

#[test]
fn nothing_but_messages_comes_out_of_a_session() {
    let home = Home::new();
    let go = home.file("go");
    let mut client = home.session(&[]);
    // One that is held, one that is sent at once, one that is cancelled.
    let slow = client.begin("slow", json!({"until": go}));
    client.begin("echo", json!({}));
    client.notify("notifications/cancelled", &json!({"requestId": slow}));
    client.write("");
    client.text("count", json!({}));
    client.close_stdin();
    while let Some(line) = client.line() {
        assert!(line.starts_with('{'), "{line:?}");
    }
    assert!(client.ended().success());
}
