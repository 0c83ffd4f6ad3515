//! Restarts behind live sessions, what they lose, and ends that nobody asked for.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home,
    processes::{self, Process},
    until,
};

/// A configured scripted server with these lines besides.
fn configure(home: &Home, lines: &str) {
    let record = home.file("record");
    home.configure(&format!(
        "[servers.fake]\ncommand = \"{FAKE_SERVER}\"\nargs = [\"--record\", \"{record}\"]\n{lines}"
    ));
}

fn restart(home: &Home, options: &[&str]) -> std::process::Child {
    let mut arguments = vec!["restart", "fake"];
    arguments.extend(options);
    home.mcpool(&arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn is_warning(message: &Value) -> bool {
    message["method"] == "notifications/message" && message["params"]["logger"] == "mcpool"
}

#[test]
fn a_restart_lets_a_call_end_and_what_is_new_goes_to_the_next_process() {
    let home = Home::new();
    configure(&home, "");
    let (mut alice, mut bob) = (home.configured("fake"), home.configured("fake"));
    let before = alice.server_pid();
    let go = home.file("go");
    let slow = alice.begin("slow", json!({"until": go, "text": "done"}));
    until("the call", || home.count("record", "call slow") == 1);
    let restart = restart(&home, &[]);
    until("the server is drained", || {
        home.upstream()["state"] == "draining"
    });
    let new = bob.begin("echo", json!({}));
    until("the new call waits", || {
        home.status()["sessions"][1]["in_flight"] == 1
    });
    assert_eq!(home.upstream()["in_flight"], 1, "what is new waits");
    fs::write(&go, "").unwrap();
    let answer = alice.response(slow);
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["pid"], before);
    let answer = bob.response(new);
    assert_ne!(answer["result"]["structuredContent"]["pid"], before);
    let output = restart.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("`fake` is restarted."));
    alice.wait_for(is_warning);
}

#[test]
fn whoever_waits_for_a_restart_is_told_what_for_and_need_not_wait() {
    let home = Home::new();
    configure(&home, "");
    let mut client = home.configured("fake");
    let before = client.server_pid();
    let hanging = client.begin("hang", json!({}));
    until("the call", || home.count("record", "call hang") == 1);
    let patient = restart(&home, &["--wait", "3600"]);
    until("the server is drained", || {
        home.upstream()["state"] == "draining"
    });
    // It looks around twice a second; the daemon hears of it each time.
    let mut patient = patient;
    let mut errors = std::io::BufReader::new(patient.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
    assert!(line.contains("1 answer of `fake`"), "{line}");
    home.done(&["restart", "--now", "fake"]);
    let error = client.response(hanging)["error"].clone();
    assert_eq!(error["data"]["reason"], "upstream-stopped", "{error}");
    assert_eq!(error["data"]["maybeExecuted"], true);
    assert_ne!(client.server_pid(), before);
    assert!(patient.wait().unwrap().success());
}

#[test]
fn a_restart_waits_no_longer_than_it_is_told_to() {
    let home = Home::new();
    configure(&home, "");
    let mut client = home.configured("fake");
    let hanging = client.begin("hang", json!({}));
    until("the call", || home.count("record", "call hang") == 1);
    home.done(&["restart", "--wait", "1", "fake"]);
    let error = client.response(hanging)["error"].clone();
    assert_eq!(error["data"]["reason"], "upstream-stopped", "{error}");
}

#[test]
fn those_who_had_called_are_warned_of_a_crash_and_of_a_restart() {
    let home = Home::new();
    configure(&home, "");
    let (mut alice, mut bob) = (home.configured("fake"), home.configured("fake"));
    assert_eq!(alice.text("count", json!({})), "1");
    Process::of(alice.server_pid()).unwrap().kill();
    let warning = alice.wait_for(is_warning);
    assert_eq!(warning["params"]["level"], "warning");
    assert_eq!(alice.text("count", json!({})), "1", "it was forgotten");
    home.done(&["restart", "fake"]);
    alice.wait_for(is_warning);
    // Bob has called nothing, so there is nothing of his to forget.
    bob.come_to_rest();
    assert!(!bob.has_heard(is_warning));
}

#[test]
fn a_server_whose_memory_matters_refuses_the_next_call_of_each_once() {
    let home = Home::new();
    configure(&home, "on_restart = \"error\"\n");
    let (mut alice, mut bob) = (home.configured("fake"), home.configured("fake"));
    for round in 0..2 {
        assert_eq!(alice.text("count", json!({})), "1");
        if round == 0 {
            Process::of(alice.server_pid()).unwrap().kill();
            until("the next process", || {
                let upstream = home.upstream();
                upstream["restarts"] == 1 && upstream["state"] == "ready"
            });
        } else {
            home.done(&["restart", "fake"]);
        }
        let error = alice.call("count", json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "state-lost", "{error}");
        assert_eq!(error["data"]["retryable"], true);
    }
    assert_eq!(alice.text("count", json!({})), "1");
    assert_eq!(bob.text("count", json!({})), "2");
}

#[test]
fn a_call_without_progress_ends_and_its_server_goes_on() {
    let home = Home::new();
    configure(&home, "request_idle_timeout = \"3s\"\n");
    let (mut alice, mut bob) = (home.configured("fake"), home.configured("fake"));
    let pids = home.upstream_pids();
    let call = alice.begin("hang", json!({}));
    let error = alice.response(call)["error"].clone();
    assert_eq!(error["data"]["reason"], "took-too-long", "{error}");
    assert_eq!(error["data"]["maybeExecuted"], true);
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("progress"), "{words}");
    until("the server hears of it", || {
        home.count("record", "cancelled") == 1
    });
    assert_eq!(home.count("record", "cancelled"), 1);
    // A server that nobody lets run has no answer within its limit either.
    until("an answer in time", || {
        bob.call("echo", json!({})).get("result").is_some()
    });
    assert_eq!(home.upstream_pids(), pids, "the server goes on");
}

#[test]
fn a_server_has_a_limit_of_its_own() {
    let home = Home::new();
    configure(&home, "request_timeout = \"1s\"\n");
    let mut client = home.configured("fake");
    let error = client.call("hang", json!({}))["error"].clone();
    assert_eq!(error["data"]["reason"], "took-too-long", "{error}");
    assert_eq!(error["message"], "no answer within 1 s");
}

#[test]
fn a_daemon_that_nobody_needs_ends_and_the_next_session_starts_another() {
    let home = Home::new();
    configure(
        &home,
        "idle_timeout = \"0s\"\n[daemon]\nidle_timeout = \"2s\"\n",
    );
    let mut client = home.configured("fake");
    client.server_pid();
    let tree = processes::with_descendants(home.daemon_pid().unwrap());
    client.close();
    until("all to end", || !tree.iter().any(Process::is_alive));
    assert!(!home.pool().join("mcpool.sock").exists());
    assert!(!home.pool().join("state/daemon.lock").exists());
    let mut client = home.configured("fake");
    assert_eq!(client.text("echo", json!({"text": "again"})), "again");
    // As long as somebody is there it stays.
    let daemon = home.daemon_pid();
    let go = home.file("go");
    client.text("slow", json!({"until": go, "ms": 3000}));
    assert_eq!(home.daemon_pid(), daemon);
}

#[test]
fn a_daemon_in_the_foreground_stays() {
    let home = Home::new();
    configure(
        &home,
        "idle_timeout = \"0s\"\n[daemon]\nidle_timeout = \"2s\"\n",
    );
    let mut daemon = home
        .mcpool(&["serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the daemon to listen", || {
        home.pool().join("mcpool.sock").exists()
    });
    home.configured("fake").close();
    // One in the background would be gone by then.
    until("more than its time", || {
        let uptime = home.status()["daemon"]["uptime_s"].as_u64();
        home.status()["upstreams"] == json!([]) && uptime.unwrap() >= 5
    });
    assert_eq!(daemon.try_wait().unwrap(), None);
    home.done(&["stop"]);
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn a_server_whose_memory_matters_has_lost_it_when_the_daemon_was_stopped_under_a_session() {
    let home = Home::new();
    configure(&home, "on_restart = \"error\"\n");
    let mut alice = home.configured("fake");
    assert_eq!(alice.text("count", json!({})), "1");
    home.done(&["stop"]);
    let error = alice.call("count", json!({}))["error"].clone();
    assert_eq!(error["data"]["reason"], "state-lost", "{error}");
    assert_eq!(error["data"]["retryable"], true);
    assert_eq!(alice.text("count", json!({})), "1");
}

/// Puts another program in the place of the configured one, as an update does.
fn install(home: &Home, era: &str) {
    let (program, new) = (home.file("program"), home.file("program.new"));
    let script = format!("#!/bin/sh\nexec '{FAKE_SERVER}' --era {era}\n");
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, program).unwrap();
}

#[test]
fn a_server_that_was_replaced_by_one_of_the_other_era_serves_clients_of_both_after_a_restart() {
    for (before, after) in [
        (("legacy", "2025-11-25"), ("modern", "2026-07-28")),
        (("modern", "2026-07-28"), ("legacy", "2025-11-25")),
    ] {
        let home = Home::new();
        install(&home, before.0);
        let program = home.file("program");
        home.configure(&format!("[servers.fake]\ncommand = \"{program}\"\n"));
        let mut legacy = home.configured("fake");
        let mut modern = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let mut pids = || {
            let params = json!({"name": "echo", "arguments": {"text": "hello"}, "_meta": meta});
            let answer = modern.request("tools/call", params);
            let pid = answer["result"]["structuredContent"]["pid"].as_u64();
            let pid = pid.unwrap_or_else(|| panic!("{answer}"));
            [u64::from(legacy.server_pid()), pid]
        };
        let speaks = || {
            let status = home.status();
            let upstreams = status["upstreams"].as_array().unwrap().iter();
            let running = upstreams.filter(|upstream| !upstream["pid"].is_null());
            let running = running.map(|upstream| (&upstream["pid"], &upstream["protocol"]));
            running
                .map(|(pid, protocol)| (pid.as_u64().unwrap(), protocol.clone()))
                .collect::<Vec<_>>()
        };
        let [pid, other] = pids();
        assert_eq!(pid, other);
        assert_eq!(speaks(), [(pid, json!(before.1))]);
        install(&home, after.0);
        home.done(&["restart", "fake"]);
        let [new, other] = pids();
        assert_eq!(new, other);
        assert_ne!(new, pid);
        assert_eq!(speaks(), [(new, json!(after.1))]);
    }
}
