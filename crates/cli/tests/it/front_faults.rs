//! Bad days with sessions on every front: over stdio, over HTTP of either era, and over WebSocket.

use std::{
    fs,
    io::{BufReader, Read as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::{
    http_modern::{ask, call_of, fitted},
    support::{
        Client, FAKE_SERVER, Home, free_address,
        processes::Process,
        talk::Talk,
        until,
        web::{Response, Web, call},
    },
};

/// One session of each kind on the same process.
struct Fronts {
    stdio: Client,
    http: Web,
    modern: Web,
    socket: Talk,
}

/// What is open of each.
struct Open {
    stdio: u64,
    http: Response,
    modern: TcpStream,
    socket: u64,
}

const NAMES: [&str; 4] = ["stdio", "http", "modern", "socket"];

impl Fronts {
    fn at(home: &Home, web: &Web) -> Fronts {
        Fronts {
            stdio: home.configured("fake"),
            http: web.session(),
            modern: web.clone(),
            socket: web.talk(),
        }
    }

    /// Calls a tool from everywhere, each with a mark of its own.
    fn begin(&mut self, tool: &str, mut arguments: Value) -> Open {
        let mut marked = |name: &str| {
            arguments["mark"] = json!(name);
            arguments.clone()
        };
        let [stdio, http, modern, socket] = NAMES.map(&mut marked);
        let modern = call_of(tool, modern);
        Open {
            stdio: self.stdio.begin(tool, stdio),
            socket: self.socket.call(tool, socket),
            modern: fitted(&self.modern, &modern).send("POST", modern.to_string().as_bytes()),
            http: self.http.call(tool, http),
        }
    }

    /// The answers to all of it.
    fn answers(&mut self, open: Open) -> [(&'static str, Value); 4] {
        [
            ("stdio", self.stdio.response(open.stdio)),
            ("http", open.http.answer()),
            (
                "modern",
                Response::read(BufReader::new(open.modern)).answer(),
            ),
            ("socket", self.socket.answer(&json!(open.socket))),
        ]
    }

    /// The process that serves, whoever asks.
    fn server(&mut self) -> Process {
        let echo = call_of("echo", json!({}));
        let modern = ask(&self.modern, &echo).answer();
        let pids = [
            self.stdio.server_pid().into(),
            self.http.result("echo", json!({}))["structuredContent"]["pid"].clone(),
            modern["result"]["structuredContent"]["pid"].clone(),
            self.socket.result("echo", json!({}))["structuredContent"]["pid"].clone(),
        ];
        assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
        Process::of(pids[0].as_u64().unwrap().try_into().unwrap()).unwrap()
    }
}

/// Waits until all calls are at the server.
fn all_have_come(home: &Home) {
    for name in NAMES {
        home.noted("record", &format!("executed {name} "));
    }
}

fn nothing_ran_twice(home: &Home) {
    for name in NAMES {
        assert_eq!(home.count("record", &format!("executed {name} ")), 1);
    }
}

#[test]
fn a_server_that_is_killed_owes_one_error_to_each_call_of_every_front() {
    let home = Home::new();
    let web = home.web(&["--record", &home.file("record")]);
    let mut fronts = Fronts::at(&home, &web);
    let server = fronts.server();
    let open = fronts.begin("slow", json!({"until": home.file("never")}));
    all_have_come(&home);
    server.kill();
    for (name, answer) in fronts.answers(open) {
        let data = &answer["error"]["data"];
        assert_eq!(
            (&data["reason"], &data["maybeExecuted"]),
            (&json!("upstream-exited"), &json!(true)),
            "{name}: {answer}"
        );
    }
    // They go on, at the next process.
    assert!(fronts.server().is_alive());
    nothing_ran_twice(&home);
    assert_eq!(home.upstream()["restarts"], 1);
}

#[test]
fn a_server_that_hangs_keeps_the_calls_of_every_front_until_it_goes_on() {
    let home = Home::new();
    home.configure(&format!(
        "[limits]\nping_interval = \"500ms\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nargs = {}\nscope = \"global\"\n",
        json!(["--record", home.file("record")]),
    ));
    home.come_and_go("fake");
    let web = Web::at(&home.http_address(), "/mcp/fake");
    let mut fronts = Fronts::at(&home, &web);
    let server = fronts.server();
    let restarts = home.upstream()["restarts"].clone();
    server.signal(Signal::STOP);
    let open = fronts.begin("echo", json!({"text": "late"}));
    until("the hang is noticed", || {
        home.upstream()["state"] == "unresponsive"
    });
    server.signal(Signal::CONT);
    for (name, answer) in fronts.answers(open) {
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, "late", "{name}: {answer}");
    }
    nothing_ran_twice(&home);
    assert_eq!(home.upstream()["restarts"], restarts);
}

#[test]
fn whoever_comes_back_to_the_next_daemon_finds_the_same_server() {
    let home = Home::new();
    let web = home.web(&["--record", &home.file("record")]);
    let mut fronts = Fronts::at(&home, &web);
    let server = fronts.server();
    let mut open = fronts.begin("slow", json!({"until": home.file("never")}));
    all_have_come(&home);
    let last = open.http.data().and(open.http.last.clone());
    until("a row of the session over HTTP that says so", || {
        let folder = fs::read_dir(home.pool().join("state/sessions")).unwrap();
        let mut rows =
            folder.map(|row| fs::read_to_string(row.unwrap().path()).unwrap_or_default());
        rows.any(|row| row.contains("\"open\""))
    });
    home.kill_daemon();
    // Who has a connection of its own loses it with the daemon, and hears of nothing else.
    until("the end of the socket", || {
        !matches!(fronts.socket.next(), Ok(Message::Text(_)))
    });
    let mut heard = String::new();
    let _cut = open.modern.read_to_string(&mut heard);
    assert_eq!(heard, "", "nobody has answered it");
    let told = fronts.stdio.response(open.stdio);
    assert_eq!(
        told["error"]["data"]["reason"], "daemon-restarted",
        "{told}"
    );
    let web = web.moved_to(&home.http_address());
    fronts.http = fronts.http.moved_to(web.address());
    let told = fronts.http.resume(&last.unwrap()).event().unwrap();
    assert_eq!(
        told["error"]["data"]["reason"], "daemon-restarted",
        "{told}"
    );
    fronts.modern = web.clone();
    fronts.socket = web.talk();
    fronts.server();
    assert!(server.is_alive() && home.upstream_pids().len() == 1);
    nothing_ran_twice(&home);
}

#[test]
fn an_upgrade_is_noticed_on_no_front() {
    let home = Home::new();
    let web = home.web(&["--record", &home.file("record")]);
    let mut fronts = Fronts::at(&home, &web);
    let server = fronts.server();
    let go = home.file("go");
    let open = fronts.begin("slow", json!({"until": go, "text": "done"}));
    all_have_come(&home);
    for _ in 0..2 {
        home.done(&["upgrade"]);
    }
    fs::write(&go, "").unwrap();
    for (name, answer) in fronts.answers(open) {
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, "done", "{name}: {answer}");
    }
    assert_eq!(fronts.server(), server);
    nothing_ran_twice(&home);
}

#[test]
fn under_deaths_whoever_opens_another_websocket_goes_on_and_nothing_is_carried_out_twice() {
    let home = Home::new();
    // Clients find the next daemon where the last one was.
    let address = free_address().to_string();
    home.configure(&format!(
        "[http]\nlisten = [\"{address}\"]\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nargs = {}\nscope = \"global\"\n",
        json!(["--record", home.file("record")]),
    ));
    home.configured("fake").close();
    let web = Web::at(&address, "/mcp/fake");
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let note = |mark: &str, answer: Option<Value>| {
        let runs = home.count("record", &format!("executed {mark} "));
        assert!(runs <= 1, "{mark}");
        if answer.is_some_and(|answer| answer["result"].is_object()) {
            assert_eq!(runs, 1, "{mark}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for number in 0..3 {
            let (is_over, web) = (&is_over, &web);
            scope.spawn(move || {
                let mut talk = None;
                for id in 0_u64.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    talk = talk.or_else(|| web.may_talk());
                    let mark = format!("s{number} c{id}");
                    let answer = talk.as_mut().and_then(|talk: &mut Talk| {
                        talk.try_answer(&call(id, "echo", json!({"mark": mark})))
                    });
                    if answer.is_none() {
                        talk = None;
                    }
                    note(&mark, answer);
                }
            });
        }
        scope.spawn(|| {
            for id in 0_u64.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let mark = format!("modern c{id}");
                let message = call_of("echo", json!({"mark": mark}));
                let outcome = fitted(&web, &message).try_post(&message);
                let answer = outcome.and_then(|(_status, text)| {
                    let body = text.split_once("\r\n\r\n")?.1;
                    serde_json::from_str(body).ok()
                });
                note(&mark, answer);
            }
        });
        for _ in 0..5 {
            let before = answered.load(Ordering::Relaxed);
            until("answers", || answered.load(Ordering::Relaxed) > before + 8);
            home.kill_daemon();
            home.configured("fake").close();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    web.talk().result("echo", json!({}));
}
