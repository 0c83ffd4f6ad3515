//! Restarts behind live sessions: what runs may end, what is new waits for the next process.

use expect_test::expect;

use super::check;

#[test]
fn a_restart_waits_for_what_runs_and_what_is_new_goes_to_the_next_process() {
    check(expect![[r#"
        u1 serves alice bob declares=tools
        alice: tools/call #1 tool=x token=1
            -> u1: tools/call #2 token=2
        bob: tools/list #1
            -> u1: tools/list #3
        admin restarts echo within 30 s
            ! u1 retires, with 2 open
        bob: tools/list #2
        alice: tools/call #2 tool=x
        alice: vendor/told
        u1: progress token=2
            -> alice: progress token=1
        u1: result #3
            -> bob: result #1
        carol comes
            -> carol: result #0 version=2025-11-25
        carol: tools/list #1
        u1: result #2
            -> alice: result #1
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
            -> u1: tools/list #5
            -> u1: tools/call #6
            -> u1: tools/list #7
            -> u1: vendor/told
            ! u1 has forgotten 1
        u1: result #5
            -> bob: result #2
    "#]]);
}

#[test]
fn a_restart_waits_no_longer_than_it_is_told_to() {
    check(expect![[r#"
        u1 serves alice declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        admin restarts echo within 10 s
            ! u1 retires, with 1 open
        11 s pass
            after 10 s
            -> stop u1
        u1 exits code 0
            -> alice: error #1 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn a_server_with_nothing_to_do_is_restarted_at_once() {
    check(expect![[r#"
        u1 serves alice declares=tools
        admin restarts echo within 30 s
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
    "#]]);
}

#[test]
fn whoever_has_no_patience_is_served_before_others() {
    check(expect![[r#"
        u1 serves alice declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        admin restarts echo within 30 s
            ! u1 retires, with 1 open
        admin restarts echo within 20 s
        admin restarts echo within 1 h
        19 s pass
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> alice: error #1 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
            -> admin: restarted 1
            -> admin: restarted 1
            -> admin: restarted 1
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn what_was_only_announced_goes_to_the_next_process() {
    check(expect![[r#"
        u1 serves alice slow declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1 blocks
        alice: tools/call #2 tool=x
            -> alice: held 3
        u1 reads
            -> alice: sent 3
        admin restarts echo within 30 s
            ! u1 retires, with 2 open
        alice hears
        u1: result #2
            -> alice: result #1
            -> stop u1
        u1 exits code 0
            -> alice: held 3
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
            -> alice: sent 3
            ! u1 has forgotten 1
        alice hears
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn a_call_that_is_cancelled_or_whose_session_leaves_is_waited_for_no_longer() {
    check(expect![[r#"
        u1 serves alice bob declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        admin restarts echo within 30 s
            ! u1 retires, with 2 open
        alice: cancelled #1
            -> u1: cancelled #2
        bob leaves
            -> u1: cancelled #3
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
    "#]]);
}

#[test]
fn a_process_that_dies_while_it_is_waited_for_is_restarted_without_a_rest() {
    check(expect![[r#"
        u1 serves alice declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        admin restarts echo within 30 s
            ! u1 retires, with 1 open
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn an_ask_of_a_call_that_is_waited_for_is_passed_on() {
    check(expect![[r#"
        u1 serves alice caps=sampling declares=tools
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        admin restarts echo within 30 s
            ! u1 retires, with 1 open
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
    "#]]);
}

#[test]
fn a_server_that_hangs_and_that_everybody_has_left_is_waited_for_no_longer() {
    check(expect![[r#"
        u1 serves alice declares=tools idle=0
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        96 s pass
            after 30 s
            -> u1: ping #3
            after 60 s
            -> u1: ping #4
            after 90 s
            -> u1: ping #5
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        admin restarts echo within 30 s
            ! u1 retires, with 1 open
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits signal 9
            -> admin: restarted 1
    "#]]);
}
