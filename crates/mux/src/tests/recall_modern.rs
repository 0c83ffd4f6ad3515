//! Servers of the modern era whose sessions are served before they run: their lists for as long as they say.

use expect_test::expect;

use super::check;

#[test]
fn what_a_modern_server_said_is_told_for_as_long_as_it_holds_and_then_it_is_started() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: server/discover #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+prompts
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #1 versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
            -> keep u1: server/discover
        alice: tools/list #2 modern
            -> u1: tools/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","tools":[1e400],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1e400],"ttlMs":3600000,"cacheScope":"private"}}
        alice: prompts/list #3 modern
            -> u1: prompts/list #4 modern
        u1: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","prompts":[],"ttlMs":0,"cacheScope":"public"}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","prompts":[],"ttlMs":0,"cacheScope":"public"}}
        alice leaves
            -> stop u1
        u1 exits code 0
        30 min pass
        bob opens lazy idle=0
        bob: raw {"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{"listChanged":true},"prompts":{}},"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}}}}
            ! u2 is recalled
        bob: raw {"jsonrpc":"2.0","id":"l","method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}}
            -> bob: raw {"jsonrpc":"2.0","id":"l","result":{"resultType":"complete","tools":[1e400],"cacheScope":"private","ttlMs":1800000}}
        10 min pass
        bob: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1e400],"cacheScope":"private","ttlMs":1200000}}
        20 min pass
        bob: tools/list #3 modern
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets declares=tools.listChanged+prompts
            -> u2: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> u2: tools/list #3 modern
            -> keep u2: server/discover
            -> u2: tools/list #4 modern
        u2: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","tools":[1e400],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u2: server/discover tools/list
    "#]]);
}

#[test]
fn what_was_kept_in_one_era_serves_nobody_who_is_served_in_the_other() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"public"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"public"}}
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy idle=0
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
            -> keep u2: initialize
        bob leaves
            -> stop u2
        u2 exits code 0
        carol comes lazy idle=0
            -> carol: result #0 version=2025-11-25
            ! u3 is recalled
        carol: tools/list #1
            -> start u3 for carol
        dave opens lazy idle=0
        dave: tools/list #1 modern
            -> dave: result #1 {"resultType":"complete","tools":[1],"cacheScope":"public","ttlMs":3600000}
            ! u4 is recalled
        erin opens lazy idle=0 route=other-token
        erin: tools/list #1 modern
            -> start u5 for erin
    "#]]);
}

#[test]
fn a_legacy_client_is_served_from_what_a_modern_server_said() {
    check(expect![[r#"
        alice comes lazy era=modern idle=0
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: result #0 version=2025-11-25
            -> keep u1: server/discover
        alice: tools/list #1
            -> u1: tools/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy era=modern idle=0
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: raw {"jsonrpc":"2.0","id":1,"method":"tools/list"}
            -> bob: raw {"jsonrpc":"2.0","id":1,"result":{"tools":[1],"cacheScope":"private","ttlMs":3600000}}
        bob: tools/call #2 tool=x
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets declares=tools.listChanged
            -> u2: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> u2: tools/call #3 modern
            -> u2: tools/list #4 modern
        u2: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","tools":[1],"ttlMs":1800000,"cacheScope":"private"}}
            -> keep u2: server/discover tools/list
        bob leaves
            -> u2: cancelled #3
            -> stop u2
        u2 exits code 0
        carol comes lazy era=modern idle=0
            -> carol: result #0 version=2025-11-25
            ! u3 is recalled
        carol: tools/list #1
            -> carol: result #1 {"tools":[1],"cacheScope":"private","ttlMs":1800000}
        carol: tools/call #2 tool=x
            -> start u3 for carol
        u3 starts
            -> u3: server/discover #1 modern
        u3: greets declares=tools.listChanged
            -> u3: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> u3: tools/call #3 modern
            -> u3: tools/list #4 modern
        u3: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","tools":[2],"ttlMs":1800000,"cacheScope":"private"}}
            -> keep u3: server/discover tools/list
            -> carol: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}
            ! u3 has other tools/list
    "#]]);
}

#[test]
fn a_list_of_a_modern_server_that_changes_is_kept_no_longer() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: subscriptions/listen #1 modern changes=tools
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true}
            -> keep u1: server/discover
        alice: tools/list #2 modern
            -> u1: tools/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        u1: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}
            -> keep u1: server/discover
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}
        alice leaves
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: tools/list #1 modern
            -> start u2 for bob
            ! u2 is recalled
    "#]]);
}

#[test]
fn of_two_verdicts_that_were_kept_of_a_server_that_counts_which_it_has_not_refuted_since() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
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
        bob opens lazy idle=0
        bob: tools/list #1 modern
            -> start u3 for bob
            ! u3 is recalled
        bob leaves
            -> stop u3
        u3 start fails it was not wanted
        25 h pass
        carol opens lazy idle=0
        carol: tools/list #1 modern
            -> start u4 for carol
        u4 starts
            -> u4: server/discover #1 modern
        u4: greets declares=tools
            -> u4: tools/list #2 modern
            -> keep u4: server/discover
        carol leaves
            -> u4: cancelled #2
            -> stop u4
        u4 exits code 0
        25 h pass
        dave opens lazy idle=0
        dave: tools/call #1 modern tool=x
            -> start u5 for dave
            ! u5 is recalled
        erin comes lazy idle=0
            -> erin: result #0 version=2025-11-25
            ! u6 is recalled
    "#]]);
}

#[test]
fn what_was_handed_over_with_a_session_is_as_old_as_the_session_when_that_asks_at_last() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        bob opens lazy idle=0
        carol opens lazy idle=0
        alice leaves
            -> stop u1
        u1 exits code 0
        40 min pass
        bob: raw {"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[1],"cacheScope":"private","ttlMs":1200000}}
            ! u2 is recalled
        bob leaves
        20 min pass
        carol: tools/list #1 modern
            -> start u3 for carol
            ! u3 is recalled
    "#]]);
}

#[test]
fn who_finds_nothing_kept_of_a_server_is_not_served_from_what_others_have_brought() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        carol comes lazy another-program
            -> start u2 for carol
        bob: tools/list #1
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools.listChanged
            -> u2: initialized
            -> bob: tools/list_changed
            -> carol: result #0 version=2025-11-25
            -> u2: tools/list #2
            -> keep u2: initialize
        u2: result #2 {"tools":[1]}
            -> keep u2: initialize tools/list
            -> bob: result #1 {"tools":[1]}
    "#]]);
}

#[test]
fn what_is_said_to_one_session_alone_is_told_to_no_other_that_has_a_server_of_its_own() {
    check(expect![[r#"
        alice opens lazy scope=session
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{},"resources":{}},"ttlMs":0,"cacheScope":"public"}}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> keep u1: server/discover
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        alice: prompts/list #2 modern
            -> u1: prompts/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","prompts":[1],"ttlMs":3600000,"cacheScope":"public"}}
            -> keep u1: server/discover prompts/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","prompts":[1],"ttlMs":3600000,"cacheScope":"public"}}
        alice: resources/list #3 modern
            -> u1: resources/list #4 modern
        u1: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","resources":[1],"ttlMs":3600000}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","resources":[1],"ttlMs":3600000}}
        alice leaves
            -> stop u1
        u1 exits code 0
        bob opens lazy scope=session
        bob: prompts/list #1 modern
            -> bob: result #1 {"resultType":"complete","prompts":[1],"cacheScope":"public","ttlMs":3600000}
            ! u2 is recalled
        bob: tools/list #2 modern
            -> start u2 for bob
    "#]]);
}

#[test]
fn a_server_of_one_session_that_says_to_that_alone_what_it_is_is_started_for_each() {
    check(expect![[r#"
        alice comes lazy scope=session
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":3600000,"cacheScope":"private"}}
            -> alice: raw {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"unknown","version":"unknown"}}}
            -> keep u2: server/discover not=legacy
        alice: tools/list #1
            -> u2: tools/list #2 modern
        u2: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"public"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"tools":[1],"ttlMs":3600000,"cacheScope":"public"}}
        alice leaves
            -> stop u2
        u2 exits code 0
        the daemon dies
        bob comes lazy scope=session
            -> start u4294967297 for bob
        u4294967297 starts
            -> u4294967297: server/discover #4294967297 modern
    "#]]);
}

#[test]
fn what_a_shared_server_has_said_to_one_of_its_sessions_is_told_to_none_that_shares_it_no_longer() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{}},"ttlMs":0,"cacheScope":"public"}}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> keep u1: server/discover
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        alice: prompts/list #2 modern
            -> u1: prompts/list #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","prompts":[1],"ttlMs":3600000,"cacheScope":"public"}}
            -> keep u1: server/discover tools/list prompts/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","prompts":[1],"ttlMs":3600000,"cacheScope":"public"}}
        alice leaves
            -> stop u1
        u1 exits code 0
        bob opens lazy asks=session
        bob: prompts/list #1 modern
            -> bob: result #1 {"resultType":"complete","prompts":[1],"cacheScope":"public","ttlMs":3600000}
            ! u2 is recalled
        bob: tools/list #2 modern
            -> start u2 for bob
    "#]]);
}

#[test]
fn what_a_server_says_that_is_to_be_one_sessions_is_kept_for_nobody_while_it_waits_for_that_session()
 {
    check(expect![[r#"
        alice opens lazy scope=session
        alice: tools/list #1 modern
            -> start u1 for alice
        25 s pass
            after 25 s
            -> alice: error #1 -32603 still-starting
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
        bob opens lazy scope=session
        bob: tools/list #1 modern
            -> u1: tools/list #2 modern
    "#]]);
}

#[test]
fn who_has_come_with_words_and_has_not_asked_yet_is_told_those_that_are_kept_by_then() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+prompts
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
            -> u1: tools/list #3 modern
            -> keep u1: server/discover
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover tools/list
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","tools":[1],"ttlMs":3600000,"cacheScope":"private"}}
        bob opens lazy idle=0
        carol opens lazy idle=0
        u1: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":2}}}
            -> keep u1: server/discover
        alice: prompts/list #2 modern
            -> u1: prompts/list #4 modern
        u1: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","prompts":[2],"ttlMs":3600000,"cacheScope":"private"}}
            -> keep u1: server/discover prompts/list
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","prompts":[2],"ttlMs":3600000,"cacheScope":"private"}}
        alice leaves
            -> stop u1
        u1 exits code 0
        1 min pass
        bob: prompts/list #1 modern
            -> bob: result #1 {"resultType":"complete","prompts":[2],"cacheScope":"private","ttlMs":3540000}
            ! u2 is recalled
        bob: tools/list #2 modern
            -> start u2 for bob
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        bob leaves
        u2 exits code 0
        carol: prompts/list #1 modern
            -> start u3 for carol
    "#]]);
}

#[test]
fn what_was_refuted_or_said_to_an_earlier_daemon_does_not_hold_any_longer() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":3600000,"cacheScope":"public"}}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> keep u1: server/discover
        alice: raw {"jsonrpc":"2.0","id":2,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{}},"ttlMs":3600000,"cacheScope":"public"}}
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy
        bob: tools/list #1 modern
            -> start u2 for bob
            ! u2 is recalled
        u2 starts
            -> u2: server/discover #1 modern
        u2: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> keep u2: nothing
            -> stop u2
        bob: raw {"jsonrpc":"2.0","id":2,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"public"}}
        u2 exits code 0
            -> start u3 for bob
        carol opens lazy route=other
        carol: tools/list #1 modern
            -> start u4 for carol
        u4 starts
            -> u4: server/discover #1 modern
        u4: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":3600000,"cacheScope":"public"}}
            -> u4: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> keep u4: server/discover
        the daemon dies
            -> stop u3
        dave opens lazy route=other
        dave: raw {"jsonrpc":"2.0","id":2,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> dave: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"public"}}
    "#]]);
}

#[test]
fn a_list_that_changes_while_its_server_is_being_stopped_is_kept_no_longer() {
    check(expect![[r#"
        alice comes lazy idle=0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[1]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[1]}
        alice leaves
            -> stop u1
        u1: tools/list_changed
            -> keep u1: initialize
        u1 exits code 0
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: tools/list #1
            -> start u2 for bob
    "#]]);
}
