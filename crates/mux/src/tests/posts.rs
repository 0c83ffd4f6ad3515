//! Sessions whose lines are requests of their own, each with a response: those of HTTP.

use expect_test::expect;

use super::check;

#[test]
fn what_belongs_to_a_line_goes_with_it_and_its_end_is_told_at_once() {
    check(expect![[r#"
        echo serves alice posts
        alice: initialized
            -> alice: done 2
        alice: tools/call #1 tool=t token=7
            -> u1: tools/call #2 token=2
        u1: progress token=2
            -> alice: progress token=7, with line 3
        u1: message level=info
            -> alice: message level=info, with line 3
            ! u1 separates t
        u1: tools/list_changed
            -> alice: tools/list_changed
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=t
            -> u1: tools/call #3
        alice: cancelled #2
            -> u1: cancelled #3
            -> alice: done 4
            -> alice: done 5
        u1: message level=info
            ! u1 dropped: unclear-log-message
    "#]]);
}

#[test]
fn an_ask_goes_with_the_oldest_call_of_its_owner() {
    check(expect![[r#"
        echo serves alice posts caps=sampling
        alice: resources/list #1
            -> u1: resources/list #2
        alice: tools/call #2 tool=t
            -> u1: tools/call #3
        alice: tools/call #3 tool=t
            -> u1: tools/call #4
        u1: sampling/createMessage #9
            -> alice: sampling/createMessage #1, with line 3
            ! u1 separates t
        alice: result #1
            -> u1: result #9
            -> alice: done 5
        alice: cancelled #2
            -> u1: cancelled #3
            -> alice: done 3
            -> alice: done 6
        u1: sampling/createMessage #10
            -> alice: sampling/createMessage #2, with line 4
        u1: cancelled #10
            -> alice: cancelled #2, with line 4
    "#]]);
}

#[test]
fn an_ask_of_a_session_that_calls_nothing_goes_with_no_line() {
    check(expect![[r#"
        echo serves alice posts caps=sampling
        u1: sampling/createMessage #9
            -> alice: sampling/createMessage #1
    "#]]);
}

#[test]
fn a_session_whose_initialize_fails_is_over() {
    check(expect![[r#"
        alice comes posts refused=nope
            -> alice: error #0 -32603 no-such-server
            -> close alice
        bob comes posts
            -> start u1 for bob
        u1 start fails it is not there
            -> bob: error #0 -32603 start-failed
            -> close bob
        carol comes posts
        45 s pass
            after 77 ms
            -> start u1 for carol
            after 25 s
            -> carol: error #0 -32603 still-starting
            -> close carol
    "#]]);
}

#[test]
fn a_batch_of_another_version_is_refused_with_its_line() {
    check(expect![[r#"
        echo serves alice posts
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"}]
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a message must be one JSON object","data":{"source":"mcpool","reason":"malformed","retryable":false}}}, with line 2
            -> alice: done 2
    "#]]);
    check(expect![[r#"
        echo serves bob posts version=2025-03-26
        bob: raw [{"jsonrpc":"2.0","method":"notifications/initialized"}]
            -> bob: done 2
        bob: raw [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]
            -> bob: raw [{"jsonrpc":"2.0","id":1,"result":{}}]
    "#]]);
}

#[test]
fn a_session_that_is_silent_for_long_is_over() {
    check(expect![[r#"
        echo serves alice posts silence=1800
        29 min pass
        alice: ping #1
            -> alice: result #1
        29 min pass
        2 min pass
            after 60 s
            -> close alice
    "#]]);
}

#[test]
fn a_session_that_listens_or_waits_is_not_silent() {
    check(expect![[r#"
        echo serves alice posts silence=1800 request=36000 request-idle=never
        alice listens
        40 min pass
        alice listens no more
        alice: tools/call #1 tool=t
            -> u1: tools/call #2
        40 min pass
            after 30 s
            -> u1: ping #3
            after 60 s
            -> u1: ping #4
            after 90 s
            -> u1: ping #5
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        u1: result #2
            -> alice: result #1
            ! u1 is responsive
        40 min pass
            after 600 s
            -> close alice
            after 1200 s
            -> stop u1
        30 min pass
    "#]]);
}

#[test]
fn lines_whose_effects_hold_stay_with_the_edge_as_with_a_shim() {
    check(expect![[r#"
        alice comes posts
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25, kept
        alice: logging/setLevel #1 level=info
            -> u1: logging/setLevel #2 level=info
        u1: result #2
            -> alice: result #1, kept
        alice: logging/setLevel #2 level=error
            -> u1: logging/setLevel #3 level=error
        u1: result #3
            -> alice: result #2, kept
            -> alice: done 2
        alice: resources/subscribe #3 uri=a:b
            -> u1: resources/subscribe #4 uri=a:b
        u1: result #4
            -> alice: result #3, kept
        alice: resources/unsubscribe #4 uri=a:b
            -> alice: done 4
            -> u1: resources/unsubscribe #5 uri=a:b
        u1: result #5
            -> alice: result #4
    "#]]);
}

#[test]
fn a_session_over_http_goes_on_at_the_next_daemon() {
    check(expect![[r#"
        u1 serves alice posts
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays kept resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #4294967297 uri=a:b
        alice: replays repeated tools/call #7
            -> alice: error #7 -32603 daemon-restarted maybe-executed
        alice is replayed
            ! 3 replayed, 1 refused
        alice: tools/call #8 tool=t
            -> u1: tools/call #4294967298
    "#]]);
}
