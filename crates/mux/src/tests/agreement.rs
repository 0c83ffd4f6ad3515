//! Whether a server tells of a resource, and when whoever wants to hear of it is told that.

use expect_test::expect;

use super::check;

#[test]
fn a_legacy_client_is_subscribed_at_a_modern_server_when_that_has_acknowledged_it() {
    check(expect![[r#"
        alice comes era=modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe+tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #0 version=2025-11-25
        u1: subscriptions/acknowledged #2 changes=tools
        alice: resources/subscribe #1 uri=a:1
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        alice: resources/subscribe #2 uri=a:2
            -> u1: subscriptions/listen #4 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}
            -> u1: cancelled #3
        u1: resources/updated uri=a:1
            ! u1 dropped: no-subscriber
        u1: subscriptions/acknowledged #4 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: result #1
            -> alice: error #2 -32602 bad-parameter
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
        u1: subscriptions/acknowledged #4 changes=tools watches=a:2
        alice: resources/subscribe #3 uri=a:1
            -> alice: result #3
        alice: resources/subscribe #4 uri=a:2
            -> u1: subscriptions/listen #5 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}
        u1: subscriptions/acknowledged #5 changes=tools watches=a:1+a:2
            -> u1: cancelled #4
            -> alice: result #4
        alice: resources/unsubscribe #5 uri=a:1
            -> u1: subscriptions/listen #6 modern {"toolsListChanged":true,"resourceSubscriptions":["a:2"]}
            -> alice: result #5
    "#]]);
}

#[test]
fn a_modern_client_is_told_at_a_legacy_server_of_what_that_agrees_to() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern changes=tools watches=a:1+a:2
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe+tools.listChanged
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1
            -> u1: resources/subscribe #3 uri=a:2
        bob opens era=legacy
        bob: subscriptions/listen #1 modern watches=a:2
        u1: result #2
        u1: resources/updated uri=a:1
        u1: tools/list_changed
        u1: error #3
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
            -> bob: subscriptions/acknowledged of #1 {}
        u1: resources/updated uri=a:1
            -> alice: resources/updated of #1 uri=a:1
        u1: resources/updated uri=a:2
            ! u1 dropped: no-subscriber
        bob: subscriptions/listen #2 modern watches=a:1
            -> bob: subscriptions/acknowledged of #2 {"resourceSubscriptions":["a:1"]}
        bob: subscriptions/listen #3 modern watches=a:2
            -> u1: resources/subscribe #4 uri=a:2
        bob: cancelled #3
            -> u1: resources/unsubscribe #5 uri=a:2
        u1: result #4
        u1: result #5
    "#]]);
}

#[test]
fn one_resource_that_a_modern_server_refuses_takes_nothing_from_others() {
    check(expect![[r#"
        alice comes era=modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe
            -> alice: result #0 version=2025-11-25
        alice: resources/subscribe #1 uri=a:1
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #2 watches=a:1
            -> alice: result #1
        bob comes era=modern
            -> bob: result #0 version=2025-11-25
        carol comes era=modern
            -> carol: result #0 version=2025-11-25
        bob: resources/subscribe #1 uri=bad:1
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1","bad:1"]}
        carol: resources/subscribe #1 uri=c:1
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:1","bad:1","c:1"]}
            -> u1: cancelled #3
        u1: error #4
            -> u1: subscriptions/listen #5 modern {"resourceSubscriptions":["a:1","bad:1"]}
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
        u1: error #5
            -> bob: error #1 -1
            -> u1: subscriptions/listen #6 modern {"resourceSubscriptions":["a:1","c:1"]}
        u1: subscriptions/acknowledged #6 watches=a:1+c:1
            -> u1: cancelled #2
            -> carol: result #1
        u1: resources/updated uri=c:1
            -> carol: resources/updated uri=c:1
    "#]]);
}

#[test]
fn what_is_refused_alone_leaves_the_server_listened_to_as_before() {
    check(expect![[r#"
        alice comes era=modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe+tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #0 version=2025-11-25
        u1: subscriptions/acknowledged #2 changes=tools
        alice: resources/subscribe #1 uri=bad:1
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["bad:1"]}
        u1: error #3
            -> alice: error #1 -1
        u1: tools/list_changed
            -> alice: tools/list_changed
        u1: cancelled #2
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #4 modern {"toolsListChanged":true}
    "#]]);
}

#[test]
fn who_waits_for_word_may_think_better_of_it() {
    check(expect![[r#"
        alice comes era=modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe
            -> alice: result #0 version=2025-11-25
        alice: resources/subscribe #1 uri=a:1
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1"]}
        alice: resources/subscribe #2 uri=a:2
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1","a:2"]}
            -> u1: cancelled #2
        alice: cancelled #1
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:2"]}
            -> u1: cancelled #3
        alice: resources/unsubscribe #3 uri=a:2
            -> u1: cancelled #4
            -> alice: result #2
            -> alice: result #3
        alice: resources/subscribe #4 uri=a:3
            -> u1: subscriptions/listen #5 modern {"resourceSubscriptions":["a:3"]}
        alice leaves
            -> u1: cancelled #5
    "#]]);
}

#[test]
fn a_server_that_does_not_say_is_not_waited_for_for_ever() {
    check(expect![[r#"
        alice comes era=modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe
            -> alice: result #0 version=2025-11-25
        alice: resources/subscribe #1 uri=a:1
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1"]}
        20 s pass
        alice: resources/subscribe #2 uri=a:2
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1","a:2"]}
            -> u1: cancelled #2
        20 s pass
            after 10 s
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:2"]}
            -> u1: cancelled #3
            -> alice: error #1 -32603 took-too-long maybe-executed
        u1: subscriptions/acknowledged #3 watches=a:1+a:2
        u1: subscriptions/acknowledged #4 watches=a:2
            -> alice: result #2
    "#]]);
}

#[test]
fn a_process_that_ends_before_it_has_said_is_followed_by_one_that_is_asked_again() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #4 uri=a:1
        u1: result #4
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
    "#]]);
}

#[test]
fn who_waits_for_word_when_the_server_is_given_up_hears_why() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1
        shutdown
            -> u1: resources/unsubscribe #3 uri=a:1
            -> alice: error #1 -32603 shutting-down
            -> close alice
            -> stop u1
    "#]]);
}
