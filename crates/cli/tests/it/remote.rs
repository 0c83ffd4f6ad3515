//! Servers that run already, reached by URL.

use serde_json::{Value, json};

use crate::support::{
    Client, Home,
    remote::{Manners, Remote, Seen},
    remote_socket::RemoteSocket,
    until,
    web::Web,
};

mod busy;
mod faults;
mod modern;

/// A home in which the server is configured as `there`, with more lines.
fn home_with(url: &str, more: &str) -> Home {
    let home = Home::new();
    home.configure(&format!("[servers.there]\nurl = '{url}'\n{more}\n"));
    home
}

fn home_for(remote: &Remote) -> Home {
    home_with(&remote.url(), "")
}

/// What an error says, and its slug.
fn error(answer: &Value) -> (String, String) {
    let error = &answer["error"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (word(&error["data"]["reason"]), word(&error["message"]))
}

fn session_of(seen: &[Seen], says: &str) -> Vec<Option<String>> {
    let of_it = seen.iter().filter(|seen| seen.says() == says);
    of_it
        .map(|seen| seen.header("mcp-session-id").map(str::to_owned))
        .collect()
}

#[test]
fn a_server_by_url_is_listed_and_called_like_any_other() {
    for streams in [false, true] {
        let remote = Remote::start(Manners {
            streams,
            ..Manners::default()
        });
        let home = home_for(&remote);
        let mut client = home.configured("there");
        let tools = client.request("tools/list", json!({}));
        assert_eq!(tools["result"]["tools"][0]["name"], "echo", "{tools}");
        assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
        let long = "long ".repeat(400_000);
        assert_eq!(client.text("echo", json!({"text": long})), long);
        let seen = remote.seen();
        let post = seen
            .iter()
            .find(|seen| seen.says() == "tools/list")
            .unwrap();
        assert_eq!(post.header("mcp-session-id"), Some("session-1"));
        assert_eq!(post.header("mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!(
            post.header("accept"),
            Some("application/json, text/event-stream")
        );
        assert_eq!(
            post.header("host"),
            Some(remote.address().to_string().as_str())
        );
        assert_eq!(session_of(&seen, "initialize"), [None]);
        let status = home.status();
        let upstream = &status["upstreams"][0];
        assert_eq!(
            (&upstream["url"], &upstream["pid"]),
            (&json!(remote.url()), &Value::Null)
        );
        assert_eq!(upstream["scope"], "session");
        assert_eq!(client.close().code(), Some(0));
        remote.has_seen("DELETE", 1);
        until("the end of the connection", || {
            home.status()["upstreams"].as_array().unwrap().is_empty()
        });
        assert_eq!(remote.count("DELETE"), 1);
        assert_eq!(remote.count("initialize"), 1);
    }
}

#[test]
fn the_verbs_of_the_command_line_use_it_too() {
    let remote = Remote::start(Manners::default());
    let home = Home::new();
    let url = format!("{}?key=query-secret-1234", remote.url());
    let added = home.done(&["add", "there", "--url", &url, "--header", "X-Team: blue"]);
    assert!(added.contains("Added `there`"), "{added}");
    assert!(home.done(&["tools", "there"]).contains("echo"));
    let called = home.done(&["call", "there", "echo", r#"{"text":"hello"}"#]);
    assert!(called.contains("hello"), "{called}");
    let list = home.done(&["list"]);
    assert!(list.contains(&format!("{}?***", remote.url())), "{list}");
    assert!(list.contains("x-team"), "{list}");
    let seen = remote.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("x-team") == Some("blue"))
    );
    assert!(
        seen.iter()
            .all(|seen| seen.path.ends_with("?key=query-secret-1234"))
    );
}

#[test]
fn each_session_has_a_session_of_its_own_there_and_is_named() {
    let remote = Remote::start(Manners::default());
    let home = home_for(&remote);
    let (mut one, mut other) = (home.configured("there"), home.configured("there"));
    one.text("echo", json!({"text": "1"}));
    other.text("echo", json!({"text": "2"}));
    let seen = remote.seen();
    let calls: Vec<&Seen> = seen
        .iter()
        .filter(|seen| seen.says() == "tools/call")
        .collect();
    for name in ["mcp-session-id", "mcpool-session"] {
        let (first, second) = (calls[0].header(name), calls[1].header(name));
        assert!(
            first.is_some() && second.is_some() && first != second,
            "{name}"
        );
    }
    assert_eq!(remote.count("initialize"), 2);
    // However a client goes, its session there is over, once.
    one.process().kill();
    remote.has_seen("DELETE", 1);
    drop(one);
    other.close();
    remote.has_seen("DELETE", 2);
    until("the end of all connections", || {
        home.status()["upstreams"].as_array().unwrap().is_empty()
    });
    assert_eq!(remote.count("DELETE"), 2);
}

#[test]
fn a_client_over_http_names_its_session_and_nothing_else_of_its_headers_goes_on() {
    let remote = Remote::start(Manners::default());
    let home = Home::new();
    home.configure(&format!(
        "[http]\nlisten = ['127.0.0.1:0']\n[servers.there]\nurl = '{}'\n",
        remote.url()
    ));
    home.configured("there").close();
    let web = Web::at(&home.http_address(), "/mcp/there?session_key=a%2Fb")
        .with("Authorization", Some("Bearer of-the-client"))
        .with("X-Mine", Some("of-the-client"));
    let mut session = web.session();
    let result = session.result("echo", json!({"text": "over http"}));
    assert_eq!(result["content"][0]["text"], "over http");
    let seen = remote.seen();
    let call = seen
        .iter()
        .find(|seen| seen.says() == "tools/call")
        .unwrap();
    assert_eq!(call.header("mcpool-session"), Some("a/b"));
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    assert!(seen.iter().all(|seen| seen.header("x-mine").is_none()));
    session.delete();
    remote.has_seen("DELETE", 2);
    assert_eq!(remote.count("DELETE"), 2);
}

#[test]
fn a_client_over_http_that_is_heard_of_no_more_has_its_session_there_ended_once() {
    let remote = Remote::start(Manners::default());
    let home = Home::new();
    home.configure(&format!(
        "[http]\nlisten = ['127.0.0.1:0']\nsession_idle_timeout = '5s'\n[servers.there]\nurl = '{}'\n",
        remote.url()
    ));
    home.configured("there").close();
    remote.has_seen("DELETE", 1);
    let mut session = Web::at(&home.http_address(), "/mcp/there").session();
    session.result("echo", json!({"text": "the last that is heard"}));
    remote.has_seen("DELETE", 2);
    until("the end of the connection", || {
        home.status()["upstreams"].as_array().unwrap().is_empty()
    });
    assert_eq!((remote.count("DELETE"), remote.count("initialize")), (2, 2));
}

#[test]
fn where_a_session_is_named_is_as_the_user_says() {
    let remote = Remote::start(Manners::default());
    let home = home_with(&remote.url(), "session_key_header = 'X-Conversation'");
    home.configured("there").text("echo", json!({"text": "x"}));
    let seen = remote.seen();
    let is_named = |seen: &Seen| seen.header("x-conversation").is_some();
    assert!(seen.iter().all(is_named) && !seen.is_empty());
    assert!(seen.iter().all(|it| it.header("mcpool-session").is_none()));
    let remote = RemoteSocket::start(true);
    let url = format!("ws://{}/ws", remote.address());
    let home = home_with(&url, "session_key_param = 'conversation'");
    let mut client = home.configured("there");
    client.text("echo", json!({"text": "x"}));
    is_not_handed_over(&home);
    let asked = remote.asked();
    let (path, _protocol) = asked.last().unwrap();
    assert!(path.starts_with("/ws?conversation="), "{path}");
}

#[test]
fn with_another_scope_it_is_shared_by_sessions_with_equal_headers() {
    let remote = Remote::start(Manners::default());
    let more = "scope = 'global'\nheaders = { Authorization = 'Bearer ${TOKEN}' }";
    let home = home_with(&remote.url(), more);
    let with = |token: &str| {
        let mut command = home.mcpool(&["connect", "there"]);
        let mut client = Client::spawn(command.env("TOKEN", token));
        client.initialize();
        client
    };
    let mut clients = [with("one-token"), with("one-token"), with("other-token")];
    for client in &mut clients {
        client.text("echo", json!({"text": "x"}));
    }
    assert_eq!(remote.count("initialize"), 2);
    let seen = remote.seen();
    let shared = seen
        .iter()
        .filter(|seen| seen.header("authorization") == Some("Bearer one-token"));
    assert!(shared.count() > 2);
    assert!(
        seen.iter()
            .all(|seen| seen.header("mcpool-session").is_none())
    );
}

#[test]
fn progress_and_questions_come_on_the_stream_of_their_call() {
    let remote = Remote::start(Manners::default());
    let home = home_for(&remote);
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
    client.initialize_with(&json!({"elicitation": {}}));
    let id = client.ask(
        "tools/call",
        json!({"name": "progress", "arguments": {}, "_meta": {"progressToken": "mine"}}),
    );
    for step in 1..=3 {
        let progress = client.wait_for(|it| it["method"] == "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], "mine");
        assert_eq!(progress["params"]["progress"], step);
    }
    assert_eq!(client.response(id)["result"]["content"][0]["text"], "done");
    let id = client.begin("ask", json!({}));
    let asked = client.wait_for(|it| it["method"] == "elicitation/create");
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": "ada"}}}));
    assert_eq!(
        client.response(id)["result"]["content"][0]["text"],
        "\"ada\""
    );
}

#[test]
fn questions_of_calls_of_several_sessions_reach_whoever_called() {
    let remote = Remote::start(Manners::default());
    let home = home_with(&remote.url(), "scope = 'global'");
    let mut clients = ["ada", "bob"].map(|name| {
        let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
        client.initialize_with(&json!({"elicitation": {}}));
        (name, client.begin("ask", json!({})), client)
    });
    // Both are open before one is answered.
    let asked = clients.each_mut().map(|(_, _, client)| {
        client.wait_for(|it| it["method"] == "elicitation/create")["id"].clone()
    });
    for ((name, _, client), asked) in clients.iter_mut().zip(asked).rev() {
        client.send(&json!({"jsonrpc": "2.0", "id": asked, "result": {"action": "accept", "content": {"name": name}}}));
    }
    for (name, call, client) in &mut clients {
        let text = client.response(*call)["result"]["content"][0]["text"].clone();
        assert_eq!(text, format!("\"{name}\""));
    }
    assert_eq!(remote.count("initialize"), 1);
}

#[test]
fn what_the_server_says_of_itself_comes_on_a_stream_of_its_own() {
    let remote = Remote::start(Manners {
        speaks_up: true,
        ..Manners::default()
    });
    let home = home_for(&remote);
    let mut client = home.configured("there");
    remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
}

#[test]
fn a_call_that_is_cancelled_is_told_so_and_nothing_waits_for_it() {
    let remote = Remote::start(Manners::default());
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let id = client.begin("hang", json!({}));
    remote.has_seen("tools/call", 1);
    client.notify("notifications/cancelled", &json!({"requestId": id}));
    remote.has_seen("notifications/cancelled", 1);
    let seen = remote.seen();
    let said = |what: &str| {
        seen.iter()
            .find(|seen| seen.says() == what)
            .unwrap()
            .body
            .clone()
    };
    let cancelled = said("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], said("tools/call")["id"]);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

#[test]
fn the_end_of_the_daemon_ends_every_session_there_once() {
    let remote = Remote::start(Manners::default());
    let home = home_for(&remote);
    let mut clients = [home.configured("there"), home.configured("there")];
    for client in &mut clients {
        client.text("echo", json!({"text": "x"}));
    }
    home.done(&["stop"]);
    remote.has_seen("DELETE", 2);
    assert_eq!(remote.count("DELETE"), 2);
}

#[test]
fn a_server_on_a_unix_socket_is_reached_by_its_path() {
    let remote = Remote::start(Manners::default());
    let home = Home::new();
    let socket = home.file("server.sock");
    remote.listen_at(&socket);
    home.configure(&format!("[servers.there]\nurl = 'unix:{socket}:/here'\n"));
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "near"})), "near");
    let seen = remote.seen();
    assert!(seen.iter().all(|seen| seen.path == "/here"));
    assert!(
        seen.iter()
            .all(|seen| seen.header("host") == Some("localhost"))
    );
}

#[test]
fn a_server_of_the_first_version_is_spoken_to_as_it_was_then() {
    let remote = Remote::start(Manners {
        is_old: true,
        ..Manners::default()
    });
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "old"})), "old");
    let seen = remote.seen();
    let posts: Vec<&str> = seen
        .iter()
        .filter(|it| it.method == "POST")
        .map(|it| it.path.as_str())
        .collect();
    assert_eq!(posts[0], "/mcp");
    assert!(
        posts.len() > 2 && posts[1..].iter().all(|path| *path == "/messages?id=7"),
        "{posts:?}"
    );
    assert_eq!(remote.count("DELETE"), 0);
    is_not_handed_over(&home);
    client.close();
    until("an upgrade", || home.run(&["upgrade"]).code == Some(0));
}

/// There is no upgrade as long as there is a session, and that is said.
fn is_not_handed_over(home: &Home) {
    let ran = home.run(&["upgrade"]);
    assert_ne!(ran.code, Some(0));
    let why = "WebSocket, or the HTTP and SSE of 2024-11-05, and an upgrade cannot hand them over; try again when their sessions have ended";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
}

#[test]
fn one_mcpool_can_stand_behind_another() {
    let inner = Home::new();
    let web = inner.web(&["--record", &inner.file("record")]);
    let home = home_with(
        &format!(
            "http://{}{}?session_key=abc",
            inner.http_address(),
            web.path
        ),
        "",
    );
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "there"]));
    client.initialize_with(&json!({"elicitation": {}}));
    assert_eq!(client.text("echo", json!({"text": "through"})), "through");
    let id = client.ask(
        "tools/call",
        json!({"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": 5}}),
    );
    for step in 1..=2 {
        let progress = client.wait_for(|it| it["method"] == "notifications/progress");
        assert_eq!(
            (
                &progress["params"]["progressToken"],
                &progress["params"]["progress"]
            ),
            (&json!(5), &json!(step))
        );
    }
    client.response(id);
    assert_eq!(inner.status()["sessions"].as_array().unwrap().len(), 1);
    client.process().kill();
    until("the end of the session there", || {
        inner.status()["sessions"].as_array().unwrap().is_empty()
    });
}

#[test]
fn a_conversation_goes_on_in_the_program_that_takes_our_place() {
    let remote = Remote::start(Manners {
        speaks_up: true,
        ..Manners::default()
    });
    let home = home_for(&remote);
    let mut client = home.configured("there");
    client.text("echo", json!({"text": "before"}));
    remote.is_listened_to_by(1);
    home.done(&["upgrade"]);
    // Whoever listened before is among them, and gone.
    remote.is_listened_to_by(2);
    remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    assert_eq!(client.text("echo", json!({"text": "after"})), "after");
    let calls = session_of(&remote.seen(), "tools/call");
    assert_eq!(
        calls,
        [Some("session-1".to_owned()), Some("session-1".to_owned())]
    );
    assert_eq!(home.upstream()["url"], remote.url());
    let open = client.begin("hang", json!({}));
    remote.has_seen("tools/call", 3);
    let ran = home.run(&["upgrade"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("being spoken to"), "{}", ran.stderr);
    client.notify("notifications/cancelled", &json!({"requestId": open}));
    remote.has_seen("notifications/cancelled", 1);
    client.close();
    remote.has_seen("DELETE", 1);
    until("the end of the connection", || {
        home.status()["upstreams"].as_array().unwrap().is_empty()
    });
    assert_eq!((remote.count("DELETE"), remote.count("initialize")), (1, 1));
    let told = format!("reached at {}", remote.url());
    until("the log saying so", || {
        home.run(&["logs", "there"]).stdout.contains(&told)
    });
}

#[test]
fn a_web_socket_cannot_be_handed_over_and_nothing_happens_to_it() {
    let remote = RemoteSocket::start(true);
    let home = home_with(&format!("ws://{}/", remote.address()), "");
    let mut client = home.configured("there");
    let ran = home.run(&["upgrade"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("over WebSocket"), "{}", ran.stderr);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    assert_eq!(remote.count("initialize"), 1);
}

#[test]
fn a_server_on_a_web_socket_is_named_the_session_and_closed_once() {
    for agrees in [true, false] {
        let remote = RemoteSocket::start(agrees);
        let home = home_with(&format!("ws://{}/ws?room=1", remote.address()), "");
        let mut client = home.configured("there");
        assert_eq!(client.text("echo", json!({"text": "hello"})), "hello");
        let asked = remote.asked();
        let (path, protocol) = asked.last().unwrap();
        assert!(path.starts_with("/ws?room=1&session_key="), "{path}");
        assert_eq!(protocol.is_some(), agrees);
        client.process().kill();
        until("the close", || remote.closed() == 1);
        until("the end of the connection", || {
            home.status()["upstreams"].as_array().unwrap().is_empty()
        });
        assert_eq!(remote.closed(), 1);
    }
}
