//! What a session is: a server of one's own, as far as one can tell.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{FAKE_SERVER, Home, eventually, hello, until};

#[test]
fn a_command_is_served_without_any_configuration() {
    let home = Home::new();
    let mut client = home.open(&[]);
    let greeting = client.initialize();
    assert_eq!(greeting["serverInfo"]["name"], "fake-server");
    assert_eq!(greeting["protocolVersion"], "2025-11-25");
    assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
    assert!(client.close().success());
}

#[test]
fn a_configured_server_is_served_by_its_name() {
    let home = Home::new();
    home.done(&["add", "fake", "--", FAKE_SERVER, "--marked"]);
    let mut client = home.configured("fake");
    assert_eq!(client.surroundings()["args"], json!(["--marked"]));
}

#[test]
fn eight_sessions_share_one_process_and_each_gets_its_own_answers() {
    let home = Home::new();
    let mut clients: Vec<_> = (0..8)
        .map(|_| home.open(&["--fatal-second-initialize"]))
        .collect();
    for client in &mut clients {
        client.initialize();
    }
    let ids: Vec<u64> = clients
        .iter_mut()
        .enumerate()
        .map(|(number, client)| client.begin("echo", json!({"text": format!("mine is {number}")})))
        .collect();
    let mut pids = BTreeSet::new();
    for (number, (client, id)) in clients.iter_mut().zip(ids).enumerate() {
        let answer = client.response(id);
        let result = &answer["result"];
        assert_eq!(result["content"][0]["text"], format!("mine is {number}"));
        pids.insert(result["structuredContent"]["pid"].as_u64());
    }
    assert_eq!(pids.len(), 1, "{pids:?}");
    let status = home.status();
    assert_eq!(status["upstreams"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["upstreams"][0]["sessions"], 8);
    assert_eq!(status["sessions"].as_array().unwrap().len(), 8);
}

#[test]
fn a_server_is_greeted_once_however_many_sessions_come_and_go() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record, "--fatal-second-initialize"];
    let mut first = home.session(&options);
    let pid = first.server_pid();
    for _ in 0..3 {
        let mut next = home.session(&options);
        assert_eq!(next.server_pid(), pid);
        assert!(next.close().success());
    }
    let count = |what: &str| {
        let lines = home.lines("record");
        lines.iter().filter(|line| line.starts_with(what)).count()
    };
    assert_eq!(count("received initialize "), 1);
    assert_eq!(count("received notifications/initialized "), 1);
    assert_eq!(count("started "), 1);
}

#[test]
fn ids_come_back_as_they_were_sent() {
    let home = Home::new();
    let mut client = home.session(&[]);
    for id in [r#""1""#, "1", r#""ü\u0001""#, "-7", "9007199254740991"] {
        let canary = client.canary_member();
        client.write(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{{canary}}},"name":"echo"}}}}"#
        ));
        let line = client.line().unwrap();
        let wanted = format!(r#""id":{id}"#);
        assert!(line.contains(&wanted), "{wanted} is not in {line}");
    }
}

#[test]
fn each_session_is_answered_in_the_version_that_it_asked_for() {
    let home = Home::new();
    let mut newest = home.session(&[]);
    for version in ["2024-11-05", "2025-03-26", "2025-06-18"] {
        let mut client = home.open(&[]);
        let answer = client.request("initialize", hello(version, &json!({})));
        assert_eq!(answer["result"]["protocolVersion"], version);
        client.notify("notifications/initialized", &json!({}));
        assert_eq!(client.server_pid(), newest.server_pid());
    }
}

#[test]
fn no_session_is_answered_in_a_newer_version_than_that_of_its_server() {
    const OLD: &str = "2025-03-26";
    let home = Home::new();
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        (OLD, OLD),
        ("2025-06-18", OLD),
        ("2025-11-25", OLD),
    ] {
        let mut client = home.open(&["--protocol", OLD]);
        let answer = client.request("initialize", hello(asked, &json!({})));
        assert_eq!(answer["result"]["protocolVersion"], answered, "{asked}");
        client.notify("notifications/initialized", &json!({}));
        assert_eq!(client.text("echo", json!({"text": asked})), asked);
    }
}

#[test]
fn a_client_may_talk_before_it_is_answered() {
    let home = Home::new();
    let mut client = home.open(&[]);
    let greeting = client.ask("initialize", hello("2025-11-25", &json!({})));
    client.notify("notifications/initialized", &json!({}));
    let tools = client.ask("tools/list", json!({}));
    let call = client.begin("echo", json!({"text": "early"}));
    assert!(client.response(greeting).get("result").is_some());
    assert!(client.response(tools)["result"]["tools"].is_array());
    assert_eq!(
        client.response(call)["result"]["content"][0]["text"],
        "early"
    );
}

#[test]
fn progress_and_log_messages_reach_only_their_own_session() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let params = json!({
        "name": "progress",
        "arguments": {"steps": 2},
        "_meta": {"progressToken": "alice's"},
    });
    let call = alice.ask("tools/call", params);
    for step in 1..=2 {
        let progress = alice.wait_for(|message| message["method"] == "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], "alice's");
        assert_eq!(progress["params"]["progress"], step);
    }
    alice.response(call);
    alice.text("log", json!({"text": "alice's"}));
    let message = alice.wait_for(|message| message["method"] == "notifications/message");
    assert_eq!(message["params"]["data"], "alice's");
    alice.hears_nothing();
    bob.hears_nothing();
}

#[test]
fn a_question_of_the_server_goes_to_the_session_whose_call_asks_it() {
    let home = Home::new();
    let able = json!({"sampling": {}});
    let (mut alice, mut bob) = (home.open(&[]), home.open(&[]));
    alice.initialize_with(&able);
    bob.initialize_with(&able);
    let call = bob.begin("sample", json!({"text": "whose?"}));
    let question = bob.wait_for(|message| message["method"] == "sampling/createMessage");
    assert_eq!(
        question["params"]["messages"][0]["content"]["text"],
        "whose?"
    );
    let answer =
        json!({"role": "assistant", "content": {"type": "text", "text": "bob's"}, "model": "m"});
    bob.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}));
    let result = bob.response(call);
    let text = result["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("bob's"), "{text}");
    alice.hears_nothing();
}

#[test]
fn a_change_of_the_list_is_told_to_all_sessions() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    alice.text("change", json!({}));
    for client in [&mut alice, &mut bob] {
        client.wait_for(|message| message["method"] == "notifications/tools/list_changed");
    }
}

#[test]
fn a_cancellation_reaches_the_server_exactly_once() {
    let home = Home::new();
    let record = home.file("record");
    let mut client = home.session(&["--record", &record]);
    let id = client.begin("slow", json!({"until": home.file("never")}));
    until("the call", || {
        home.lines("record")
            .iter()
            .any(|line| line.starts_with("call slow"))
    });
    for _ in 0..2 {
        client.notify("notifications/cancelled", &json!({"requestId": id}));
    }
    // What comes after the cancellations is seen after them.
    client.text("echo", json!({}));
    let lines = home.lines("record");
    let cancelled = lines
        .iter()
        .filter(|line| line.starts_with("cancelled"))
        .count();
    assert_eq!(cancelled, 1, "{lines:?}");
    let call = lines
        .iter()
        .find_map(|line| line.strip_prefix("call slow "))
        .unwrap();
    assert!(lines.contains(&format!("cancelled {call}")), "{lines:?}");
}

#[test]
fn a_subscription_is_one_upstream_and_only_subscribers_hear_of_it() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record];
    let mut clients = [(); 3].map(|()| home.session(&options));
    let [alice, bob, carol] = &mut clients;
    let uri = json!({"uri": "fake://counter"});
    for client in [&mut *alice, &mut *bob] {
        let answer = client.request("resources/subscribe", uri.clone());
        assert!(answer.get("result").is_some(), "{answer}");
    }
    carol.text("touch", uri.clone());
    for client in [&mut *alice, &mut *bob] {
        let update =
            client.wait_for(|message| message["method"] == "notifications/resources/updated");
        assert_eq!(update["params"], uri);
    }
    // What came to her before the answer to her own call counts, too.
    carol.hears_nothing();
    for client in [&mut *alice, &mut *bob] {
        client.request("resources/unsubscribe", uri.clone());
    }
    let count = |what: &str| {
        let lines = home.lines("record");
        lines.iter().filter(|line| line.contains(what)).count()
    };
    until("the last to unsubscribe", || {
        count("resources/unsubscribe") > 0
    });
    carol.text("echo", json!({}));
    assert_eq!(count("resources/subscribe"), 1);
    assert_eq!(count("resources/unsubscribe"), 1);
}

#[test]
fn log_messages_go_to_the_session_that_calls() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    for client in [&mut alice, &mut bob] {
        client.request("logging/setLevel", json!({"level": "debug"}));
    }
    alice.text("log", json!({"text": "of alice"}));
    let message = alice.wait_for(|message| message["method"] == "notifications/message");
    assert_eq!(message["params"]["data"], "of alice");
    bob.hears_nothing();
}

#[test]
fn answers_to_nobody_go_nowhere() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    assert_eq!(alice.text("madeup", json!({"text": "mine"})), "mine");
    assert_eq!(alice.text("twice", json!({})), "the first answer");
    until("both of these answers being dropped", || {
        home.upstream()["dropped"]["unknown-response"] == 2
    });
    for client in [&mut alice, &mut bob] {
        client.hears_nothing();
    }
}

#[test]
fn a_server_that_declares_tasks_is_not_shared_and_status_says_why() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&["--tasks"]), home.session(&["--tasks"]));
    assert_ne!(alice.server_pid(), bob.server_pid());
    let status = home.status();
    let upstreams = status["upstreams"].as_array().unwrap();
    assert!(
        upstreams
            .iter()
            .all(|upstream| upstream["private"].is_string()),
        "{status}"
    );
}

#[test]
fn noise_on_stdout_is_passed_over_and_logged() {
    let home = Home::new();
    let mut client = home.session(&["--banner", "Welcome!", "--noise", "still here"]);
    assert_eq!(client.text("echo", json!({"text": "clear"})), "clear");
    let log = eventually("the noise in the log", || {
        let ran = home.run(&["logs", "fake-server"]);
        (ran.stdout.contains("Welcome!") && ran.stdout.contains("still here")).then_some(ran.stdout)
    });
    assert!(!log.contains("jsonrpc"), "{log}");
    assert!(home.upstream()["faults"].as_u64().unwrap() >= 2);
}

#[test]
fn a_long_answer_and_a_flood_on_stderr_arrive_whole_and_stop_nobody() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let bytes = 5_000_000;
    assert_eq!(client.text("big", json!({"bytes": bytes})).len(), bytes);
    client.text("stderr-flood", json!({"bytes": bytes}));
    assert_eq!(client.text("echo", json!({"text": "after"})), "after");
}
