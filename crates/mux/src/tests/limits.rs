//! Limits: nobody gets more than a share, and nothing grows without end.

use std::{
    fmt::Write,
    format,
    string::{String, ToString},
    vec::Vec,
};

use expect_test::expect;

use super::{check, play, reactions, script::Script, stage::Stage};
use crate::Limits;

pub(super) fn play_with(limits: Limits, text: &str) -> String {
    let mut stage = Stage::with_limits(limits);
    let played = stage.play(&Script::parse(text));
    stage.clear();
    played
}

#[test]
fn ten_sessions_with_one_call_do_not_wait_for_one_with_a_thousand() {
    let mut script = String::from("hog comes\n");
    for id in 1..=1000 {
        writeln!(script, "hog: vendor/do #{id}").unwrap();
    }
    for n in 1..=10 {
        writeln!(script, "s{n} comes\ns{n}: vendor/do #\"s{n}\"").unwrap();
    }
    script += "u1 starts\nu1: greets\n";
    for id in 2..=1011 {
        writeln!(script, "u1: result #{id}").unwrap();
    }
    let played = play(&script);
    let answers: Vec<&str> = reactions(&played)
        .into_iter()
        .filter_map(|line| line.strip_prefix("-> ")?.split_once(": result #"))
        .filter(|(_, id)| !id.starts_with('0'))
        .map(|(who, _)| who)
        .collect();
    assert_eq!(answers.len(), 1010);
    let last_small = answers.iter().rposition(|who| *who != "hog").unwrap();
    assert!(
        last_small <= 10,
        "the last of the ten was number {last_small}"
    );
}

#[test]
fn a_session_has_so_many_requests_at_the_server_and_the_rest_waits() {
    let mut script = String::from("u1 serves alice bob\n");
    for id in 1..=66 {
        writeln!(script, "alice: vendor/do #{id}").unwrap();
    }
    script += "alice: tools/call #67 tool=x\nbob: vendor/do #1\nu1: result #2\nu1: result #3\nu1: result #4\n";
    let played = play(&script);
    let sent = reactions(&played)
        .iter()
        .filter(|line| line.starts_with("-> u1"))
        .count();
    assert_eq!(sent, 64 + 1 + 3);
    assert!(
        played.ends_with("u1: result #4\n    -> alice: result #3\n    -> u1: tools/call #69\n")
    );
}

#[test]
fn a_session_whose_queue_is_full_is_not_read_until_it_is_shorter() {
    let limits = Limits {
        session_queue: 3,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "alice comes\nalice: a #1\nalice: a #2\nalice: a #3\nalice: a #4\nalice: cancelled #2\nalice: cancelled #3\nalice: a #5\nu1 starts\nu1: greets\n",
    );
    expect![[r#"
        alice comes
            -> start u1 for alice
        alice: a #1
        alice: a #2
        alice: a #3
            -> pause alice
        alice: a #4
        alice: cancelled #2
        alice: cancelled #3
            -> resume alice
        alice: a #5
            -> pause alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> u1: a #2
            -> resume alice
            -> u1: a #3
            -> u1: a #4
    "#]]
    .assert_eq(&played);
}

/// A session has room for 100 bytes here, and what it says is longer than that.
fn play_narrow(text: &str) -> String {
    let limits = Limits {
        session_queue_bytes: 100,
        ..Limits::default()
    };
    play_with(limits, &text.replace("LONG", &"x".repeat(80)))
}

#[test]
fn a_session_that_was_paused_with_long_notifications_is_read_again_when_a_start_fails() {
    let played = play_narrow(
        r#"
alice comes
alice: raw {"jsonrpc":"2.0","method":"vendor/LONG"}
alice: raw {"jsonrpc":"2.0","method":"vendor/LONG"}
u1 start fails x
"#,
    );
    let reactions = reactions(&played);
    assert!(reactions.contains(&"-> pause alice"), "{played}");
    assert!(reactions.contains(&"-> resume alice"), "{played}");
}

#[test]
fn a_session_that_was_paused_is_read_again_when_what_it_said_is_cancelled() {
    let played = play_narrow(
        r#"
u1 serves alice version=2025-03-26
u1 blocks
alice: raw {"jsonrpc":"2.0","id":1,"method":"vendor/LONG"}
alice: raw {"jsonrpc":"2.0","id":2,"method":"vendor/LONG"}
alice: raw {"jsonrpc":"2.0","id":3,"method":"vendor/LONG"}
alice: cancelled #1
alice: cancelled #2
alice: cancelled #3
u1 reads
alice: raw {"jsonrpc":"2.0","id":4,"method":"resources/read","params":{"uri":"x:LONG"}}
u1 blocks
alice: raw {"jsonrpc":"2.0","id":5,"method":"vendor/LONG"}
alice: cancelled #4
u1 reads
alice: raw [{"jsonrpc":"2.0","id":6,"method":"tools/list"},{"jsonrpc":"2.0","id":7,"method":"tools/list"},{"jsonrpc":"2.0","id":8,"method":"tools/list"}]
u1: raw {"jsonrpc":"2.0","id":4,"result":{"a":"LONG"}}
u1: raw {"jsonrpc":"2.0","id":5,"result":{"a":"LONG"}}
alice: cancelled #8
"#,
    );
    let count = |what: &str| played.matches(what).count();
    assert!(count("-> pause alice") >= 3, "{played}");
    assert_eq!(
        count("-> pause alice"),
        count("-> resume alice"),
        "{played}"
    );
}

#[test]
fn a_paused_session_whose_start_fails_is_read_again() {
    let limits = Limits {
        session_queue: 1,
        ..Limits::default()
    };
    let played = play_with(limits, "alice comes\nalice: a #1\nu1 start fails x\n");
    expect![[r#"
        alice comes
            -> start u1 for alice
        alice: a #1
            -> pause alice
        u1 start fails x
            -> alice: error #0 -32603 start-failed
            -> resume alice
            -> alice: error #1 -32603 start-failed
    "#]]
    .assert_eq(&played);
}

#[test]
fn what_is_too_much_for_all_together_is_refused() {
    let limits = Limits {
        waiting: 2,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "alice comes\nbob comes\nalice: a #1\nbob: a #1\nalice: a #2\nalice: vendor/told\nbob: cancelled #1\nalice: a #3\n",
    );
    expect![[r#"
        alice comes
            -> start u1 for alice
        bob comes
        alice: a #1
        bob: a #1
        alice: a #2
            -> alice: error #2 -32603 overloaded
        alice: vendor/told
        bob: cancelled #1
        alice: a #3
    "#]]
    .assert_eq(&played);
}

#[test]
fn short_messages_fill_a_queue_before_their_bytes_do() {
    let limits = Limits {
        session_queue_bytes: 8 << 10,
        ..Limits::default()
    };
    let mut script = String::from("alice comes\n");
    for id in 1..=16 {
        writeln!(script, "alice: a #{id}").unwrap();
    }
    let played = play_with(limits, &script);
    let lines = played.lines().map(str::trim);
    let said = lines.take_while(|line| *line != "-> pause alice");
    let said = said.filter(|line| line.starts_with("alice: a")).count();
    assert!((8..16).contains(&said), "{played}");
}

#[test]
fn one_large_message_always_may_wait() {
    let limits = Limits {
        buffered_bytes: 10,
        session_queue_bytes: 10,
        ..Limits::default()
    };
    let played = play_with(limits, "alice comes\nalice: a #1\nalice: a #2\n");
    expect![[r#"
        alice comes
            -> start u1 for alice
        alice: a #1
        alice: a #2
            -> alice: error #2 -32603 overloaded
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_server_that_does_not_read_holds_up_its_sessions_and_nobody_else() {
    check(expect![[r#"
        u1 serves alice bob
        u1 blocks
        alice: a #1
        alice: a #2
        alice: ping #3
            -> alice: result #3
        bob: a #1
        bob: vendor/told
        carol comes server=other
            -> start u2 for carol
        u1 reads
            -> u1: a #2
            -> u1: a #3
            -> u1: a #4
            -> u1: vendor/told
    "#]]);
}

#[test]
fn a_session_may_hold_so_many_subscriptions() {
    let limits = Limits {
        subscriptions: 1,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "u1 serves alice\nalice: resources/subscribe #1 uri=a:1\nu1: result #2\nalice: resources/subscribe #2 uri=a:2\nalice: resources/unsubscribe #3 uri=a:1\nalice: resources/subscribe #4 uri=a:2\n",
    );
    expect![[r#"
        u1 serves alice
        alice: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2
            -> alice: result #1
        alice: resources/subscribe #2 uri=a:2
            -> alice: error #2 -32603 overloaded
        alice: resources/unsubscribe #3 uri=a:1
            -> u1: resources/unsubscribe #3 uri=a:1
        alice: resources/subscribe #4 uri=a:2
            -> u1: resources/subscribe #4 uri=a:2
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_server_may_ask_so_much_at_once() {
    let limits = Limits {
        session_asks: 1,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "u1 serves alice bob caps=sampling\nalice: tools/call #1 tool=x\n1 s pass\nbob: tools/call #1 tool=x\nu1: sampling/createMessage #1\nu1: sampling/createMessage #2\nu1: result #3\nu1: sampling/createMessage #3\n",
    );
    expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #1
        u1: sampling/createMessage #2
            -> u1: error #2 -32603 overloaded
        u1: result #3
            -> bob: result #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        u1: sampling/createMessage #3
            -> u1: error #3 -32603 overloaded
    "#]]
    .assert_eq(&played);
}

#[test]
fn what_is_remembered_of_routes_and_tools_is_bounded() {
    let limits = Limits {
        routes_remembered: 2,
        tools_remembered: 3,
        ..Limits::default()
    };
    let mut stage = Stage::with_limits(limits);
    for n in 1..=20 {
        let name = "x".repeat(n * 100);
        let mut script =
            format!("s{n} comes route=r{n} idle=0 caps=sampling\nu{n} starts\nu{n}: greets\n");
        for id in 2..=9 {
            write!(
                script,
                "s{n}: tools/call #{id} tool={name}{id}\nu{n}: result #{id}\n"
            )
            .unwrap();
        }
        write!(script, "s{n} leaves\nu{n} exits code 0\n").unwrap();
        stage.play(&Script::parse(&script));
        assert!(stage.mux.conduct.len() <= 3, "{}", stage.mux.conduct.len());
    }
    let remembered = format!("{:?}", stage.mux.conduct).len();
    assert!(remembered < 10_000, "{}", remembered.to_string());
    stage.clear();
}

#[test]
fn many_sessions_that_end_at_once_need_no_deep_stack() {
    let mut script = String::from("u1 serves first\nu1 blocks\n");
    for n in 0..400 {
        writeln!(script, "s{n} comes\ns{n}: vendor/told\ns{n} ends").unwrap();
    }
    script += "u1 reads\n";
    let played = std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(move || play(&script))
        .unwrap()
        .join()
        .unwrap();
    let closed = reactions(&played)
        .iter()
        .filter(|line| line.starts_with("-> close"))
        .count();
    assert_eq!(closed, 400);
}

#[test]
fn a_request_for_which_there_is_no_room_is_refused_and_one_message_always_fits() {
    let limits = Limits {
        buffered_bytes: 100,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "u1 serves alice bob caps=sampling\nalice: tools/call #1 tool=x\nu1: sampling/createMessage #7\nlinks hold 80\nalice: a #2\nbob: tools/list #1\nalice: vendor/told\nu1: sampling/createMessage #8\nalice: result #1\nalice: ping #3\nu1: result #2\nlinks hold 0\nalice: a #4\nbob: tools/list #2\n",
    );
    expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #7
            -> alice: sampling/createMessage #1
            ! u1 separates x
        links hold 80
        alice: a #2
            -> alice: error #2 -32603 overloaded
        bob: tools/list #1
            -> bob: error #1 -32603 overloaded
        alice: vendor/told
        u1: sampling/createMessage #8
            -> u1: error #8 -32603 overloaded
        alice: result #1
            -> u1: error #7 -32603 overloaded
        alice: ping #3
            -> alice: result #3
        u1: result #2
            -> alice: result #1
        links hold 0
        alice: a #4
            -> u1: a #3
        bob: tools/list #2
            -> u1: tools/list #4
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_server_that_asks_and_does_not_read_is_answered_so_often_and_no_more() {
    let limits = Limits {
        session_asks: 2,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "u1 serves alice caps=sampling\nu1: sampling/createMessage #1 token=9\nu1 blocks\nalice: progress token=1\nu1: ping #2\nu1: too long #3 request\nu1: ping #4\nu1: sampling/createMessage #5\nalice: result #1\nu1 reads\nu1: ping #6\n",
    );
    expect![[r#"
        u1 serves alice caps=sampling
        u1: sampling/createMessage #1 token=9
            -> alice: sampling/createMessage #1 token=1
        u1 blocks
        alice: progress token=1
            ! u1 dropped: not-read
        u1: ping #2
            -> u1: result #2
        u1: too long #3 request
            -> u1: error #3 -32600 malformed
        u1: ping #4
            ! u1 dropped: not-read
        u1: sampling/createMessage #5
            ! u1 dropped: not-read
        alice: result #1
            -> u1: result #1
        u1 reads
        u1: ping #6
            -> u1: result #6
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_long_cancellation_is_told_in_short() {
    let reason = "x".repeat(5000);
    let played = play(&format!(
        "u1 serves alice\nalice: a #1\nalice: raw {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":1,\"reason\":\"{reason}\"}}}}\n"
    ));
    expect![[r#"
        u1 serves alice
        alice: a #1
            -> u1: a #2
        alice: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"LONG"}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"the client has cancelled it"}}
    "#]].assert_eq(&played.replace(&reason, "LONG"));
}

#[test]
fn a_session_that_is_asked_something_is_read_though_its_queue_is_full() {
    let limits = Limits {
        session_in_flight: 1,
        session_queue: 1,
        ..Limits::default()
    };
    let played = play_with(
        limits,
        "u1 serves alice caps=sampling\nalice: tools/call #1 tool=x\nalice: a #2\nu1: sampling/createMessage #7\nalice: a #3\nalice: vendor/told\nalice: result #1\nu1: result #2\n",
    );
    expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: a #2
            -> pause alice
        u1: sampling/createMessage #7
            -> resume alice
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice: a #3
            -> alice: error #3 -32603 overloaded
        alice: vendor/told
        alice: result #1
            -> u1: result #7
            -> pause alice
        u1: result #2
            -> alice: result #1
            -> u1: a #3
            -> resume alice
    "#]]
    .assert_eq(&played);
}
