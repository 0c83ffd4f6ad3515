//! What is kept of a server, against what that shows at a later start of the era in which it speaks.

use expect_test::expect;

use super::check;

#[test]
fn what_is_kept_of_a_server_that_ends_at_the_greeting_is_taken_back() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: raw {"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{}},"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}}}}
            ! u2 is recalled
        bob: tools/call #2 modern tool=x
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
        u2 exits code 1
            -> keep u2: nothing
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools
            -> u3: initialized
            -> u3: tools/call #2
            -> keep u3: initialize not=modern
        u3: result #2 {"content":[]}
            -> bob: result #2
        bob: server/discover #3 modern
            -> bob: result #3 versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
        bob leaves
            -> stop u3
        u3 exits code 0
        the daemon dies
        dave opens lazy
        dave: tools/call #1 modern tool=x
            -> start u4294967297 for dave
            ! u4294967297 is recalled
    "#]]);
}

#[test]
fn a_server_that_ends_once_for_another_reason_is_not_taken_for_one_of_the_other_era_for_long() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: tools/call #2 modern tool=x
            -> start u2 for bob
            ! u2 is recalled
        u2 starts
            -> u2: server/discover #1 modern
        u2 exits code 1
            -> keep u2: nothing
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        u3: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u3
            -> bob: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"`echo` did not start: it exited with code 1 before it answered `server/discover`; asked otherwise, it answered `initialize` with {\"code\":-32601,\"message\":\"no\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        u3 exits code 0
        carol opens lazy
        carol: tools/call #1 modern tool=x
        1 s pass
            after 53 ms
            -> start u3 for bob
            after 71 ms
            -> start u2 for carol
    "#]]);
}

#[test]
fn what_is_kept_of_a_server_that_says_nothing_any_more_is_taken_back() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: tools/call #1 modern tool=x
            -> start u2 for bob
            ! u2 is recalled
        u2 starts
            -> u2: server/discover #1 modern
        5 min pass
            after 25 s
            -> bob: error #1 -32603 still-starting
            after 300 s
            -> keep u2: nothing
            -> stop u2
        bob leaves
        u2 exits signal 15
        10 min pass
        carol opens lazy idle=0
        carol: tools/call #1 modern tool=x
            -> start u3 for carol
        u3 starts
            -> u3: server/discover #1 modern
        10 s pass
            after 10 s
            -> stop u3
        u3 exits code 0
            -> start u4 for carol
    "#]]);
}

#[test]
fn what_is_kept_of_a_legacy_server_is_taken_back_when_it_says_that_it_is_of_the_other_era() {
    check(expect![[r#"
        alice comes lazy idle=0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy idle=0
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: tools/call #1 tool=x
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: server/discover #1 modern
        u3: greets declares=tools
            -> u3: tools/call #2 modern
            -> keep u3: server/discover not=legacy
        u3: result #2 {"content":[],"resultType":"complete"}
            -> bob: result #1 {"content":[]}
        bob leaves
            -> stop u3
        u3 exits code 0
        the daemon dies
        dave comes lazy
            -> dave: result #0 version=2025-11-25
            ! u4294967297 is recalled
    "#]]);
}

#[test]
fn what_was_found_counts_for_a_day_however_often_what_the_server_says_is_kept_anew() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools
            -> u2: initialized
            -> u2: tools/list #2
            -> keep u2: initialize not=modern
        alice leaves
            -> u2: cancelled #2
            -> stop u2
        u2 exits code 0
        13 h pass
        the daemon dies
        bob opens lazy idle=0
        bob: tools/list #1 modern
            -> start u4294967297 for bob
            ! u4294967297 is recalled
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets declares=tools
            -> u4294967297: initialized
            -> u4294967297: tools/list #4294967298
        u4294967297: result #4294967298 {"tools":[]}
            -> keep u4294967297: initialize tools/list not=modern
            -> bob: result #1
        bob leaves
            -> stop u4294967297
        u4294967297 exits code 0
        13 h pass
        carol opens lazy idle=0
        carol: tools/list #1 modern
            -> start u4294967298 for carol
        u4294967298 starts
            -> u4294967298: server/discover #4294967297 modern
    "#]]);
}

#[test]
fn who_was_served_from_what_a_server_refutes_is_served_in_the_era_that_it_speaks() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: server/discover #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe+logging
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #1 versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
            -> keep u1: server/discover
        alice: tools/list #2 modern
            -> u1: tools/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        alice leaves
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0 caps=roots
        bob: subscriptions/listen #"l" modern changes=tools
            -> bob: subscriptions/acknowledged of #"l" {"toolsListChanged":true}
            ! u2 is recalled
        carol opens lazy idle=0
        carol: tools/list #1 modern caps=sampling
            -> carol: result #1 {"resultType":"complete","tools":[1],"cacheScope":"private","ttlMs":3600000}
        dave opens lazy idle=0
        dave: tools/call #1 modern tool=x
            -> start u2 for bob
        erin opens lazy idle=0
        erin: tools/list #1 modern
            -> erin: result #1 {"resultType":"complete","tools":[1],"cacheScope":"private","ttlMs":3600000}
        erin: subscriptions/listen #2 modern watches=a:1
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        frank opens lazy idle=0
        frank: tools/call #1 modern tool=y
        u2 exits code 0
            -> start u3 for bob
            -> start u4 for carol
        carol: server/discover #2 modern
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools.listChanged+resources.subscribe
            -> u3: initialized
            -> u3: resources/subscribe #2 uri=a:1
            -> bob: tools/list_changed of #"l"
            -> u3: tools/call #3
            -> u3: tools/call #4
            -> keep u3: initialize not=modern
        u3: result #2 {}
            -> erin: subscriptions/acknowledged of #2 {"resourceSubscriptions":["a:1"]}
        u3: result #3 {"content":[]}
            -> dave: result #1
        u3: resources/updated uri=a:1
            -> erin: resources/updated of #2 uri=a:1
        u4 starts
            -> u4: initialize #1 caps=sampling
        u4: greets declares=tools.listChanged
            -> u4: initialized
            -> carol: result #2 versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
            -> keep u4: initialize not=modern
        erin leaves
            -> u3: resources/unsubscribe #5 uri=a:1
    "#]]);
}

#[test]
fn a_client_that_says_hello_again_before_the_process_of_the_other_era_does_is_not_answered_for_it()
{
    check(expect![[r#"
        alice comes lazy era=modern idle=0
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> alice: result #0 version=2025-11-25
            -> keep u1: server/discover
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy idle=0
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: server/discover #1 modern
        u3: greets declares=tools
            -> bob: result #0 version=2025-11-25
            -> keep u3: server/discover not=legacy
        bob leaves
            -> stop u3
        u3 exits code 0
        13 h pass
        carol comes lazy idle=0
            -> carol: result #0 version=2025-11-25
            ! u4 is recalled
        13 h pass
        carol: tools/call #1 tool=x
            -> start u4 for carol
        u4 starts
            -> u4: server/discover #1 modern
        u4: error #1
            -> keep u4: nothing
            -> stop u4
        u4 exits code 0
            -> start u5 for carol
        carol: initialize #2
            -> carol: error #2 -32600 already-initialized
        u5 starts
            -> u5: initialize #1
        u5: greets declares=tools
            -> u5: initialized
            -> u5: tools/call #2
            -> keep u5: initialize not=modern
        u5: result #2 {"content":[]}
            -> carol: result #1 {"content":[]}
        carol: initialize #3
            -> carol: result #3 version=2025-11-25
    "#]]);
}

#[test]
fn what_was_kept_and_is_refuted_moves_nobody_whose_era_is_configured() {
    check(expect![[r#"
        alice comes lazy era=modern idle=0
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> alice: result #0 version=2025-11-25
            -> keep u1: server/discover
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy era=modern idle=0
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: tools/call #1 tool=x
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
            -> bob: error #1 -32603 start-failed
        u2 exits code 0
        1 s pass
            after 71 ms
            -> start u2 for bob
    "#]]);
}

#[test]
fn a_request_that_would_need_a_session_in_the_era_that_its_server_turns_out_to_speak_is_refused() {
    check(expect![[r#"
        alice opens lazy idle=0 scope=session modern-global
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> u1: tools/list #3 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #3
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0 scope=session modern-global posts
        bob: subscriptions/listen #1 modern changes=tools
            -> bob: subscriptions/acknowledged of #1 {"toolsListChanged":true}, with line 1
            ! u2 is recalled
        carol opens lazy idle=0 scope=session modern-global posts
        carol: tools/call #1 modern tool=x
            -> start u2 for bob
        dave opens lazy idle=0 scope=session modern-global
        dave: tools/call #1 modern tool=x
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> bob: result #1 {"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":1}}
            -> close bob
            -> carol: error #1 -32603 needs-session
            -> close carol
            -> start u3 for dave
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools
            -> u3: initialized
            -> u3: tools/call #2
            -> keep u3: initialize not=modern
    "#]]);
}

#[test]
fn who_was_greeted_by_an_earlier_daemon_is_served_in_the_era_that_its_server_speaks() {
    check(expect![[r#"
        alice comes keeps
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets declares=tools
            -> found of u2: not=legacy
            -> alice: result #0 version=2025-11-25, kept
        u2 exits code 1
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
            -> start u4294967297 for alice
        alice is replayed
            ! 1 replayed, 0 refused
        alice: tools/call #1 tool=x
            -> alice: held 3
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: raw {"jsonrpc":"2.0","id":4294967297,"error":{"code":-32601,"message":"no"}}
            -> stop u4294967297
        u4294967297 exits code 0
            -> start u4294967298 for alice
        u4294967298 starts
            -> u4294967298: server/discover #4294967297 modern
        u4294967298: raw {"jsonrpc":"2.0","id":4294967297,"error":{"code":-32601,"message":"no"}}
            -> stop u4294967298
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"`echo` did not start: it answered `initialize` with {\"code\":-32601,\"message\":\"no\"}; asked otherwise, it answered `server/discover` with {\"code\":-32601,\"message\":\"no\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        u4294967298 exits code 0
        1 s pass
            after 54 ms
            -> start u4294967298 for alice
        u4294967298 starts
            -> u4294967298: server/discover #4294967298 modern
        u4294967298: greets declares=tools
            -> found of u4294967298: nothing
            ! u4294967298 has forgotten 1
    "#]]);
}

#[test]
fn who_has_come_to_a_process_of_the_other_era_that_does_not_come_up_hears_so() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools+resources.subscribe
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: tools/call #1 modern tool=x
            -> start u2 for bob
            ! u2 is recalled
        carol opens lazy idle=0
        carol: subscriptions/listen #1 modern watches=a:1
        carol: tools/call #2 modern tool=y
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        u3 exits code 1
            -> bob: error #1 -32603 start-failed
            -> carol: error #2 -32603 start-failed
            -> carol: error #1 -32603 start-failed
        bob: tools/call #2 modern tool=x
        1 s pass
            after 53 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #2
        u3 exits code 1
            -> bob: error #2 -32603 start-failed
        1 s pass
            after 116 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #3
        u3 exits code 1
        2 s pass
            after 294 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #4
        u3 exits code 1
        2 s pass
            after 628 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #5
        u3 exits code 1
        5 s pass
            after 1019 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #6
        u3 exits code 1
            ! u3 has failed
        bob: tools/call #3 modern tool=x
            -> bob: error #3 -32603 still-failing
    "#]]);
}

#[test]
fn who_has_come_to_a_process_of_the_other_era_that_says_nothing_hears_so() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: tools/call #1 modern tool=x
            -> start u2 for bob
            ! u2 is recalled
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        25 s pass
            after 25 s
            -> bob: error #1 -32603 still-starting
        bob: tools/call #2 modern tool=x
        5 min pass
            after 25 s
            -> bob: error #2 -32603 still-starting
            after 275 s
            -> stop u3
        u3 exits signal 15
        10 min pass
            after 53 ms
            -> start u3 for bob
    "#]]);
}
