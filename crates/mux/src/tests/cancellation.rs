//! Cancellation: once, and only ever of one's own.

use expect_test::expect;

use super::check;

#[test]
fn a_cancellation_reaches_the_request_it_means() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        bob: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"of \u0041", "requestId" : 1}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"of \u0041", "requestId" : 3}}
        u1: result #3
            ! u1 dropped: unknown-response
        bob: cancelled #1
        u1: result #2
            -> alice: result #1
    "#]]);
}

#[test]
fn the_type_of_an_id_is_part_of_it() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: cancelled #"1"
        alice: cancelled #7
        alice: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}
        u1: result #2
            -> alice: result #1
    "#]]);
}

#[test]
fn what_is_over_cannot_be_cancelled() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        alice: cancelled #1
    "#]]);
}

#[test]
fn initialize_cannot_be_cancelled() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        alice: cancelled #0
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn what_waits_is_cancelled_without_a_word_to_the_server() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        alice: tools/call #1 tool=x
        alice: tools/list #2
        alice: cancelled #1
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> u1: tools/list #2
        u1: result #2
            -> alice: result #2
    "#]]);
}

#[test]
fn what_was_announced_and_not_sent_is_not_sent() {
    check(expect![[r#"
        u1 serves alice slow
        u1 blocks
        alice: tools/call #1 tool=x
            -> alice: held 2
        u1 reads
            -> alice: sent 2
        alice: cancelled #1
        alice hears
    "#]]);
}

#[test]
fn who_leaves_cancels_what_was_sent_once() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        alice: tools/list #3
            -> u1: tools/list #4
        bob: tools/call #1 tool=x
            -> u1: tools/call #5
        alice: cancelled #2
            -> u1: cancelled #3
        alice leaves
            -> u1: cancelled #2
            -> u1: cancelled #4
        u1: result #2
            ! u1 dropped: unknown-response
        u1: result #3
            ! u1 dropped: unknown-response
        u1: error #4
            ! u1 dropped: unknown-response
        u1: result #5
            -> bob: result #1
    "#]]);
}
