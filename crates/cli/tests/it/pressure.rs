//! More than somebody can take at once: nothing is lost, and nothing grows without end.

use std::{io::Write, os::unix::net::UnixStream};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Home,
    processes::{Process, memory_kb},
    until,
};

/// What a session may cost the daemon for as long as it reads, in KiB: 64 MiB that wait for it (see decision
/// 8) and the 8 MiB that it has beside them.
const READER_KB: u64 = 72 << 10;

/// One answer, in KiB: one message more always fits.
const ANSWER_KB: u64 = 2 << 10;

#[test]
fn a_client_that_reads_as_fast_as_it_can_loses_no_answer_to_a_faster_server() {
    let home = Home::new();
    let mut client = home.session(&[]);
    client.call("echo", json!({"text": "warm"}));
    let daemon = home.daemon_pid().unwrap();
    let before = memory_kb(daemon, "VmHWM");
    let cuts = || home.status()["counts"]["session-cut"].clone();
    // Who is kept from running for a second does not read as fast as it can, and may be cut.
    until("all answers to a client that is let run", || {
        let before = cuts();
        let calls: Vec<u64> = (0..60)
            .map(|_| client.begin("big", json!({"bytes": ANSWER_KB << 10})))
            .collect();
        let lost = calls.into_iter().filter(|call| {
            let answer = client.response(*call);
            let reason = &answer["error"]["data"]["reason"];
            assert!(reason.is_null() || reason == "too-slow", "{answer}");
            !reason.is_null()
        });
        lost.count() == 0 && cuts() == before
    });
    // That is less than the answers have in all, however fast or slow they were read.
    let grown = memory_kb(daemon, "VmHWM") - before;
    assert!(
        grown <= READER_KB + ANSWER_KB,
        "the daemon grew by {grown} KiB"
    );
}

#[test]
fn what_waits_for_a_server_that_does_not_read_stays_in_bounds() {
    let home = Home::new();
    let mut clients: Vec<_> = (0..4).map(|_| home.session(&[])).collect();
    for client in &mut clients {
        client.call("echo", json!({"text": "known not to ask"}));
    }
    let server = Process::of(clients[0].server_pid()).unwrap();
    let daemon = home.daemon_pid().unwrap();
    server.signal(Signal::STOP);
    let text = "x".repeat(1 << 20);
    for client in &mut clients {
        // As much as its queue takes: the client is not made to wait by it.
        for _ in 0..7 {
            client.begin("echo", json!({"text": text}));
        }
    }
    until("all of it being in the daemon", || {
        let sessions = home.status()["sessions"].clone();
        let mut sessions = sessions.as_array().unwrap().iter();
        sessions.all(|session| session["in_flight"] == 7)
    });
    let status = home.status();
    let at_server = status["upstreams"][0]["in_flight"].as_u64().unwrap();
    assert!(
        at_server < 14,
        "{at_server} requests of 1 MiB wait in the way of the server"
    );
    assert!(memory_kb(daemon, "VmHWM") < 100 << 10);
    server.signal(Signal::CONT);
    for client in &mut clients {
        let answer = client.call("echo", json!({"text": "done"}));
        assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    }
}

#[test]
fn a_shim_that_is_killed_with_more_waiting_than_may_leaves_nothing_behind() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let shim = client.process();
    let flood = std::thread::spawn(move || {
        let lines: Vec<String> = (0..60_000)
            .map(|id| {
                format!(
                    r#"{{"jsonrpc":"2.0","id":"f{id}","method":"tools/call","params":{{"name":"hang"}}}}"#
                )
            })
            .collect();
        // It ends in a broken pipe.
        let _broken = client.try_write(&lines.join("\n"));
        client
    });
    let mut before = None;
    until("a session that is not read any more", || {
        let in_flight = home.status()["sessions"][0]["in_flight"].as_u64();
        in_flight > Some(10_064) && std::mem::replace(&mut before, in_flight) == in_flight
    });
    shim.kill();
    let _client = flood.join().unwrap();
    until("no session and no request being left", || {
        let status = home.status();
        status["sessions"] == json!([]) && status["upstreams"][0]["in_flight"] == 0
    });
}

#[test]
fn prefaces_that_never_end_take_little_memory_and_keep_nobody_out() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let half = [b"\x1emcpool 1 4194304\n".as_slice(), &vec![b'a'; 4 << 20]].concat();
    let idlers: Vec<_> = (0..100)
        .map(|_| {
            let socket = UnixStream::connect(home.pool().join("mcpool.sock")).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let mut written = vec![0; idlers.len()];
    let daemon = home.daemon_pid().unwrap();
    // Each gets to write as much as the daemon takes, but never the end.
    for _ in 0..60 {
        for (mut socket, written) in idlers.iter().zip(&mut written) {
            let rest = &half[*written..half.len() - 1];
            *written += socket.write(rest).unwrap_or(0);
        }
        assert_eq!(client.text("echo", json!({"text": "here"})), "here");
        assert!(memory_kb(daemon, "VmHWM") < 150 << 10);
    }
    assert_eq!(
        home.session(&[]).text("echo", json!({"text": "new"})),
        "new"
    );
}
