//! Clients over HTTP that do not do what they should: that do not read, go away early, or say too much.

use std::{fs, io::BufReader, net::Shutdown, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    http_modern::{call_of, fitted, sessions},
    support::{
        Client, FAKE_SERVER, Home, until,
        web::{Response, Web},
    },
    upgrade::{Installed, upgrade},
};

/// Much more than sockets take.
const MUCH: usize = 10 << 20;

#[test]
fn who_only_asks_whether_we_live_stays_a_stranger_and_makes_room_for_others() {
    let home = Home::new();
    let web = home.web_with(&[], "auth = \"token\"");
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", web.address());
    let mut strangers: Vec<_> = (0..33).map(|_| web.kept_open()).collect();
    for stranger in &mut strangers {
        stranger.write(&request);
    }
    // There are places for one less, and the first has to go for the last.
    let first = strangers.remove(0).rest();
    assert!(first.starts_with("HTTP/1.1 200 OK"), "{first}");
    let last = strangers.pop().unwrap();
    assert_eq!(last.response().0.status, 200);
}

#[test]
fn what_a_client_has_not_read_goes_along_with_an_upgrade() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let whole = call_of("big", json!({"bytes": MUCH, "mark": "whole"}));
    let whole = fitted(&web, &whole).send("POST", whole.to_string().as_bytes());
    let mut steps = call_of(
        "progress",
        json!({"steps": 2, "text": "x".repeat(MUCH / 4)}),
    );
    steps["params"]["_meta"]["progressToken"] = json!("mine");
    steps["params"]["arguments"]["mark"] = json!("modern");
    let modern = fitted(&web, &steps).send("POST", steps.to_string().as_bytes());
    for mark in ["whole", "modern"] {
        home.noted("record", &format!("executed {mark}"));
    }
    for _ in 0..3 {
        until("an upgrade", || home.run(&["upgrade"]).code == Some(0));
    }
    let answer = Response::read(BufReader::new(whole)).json();
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!((&answer["id"], text.len()), (&json!(7), MUCH));
    let mut stream = Response::read(BufReader::new(modern));
    for step in 1..=2 {
        let told = stream.event().unwrap();
        assert_eq!(told["params"]["progress"], step);
        let text = told["params"]["message"].as_str().unwrap();
        assert_eq!(text.len(), MUCH / 4);
    }
    assert_eq!(stream.event().unwrap()["id"], 7);
    assert_eq!(stream.event(), None);
    for mark in ["whole", "modern"] {
        assert_eq!(home.count("record", &format!("executed {mark}")), 1);
    }
}

/// A server that answers `initialize` only when the file `go on` is there, and what is said to it.
fn late(home: &Home) -> (Web, Vec<u8>) {
    let web = home.web(&[]);
    let text = fs::read_to_string(home.pool().join("config.toml")).unwrap();
    let file = home.file("go on");
    home.configure(&format!(
        "{text}\n[servers.late]\ncommand = '{FAKE_SERVER}'\nargs = [\"--start-until\", '{file}']\n"
    ));
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let greeting = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    (web.to("/mcp/late"), greeting.to_string().into_bytes())
}

#[test]
fn a_session_ends_whose_client_goes_before_it_hears_by_what_it_is_known() {
    for is_upgraded in [false, true] {
        let home = Home::new();
        let (web, greeting) = late(&home);
        let goes = web.send("POST", &greeting);
        let waits = web.send("POST", &greeting);
        until("two sessions", || sessions(&home) == 2);
        if is_upgraded {
            upgrade(&home);
            assert_eq!(sessions(&home), 2);
        }
        goes.shutdown(Shutdown::Both).unwrap();
        until("the end of one", || sessions(&home) == 1);
        fs::write(home.file("go on"), "").unwrap();
        let answer = Response::read(BufReader::new(waits));
        let mut session = web.clone();
        session.session = Some(answer.header("mcp-session-id").unwrap().to_owned());
        assert_eq!(answer.json()["id"], 1);
        session.result("echo", json!({}));
        assert_eq!(session.delete().status, 200);
        until("the end of the other", || sessions(&home) == 0);
    }
}

#[test]
fn what_stands_behind_a_request_that_has_no_body_is_none() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut session = web.session();
    let key = session.session.clone().unwrap();
    let smuggled = format!(
        "DELETE /mcp/fake HTTP/1.1\r\nHost: {}\r\nMcp-Session-Id: {key}\r\n\r\n",
        web.address()
    );
    let head = |method: &str, length: usize| {
        format!(
            "{method} /mcp/fake HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nMcp-Session-Id: {key}\r\nContent-Length: {length}\r\n\r\n",
            web.address()
        )
    };
    let mut listens = session.kept_open();
    listens.write(&head("GET", smuggled.len()));
    listens.write(&smuggled);
    let (mut events, _web) = listens.response();
    assert!(events.is_stream());
    upgrade(&home);
    session.result("change", json!({}));
    assert!(events.event().is_some());
    upgrade(&home);
    session.result("echo", json!({}));
    // More than could be meant, and what is refused by its head: nothing behind that is looked at.
    let long = "x".repeat(17 << 10);
    for (request, status) in [
        (head("GET", long.len()) + &long + &smuggled, 413),
        (head("POST", 10) + &smuggled, 415),
    ] {
        let mut refused = session.kept_open();
        refused.write(&request);
        let text = refused.rest();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    }
    session.result("echo", json!({}));
    let gone = web.delete();
    assert_eq!(gone.error(), (400, -32000, "no-session".to_owned()));
}

#[test]
fn who_had_the_token_of_before_an_upgrade_has_to_come_again() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    home.configure(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\nauth = \"token\"\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n",
    ));
    Client::spawn(&mut installed.mcpool(&home, &["connect", "fake"])).initialize();
    let path = home.pool().join("state/http-token");
    let token = fs::read_to_string(&path).unwrap();
    let bearer = format!("Bearer {}", token.trim_end());
    let web = Web::at(&home.http_address(), "/mcp/fake").with("Authorization", Some(&bearer));
    let session = web.session();
    let mut listens = session.get();
    assert!(listens.is_stream());
    let mut talk = web
        .try_talk("/ws/fake", &[("authorization", &bearer)])
        .unwrap();
    talk.begin(json!({}));
    // Another token is put in its place when nobody looks any more.
    let other = home.file("other token");
    fs::write(
        &other,
        token.replace(|digit: char| digit.is_ascii_digit(), "a"),
    )
    .unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let real = env!("CARGO_BIN_EXE_mcpoold");
    installed.replace(format!(
        "#!/bin/sh\ncase \"$*\" in *--thaw*) mv '{other}' '{}';; esac\nexec {real} \"$@\"\n",
        path.display()
    ));
    until("an upgrade", || home.run(&["upgrade"]).code == Some(0));
    assert!(!Path::new(&other).exists(), "it was put there");
    assert_eq!(listens.event(), None, "the stream has ended");
    assert_eq!(talk.closed(), Some(CloseCode::Policy));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(session.post(&ping).error().0, 401);
}
