//! Servers that die, keep dying, hang, or change their lists without end.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, eventually, processes::Process, until};

fn process_of(client: &mut Client) -> Process {
    Process::of(client.server_pid()).unwrap()
}

fn list_changed(message: &Value) -> bool {
    message["method"] == "notifications/tools/list_changed"
}

#[test]
fn what_only_reads_survives_a_crash_and_a_call_is_an_error_at_once() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let server = process_of(&mut alice);
    bob.request("resources/subscribe", json!({"uri": "test://a"}));
    // It reads nothing more, so that all of this is open when it dies.
    server.signal(Signal::STOP);
    let call = alice.begin("echo", json!({"text": "once"}));
    let list = alice.ask("tools/list", json!({}));
    let read = bob.ask("resources/read", json!({"uri": "test://a"}));
    until("three requests in flight", || {
        home.upstream()["in_flight"] == 3
    });
    server.kill();
    let error = alice.response(call)["error"].clone();
    assert_eq!(error["data"]["reason"], "upstream-exited", "{error}");
    assert_eq!(error["data"]["maybeExecuted"], true);
    assert!(alice.response(list)["result"]["tools"].is_array());
    assert!(bob.response(read).get("result").is_some());
    for client in [&mut alice, &mut bob] {
        client.wait_for(list_changed);
    }
    assert_ne!(process_of(&mut alice), server);
    alice.text("touch", json!({"uri": "test://a"}));
    bob.wait_for(|message| message["method"] == "notifications/resources/updated");
    assert_eq!(home.upstream()["restarts"], 1);
}

/// A server that is given up rests for a minute, and for no more than two seconds before. Some of it may be over when
/// it is looked at.
const LONG_MS: u64 = 10_000;

#[test]
fn a_server_that_keeps_dying_is_given_up_until_it_is_restarted_by_hand() {
    let home = Home::new();
    let starts = home.file("starts");
    home.configure(&format!(
        "[servers.broken]\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"echo start >> '{starts}'; exit 1\"]\n"
    ));
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "broken"]));
    let error = eventually("the server is given up", || {
        let error = client.greet(&json!({}))["error"].clone();
        (error["data"]["reason"] == "still-failing").then_some(error)
    });
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("`mcpool logs broken`"), "{error}");
    assert!(
        error["data"]["retryAfterMs"].as_u64().unwrap() > LONG_MS,
        "{error}"
    );
    let upstream = home.upstream();
    assert_eq!(upstream["state"], "failed");
    assert_eq!(upstream["deaths"], 6);
    let rest = upstream["retry_in_s"].as_u64().unwrap();
    assert!(rest * 1000 > LONG_MS, "{upstream}");
    let shown = home.done(&["status"]);
    for words in [
        "6 times in a row",
        "`mcpool logs broken`",
        "next attempt in",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
    assert_eq!(home.lines("starts").len(), 6);

    // All are answered before it is tried again.
    for _ in 0..100 {
        let error = client.greet(&json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "still-failing", "{error}");
    }
    assert_eq!(home.lines("starts").len(), 6, "no call starts it");

    // Nobody waits for it, so the next session starts it.
    home.done(&["restart", "broken"]);
    assert_eq!(home.status()["upstreams"], json!([]));
    client.greet(&json!({}));
    until("it is tried again", || home.lines("starts").len() > 6);
}

#[test]
fn a_server_that_dies_soon_after_each_greeting_is_given_up_as_well() {
    let home = Home::new();
    let record = home.file("record");
    let mut client = home.open(&["--record", &record, "--exit-after", "100"]);
    let error = eventually("the server is given up", || {
        let mut answer = client.greet(&json!({}));
        if answer.get("result").is_some() {
            answer = client.request("resources/list", json!({}));
        }
        let error = answer["error"].clone();
        (error["data"]["reason"] == "still-failing").then_some(error)
    });
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("`mcpool logs fake-server`"), "{error}");
    let spawns = home.count("record", "started ");
    assert!(spawns <= 6, "{spawns} spawns");
    assert_eq!(home.upstream()["state"], "failed");
}

/// A session on the scripted server, which is pinged often.
fn pinged(home: &Home) -> Client {
    pinged_with(home, "")
}

/// The same with one more argument, as the configuration has it.
fn pinged_with(home: &Home, argument: &str) -> Client {
    home.configure(&format!(
        "[limits]\nping_interval = \"500ms\"\n[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n\
         args = [\"--record\", \"{}\"{argument}]\n",
        home.file("record")
    ));
    home.configured("fake")
}

#[test]
fn a_server_that_answers_no_ping_is_not_stopped_in_the_middle_of_a_call() {
    let home = Home::new();
    let mut client = pinged_with(&home, ", \"--ignore-ping\"");
    let server = process_of(&mut client);
    let go = home.file("go");
    let slow = client.begin("slow", json!({"until": go, "text": "done"}));
    until("it is said not to respond", || {
        home.upstream()["state"] == "unresponsive"
    });
    std::fs::write(&go, "").unwrap();
    let answer = client.response(slow);
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    assert_eq!(process_of(&mut client), server);
}

#[test]
fn a_server_that_hangs_in_a_call_is_unresponsive_until_it_speaks() {
    let home = Home::new();
    let mut alice = pinged(&home);
    let mut bob = home.configured("fake");
    let server = process_of(&mut alice);
    server.signal(Signal::STOP);
    let call = alice.begin("echo", json!({"text": "late"}));
    until("the hang is noticed", || {
        home.upstream()["state"] == "unresponsive"
    });
    let waiting = bob.begin("echo", json!({"text": "waited"}));
    until("the call is there", || {
        home.status()["sessions"][1]["in_flight"] == 1
    });
    assert_eq!(home.upstream()["in_flight"], 1, "what is new waits");
    server.signal(Signal::CONT);
    for (client, id, text) in [(&mut alice, call, "late"), (&mut bob, waiting, "waited")] {
        let answer = client.response(id);
        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
    }
    assert_eq!(process_of(&mut alice), server, "it was never stopped");
    until("it is ready", || home.upstream()["state"] == "ready");
}

#[test]
fn a_server_that_hangs_without_a_call_is_replaced_behind_its_sessions() {
    let home = Home::new();
    let mut client = pinged(&home);
    let server = process_of(&mut client);
    server.signal(Signal::STOP);
    let list = client.ask("tools/list", json!({}));
    assert!(client.response(list)["result"]["tools"].is_array());
    assert!(!server.is_alive());
    // Another one that nobody lets run for a second hangs as well.
    assert!(home.upstream()["restarts"].as_u64() >= Some(1));
}

#[test]
fn a_server_that_is_busy_and_answers_pings_is_left_to_its_work() {
    let home = Home::new();
    let mut client = pinged(&home);
    let server = process_of(&mut client);
    let go = home.file("go");
    let slow = client.begin("slow", json!({"until": go, "text": "done"}));
    // One that is said not to respond is pinged no more until it speaks: three would be the last.
    until("far more pings than are sent in vain", || {
        let lines = home.lines("record");
        let pings = lines
            .iter()
            .filter(|line| line.starts_with("received ping"));
        pings.count() >= 7
    });
    // A machine that lets nobody run may make it late, and it is forgiven with its next word.
    until("it is ready", || home.upstream()["state"] == "ready");
    std::fs::write(&go, "").unwrap();
    assert_eq!(
        client.response(slow)["result"]["content"][0]["text"],
        "done"
    );
    assert_eq!(process_of(&mut client), server);
}

#[test]
fn a_storm_of_changes_is_told_ten_times_a_second_and_the_rest_is_counted() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let began = Instant::now();
    client.text("change", json!({"times": 5000}));
    let merged = || home.upstream()["dropped"]["merged"].as_u64().unwrap_or(0);
    let mut told = 0;
    until("every change is told or counted", || {
        client.wait_for(list_changed);
        told += 1;
        told + merged() == 5000
    });
    let windows = u64::try_from(began.elapsed().as_millis() / 100).unwrap() + 2;
    assert!(told <= windows, "{told} in {windows} windows");
    assert!(told < 500, "{told}");
}
