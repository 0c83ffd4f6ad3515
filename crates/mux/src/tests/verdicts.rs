//! In which era servers were found not to speak: how that is found, how long it is believed, and what is kept.

use expect_test::expect;

use super::check;

#[test]
fn what_was_found_at_an_earlier_start_is_kept_on() {
    check(expect![[r#"
        alice opens lazy
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> u2: tools/list #2
            -> keep u2: initialize not=modern
        alice leaves
            -> u2: cancelled #2
        10 min pass
            after 600 s
            -> stop u2
        u2 exits code 0
        the daemon dies

        bob opens lazy
        bob: tools/list #1 modern
            -> start u4294967297 for bob
            ! u4294967297 is recalled
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets
            -> u4294967297: initialized
            -> u4294967297: tools/list #4294967298
        u4294967297: result #4294967298 {"tools":[{"name":"x"}]}
            -> keep u4294967297: initialize tools/list not=modern
            -> bob: result #1
    "#]]);
}

#[test]
fn who_has_to_wait_elsewhere_takes_along_what_was_found() {
    check(expect![[r#"
        alice opens lazy
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> u2: tools/list #2
            -> keep u2: initialize not=modern
        alice leaves
            -> u2: cancelled #2
        10 min pass
            after 600 s
            -> stop u2
        u2 exits code 0
        the daemon dies
        bob opens lazy
        bob: tools/list #1 modern caps=roots
            -> start u4294967297 for bob
        carol opens lazy
        carol: tools/list #1 modern caps=roots
        u4294967297 starts
            -> u4294967297: initialize #4294967297 caps=roots
        u4294967297: greets declares=tasks
            -> u4294967297: initialized
            -> start u4294967298 for carol
            -> u4294967297: tools/list #4294967298
            ! u4294967297 is private
        u4294967298 starts
            -> u4294967298: initialize #4294967297 caps=roots
    "#]]);
}

#[test]
fn a_server_is_asked_again_after_a_day_unless_a_process_speaks_as_was_found() {
    check(expect![[r#"
        alice opens idle=never
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> u2: tools/list #2
        u2: result #2 {"tools":[]}
            -> alice: result #1
        alice leaves
        1440 min pass
        bob opens
        bob: tools/list #1 modern
            -> u2: tools/list #3
        u2: result #3 {"tools":[]}
            -> bob: result #1
        bob leaves
        admin restarts echo
            -> stop u2
        u2 exits code 0
            -> admin: restarted 1
        carol opens
        carol: tools/list #1 modern
            -> start u3 for carol
        u3 starts
            -> u3: server/discover #1 modern
    "#]]);
}

#[test]
fn what_a_server_shows_that_is_killed_is_no_sign_of_its_era() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1 exits signal 9
            -> alice: error #1 -32603 start-failed
        alice: tools/list #2 modern
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #2 modern
        u1: greets
            -> u1: tools/list #3 modern
    "#]]);
}

#[test]
fn a_server_that_ends_in_either_era_rests_in_both() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1 exits code 1
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2 exits code 1
            -> alice: error #1 -32603 start-failed
        alice: tools/list #2 modern
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #2 modern
        u1 exits code 1
            -> start u2 for alice
        1 s pass
        u2 starts
            -> u2: initialize #2
        u2 exits code 1
            -> alice: error #2 -32603 start-failed
        alice: tools/list #3 modern
            -> start u1 for alice
        1 s pass
    "#]]);
}

#[test]
fn a_server_that_was_only_silent_is_asked_again_when_its_process_is_gone() {
    check(expect![[r#"
        alice opens lazy
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        10 s pass
            after 10 s
            -> stop u1
        u1 exits signal 15
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> u2: tools/list #2
            -> keep u2: initialize
        bob opens lazy
        bob: tools/list #1 modern
            -> u2: tools/list #3
        alice leaves
            -> u2: cancelled #2
        bob leaves
            -> u2: cancelled #3
        10 min pass
            after 600 s
            -> stop u2
        u2 exits code 0
        carol opens
        carol: tools/list #1 modern
            -> start u3 for carol
        u3 starts
            -> u3: server/discover #1 modern
    "#]]);
}

#[test]
fn nothing_is_started_beside_a_process_that_has_not_ended() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        bob opens
        bob: tools/list #1 modern
        5 s pass
        bob leaves
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> u2: tools/list #2
    "#]]);
}

#[test]
fn that_a_server_speaks_the_modern_era_alone_is_kept_and_is_found_anew_when_it_does_not_any_more() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets
            -> alice: result #0 version=2025-11-25
            -> keep u2: server/discover not=legacy
        alice leaves
        10 min pass
            after 600 s
            -> stop u2
        u2 exits code 0
        the daemon dies
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u4294967297 is recalled
        bob: tools/list #1
            -> start u4294967297 for bob
        u4294967297 starts
            -> u4294967297: server/discover #4294967297 modern
        20 s pass
        u4294967297: error #4294967297
            -> keep u4294967297: nothing
            -> stop u4294967297
        u4294967297 exits code 0
            -> start u4294967298 for bob
        carol comes lazy
        u4294967298 starts
            -> u4294967298: initialize #4294967297
        u4294967298: greets
            -> u4294967298: initialized
            -> carol: result #0 version=2025-11-25
            -> u4294967298: tools/list #4294967298
            -> keep u4294967298: initialize not=modern
    "#]]);
}

#[test]
fn a_server_that_wants_another_request_than_initialize_is_asked_in_the_modern_era() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"_meta"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets
            -> found of u2: not=legacy
            -> alice: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn a_server_that_wants_neither_greeting_does_not_start() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"version"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u2
            -> alice: raw {"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"`echo` did not start: it answered `initialize` with {\"code\":-32602,\"message\":\"version\"}; asked otherwise, it answered `server/discover` with {\"code\":-32601,\"message\":\"no\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        u2 exits code 0
    "#]]);
}

#[test]
fn a_crash_says_nothing_against_what_was_found_before() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets
            -> alice: result #0 version=2025-11-25
            -> keep u2: server/discover not=legacy
        alice leaves
        10 min pass
            after 600 s
            -> stop u2
        u2 exits code 0
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u3 is recalled
        bob: tools/list #1
            -> start u3 for bob
        u3 starts
            -> u3: server/discover #1 modern
        u3 exits code 1
            -> keep u3: nothing
            -> bob: error #1 -32603 start-failed
        carol comes lazy
        1 s pass
            after 53 ms
            -> start u3 for carol
        u3 starts
            -> u3: server/discover #2 modern
    "#]]);
}

#[test]
fn a_process_that_dies_early_after_others_have_spoken_says_nothing_of_its_era() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        10 s pass
            after 10 s
            -> stop u1
        u1 exits signal 15
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> u2: tools/list #2
        u2: result #2 {"tools":[]}
            -> alice: result #1
        u2 exits code 1
        alice: tools/list #2 modern
        1 s pass
            after 71 ms
            -> start u2 for alice
        u2 starts
            -> u2: initialize #3
        u2 exits code 1
            -> alice: error #2 -32603 start-failed
        bob opens
        bob: tools/list #1 modern
        1 s pass
            after 151 ms
            -> start u2 for bob
        u2 starts
            -> u2: initialize #4
    "#]]);
}

#[test]
fn who_has_asked_for_a_restart_hears_of_it_also_when_the_next_process_does_not_speak_its_era() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #2 modern
        u1 exits code 1
            -> start u2 for alice
            -> admin: restarted 1
    "#]]);
}

#[test]
fn what_was_found_before_counts_for_as_long_as_it_was_to_be_believed_yet() {
    check(expect![[r#"
        alice opens found=modern found-life=60
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> u1: tools/list #2
        u1: result #2 {"tools":[]}
            -> alice: result #1
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob opens
        bob: tools/list #1 modern
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
    "#]]);
}

#[test]
fn what_was_found_before_and_turns_out_wrong_is_found_anew() {
    check(expect![[r#"
        alice opens found=modern
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets
            -> found of u2: not=legacy
            -> u2: tools/list #2 modern
    "#]]);
}

#[test]
fn what_a_server_did_in_either_era_is_told_until_it_has_answered() {
    check(expect![[r#"
        show words
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1 exits code 1
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2 exits code 2
            -> alice: error #1 -32603 start-failed "`echo` did not start: it exited with code 1 before it answered `server/discover`; asked otherwise, it exited with code 2 before it answered `initialize`; see `mcpool logs echo`"
        alice: tools/list #2 modern
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #2 modern
        u1: greets
            -> found of u1: nothing
            -> u1: tools/list #3 modern
        u1: result #3 {"tools":[]}
            -> alice: result #2 {"tools":[]}
        u1 exits code 3
        alice: tools/list #3 modern
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #4 modern
        u1 exits code 4
            -> alice: error #3 -32603 start-failed "`echo` did not start: it exited with code 4 before it answered `server/discover`; see `mcpool logs echo`"
    "#]]);
}
