//! Servers that run already and speak as in the modern era (2026-07-28), or in both.

use serde_json::{Value, json};

use super::{home_for, home_with};
use crate::{
    http_modern::{ask, call_of, request},
    support::{
        Client, Home,
        remote::{Manners, Mood, Remote, Speaks},
        remote_socket::RemoteSocket,
        until,
        web::Web,
    },
};

fn speaking(speaks: Speaks) -> Remote {
    Remote::start(Manners {
        speaks,
        ..Manners::default()
    })
}

/// A client over stdio that says no more than its first request will say.
fn client_of(home: &Home) -> Client {
    Client::spawn(&mut home.mcpool(&["connect", "there"]))
}

/// A request of the modern era over stdio; its id.
fn send(client: &mut Client, method: &str, params: Value) -> u64 {
    let id = client.next_id();
    let mut message = request(method, params);
    message["id"] = json!(id);
    client.send(&message);
    id
}

fn answer(client: &mut Client, method: &str, params: Value) -> Value {
    let id = send(client, method, params);
    client.response(id)
}

fn echo(client: &mut Client, text: &str) -> Value {
    let params = json!({"name": "echo", "arguments": {"text": text}});
    answer(client, "tools/call", params)["result"]["content"][0]["text"].clone()
}

/// A home whose daemon listens over HTTP, and where the server is there.
fn web_for(remote: &Remote, more: &str) -> (Home, Web) {
    let home = Home::new();
    home.configure(&format!(
        "[http]\nlisten = ['127.0.0.1:0']\n[servers.there]\nurl = '{}'\n{more}\n",
        remote.url()
    ));
    home.done(&["tools", "there"]);
    let web = Web::at(&home.http_address(), "/mcp/there");
    (home, web)
}

#[test]
fn a_server_of_the_modern_era_alone_serves_clients_of_both() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut legacy = home.configured("there");
    assert_eq!(legacy.text("echo", json!({"text": "hello"})), "hello");
    // It was asked in vain once, and is asked so no more.
    assert_eq!(remote.count("initialize"), 1);
    let mut modern = client_of(&home);
    let found = answer(&mut modern, "server/discover", json!({}));
    let info = &found["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(info["name"], "remote", "{found}");
    assert_eq!(echo(&mut modern, "ä"), "ä");
    let mut other = home.configured("there");
    assert_eq!(other.text("echo", json!({"text": "on"})), "on");
    assert_eq!(
        (remote.count("initialize"), remote.count("server/discover")),
        (1, 1)
    );
    // In an era without sessions they are all served alike.
    let upstream = home.upstream();
    assert_eq!(
        (&upstream["protocol"], &upstream["scope"]),
        (&json!("2026-07-28"), &json!("global")),
        "{upstream}"
    );
    assert_eq!((remote.count("DELETE"), remote.count("GET")), (0, 0));
}

#[test]
fn a_server_of_both_eras_is_spoken_to_as_its_client_speaks() {
    let remote = speaking(Speaks::Both);
    let home = home_for(&remote);
    let mut modern = client_of(&home);
    assert_eq!(echo(&mut modern, "1"), "1");
    assert_eq!(remote.count("initialize"), 0);
    let mut legacy = home.configured("there");
    assert_eq!(legacy.text("echo", json!({"text": "2"})), "2");
    assert_eq!(
        (remote.count("initialize"), remote.count("server/discover")),
        (1, 1)
    );
    let status = home.status();
    let eras = status["upstreams"].as_array().unwrap().iter();
    let mut eras: Vec<&str> = eras.map(|it| it["protocol"].as_str().unwrap()).collect();
    eras.sort_unstable();
    assert_eq!(eras, ["2025-11-25", "2026-07-28"]);
}

#[test]
fn a_legacy_server_is_asked_once_what_it_is_and_serves_modern_clients() {
    let remote = speaking(Speaks::Legacy);
    let home = home_for(&remote);
    for text in ["1", "2"] {
        let mut modern = client_of(&home);
        assert_eq!(echo(&mut modern, text), text);
        modern.close();
    }
    assert_eq!(
        (remote.count("server/discover"), remote.count("initialize")),
        (1, 2)
    );
}

#[test]
fn how_a_server_speaks_is_known_to_the_next_daemon() {
    for (speaks, probe) in [
        (Speaks::Legacy, "server/discover"),
        (Speaks::Modern, "initialize"),
    ] {
        let remote = speaking(speaks);
        let home = home_for(&remote);
        for text in ["1", "2"] {
            // Each speaks as the server does not.
            let mut client = client_of(&home);
            if speaks == Speaks::Legacy {
                assert_eq!(echo(&mut client, text), text);
            } else {
                client.initialize_with(&json!({}));
                assert_eq!(client.text("echo", json!({"text": text})), text);
            }
            client.close();
            home.done(&["stop"]);
        }
        assert_eq!(remote.count(probe), 1, "{speaks:?}");
    }
}

#[test]
fn the_configuration_says_how_a_server_is_spoken_to() {
    for (era, asked) in [
        ("modern", ["server/discover", "initialize"]),
        ("legacy", ["initialize", "server/discover"]),
    ] {
        let remote = speaking(Speaks::Both);
        let home = home_with(&remote.url(), &format!("era = '{era}'"));
        let mut legacy = home.configured("there");
        assert_eq!(legacy.text("echo", json!({"text": era})), era);
        let counts = asked.map(|method| remote.count(method));
        assert_eq!(counts, [1, 0], "{era}");
        if era == "modern" {
            let mut modern = client_of(&home);
            assert_eq!(echo(&mut modern, "x"), "x");
        }
    }
    let remote = speaking(Speaks::Modern);
    let home = home_with(&remote.url(), "era = 'legacy'");
    let mut client = client_of(&home);
    let greeted = client.greet(&json!({}));
    let words = greeted["error"]["message"].as_str().unwrap();
    assert!(words.contains("-32022"), "{greeted}");
    assert_eq!(remote.count("server/discover"), 0);
}

#[test]
fn a_client_over_http_needs_no_session_with_a_server_that_has_none() {
    let remote = speaking(Speaks::Both);
    let (home, web) = web_for(&remote, "");
    let call = call_of("echo", json!({"text": "over http"}));
    for _ in 0..2 {
        let answer = ask(&web, &call).answer();
        assert_eq!(answer["result"]["content"][0]["text"], "over http");
    }
    let discovered = ask(&web, &request("server/discover", json!({}))).answer();
    assert!(discovered["result"]["supportedVersions"].is_array());
    assert_eq!(remote.count("server/discover"), 1);
    let status = home.status();
    let modern = status["upstreams"].as_array().unwrap().iter();
    assert_eq!(
        modern.filter(|it| it["protocol"] == "2026-07-28").count(),
        1
    );
}

#[test]
fn with_a_server_that_has_sessions_a_client_over_http_has_to_begin_one() {
    let remote = speaking(Speaks::Legacy);
    let (_home, web) = web_for(&remote, "");
    // The first finds it out, the second knows it.
    for _ in 0..2 {
        let (status, code, reason) = ask(&web, &call_of("echo", json!({}))).error();
        assert_eq!(reason, "needs-session", "{status} {code}");
        let probe = request("server/discover", json!({}));
        let (status, code, _reason) = ask(&web, &probe).error();
        assert_eq!((status, code), (404, -32601));
    }
    assert_eq!(remote.count("server/discover"), 1);
    let mut session = web.session();
    let result = session.result("echo", json!({"text": "begun"}));
    assert_eq!(result["content"][0]["text"], "begun");
}

#[test]
fn headers_say_again_what_the_server_wants_to_see_there() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let routed = json!({"region": "us west"});
    // Nobody has asked for the tools yet: the server says that something is missing, and is asked.
    client.call("routed", routed.clone());
    assert_eq!(
        (remote.count("tools/call"), remote.count("tools/list")),
        (2, 2)
    );
    client.call("routed", routed);
    assert_eq!(remote.count("tools/call"), 3);
    let seen = remote.seen();
    let last = seen.iter().rfind(|it| it.says() == "tools/call").unwrap();
    assert_eq!(last.header("mcp-param-region"), Some("us west"));
    // What is annotated wrongly is no tool for anybody.
    let tools = client.request("tools/list", json!({}));
    let tools = tools["result"]["tools"].as_array().unwrap().iter();
    let names: Vec<&Value> = tools.map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["echo", "routed"]);
}

#[test]
fn what_a_server_says_of_a_call_reaches_whoever_calls_and_nobody_else() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut clients = [home.configured("there"), home.configured("there")];
    for client in &mut clients {
        client.request("logging/setLevel", json!({"level": "debug"}));
    }
    let ids = [0, 1].map(|who| {
        let params =
            json!({"name": "progress", "arguments": {"who": who}, "_meta": {"progressToken": who}});
        clients[who].ask("tools/call", params)
    });
    for (who, client) in clients.iter_mut().enumerate() {
        let progress = client.wait_for(|it| it["method"] == "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], who);
        let log = client.wait_for(|it| it["method"] == "notifications/message");
        assert_eq!(log["params"]["data"], who);
        client.response(ids[who]);
    }
    assert_eq!(remote.count("server/discover"), 1);
}

#[test]
fn what_a_modern_server_asks_is_asked_of_a_legacy_client() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = client_of(&home);
    client.initialize_with(&json!({"elicitation": {}}));
    let id = client.begin("ask", json!({}));
    let asked = client.wait_for(|it| it["method"] == "elicitation/create");
    client.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": "ada"}}}));
    let text = client.response(id)["result"]["content"][0]["text"].clone();
    assert_eq!(text, "\"ada\"");
    assert_eq!(remote.count("tools/call"), 2);
}

#[test]
fn a_call_that_is_cancelled_loses_its_stream_and_nothing_else_is_said() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let id = client.begin("hang", json!({}));
    remote.has_seen("tools/call", 1);
    client.notify("notifications/cancelled", &json!({"requestId": id}));
    until("the end of its stream", || remote.deserted() == 1);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    let left = client.begin("hang", json!({}));
    remote.has_seen("tools/call", 3);
    client.process().kill();
    until("the end of the other", || remote.deserted() == 2);
    assert_eq!(remote.count("notifications/cancelled"), 0);
    assert_ne!(left, id);
}

#[test]
fn changes_are_told_through_a_request_that_stays_and_is_made_again_when_it_breaks() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    remote.tell(&changed);
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    remote.cut();
    // Nobody knows what has changed meanwhile.
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    remote.has_seen("subscriptions/listen", 2);
    remote.tell(&changed);
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    assert_eq!(remote.count("server/discover"), 1);
}

#[test]
fn a_request_that_the_server_takes_back_is_made_anew_and_not_once_more() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    let listens = || -> Vec<Value> {
        let seen = remote.seen().into_iter();
        let listens = seen.filter(|it| it.says() == "subscriptions/listen");
        listens.map(|it| it.body["id"].clone()).collect()
    };
    for round in 1..3 {
        remote.has_seen("subscriptions/listen", round);
        let request = listens()[round - 1].clone();
        // So a server says that it tells nothing more, before it closes the stream (2026-07-28, subscriptions).
        remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}}));
        remote.cut();
        remote.has_seen("subscriptions/listen", round + 1);
    }
    remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    let ids = listens();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn what_is_known_of_a_tool_stays_known_though_a_list_is_not_told_to_its_end() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    for params in [json!({}), json!({"cursor": "more"})] {
        client.request("tools/list", params);
    }
    remote.lose_page();
    let refused = client.call("never", json!({}));
    assert_eq!(
        refused["error"]["data"]["reason"], "upstream-refused",
        "{refused}"
    );
    // Each page was asked for on behalf of that call, and the second was not told.
    remote.has_seen("tools/list", 4);
    let calls = remote.count("tools/call");
    for tool in ["later", "routed"] {
        let answer = client.call(tool, json!({"region": "us"}));
        assert!(answer["result"].is_object(), "{tool}: {answer}");
    }
    assert_eq!(remote.count("tools/call"), calls + 2);
}

#[test]
fn a_server_that_cannot_be_listened_to_now_is_asked_again() {
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let remote = speaking(Speaks::Modern);
        remote.receives(&[Mood::Busy(status)]);
        let home = home_for(&remote);
        let mut client = home.configured("there");
        assert_eq!(client.text("echo", json!({"text": status})), status);
        remote.has_seen("subscriptions/listen", 2);
        remote.is_listened_to_by(1);
        remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    }
}

#[test]
fn what_cannot_be_kept_of_what_a_server_tells_does_not_end_the_telling() {
    let remote = speaking(Speaks::Modern);
    let home = Home::new();
    home.configure(&format!(
        "[limits]\nmessage_bytes = 10000\n[servers.there]\nurl = '{}'\n",
        remote.url()
    ));
    let mut client = home.configured("there");
    // From here on the client is told of what changes.
    assert_eq!(client.text("echo", json!({"text": "here"})), "here");
    remote.is_listened_to_by(1);
    let long =
        json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"x": "x".repeat(50_000)}});
    remote.tell(&long);
    // Nobody knows what that was.
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    remote.is_listened_to_by(2);
    remote.tell(&json!({"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}));
    client.wait_for(|it| it["method"] == "notifications/resources/list_changed");
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    assert_eq!(remote.count("server/discover"), 1);
}

#[test]
fn a_call_that_is_answered_with_nothing_at_all_has_failed() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = client_of(&home);
    assert_eq!(echo(&mut client, "there"), "there");
    let params = json!({"name": "nothing", "arguments": {}});
    let failed = answer(&mut client, "tools/call", params);
    assert_eq!(failed["error"]["data"]["maybeExecuted"], true, "{failed}");
}

#[test]
fn a_conversation_goes_on_in_the_program_that_takes_our_place_though_a_request_stays() {
    let remote = speaking(Speaks::Modern);
    let home = home_for(&remote);
    let mut client = home.configured("there");
    assert_eq!(client.text("echo", json!({"text": "before"})), "before");
    remote.has_seen("subscriptions/listen", 1);
    home.done(&["upgrade"]);
    client.wait_for(|it| it["method"] == "notifications/tools/list_changed");
    remote.has_seen("subscriptions/listen", 2);
    assert_eq!(client.text("echo", json!({"text": "after"})), "after");
    assert_eq!(remote.count("server/discover"), 1);
    client.close();
}

#[test]
fn a_server_that_lets_nobody_in_or_is_in_trouble_is_not_taken_for_one_of_the_other_era() {
    let remote = Remote::start(Manners {
        wants: Some("Bearer x".to_owned()),
        speaks: Speaks::Both,
        ..Manners::default()
    });
    let home = home_for(&remote);
    let mut client = client_of(&home);
    let refused = answer(&mut client, "server/discover", json!({}));
    let words = refused["error"]["message"].as_str().unwrap();
    assert!(words.contains("401"), "{refused}");
    assert_eq!(remote.count("initialize"), 0);
}

#[test]
fn over_a_web_socket_both_eras_are_spoken_too() {
    let remote = RemoteSocket::start(true);
    let home = home_with(&format!("ws://{}/", remote.address()), "");
    let mut modern = client_of(&home);
    assert_eq!(echo(&mut modern, "1"), "1");
    assert_eq!(
        (remote.count("server/discover"), remote.count("initialize")),
        (1, 0)
    );
    let mut legacy = home.configured("there");
    assert_eq!(legacy.text("echo", json!({"text": "2"})), "2");
    assert_eq!(remote.count("initialize"), 1);
    // A connection is of one session, whatever is spoken on it.
    let status = home.status();
    let upstreams = status["upstreams"].as_array().unwrap();
    assert!(upstreams.iter().all(|it| it["scope"] == "session"));
}
