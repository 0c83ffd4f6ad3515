//! Sessions over WebSockets.

use std::{
    fs,
    io::{Read as _, Write as _},
    thread,
};

use serde_json::{Value, json};
use tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{CloseCode, Data, OpCode},
    },
};

use crate::support::{Home, talk::Talk, until, web::call};

#[test]
fn a_session_begins_is_answered_and_ends_with_its_socket() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.try_talk("/ws/fake?session_key=mine", &[]).unwrap();
    let greeting = talk.begin(json!({}));
    assert_eq!(greeting["serverInfo"]["name"], "fake-server");
    assert_eq!(greeting["protocolVersion"], "2025-11-25");
    let answer = talk.result("echo", json!({"text": "hello"}));
    assert_eq!(answer["content"][0]["text"], "hello");
    talk.send(Message::Ping("still there?".into()));
    let pong = talk.next().unwrap();
    assert_eq!(pong, Message::Pong("still there?".into()));
    let status = home.status();
    let shown = &status["sessions"][0];
    assert_eq!(shown["front"], "ws");
    assert_eq!(shown["client"], "talk 1");
    assert_eq!(shown["session_key"], "mine");
    talk.close();
    until("the end of the session", || {
        home.status()["sessions"].as_array().unwrap().is_empty()
    });
    let mut only = web.try_talk("/ws", &[]).unwrap();
    only.begin(json!({}));
    let mut at_mcp = web.try_talk("/mcp/fake", &[]).unwrap();
    at_mcp.begin(json!({}));
    at_mcp.result("echo", json!({}));
}

#[test]
fn sessions_over_websockets_http_and_stdio_share_one_process() {
    let home = Home::new();
    let web = home.web(&["--fatal-second-initialize"]);
    let mut shim = home.configured("fake");
    let pid = shim.server_pid();
    let talks: Vec<Talk> = (0..8).map(|_| web.talk()).collect();
    thread::scope(|scope| {
        for (number, mut talk) in talks.into_iter().enumerate() {
            let mut session = web.session();
            scope.spawn(move || {
                for round in 0..5 {
                    let text = format!("{number} says {round}");
                    let result = talk.result("echo", json!({"text": text}));
                    assert_eq!(result["content"][0]["text"], text);
                    assert_eq!(result["structuredContent"]["pid"], pid);
                }
                session.result("echo", json!({}));
                talk.close();
            });
        }
    });
    assert_eq!(
        shim.text("echo", json!({"text": "still here"})),
        "still here"
    );
    assert_eq!(home.status()["upstreams"].as_array().unwrap().len(), 1);
}

#[test]
fn what_belongs_to_a_call_reaches_its_session_alone_and_news_reach_all() {
    let home = Home::new();
    let web = home.web(&[]);
    let (mut one, mut other) = (web.talk(), web.talk());
    let id = one.call("progress", json!({"steps": 3}));
    one.answer(&json!(id));
    for step in 1..=3 {
        let progress = one.hear();
        assert_eq!(progress["method"], "notifications/progress");
        assert_eq!(progress["params"]["progressToken"], id);
        assert_eq!(progress["params"]["progress"], step);
    }
    one.result("change", json!({}));
    for talk in [&mut one, &mut other] {
        let told = talk.hear();
        assert_eq!(told["method"], "notifications/tools/list_changed");
    }
}

#[test]
fn a_server_asks_during_a_call_and_is_answered() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.talk_with(json!({"sampling": {}}));
    let id = talk.call("sample", json!({}));
    let ask = talk.hear();
    assert_eq!(ask["method"], "sampling/createMessage", "{ask}");
    let text = json!({"type": "text", "text": "yes"});
    talk.say(&json!({
        "jsonrpc": "2.0",
        "id": ask["id"],
        "result": {"model": "m", "role": "assistant", "content": text},
    }));
    let answer = talk.answer(&json!(id));
    assert_eq!(answer["result"]["content"][0]["type"], "text", "{answer}");
}

#[test]
fn the_calls_of_a_client_that_is_killed_are_cancelled() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let mut stays = web.talk();
    for mark in ["alone", "with more to say"] {
        let mut talk = web.talk();
        talk.call("hang", json!({"mark": mark}));
        home.noted("record", &format!("executed {mark}"));
        if mark != "alone" {
            // It is in the middle of a message.
            talk.stream().write_all(&[0x81, 0xFE, 0x01]).unwrap();
        }
        talk.vanish();
    }
    until("the cancellation of both", || {
        home.count("record", "received notifications/cancelled") == 2
    });
    until("the end of both sessions", || {
        home.status()["sessions"].as_array().unwrap().len() == 1
    });
    stays.result("echo", json!({}));
}

#[test]
fn a_request_for_a_websocket_passes_the_gate_or_is_told_why_not() {
    let home = Home::new();
    let web = home.web(&[]);
    let foreign: [(&str, &str); 5] = [
        ("host", "evil.com"),
        ("origin", "http://evil.com"),
        ("origin", "null"),
        ("origin", "http://localhost:1"),
        ("sec-fetch-site", "cross-site"),
    ];
    for path in ["/ws/fake", "/ws", "/mcp/fake", "/mcp", "/nothing"] {
        for header in foreign {
            let (status, reason) = web.try_talk(path, &[header]).err().unwrap();
            assert_eq!(status, 403, "{path} {header:?} {reason}");
        }
    }
    for (path, headers, expected) in [
        (
            "/ws/fake",
            ("sec-websocket-protocol", "other"),
            (400, "no-subprotocol"),
        ),
        (
            "/ws/fake",
            ("sec-websocket-protocol", ""),
            (400, "no-subprotocol"),
        ),
        (
            "/ws/fake",
            ("sec-websocket-version", "8"),
            (426, "no-websocket"),
        ),
        (
            "/ws/fake",
            ("x-forwarded-for", "1.2.3.4"),
            (401, "unauthorized"),
        ),
        ("/ws/missing", ("x-none", ""), (404, "no-such-server")),
        ("/ws/fake/more", ("x-none", ""), (404, "no-such-path")),
        (
            "/ws/fake?workspace=relative",
            ("x-none", ""),
            (400, "bad-request"),
        ),
        (
            "/ws/fake?repo=/no/where",
            ("x-none", ""),
            (400, "bad-configuration"),
        ),
    ] {
        let (status, reason) = web.try_talk(path, &[headers]).err().unwrap();
        assert_eq!((status, reason.as_str()), expected, "{path} {headers:?}");
    }
    let plain = web.to("/ws/fake").get();
    assert_eq!(
        (plain.status, plain.header("upgrade")),
        (426, Some("websocket"))
    );
    assert_eq!(web.to("/ws/fake").post(&json!({})).status, 405);
    let ours = format!("http://{}", web.address());
    web.try_talk("/ws/fake", &[("origin", &ours)]).unwrap();
}

#[test]
fn with_a_token_alone_no_websocket_opens_without_it() {
    let home = Home::new();
    let web = home.web_with(&[], "auth = \"token\"");
    let refused = web.try_talk("/ws/fake", &[]).err().unwrap();
    assert_eq!(refused, (401, "unauthorized".to_owned()));
    let token = fs::read_to_string(home.pool().join("state/http-token")).unwrap();
    let bearer = format!("Bearer {}", token.trim_end());
    let mut known = web
        .try_talk("/ws/fake", &[("authorization", &bearer)])
        .unwrap();
    known.begin(json!({}));
}

#[test]
fn a_session_is_bound_to_its_workspace_by_url_or_header() {
    let home = Home::new();
    let web = home.web(&[]);
    let project = home.project("work");
    let project = project.to_str().unwrap();
    let mut by_url = web
        .try_talk(&format!("/ws/fake?workspace={project}"), &[])
        .unwrap();
    by_url.begin(json!({}));
    let header = ("mcpool-workspace", project);
    let mut by_header = web.try_talk("/ws/fake", &[header]).unwrap();
    by_header.begin(json!({}));
    let status = home.status();
    let sessions = status["sessions"].as_array().unwrap();
    let bound = sessions.iter().filter(|it| it["workspace"] == project);
    assert_eq!(bound.count(), 2, "{status}");
}

/// A home with this limit of a message.
fn with_limit(home: &Home, limit: &str) -> crate::support::web::Web {
    let more = format!("[limits]\nmessage_bytes = \"{limit}\"\n");
    home.web_with(&[], &more)
}

fn text_frame(bytes: Vec<u8>, kind: Data, is_last: bool) -> Frame {
    Frame::message(bytes, OpCode::Data(kind), is_last)
}

fn is_too_long(answer: &Value) -> bool {
    let text = answer["error"]["message"].as_str();
    text.is_some_and(|text| text.contains("may have at most"))
}

#[test]
fn what_is_too_long_is_an_error_to_its_request_and_the_session_goes_on() {
    let home = Home::new();
    let web = with_limit(&home, "1 MiB");
    let mut talk = web.talk();
    let text = "x".repeat(2 << 20);
    let id = talk.call("echo", json!({"text": text}));
    let answer = talk.answer(&json!(id));
    assert!(is_too_long(&answer), "{answer}");
    let text = "y".repeat(900_000);
    let result = talk.result("echo", json!({"text": text}));
    assert!(result["content"][0]["text"] == text.as_str());
    // Its parts are within the limit, all together are not.
    let id = 77;
    let message = call(id, "echo", json!({"text": "z".repeat(2 << 20)})).to_string();
    let parts: Vec<&[u8]> = message.as_bytes().chunks(500_000).collect();
    for (number, part) in parts.iter().enumerate() {
        let kind = if number == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let is_last = number + 1 == parts.len();
        let frame = text_frame(part.to_vec(), kind, is_last);
        talk.send(Message::Frame(frame));
    }
    let answer = talk.answer(&json!(id));
    assert!(is_too_long(&answer), "{answer}");
    talk.result("echo", json!({"text": "goes on"}));
}

#[test]
fn what_is_no_message_is_answered_and_what_is_no_text_closes() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.talk();
    for words in ["{", "", " \n ", "[]", "\u{1e}done 1"] {
        talk.send(Message::text(words));
        let answer = talk.hear();
        let code = answer["error"]["code"].as_i64().unwrap();
        assert!(code == -32700 || code == -32600, "{words:?}: {answer}");
        assert_eq!(answer["id"], Value::Null);
    }
    talk.result("echo", json!({}));
    for _ in 0..10 {
        talk.send(Message::text("garbage"));
    }
    assert_eq!(talk.closed(), Some(CloseCode::Policy));
    for _ in 0..10 {
        assert_eq!(talk.hear()["error"]["code"], -32700);
    }
    let mut torn = web.talk();
    let bytes = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec();
    torn.send(Message::Frame(text_frame(bytes, Data::Text, true)));
    assert_eq!(torn.closed(), Some(CloseCode::Invalid));
    let mut binary = web.talk();
    binary.send(Message::binary(call(1, "echo", json!({})).to_string()));
    assert_eq!(binary.closed(), Some(CloseCode::Unsupported));
    let mut unmasked = web.talk();
    unmasked.stream().write_all(&[0x81, 2, b'{', b'}']).unwrap();
    assert_eq!(unmasked.closed(), Some(CloseCode::Protocol));
    until("the end of all of them", || {
        home.status()["sessions"].as_array().unwrap().is_empty()
    });
}

#[test]
fn messages_may_come_byte_by_byte_and_with_ends_of_lines_in_them() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.talk();
    let pretty = serde_json::to_string_pretty(&call(5, "echo", json!({"text": "a\nb"}))).unwrap();
    let length = u16::try_from(pretty.len()).unwrap().to_be_bytes();
    let frame = [&[0x81, 0xFE], &length[..], &[0; 4], pretty.as_bytes()].concat();
    for byte in frame {
        talk.stream().write_all(&[byte]).unwrap();
    }
    let answer = talk.answer(&json!(5));
    assert_eq!(answer["result"]["content"][0]["text"], "a\nb");
}

#[test]
fn who_does_not_read_harms_nobody_else_and_loses_nothing_in_silence() {
    let home = Home::new();
    let more = "[limits]\nmessage_bytes = \"2 MiB\"\nslow_reader_bytes = \"2 MiB\"\n";
    let web = home.web_with(&[], more);
    let (mut slow, mut quick) = (web.talk(), web.talk());
    let calls: Vec<u64> = (0..40)
        .map(|_| slow.call("big", json!({"bytes": 1 << 20})))
        .collect();
    for _ in 0..20 {
        quick.result("echo", json!({"text": "not slowed down"}));
    }
    let mut answered = 0;
    for id in calls {
        let answer = slow.answer(&json!(id));
        if answer["result"].is_object() {
            answered += 1;
        } else {
            assert_eq!(answer["error"]["data"]["source"], "mcpool", "{answer}");
        }
    }
    assert!(answered > 0);
    slow.result("echo", json!({"text": "heard again"}));
}

#[test]
fn a_daemon_that_ends_says_so_and_one_that_is_upgraded_does_not() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.talk();
    assert_eq!(talk.result("count", json!({}))["content"][0]["text"], "1");
    let told: Value = serde_json::from_str(&home.done(&["upgrade", "--json"])).unwrap();
    assert_eq!(told["sessions"], 1, "{told}");
    assert_eq!(talk.result("count", json!({}))["content"][0]["text"], "2");
    assert_eq!(home.status()["sessions"][0]["front"], "ws");
    home.done(&["stop"]);
    assert_eq!(talk.closed(), Some(CloseCode::Away));
    let mut rest = Vec::new();
    let _end = talk.stream().read_to_end(&mut rest);
}

#[test]
fn a_message_that_is_half_said_when_the_daemon_is_upgraded_is_heard_whole() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.talk();
    talk.result("echo", json!({}));
    let text = "x".repeat(100_000);
    let message = call(9, "echo", json!({"text": text})).to_string();
    let length = (message.len() as u64).to_be_bytes();
    let mask = [1, 2, 3, 4];
    let masked = message.bytes().zip(mask.into_iter().cycle());
    let masked: Vec<u8> = masked.map(|(byte, mask)| byte ^ mask).collect();
    let frame = [&[0x81, 0xFF], &length[..], &mask, &masked].concat();
    // In the middle of the head, of the mask, and at two places in the body that are no multiple of four.
    let mut from = 0;
    for to in [5, 12, 1003, 70_001] {
        talk.stream().write_all(&frame[from..to]).unwrap();
        from = to;
        home.done(&["upgrade"]);
    }
    talk.stream().write_all(&frame[from..]).unwrap();
    let answer = talk.answer(&json!(9));
    assert!(answer["result"]["content"][0]["text"] == text.as_str());
}

#[test]
fn a_call_whose_server_dies_is_answered_and_the_session_goes_on() {
    let home = Home::new();
    let web = home.web(&[]);
    let mut talk = web.talk();
    let before = talk.result("echo", json!({}))["structuredContent"]["pid"].clone();
    let id = talk.call("crash", json!({"code": 3}));
    let answer = talk.answer(&json!(id));
    assert_eq!(answer["error"]["data"]["maybeExecuted"], true, "{answer}");
    let after = talk.result("echo", json!({}))["structuredContent"]["pid"].clone();
    assert_ne!(before, after);
}
