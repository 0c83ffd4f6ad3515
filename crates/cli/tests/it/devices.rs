//! `serialize` and `once`: several sessions, one voice.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, until};

/// One server for all sessions, which notes what it carries out.
fn home(rules: &str) -> Home {
    let home = Home::new();
    let record = home.file("record");
    home.configure(&format!(
        "[servers.voice]\ncommand = \"{FAKE_SERVER}\"\nargs = [\"--record\", \"{record}\"]\nscope = \"global\"\n{rules}\n"
    ));
    home
}

/// Asks for a call without the mark that clients here put into what they say: its answer may be another's.
fn call(client: &mut Client, tool: &str, arguments: &Value) -> u64 {
    let id = client.next_id();
    let message = json!({
        "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    });
    client.write(&message.to_string());
    id
}

#[test]
fn calls_that_use_one_device_run_one_after_the_other() {
    let home = home("serialize = { name = \"speakers\", tools = [\"slow\"] }");
    let (mut alice, mut bob) = (home.configured("voice"), home.configured("voice"));
    let go = home.file("go");
    let first = alice.begin("slow", json!({"until": go, "mark": "first"}));
    home.noted("record", "executed first");
    let second = bob.begin("slow", json!({"until": go, "mark": "second"}));
    until("both calls being here", || {
        let status = home.status();
        let sessions = status["sessions"].as_array().unwrap();
        sessions.iter().all(|session| session["in_flight"] == 1)
    });
    assert_eq!(home.upstream()["in_flight"], 1, "one is at the server");
    let mut carol = home.configured("voice");
    assert_eq!(carol.text("echo", json!({"text": "beside"})), "beside");
    assert_eq!(home.count("record", "executed second"), 0);
    fs::write(&go, "").unwrap();
    assert!(alice.response(first).get("result").is_some());
    assert!(bob.response(second).get("result").is_some());
    assert_eq!(home.count("record", "executed second"), 1);
}

#[test]
fn what_two_sessions_announce_is_announced_once_and_the_second_is_told_so() {
    let home = home("once = { tools = [\"echo\"], key = [\"text\"], ttl = \"1h\" }");
    let (mut alice, mut bob) = (home.configured("voice"), home.configured("voice"));
    let built = |mark: &str| json!({"text": "built", "mark": mark});
    let first = call(&mut alice, "echo", &built("alice"));
    let first = alice.response(first);
    assert_eq!(first["result"].get("_meta"), None, "{first}");
    let second = call(&mut bob, "echo", &built("bob"));
    let mut second = bob.response(second);
    let meta = second["result"].as_object_mut().unwrap().remove("_meta");
    let once = &meta.unwrap()["dev.mcpool/once"];
    assert!(once["firstMsAgo"].is_u64(), "{once}");
    let left = once["ttlLeftMs"].as_u64().unwrap();
    assert!((1..=3_600_000).contains(&left), "{once}");
    assert_eq!(second["result"], first["result"]);
    assert_eq!(home.count("record", "executed bob"), 0);

    // Its own repeat is a call, and so is what nobody has said before.
    for arguments in [built("again"), json!({"text": "failed", "mark": "other"})] {
        let answer = call(&mut bob, "echo", &arguments);
        let answer = bob.response(answer);
        assert_eq!(answer["result"].get("_meta"), None, "{answer}");
    }
    assert_eq!(home.count("record", "executed again"), 1);
    assert_eq!(home.count("record", "executed other"), 1);
}

#[test]
fn lines_for_a_device_go_on_after_an_upgrade() {
    let home = home("serialize = \"speakers\"");
    let (mut alice, mut bob) = (home.configured("voice"), home.configured("voice"));
    let go = home.file("go");
    let first = alice.begin("slow", json!({"until": go, "mark": "first"}));
    home.noted("record", "executed first");
    let second = bob.begin("echo", json!({"text": "second", "mark": "second"}));
    until("both calls being here", || {
        let status = home.status();
        let sessions = status["sessions"].as_array().unwrap();
        sessions.iter().all(|session| session["in_flight"] == 1)
    });
    home.done(&["upgrade"]);
    assert_eq!(home.upstream()["in_flight"], 1, "one is at the server");
    fs::write(&go, "").unwrap();
    assert!(alice.response(first).get("result").is_some());
    assert!(bob.response(second).get("result").is_some());
    assert_eq!(home.count("record", "executed second"), 1);
}

#[test]
fn what_sessions_repeat_is_carried_out_each_time_unless_it_is_configured_otherwise() {
    let home = home("");
    let (mut alice, mut bob) = (home.configured("voice"), home.configured("voice"));
    for mark in ["alice", "bob", "again"] {
        let client = if mark == "bob" { &mut bob } else { &mut alice };
        let id = call(client, "echo", &json!({"text": "built", "mark": mark}));
        let answer = client.response(id);
        assert_eq!(answer["result"].get("_meta"), None, "{answer}");
        assert_eq!(home.count("record", &format!("executed {mark}")), 1);
    }
}
