//! Subscriptions: the server sees the union, each session its own.

use expect_test::expect;

use super::check;

#[test]
fn the_server_hears_of_the_first_and_of_the_last() {
    check(expect![[r#"
        u1 serves alice bob carol
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        u1: result #2
            -> alice: result #1
        bob: resources/subscribe #1 uri=a:b
            -> bob: result #1
        u1: resources/updated uri=a:b
            -> alice: resources/updated uri=a:b
            -> bob: resources/updated uri=a:b
        alice: resources/unsubscribe #2 uri=a:b
            -> alice: result #2
        u1: resources/updated uri=a:b
            -> bob: resources/updated uri=a:b
        bob: resources/unsubscribe #2 uri=a:b
            -> u1: resources/unsubscribe #3 uri=a:b
        u1: result #3
            -> bob: result #2
        u1: resources/updated uri=a:b
            ! u1 dropped: no-subscriber
    "#]]);
}

#[test]
fn who_leaves_unsubscribes_from_what_nobody_else_wants() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2
            -> alice: result #1
        alice: resources/subscribe #2 uri=a:2
            -> u1: resources/subscribe #3 uri=a:2
        u1: result #3
            -> alice: result #2
        bob: resources/subscribe #1 uri=a:2
            -> bob: result #1
        alice leaves
            -> u1: resources/unsubscribe #4 uri=a:1
        u1: result #4
        u1: resources/updated uri=a:2
            -> bob: resources/updated uri=a:2
    "#]]);
}

#[test]
fn one_who_is_refused_takes_nothing_from_others() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        bob: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #3 uri=a:b
        u1: error #2
            -> alice: error #1 -1
        u1: result #3
            -> bob: result #1
        u1: resources/updated uri=a:b
            -> bob: resources/updated uri=a:b
        alice: resources/subscribe #2 uri=a:b
            -> alice: result #2
    "#]]);
}

#[test]
fn who_never_subscribed_ends_nobodys_subscription() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        bob: resources/unsubscribe #1 uri=a:b
            -> bob: result #1
        u1: result #2
            -> alice: result #1
        bob: resources/unsubscribe #2 uri=a:b
            -> bob: result #2
        carol comes
            -> carol: result #0 version=2025-11-25
        carol: resources/unsubscribe #1 uri=a:b
            -> carol: result #1
        u1: resources/updated uri=a:b
            -> alice: resources/updated uri=a:b
        carol: resources/unsubscribe #2 uri=a:z
            -> u1: resources/unsubscribe #3 uri=a:z
    "#]]);
}

#[test]
fn wishes_are_weighed_when_they_are_sent_not_when_they_come() {
    check(expect![[r#"
        u1 serves alice
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        u1: result #2
            -> alice: result #1
        u1 blocks
        bob comes
            -> bob: result #0 version=2025-11-25
        bob: resources/unsubscribe #1 uri=a:b
        bob: resources/subscribe #2 uri=a:b
        alice: resources/unsubscribe #2 uri=a:b
        u1 reads
            -> bob: result #1
            -> u1: resources/unsubscribe #3 uri=a:b
            -> u1: resources/subscribe #4 uri=a:b
        u1: resources/updated uri=a:b
            -> bob: resources/updated uri=a:b
    "#]]);
}

#[test]
fn who_unsubscribes_before_the_answer_is_not_subscribed_by_it() {
    check(expect![[r#"
        u1 serves alice
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        alice: resources/unsubscribe #2 uri=a:b
            -> u1: resources/unsubscribe #3 uri=a:b
        u1: result #2
            -> alice: result #1
        u1: result #3
            -> alice: result #2
        u1: resources/updated uri=a:b
            ! u1 dropped: no-subscriber
    "#]]);
}

#[test]
fn a_subscription_given_up_before_the_answer_is_taken_back() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #2 uri=a:1
        alice: cancelled #1
            -> u1: cancelled #2
            -> u1: resources/unsubscribe #3 uri=a:1
        bob: resources/subscribe #1 uri=a:2
            -> u1: resources/subscribe #4 uri=a:2
        bob leaves
            -> u1: cancelled #4
            -> u1: resources/unsubscribe #5 uri=a:2
        u1: result #2
            ! u1 dropped: unknown-response
        u1: resources/updated uri=a:1
            ! u1 dropped: no-subscriber
    "#]]);
}

#[test]
fn a_subscription_given_up_is_taken_back_also_when_another_is_refused_the_same_later() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        bob: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #3 uri=a:b
        bob leaves
            -> u1: cancelled #3
        u1: error #2
            -> u1: resources/unsubscribe #4 uri=a:b
            -> alice: error #1 -1
    "#]]);
}

#[test]
fn a_new_process_hears_of_all_subscriptions() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2
            -> alice: result #1
        bob: resources/subscribe #1 uri=a:2
            -> u1: resources/subscribe #3 uri=a:2
        u1 exits code 1
            -> bob: error #1 -32603 upstream-exited maybe-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
        alice: resources/unsubscribe #2 uri=a:1
        bob: resources/subscribe #2 uri=a:1
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> u1: resources/subscribe #5 uri=a:1
            -> u1: resources/unsubscribe #6 uri=a:1
            -> u1: resources/subscribe #7 uri=a:1
        u1: result #5
        u1: resources/updated uri=a:1
            -> bob: resources/updated uri=a:1
    "#]]);
}

#[test]
fn changed_lists_are_told_to_everybody_who_is_served() {
    check(expect![[r#"
        u1 serves alice bob
        carol comes caps=roots
            -> start u2 for carol
        dave opens
        u1: tools/list_changed
            -> alice: tools/list_changed
            -> bob: tools/list_changed
        u1: raw {"jsonrpc":"2.0","method":"notifications/prompts/list_changed","params":{"_meta":{"a":1.0}}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/prompts/list_changed","params":{"_meta":{"a":1.0}}}
            -> bob: raw {"jsonrpc":"2.0","method":"notifications/prompts/list_changed","params":{"_meta":{"a":1.0}}}
        bob leaves
        u1: resources/list_changed
            -> alice: resources/list_changed
    "#]]);
}
