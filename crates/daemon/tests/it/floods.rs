//! Peers that say more than anybody wants to hear.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{pool::Pool, runner::until};

/// The most that the daemon has ever had in memory, in KiB.
fn peak_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

pub(crate) fn a_session_that_does_not_read_is_cut_and_stalls_nobody() {
    let pool = Pool::start();
    let (mut deaf, mut other) = (pool.session(), pool.session());
    let before = peak_kb(pool.pid());
    deaf.call(1, "progress", &json!({ "bytes": 100 << 20 }));
    assert_eq!(deaf.message()["method"], "notifications/progress");
    // The server works on one call at a time: this one is answered when the flood is over.
    other.call(1, "echo", &json!({ "text": "hello" }));
    assert_eq!(other.answer(1)["result"]["text"], "hello");
    let grown = peak_kb(pool.pid()) - before;
    assert!(grown < 40 << 10, "the daemon grew by {grown} KiB");
    let counts = pool.status().counts;
    assert!(counts.contains_key("session-cut"), "{counts:?}");
    // It is told so when it reads again, and can go on.
    let answer = deaf.answer(1);
    assert_eq!(answer["error"]["data"]["reason"], "too-slow", "{answer}");
    deaf.call(2, "echo", &json!({ "text": "again" }));
    assert_eq!(deaf.answer(2)["result"]["text"], "again");
}

pub(crate) fn a_flood_of_complaints_is_drained_and_kept_within_bounds() {
    let pool = Pool::start();
    let mut peer = pool.session();
    peer.call(1, "complain", &json!({ "bytes": 50 << 20 }));
    assert_eq!(peer.answer(1)["result"]["complained"], true);
    peer.call(2, "echo", &json!({ "text": "hello" }));
    assert_eq!(peer.answer(2)["result"]["text"], "hello");
    drop(peer);
    until("a count of what was suppressed", || {
        // The next line that is allowed says so, and the end of the server does.
        let mut again = pool.session();
        again.call(1, "complain", &json!({ "bytes": 100 }));
        again.answer(1);
        pool.log("echo")
            .contains("lines were suppressed")
            .then_some(())
    });
    let kept = pool.log("echo").len();
    assert!(kept < 10 << 20, "{kept} bytes were kept");
}

/// A stopped daemon finds both when it goes on: what it does first is its own choice.
pub(crate) fn who_says_one_thing_waits_for_a_piece_of_a_flood_and_not_for_all_of_it() {
    const FLOOD: usize = 1000;
    let pool = Pool::start();
    let (mut flooder, mut other) = (pool.session(), pool.session());
    other.call(1, "notes-before", &json!({}));
    assert_eq!(other.answer(1)["result"]["notes"], 0);
    let note = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/note\"}\n";
    signal(pool.pid(), Signal::STOP);
    // As little as a socket takes without being read.
    flooder.say_bytes(note.repeat(FLOOD).as_bytes());
    other.call(2, "notes-before", &json!({}));
    signal(pool.pid(), Signal::CONT);
    let before = other.answer(2)["result"]["notes"].as_u64().unwrap();
    assert!(before < 100, "{before} of {FLOOD} went before");
    // The flood is served, too, all of it.
    flooder.call(1, "notes-before", &json!({}));
    assert_eq!(flooder.answer(1)["result"]["notes"], FLOOD);
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

pub(crate) fn noise_on_standard_output_is_passed_over_and_logged() {
    let pool = Pool::start();
    let mut peer = pool.session();
    peer.call(1, "noise", &json!({}));
    assert_eq!(peer.answer(1)["result"]["noisy"], true);
    assert_eq!(pool.status().upstreams[0].faults, 2);
    until("the noise in the log", || {
        let log = pool.log("echo");
        (log.contains("stdout: Welcome!") && log.contains("stdout: {\"half\": ")).then_some(())
    });
}
