//! The modern era: no handshake, and each request says what it is of.

use expect_test::expect;

use super::check;

#[test]
fn a_modern_server_is_asked_once_and_modern_clients_are_served_in_their_own_words() {
    check(expect![[r#"
        alice opens
        alice: server/discover #"p" modern caps=elicitation
            -> start u1 for alice
        bob opens
        bob: tools/call #0 modern tool=t token=7
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28 declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #"p" versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
            -> u1: tools/call #3 token=3 modern
        u1: progress token=3
            -> bob: progress token=7
        u1: result #3 {"content":[],"resultType":"complete"}
            -> bob: result #0 {"content":[],"resultType":"complete"}
        alice: server/discover #0 modern
            -> alice: result #0 versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
        alice: tools/list #1 modern log=debug
            -> u1: tools/list #4 modern log=debug
        u1: result #4 {"tools":[],"resultType":"complete","ttlMs":5,"cacheScope":"public"}
            -> alice: result #1 {"tools":[],"resultType":"complete","ttlMs":5,"cacheScope":"public"}
        alice leaves
        bob leaves
    "#]]);
}

#[test]
fn who_listens_hears_of_changes_under_the_name_of_the_wish_and_others_do_not() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #"listen:0" modern changes=tools+prompts
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true,"resourcesListChanged":true}
            -> alice: subscriptions/acknowledged of #"listen:0" {"toolsListChanged":true}
        u1: subscriptions/acknowledged #2 changes=tools+resources
        bob opens
        bob: subscriptions/listen #"listen:0" modern changes=tools+resources watches=a:1
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #3 changes=tools+resources watches=a:1
            -> u1: cancelled #2
            -> bob: subscriptions/acknowledged of #"listen:0" {"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a:1"]}
        carol opens
        carol: tools/list #1 modern
            -> u1: tools/list #4 modern
        u1: tools/list_changed
            -> alice: tools/list_changed of #"listen:0"
            -> bob: tools/list_changed of #"listen:0"
        u1: resources/updated uri=a:1
            -> bob: resources/updated of #"listen:0" uri=a:1
        u1: resources/updated uri=a:2
            ! u1 dropped: no-subscriber
        bob: cancelled #"listen:0"
            -> u1: subscriptions/listen #5 modern {"toolsListChanged":true,"resourcesListChanged":true}
        u1: resources/list_changed
        alice ends
            -> alice: result #"listen:0" {"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}}
            -> close alice
    "#]]);
}

#[test]
fn a_request_that_does_not_say_what_it_must_or_is_none_is_refused() {
    check(expect![[r#"
        alice opens
        alice: raw {"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"version `2027-01-01` of the protocol is not spoken here","data":{"source":"mcpool","reason":"unsupported-version","retryable":false,"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"2027-01-01"}}}
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"`_meta` must have a valid `io.modelcontextprotocol/clientCapabilities`","data":{"source":"mcpool","reason":"bad-meta","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"`_meta` must have a valid `io.modelcontextprotocol/protocolVersion`","data":{"source":"mcpool","reason":"bad-meta","retryable":false}}}
        alice: initialize #4 modern
            -> alice: error #4 -32601 no-such-method
        alice: ping #5 modern
            -> alice: error #5 -32601 no-such-method
        alice: resources/subscribe #6 modern uri=a:1
            -> alice: error #6 -32601 no-such-method
        alice: tools/list #7 modern
            -> start u1 for alice
        alice: tools/list #8
            -> alice: error #8 -32602 bad-meta
    "#]]);
}

#[test]
fn a_probe_that_is_not_answered_yet_may_become_a_legacy_session() {
    check(expect![[r#"
        alice opens
        alice: server/discover #"p" modern
            -> start u1 for alice
        alice: initialize #0 version=2025-11-25
            -> alice: error #"p" -32601 no-such-method
            -> start u2 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> alice: result #0 version=2025-11-25
        alice: tools/list #1 modern
            -> u2: tools/list #2 modern
    "#]]);
}

#[test]
fn a_server_that_knows_no_discovery_is_greeted_in_another_process_and_its_modern_clients_are_bridged()
 {
    check(expect![[r#"
        alice opens
        alice: server/discover #"p" modern caps=roots
            -> start u1 for alice
        alice: tools/call #1 modern caps=roots tool=t token=5
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1 caps=roots
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> alice: result #"p" versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
            -> u2: tools/call #2 token=2
        u2: result #2 {"content":[]}
            -> alice: result #1
        bob opens
        bob: tools/list #1 modern caps=roots
            -> u2: tools/list #3
        u2: result #3 {"tools":[]}
            -> bob: result #1
        alice leaves
        bob leaves
    "#]]);
}

#[test]
fn a_server_that_ends_when_it_is_asked_to_discover_is_started_again_for_the_handshake() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1 exits code 1
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> u2: tools/list #2
        u2: result #2 {"tools":[]}
            -> alice: result #1
    "#]]);
}

#[test]
fn a_server_that_says_nothing_to_a_discovery_is_legacy_and_one_that_never_speaks_has_failed() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        10 s pass
            after 10 s
            -> stop u1
        u1 exits signal 15
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2 exits code 1
            -> alice: error #1 -32603 start-failed
    "#]]);
}

#[test]
fn a_server_of_the_modern_era_alone_serves_legacy_clients_too() {
    check(expect![[r#"
        alice comes caps=roots
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=roots
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets speaks=2026-07-28 declares=tools.listChanged+resources.subscribe+logging
            -> found of u2: not=legacy
            -> u2: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #0 version=2025-11-25
        u2: subscriptions/acknowledged #2 changes=tools
        alice: logging/setLevel #1 level=debug
            -> alice: result #1
        alice: tools/call #2 tool=t token=5
            -> u2: tools/call #3 token=3 modern caps=roots log=debug
        u2: result #3 {"content":[],"resultType":"complete"}
            -> alice: result #2 {"content":[]}
        alice: resources/subscribe #3 uri=a:1
            -> u2: subscriptions/listen #4 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u2: subscriptions/acknowledged #4 changes=tools watches=a:1
            -> u2: cancelled #2
            -> alice: result #3
        u2: raw {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":4},"uri":"a:1"}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}
        u2: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":4}}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}
        alice: resources/unsubscribe #4 uri=a:1
            -> u2: subscriptions/listen #5 modern {"toolsListChanged":true}
            -> alice: result #4
    "#]]);
}

#[test]
fn a_post_of_one_request_is_a_session_that_ends_with_its_answer() {
    check(expect![[r#"
        alice opens posts
        alice: tools/call #1 modern tool=t
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28
            -> u1: tools/call #2 modern
        u1: result #2 {"content":[],"resultType":"complete"}
            -> alice: result #1 {"content":[],"resultType":"complete"}
            -> close alice
        bob opens posts
        bob: tools/call #1 modern tool=t
            -> u1: tools/call #3 modern
        bob leaves
            -> u1: cancelled #3
    "#]]);
}

#[test]
fn a_server_for_each_session_is_none_for_requests_that_have_none() {
    check(expect![[r#"
        alice opens posts scope=session
        alice: server/discover #1 modern
            -> alice: error #1 -32601 no-such-method
            -> close alice
        alice: tools/call #2 modern tool=t
        bob opens scope=session
        bob: server/discover #1 modern
            -> start u1 for bob
    "#]]);
}

#[test]
fn a_server_of_the_modern_era_that_comes_up_slowly_is_waited_for_the_next_time() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        10 s pass
            after 10 s
            -> stop u1
        u1 exits signal 15
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}
            -> stop u2
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"`echo` did not start: it did not answer `server/discover` within 10 s; asked otherwise, it answered `initialize` with {\"code\":-32022,\"message\":\"no\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        u2 exits code 0
        1 min pass
        alice: tools/list #2 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #2 modern
        20 s pass
        u1: greets
            -> found of u1: not=legacy
            -> u1: tools/list #3 modern
        u1: result #3 {"tools":[]}
            -> alice: result #2 {"tools":[]}
    "#]]);
}

#[test]
fn what_a_server_says_of_itself_holds_for_as_long_as_it_has_said() {
    check(expect![[r#"
        alice opens
        alice: server/discover #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: raw {"jsonrpc":"2.0","id":1,"result":{"ttlMs":5000,"supportedVersions":["2026-07-28"],"capabilities":{},"resultType":"complete","cacheScope":"public"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"ttlMs":5000,"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{},"resultType":"complete","cacheScope":"public"}}
        2 s pass
        alice: raw {"jsonrpc":"2.0","id":2,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"ttlMs":3000,"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{},"resultType":"complete","cacheScope":"public"}}
        1 min pass
        alice: raw {"jsonrpc":"2.0","id":3,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"result":{"ttlMs":0,"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{},"resultType":"complete","cacheScope":"public"}}
    "#]]);
}

#[test]
fn who_closes_its_input_before_its_wish_is_heard_is_not_listened_for() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        alice ends
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #1 {"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":1}}
            -> close alice
    "#]]);
}

#[test]
fn who_listens_when_everything_ends_hears_that_it_does() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
        u1: subscriptions/acknowledged #2 changes=tools
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #3 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        shutdown
            -> u1: subscriptions/listen #4 modern {"toolsListChanged":true}
            -> alice: result #1 {"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":1}}
            -> close alice
            -> stop u1
    "#]]);
}

#[test]
fn what_a_probe_wanted_of_the_log_is_not_what_its_client_wants() {
    check(expect![[r#"
        alice opens era=modern
        alice: server/discover #"p" modern log=debug
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=logging
            -> alice: result #"p" versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
        alice: initialize #0 version=2025-11-25
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern
    "#]]);
}

#[test]
fn who_has_not_asked_for_a_log_is_not_told_that_its_server_was_started_again() {
    check(expect![[r#"
        alice opens
        alice: tools/call #1 modern tool=t
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=logging
            -> u1: tools/call #2 modern
        u1: result #2 {"content":[],"resultType":"complete"}
            -> alice: result #1 {"content":[],"resultType":"complete"}
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        alice: tools/list #2 modern
        u1 starts
            -> u1: server/discover #3 modern
        u1: greets declares=logging
            -> u1: tools/list #4 modern
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn who_comes_to_a_server_that_is_given_up_for_now_is_refused() {
    check(expect![[r#"
        alice opens era=modern
        alice: tools/call #1 modern tool=t
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1 exits code 1
            -> alice: error #1 -32603 start-failed
        alice: tools/call #2 modern tool=t
        2 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #2 modern
        u1 exits code 1
            -> alice: error #2 -32603 start-failed
        alice: tools/call #3 modern tool=t
        2 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #3 modern
        u1 exits code 1
            -> alice: error #3 -32603 start-failed
        alice: tools/call #4 modern tool=t
        2 s pass
            after 272 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #4 modern
        u1 exits code 1
            -> alice: error #4 -32603 start-failed
        alice: tools/call #5 modern tool=t
        2 s pass
            after 582 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #5 modern
        u1 exits code 1
            -> alice: error #5 -32603 start-failed
        alice: tools/call #6 modern tool=t
        2 s pass
            after 928 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #6 modern
        u1 exits code 1
            -> alice: error #6 -32603 start-failed
            ! u1 has failed
        bob opens era=modern
        bob: tools/call #1 modern tool=t
            -> bob: error #1 -32603 still-failing
        bob: server/discover #2 modern
            -> bob: error #2 -32603 still-failing
        60 s pass
        bob: tools/call #3 modern tool=t
            -> start u1 for bob
    "#]]);
}

#[test]
fn a_wish_of_a_legacy_client_that_means_nothing_is_refused_before_a_modern_server_hears_of_it() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: logging/setLevel #1 level=loud
            -> alice: error #1 -32602 bad-parameter
        alice: raw {"jsonrpc":"2.0","id":2,"method":"logging/setLevel"}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"`level` must be `debug`, `info`, `notice`, `warning`, `error`, `critical`, `alert` or `emergency`","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"`uri` must say which resource it is about","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":4,"method":"resources/unsubscribe","params":{"uri":4}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32602,"message":"`uri` must say which resource it is about","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        alice: resources/subscribe #5 uri=a:1
            -> alice: error #5 -32601 no-such-method
        bob opens era=modern server=quiet
        bob: initialize #0
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets declares=tools
            -> bob: result #0 version=2025-11-25
        bob: logging/setLevel #1 level=debug
            -> bob: error #1 -32601 no-such-method
    "#]]);
}
