//! How a server of the modern era is listened to when it does not want to be, or not any longer.

use expect_test::expect;

use super::check;

#[test]
fn a_server_that_ends_what_it_is_listened_to_by_is_listened_to_again_after_a_rest_and_nobody_is_told()
 {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #"listen:0" modern changes=tools watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
        u1: subscriptions/acknowledged #2 changes=tools
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #3 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: subscriptions/acknowledged of #"listen:0" {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: result #3 {"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":3}}
        u1: result #3 {"resultType":"complete"}
            ! u1 dropped: unknown-response
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #4 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: tools/list_changed
            -> alice: tools/list_changed of #"listen:0"
        u1: cancelled #4
        1 s pass
            after 146 ms
            -> u1: subscriptions/listen #5 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        2 min pass
        u1: cancelled #5
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #6 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: resources/updated uri=a:1
            -> alice: resources/updated of #"listen:0" uri=a:1
        u1: cancelled #5
            ! u1 dropped: unknown-cancellation
    "#]]);
}

#[test]
fn a_server_that_refuses_to_be_listened_to_is_asked_again_only_for_something_else() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
        u1: error #2
        10 min pass
        alice: subscriptions/listen #2 modern watches=a:1
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
    "#]]);
}

#[test]
fn a_wish_that_changes_during_the_rest_is_not_waited_for_and_the_end_of_the_process_ends_the_rest()
{
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
        u1: cancelled #2
        alice: subscriptions/listen #2 modern watches=a:1
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        1 s pass
        u1: cancelled #3
        u1 exits code 0
        10 s pass
            after 77 ms
            -> start u1 for alice
    "#]]);
}

#[test]
fn a_server_is_listened_to_for_longer_than_requests_may_live() {
    check(expect![[r#"
        alice opens request=60 request-idle=30
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
        alice: tools/call #2 modern tool=t
            -> u1: tools/call #3 modern
        5 min pass
            after 30 s
            -> u1: server/discover #4 modern
            -> u1: cancelled #3
            -> alice: error #2 -32603 took-too-long maybe-executed
        u1: cancelled #2
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #5 modern {"toolsListChanged":true}
    "#]]);
}

#[test]
fn what_may_have_ended_by_a_broken_line_is_ended_before_it_is_begun_anew() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
        u1: too long response
            -> u1: cancelled #2
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true}
    "#]]);
}

#[test]
fn a_legacy_client_cannot_listen_in_the_words_of_the_modern_era() {
    check(expect![[r#"
        alice opens era=modern
        alice: subscriptions/listen #1 changes=tools
            -> alice: error #1 -32600 not-initialized
        alice: initialize #0
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #0 version=2025-11-25
        alice: subscriptions/listen #2 changes=tools
            -> alice: error #2 -32601 no-such-method
        u1: tools/list_changed
            -> alice: tools/list_changed
    "#]]);
}

#[test]
fn what_an_earlier_daemon_listened_by_ends_when_the_next_one_is_heard() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #"listen:0" modern changes=tools watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
        u1: subscriptions/acknowledged #2 changes=tools
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #3 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: subscriptions/acknowledged of #"listen:0" {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        the daemon dies
        alice comes back
        u1: tools/list_changed
        u1: resources/updated uri=a:1
            ! u1 dropped: no-subscriber
        alice: replays sent subscriptions/listen #"listen:0" modern changes=tools watches=a:1
            -> u1: subscriptions/listen #4294967297 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: resources/updated uri=a:1
        alice is replayed
            ! 1 replayed, 0 refused
        u1: subscriptions/acknowledged #4294967297 changes=tools watches=a:1
            -> u1: cancelled #3
            -> alice: subscriptions/acknowledged of #"listen:0" {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
            -> alice: tools/list_changed of #"listen:0"
            -> alice: resources/updated of #"listen:0" uri=a:1
        u1: resources/updated uri=a:1
            -> alice: resources/updated of #"listen:0" uri=a:1
        u1: result #3 {"resultType":"complete"}
            ! u1 dropped: unknown-response
        the daemon dies
        u1: result #4294967297 {"resultType":"complete"}
        1 s pass
            after 73 ms
            -> u1: subscriptions/listen #8589934593 modern {"toolsListChanged":true}
    "#]]);
}

#[test]
fn of_two_requests_that_an_earlier_daemon_listened_by_the_one_that_was_to_replace_the_other_ends_at_once()
 {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=resources.subscribe
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #2 watches=a:1
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        alice: subscriptions/listen #2 modern watches=a:2
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1","a:2"]}
        the daemon dies
            -> u1: cancelled #3
        u1: subscriptions/acknowledged #3 watches=a:1+a:2
        alice comes back
        alice: replays sent subscriptions/listen #1 modern watches=a:1
            -> u1: subscriptions/listen #4294967297 modern {"resourceSubscriptions":["a:1"]}
        alice: replays sent subscriptions/listen #2 modern watches=a:2
        alice is replayed
            ! 2 replayed, 0 refused
        1 s pass
        u1: subscriptions/acknowledged #4294967297 watches=a:1
            -> u1: cancelled #2
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
            -> u1: subscriptions/listen #4294967298 modern {"resourceSubscriptions":["a:1","a:2"]}
        u1: subscriptions/acknowledged #4294967298 watches=a:1+a:2
            -> u1: cancelled #4294967297
            -> alice: subscriptions/acknowledged of #2 {"resourceSubscriptions":["a:2"]}
    "#]]);
}

#[test]
fn a_server_that_has_ended_what_it_was_listened_to_by_is_listened_to_by_the_next_daemon() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
        u1: subscriptions/acknowledged #2 changes=tools
        u1: result #2 {"resultType":"complete"}
        the daemon dies
            -> u1: subscriptions/listen #4294967297 modern {"toolsListChanged":true}
        u1: error #4294967297
        the daemon dies
            -> u1: subscriptions/listen #8589934593 modern {"toolsListChanged":true}
    "#]]);
}

#[test]
fn an_earlier_request_to_be_listened_to_that_is_refused_late_is_followed_by_our_own() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
        the daemon dies
        u1: error #2
            -> u1: subscriptions/listen #4294967297 modern {"toolsListChanged":true}
    "#]]);
}
