//! What sessions hear when a process is gone that may have remembered something of them.

use expect_test::expect;

use super::check;

#[test]
fn those_who_had_called_are_warned_and_nobody_else_is() {
    check(expect![[r#"
        u1 serves alice bob carol
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        bob: tools/list #1
            -> u1: tools/list #3
        u1: result #3
            -> bob: result #1
        carol: tools/call #1 tool=x
            -> u1: tools/call #4
        u1: result #4
            -> carol: result #1
        carol: logging/setLevel #2 level=error
            -> u1: logging/setLevel #5 level=info
            -> carol: result #2
        u1: result #5
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        show words
        u1: raw {"jsonrpc":"2.0","id":6,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"echo","version":"1"}}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/initialized"}
            -> u1: raw {"jsonrpc":"2.0","id":7,"method":"logging/setLevel","params":{"level":"info"}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"mcpool","data":"`echo` was started again and may have forgotten what earlier calls did"}}
            -> admin: restarted 1
            ! u1 offers less
            ! u1 has forgotten 2
        alice: tools/call #2 tool=x
            -> u1: tools/call #8
        u1 exits code 1
            -> alice: error #2 -32603 upstream-exited maybe-executed "`echo` exited with code 1 before it answered; the request may have been carried out; see `mcpool logs echo`"
        1 s pass
            after 63 ms
            -> start u1 for alice
    "#]]);
}

#[test]
fn a_client_that_was_promised_no_log_is_not_surprised_with_one() {
    check(expect![[r#"
        u1 serves alice declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets declares=tools
            -> u1: initialized
            ! u1 has forgotten 1
        alice: tools/call #2 tool=x
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn the_next_call_of_each_who_had_called_is_an_error_and_the_one_after_it_goes() {
    check(expect![[r#"
        u1 serves alice bob on-restart=error
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        bob: tools/list #1
            -> u1: tools/list #3
        u1: result #3
            -> bob: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            ! u1 has forgotten 1
        show words
        alice: resources/read #2 uri=a:b
            -> u1: resources/read #5 uri=a:b
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x"}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"`echo` was started again and may have forgotten what earlier calls did; this one was not sent: do again what it builds on, then call again","data":{"source":"mcpool","reason":"state-lost","retryable":true,"server":"echo"}}}
        alice: tools/call #4 tool=x
            -> u1: tools/call #6
        bob: tools/call #2 tool=x
            -> u1: tools/call #7
    "#]]);
}

#[test]
fn a_call_that_waited_for_the_new_process_is_the_next_one() {
    check(expect![[r#"
        u1 serves alice keeps on-restart=error
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited maybe-executed
        alice: tools/call #2 tool=x
            -> alice: held 3
        alice: tools/call #3 tool=x
            -> alice: held 4
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> alice: error #2 -32603 state-lost
            -> alice: sent 4
            ! u1 has forgotten 1
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn what_two_processes_forgot_is_told_once() {
    check(expect![[r#"
        u1 serves alice on-restart=error
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            ! u1 has forgotten 1
        u1 exits code 1
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            ! u1 has forgotten 1
        alice: tools/call #2 tool=x
            -> alice: error #2 -32603 state-lost
        alice: tools/call #3 tool=x
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn whoever_waits_behind_a_call_that_is_refused_goes() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling on-restart=error
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        alice: tools/call #2 tool=y
        bob: tools/call #1 tool=z
        u1 starts
            -> u1: initialize #3 caps=sampling
        u1: greets
            -> u1: initialized
            -> alice: error #2 -32603 state-lost
            -> u1: tools/call #4
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn a_call_in_a_batch_is_refused_in_the_answer_to_the_batch() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26 on-restart=error
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            ! u1 has forgotten 1
        alice: raw [{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}},{"jsonrpc":"2.0","id":3,"method":"tools/list"}]
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/list"}
        u1: result #4
            -> alice: [error #2 -32603 state-lost, result #3]
    "#]]);
}

#[test]
fn who_had_a_process_at_an_earlier_daemon_that_was_not_taken_over_has_lost_what_it_knew() {
    check(expect![[r#"
        u1 serves alice bob keeps on-restart=error
        u1 exits code 1
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
            -> start u4294967297 for alice
        alice is replayed
            ! 1 replayed, 0 refused
        alice: tools/call #1 tool=x
            -> alice: held 3
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets
            -> u4294967297: initialized
            -> alice: error #1 -32603 state-lost
            ! u4294967297 has forgotten 1
        alice: tools/call #2 tool=x
            -> u4294967297: tools/call #4294967298
        bob comes back
        bob: replays kept initialize #0
            ! u4294967297 has forgotten 1
        bob is replayed
            ! 1 replayed, 0 refused
        bob: resources/read #1 uri=a:b
            -> u4294967297: resources/read #4294967299 uri=a:b
        bob: tools/call #2 tool=x
            -> bob: error #2 -32603 state-lost
        bob: tools/call #3 tool=x
            -> u4294967297: tools/call #4294967300
        carol comes keeps on-restart=error
            -> carol: result #0 version=2025-11-25, kept
        carol: tools/call #1 tool=x
            -> u4294967297: tools/call #4294967301
    "#]]);
}

#[test]
fn who_comes_back_to_another_process_is_warned_once() {
    check(expect![[r#"
        u1 serves alice bob keeps
        u1 exits code 1
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
            -> start u4294967297 for alice
        alice is replayed
            ! 1 replayed, 0 refused
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets
            -> u4294967297: initialized
            -> alice: message level=warning
            ! u4294967297 has forgotten 1
        bob comes back
        bob: replays kept initialize #0
            -> bob: message level=warning
            ! u4294967297 has forgotten 1
        bob is replayed
            ! 1 replayed, 0 refused
        alice: ping #1
            -> alice: result #1
        bob: ping #1
            -> bob: result #1
    "#]]);
}

#[test]
fn who_comes_back_to_the_same_process_has_lost_nothing() {
    check(expect![[r#"
        u1 serves alice keeps on-restart=error
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        alice: tools/call #1 tool=x
            -> u1: tools/call #4294967297
    "#]]);
}

#[test]
fn who_comes_back_from_a_link_that_broke_has_lost_nothing_before_its_process_does() {
    check(expect![[r#"
        u1 serves alice bob carol keeps on-restart=error
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        alice leaves
        bob leaves
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        bob comes back
        bob: replays kept initialize #0
        bob is replayed
            ! 1 replayed, 0 refused
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: result #3
            -> alice: result #2
        carol leaves
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            ! u1 has forgotten 1
        alice: tools/call #3 tool=x
            -> alice: error #3 -32603 state-lost
        bob: tools/call #3 tool=x
            -> u1: tools/call #5
        carol comes back
        carol: replays kept initialize #0
            ! u1 has forgotten 1
        carol is replayed
            ! 1 replayed, 0 refused
        carol: tools/call #3 tool=x
            -> carol: error #3 -32603 state-lost
    "#]]);
}

#[test]
fn a_client_of_the_modern_era_is_warned_only_where_a_request_wants_to_hear() {
    check(expect![[r#"
        alice opens era=modern
        alice: tools/call #1 modern tool=t
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> u1: tools/call #2 modern
        u1: result #2 {"content":[]}
            -> alice: result #1 {"content":[]}
        bob opens era=modern
        bob: tools/call #1 modern tool=t
            -> u1: tools/call #3 modern
        u1: result #3 {"content":[]}
            -> bob: result #1 {"content":[]}
        u1 exits code 1
        alice: tools/call #2 modern tool=t log=warning
        bob: tools/call #2 modern tool=t log=error
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #4 modern
        u1: greets
            -> alice: message level=warning
            -> u1: tools/call #5 modern log=warning
            -> u1: tools/call #6 modern log=error
            ! u1 has forgotten 2
    "#]]);
}
