//! Limits over the real programs: what is one byte too long is an error to whom it concerns, nobody's
//! connection is dropped for it, and memory stays within what the limits say.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    Client, FAKE_SERVER, Home, hello, processes::memory_kb, reluctant::Reluctant, until,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What a daemon needs beside messages while a test goes on, in KiB: buffers for reading, and chance.
const BESIDE_KB: u64 = 8 << 10;

fn home_with(limits: &str) -> Home {
    let home = Home::new();
    home.configure(&format!("[limits]\n{limits}\n"));
    home
}

/// A `tools/call` of exactly so many bytes, without its line end.
fn request_of(id: u64, bytes: usize) -> String {
    let head = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"short","filler":""#
    );
    let tail = r#""}}}"#;
    format!(
        "{head}{}{tail}",
        "x".repeat(bytes - head.len() - tail.len())
    )
}

/// Has the server answer with a line of exactly so many bytes. Only for the one session of a server: its
/// ids have then as many digits as those that the server sees.
fn answer_of(client: &mut Client, bytes: usize) -> Value {
    let head = r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[],"filler":""#;
    let tail = r#""}}"#;
    let id = client.next_id();
    let around = head.len() - "ID".len() + id.to_string().len() + tail.len();
    let arguments = json!({"head": head, "bytes": bytes - around, "tail": tail});
    client.send(
        &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "giant-line", "arguments": arguments,
        }}),
    );
    client.response(id)
}

/// At the limit and one over it, both ways.
#[track_caller]
fn check_the_limit(client: &mut Client, limit: usize) {
    let fits = client.next_id();
    client.write(&request_of(fits, limit));
    let answer = client.response(fits);
    assert_eq!(answer["result"]["content"][0]["text"], "short");
    let too_long = client.next_id();
    client.write(&request_of(too_long, limit + 1));
    let answer = client.response(too_long);
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    assert_eq!(answer["error"]["data"]["reason"], "malformed", "{answer}");
    let answer = answer_of(client, limit);
    assert!(
        answer["result"]["filler"].is_string(),
        "{}",
        answer["error"]
    );
    let answer = answer_of(client, limit + 1);
    let error = &answer["error"]["data"];
    assert_eq!(error["reason"], "answer-too-long", "{answer}");
    assert_eq!(error["maybeExecuted"], true, "{answer}");
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_is_an_error_both_ways() {
    let home = home_with("message_bytes = \"16 KiB\"");
    let mut client = home.session(&[]);
    // The ids of what follows have two digits, for us and for the server.
    for _ in 0..10 {
        client.text("echo", json!({"text": "warm"}));
    }
    check_the_limit(&mut client, 16 * KIB);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

#[test]
fn the_usual_limit_is_64_mib_to_the_byte_and_memory_stays_within_twice_that() {
    let home = Home::new();
    let mut client = home.session(&[]);
    client.text("echo", json!({"text": "warm"}));
    let (daemon, shim) = (home.daemon_pid().unwrap(), client.process().pid);
    let before = [daemon, shim].map(|pid| memory_kb(pid, "VmHWM"));
    check_the_limit(&mut client, 64 * MIB);
    let after = [daemon, shim].map(|pid| memory_kb(pid, "VmHWM"));
    for (who, (before, after)) in ["daemon", "shim"].iter().zip(before.iter().zip(after)) {
        let grown = after - before;
        assert!(
            grown <= (128 << 10) + BESIDE_KB,
            "the {who} grew by {grown} KiB"
        );
    }
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

/// Writes so many MiB that are one line, where a message may have `limit` MiB, hears of it, and then ends it;
/// meanwhile the daemon grows by twice that at most.
fn line_without_an_end(limit: usize, mebibytes: usize) {
    let home = home_with(&format!("message_bytes = \"{limit} MiB\""));
    let (mut client, mut other) = (home.session(&[]), home.session(&[]));
    other.text("echo", json!({"text": "warm"}));
    let daemon = home.daemon_pid().unwrap();
    let before = memory_kb(daemon, "VmHWM");
    let id = client.next_id();
    client.write_part(
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"filler":""#)
            .as_bytes(),
    );
    let part = vec![b'x'; MIB];
    for _ in 0..mebibytes {
        client.write_part(&part);
        assert_eq!(other.text("echo", json!({"text": "here"})), "here");
    }
    let grown = memory_kb(daemon, "VmHWM") - before;
    let most = 2 * 1024 * limit as u64 + BESIDE_KB;
    assert!(grown <= most, "the daemon grew by {grown} KiB of {most}");
    // Nothing has ended it yet.
    let answer = client.response(id);
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("is dropped"), "{message}");
    client.write("");
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    let is_another = |message: &Value| message["id"] == id;
    assert!(!client.has_heard(is_another), "it has a second answer");
}

#[test]
fn a_line_without_an_end_takes_little_memory_and_is_an_error_though_it_does_not_end() {
    line_without_an_end(1, 64);
}

#[test]
fn at_the_usual_limit_a_line_without_an_end_takes_no_more_than_twice_that() {
    line_without_an_end(64, 200);
}

#[test]
fn a_line_that_has_its_id_last_is_told_of_before_its_end_and_answered_at_it() {
    let home = home_with("message_bytes = \"1 MiB\"");
    let mut client = home.session(&[]);
    let id = client.next_id();
    client.write_part(br#"{"method":"tools/call","params":{"filler":""#);
    client.write_part(&vec![b'x'; 2 * MIB]);
    let told = client.wait_for(|message| message["error"].is_object());
    assert_eq!(told["id"], Value::Null, "{told}");
    assert_eq!(told["error"]["code"], -32600, "{told}");
    client.write(&format!(r#""}},"jsonrpc":"2.0","id":{id}}}"#));
    let answer = client.response(id);
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    let is_another = |message: &Value| message["error"].is_object();
    assert!(!client.has_heard(is_another), "it was told twice");
}

#[test]
fn a_line_without_an_end_that_was_answered_is_not_answered_again_by_the_next_daemon() {
    let home = home_with("message_bytes = \"1 MiB\"");
    let mut client = home.session(&[]);
    client.text("echo", json!({"text": "warm"}));
    let id = client.next_id();
    let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"a":""#);
    client.write_part(head.as_bytes());
    client.write_part(&vec![b'x'; 2 * MIB]);
    let answer = client.response(id);
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    home.kill_daemon();
    client.write_part(&vec![b'x'; 2 * MIB]);
    client.write("\"}}");
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    let is_another = |message: &Value| message["error"].is_object();
    assert!(!client.has_heard(is_another), "it was told twice");
}

#[test]
fn an_answer_without_an_end_takes_little_memory_and_is_an_error_when_it_ends() {
    let home = home_with("message_bytes = \"1 MiB\"");
    let mut client = home.session(&[]);
    client.text("echo", json!({"text": "warm"}));
    let daemon = home.daemon_pid().unwrap();
    let before = memory_kb(daemon, "VmHWM");
    let answer = answer_of(&mut client, 100 * MIB);
    assert_eq!(answer["error"]["data"]["reason"], "answer-too-long");
    let grown = memory_kb(daemon, "VmHWM") - before;
    assert!(grown <= 2048 + BESIDE_KB, "the daemon grew by {grown} KiB");
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

#[test]
fn an_answer_that_is_too_long_and_has_its_id_last_ends_its_own_request_alone() {
    let home = home_with("message_bytes = \"1 MiB\"");
    let (mut client, mut other) = (home.session(&[]), home.session(&[]));
    let go = home.file("go");
    let slow = other.begin("slow", json!({"until": go, "text": "untouched"}));
    until("a call being at the server", || {
        home.upstream()["in_flight"] == 1
    });
    let head = r#"{"result":{"content":[{"type":"text","text":""#;
    let tail = r#""}]},"jsonrpc":"2.0","id":ID}"#;
    let arguments = json!({"head": head, "bytes": 2 * MIB, "tail": tail});
    let answer = client.call("giant-line", arguments);
    assert_eq!(answer["error"]["data"]["reason"], "answer-too-long");
    fs::write(go, "").unwrap();
    let answer = other.response(slow);
    assert_eq!(answer["result"]["content"][0]["text"], "untouched");
}

#[test]
fn a_batch_of_countless_messages_is_refused_within_the_memory_of_its_bytes() {
    let home = Home::new();
    let mut client = home.open(&[]);
    let greeting = client.request("initialize", hello("2025-03-26", &json!({})));
    assert_eq!(greeting["result"]["protocolVersion"], "2025-03-26");
    let daemon = home.daemon_pid().unwrap();
    let before = memory_kb(daemon, "VmHWM");
    let bytes = 16 * MIB;
    client.write(&format!("[{}0]", "0,".repeat(bytes / 2)));
    let answer = client.wait_for(|message| message["error"].is_object());
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let grown = memory_kb(daemon, "VmHWM") - before;
    assert!(
        grown <= 2 * (bytes as u64 >> 10) + BESIDE_KB,
        "the daemon grew by {grown} KiB"
    );
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

#[test]
fn who_has_most_to_read_is_cut_when_all_together_have_too_much() {
    let home = home_with(
        "message_bytes = \"2 MiB\"\nslow_reader_bytes = \"8 MiB\"\nbuffered_bytes = \"16 MiB\"",
    );
    let mut reader = home.session(&[]);
    reader.text("echo", json!({"text": "warm"}));
    let daemon = home.daemon_pid().unwrap();
    let before = memory_kb(daemon, "VmHWM");
    // Each stays within what it may have alone; all together would have three times what there is.
    let mut idlers: Vec<Reluctant> = (0..8)
        .map(|_| Reluctant::spawn(&mut home.mcpool(&connect())))
        .collect();
    for idler in &mut idlers {
        for id in 1..=7 {
            idler.begin(id, "big", json!({"bytes": MIB}));
        }
    }
    until("a session that was cut", || {
        home.status()["counts"]["session-cut"].as_u64() >= Some(1)
    });
    until("every call being answered, one way or another", || {
        home.upstream()["in_flight"] == 0
    });
    let grown = memory_kb(daemon, "VmHWM") - before;
    assert!(
        grown <= (16 << 10) + BESIDE_KB,
        "the daemon grew by {grown} KiB"
    );
    // Who reads has room for what is large, too.
    let answer = reader.call("big", json!({"bytes": MIB}));
    assert!(answer["result"].is_object(), "{}", answer["error"]);
    for idler in &mut idlers {
        let answers: Vec<Value> = (0..7).map(|_| idler.message()).collect();
        for answer in answers {
            let reason = &answer["error"]["data"]["reason"];
            assert!(
                answer["result"].is_object() || reason == "too-slow",
                "{answer}"
            );
        }
    }
}

#[test]
fn lines_that_do_not_end_leave_room_for_the_others() {
    let home = home_with("message_bytes = \"4 MiB\"\nbuffered_bytes = \"16 MiB\"");
    let mut reader = home.session(&[]);
    reader.text("echo", json!({"text": "warm"}));
    let daemon = home.daemon_pid().unwrap();
    let before = memory_kb(daemon, "VmHWM");
    let mut idlers: Vec<(Client, u64)> = (0..12)
        .map(|_| {
            let mut idler = home.session(&[]);
            let id = idler.next_id();
            let whole = request_of(id, 3 * MIB);
            idler.write_part(&whole.as_bytes()[..whole.len() - 1]);
            (idler, id)
        })
        .collect();
    // What each has written has been taken in when its next line is answered, which needs the end first.
    for (idler, _) in &mut idlers {
        idler.write("}");
    }
    let mut refused = 0;
    for (idler, id) in &mut idlers {
        let answer = idler.response(*id);
        if answer["error"].is_object() {
            assert_eq!(answer["error"]["data"]["reason"], "overloaded", "{answer}");
            assert_eq!(answer["error"]["data"]["retryable"], true, "{answer}");
            refused += 1;
        }
    }
    assert!(refused > 0, "36 MiB found room in 16");
    let grown = memory_kb(daemon, "VmHWM") - before;
    assert!(
        grown <= 2 * (16 << 10) + BESIDE_KB,
        "the daemon grew by {grown} KiB"
    );
    assert_eq!(reader.text("echo", json!({"text": "here"})), "here");
}

#[test]
fn ten_sessions_with_one_call_each_do_not_wait_for_one_with_a_thousand() {
    // Longer than it takes to have all of them said.
    let home = home_with("start_patience = \"5m\"");
    let (record, gate) = (home.file("record"), home.file("gate"));
    let options = ["--record", &record, "--start-until", &gate];
    let mut hog = home.open(&options);
    let greeting = hog.ask("initialize", hello("2025-11-25", &json!({})));
    let calls: Vec<u64> = (0..1000)
        .map(|_| hog.begin("echo", marked("hog")))
        .collect();
    let mut others: Vec<(Client, u64)> = (0..10)
        .map(|_| {
            let mut other = home.open(&options);
            other.ask("initialize", hello("2025-11-25", &json!({})));
            let call = other.begin("echo", marked("other"));
            (other, call)
        })
        .collect();
    until("all calls being in the daemon", || {
        let sessions = home.status()["sessions"].clone();
        let open = |session: &Value| session["in_flight"].as_u64().unwrap_or(0);
        let sessions: Vec<u64> = sessions
            .as_array()
            .into_iter()
            .flatten()
            .map(open)
            .collect();
        sessions.len() == 11 && sessions.iter().sum::<u64>() == 1001 + 20
    });
    fs::write(&gate, "").unwrap();
    hog.response(greeting);
    for (other, call) in &mut others {
        other.response(*call);
    }
    for call in calls {
        hog.response(call);
    }
    // The ids that the server sees are in the order in which calls reached it; the first is its greeting.
    let last = home
        .lines("record")
        .iter()
        .filter_map(|line| line.strip_prefix("executed other ")?.parse::<u64>().ok())
        .max();
    assert!(
        last.is_some_and(|last| last <= 1 + 11),
        "the last of the ten was number {last:?}"
    );
}

fn connect() -> [&'static str; 3] {
    ["connect", "--", FAKE_SERVER]
}

fn marked(mark: &str) -> Value {
    json!({"text": "", "mark": mark})
}
