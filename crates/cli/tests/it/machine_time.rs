//! A machine that sleeps, as far as a test can have it: everything of ours is stopped for a while.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Client, FAKE_SERVER, Home,
    processes::{Process, with_descendants},
    until,
};

/// Longer than any ping is waited for here, and than what a daemon takes for a wake-up in time.
const ASLEEP: Duration = Duration::from_secs(9);

#[test]
fn time_in_which_nothing_ran_is_held_against_no_server_and_the_first_call_after_it_is_answered() {
    let home = Home::new();
    home.configure(&format!(
        "[limits]\nping_interval = \"3s\"\n[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n"
    ));
    let mut client = home.configured("fake");
    let server = client.server_pid();
    let go = home.file("go");
    let waiting = client.begin("slow", json!({"until": go, "text": "late"}));
    until("the call being at the server", || {
        home.upstream()["in_flight"] == 1
    });
    let mut all = with_descendants(home.daemon_pid().unwrap());
    all.push(Client::process(&client));
    for process in &all {
        process.signal(Signal::STOP);
    }
    let begun = Instant::now();
    until("the end of the night", || begun.elapsed() > ASLEEP);
    all.iter()
        .rev()
        .for_each(|process| process.signal(Signal::CONT));
    assert_eq!(client.text("echo", json!({"text": "awake"})), "awake");
    until("the daemon saying that it was kept from running", || {
        home.done(&["logs", "daemon"]).contains("kept from running")
    });
    let status = home.status();
    assert_eq!(status["counts"]["upstream-unresponsive"], json!(null));
    assert_eq!(status["upstreams"][0]["restarts"], 0);
    fs::write(&go, "").unwrap();
    let answer = client.response(waiting);
    assert_eq!(answer["result"]["content"][0]["text"], "late");
    assert_eq!(client.server_pid(), server);
    assert!(all.iter().all(Process::is_alive));
}
