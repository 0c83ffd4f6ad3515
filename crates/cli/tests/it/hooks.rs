//! `mcpool hook`: events of an agent, told to tools, to URLs and to WebSocket daemons.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};
use tungstenite::{
    Message, WebSocket,
    handshake::server::{Request, Response},
};

use crate::support::{FAKE_SERVER, Home, Ran, eventually, hooked, until, web::Web};

/// More than it ever takes: where a hook is to do what it is told, no test is about how long that takes.
const PATIENT: [&str; 2] = ["--timeout", "60"];

fn hook(home: &Home, line: &[&str], event: &Value) -> Ran {
    hooked(
        &mut home.mcpool(&[&["hook"], line, &PATIENT].concat()),
        &event.to_string(),
    )
}

/// What a hook says on standard output, as an agent reads it.
#[track_caller]
fn said(ran: &Ran) -> Value {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}

fn home(options: &[&str]) -> Home {
    let home = Home::new();
    let add = [&["add", "fake"], options, &["--", FAKE_SERVER]];
    home.done(&add.concat());
    home
}

#[test]
fn a_tool_hears_of_an_event_and_what_it_says_as_json_is_for_the_agent() {
    let home = home(&[]);
    let event = json!({"hook_event_name": "PreToolUse", "tool_input": {"words": r#"{"decision":"block"}"#}});
    let line = ["PreToolUse", "--server", "fake", "--tool", "echo"];
    let line = [&line[..], &["--arg", "text=${tool_input.words}"]].concat();
    let ran = hook(&home, &line, &event);
    assert_eq!(said(&ran), json!({"decision": "block"}));
    // Also behind an option of `mcpool` itself, where the large program hears it first.
    let pool = home.pool();
    let global = [
        &["--home", pool.to_str().unwrap(), "hook"],
        &line[..],
        &PATIENT,
    ]
    .concat();
    let ran = hooked(&mut home.mcpool(&global), &event.to_string());
    assert_eq!(said(&ran), json!({"decision": "block"}));
}

#[test]
fn plain_words_go_to_the_agent_where_they_mean_something_and_elsewhere_nowhere() {
    let home = home(&[]);
    let line = |event| [event, "--server", "fake", "--tool=echo", "--arg=text=hello"];
    let ran = hook(&home, &line("PostToolUse"), &json!({}));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let ran = hook(&home, &line("SessionStart"), &json!({}));
    let expected = json!({"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": "hello"}});
    assert_eq!(said(&ran), expected);
}

#[test]
fn the_server_is_that_of_the_project_in_which_the_agent_is() {
    let home = home(&["--scope", "workspace"]);
    let (one, two) = (home.project("one"), home.project("two"));
    let mut in_one =
        crate::support::Client::spawn(home.mcpool(&["connect", "fake"]).current_dir(&one));
    in_one.initialize();
    let pid = in_one.server_pid();
    let line = [
        "PreToolUse",
        "--server",
        "fake",
        "--tool",
        "echo",
        "--arg",
        "text=",
    ];
    let pid_of = |command: &mut Command, event: Value| {
        let ran = hooked(command, &event.to_string());
        said(&ran)["pid"].clone()
    };
    let hook = || home.mcpool(&[&["hook"], &line[..], &PATIENT].concat());
    let deep = one.join("deep");
    std::fs::create_dir(&deep).unwrap();
    assert_eq!(pid_of(&mut hook(), json!({"cwd": deep})), pid);
    assert_eq!(pid_of(hook().current_dir(&one), json!({})), pid);
    // As for the session itself, what the agent says of its project counts more.
    let project = ("CLAUDE_PROJECT_DIR", &one);
    let said = pid_of(hook().env(project.0, project.1), json!({"cwd": two}));
    assert_eq!(said, pid);
    assert_ne!(pid_of(&mut hook(), json!({"cwd": two})), pid);
}

#[test]
fn what_fails_lets_the_agent_go_on_or_blocks_it_as_it_was_told() {
    let home = home(&[]);
    let tool = |name| ["Stop", "--server", "fake", "--tool", name];
    let long = ["--timeout", "0.3"];
    for (line, event, why) in [
        (tool("fail").to_vec(), "{}", "`fail` of `fake`: "),
        (tool("nothing").to_vec(), "{}", "nothing"),
        (
            ["Stop", "--server", "nobody", "--tool", "x"].to_vec(),
            "{}",
            "no server named `nobody`",
        ),
        (
            [&tool("hang")[..], &long].concat(),
            "{}",
            "no answer within 0.3 s",
        ),
        (tool("echo").to_vec(), "{\"cut", "is cut off"),
        (tool("echo").to_vec(), "[1]", "not a JSON object"),
        (
            ["Stop", "--server", "fake"].to_vec(),
            "{}",
            "`--tool` is missing",
        ),
        (
            ["Stop", "--url", "http://127.0.0.1:1/"].to_vec(),
            "{}",
            "cannot connect to 127.0.0.1:1",
        ),
    ] {
        for (choice, code) in [("continue", 1), ("block", 2)] {
            let patient = if line.contains(&"--timeout") {
                &[]
            } else {
                &PATIENT[..]
            };
            let words = [&["hook"], &line[..], patient, &["--on-failure", choice]].concat();
            let ran = hooked(&mut home.mcpool(&words), event);
            assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
            assert_eq!(ran.stdout, "", "{words:?}");
            assert!(ran.stderr.contains(why), "{words:?}: {ran:?}");
        }
    }
    // Its call was cancelled with it: the server is free for the next.
    let ran = hook(
        &home,
        &[&tool("echo")[..], &["--arg", "text={}"]].concat(),
        &json!({}),
    );
    assert_eq!(said(&ran), json!({}));
}

#[test]
fn nothing_on_standard_input_is_an_event_without_anything_in_it() {
    let home = home(&[]);
    let line = ["hook", "SessionStart", "--server", "fake", "--tool", "echo"];
    let line = [&line[..], &["--arg", "text=all: ${.}"]].concat();
    // The pipe stays open, and nothing ever comes.
    let ran = hooked(home.mcpool(&line).args(PATIENT), "");
    let context = &said(&ran)["hookSpecificOutput"]["additionalContext"];
    assert_eq!(context, "all: {}");
    // A guard that is not told what it guards does not say yes.
    let guard = [&line[..], &["--on-failure", "block"]].concat();
    let ran = hooked(home.mcpool(&guard).args(["--timeout", "0.3"]), "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("no event came"), "{ran:?}");
    let mut closed = home.mcpool(&guard);
    let closed = closed.args(PATIENT).stdin(Stdio::null()).output().unwrap();
    let context: Value = serde_json::from_slice(&closed.stdout).unwrap();
    let context = &context["hookSpecificOutput"]["additionalContext"];
    assert_eq!(context, "all: {}");
}

/// Answers one request, byte for byte; what it was comes back.
fn answer_once(response: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\"end\":1}") {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&asked));
            asked.extend_from_slice(&chunk[..read]);
        }
        stream.write_all(response.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, served)
}

#[test]
fn an_event_is_posted_to_a_url_and_the_answer_is_for_the_agent() {
    let home = Home::new();
    let event = r#"{"hook_event_name":"Stop","end":1}"#;
    let (address, served) = answer_once(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{\"continue\":true}\r\n0\r\n\r\n",
    );
    let url = format!("http://{address}/hooks/stop?a=b");
    let line = ["hook", "Stop", "--url", &url, "--bearer-env", "TOKEN"];
    let mut command = home.mcpool(&line);
    let ran = hooked(command.args(PATIENT).env("TOKEN", "s3cret"), event);
    assert_eq!(said(&ran), json!({"continue": true}));
    let asked = served.join().unwrap();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /hooks/stop?a=b HTTP/1.1\r\n"),
        "{head}"
    );
    let lines: Vec<&str> = head.lines().collect();
    for line in [
        &format!("Host: {address}"),
        "Content-Type: application/json",
        "Authorization: Bearer s3cret",
    ] {
        assert!(lines.contains(&line), "{line}: {head}");
    }
    assert_eq!(body, event);
}

#[test]
fn a_url_that_answers_with_anything_but_success_has_failed() {
    let home = Home::new();
    for (response, why) in [
        (
            "HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\nnot\x1b[Jnow",
            "answered 503: not [Jnow",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "302",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "cut off"),
        ("SSH-2.0-x\r\n\r\n", "no head of HTTP"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<p>sign in</p>\r\n",
            "not a JSON object, or is cut off: <p>sign in</p>",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n{\"decision\":\"blo", "cut off"),
    ] {
        let (address, served) = answer_once(response);
        let url = format!("http://{address}/");
        let ran = hooked(
            home.mcpool(&["hook", "Stop", "--url", &url]).args(PATIENT),
            "{\"end\":1}",
        );
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
        served.join().unwrap();
    }
    // Nothing at all is over by the deadline.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let line = [
        "hook",
        "Stop",
        "--url",
        &url,
        "--timeout=0.2",
        "--on-failure=block",
    ];
    let ran = hooked(&mut home.mcpool(&line), "{}");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("no answer within 0.2 s"), "{ran:?}");
    drop(listener);
}

/// A daemon in the way of mcp-proxy, for one connection: what it was asked for, what it heard, and
/// whether it was closed in good order.
fn socket_daemon(answers: Vec<Value>) -> (String, JoinHandle<(String, Vec<Value>, bool)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut asked = String::new();
        #[expect(clippy::result_large_err, reason = "the library wants it so")]
        let note = |request: &Request, response: Response| {
            asked = request.uri().to_string();
            Ok(response)
        };
        let mut socket: WebSocket<TcpStream> = tungstenite::accept_hdr(stream, note).unwrap();
        let mut heard = Vec::new();
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => {
                    heard.push(serde_json::from_str(&text).unwrap());
                    for answer in &answers {
                        let answer = Message::text(answer.to_string());
                        socket.send(answer).unwrap();
                    }
                }
                Ok(_other) => {}
                Err(error) => {
                    let in_order = matches!(error, tungstenite::Error::ConnectionClosed);
                    return (asked, heard, in_order);
                }
            }
        }
    });
    (address, served)
}

#[test]
fn a_websocket_daemon_is_asked_at_its_place_for_hooks() {
    let home = Home::new();
    let event = json!({"session_id": "abc-1", "n": 1.0});
    let (address, served) = socket_daemon(vec![
        json!({"jsonrpc": "2.0", "method": "notifications/message"}),
        json!({"jsonrpc": "2.0", "id": 7, "result": "another's"}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"decision": "block"}}),
    ]);
    // Wherever its server is, hooks are at `/hook`.
    let url = format!("ws://{address}/mcp");
    let ran = hook(&home, &["PreToolUse", "--url", &url], &event);
    assert_eq!(said(&ran), json!({"decision": "block"}));
    let (asked, heard, _) = served.join().unwrap();
    assert_eq!(asked, "/hook?session_key=abc-1");
    let expected = json!({"jsonrpc": "2.0", "id": 1, "method": "hook/PreToolUse", "params": event});
    assert_eq!(heard, [expected]);
}

#[test]
fn a_websocket_daemon_s_error_is_a_failure_and_nothing_is_no_answer() {
    let home = Home::new();
    let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "not today"}});
    let (address, served) = socket_daemon(vec![error]);
    let url = format!("ws://{address}");
    let ran = hook(
        &home,
        &["Stop", "--url", &url, "--on-failure", "block"],
        &json!({}),
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("not today"), "{ran:?}");
    served.join().unwrap();
    // What it asks itself is no answer, and neither is one that says neither.
    let (address, served) = socket_daemon(vec![
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
        json!({"jsonrpc": "2.0", "id": 1}),
    ]);
    let url = format!("ws://{address}");
    let ran = hook(
        &home,
        &["Stop", "--url", &url, "--on-failure", "block"],
        &json!({}),
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stderr.contains("neither"), "{ran:?}");
    served.join().unwrap();
    let nothing = json!({"jsonrpc": "2.0", "id": 1, "result": null});
    let (address, served) = socket_daemon(vec![nothing]);
    let ran = hook(
        &home,
        &["Stop", "--url", &format!("ws://{address}/?session_key=9")],
        &json!({}),
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(served.join().unwrap().0, "/hook?session_key=9");
}

#[test]
fn an_event_that_is_only_told_has_arrived_when_the_hook_ends() {
    let home = Home::new();
    let (address, served) = socket_daemon(Vec::new());
    let url = format!("ws://{address}");
    let ran = hook(
        &home,
        &["SessionEnd", "--url", &url, "--async"],
        &json!({"a": 1}),
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let (_, heard, in_order) = served.join().unwrap();
    let expected = json!({"jsonrpc": "2.0", "method": "hook/SessionEnd", "params": {"a": 1}});
    assert_eq!((heard, in_order), (vec![expected], true));
}

/// The code, and what is on standard error, of a guard whose answer of some bytes goes there, once there is an answer:
/// a server that nobody lets run has none within the guard's two seconds.
#[track_caller]
fn guard_told(
    home: &Home,
    bytes: usize,
    mut stdout: impl FnMut() -> Stdio,
) -> (Option<i32>, String) {
    eventually("an answer of the tool in time", || {
        let told = guard_says(home, bytes, stdout());
        (!told.1.contains("no answer within")).then_some(told)
    })
}

fn guard_says(home: &Home, bytes: usize, stdout: Stdio) -> (Option<i32>, String) {
    let event = json!({"words": json!({"reason": "x".repeat(bytes)}).to_string()});
    let event_file = home.file("event");
    std::fs::write(&event_file, event.to_string()).unwrap();
    let line = ["hook", "PreToolUse", "--server", "fake", "--tool", "echo"];
    let line = [&line[..], &["--arg", "text=${words}"]].concat();
    let guard = [&line[..], &["--on-failure", "block", "--timeout", "2"]].concat();
    let ran = home
        .mcpool(&guard)
        .stdin(std::fs::File::open(event_file).unwrap())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn an_answer_that_does_not_arrive_is_none() {
    let home = home(&[]);
    // The server and the daemon run already.
    hook(
        &home,
        &["Stop", "--server", "fake", "--tool", "echo"],
        &json!({}),
    );
    // More than a pipe holds.
    let mut unread = Vec::new();
    let (code, why) = guard_told(&home, 300_000, || {
        let (reader, whole) = std::io::pipe().unwrap();
        unread.push(reader);
        whole.into()
    });
    assert_eq!(code, Some(2), "{why}");
    assert!(
        why.contains("nobody has read the answer within 2 s"),
        "{why}"
    );
    drop(unread);
    // As much as it takes at once, and there is no room.
    let (full, mut filled) = std::io::pipe().unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&filled).unwrap();
    filled.write_all(&vec![b'x'; room]).unwrap();
    let (code, why) = guard_told(&home, 1, || filled.try_clone().unwrap().into());
    assert_eq!(code, Some(2), "{why}");
    assert!(
        why.contains("nobody has read the answer within 2 s"),
        "{why}"
    );
    drop((full, filled));
    let (gone, closed) = std::io::pipe().unwrap();
    drop(gone);
    let (code, why) = guard_told(&home, 1, || closed.try_clone().unwrap().into());
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains("writing the answer"), "{why}");
    let full = std::fs::File::options().write(true).open("/dev/full");
    if cfg!(target_os = "linux") {
        let full = full.unwrap();
        let (code, why) = guard_told(&home, 1, || full.try_clone().unwrap().into());
        assert_eq!(code, Some(2), "{why}");
    }
}

/// Where an event is posted to over HTTP, in braces and all.
fn hooks(web: &Web, line: &str) -> Web {
    web.to(&format!(
        "/hook/{}",
        line.replace('{', "%7B").replace('}', "%7D")
    ))
}

#[test]
fn agents_whose_hooks_can_post_need_no_process() {
    let home = Home::new();
    let web = home.web(&[]);
    let event = json!({"tool_input": {"words": r#"{"decision":"block"}"#}});
    let echoes = "PreToolUse?server=fake&tool=echo&arg=text=${tool_input.words}";
    let told = hooks(&web, echoes).post(&event);
    assert_eq!(told.status, 200);
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(told.json(), json!({"decision": "block"}));
    let words = "?server=fake&tool=echo&arg=text=hello";
    let told = hooks(&web, &format!("Stop{words}")).post(&event);
    assert_eq!((told.status, told.json()), (200, json!({})));
    let told = hooks(&web, &format!("UserPromptSubmit{words}")).post(&event);
    let context = &told.json()["hookSpecificOutput"]["additionalContext"];
    assert_eq!(context, "hello");
    for (line, status, why) in [
        ("Stop?server=fake&tool=fail&arg=text=why", 502, "why"),
        ("Stop?server=fake&tool=nothing", 502, "nothing"),
        ("Stop?server=nobody&tool=echo", 404, "nobody"),
        ("Stop?server=fake", 400, "`tool`"),
        ("St.op?server=fake&tool=echo", 400, "name of an event"),
        ("Stop?server=fake&tool=echo&agr=text=x", 400, "`agr`"),
        ("Stop?server=fake&tool=echo&tool=fail", 400, "`tool`"),
    ] {
        let failed = hooks(&web, line).post(&event);
        assert_eq!(failed.status, status, "{line}");
        let said = failed.json();
        let words = said["error"]["message"].as_str().unwrap();
        assert!(words.contains(why), "{line}: {said}");
    }
    let not_an_event = hooks(&web, echoes).post(&json!([]));
    assert_eq!(not_an_event.status, 400);
    // Arguments that clients of the modern era say in headers as well are not said there.
    let mirrored = "SessionStart?server=fake&tool=mirrored&arg=text=hello";
    let told = hooks(&web, mirrored).post(&event);
    let context = &told.json()["hookSpecificOutput"]["additionalContext"];
    assert_eq!(context, "hello");
}

#[test]
fn a_hook_that_is_posted_waits_for_its_time_and_the_tool_hears_that_nobody_does_any_more() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let late = |seconds: &str| {
        let line = format!("PreToolUse?server=fake&tool=hang&timeout={seconds}");
        let late = hooks(&web, &line).post(&json!({}));
        assert_eq!(late.status, 504);
        let said = late.json();
        let words = said["error"]["message"].as_str().unwrap();
        assert!(words.contains("`timeout`"), "{said}");
    };
    late("0.5");
    home.noted("record", "cancelled");
    // It goes on waiting behind an upgrade, and for no longer.
    thread::scope(|all| {
        all.spawn(|| late("3"));
        until("the call", || home.count("record", "call hang") == 2);
        home.done(&["upgrade"]);
    });
    until("its end", || home.count("record", "cancelled") == 2);
}

#[test]
fn a_hook_that_is_posted_reaches_the_project_in_which_the_agent_is() {
    let home = Home::new();
    let web = home.web_with(
        &[],
        "[servers.own]\ncommand = \"FAKE\"\nscope = \"workspace\""
            .replace("FAKE", FAKE_SERVER)
            .as_str(),
    );
    let (one, two) = (home.project("one"), home.project("two"));
    let mut in_one =
        crate::support::Client::spawn(home.mcpool(&["connect", "own"]).current_dir(&one));
    in_one.initialize();
    let pid_at = |cwd: &std::path::Path, more: &str| {
        let line = format!("PreToolUse?server=own&tool=echo&arg=text={more}");
        hooks(&web, &line).post(&json!({"cwd": cwd})).json()["pid"].clone()
    };
    let deep = one.join("deep");
    std::fs::create_dir(&deep).unwrap();
    assert_eq!(pid_at(&deep, ""), in_one.server_pid());
    assert_ne!(pid_at(&two, ""), in_one.server_pid());
    let said = format!("&workspace={}", one.to_str().unwrap());
    assert_eq!(pid_at(&two, &said), in_one.server_pid());
}

#[test]
fn a_hook_that_was_posted_before_an_upgrade_is_answered_behind_it() {
    let home = Home::new();
    let web = home.web(&[]);
    let go = home.file("go");
    let line =
        format!("SessionStart?server=fake&tool=slow&arg=text=late&arg=until={go}&timeout=60");
    let web = hooks(&web, &line);
    let posted = thread::spawn(move || web.post(&json!({})).json());
    until("the call", || home.upstream()["in_flight"] == 1);
    home.done(&["upgrade"]);
    std::fs::write(go, "").unwrap();
    let context = &posted.join().unwrap()["hookSpecificOutput"]["additionalContext"];
    assert_eq!(context, "late");
}
