//! Where the daemon listens: at several addresses, one of them for one server, and at a unix socket.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;

use crate::support::{FAKE_SERVER, Home, PATIENCE, eventually, until, web::Web};

/// Two servers, and one address at which the second is meant.
fn home_with_two() -> (Home, Vec<String>) {
    let home = Home::new();
    home.configure(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\", {{ address = \"127.0.0.1:0\", server = \"second\" }}]\n\
         [servers.first]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n\
         [servers.second]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n"
    ));
    home.come_and_go("first");
    let addresses = home.status()["daemon"]["http"]["addresses"].clone();
    (home, serde_json::from_value(addresses).unwrap())
}

#[test]
fn at_an_address_of_a_server_its_name_is_not_needed() {
    let (home, addresses) = home_with_two();
    let [usual, own] = &addresses[..] else {
        panic!("{addresses:?}");
    };
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}}});
    let several = Web::at(usual, "/mcp").post(&hello).error();
    assert_eq!(
        (several.0, several.2.as_str()),
        (404, "not-the-only-server")
    );
    let mut talk = Web::at(usual, "/ws").kept_open();
    talk.write(&format!(
        "GET /ws HTTP/1.1\r\nHost: {usual}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mcp\r\n\r\n"
    ));
    let refused = talk.response().0.json();
    let words = refused["error"]["message"].as_str().unwrap();
    assert!(words.contains("or `/ws/NAME` for a WebSocket"), "{refused}");
    let mut at_own = Web::at(own, "/mcp").session();
    at_own.result("echo", json!({}));
    Web::at(own, "/mcp/first")
        .session()
        .result("echo", json!({}));
    for path in ["/mcp", "/ws"] {
        let mut talk = Web::at(own, path).try_talk(path, &[]).unwrap();
        talk.begin(json!({}));
        talk.result("echo", json!({}));
    }
    // Both of these have ended, and one over HTTP of each server is left.
    let status = eventually("the end of the two over WebSocket", || {
        let status = home.status();
        let sessions = status["sessions"].as_array().unwrap();
        (sessions.len() == 2).then_some(status)
    });
    let servers: Vec<&Value> = status["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| &session["server"])
        .collect();
    assert_eq!(
        servers.iter().filter(|it| **it == "second").count(),
        1,
        "{status}"
    );
    assert_eq!(status["daemon"]["http"]["servers"], json!({own: "second"}));
    let shown = home.done(&["status"]);
    assert!(
        shown.contains(&format!("http://{own}/mcp (second)")),
        "{shown}"
    );
}

#[test]
fn the_run_file_says_where_the_daemon_is_for_as_long_as_it_runs() {
    let (home, addresses) = home_with_two();
    let path = home.pool().join("state/run.json");
    let said: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(said["pid"], home.daemon_pid().unwrap());
    assert_eq!(said["http"]["addresses"], json!(addresses));
    assert_eq!(said["http"]["servers"], json!({&addresses[1]: "second"}));
    let socket = home.pool().join("mcpool.sock");
    assert_eq!(said["socket"], socket.to_str().unwrap());
    home.done(&["upgrade"]);
    let said: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let status = home.status();
    assert_eq!(
        said["http"]["addresses"],
        status["daemon"]["http"]["addresses"]
    );
    home.done(&["stop"]);
    until("the end of the file", || !path.exists());
}

/// One request over a unix socket; the whole response.
fn request(socket: &str, text: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn http_and_websockets_work_over_a_unix_socket_without_a_token() {
    let home = Home::new();
    home.web_with(&[], "auth = \"token\"");
    let status = home.status();
    let socket = status["daemon"]["http"]["socket"].as_str().unwrap();
    assert_eq!(socket, home.pool().join("http.sock").to_str().unwrap());
    let mode = fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let health = request(socket, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200 OK"), "{health}");
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}}}).to_string();
    let post = |more: &str| {
        let length = hello.len();
        request(
            socket,
            &format!(
                "POST /mcp/fake HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
                 Content-Length: {length}\r\n{more}\r\n{hello}"
            ),
        )
    };
    let greeting = post("");
    assert!(greeting.contains("\"fake-server\""), "{greeting}");
    assert!(post("Origin: http://evil.com\r\n").starts_with("HTTP/1.1 403"));
    assert!(post("Via: somebody\r\n").starts_with("HTTP/1.1 401"));
    let mut asks = "ws://localhost/ws/fake".into_client_request().unwrap();
    let protocol = "mcp".parse().unwrap();
    asks.headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut talk, _granted) = tungstenite::client(asks, stream).unwrap();
    talk.send(hello.into()).unwrap();
    let greeting = talk.read().unwrap().into_text().unwrap();
    assert!(greeting.contains("\"fake-server\""), "{greeting}");
    home.done(&["stop"]);
    until("the end of the socket", || !fs::exists(socket).unwrap());
}

/// A request over a connection that stays open, and the head and the body of the response.
fn ask(stream: &mut BufReader<UnixStream>, session: &str, body: &Value) -> (String, Value) {
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST /mcp/fake HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{session}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let length = header(&head, "content-length").unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn connections_over_a_unix_socket_go_on_under_an_upgrade_and_the_socket_stays() {
    let home = Home::new();
    home.web_with(&[], "auth = \"token\"");
    let socket = home.status()["daemon"]["http"]["socket"].clone();
    let path = socket.as_str().unwrap();
    let connect = || {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    };
    let mut rests = connect();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}}});
    let (head, greeting) = ask(&mut rests, "", &hello);
    assert_eq!(greeting["result"]["serverInfo"]["name"], "fake-server");
    let key = header(&head, "mcp-session-id").unwrap();
    let session = format!("Mcp-Session-Id: {key}\r\n");
    let mut fresh = connect();
    for id in 2..5 {
        home.done(&["upgrade"]);
        let ping = json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
        for stream in [&mut rests, &mut fresh, &mut connect()] {
            let (_head, answer) = ask(stream, &session, &ping);
            assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {}}));
        }
        assert_eq!(home.status()["daemon"]["http"]["socket"], socket);
    }
    home.done(&["stop"]);
    until("the end of the socket", || !fs::exists(path).unwrap());
}

#[test]
fn an_address_of_a_server_is_its_own_after_an_upgrade() {
    let (home, addresses) = home_with_two();
    let mut session = Web::at(&addresses[1], "/mcp").session();
    let mut rests = session.kept_open();
    home.done(&["upgrade"]);
    assert_eq!(
        home.status()["daemon"]["http"]["addresses"],
        json!(addresses)
    );
    session.result("echo", json!({}));
    let ping = json!({"jsonrpc": "2.0", "id": 9, "method": "ping"});
    assert_eq!(rests.post(&ping)["id"], 9);
    // A session begins over a connection of before as well.
    let mut again = Web::at(&addresses[1], "/mcp").session();
    again.result("echo", json!({}));
    let servers = home.status()["sessions"].clone();
    let servers: Vec<_> = servers.as_array().unwrap().iter().collect();
    assert!(
        servers.iter().all(|it| it["server"] == "second"),
        "{servers:?}"
    );
}

#[test]
fn a_socket_in_a_place_that_is_taken_keeps_http_off_and_its_place_is_told() {
    let home = Home::new();
    let place = home.file("taken");
    fs::write(&place, "words").unwrap();
    home.configure(&format!(
        "[http]\nsocket = \"{place}\"\n[servers.fake]\ncommand = '{FAKE_SERVER}'\n"
    ));
    home.configured("fake").close();
    let http = home.status()["daemon"]["http"].clone();
    let trouble = http["trouble"].as_str().unwrap();
    assert!(trouble.contains(&place), "{trouble}");
    assert_eq!(http["socket"], Value::Null);
    assert_eq!(fs::read(&place).unwrap(), b"words");
}

#[test]
fn a_daemon_that_a_person_starts_ends_where_an_address_is_open_without_tls() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0"] {
        let home = Home::new();
        home.configure(&format!("[http]\nlisten = [\"{address}\"]\n"));
        let ran = home.run(&["serve"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let place = format!("config.toml:2:11: http.listen[0]: \"{address}\"");
        assert!(ran.stderr.contains(&place), "{ran:?}");
        assert!(ran.stderr.contains("tls = true"), "{ran:?}");
        assert_eq!(home.run(&["status"]).code, Some(3));
    }
}

#[test]
fn a_file_that_names_a_server_that_is_not_there_takes_nothing_from_a_daemon_that_runs() {
    let (home, addresses) = home_with_two();
    let file = home.pool().join("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    home.configure(&text.replace("server = \"second\"", "server = \"nope\""));
    home.configured("first").close();
    let status = home.status();
    assert_eq!(status["daemon"]["http"]["addresses"], json!(addresses));
    let told = home.run(&["status"]);
    let told = told.stdout + &told.stderr;
    assert!(told.contains("no server named `nope`"), "{told}");
    let added = home.run(&["add", "third", "--", "cat"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(added.stderr.contains("cannot be used yet"), "{added:?}");
    let mended = home.run(&["add", "nope", "--", "cat"]);
    assert!(!mended.stderr.contains("cannot be used yet"), "{mended:?}");
    Web::at(&addresses[1], "/mcp")
        .session()
        .result("echo", json!({}));
}
