//! Lanes: calls that may ask run apart from other sessions' calls, all others together.

use expect_test::expect;

use super::check;

#[test]
fn calls_of_servers_that_cannot_ask_run_together() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        bob: tools/call #2 tool=y
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn the_first_call_of_a_tool_runs_apart_for_at_most_a_second() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=y
        bob: tools/list #2
            -> u1: tools/list #3
        alice: tools/call #2 tool=z
        1 s pass
            after 1 s
            -> u1: tools/call #4
            -> u1: tools/call #5
        1 s pass
        1 s pass
    "#]]);
}

#[test]
fn a_notification_does_not_overtake_the_calls_that_its_session_made_before() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=y
        bob: vendor/told
        bob: tools/list #2
            -> u1: tools/list #3
        bob: tools/call #3 tool=y
        bob: vendor/told
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #4
            -> u1: vendor/told
            -> u1: tools/call #5
            -> u1: vendor/told
        u1: result #4
            -> bob: result #1
        bob: tools/call #4 tool=z
            -> u1: tools/call #6
        alice: tools/call #5 tool=z
        alice: vendor/told
        alice: cancelled #5
            -> u1: vendor/told
    "#]]);
}

#[test]
fn a_tool_that_has_answered_is_known() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        bob: tools/call #1 tool=x
            -> u1: tools/call #4
        alice: tools/call #3 tool=y
        bob: tools/call #2 tool=x
        u1: result #4
            -> bob: result #1
            -> u1: tools/call #5
        u1: result #3
            -> alice: result #2
    "#]]);
}

#[test]
fn nobody_waits_longer_than_a_second_to_be_tried() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        bob: tools/call #1 tool=new
        alice: tools/call #3 tool=x
        500 ms pass
        1 s pass
            after 500 ms
            -> u1: tools/call #4
            -> u1: tools/call #5
        u1: sampling/createMessage #1
        u1: result #3
            -> alice: result #2
        u1: result #5
            -> alice: result #3
            -> bob: sampling/createMessage #1
            ! u1 separates new
    "#]]);
}

#[test]
fn a_tool_that_asks_runs_apart_and_waits_for_its_turn_only() {
    check(expect![[r#"
        u1 serves alice bob carol caps=sampling
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=quiet
            -> u1: tools/call #3
        u1: result #3
            -> bob: result #1
        bob: tools/call #2 tool=quiet
            -> u1: tools/call #4
        alice: tools/call #2 tool=ask
        carol: tools/call #1 tool=quiet
        u1: result #4
            -> bob: result #2
            -> u1: tools/call #5
        u1: sampling/createMessage #2
            -> alice: sampling/createMessage #2
        alice: tools/call #3 tool=quiet
            -> u1: tools/call #6
        u1: result #5
            -> alice: result #2
            -> u1: tools/call #7
        u1: result #6
            -> alice: result #3
    "#]]);
}

#[test]
fn who_asks_again_and_again_lets_others_go_in_between() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        alice: result #1
            -> u1: result #1
        alice: tools/call #2 tool=ask
            -> u1: tools/call #3
        bob: tools/call #1 tool=ask
        alice: tools/call #3 tool=ask
        u1: result #2
            -> alice: result #1
        alice: tools/call #4 tool=ask
        u1: result #3
            -> alice: result #2
            -> u1: tools/call #4
        u1: result #4
            -> bob: result #1
            -> u1: tools/call #5
            -> u1: tools/call #6
    "#]]);
}

#[test]
fn a_call_that_will_not_come_holds_nobody_up() {
    check(expect![[r#"
        u1 serves alice bob carol caps=sampling
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=quiet
            -> u1: tools/call #3
        u1: result #3
            -> alice: result #2
        alice: tools/call #3 tool=quiet
            -> u1: tools/call #4
        bob: tools/call #1 tool=ask
        carol: tools/call #1 tool=quiet
        bob: cancelled #1
            -> u1: tools/call #5
        bob: tools/call #2 tool=ask
        carol: tools/call #2 tool=quiet
        bob is cut
            -> bob: error #2 -32603 too-slow maybe-executed
            -> u1: tools/call #6
        bob: tools/call #3 tool=ask
        carol: tools/call #3 tool=quiet
        bob leaves
            -> u1: tools/call #7
    "#]]);
}

#[test]
fn a_restarted_server_has_the_manners_that_were_seen_before() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        u1 exits code 1
            -> alice: cancelled #1
            -> alice: error #1 -32603 upstream-exited maybe-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3 caps=sampling
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            ! u1 has forgotten 1
        bob: tools/call #1 tool=ask
            -> u1: tools/call #4
        alice: tools/call #2 tool=ask
        u1: result #4
            -> bob: result #1
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn an_unclear_ask_dies_with_its_process_and_blames_no_tool() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #1
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited maybe-executed
            -> bob: error #1 -32603 upstream-exited maybe-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4 caps=sampling
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> bob: message level=warning
            ! u1 has forgotten 2
        alice: tools/call #2 tool=x
            -> u1: tools/call #5
        bob: tools/call #2 tool=x
            -> u1: tools/call #6
        20 s pass
        alice: tools/call #3 tool=x
            -> u1: tools/call #7
    "#]]);
}

#[test]
fn a_tool_that_asks_waits_ten_seconds_for_a_long_call_and_holds_up_nobody_any_longer() {
    check(expect![[r#"
        u1 serves alice bob carol caps=sampling
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=build
            -> u1: tools/call #3
        1 s pass
        alice: tools/call #2 tool=ask
        carol: tools/call #1 tool=ask
        9 s pass
        1 s pass
            after 1 s
            -> u1: tools/call #4
            -> u1: tools/call #5
        u1: sampling/createMessage #2
        u1: result #3
            -> bob: result #1
    "#]]);
}

#[test]
fn who_asks_waits_a_second_for_a_cancelled_call_of_a_silent_server_and_no_more_for_its_next() {
    check(expect![[r#"
        u1 serves alice bob carol caps=sampling
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=ask
            -> u1: tools/call #3
        alice: tools/call #3 tool=ask
            -> u1: tools/call #4
        alice: cancelled #2
            -> u1: cancelled #3
        alice: cancelled #3
            -> u1: cancelled #4
        bob: tools/call #1 tool=ask
        1 s pass
            after 1 s
            -> u1: tools/call #5
    "#]]);
}
