//! Servers that run already and have too much to do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{error, home_for, home_with};
use crate::support::{
    Client, Home,
    remote::{Manners, Mood, Remote, Speaks},
    remote_socket::RemoteSocket,
    until,
};

const LATER: &str = "429 Too Many Requests\r\nRetry-After: 1\r\n";
const UNAVAILABLE: &str = "503 Service Unavailable\r\nRetry-After: 1\r\n";
/// One second by the server's own clock.
const BY_DATE: &str = "503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:36 GMT\r\n\
                       Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
const SECOND: Duration = Duration::from_secs(1);

fn remote() -> Remote {
    Remote::start(Manners::default())
}

/// A client that is asked something because of a call, the call and what it is asked.
fn asked(home: &Home) -> (Client, u64, Value) {
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
    client.initialize_with(&json!({"elicitation": {}}));
    let call = client.begin("ask", json!({}));
    let asked = client.wait_for(|it| it["method"] == "elicitation/create");
    (client, call, asked)
}

#[test]
fn a_call_that_comes_too_soon_is_made_when_the_server_says() {
    let remote = remote();
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    remote.refuses("tools/call", LATER);
    let began = Instant::now();
    let first = client.begin("echo", json!({"text": "2"}));
    remote.has_refused(1, &home);
    // It knows already that it is too soon.
    assert_eq!(client.text("echo", json!({"text": "3"})), "3");
    assert!(began.elapsed() >= SECOND);
    assert!(client.response(first)["result"].is_object());
    assert_eq!(remote.count("tools/call"), 4);
}

#[test]
fn a_call_that_is_held_is_not_made_when_nobody_waits_for_it_any_more() {
    let remote = remote();
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    remote.refuses("tools/call", "429 Too Many Requests\r\nRetry-After: 10\r\n");
    let held = client.begin("echo", json!({"text": "2"}));
    remote.has_refused(1, &home);
    client.notify("notifications/cancelled", &json!({"requestId": held}));
    assert_eq!(client.text("echo", json!({"text": "3"})), "3");
    remote.has_seen("notifications/cancelled", 1);
    assert_eq!(remote.count("tools/call"), 3);
}

#[test]
fn what_only_reads_is_asked_again_of_a_server_that_was_not_available() {
    for head in [UNAVAILABLE, BY_DATE] {
        let remote = remote();
        let home = home_for(&remote);
        let mut client = home.configured("there");
        assert_eq!(client.text("echo", json!({"text": "1"})), "1");
        remote.refuses("tools/list", head);
        let began = Instant::now();
        let asked = client.request("tools/list", json!({"cursor": "later"}));
        assert!(asked["result"].is_object(), "{asked}");
        assert!(began.elapsed() >= SECOND);
        assert_eq!(remote.count("tools/list"), 2);
    }
}

#[test]
fn a_call_that_a_server_may_have_seen_is_not_made_again() {
    let remote = remote();
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    remote.refuses("tools/call", UNAVAILABLE);
    let answer = client.call("echo", json!({"text": "2"}));
    let (reason, words) = error(&answer);
    assert_eq!(reason, "upstream-refused", "{answer}");
    assert!(words.contains("503") && words.contains(" 1 s;"), "{words}");
    let data = &answer["error"]["data"];
    assert_eq!(
        (&data["maybeExecuted"], &data["retryAfterMs"]),
        (&json!(true), &json!(1000)),
        "{answer}"
    );
    assert_eq!(remote.count("tools/call"), 2);
    // What comes then waits as long.
    assert_eq!(client.text("echo", json!({"text": "3"})), "3");
    assert_eq!(remote.count("tools/call"), 3);
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_long_is_an_error_at_once() {
    let remote = remote();
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    let head = "429 Too Many Requests\r\nRetry-After: 86400\r\n";
    remote.refuses("tools/call", head);
    let refused = |answer: &Value| {
        let (reason, words) = error(answer);
        assert_eq!(reason, "upstream-refused", "{answer}");
        assert!(words.contains("left alone for"), "{words}");
        assert_eq!(answer["error"]["data"]["maybeExecuted"], false, "{answer}");
        let wait = answer["error"]["data"]["retryAfterMs"].as_u64().unwrap();
        (wait, words)
    };
    let (wait, words) = refused(&client.call("echo", json!({"text": "2"})));
    assert_eq!(wait, 86_400_000);
    assert!(words.contains("86400 s"), "{words}");
    // It is left alone.
    let (wait, _) = refused(&client.call("echo", json!({"text": "3"})));
    assert!((200_000..=300_000).contains(&wait), "{wait}");
    assert_eq!(remote.count("tools/call"), 2);
    assert_eq!(client.close().code(), Some(0));
    remote.has_seen("DELETE", 1);
}

#[test]
fn a_session_begins_when_the_server_has_time_for_it() {
    for (speaks, first) in [
        (Speaks::Legacy, "initialize"),
        (Speaks::Modern, "server/discover"),
    ] {
        for head in [LATER, UNAVAILABLE] {
            let remote = Remote::start(Manners {
                speaks,
                ..Manners::default()
            });
            remote.refuses(first, head);
            let home = home_for(&remote);
            let mut client = home.configured("there");
            assert_eq!(client.text("echo", json!({"text": "1"})), "1");
            assert_eq!(home.upstream()["deaths"], 0, "{first} {head}");
        }
    }
}

#[test]
fn a_server_that_has_no_time_for_long_is_an_error_to_the_session_that_begins() {
    let remote = remote();
    let head = "503 Service Unavailable\r\nRetry-After: 86400\r\n";
    remote.refuses("initialize", head);
    let home = home_with(&remote.url(), "era = 'legacy'");
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
    let answer = client.greet(&json!({}));
    let (reason, words) = error(&answer);
    assert_eq!(reason, "start-failed", "{answer}");
    assert!(words.contains("86400 s"), "{words}");
}

#[test]
fn what_wants_no_answer_is_posted_again() {
    let remote = remote();
    remote.refuses("notifications/initialized", LATER);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    remote.has_seen("notifications/initialized", 2);
    assert_eq!(remote.count("notifications/initialized"), 2);
}

#[test]
fn a_websocket_is_opened_when_the_server_has_time_for_it() {
    let remote = RemoteSocket::start(true);
    remote.refuses_once(503, "1");
    let home = home_with(&format!("ws://{}/ws", remote.address()), "");
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    assert_eq!(remote.asked().len(), 2);
    assert_eq!(home.upstream()["deaths"], 0);
}

#[test]
fn whoever_listens_comes_back_when_the_server_says() {
    for (speaks, listens) in [
        (Speaks::Legacy, "GET"),
        (Speaks::Modern, "subscriptions/listen"),
    ] {
        let remote = Remote::start(Manners {
            speaks,
            speaks_up: true,
            ..Manners::default()
        });
        // Unasked they come back after one second.
        remote.refuses(listens, "429 Too Many Requests\r\nRetry-After: 2\r\n");
        let home = home_for(&remote);
        let began = Instant::now();
        let mut client = home.configured("there");
        assert_eq!(client.text("echo", json!({"text": "1"})), "1");
        remote.is_listened_to_by(1);
        assert!(began.elapsed() >= 2 * SECOND);
        assert_eq!(remote.count(listens), 2);
        remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    }
}

#[test]
fn what_a_server_has_said_in_one_session_counts_for_the_next() {
    let remote = remote();
    let home = home_for(&remote);
    let mut first = home.configured("there");
    assert_eq!(first.text("echo", json!({"text": "1"})), "1");
    let greetings = remote.count("initialize");
    remote.refuses("tools/call", "429 Too Many Requests\r\nRetry-After: 3\r\n");
    let began = Instant::now();
    let held = first.begin("echo", json!({"text": "2"}));
    remote.has_refused(1, &home);
    let mut second = home.configured("there");
    assert_eq!(second.text("echo", json!({"text": "3"})), "3");
    assert!(began.elapsed() >= 3 * SECOND);
    assert_eq!(remote.count("initialize"), greetings + 1);
    assert!(first.response(held)["result"].is_object());
}

#[test]
fn a_stream_of_the_servers_own_is_not_asked_for_while_the_server_wants_to_be_left_alone() {
    let remote = Remote::start(Manners {
        speaks_up: true,
        ..Manners::default()
    });
    // Unasked they come back after 1, 1, 2 and 4 seconds.
    remote.receives(&[Mood::Cut; 5]);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "1"})), "1");
    remote.refuses("tools/call", "429 Too Many Requests\r\nRetry-After: 4\r\n");
    let held = client.begin("echo", json!({"text": "2"}));
    remote.has_refused(1, &home);
    let listened = remote.count("GET");
    assert!(client.response(held)["result"].is_object());
    let seen = remote.seen();
    let made = seen.iter().rposition(|it| it.says() == "tools/call");
    let before = seen[..made.unwrap()].iter();
    // One may have been under way, and one may come as soon as it may.
    assert!(before.filter(|it| it.method == "GET").count() <= listened + 2);
}

#[test]
fn an_answer_to_what_a_server_has_asked_is_kept_while_the_server_has_no_time_for_it() {
    let remote = remote();
    let home = home_for(&remote);
    let (mut client, call, asked) = asked(&home);
    let refused = 7;
    for _ in 0..refused {
        remote.refuses("", "429 Too Many Requests\r\nRetry-After: 0\r\n");
    }
    let began = Instant::now();
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": "ada"}}}));
    let posted = || {
        let seen = remote.seen();
        let is_answer = |id: &Value| id.as_str().is_some_and(|id| id.starts_with("ask-"));
        seen.iter().filter(|it| is_answer(&it.body["id"])).count()
    };
    until("an answer that is taken in", || posted() == refused + 1);
    // 100 ms, and then each pause is twice as long as the one before.
    assert!(began.elapsed() >= 3 * SECOND);
    assert!(client.response(call)["result"].is_object());
    assert_eq!(home.upstream()["deaths"], 0);
}

#[test]
fn a_conversation_ends_when_nobody_knows_whether_the_server_has_the_answer_that_it_waits_for() {
    let remote = remote();
    let home = home_for(&remote);
    let (mut client, call, asked) = asked(&home);
    remote.refuses("", "");
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}}));
    let (_, words) = error(&client.response(call));
    assert!(words.contains("was disconnected"), "{words}");
    assert_eq!(home.upstream()["deaths"], 1);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    assert_eq!(remote.count("tools/call"), 2);
}
