//! Too few descriptors, a start that the system refuses, and no more memory.

use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home,
    processes::{Process, descriptors, memory_kb, processor_ticks},
    until,
};

/// What 64 idle sessions may have the daemon take, in KiB.
const IDLE_KB: u64 = 40 << 10;

/// A session that has a server of its own, under a limit of descriptors that the daemon inherits if this
/// session starts it.
fn alone(home: &Home, limit: &str) -> Client {
    let arguments = ["connect", "--scope", "session", "--", FAKE_SERVER];
    Client::spawn(&mut home.limited(limit, &arguments))
}

fn message(answer: &Value) -> String {
    answer["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_lowercase()
}

#[test]
fn callers_that_take_all_descriptors_keep_no_session_from_its_work_and_cost_no_time() {
    let home = Home::new();
    let mut client = alone(&home, "ulimit -n 64");
    client.initialize();
    let daemon = home.daemon_pid().unwrap();
    let ticks = processor_ticks(daemon);
    let callers: Vec<UnixStream> = (0..200)
        .map(|_| UnixStream::connect(home.pool().join("mcpool.sock")).unwrap())
        .collect();
    for number in 0..50 {
        let text = number.to_string();
        assert_eq!(client.text("echo", json!({"text": text})), text);
    }
    let open = descriptors(daemon);
    assert!(open < 64 - 8, "{open} descriptors are open");
    let busy = processor_ticks(daemon) - ticks;
    assert!(busy < 100, "{busy} ticks of 10 ms");
    drop(callers);
    let mut late = alone(&home, "ulimit -n 64");
    late.initialize();
    assert_eq!(late.text("echo", json!({"text": "in"})), "in");
}

#[test]
fn a_server_for_which_there_are_no_descriptors_is_a_clean_error_and_comes_when_there_are() {
    let home = Home::new();
    let mut first = alone(&home, "ulimit -n 64");
    first.initialize();
    let mut others = Vec::new();
    let refused = 'refused: loop {
        assert!(others.len() < 30, "there is no end to the descriptors");
        let mut client = alone(&home, "ulimit -n 64");
        // Whoever is greeted may have to wait for the process until the first call.
        for answer in [client.greet(&json!({})), client.call("echo", json!({}))] {
            if answer.get("error").is_some() {
                break 'refused answer;
            }
        }
        others.push(client);
    };
    assert!(
        message(&refused).contains("too many open files"),
        "{refused}"
    );
    assert_eq!(first.text("echo", json!({"text": "on"})), "on");
    drop(others);
    until("the servers of those who left having ended", || {
        home.upstream_pids().len() == 1
    });
    let mut next = alone(&home, "ulimit -n 64");
    next.initialize();
    assert_eq!(next.text("echo", json!({"text": "in"})), "in");
}

#[test]
fn a_start_that_the_system_refuses_is_a_clean_error_to_its_session_and_works_when_it_may() {
    let home = Home::new();
    let mut first = home.session(&[]);
    let guardian = home.status()["daemon"]["guardian_pid"].as_u64().unwrap();
    let guardian = u32::try_from(guardian).unwrap();
    let ours = getrlimit(Resource::Nofile);
    let limit = |current: Option<u64>| {
        let pid = Pid::from_raw(guardian.cast_signed());
        let limit = Rlimit { current, ..ours };
        prlimit(pid, Resource::Nofile, limit).unwrap();
    };
    // As many as it is sure to have, and any other would be one more.
    limit(Some(3));
    let mut second = home.open(&["--say", "another"]);
    let answer = second.greet(&json!({}));
    assert!(message(&answer).contains("too many open files"), "{answer}");
    assert_eq!(answer["error"]["data"]["source"], "mcpool");
    assert_eq!(first.text("echo", json!({"text": "on"})), "on");
    limit(ours.current);
    until("the server being started after all", || {
        let mut client = home.open(&["--say", "another"]);
        client.greet(&json!({})).get("result").is_some()
    });
}

#[test]
fn a_server_that_is_killed_for_its_memory_is_told_as_such() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let server = Process::of(client.server_pid()).unwrap();
    let call = client.begin("hang", json!({}));
    until("the call being at the server", || {
        home.upstream()["in_flight"] == 1
    });
    server.signal(Signal::KILL);
    let answer = client.response(call);
    let message = message(&answer);
    assert!(message.contains("killed (9)"), "{message}");
    assert!(message.contains("for want of memory"), "{message}");
    until("the log saying so", || {
        home.done(&["logs", "fake-server"])
            .contains("was killed (9)")
    });
}

#[test]
fn sixty_four_idle_sessions_take_little_memory() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..64).map(|_| home.open(&[])).collect();
    for client in &mut clients {
        client.initialize();
        client.text("echo", json!({"text": "once"}));
    }
    let taken = memory_kb(home.daemon_pid().unwrap(), "VmRSS");
    assert!(taken <= IDLE_KB, "{taken} KiB");
}
