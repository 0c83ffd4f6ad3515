//! Neighbours that make as much noise as they can: they are served, others are served beside them, and the
//! daemon stays within its bounds. What that does to the time of a call, `cargo xtask bench` measures.

use std::{fmt::Write as _, fs, time::Instant};

use serde_json::{Value, json};

use crate::support::{
    Home, Watched,
    processes::{memory_kb, processor_ticks},
    until,
};

/// What one noisy session may cost the daemon, in KiB.
const NOISE_KB: u64 = 16 << 10;

/// A clock tick of the kernel's accounts.
const TICKS_PER_SECOND: u64 = 100;

#[test]
fn a_session_that_floods_is_answered_line_by_line_and_takes_no_more_than_its_share() {
    for daemon in Watched::both() {
        flood(&daemon);
    }
}

fn flood(daemon: &Watched) {
    const ROUNDS: usize = 40;
    const LINES: usize = 500;
    let home = daemon.home();
    let (mut flooder, mut other) = (home.session(&[]), home.session(&[]));
    other.text("echo", json!({"text": "before"}));
    let before = daemon.peak_kb();
    let mut calls = Vec::new();
    for round in 0..ROUNDS {
        // Nothing is read in between: what is said first waits for what is said last.
        let mut text = String::new();
        for line in 0..LINES {
            let id = flooder.next_id();
            calls.push(id);
            let ping = json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
            writeln!(text, "{ping}\ngarbage {line}").unwrap();
        }
        flooder.write(text.trim_end());
        let text = round.to_string();
        assert_eq!(other.text("echo", json!({"text": text})), text);
    }
    let mut calls = calls.into_iter();
    for _ in 0..2 * ROUNDS * LINES {
        let answer: Value = serde_json::from_str(&flooder.line().unwrap()).unwrap();
        if answer["id"].is_null() {
            assert_eq!(answer["error"]["code"], -32700, "{answer}");
        } else {
            assert_eq!(Some(&answer["id"]), calls.next().map(Value::from).as_ref());
            assert_eq!(answer["result"], json!({}), "{answer}");
        }
    }
    until("a count of all garbage", || {
        home.status()["counts"]["session-fault"] == ROUNDS * LINES
    });
    if let Some((peak, before)) = daemon.peak_kb().zip(before) {
        let grown = peak - before;
        assert!(grown <= NOISE_KB, "{grown} KiB");
    }
}

#[test]
fn a_gigabyte_of_errors_costs_little_memory_little_time_and_few_lines() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    // Known not to ask, so that they run side by side.
    alice.text("stderr-flood", json!({"bytes": 1}));
    bob.text("echo", json!({"text": "before"}));
    let daemon = home.daemon_pid().unwrap();
    let (peak, ticks, begun) = (
        memory_kb(daemon, "VmHWM"),
        processor_ticks(daemon),
        Instant::now(),
    );
    for part in 0..4 {
        let flood = alice.begin("stderr-flood", json!({"bytes": 256 << 20, "text": part}));
        assert_eq!(bob.text("echo", json!({"text": "beside"})), "beside");
        let answer = alice.response(flood);
        assert!(answer["result"].is_object(), "{answer}");
    }
    let took = begun.elapsed();
    let busy = processor_ticks(daemon) - ticks;
    assert!(
        u128::from(busy) * 1000 / u128::from(TICKS_PER_SECOND) <= took.as_millis() / 2,
        "{busy} ticks in {took:?}"
    );
    let grown = memory_kb(daemon, "VmHWM") - peak;
    assert!(grown <= NOISE_KB, "{grown} KiB");
    drop((alice, bob));
    until("a count of what was suppressed", || {
        home.done(&["restart", "fake-server"]);
        home.done(&["logs", "fake-server"])
            .contains("lines were suppressed")
    });
    let logs = fs::read_dir(home.pool().join("logs")).unwrap();
    let kept: u64 = logs
        // One that is put aside meanwhile has another name by then.
        .map(|entry| entry.unwrap().metadata().map_or(0, |it| it.len()))
        .sum();
    assert!(kept < 50 << 20, "{kept} bytes were kept");
}
