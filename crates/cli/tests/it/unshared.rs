//! A server that a session runs without the daemon, when there is a daemon after all.

use std::fs;

use serde_json::json;

use crate::support::{Client, FAKE_SERVER, Home, hello, processes::Process, until};

/// A session that finds no daemon's program beside its own, and runs its server itself.
fn without_daemon(home: &Home, server: &[&str]) -> Client {
    let folder = home.root().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("mcpool");
    fs::copy(env!("CARGO_BIN_EXE_mcpool"), &program).unwrap();
    let connect = [&["connect", "--"], server].concat();
    let mut client = Client::spawn(&mut home.command(program, &connect));
    client.initialize();
    client
}

#[test]
fn a_daemon_starts_no_second_one_and_says_so_and_starts_it_when_that_session_has_ended() {
    let home = Home::new();
    let mut direct = without_daemon(&home, &[FAKE_SERVER]);
    let pid = direct.server_pid();
    let ran = home.run(&["status"]);
    let told = format!("NOT SHARED: `fake-server` runs without mcpool in process {pid}");
    assert!(ran.stdout.contains(&told), "{ran:?}");

    let mut other = home.open(&[]);
    let refused = other.greet(&json!({}));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("process {pid} runs it without mcpool's daemon")),
        "{refused}"
    );
    let status = home.status();
    assert_eq!(status["direct"][0]["pid"], pid, "{status}");
    assert_eq!(status["upstreams"][0]["pid"], json!(null), "{status}");
    let log = home.done(&["logs", "daemon"]);
    assert!(
        log.contains("not started for as long as a session runs it"),
        "{log}"
    );
    assert!(
        log.contains(&format!("process {pid} runs `fake-server` itself")),
        "{log}"
    );

    let mut waiting = home.open(&[]);
    let greeting = waiting.ask("initialize", hello("2025-11-25", &json!({})));
    until("the session being known", || {
        home.status()["sessions"].as_array().unwrap().len() == 2
    });
    assert_eq!(direct.text("echo", json!({"text": "mine"})), "mine");
    assert!(direct.close().success());
    let answer = waiting.response(greeting);
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(home.status()["direct"], json!([]));
}

#[test]
fn a_server_that_is_wanted_no_longer_is_not_waited_for() {
    let home = Home::new();
    let direct = without_daemon(&home, &[FAKE_SERVER]);
    let mut other = home.open(&[]);
    other.ask("initialize", hello("2025-11-25", &json!({})));
    until("the start being postponed", || {
        home.run(&["logs", "daemon"])
            .stdout
            .contains("not started for as long")
    });
    drop(other);
    home.done(&["stop"]);
    assert!(direct.close().success());
}

#[test]
fn a_server_that_has_ended_is_not_waited_for_though_a_helper_of_it_lives() {
    let home = Home::new();
    let script = "setsid sleep 600 & echo $! >> \"$1\"; exec \"$0\"";
    let helpers = home.file("helpers");
    let server = ["sh", "-c", script, FAKE_SERVER, &helpers];
    let mut direct = without_daemon(&home, &server);
    let pid = direct.server_pid();
    assert!(direct.close().success());
    let helper = home.noted("helpers", "").parse().unwrap();
    let helper = Process::of(helper).unwrap();
    let mut other = Client::spawn(&mut home.mcpool(&[&["connect", "--"], &server[..]].concat()));
    other.initialize();
    assert_ne!(other.server_pid(), pid);
    assert_eq!(home.status()["direct"], json!([]));
    assert!(helper.is_alive());
    helper.kill();
}
