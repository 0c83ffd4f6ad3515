//! How long a request may take, in all and without progress.

use expect_test::expect;

use super::check;

#[test]
fn a_request_without_progress_ends_and_one_that_gets_on_does_not() {
    check(expect![[r#"
        show words
        u1 serves alice request-idle=300
        alice: tools/call #1 tool=x token=1
            -> u1: tools/call #2 token=2
        alice: tools/call #2 tool=x token=2
            -> u1: tools/call #3 token=3
        200 s pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
        u1: progress token=2
            -> alice: progress token=1
            ! u1 is responsive
        100 s pass
            after 30 s
            -> u1: ping #7
            after 60 s
            -> u1: ping #8
            after 90 s
            -> u1: ping #9
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
            after 100 s
            -> u1: cancelled #3
            -> alice: error #2 -32603 took-too-long maybe-executed "neither an answer nor any progress within 300 s"
        200 s pass
            after 200 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed "neither an answer nor any progress within 300 s"
            -> stop u1
        u1: result #3
            ! u1 dropped: unknown-response
        u1: result #2
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn progress_does_not_prolong_the_whole_life_of_a_request() {
    check(expect![[r#"
        show words
        u1 serves alice request=25 request-idle=10
        alice: tools/call #1 tool=x token="t"
            -> u1: tools/call #2 token=2
        9 s pass
        u1: progress token=2
            -> alice: progress token="t"
        9 s pass
        u1: progress token=2
            -> alice: progress token="t"
        9 s pass
            after 7 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed "no answer within 25 s"
        u1: progress token=2
            ! u1 dropped: unknown-progress
    "#]]);
}

#[test]
fn progress_of_one_request_is_none_of_another() {
    check(expect![[r#"
        u1 serves alice bob request-idle=20
        alice: tools/call #1 tool=x token=1
            -> u1: tools/call #2 token=2
        1 s pass
        bob: tools/call #1 tool=x token=1
            -> u1: tools/call #3 token=3
        18 s pass
        u1: progress token=3
            -> bob: progress token=1
        u1: progress token=9
            ! u1 dropped: unknown-progress
        u1: message level=info
            ! u1 dropped: unclear-log-message
        1 s pass
            after 1 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed
        19 s pass
            after 19 s
            -> u1: cancelled #3
            -> bob: error #1 -32603 took-too-long maybe-executed
    "#]]);
}

#[test]
fn a_server_has_limits_of_its_own_and_others_have_those_of_all() {
    check(expect![[r#"
        u1 serves alice request=5
        u2 serves bob server=other request-idle=never
        alice: tools/list #1
            -> u1: tools/list #2
        bob: tools/list #1
            -> u2: tools/list #2
        1 min pass
            after 5 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed
            after 30 s
            -> u2: ping #3
            after 60 s
            -> u2: ping #4
        25 h pass
            after 30 s
            -> u2: ping #5
            after 35 s
            -> stop u2
            ! u2 is unresponsive, quiet for 95 s
            after 86340 s
            -> u2: cancelled #2
            -> bob: error #1 -32603 took-too-long maybe-executed
    "#]]);
}

#[test]
fn who_is_asked_something_is_not_hurried() {
    check(expect![[r#"
        u1 serves alice caps=elicitation request-idle=20
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: elicitation/create #"a" mode=form
            -> alice: elicitation/create #1
            ! u1 separates x
        50 s pass
            after 30 s
            -> u1: ping #3
        alice: result #1
            -> u1: result #"a"
        20 s pass
            after 10 s
            -> u1: ping #4
            after 20 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed
    "#]]);
}

#[test]
fn what_we_ask_ourselves_is_not_hurried_and_hurries_nobody() {
    check(expect![[r#"
        u1 serves alice request-idle=70
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        69 s pass
            after 30 s
            -> u1: ping #3
            after 60 s
            -> u1: ping #4
        u1: result #2
            -> alice: result #1
        2 h pass
        alice: tools/call #2 tool=x
            -> u1: tools/call #5
        71 s pass
            after 30 s
            -> u1: ping #6
            after 60 s
            -> u1: ping #7
            after 70 s
            -> u1: cancelled #5
            -> alice: error #2 -32603 took-too-long maybe-executed
    "#]]);
}

#[test]
fn what_waits_for_its_turn_has_not_begun() {
    check(expect![[r#"
        u1 serves alice request-idle=5
        u1 blocks
        alice: tools/call #1 tool=x
        1 min pass
        u1 reads
            -> u1: tools/call #2
        5 s pass
            after 5 s
            -> u1: cancelled #2
            -> alice: error #1 -32603 took-too-long maybe-executed
    "#]]);
}
