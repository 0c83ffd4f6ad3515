//! What is found of processes, limits, and servers that do not read.

use super::*;

#[test]
fn a_second_process_for_one_share_key_is_found() {
    let mut bench = Bench::shared("{}");
    let second = UpstreamId(2);
    bench.tamper(move |actions| {
        actions.push(Action::StartUpstream {
            upstream: second,
            on_behalf_of: BOB,
        });
        // And this one runs already.
        actions.push(Action::StartUpstream {
            upstream: ECHO,
            on_behalf_of: BOB,
        });
    });
    bench.call(ALICE, "1", "ping", "x");
    assert_eq!(bench.found(), "I6");
    bench.audit.event(&Event::UpstreamStarted {
        upstream: second,
        program: None,
    });
    let greeting = String::from(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#,
    );
    let greet = Action::SendToUpstream {
        upstream: second,
        frame: Outgoing::from(greeting),
    };
    bench.audit.outcome(&[greet], &[]);
    assert_eq!(bench.found(), "I6");
}

#[test]
fn what_the_core_shows_is_held_against_the_books_and_the_limits() {
    let (mut bench, ..) = calling();
    let snapshot = bench.mux.snapshot();
    bench.audit.compare(&snapshot, &bench.mux.limits);
    assert_eq!(bench.found(), "");
    let mut less = snapshot.clone();
    less.upstreams[0].in_flight -= 1;
    bench.audit.compare(&less, &bench.mux.limits);
    assert_eq!(bench.found(), "I4");
    let mut lost = snapshot.clone();
    lost.sessions[0].in_flight = 0;
    bench.audit.compare(&lost, &bench.mux.limits);
    assert_eq!(bench.found(), "I4");
    let tight = Limits {
        session_in_flight: 0,
        ..Limits::default()
    };
    bench.audit.compare(&snapshot, &tight);
    assert_eq!(bench.found(), "I7");
}

#[test]
fn a_session_with_as_much_as_may_wait_that_is_read_is_found() {
    let queue = Limits::default().session_queue;
    let bytes = Limits::default().session_queue_bytes;
    for (messages, of_bytes, found) in [
        (queue - 1, 0, ""),
        (queue, 0, "I7"),
        (1, bytes + 1, ""),
        (2, bytes, "I7"),
        // Each of them counts more than its bytes.
        (2, bytes - 1024, ""),
        (2, bytes - 1023, "I7"),
        (bytes / 1024, bytes / 2, ""),
        (bytes / 1024 + 1, bytes / 2, "I7"),
    ] {
        let mut bench = Bench::shared("{}");
        let mut snapshot = bench.mux.snapshot();
        (snapshot.sessions[0].held, snapshot.sessions[0].held_bytes) = (messages, of_bytes);
        bench.audit.compare(&snapshot, &bench.mux.limits);
        assert_eq!(bench.found(), found, "{messages} of {of_bytes} bytes");
        bench
            .audit
            .outcome(&[Action::PauseSession { session: ALICE }], &[]);
        snapshot.sessions[0].is_paused = true;
        bench.audit.compare(&snapshot, &bench.mux.limits);
        assert_eq!(bench.found(), "", "{messages} of {of_bytes} bytes, paused");
    }
}

#[test]
fn a_session_that_is_asked_something_may_be_read_whatever_waits() {
    let mut bench = Bench::shared(r#"{"sampling":{}}"#);
    bench.call(ALICE, "1", "tools/call", "x");
    bench.reply(r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#);
    let mut snapshot = bench.mux.snapshot();
    assert_eq!(snapshot.sessions[0].asks, 1);
    snapshot.sessions[0].held = bench.mux.limits.session_queue;
    bench.audit.compare(&snapshot, &bench.mux.limits);
    assert_eq!(bench.found(), "");
}

#[test]
fn a_pause_that_the_edge_is_not_told_of_is_found() {
    let mut bench = Bench::shared("{}");
    bench.mux.limits.session_queue = 1;
    bench.step(Event::UpstreamBlocked { upstream: ECHO });
    bench.tamper(|actions| {
        actions.retain(|action| !matches!(action, Action::PauseSession { .. }));
    });
    bench.call(ALICE, "1", "ping-like", "x");
    let snapshot = bench.mux.snapshot();
    assert!(snapshot.sessions[0].is_paused, "its queue is full");
    bench.audit.compare(&snapshot, &bench.mux.limits);
    assert_eq!(bench.found(), "I4 I7");
}

#[test]
fn what_a_server_asks_while_it_does_not_read_is_answered_or_overlooked_and_its_id_is_free() {
    let mut bench = Bench::shared(r#"{"sampling":{}}"#);
    bench.step(Event::SessionClosed { session: BOB });
    bench.step(Event::UpstreamBlocked { upstream: ECHO });
    let asks = bench.mux.limits.session_asks;
    for id in 0..asks {
        bench.reply(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#));
    }
    let ask = |text: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7777,"method":"sampling/createMessage","params":{{"x":"{text}"}}}}"#
        )
    };
    bench.reply(&ask("overlooked"));
    bench.audit.at_rest();
    // Alice is still there, and nothing else.
    assert_eq!(bench.audit.take_violations().len(), 1);
    bench.step(Event::UpstreamWritable { upstream: ECHO });
    bench.reply(&ask("heard"));
    bench.say(ALICE, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(bench.found(), "");
}

#[test]
fn a_request_for_a_server_that_has_more_to_read_than_may_wait_is_found() {
    let mut bench = Bench::shared("{}");
    // The core is not told, and so sends on.
    bench
        .audit
        .event(&Event::UpstreamBlocked { upstream: ECHO });
    bench.audit.outcome(&[], &[]);
    bench.call(ALICE, "1", "tools/call", "x");
    assert_eq!(bench.found(), "I7");
    bench
        .audit
        .event(&Event::UpstreamWritable { upstream: ECHO });
    bench.audit.outcome(&[], &[]);
    bench.call(ALICE, "2", "tools/call", "x");
    assert_eq!(bench.found(), "");
}
