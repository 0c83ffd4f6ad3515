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
    bench
        .audit
        .event(&Event::UpstreamStarted { upstream: second });
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
