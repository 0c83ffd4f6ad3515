//! What a process was to have and never saw, where its client and its server speak differently.

use expect_test::expect;

use super::check;

#[test]
fn what_is_said_once_more_says_what_its_client_can_do_and_wants_to_know_as_before() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/list #1 modern caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: tools/list #2
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 modern log=info tool=t token="t"
            -> u1: logging/setLevel #4 level=info
            -> u1: tools/call #3 token=3
        u1 exits code 1 unwritten #3
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #5 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #7 level=info
            -> u1: tools/call #6 token=6
        u1: message level=info
            -> alice: message level=info
            ! u1 separates t
        u1: sampling/createMessage #7
            -> u1: error #7 -32601 not-capable
            ! u1 separates t
        u1: progress token=6
            -> alice: progress token="t"
        u1: result #6
            -> alice: result #2
    "#]]);
}

#[test]
fn what_a_legacy_client_has_said_is_said_once_more_to_a_modern_server() {
    check(expect![[r#"
        u1 serves alice era=modern
        alice: raw {"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","_meta":{"progressToken":"t","a":1}}}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x","_meta":{"a":1,"progressToken":2,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"unknown","version":"unknown"},"io.modelcontextprotocol/clientCapabilities":{}}}}
        u1 exits code 1 unwritten #2
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #3 modern
        u1: greets
            -> u1: tools/call #4 token=4 modern
        u1: progress token=4
            -> alice: progress token="t"
    "#]]);
}
