//! The first meeting of a session with a daemon that does not answer yet.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, PATIENCE, hello, processes::Process, until};

/// After this time clients give a session up that was not greeted.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(30);

/// The daemon's program, but it begins only when it is let.
const SLOW_DAEMON: &str = "#!/bin/sh\n\
    echo started >> \"$0.record\"\n\
    until [ -e \"$0.gate\" ]; do sleep 0.01; done\n\
    exec \"$(cat \"$0.real\")\" \"$@\"\n";

/// A process that is stopped. It goes on also if the test fails: it is told to end then.
struct Stopped(Process);

impl Stopped {
    fn daemon_of(home: &Home) -> Self {
        let daemon = Process::of(home.daemon_pid().unwrap()).unwrap();
        daemon.signal(Signal::STOP);
        Stopped(daemon)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

fn greeting() -> Value {
    hello("2025-11-25", &json!({}))
}

#[test]
fn a_daemon_that_is_stopped_is_told_of_in_time_and_serves_the_session_when_it_goes_on() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", record.as_str()];
    let mut alice = home.session(&options);
    let server = alice.server_pid();
    let daemon = Stopped::daemon_of(&home);
    let begun = Instant::now();
    let mut bob = home.open(&options);
    bob.be_patient(PATIENCE * 2);
    let refused = bob.request("initialize", greeting());
    let took = begun.elapsed();
    let error = &refused["error"];
    assert_eq!(error["data"]["reason"], "daemon-unreachable", "{refused}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("did not answer in time"), "{refused}");
    assert!(took < CLIENTS_PATIENCE, "{took:?}");
    // What was said before is not said again, and nobody else has run the server.
    drop(daemon);
    until("the session being served", || {
        bob.request("initialize", greeting())
            .get("result")
            .is_some()
    });
    assert_eq!(bob.server_pid(), server);
    assert_eq!(alice.server_pid(), server);
    assert_eq!(home.count("record", "started "), 1);
    assert_eq!(home.status()["direct"], json!([]));
    assert!(bob.close().success());
}

/// A shim beside which such a daemon lies.
fn beside_slow_daemon(home: &Home) -> Command {
    home.beside_script(SLOW_DAEMON, &["connect", "--", FAKE_SERVER])
}

#[test]
fn all_who_come_wait_for_a_daemon_that_is_slow_to_start() {
    let home = Home::new();
    let mut clients: Vec<(Client, u64)> = (0..4)
        .map(|_| {
            let mut client = Client::spawn(&mut beside_slow_daemon(&home));
            let id = client.ask("initialize", greeting());
            (client, id)
        })
        .collect();
    until("the start of a daemon", || {
        home.count("bin/mcpoold.record", "started") == 1
    });
    home.open_gate();
    let mut pids = Vec::new();
    for (client, id) in &mut clients {
        let answer = client.response(*id);
        assert!(answer.get("result").is_some(), "{answer}");
        client.notify("notifications/initialized", &json!({}));
        pids.push(client.server_pid());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
    assert_eq!(home.count("bin/mcpoold.record", "started"), 1);
}
