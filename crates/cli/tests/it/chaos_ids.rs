//! Ids and tokens that collide, answers that come late, doubled, or under somebody else's id.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::support::{Client, Home, until};

/// Spellings that a careless reader takes for each other, or spoils.
const SPELLINGS: [&str; 17] = [
    "1",
    "\"1\"",
    "1.0",
    "1e0",
    "0",
    "-0",
    "-0.0",
    "1e2",
    "100",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551616",
    "1e400",
    "\"\\u0031\"",
    "\"\"",
    "\"é\\u0000\"",
];

/// The text behind `"NAME":`, without being read as a value.
fn raw_member<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    let mut is_quoted = false;
    let mut is_escaped = false;
    let end = rest.find(|letter| {
        let ends = !is_quoted && matches!(letter, ',' | '}');
        is_quoted ^= letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        ends
    });
    &rest[..end.unwrap()]
}

fn call_under(client: &mut Client, id: &str, tool: &str, arguments: &Value) {
    let canary = client.canary_member();
    client.write(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{{canary}}},"name":"{tool}","arguments":{arguments}}}}}"#
    ));
}

#[test]
fn every_spelling_of_an_id_comes_back_as_it_was_while_all_others_are_in_flight() {
    let home = Home::new();
    let longest = format!("\"{}\"", "i".repeat(1024));
    let ids: Vec<&str> = SPELLINGS.into_iter().chain([longest.as_str()]).collect();
    let mut clients = [(); 3].map(|()| home.session(&[]));
    let go = home.file("go");
    for (number, client) in clients.iter_mut().enumerate() {
        for id in &ids {
            let text = format!("{number} {id}");
            call_under(client, id, "slow", &json!({"until": go, "text": text}));
        }
    }
    until("all calls being at the server", || {
        home.upstream()["in_flight"] == 3 * ids.len()
    });
    fs::write(go, "").unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answered = BTreeMap::new();
        for _ in &ids {
            let line = client.line().unwrap();
            let answer: Value = serde_json::from_str(&line.replace("1e400", "0")).unwrap();
            let text = answer["result"]["content"][0]["text"].clone();
            answered.insert(raw_member(&line, "id").to_owned(), text);
        }
        for id in &ids {
            // Also the text comes back as it was, which names the id; but for what this test cannot read.
            let text = format!("{number} {id}").replace("1e400", "0");
            assert_eq!(answered[*id], text, "{id}");
        }
        client.hears_nothing();
    }
}

#[test]
fn every_spelling_of_a_token_comes_back_as_it_was() {
    let home = Home::new();
    let mut clients = [(); 2].map(|()| home.session(&[]));
    for token in SPELLINGS {
        for client in &mut clients {
            let (id, canary) = (client.next_id(), client.canary_member());
            client.write(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"progress","arguments":{{"steps":1}},"_meta":{{"progressToken":{token},{canary}}}}}}}"#
            ));
        }
        for client in &mut clients {
            let progress = client.line().unwrap();
            assert!(progress.contains("notifications/progress"), "{progress}");
            assert_eq!(raw_member(&progress, "progressToken"), token);
            assert!(client.line().unwrap().contains("\"result\""));
        }
    }
}

#[test]
fn what_is_no_id_is_refused_and_the_session_goes_on() {
    let home = Home::new();
    let too_long = format!("\"{}\"", "i".repeat(1025));
    let record = home.file("record");
    // One process serves both: what it was sent stands in its record.
    let options = ["--record", &record];
    let (mut client, mut other) = (home.session(&options), home.session(&options));
    for id in ["null", "{}", "{\"id\":1}", "[]", "[1]", "true", &too_long] {
        call_under(&mut client, id, "echo", &json!({"text": "never"}));
        let answer = client.wait_for(|message| message.get("error").is_some());
        assert_eq!(answer["error"]["code"], -32600, "{id}: {answer}");
        assert!(answer["id"].is_null(), "{id}: {answer}");
    }
    client.hears_nothing();
    other.hears_nothing();
    assert_eq!(home.count("record", "received tools/call"), 0);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    assert_eq!(home.count("record", "received tools/call"), 1);
}

#[test]
fn the_second_request_under_an_open_id_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let record = home.file("record");
    let (mut alice, mut bob) = (
        home.session(&["--record", &record]),
        home.session(&["--record", &record]),
    );
    let go = home.file("go");
    let slow = |text: &str| json!({"until": go, "text": text, "mark": text});
    call_under(&mut alice, "7", "slow", &slow("first"));
    // Of another session it is another request.
    call_under(&mut bob, "7", "slow", &slow("other"));
    call_under(&mut alice, "7", "slow", &slow("second"));
    let refused = alice.wait_for(|message| message.get("error").is_some());
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert_eq!(refused["error"]["data"]["reason"], "id-in-use");
    assert_eq!(refused["id"], 7);
    until("both calls", || home.count("record", "executed") == 2);
    fs::write(&go, "").unwrap();
    for (client, text) in [(&mut alice, "first"), (&mut bob, "other")] {
        let answer = client.response(7);
        assert_eq!(answer["result"]["content"][0]["text"], text);
        client.hears_nothing();
    }
    assert_eq!(home.count("record", "executed second"), 0);
    // Now that it is answered, the id may be used again.
    call_under(&mut alice, "7", "slow", &slow("third"));
    let answer = alice.response(7);
    assert_eq!(answer["result"]["content"][0]["text"], "third");
}

#[test]
fn a_late_answer_to_a_cancelled_request_reaches_nobody_and_no_later_request() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record];
    let (mut alice, mut bob) = (home.session(&options), home.session(&options));
    let go = home.file("go");
    for client in [&mut alice, &mut bob] {
        call_under(
            client,
            "1",
            "late-reply",
            &json!({"until": go, "text": "late"}),
        );
    }
    until("both calls", || {
        home.count("record", "call late-reply") == 2
    });
    alice.notify("notifications/cancelled", &json!({"requestId": 1}));
    home.noted("record", "cancelled");
    // The same id again, while the answer to its last use is still to come.
    call_under(
        &mut alice,
        "1",
        "slow",
        &json!({"until": go, "text": "new"}),
    );
    home.noted("record", "call slow");
    fs::write(&go, "").unwrap();
    let answer = alice.response(1);
    assert_eq!(answer["result"]["content"][0]["text"], "new");
    let answer = bob.response(1);
    assert_eq!(answer["result"]["content"][0]["text"], "late");
    until("the late answer being dropped", || {
        home.upstream()["dropped"]["unknown-response"] == 1
    });
    alice.hears_nothing();
    bob.hears_nothing();
}

#[test]
fn progress_after_the_answer_reaches_nobody_though_the_token_is_in_use_again() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record];
    let (mut alice, mut bob) = (home.session(&options), home.session(&options));
    let (go, end) = (home.file("go"), home.file("end"));
    let meta = json!({"progressToken": "token"});
    let call = alice.ask(
        "tools/call",
        json!({"name": "late-progress", "arguments": {"until": go}, "_meta": meta}),
    );
    assert!(alice.response(call)["result"].is_object());
    let open: Vec<u64> = [&mut alice, &mut bob]
        .into_iter()
        .map(|client| {
            let arguments = json!({"until": end});
            client.ask(
                "tools/call",
                json!({"name": "late-reply", "arguments": arguments, "_meta": meta}),
            )
        })
        .collect();
    until("both calls", || {
        home.count("record", "call late-reply") == 2
    });
    fs::write(&go, "").unwrap();
    home.noted("record", "progress is late");
    for client in [&mut alice, &mut bob] {
        client.hears_nothing();
    }
    assert_eq!(home.upstream()["dropped"], json!({"unknown-progress": 1}));
    fs::write(&end, "").unwrap();
    for (client, call) in [&mut alice, &mut bob].into_iter().zip(open) {
        assert!(client.response(call)["result"].is_object());
    }
}

#[test]
fn answers_under_ids_that_are_not_theirs_reach_nobody() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let go = home.file("go");
    let waiting = bob.begin("slow", json!({"until": go, "text": "bob's own"}));
    until("bob's call", || home.upstream()["in_flight"] == 1);
    let mut wrong = 0;
    for id in [
        "-1",
        "0",
        "987654321",
        "18446744073709551615",
        "1.5",
        "\"x\"",
        "\"1\"",
        "null",
    ] {
        let id: Value = serde_json::from_str(id).unwrap();
        let given = json!({"id": id, "corrects": true, "text": "right"});
        assert_eq!(alice.text("wrong-id", given), "right", "{id}");
        wrong += 1;
    }
    for _ in 0..3 {
        let given = json!({"corrects": true, "text": "right"});
        assert_eq!(alice.text("id-type-swap", given), "right");
        wrong += 1;
    }
    bob.hears_nothing();
    alice.hears_nothing();
    let dropped = &home.upstream()["dropped"];
    assert_eq!(*dropped, json!({"unknown-response": wrong}));
    fs::write(go, "").unwrap();
    let answer = bob.response(waiting);
    assert_eq!(answer["result"]["content"][0]["text"], "bob's own");
}

/// Answers to `ID` that nobody can use, though it is plain whose they are.
const USELESS: [&str; 10] = [
    r#"{"jsonrpc":"2.0","id":ID,"result":{"mean":NaN}}"#,
    r#"{"jsonrpc":"2.0","id":ID,"result":{"content":["#,
    r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[]}"#,
    r#"{"jsonrpc":"2.0","id":ID,"result":{"content":[]}}}"#,
    r#"{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":"both"}}"#,
    r#"{"jsonrpc":"1.0","id":ID,"result":{}}"#,
    r#"{"id":ID,"result":{}}"#,
    r#"{"jsonrpc":"2.0","id":ID,"result":{},"result":{}}"#,
    r#"{"jsonrpc":"2.0","id":ID,"id":ID,"result":{}}"#,
    r#"{"jsonrpc":"2.0","id":"stray","id":ID,"result":{}}"#,
];

#[test]
fn an_answer_that_nobody_can_use_is_an_error_to_its_request_alone() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let go = home.file("go");
    let waiting = bob.begin("slow", json!({"until": go, "text": "bob's own"}));
    until("bob's call", || home.upstream()["in_flight"] == 1);
    for useless in USELESS {
        let error = alice.call("giant-line", json!({"head": useless}))["error"].clone();
        let data = &error["data"];
        assert_eq!(data["reason"], "answer-malformed", "{useless}: {error}");
        assert_eq!(data["maybeExecuted"], true);
    }
    for key in ["jsonrpc", "result"] {
        let error = alice.call("dup-key", json!({"key": key}))["error"].clone();
        assert_eq!(
            error["data"]["reason"], "answer-malformed",
            "{key}: {error}"
        );
    }
    let error = alice.call("deep", json!({"depth": 1_000_000}))["error"].clone();
    assert_eq!(error["data"]["reason"], "answer-malformed", "{error}");
    alice.hears_nothing();
    bob.hears_nothing();
    let upstream = home.upstream();
    assert_eq!(upstream["faults"], USELESS.len() + 3);
    fs::write(go, "").unwrap();
    let answer = bob.response(waiting);
    assert_eq!(answer["result"]["content"][0]["text"], "bob's own");
}
