//! Servers that come up late, badly or not at all.

use expect_test::expect;

use super::check;

#[test]
fn a_server_that_cannot_be_started_is_an_error_to_everybody_who_waits() {
    check(expect![[r#"
        show words
        alice comes withheld=GITHUB_TOKEN,API_KEY
            -> start u1 for alice
        alice: tools/list #1
        bob comes
        u1 start fails no such program: npxx
            -> alice: error #0 -32603 start-failed "`echo` did not start: no such program: npxx; see `mcpool logs echo`\nnot passed to it, though the client has it: GITHUB_TOKEN, API_KEY; if it needs that, say `--env GITHUB_TOKEN` or put it into `env_pass`"
            -> alice: error #1 -32603 start-failed "`echo` did not start: no such program: npxx; see `mcpool logs echo`\nnot passed to it, though the client has it: GITHUB_TOKEN, API_KEY; if it needs that, say `--env GITHUB_TOKEN` or put it into `env_pass`"
            -> bob: error #0 -32603 start-failed "`echo` did not start: no such program: npxx; see `mcpool logs echo`\nnot passed to it, though the client has it: GITHUB_TOKEN, API_KEY; if it needs that, say `--env GITHUB_TOKEN` or put it into `env_pass`"
        alice: initialize #2
        1 s pass
            after 77 ms
            -> start u1 for alice
    "#]]);
}

#[test]
fn last_words_stand_in_the_error_of_a_start() {
    check(expect![[r#"
        show words
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1 complains Cannot find module 'x'
        u1 exits code 1
            -> alice: error #0 -32603 start-failed "`echo` did not start: it exited with code 1 before it answered `initialize`; its last words:\n  Cannot find module 'x'"
    "#]]);
}

#[test]
fn a_server_that_refuses_our_greeting_is_stopped() {
    check(expect![[r#"
        show words
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no\nsuch file"}}
            -> stop u1
            -> alice: raw {"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"`echo` did not start: it answered `initialize` with {\"code\":-32603,\"message\":\"no\\nsuch file\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        bob comes
        u1 exits code 0
        1 s pass
            after 77 ms
            -> start u1 for bob
    "#]]);
}

#[test]
fn a_slow_server_is_an_error_in_time_and_serves_the_next_session() {
    check(expect![[r#"
        show words
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        alice: tools/list #1
        10 s pass
        u1 complains downloading
        bob comes
        15 s pass
            after 15 s
            -> alice: error #0 -32603 still-starting "`echo` has not answered within 25 s; its start goes on, so try again; its last words:\n  downloading"
            -> alice: error #1 -32603 still-starting "`echo` has not answered within 25 s; its start goes on, so try again; its last words:\n  downloading"
        alice leaves
        10 s pass
            after 10 s
            -> bob: error #0 -32603 still-starting "`echo` has not answered within 25 s; its start goes on, so try again; its last words:\n  downloading"
        100 s pass
        u1: greets
            -> u1: initialized
        carol comes
            -> carol: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn what_a_session_has_waited_to_be_opened_is_part_of_its_patience() {
    check(expect![[r#"
        alice comes waited=20
            -> start u1 for alice
        bob opens waited=20
        carol comes waited=30
        5 s pass
            after 0 s
            -> carol: error #0 -32603 still-starting
            after 5 s
            -> alice: error #0 -32603 still-starting
        bob: initialize #0
        20 s pass
            after 10 s
            -> bob: error #0 -32603 still-starting
    "#]]);
}

#[test]
fn a_slow_server_of_one_session_goes_to_the_next_one() {
    check(expect![[r#"
        alice comes scope=session idle=0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        25 s pass
            after 25 s
            -> alice: error #0 -32603 still-starting
        alice leaves
        bob comes scope=session idle=0 workspace=/elsewhere
            -> start u2 for bob
        carol comes scope=session idle=0
        u1: greets
            -> u1: initialized
            -> carol: result #0 version=2025-11-25
        dave comes scope=session idle=0
            -> start u3 for dave
        carol leaves
            -> stop u1
    "#]]);
}

#[test]
fn a_slow_server_that_nobody_comes_back_for_is_stopped_after_a_while() {
    check(expect![[r#"
        alice comes idle=0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        25 s pass
            after 25 s
            -> alice: error #0 -32603 still-starting
        u1: greets
            -> u1: initialized
        1 min pass
            after 25 s
            -> stop u1
        u1 exits code 0
    "#]]);
}

#[test]
fn a_server_that_never_answers_is_stopped_after_five_minutes() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        4 min pass
            after 25 s
            -> alice: error #0 -32603 still-starting
        bob comes
        1 min pass
            after 25 s
            -> bob: error #0 -32603 still-starting
            after 60 s
            -> stop u1
        u1 exits code 0
        1 s pass
    "#]]);
}

#[test]
fn last_words_are_never_quoted_of_a_process_that_saw_a_request() {
    check(expect![[r#"
        show words
        u1 serves alice
        u1 complains listening
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1 complains called with the password hunter2
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited maybe-executed "`echo` exited with code 1 before it answered; the request may have been carried out; see `mcpool logs echo`"
        bob comes
        1 s pass
            after 77 ms
            -> start u1 for bob
        u1 starts
            -> u1: initialize #3
        u1 complains cannot bind
        u1 exits code 2
            -> bob: error #0 -32603 start-failed "`echo` did not start: it exited with code 2 before it answered `initialize`; its last words:\n  cannot bind"
    "#]]);
}

#[test]
fn deaths_in_a_row_are_followed_by_longer_rests_and_then_by_a_refusal() {
    check(expect![[r#"
        u1 serves alice
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1 exits code 1
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1 exits code 1
        1 s pass
            after 272 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
        alice: tools/call #1 tool=x
            -> u1: tools/call #5
        u1 exits signal 11
            -> alice: error #1 -32603 upstream-exited maybe-executed
        1 s pass
            after 582 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1 exits code 1
        alice: tools/call #2 tool=x
        alice: vendor/told
        2 s pass
            after 928 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #7
        u1 exits code 1
            -> alice: error #2 -32603 start-failed
            ! u1 has failed
        bob comes
            -> bob: error #0 -32603 still-failing
        alice: tools/call #3 tool=x
            -> alice: error #3 -32603 still-failing
        alice: vendor/told
        59 s pass
        alice: tools/call #4 tool=x
            -> alice: error #4 -32603 still-failing
        1 s pass
            after 1 s
            -> start u1 for alice
        u1 start fails gone
            ! u1 has failed
        1 min pass
            after 60 s
            -> start u1 for alice
        u1 starts
            -> u1: initialize #8
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            ! u1 has forgotten 1
        1 min pass
        u1 exits code 1
        1 s pass
            after 52 ms
            -> start u1 for alice
    "#]]);
}

#[test]
fn what_died_while_nobody_needed_it_is_not_forgotten_when_its_idle_time_is_over() {
    check(expect![[r#"
        u1 serves alice idle=2
        alice leaves
        1 s pass
        u1 exits code 1
        2 s pass
        bob comes
            -> start u1 for bob
    "#]]);
}

#[test]
fn deaths_count_also_when_each_session_leaves_after_its_error() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 start fails x
            -> alice: error #0 -32603 start-failed
        alice leaves
        1 s pass
        bob comes
            -> start u1 for bob
        u1 start fails x
            -> bob: error #0 -32603 start-failed
        bob leaves
        1 s pass
        carol comes
            -> start u1 for carol
        u1 start fails x
            -> carol: error #0 -32603 start-failed
        1 s pass
        carol: initialize #0
            -> start u1 for carol
        u1 start fails x
            -> carol: error #0 -32603 start-failed
        1 s pass
        carol: initialize #0
            -> start u1 for carol
        u1 start fails x
            -> carol: error #0 -32603 start-failed
        carol: initialize #0
        2 s pass
            after 928 ms
            -> start u1 for carol
        u1 start fails x
            -> carol: error #0 -32603 start-failed
            ! u1 has failed
        carol: initialize #0
            -> carol: error #0 -32603 still-failing
        60 s pass
        carol: initialize #0
            -> start u1 for carol
        u1 start fails x
            -> carol: error #0 -32603 start-failed
            ! u1 has failed
    "#]]);
}

#[test]
fn what_waits_for_a_restart_waits_no_longer_than_a_start_may_take() {
    check(expect![[r#"
        u1 serves alice
        u1 blocks
        alice: tools/call #1 tool=x
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        30 s pass
            after 24 s
            -> alice: error #1 -32603 still-starting
        u1: greets
            -> u1: initialized
        alice: tools/list #2
            -> u1: tools/list #3
    "#]]);
}

#[test]
fn a_process_stopped_while_it_started_is_started_again_for_who_waits() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        admin restarts echo
            -> stop u1
        u1 start fails interrupted
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> admin: restarted 1
    "#]]);
}

#[test]
fn a_start_whose_last_session_leaves_is_stopped_when_its_idle_time_is_over() {
    check(expect![[r#"
        alice comes idle=0
            -> start u1 for alice
        bob comes server=other idle=5
            -> start u2 for bob
        alice leaves
            -> stop u1
        bob leaves
        u1 starts
        u1 exits code 0
        5 s pass
            after 5 s
            -> stop u2
        u2 exits signal 15
    "#]]);
}

#[test]
fn a_budget_of_deaths_refills_and_is_whole_again_after_good_service() {
    check(expect![[r#"
        u1 serves alice
        11 s pass
        u1 exits code 1
        12 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1: greets
            -> u1: initialized
        u1 exits code 1
        12 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
        u1 exits code 1
        12 s pass
            after 272 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
        u1 exits code 1
        12 s pass
            after 582 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #5
        u1: greets
            -> u1: initialized
        u1 exits code 1
        12 s pass
            after 928 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
        u1 exits code 1
        12 s pass
            after 2009 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #7
        u1: greets
            -> u1: initialized
        60 s pass
        u1 exits code 1
        1 s pass
            after 78 ms
            -> start u1 for alice
    "#]]);
}

#[test]
fn what_failed_has_one_try_until_it_has_served_well_or_was_restarted() {
    check(expect![[r#"
        show words
        u1 serves alice
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 start fails x
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 start fails x
        1 s pass
            after 272 ms
            -> start u1 for alice
        u1 start fails x
        1 s pass
            after 582 ms
            -> start u1 for alice
        u1 start fails x
        2 s pass
            after 928 ms
            -> start u1 for alice
        u1 start fails x
            ! u1 has failed
        alice: tools/call #1 tool=x
            -> alice: error #1 -32603 still-failing "`echo` keeps failing; next attempt in 60 s; see `mcpool logs echo`"
        1 min pass
            after 60 s
            -> start u1 for alice
        alice: tools/call #2 tool=x
        u1 starts
            -> u1: initialize #2
        u1: greets
            -> u1: initialized
            -> u1: tools/call #3
        alice: tools/list #3
            -> u1: tools/list #4
        59 s pass
            after 30 s
            -> u1: ping #5
        u1 exits code 1
            -> alice: error #2 -32603 upstream-exited maybe-executed "`echo` exited with code 1 before it answered; the request may have been carried out; see `mcpool logs echo`"
            -> alice: error #3 -32603 still-failing "`echo` keeps failing; next attempt in 60 s; see `mcpool logs echo`"
            ! u1 has failed
        alice: tools/call #4 tool=x
            -> alice: error #4 -32603 still-failing "`echo` keeps failing; next attempt in 60 s; see `mcpool logs echo`"
        admin restarts echo
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> admin: restarted 1
            ! u1 has forgotten 1
        u1 exits code 1
        1 s pass
            after 52 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #7
        u1: greets
            -> u1: initialized
        alice: tools/call #5 tool=x
            -> u1: tools/call #8
    "#]]);
}

#[test]
fn what_comes_after_a_request_that_was_cancelled_waits_as_long_as_any_other() {
    check(expect![[r#"
        u1 serves alice
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        alice: tools/list #1
        alice: cancelled #1
        20 s pass
        alice: tools/list #2
        24 s pass
        1 s pass
            after 1 s
            -> alice: error #2 -32603 still-starting
    "#]]);
}
