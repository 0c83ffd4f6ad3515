//! Servers on bad days.

use serde_json::json;

use crate::support::{Client, FAKE_SERVER, Home, processes, until};

#[test]
fn a_server_that_dies_at_its_start_is_quoted_to_each_session_that_waits() {
    let home = Home::new();
    let options = ["--say", "no database here", "--exit-at-start", "7"];
    let mut clients = [home.open(&options), home.open(&options)];
    for client in &mut clients {
        let error = client.greet(&json!({}))["error"].clone();
        assert_eq!(error["data"]["source"], "mcpool", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("no database here"), "{message}");
    }
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let home = Home::new();
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "--", "no-such-program"]));
    let error = client.greet(&json!({}))["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("no-such-program"), "{message}");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_for_that_session_and_goes_on_starting() {
    let home = Home::new();
    home.configure(&format!(
        "[limits]\nstart_patience = \"1s\"\n[servers.slow]\ncommand = \"{FAKE_SERVER}\"\n\
         args = [\"--hang-at\", \"start\", \"--say\", \"still loading\"]\n"
    ));
    // It may not have come to its first words within the patience with it.
    until("the last that it has said", || {
        let mut client = Client::spawn(&mut home.mcpool(&["connect", "slow"]));
        let error = client.greet(&json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "still-starting", "{error}");
        assert_eq!(error["data"]["retryable"], true);
        error["message"].as_str().unwrap().contains("still loading")
    });
    assert_eq!(home.upstream_pids().len(), 1, "the start goes on");
}

#[test]
fn a_crash_in_the_middle_of_a_call_is_told_and_the_next_call_works() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let before = alice.server_pid();
    let error = alice.call("crash", json!({"code": 9}))["error"].clone();
    assert_eq!(error["data"]["reason"], "upstream-exited", "{error}");
    assert_eq!(error["data"]["maybeExecuted"], true);
    for client in [&mut alice, &mut bob] {
        assert_ne!(client.server_pid(), before);
    }
    assert_eq!(home.upstream()["restarts"], 1);
}

#[test]
fn a_tool_that_fails_is_no_business_of_ours() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let answer = client.call("fail", json!({"text": "my own fault"}));
    assert_eq!(answer["result"]["isError"], true);
    let answer = client.call("no-such-tool", json!({}));
    assert_eq!(answer["error"]["code"], -32602);
    // What the server says itself, and nothing of ours.
    let data = json!({"it.mcpool/canary": client.canary()});
    assert_eq!(answer["error"]["data"], data);
}

#[test]
fn what_is_no_message_is_answered_and_the_session_goes_on() {
    let home = Home::new();
    let mut client = home.session(&[]);
    client.write("this is not JSON");
    let answer = client.wait_for(|message| message["id"].is_null());
    assert_eq!(answer["error"]["code"], -32700);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

#[test]
fn a_server_that_hangs_in_one_call_still_serves_others() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let record = home.file("go");
    // A tool is known not to ask after its first call.
    std::fs::write(&record, "").unwrap();
    alice.text("slow", json!({"until": record}));
    std::fs::remove_file(&record).unwrap();
    let waiting = alice.begin("slow", json!({"until": record, "text": "late"}));
    assert_eq!(bob.text("echo", json!({"text": "meanwhile"})), "meanwhile");
    std::fs::write(&record, "").unwrap();
    assert_eq!(
        alice.response(waiting)["result"]["content"][0]["text"],
        "late"
    );
}

#[test]
fn discovery_of_the_modern_era_is_answered_at_once_and_a_greeting_may_follow() {
    let home = Home::new();
    let mut client = home.open(&[]);
    let answer = client.request("server/discover", json!({}));
    assert_eq!(answer["error"]["code"], -32601);
    client.initialize();
    assert_eq!(client.text("echo", json!({"text": "legacy"})), "legacy");
}

#[test]
fn a_restart_gives_sessions_a_new_process_under_the_same_conversation() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let before = client.server_pid();
    home.done(&["restart", "fake-server"]);
    assert_ne!(client.server_pid(), before);
    until("the old process to end", || {
        !processes::with_descendants(before)
            .iter()
            .any(processes::Process::is_alive)
    });
    let ran = home.run(&["restart", "nothing-like-it"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
}
