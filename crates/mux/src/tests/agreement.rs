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
        alice: resources/subscribe #1 uri=a:1
        u1: subscriptions/acknowledged #2 changes=tools
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        alice: resources/subscribe #2 uri=a:2
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
        u1: subscriptions/acknowledged #3 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: result #1
            -> u1: subscriptions/listen #4 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1","a:2"]}
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
        u1: subscriptions/acknowledged #3 changes=tools watches=a:2
        u1: subscriptions/acknowledged #4 changes=tools watches=a:1
            -> u1: cancelled #3
            -> alice: error #2 -32602 bad-parameter
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
            -> alice: tools/list_changed of #1
            -> alice: resources/updated of #1 uri=a:1
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
        bob comes era=modern
            -> bob: result #0 version=2025-11-25
        carol comes era=modern
            -> carol: result #0 version=2025-11-25
        bob: resources/subscribe #1 uri=bad:1
        carol: resources/subscribe #1 uri=c:1
        u1: subscriptions/acknowledged #2 watches=a:1
            -> alice: result #1
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1","bad:1","c:1"]}
        u1: error #3
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:1","bad:1"]}
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
        u1: error #4
            -> bob: error #1 -1
            -> u1: subscriptions/listen #5 modern {"resourceSubscriptions":["a:1","c:1"]}
        u1: subscriptions/acknowledged #5 watches=a:1+c:1
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
fn what_the_next_process_refuses_is_kept_from_nobody_else_and_promised_to_nobody() {
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
        u1: subscriptions/acknowledged #3 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: result #1
        bob comes era=modern
            -> bob: result #0 version=2025-11-25
        bob: resources/subscribe #1 uri=b:1
            -> u1: subscriptions/listen #4 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1","b:1"]}
        u1: subscriptions/acknowledged #4 changes=tools watches=a:1+b:1
            -> u1: cancelled #3
            -> bob: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #5 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe+tools.listChanged
            -> u1: subscriptions/listen #6 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1","b:1"]}
            -> alice: tools/list_changed
            -> bob: tools/list_changed
        carol comes era=modern
            -> carol: result #0 version=2025-11-25
        carol: resources/subscribe #1 uri=a:1
        u1: error #6
            -> u1: subscriptions/listen #7 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: error #7
            -> carol: error #1 -1
            -> u1: subscriptions/listen #8 modern {"toolsListChanged":true,"resourceSubscriptions":["b:1"]}
        u1: subscriptions/acknowledged #8 changes=tools watches=b:1
        u1: resources/updated uri=b:1
            -> bob: resources/updated uri=b:1
    "#]]);
}

#[test]
fn who_comes_when_a_process_has_taken_back_a_promise_is_not_given_it() {
    check(expect![[r#"
        alice opens era=modern
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=resources.subscribe
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #2 watches=a:1
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #3 modern
        u1: greets declares=resources.subscribe
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #4
        bob opens era=modern
        bob: subscriptions/listen #1 modern watches=a:1
            -> u1: subscriptions/listen #5 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #5 watches=a:1
            -> u1: cancelled #4
            -> bob: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        u1: resources/updated uri=a:1
            -> alice: resources/updated of #1 uri=a:1
            -> bob: resources/updated of #1 uri=a:1
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
        alice: cancelled #1
        alice: resources/unsubscribe #3 uri=a:2
            -> alice: result #2
            -> alice: result #3
        alice: resources/subscribe #4 uri=a:3
        u1: subscriptions/acknowledged #2 watches=a:1
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:3"]}
        alice leaves
        u1: subscriptions/acknowledged #3 watches=a:3
            -> u1: cancelled #2
            -> u1: cancelled #3
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
fn one_that_is_slow_to_start_is_asked_when_it_has() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        u1 exits code 1
        alice: subscriptions/listen #2 modern watches=a:2
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        40 s pass
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #4 uri=a:1
            -> u1: resources/subscribe #5 uri=a:2
        u1: result #4
        u1: result #5
            -> alice: subscriptions/acknowledged of #2 {"resourceSubscriptions":["a:2"]}
        u1: resources/updated uri=a:2
            -> alice: resources/updated of #2 uri=a:2
    "#]]);
}

#[test]
fn what_many_wish_and_nobody_wants_any_more_is_told_once() {
    check(expect![[r#"
        alice opens era=modern
        alice: subscriptions/listen #1 modern watches=a:1+a:2+a:3+a:4
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=resources.subscribe
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1","a:2","a:3","a:4"]}
        40 s pass
            after 30 s
            -> u1: cancelled #2
            -> alice: subscriptions/acknowledged of #1 {}
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
fn what_a_server_may_have_agreed_to_unheard_is_taken_back() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1
        u1: too long response #2
            -> alice: subscriptions/acknowledged of #1 {}
            -> u1: resources/unsubscribe #3 uri=a:1
    "#]]);
}

#[test]
fn a_part_hides_no_whole_whether_it_is_waited_for_or_agreed_to() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern watches=a:1/
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1/
        u1: result #2
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1/"]}
        bob opens era=legacy
        bob: subscriptions/listen #1 modern watches=a:1/x
            -> u1: resources/subscribe #3 uri=a:1/x
        u1: resources/updated uri=a:1/x
            -> alice: resources/updated of #1 uri=a:1/x
        u1: result #3
            -> bob: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1/x"]}
            -> bob: resources/updated of #1 uri=a:1/x
        u1: resources/updated uri=a:1/x
            -> alice: resources/updated of #1 uri=a:1/x
            -> bob: resources/updated of #1 uri=a:1/x
        u1: resources/updated uri=a:1/
            -> alice: resources/updated of #1 uri=a:1/
    "#]]);
}

#[test]
fn who_watches_the_whole_and_a_part_hears_of_each_change_once_for_each_wish() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        alice: resources/subscribe #1 uri=a:1/
            -> u1: resources/subscribe #2 uri=a:1/
        u1: result #2
            -> alice: result #1
        alice: resources/subscribe #2 uri=a:1/x
            -> u1: resources/subscribe #3 uri=a:1/x
        u1: result #3
            -> alice: result #2
        bob opens era=legacy
        bob: subscriptions/listen #1 modern watches=a:1/+a:1/x
            -> bob: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1/","a:1/x"]}
        bob: subscriptions/listen #2 modern watches=a:1/
            -> bob: subscriptions/acknowledged of #2 {"resourceSubscriptions":["a:1/"]}
        u1: resources/updated uri=a:1/x
            -> alice: resources/updated uri=a:1/x
            -> bob: resources/updated of #1 uri=a:1/x
            -> bob: resources/updated of #2 uri=a:1/x
    "#]]);
}

#[test]
fn what_is_updated_before_the_acknowledgement_is_told_behind_it_once_for_each_resource_it_names() {
    check(expect![[r#"
        alice opens era=legacy
        alice: subscriptions/listen #1 modern watches=a:1/+b:1+c:1
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=resources.subscribe
            -> u1: initialized
            -> u1: resources/subscribe #2 uri=a:1/
            -> u1: resources/subscribe #3 uri=b:1
            -> u1: resources/subscribe #4 uri=c:1
        u1: resources/updated uri=b:1
        u1: resources/updated uri=c:1
        u1: result #2
        u1: resources/updated uri=a:1/x
        u1: resources/updated uri=a:1/x
        u1: error #4
        u1: result #3
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1/","b:1"]}
            -> alice: resources/updated of #1 uri=a:1/x
            -> alice: resources/updated of #1 uri=b:1
        alice: subscriptions/listen #2 modern watches=a:1/+a:1/x+d:1
            -> u1: resources/subscribe #5 uri=a:1/x
            -> u1: resources/subscribe #6 uri=d:1
        u1: resources/updated uri=a:1/x
            -> alice: resources/updated of #1 uri=a:1/x
        u1: resources/updated uri=a:1/y
            -> alice: resources/updated of #1 uri=a:1/y
        u1: result #5
        u1: resources/updated uri=a:1/x
            -> alice: resources/updated of #1 uri=a:1/x
        u1: result #6
            -> alice: subscriptions/acknowledged of #2 {"resourceSubscriptions":["a:1/","a:1/x","d:1"]}
            -> alice: resources/updated of #2 uri=a:1/
            -> alice: resources/updated of #2 uri=a:1/x
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

#[test]
fn what_was_promised_stays_though_it_is_asked_for_again_in_vain() {
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
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #3 modern
        u1: greets speaks=2026-07-28 declares=resources.subscribe
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:1"]}
        alice: resources/subscribe #2 uri=a:1
        alice: cancelled #2
        u1: subscriptions/acknowledged #4 watches=a:1
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
    "#]]);
}

#[test]
fn nobody_is_promised_anything_while_the_server_is_not_listened_to() {
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
        u1: cancelled #2
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1"]}
        u1: error #3
        bob comes era=modern
            -> bob: result #0 version=2025-11-25
        bob: resources/subscribe #1 uri=a:1
            -> u1: subscriptions/listen #4 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #4 watches=a:1
            -> bob: result #1
    "#]]);
}
