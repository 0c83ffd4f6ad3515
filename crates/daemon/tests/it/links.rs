//! Sessions and orders over the link, as a shim would see them.

use std::time::Duration;

use serde_json::json;
use shim::preface::{AdminAsk, Ask};

use crate::{
    pool::{Pool, configured, greeting, runs},
    runner::until,
};

pub(crate) fn every_line_is_done_once_and_blank_ones_count() {
    let pool = Pool::start();
    let mut peer = pool.connect(&Ask::Session(configured()));
    assert!(peer.line().starts_with("\x1eaccepted "));
    peer.say(&greeting());
    let lines = [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        "",
        "  \t",
        "not json",
        "\x1eof the future",
        r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
    ];
    for line in lines {
        peer.say(line);
    }
    peer.call(8, "echo", &json!({}));
    peer.answer(8);
    let mut done = Vec::new();
    while !done.contains(&8) {
        let line = peer.line();
        peer.controls
            .push(line.trim_start_matches('\x1e').to_owned());
        done = told(&peer.controls, "done ");
    }
    done.sort_unstable();
    // The greeting stays, for the daemon after this one.
    assert_eq!(done, [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(told(&peer.controls, "keep "), [1]);
    // Only what had to wait for the server's start was held, and nothing twice.
    assert!(told(&peer.controls, "held ").iter().all(|line| *line <= 8));
}

fn told(controls: &[String], word: &str) -> Vec<u64> {
    let lines = controls
        .iter()
        .filter_map(|control| control.strip_prefix(word));
    lines
        .flat_map(|lines| lines.split(' '))
        .map(|line| line.parse().unwrap())
        .collect()
}

pub(crate) fn the_answer_of_a_call_follows_the_end_of_input() {
    let pool = Pool::start();
    let mut peer = pool.session();
    peer.call(1, "late", &json!({}));
    peer.end_input();
    // It comes after the end of the other's input.
    let mut other = pool.session();
    other.call(1, "answer-the-late", &json!({}));
    assert_eq!(other.answer(1)["result"]["answered"], true);
    other.end_input();
    assert_eq!(peer.answer(1)["result"]["late"], true);
    let rest = peer.rest();
    assert!(!rest.contains('{'), "{rest}");
    until("an empty table of sessions", || {
        pool.status().sessions.is_empty().then_some(())
    });
}

pub(crate) fn messages_of_ten_megabytes_pass_both_ways() {
    let pool = Pool::start();
    let mut peer = pool.session();
    let text = "0123456789".repeat(1 << 20);
    peer.call(1, "echo", &json!({ "text": text }));
    assert_eq!(peer.answer(1)["result"]["text"], *text);
    // Two at a time wait for the reader together.
    peer.call(2, "large", &json!({ "bytes": 10 << 20 }));
    peer.call(3, "large", &json!({ "bytes": 10 << 20 }));
    for id in [2, 3] {
        let answer = peer.answer(id);
        assert_eq!(
            answer["result"]["text"].as_str().map(str::len),
            Some(10 << 20)
        );
    }
}

pub(crate) fn sessions_of_one_key_share_one_process_and_get_their_own_answers() {
    let pool = Pool::start();
    let mut peers: Vec<_> = (0..8).map(|_| pool.session()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.call(1, "echo", &json!({ "from": number }));
        peer.call(2, "pid", &json!({}));
    }
    let mut pids = Vec::new();
    for (number, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.answer(1)["result"]["from"], number);
        pids.push(peer.answer(2)["result"]["pid"].clone());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
    let status = pool.status();
    assert_eq!(status.upstreams.len(), 1);
    assert_eq!(status.upstreams[0].sessions, 8);
    assert_eq!(status.upstreams[0].pid.map(u64::from), pids[0].as_u64());
    assert_eq!(status.saved_kb, status.upstreams[0].pss_kb.unwrap() * 7);
}

pub(crate) fn stop_is_answered_when_nothing_is_left() {
    let pool = Pool::start();
    let mut peer = pool.session();
    let status = pool.status();
    let server = status.upstreams[0].pid.unwrap();
    let guardian = status.daemon.unwrap().guardian_pid.unwrap();
    let mut stop = pool.connect(&Ask::Admin(AdminAsk::Stop));
    assert_eq!(stop.line(), "\x1eaccepted");
    assert_eq!(stop.line(), r#"{"ok":{"stopped":true}}"#);
    assert!(!runs(server) && !runs(guardian));
    assert!(!pool.places.socket.exists());
    assert!(!pool.places.lock.exists());
    peer.rest();
}

pub(crate) fn a_restarted_server_is_another_process_of_the_same_upstream() {
    let pool = Pool::start();
    let mut peer = pool.session();
    peer.call(1, "pid", &json!({}));
    let before = peer.answer(1)["result"]["pid"].clone();
    let server = "echo".to_owned();
    let wait = Duration::ZERO;
    let mut restart = pool.connect(&Ask::Admin(AdminAsk::Restart { server, wait }));
    assert_eq!(restart.line(), "\x1eaccepted");
    assert_eq!(restart.line(), r#"{"ok":{"upstreams":1}}"#);
    peer.call(2, "pid", &json!({}));
    assert_ne!(peer.answer(2)["result"]["pid"], before);
    let mut nobody = pool.connect(&Ask::Admin(AdminAsk::Restart {
        server: "nobody".to_owned(),
        wait,
    }));
    assert_eq!(nobody.line(), "\x1eaccepted");
    assert!(nobody.line().starts_with(r#"{"error":"#));
}

pub(crate) fn a_lost_guardian_is_replaced_and_what_was_open_is_answered() {
    let pool = Pool::start();
    let mut peer = pool.session();
    let guardian = pool.status().daemon.unwrap().guardian_pid.unwrap();
    peer.call(1, "late", &json!({}));
    // What never reached the server would go to the next one.
    until("a call at the server", || {
        let sessions = pool.status().sessions;
        sessions
            .iter()
            .any(|session| session.in_flight == 1)
            .then_some(())
    });
    let pid = rustix::process::Pid::from_raw(guardian.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let answer = peer.answer(1);
    assert_eq!(
        answer["error"]["data"]["reason"], "upstream-exited",
        "{answer}"
    );
    let mut id = 1;
    until("a server under a new guardian", || {
        id += 1;
        peer.call(id, "echo", &json!({ "again": true }));
        (peer.answer(id)["result"]["again"] == true).then_some(())
    });
    let next = pool.status().daemon.unwrap().guardian_pid.unwrap();
    assert_ne!(next, guardian);
}
