//! Clients over HTTP that do not do what they should: that do not read, go away early, or say too much.

use std::{
    fs,
    io::{BufReader, ErrorKind, Write},
    net::{Shutdown, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use serde_json::json;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    http_modern::{self, call_of, fitted, sessions},
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
fn heads_that_come_byte_by_byte_hold_nobody_up_and_few_of_them_stay() {
    let home = Home::new();
    let web = home.web(&[]);
    let beginning = format!(
        "GET /health HTTP/1.1\r\nHost: {}\r\nX-Slow: ",
        web.address()
    );
    let slow = (0..100).map(|_| {
        let mut stream = TcpStream::connect(web.address()).unwrap();
        stream.write_all(beginning.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    });
    let mut slow: Vec<TcpStream> = slow.collect();
    let mut session = web.session();
    session.result("echo", json!({}));
    until("most of them to be sent away", || {
        slow.retain_mut(|stream| {
            let said = stream.write(b"x");
            let heard = stream.peek(&mut [0]).map_err(|error| error.kind());
            said.is_ok() && heard == Err(ErrorKind::WouldBlock)
        });
        slow.len() <= 32
    });
    session.result("echo", json!({}));
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
    let file = home.file("go on");
    let mut waits = steps.clone();
    waits["params"]["arguments"]["mark"] = json!("waits");
    waits["params"]["arguments"]["until"] = json!(file);
    let waits = fitted(&web, &waits).send("POST", waits.to_string().as_bytes());
    for mark in ["whole", "modern", "waits"] {
        home.noted("record", &format!("executed {mark}"));
    }
    for _ in 0..3 {
        until("an upgrade", || home.run(&["upgrade"]).code == Some(0));
    }
    let answer = Response::read(BufReader::new(whole)).json();
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!((&answer["id"], text.len()), (&json!(7), MUCH));
    for (stream, goes_on) in [(modern, false), (waits, true)] {
        let mut stream = Response::read(BufReader::new(stream));
        for step in 1..=2 {
            let told = stream.event().unwrap();
            assert_eq!(told["params"]["progress"], step);
            let text = told["params"]["message"].as_str().unwrap();
            assert_eq!(text.len(), MUCH / 4);
            if goes_on {
                fs::write(&file, "").unwrap();
            }
        }
        assert_eq!(stream.event().unwrap()["id"], 7);
        assert_eq!(stream.event(), None);
    }
    for mark in ["whole", "modern", "waits"] {
        assert_eq!(home.count("record", &format!("executed {mark}")), 1);
    }
}

/// A server that answers `initialize` only when the file `go on` is there, which is waited for that long; and what is
/// said to it.
fn late(home: &Home, patience: &str) -> (Web, Vec<u8>) {
    let web = home.web_with(&[], &format!("[limits]\nstart_patience = \"{patience}\""));
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
fn a_server_that_has_not_come_up_in_time_is_unavailable_for_now() {
    let home = Home::new();
    let (web, greeting) = late(&home, "1s");
    let modern = http_modern::request("tools/list", json!({}));
    for response in [
        web.request("POST", &greeting),
        http_modern::ask(&web, &modern),
    ] {
        assert_eq!(response.header("retry-after"), Some("1"));
        assert_eq!(response.header("mcp-session-id"), None);
        let starting = (503, -32603, "still-starting".to_owned());
        assert_eq!(response.error(), starting);
    }
    fs::write(home.file("go on"), "").unwrap();
    until("the server", || {
        web.request("POST", &greeting).status == 200
    });
}

#[test]
fn a_header_that_may_be_there_once_is_not_believed_where_it_is_twice() {
    let home = Home::new();
    let session = home.web(&[]).session();
    let twice = |name: &str, values: [&str; 2]| {
        let [first, second] = values;
        session.with(name, Some(&format!("{first}\r\n{name}: {second}")))
    };
    let versions = twice("MCP-Protocol-Version", ["2025-06-18", "bogus"]);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(versions.post(&ping).status, 400);
    let events = twice("Last-Event-ID", ["0-0", "0-1"]);
    assert_eq!(events.get().status, 400);
}

#[test]
fn a_session_ends_whose_client_goes_before_it_hears_by_what_it_is_known() {
    for is_upgraded in [false, true] {
        let home = Home::new();
        let (web, greeting) = late(&home, "5m");
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

/// A daemon that speaks TLS with a certificate of its own, and what another needs to reach it.
pub(crate) fn secure(home: &Home) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (home.file("cert.pem"), home.file("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    home.configure(&format!(
        "[http]\nlisten = [{{ address = \"127.0.0.1:0\", tls = true }}]\n[http.tls]\ncert = '{cert}'\nkey = '{key}'\nnames = [\"localhost\"]\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n",
    ));
    home.come_and_go("fake");
    let address = home.http_address();
    let port = address.rsplit_once(':').unwrap().1;
    let token = fs::read_to_string(home.pool().join("state/http-token")).unwrap();
    format!(
        "ca_cert = '{cert}'\nheaders = {{ Authorization = \"Bearer {}\" }}\n@{port}",
        token.trim_end()
    )
}

#[test]
fn another_machine_comes_in_over_tls_with_the_token_and_in_no_other_way() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let secure = secure(&home);
    let (known, port) = secure.split_once('@').unwrap();
    let (cert, _headers) = known.split_once('\n').unwrap();
    elsewhere.configure(&format!(
        "[servers.over-http]\nurl = \"https://localhost:{port}/mcp/fake\"\n{known}\
         [servers.over-websocket]\nurl = \"wss://localhost:{port}/ws/fake\"\n{known}\
         [servers.unknown]\nurl = \"https://localhost:{port}/mcp/fake\"\n{cert}\n\
         [servers.other-name]\nurl = \"https://127.0.0.1:{port}/mcp/fake\"\n{known}",
    ));
    let mut over_http = elsewhere.configured("over-http");
    let mut over_websocket = elsewhere.configured("over-websocket");
    let long = "long ".repeat(100_000);
    for client in [&mut over_http, &mut over_websocket] {
        assert_eq!(client.text("echo", json!({"text": long})), long);
    }
    for (name, words) in [("unknown", "401"), ("other-name", "certificate")] {
        let ran = elsewhere.run(&["call", name, "echo"]);
        assert!(ran.stderr.contains(words), "{name}: {ran:?}");
    }
    // Whoever speaks no TLS is not heard at all.
    let mut plain = Web::at(&home.http_address(), "/health").kept_open();
    plain.write(&format!(
        "GET /health HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
    ));
    let said = plain.all();
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
    // Its connections end with an upgrade, and its sessions do not.
    upgrade(&home);
    assert_eq!(over_http.text("echo", json!({"text": "again"})), "again");
    assert_eq!(home.http_address().rsplit_once(':').unwrap().1, port);
}

#[test]
fn a_server_whose_program_is_not_there_says_so_to_a_client_without_a_session_too() {
    let home = Home::new();
    let web = home.web(&[]).to("/mcp/gone");
    home.configure(&format!(
        "{}\n[servers.gone]\ncommand = \"/nonexistent/server\"\n",
        fs::read_to_string(home.pool().join("config.toml")).unwrap()
    ));
    for message in [
        http_modern::request("tools/list", json!({})),
        http_modern::request("server/discover", json!({})),
    ] {
        let refused = http_modern::ask(&web, &message);
        let refused = refused.json();
        let error = &refused["error"];
        assert_eq!(error["data"]["reason"], "start-failed", "{refused}");
        let words = error["message"].as_str().unwrap();
        assert!(words.contains("/nonexistent/server"), "{refused}");
    }
}
