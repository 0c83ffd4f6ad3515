//! Servers that say nothing, and when they are given up.

use expect_test::expect;

use super::check;

#[test]
fn a_server_with_nothing_to_do_is_left_alone() {
    check(expect![[r#"
        u1 serves alice
        1 h pass
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        29 s pass
        u1: result #2
            -> alice: result #1
        1 h pass
    "#]]);
}

#[test]
fn a_server_that_speaks_or_answers_pings_is_alive_however_long_it_takes() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x token=1
            -> u1: tools/call #2 token=2
        29 s pass
        u1: progress token=2
            -> alice: progress token=1
        29 s pass
        u1: raw this is no message
        29 s pass
        2 s pass
            after 1 s
            -> u1: ping #3
        u1: result #3
        31 s pass
            after 30 s
            -> u1: ping #4
        u1: error #4
        20 s pass
        u1: result #2
            -> alice: result #1
        1 h pass
    "#]]);
}

#[test]
fn a_silent_server_is_called_unresponsive_and_what_is_new_waits() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/list #2
            -> u1: tools/list #3
        100 s pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        alice: tools/call #3 tool=x
        bob: tools/list #1
        bob: vendor/told
        carol comes
            -> carol: result #0 version=2025-11-25
        20 min pass
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #7
            -> u1: tools/list #8
            -> u1: vendor/told
            ! u1 is responsive
        u1: result #3
            -> alice: result #2
        u1: result #4
        1 min pass
            after 30 s
            -> u1: ping #9
            after 60 s
            -> u1: ping #10
    "#]]);
}

#[test]
fn a_silent_server_without_a_call_is_stopped_and_its_sessions_are_served_by_the_next() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        alice: vendor/do #2
            -> u1: vendor/do #3
        100 s pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            -> stop u1
            ! u1 is unresponsive, quiet for 95 s
        alice: tools/call #3 tool=x
        u1 exits signal 9
            -> alice: error #2 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #7
        u1: greets
            -> u1: initialized
            -> u1: tools/list #8
            -> u1: tools/call #9
    "#]]);
}

#[test]
fn a_silent_server_is_stopped_when_nobody_waits_for_its_call_any_longer() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        100 s pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        alice: cancelled #1
            -> u1: cancelled #2
        bob leaves
            -> u1: cancelled #3
            -> stop u1
        u1: result #2
            ! u1 dropped: unknown-response
        u1 exits signal 9
            -> start u1 for alice
    "#]]);
}

#[test]
fn a_silence_that_ends_begins_anew() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        91 s pass
            after 30 s
            -> u1: ping #3
            after 60 s
            -> u1: ping #4
            after 90 s
            -> u1: ping #5
        u1: message level=info
            -> alice: message level=info
            ! u1 separates x
        80 s pass
            after 30 s
            -> u1: ping #6
            after 60 s
            -> u1: ping #7
        alice: cancelled #1
            -> u1: cancelled #2
        31 s pass
        alice: tools/call #2 tool=x
            -> u1: tools/call #8
        31 s pass
            after 30 s
            -> u1: ping #9
        u1: result #5
            ! u1 dropped: unknown-response
        u1: result #7
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn a_silent_server_is_restarted_when_its_user_says_so() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        100 s pass
            after 30 s
            -> u1: ping #3
            after 60 s
            -> u1: ping #4
            after 90 s
            -> u1: ping #5
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        admin restarts echo
            -> stop u1
        u1 exits signal 9
            -> alice: error #1 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> admin: restarted 1
            ! u1 has forgotten 1
        alice: tools/call #2 tool=x
            -> u1: tools/call #7
    "#]]);
}

#[test]
fn whom_a_word_after_a_long_silence_is_for_is_decided_before_what_waited_goes() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        100 s pass
            after 30 s
            -> u1: ping #3
            after 60 s
            -> u1: ping #4
            after 90 s
            -> u1: ping #5
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        bob: tools/call #1 tool=y
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 is responsive
            ! u1 separates x
    "#]]);
}

#[test]
fn a_verdict_is_told_once_though_something_leaves_after_it() {
    check(expect![[r#"
        u1 serves alice slow
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1 blocks
        alice: tools/call #2 tool=x
            -> alice: held 3
        u1 reads
            -> alice: sent 3
        100 s pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        alice hears
            -> u1: tools/call #3
        1 h pass
        u1: result #2
            -> alice: result #1
            ! u1 is responsive
        31 s pass
            after 30 s
            -> u1: ping #7
    "#]]);
}
