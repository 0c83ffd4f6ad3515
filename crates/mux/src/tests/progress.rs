//! Progress: to whoever asked for it, under the token that they chose, while the request is open.

use expect_test::expect;

use super::check;

#[test]
fn equal_tokens_of_two_sessions_stay_apart_and_keep_their_type() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x token=1
            -> u1: tools/call #2 token=2
        bob: tools/call #1 tool=x token=1
            -> u1: tools/call #3 token=3
        bob: tools/call #2 tool=x token="1"
            -> u1: tools/call #4 token=4
        u1: progress token=3
            -> bob: progress token=1
        u1: progress token=4
            -> bob: progress token="1"
        u1: progress token=2
            -> alice: progress token=1
    "#]]);
}

#[test]
fn progress_without_an_open_request_is_dropped() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x token=7
            -> u1: tools/call #2 token=2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: progress token=3
            ! u1 dropped: unknown-progress
        u1: progress token="2"
            ! u1 dropped: unknown-progress
        u1: progress token=7
            ! u1 dropped: unknown-progress
        u1: result #2
            -> alice: result #1
        u1: progress token=2
            ! u1 dropped: unknown-progress
        alice: tools/call #3 tool=x token=7
            -> u1: tools/call #4 token=4
        alice: cancelled #3
            -> u1: cancelled #4
        u1: progress token=4
            ! u1 dropped: unknown-progress
    "#]]);
}

#[test]
fn everything_but_the_token_passes_byte_for_byte() {
    check(expect![[r#"
        u1 serves alice
        alice: raw {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"a":1.0,"progressToken" : "é"},"name":"x","progressToken":"no"}}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{"a":1.0,"progressToken" : 2},"name":"x","progressToken":"no"}}
        u1: raw {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1e1, "total":2.50,"message":"\u00e9","progressToken": 2}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1e1, "total":2.50,"message":"\u00e9","progressToken": "é"}}
    "#]]);
}
