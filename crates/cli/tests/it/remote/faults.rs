//! What goes wrong with servers that run already, and what becomes of it.

use std::fs;

use serde_json::json;

use super::{error, home_for, home_with, session_of};
use crate::support::{
    Client, Home, eventually, free_address,
    remote::{Manners, Mood, Remote, Speaks},
    remote_socket::RemoteSocket,
    until,
};

#[test]
fn a_stream_that_breaks_off_is_resumed_where_it_was() {
    let remote = Remote::start(Manners::default());
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("resume", json!({})), "resumed");
    let seen = remote.seen();
    let resumed = seen
        .iter()
        .find(|seen| seen.header("last-event-id").is_some())
        .unwrap();
    assert_eq!(resumed.header("last-event-id"), Some("e1"));
    assert_eq!(remote.count("tools/call"), 1);
}

#[test]
fn a_call_whose_connection_breaks_is_not_sent_again_and_the_session_goes_on() {
    let remote = Remote::start(Manners::default());
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let answer = client.call("cut", json!({}));
    assert_eq!(error(&answer).0, "upstream-refused", "{answer}");
    assert_eq!(answer["error"]["data"]["maybeExecuted"], true);
    let answer = client.call("fail", json!({}));
    let (reason, words) = error(&answer);
    assert_eq!(reason, "upstream-refused");
    assert!(
        words.contains("502 Bad Gateway") && words.contains("`there`"),
        "{words}"
    );
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    assert_eq!(
        (remote.count("tools/call"), remote.count("initialize")),
        (3, 1)
    );
}

#[test]
fn whatever_a_server_does_with_a_call_there_is_an_answer_in_time() {
    let remote = Remote::start(Manners::default());
    let home = home_with(&remote.url(), "request_timeout = '2s'");
    let mut client = home.configured("there");
    // A machine that lets nobody run for so long has no answer in time either.
    let in_time = |client: &mut Client, tool: &str, text: &str| {
        let answer = eventually("an answer in time", || {
            let answer = client.call(tool, json!({"text": text}));
            (error(&answer).0 != "took-too-long").then_some(answer)
        });
        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
    };
    in_time(&mut client, "drip", "slowly");
    for (tool, reason) in [
        ("reset", "upstream-refused"),
        ("silent", "took-too-long"),
        ("endless", "took-too-long"),
    ] {
        let answer = client.call(tool, json!({}));
        assert_eq!(error(&answer).0, reason, "{tool}: {answer}");
        assert_eq!(answer["error"]["data"]["maybeExecuted"], true, "{answer}");
        in_time(&mut client, "echo", tool);
    }
    remote.has_seen("notifications/cancelled", 2);
    assert_eq!(remote.count("initialize"), 1);
}

#[test]
fn a_session_that_the_server_has_forgotten_is_begun_anew() {
    for says_400 in [false, true] {
        let remote = Remote::start(Manners {
            says_400,
            speaks_up: true,
            ..Manners::default()
        });
        let home = home_for(&remote);
        let mut client = home.configured("there");
        client.text("echo", json!({"text": "1"}));
        // Who comes to listen only now would hear that the session is unknown before the call does.
        remote.is_listened_to_by(1);
        remote.forget();
        // It was told so before anything was done.
        assert_eq!(client.text("echo", json!({"text": "2"})), "2");
        assert_eq!(remote.count("initialize"), 2);
        let calls = session_of(&remote.seen(), "tools/call");
        let session = |number: usize| Some(format!("session-{number}"));
        assert_eq!(calls, [session(1), session(1), session(2)]);
        client.close();
        remote.has_seen("DELETE", 1);
        assert_eq!(session_of(&remote.seen(), "").last(), Some(&session(2)));
    }
}

#[test]
fn a_server_that_forgets_again_and_again_is_an_error_after_three_times() {
    let remote = Remote::start(Manners {
        forgets: true,
        ..Manners::default()
    });
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let answer = client.call("echo", json!({"text": "x"}));
    assert_eq!(error(&answer).0, "still-failing", "{answer}");
    assert_eq!(remote.count("initialize"), 4);
    assert_eq!(remote.count("DELETE"), 0);
}

#[test]
fn a_server_that_is_killed_answers_what_is_open_by_the_rules() {
    let manners = Manners {
        speaks_up: true,
        ..Manners::default()
    };
    let remote = Remote::start(manners.clone());
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let open = client.begin("hang", json!({}));
    remote.has_seen("tools/call", 1);
    remote.kill();
    let answer = client.response(open);
    assert_eq!(error(&answer).0, "upstream-exited", "{answer}");
    assert_eq!(answer["error"]["data"]["maybeExecuted"], true);
    let again = Remote::at(remote.address(), manners);
    assert_eq!(client.text("echo", json!({"text": "back"})), "back");
    assert_eq!(
        (again.count("tools/call"), again.count("initialize")),
        (1, 1)
    );
}

#[test]
fn who_breaks_off_whenever_it_is_listened_to_is_there_all_the_same() {
    for (speaks, greeting, listening) in [
        (Speaks::Legacy, "initialize", "GET"),
        (Speaks::Modern, "server/discover", "subscriptions/listen"),
    ] {
        let remote = Remote::start(Manners {
            speaks_up: true,
            speaks,
            ..Manners::default()
        });
        let home = home_for(&remote);
        let mut client = home.configured("there");
        remote.is_listened_to_by(1);
        remote.receives(&[Mood::Cut; 4]);
        remote.cut();
        remote.has_seen(listening, 6);
        remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
        assert_eq!(client.text("echo", json!({"text": "on"})), "on");
        assert_eq!(remote.count(greeting), 1, "{greeting}");
    }
}

#[test]
fn who_cannot_be_reached_or_does_not_let_us_in_is_named_with_what_to_do() {
    let free = free_address();
    let strict = Remote::start(Manners {
        wants: Some("Bearer right".to_owned()),
        ..Manners::default()
    });
    for (url, parts) in [
        (
            format!("http://{free}/mcp"),
            ["connection refused", "does it run there?"],
        ),
        (
            strict.url(),
            ["401 Unauthorized", "`headers` of `[servers.there]`"],
        ),
        (
            format!("https://{}/mcp", strict.address()),
            ["TLS", "https://"],
        ),
        (
            "/nowhere/server.sock".to_owned(),
            ["unix:/nowhere/server.sock", "does it run?"],
        ),
    ] {
        let home = home_with(&url, "");
        let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
        let answer = client.greet(&json!({}));
        let (reason, words) = error(&answer);
        assert_eq!(reason, "start-failed", "{answer}");
        assert!(words.contains("`there`"), "{words}");
        for part in parts {
            assert!(words.contains(part), "{words}");
        }
    }
    let home = home_with(
        &strict.url(),
        "headers = { Authorization = 'Bearer right' }",
    );
    assert_eq!(
        home.configured("there").text("echo", json!({"text": "in"})),
        "in"
    );
}

#[test]
fn nothing_follows_a_redirect_to_another_origin() {
    let other = Remote::start(Manners::default());
    let remote = Remote::start(Manners {
        leads_to: Some(other.url()),
        ..Manners::default()
    });
    let home = home_with(&remote.url(), "headers = { X-Key = 'secret-of-one' }");
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
    let (reason, words) = error(&client.greet(&json!({})));
    assert_eq!(reason, "start-failed");
    assert!(
        words.contains("another server") && words.contains(&other.url()),
        "{words}"
    );
    assert!(other.seen().is_empty());
    assert_eq!(remote.count("initialize"), 1);
}

#[test]
fn an_answer_that_is_too_long_is_an_error_to_its_request_alone() {
    for streams in [false, true] {
        let remote = Remote::start(Manners {
            streams,
            ..Manners::default()
        });
        let home = Home::new();
        home.configure(&format!(
            "[limits]\nmessage_bytes = 10000\n[servers.there]\nurl = '{}'\n",
            remote.url()
        ));
        let mut client = home.configured("there");
        let answer = client.call("long", json!({"bytes": 50_000}));
        assert_eq!(error(&answer).0, "answer-too-long", "{answer}");
        assert_eq!(client.text("echo", json!({"text": "on"})), "on");
        assert_eq!(remote.count("initialize"), 1);
    }
}

#[test]
fn a_web_socket_that_breaks_is_opened_anew_and_what_was_open_is_answered() {
    let remote = RemoteSocket::start(true);
    let home = home_with(&format!("ws://{}/", remote.address()), "");
    let mut client = home.configured("there");
    let open = client.begin("hang", json!({}));
    remote.cut_after("tools/call");
    let answer = client.response(open);
    assert_eq!(error(&answer).0, "upstream-exited", "{answer}");
    assert_eq!(answer["error"]["data"]["maybeExecuted"], true);
    assert_eq!(client.text("echo", json!({"text": "back"})), "back");
    assert_eq!(remote.count("initialize"), 2);
}

#[test]
fn calls_that_hear_together_that_the_session_is_unknown_all_go_again() {
    let remote = Remote::start(Manners {
        speaks_up: true,
        ..Manners::default()
    });
    let home = home_for(&remote);
    let mut client = home.configured("there");
    client.text("echo", json!({"text": "before"}));
    remote.is_listened_to_by(1);
    remote.forget();
    let calls: Vec<(u64, String)> = (0..8)
        .map(|number| {
            let text = format!("number {number}");
            (client.begin("echo", json!({"text": text})), text)
        })
        .collect();
    for (id, text) in calls {
        let answer = client.response(id);
        assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
    }
    assert_eq!(remote.count("initialize"), 2);
}

#[test]
fn what_a_server_was_told_is_in_no_error_and_no_file_though_it_quotes_it() {
    let remote = Remote::start(Manners {
        wants: Some("Bearer right".to_owned()),
        quotes: true,
        ..Manners::default()
    });
    let more = "headers = { Authorization = 'Bearer ${TOKEN}' }";
    let home = home_with(&remote.url(), more);
    let mut command = home.mcpool(&["connect", "there"]);
    let mut client = Client::spawn(command.env("TOKEN", "a-token-of-mine"));
    let (reason, words) = error(&client.greet(&json!({})));
    assert_eq!(reason, "start-failed");
    assert!(words.contains("*** is not good enough"), "{words}");
    assert!(!words.contains("a-token-of-mine"), "{words}");
    // Now and then it is tried again.
    until("a pause", || home.upstream()["state"] == "backoff");
    home.done(&["stop"]);
    let logs = home.pool().join("logs");
    for log in ["there.log", "daemon.log"] {
        let text = eventually("a log", || fs::read_to_string(logs.join(log)).ok());
        assert!(!text.contains("a-token-of-mine"), "{log}: {text}");
    }
}
