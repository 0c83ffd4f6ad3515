//! How servers and sessions end, and what is owed then.

use expect_test::expect;

use super::check;

#[test]
fn a_crash_is_an_error_to_every_open_call_that_says_what_may_have_happened() {
    check(expect![[r#"
        show words
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/list #2
            -> u1: tools/list #3
        bob: tools/call #1 tool=x
            -> u1: tools/call #4
        bob: vendor/do #2
            -> u1: vendor/do #5
        u1 exits signal 9
            -> alice: error #1 -32603 upstream-exited maybe-executed "`echo` was killed (9) before it answered, by somebody or by the system for want of memory; the request may have been carried out; see `mcpool logs echo`"
            -> bob: error #1 -32603 upstream-exited maybe-executed "`echo` was killed (9) before it answered, by somebody or by the system for want of memory; the request may have been carried out; see `mcpool logs echo`"
            -> bob: error #2 -32603 upstream-exited maybe-executed "`echo` was killed (9) before it answered, by somebody or by the system for want of memory; the request may have been carried out; see `mcpool logs echo`"
        alice: tools/call #3 tool=x
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> bob: message level=warning
            -> u1: tools/list #7
            -> u1: tools/call #8
            ! u1 has forgotten 2
    "#]]);
}

#[test]
fn asks_of_a_server_that_died_are_withdrawn() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
            ! u1 separates x
        u1 exits code 1
            -> alice: cancelled #1
            -> alice: error #1 -32603 upstream-exited maybe-executed
        alice: result #1
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn a_server_whose_sessions_have_left_is_not_started_again() {
    check(expect![[r#"
        u1 serves alice
        alice leaves
        u1 exits code 1
        1 s pass
        2 min pass
    "#]]);
}

#[test]
fn an_idle_server_is_stopped_when_its_time_is_over() {
    check(expect![[r#"
        u1 serves alice idle=60
        alice leaves
        59 s pass
        bob comes idle=60
            -> bob: result #0 version=2025-11-25
        bob leaves
        59 s pass
        1 s pass
            after 1 s
            -> stop u1
        carol comes
        u1 exits code 0
            -> start u1 for carol
    "#]]);
}

#[test]
fn an_idle_time_of_zero_and_of_never() {
    check(expect![[r#"
        u1 serves alice idle=0
        alice leaves
            -> stop u1
        bob comes server=other idle=never
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
        bob leaves
        300 h pass
    "#]]);
}

#[test]
fn a_restart_ends_open_calls_and_starts_what_has_sessions() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob comes caps=roots
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1 caps=roots
        u2: greets
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
        bob leaves
        carol comes server=other
            -> start u3 for carol
        admin restarts echo
            -> stop u1
            -> stop u2
        alice: tools/call #2 tool=x
        u1 exits code 0
            -> alice: error #1 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u2 exits code 0
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> admin: restarted 2
            -> u1: tools/call #4
            ! u1 has forgotten 1
        admin restarts nothing
            -> admin: nothing runs
        admin restarts other
            -> stop u3
        u3 start fails gone
            -> start u3 for carol
        u3 start fails gone
            -> carol: error #0 -32603 start-failed
            -> admin: failed, gone
    "#]]);
}

#[test]
fn a_restart_ends_a_rest() {
    check(expect![[r#"
        u1 serves alice
        u1 exits code 1
        admin restarts echo
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1 exits code 1
            -> admin: failed, it exited with code 1 before it answered `initialize`
    "#]]);
}

#[test]
fn a_shutdown_answers_everything_and_ends_everybody() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        bob ends
        carol comes server=other
            -> start u2 for carol
        dave opens
        shutdown
            -> u1: cancelled #2
            -> alice: error #1 -32603 upstream-stopped maybe-executed
            -> close alice
            -> u1: error #1 -32603 owner-gone
            -> bob: error #1 -32603 shutting-down
            -> close bob
            -> carol: error #0 -32603 shutting-down
            -> close carol
            -> close dave
            -> stop u1
            -> stop u2
        erin opens
            -> close erin
        u2 start fails stopped
        u1 exits code 0
        shutdown
    "#]]);
}

#[test]
fn a_session_that_closed_its_input_gets_what_it_is_owed() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        alice ends
        u1: result #3
            -> alice: result #2
        u1: result #2
            -> alice: result #1
            -> close alice
        bob ends
            -> close bob
    "#]]);
}

#[test]
fn a_session_that_ends_before_the_handshake_waits_for_it() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        alice: tools/list #1
        alice ends
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> u1: tools/list #2
        u1: result #2
            -> alice: result #1
            -> close alice
    "#]]);
}

#[test]
fn answers_that_do_not_come_are_not_waited_for_for_ever() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        alice ends
        2 min pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed
            -> u1: cancelled #3
            -> alice: error #2 -32603 took-too-long maybe-executed
            -> close alice
    "#]]);
}

#[test]
fn a_session_that_does_not_read_loses_its_calls_and_nothing_else() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice: tools/call #3 tool=y
            -> u1: tools/call #4
        bob: tools/call #1 tool=z
        alice is cut
            -> u1: error #1 -32603 owner-gone
            -> u1: cancelled #3
            -> alice: error #2 -32603 too-slow maybe-executed
            -> u1: cancelled #4
            -> alice: error #3 -32603 too-slow maybe-executed
        u1: result #3
            ! u1 dropped: unknown-response
        u1: resources/updated uri=a:b
            -> alice: resources/updated uri=a:b
        alice: tools/list #4
            -> u1: tools/list #5
    "#]]);
}

#[test]
fn a_session_cut_while_it_waits_may_begin_again() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        alice: tools/list #1
        alice is cut
            -> alice: error #0 -32603 too-slow maybe-executed
            -> alice: error #1 -32603 too-slow maybe-executed
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
        alice: initialize #2
            -> alice: result #2 version=2025-11-25
    "#]]);
}

#[test]
fn a_call_as_old_as_calls_may_become_is_cancelled() {
    check(expect![[r#"
        u1 serves alice slow
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1 blocks
        alice: tools/call #2 tool=x
            -> alice: held 3
        u1 reads
            -> alice: sent 3
        23 h pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        u1: message level=info
            -> alice: message level=info
            ! u1 is responsive
            ! u1 separates x
        alice: tools/call #3 tool=x
            -> u1: tools/call #7
        2 h pass
            after 30 s
            -> u1: ping #8
            after 60 s
            -> u1: ping #9
            after 90 s
            -> u1: ping #10
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
            after 3600 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed
            -> alice: error #2 -32603 took-too-long maybe-executed
        u1: result #2
            ! u1 is responsive
            ! u1 dropped: unknown-response
        u1: result #7
            -> alice: result #3
    "#]]);
}

#[test]
fn a_server_that_has_forgotten_its_sessions_is_greeted_anew_three_times_a_minute() {
    check(expect![[r#"
        show words
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1 forgets unwritten #3
            -> alice: error #1 -32603 upstream-exited maybe-executed "`echo` had forgotten the session before it answered; the request may have been carried out; see `mcpool logs echo`"
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> u1: tools/call #5
            ! u1 has forgotten 1
        u1 forgets
            -> alice: error #2 -32603 upstream-exited maybe-executed "`echo` had forgotten the session before it answered; the request may have been carried out; see `mcpool logs echo`"
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            ! u1 has forgotten 1
        u1 forgets
        1 s pass
            after 272 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #7
        u1: greets
            -> u1: initialized
        u1 forgets
            ! u1 has failed
        alice: tools/call #3 tool=x
            -> alice: error #3 -32603 still-failing "`echo` keeps failing; next attempt in 60 s; see `mcpool logs echo`"
    "#]]);
}

#[test]
fn a_server_that_is_there_and_cannot_be_greeted_is_a_failed_start_with_its_reason() {
    check(expect![[r#"
        show words
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1 start fails http://127.0.0.1:1/mcp answered 401 Unauthorized
            -> alice: error #0 -32603 start-failed "`echo` did not start: http://127.0.0.1:1/mcp answered 401 Unauthorized; see `mcpool logs echo`"
    "#]]);
}
