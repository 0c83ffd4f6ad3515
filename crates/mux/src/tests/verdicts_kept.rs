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
            -> bob: error #2 -32603 start-failed
        bob leaves
        carol opens lazy idle=0
        carol: tools/call #1 modern tool=x
            -> start u3 for carol
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools
            -> u3: initialized
            -> u3: tools/call #2
            -> keep u3: initialize not=modern
        carol leaves
            -> u3: cancelled #2
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
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"`echo` did not start: it answered `initialize` with {\"code\":-32601,\"message\":\"no\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        u2 exits code 0
        bob leaves
        carol comes lazy idle=0
            -> start u3 for carol
        u3 starts
            -> u3: server/discover #1 modern
        u3: greets declares=tools
            -> carol: result #0 version=2025-11-25
            -> keep u3: server/discover not=legacy
        carol leaves
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
