//! Servers whose program is replaced while the daemon runs by one of the other era, or of both.

use expect_test::expect;

use super::check;

#[test]
fn a_restart_from_another_program_of_the_other_era_serves_everybody_in_that() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts program=old
            -> u1: initialize #1
        u1: greets declares=tools.listChanged+resources.subscribe+logging
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        alice: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2 {}
            -> alice: result #1
        bob opens
        bob: tools/list #1 modern
            -> start u2 for bob
        u2 starts program=old
            -> u2: server/discover #1 modern
        u2: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u2
        u2 exits code 0
            -> u1: tools/list #3
        u1: result #3 {"tools":[]}
            -> bob: result #1
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts program=new
            -> u1: initialize #4
        alice: tools/call #2 tool=x
        u1: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u3 for alice
            -> admin: restarted 1
        u3 starts program=new
            -> u3: server/discover #1 modern
        u3: greets declares=tools.listChanged+resources.subscribe
            -> found of u3: not=legacy
            -> u3: subscriptions/listen #2 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
            -> alice: tools/list_changed
            -> u3: tools/call #3 modern
        u3: result #3 {"content":[],"resultType":"complete"}
            -> alice: result #2 {"content":[]}
        bob: tools/call #2 modern tool=y
            -> u3: tools/call #4 modern
        carol comes
            -> carol: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn a_program_that_is_there_in_part_only_sends_nobody_to_the_other_era() {
    check(expect![[r#"
        alice opens idle=never
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts program=old
            -> u1: server/discover #1 modern
        u1: greets declares=tools
            -> u1: tools/list #2 modern
        u1: result #2 {"tools":[]}
            -> alice: result #1 {"tools":[]}
        u1 exits signal 9
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts program=half
            -> u1: server/discover #3 modern
        u1 exits code 1
        alice: tools/list #2 modern
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts program=new
            -> u1: server/discover #4 modern
        u1: greets declares=tools
            -> u1: tools/list #5 modern
        u1: result #5 {"tools":[]}
            -> alice: result #2 {"tools":[]}
    "#]]);
}

#[test]
fn a_program_that_speaks_as_the_one_before_is_asked_anew_how_it_speaks_otherwise() {
    check(expect![[r#"
        alice opens
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts program=old
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts program=old
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> u2: tools/list #2
        u2: result #2 {"tools":[]}
            -> alice: result #1
        u2 exits signal 9
        1 s pass
            after 71 ms
            -> start u2 for alice
        u2 starts program=new
            -> u2: initialize #3
        u2: greets
            -> u2: initialized
            -> found of u2: nothing
        bob opens
        bob: tools/list #1 modern
            -> start u3 for bob
        u3 starts program=new
            -> u3: server/discover #1 modern
        u3: greets
            -> found of u3: nothing
            -> u3: tools/list #2 modern
        u3: result #2 {"tools":[]}
            -> bob: result #1 {"tools":[]}
        carol opens
        carol: tools/list #1 modern
            -> u3: tools/list #3 modern
    "#]]);
}

#[test]
fn what_was_kept_of_another_program_than_the_one_that_is_started_does_not_stand_in_the_way_for_long()
 {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts program=old
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts program=old
            -> u2: initialize #1
        u2: greets declares=tools
            -> u2: initialized
            -> u2: tools/list #2
            -> keep u2: initialize not=modern
        u2: result #2 {"tools":[]}
            -> keep u2: initialize tools/list not=modern
            -> alice: result #1
        alice leaves
            -> stop u2
        u2 exits code 0
        the daemon dies
        bob opens lazy idle=0
        bob: tools/call #1 modern tool=x
            -> start u4294967297 for bob
            ! u4294967297 is recalled
        u4294967297 starts program=new
            -> u4294967297: initialize #4294967297
        u4294967297: raw {"jsonrpc":"2.0","id":4294967297,"error":{"code":-32603,"message":"unsupported"}}
            -> stop u4294967297
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"`echo` did not start: it answered `initialize` with {\"code\":-32603,\"message\":\"unsupported\"}; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        bob leaves
        u4294967297 exits code 0
        carol opens lazy idle=0
        carol: tools/call #1 modern tool=x
            -> start u4294967298 for carol
        u4294967298 starts program=new
            -> u4294967298: server/discover #4294967297 modern
        u4294967298: greets declares=tools
            -> u4294967298: tools/call #4294967298 modern
            -> keep u4294967298: server/discover
    "#]]);
}

#[test]
fn what_a_server_says_is_kept_anew_of_another_program() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts program=old
            -> u1: initialize #1
        u1: greets declares=tools
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts program=old
            -> u1: initialize #2
        u1: greets declares=tools
            -> u1: initialized
        u1 exits code 1
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts program=new
            -> u1: initialize #3
        u1: greets declares=tools
            -> u1: initialized
            -> keep u1: initialize
    "#]]);
}

#[test]
fn a_server_that_changes_its_own_files_and_speaks_in_neither_era_is_given_up_like_any_other() {
    check(expect![[r#"
        alice opens idle=never
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts program=a
            -> u1: server/discover #1 modern
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts program=b
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> u2: tools/list #2
        u2: result #2 {"tools":[]}
            -> alice: result #1
        u2 exits signal 9
        1 s pass
            after 71 ms
            -> start u2 for alice
        u2 starts program=c
            -> u2: initialize #3
        u2: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"no"}}
            -> stop u2
        u2 exits code 0
            -> start u3 for alice
        u3 starts program=d
            -> u3: server/discover #1 modern
        u3: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}
            -> stop u3
        u3 exits code 0
        1 s pass
            after 53 ms
            -> start u3 for alice
        u3 starts program=e
            -> u3: server/discover #2 modern
        u3: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no"}}
            -> stop u3
        u3 exits code 0
        1 s pass
            after 116 ms
            -> start u3 for alice
        u3 starts program=f
            -> u3: server/discover #3 modern
        u3: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"no"}}
            -> stop u3
        u3 exits code 0
        2 s pass
            after 294 ms
            -> start u3 for alice
        u3 starts program=g
            -> u3: server/discover #4 modern
        u3: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32601,"message":"no"}}
            -> stop u3
        u3 exits code 0
        5 s pass
            after 628 ms
            -> start u3 for alice
        u3 starts program=h
            -> u3: server/discover #5 modern
        u3: raw {"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"no"}}
            -> stop u3
        u3 exits code 0
    "#]]);
}

#[test]
fn a_process_that_has_outlived_its_daemon_is_known_by_its_program() {
    check(expect![[r#"
        alice comes keeps
            -> start u1 for alice
        u1 starts program=old
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25, kept
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts program=new
            -> u1: initialize #4294967297
        u1: raw {"jsonrpc":"2.0","id":4294967297,"error":{"code":-32601,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u4294967297 for alice
            -> admin: restarted 1
        u4294967297 starts program=new
            -> u4294967297: server/discover #4294967297 modern
        u4294967297: greets
            -> found of u4294967297: not=legacy
            -> alice: message level=warning
            ! u4294967297 has forgotten 1
    "#]]);
}
