//! Who is not read: whoever has said too much, or does not read, unless somebody waits for a word of it.

use std::string::String;

use expect_test::expect;

use super::{check, limits::play_with};
use crate::Limits;

/// A session has two calls at its server and room for two more messages.
fn play_busy(text: &str) -> String {
    let limits = Limits {
        session_in_flight: 2,
        session_queue: 2,
        heard_unread: 3,
        ..Limits::default()
    };
    play_with(limits, text)
}

#[test]
fn a_client_that_answers_what_it_is_asked_gets_on_however_full_its_queue_is() {
    let played = play_busy(
        "u1 serves alice caps=sampling
alice: tools/call #1 tool=x
alice: tools/call #2 tool=x
alice: tools/call #3 tool=x
alice: tools/call #4 tool=x
u1: sampling/createMessage #8
u1: sampling/createMessage #9
alice: result #2
alice: a #5
alice: result #1
u1: result #2
u1: sampling/createMessage #10
alice: result #3
u1: result #3
u1: result #4
u1: result #5
",
    );
    expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        alice: tools/call #3 tool=x
        alice: tools/call #4 tool=x
            -> pause alice
        u1: sampling/createMessage #8
            -> resume alice
            -> alice: sampling/createMessage #1
            ! u1 separates x
        u1: sampling/createMessage #9
            -> alice: sampling/createMessage #2
        alice: result #2
            -> u1: result #9
        alice: a #5
            -> alice: error #5 -32603 overloaded
        alice: result #1
            -> u1: result #8
            -> pause alice
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #4
            -> resume alice
        u1: sampling/createMessage #10
            -> alice: sampling/createMessage #3
        alice: result #3
            -> u1: result #10
        u1: result #3
            -> alice: result #2
            -> u1: tools/call #5
        u1: result #4
            -> alice: result #3
        u1: result #5
            -> alice: result #4
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_session_whose_queue_is_full_is_not_read_any_more_once_nothing_is_asked_of_it() {
    let played = play_busy(
        "u1 serves alice caps=sampling
alice: tools/call #1 tool=x
alice: a #2
alice: a #3
alice: a #4
u1: sampling/createMessage #7
u1: cancelled #7
u1: sampling/createMessage #8
alice: too long #2 response
u1: sampling/createMessage #9
alice: result #3
u1: sampling/createMessage #10
u1 exits code 1
",
    );
    expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: a #2
            -> u1: a #3
        alice: a #3
        alice: a #4
            -> pause alice
        u1: sampling/createMessage #7
            -> resume alice
            -> alice: sampling/createMessage #1
            ! u1 separates x
        u1: cancelled #7
            -> alice: cancelled #1
            -> pause alice
        u1: sampling/createMessage #8
            -> resume alice
            -> alice: sampling/createMessage #2
        alice: too long #2 response
            -> u1: error #8 -32603 answer-too-long maybe-executed
            -> pause alice
        u1: sampling/createMessage #9
            -> resume alice
            -> alice: sampling/createMessage #3
        alice: result #3
            -> u1: result #9
            -> pause alice
        u1: sampling/createMessage #10
            -> resume alice
            -> alice: sampling/createMessage #4
        u1 exits code 1
            -> alice: cancelled #4
            -> pause alice
            -> alice: error #1 -32603 upstream-exited maybe-executed
            -> alice: error #2 -32603 upstream-exited maybe-executed
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_session_that_does_not_read_is_not_read_until_it_does() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice stops reading
            -> pause alice
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: result #2
            -> alice: result #1
        alice reads on
            -> resume alice
        alice: tools/call #2 tool=x
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn a_session_that_was_cut_is_not_read_before_it_reads() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #7
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice stops reading
        alice is cut
            -> u1: error #7 -32603 owner-gone
            -> u1: cancelled #2
            -> alice: error #1 -32603 too-slow maybe-executed
            -> pause alice
        alice reads on
            -> resume alice
    "#]]);
}

#[test]
fn a_session_that_does_not_read_and_has_a_full_queue_needs_both_to_change() {
    let played = play_busy(
        "u1 serves alice
u1 blocks
alice: a #1
alice: a #2
alice stops reading
u1 reads
alice reads on
alice stops reading
u1 blocks
alice: a #3
alice: a #4
alice reads on
u1: result #2
u1 reads
",
    );
    expect![[r#"
        u1 serves alice
        u1 blocks
        alice: a #1
        alice: a #2
            -> pause alice
        alice stops reading
        u1 reads
        alice reads on
            -> u1: a #2
            -> resume alice
            -> u1: a #3
        alice stops reading
            -> pause alice
        u1 blocks
        alice: a #3
        alice: a #4
        alice reads on
        u1: result #2
            -> alice: result #1
        u1 reads
            -> u1: a #4
            -> resume alice
    "#]]
    .assert_eq(&played);
}

#[test]
fn a_session_that_does_not_read_is_heard_while_it_is_asked_something_but_not_without_end() {
    let played = play_busy(
        "u1 serves alice caps=sampling
alice: tools/call #1 tool=x
alice stops reading
u1: sampling/createMessage #7
alice: ping #2
alice: result #1
u1: sampling/createMessage #8
alice: raw x
alice: ping #4
u1: sampling/createMessage #9
alice is cut
alice reads on
",
    );
    expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice stops reading
            -> pause alice
        u1: sampling/createMessage #7
            -> resume alice
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice: ping #2
            -> alice: result #2
        alice: result #1
            -> u1: result #7
            -> pause alice
        u1: sampling/createMessage #8
            -> resume alice
            -> alice: sampling/createMessage #2
        alice: raw x
            -> pause alice
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not JSON","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: ping #4
            -> alice: result #4
        u1: sampling/createMessage #9
            -> alice: sampling/createMessage #3
        alice is cut
            -> u1: error #8 -32603 owner-gone
            -> u1: error #9 -32603 owner-gone
            -> u1: cancelled #2
            -> alice: error #1 -32603 too-slow maybe-executed
        alice reads on
            -> resume alice
    "#]]
    .assert_eq(&played);
}
