//! Ids: ours upstream, the client's own on the way back, byte for byte.

use expect_test::expect;

use super::check;

#[test]
fn two_sessions_may_choose_the_same_id() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/list #1
            -> u1: tools/list #2
        bob: tools/list #1
            -> u1: tools/list #3
        u1: result #3
            -> bob: result #1
        u1: result #2
            -> alice: result #1
    "#]]);
}

#[test]
fn an_id_comes_back_as_it_was_written() {
    check(expect![[r#"
        u1 serves alice
        alice: raw {"jsonrpc":"2.0","id":1,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list"}
        alice: raw {"jsonrpc":"2.0","id":"1","method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/list"}
        alice: raw {"jsonrpc":"2.0","id":1.0,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/list"}
        alice: raw {"jsonrpc":"2.0","id":-0,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":5,"method":"tools/list"}
        alice: raw {"jsonrpc":"2.0","id":9007199254740993,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":6,"method":"tools/list"}
        alice: raw {"jsonrpc":"2.0","id":1e2,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":7,"method":"tools/list"}
        alice: raw {"jsonrpc":"2.0","id":"\u0031","method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":8,"method":"tools/list"}
        u1: raw {"jsonrpc":"2.0","id":8,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":"\u0031","result":{}}
        u1: raw {"jsonrpc":"2.0","id":7,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":1e2,"result":{}}
        u1: raw {"jsonrpc":"2.0","id":6,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":9007199254740993,"result":{}}
        u1: raw {"jsonrpc":"2.0","id":5,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":-0,"result":{}}
        u1: raw {"jsonrpc":"2.0","id":4,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":1.0,"result":{}}
        u1: raw {"jsonrpc":"2.0","id":3,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":"1","result":{}}
        u1: raw {"jsonrpc":"2.0","id":2,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{}}
    "#]]);
}

#[test]
fn params_and_results_pass_byte_for_byte() {
    check(expect![[r#"
        u1 serves alice bob
        alice: raw { "params" : {"b":1e400, "a":1.0,"name":"x\u0041","arguments":{"s":"\ud800"},"_meta":{"k": [ ]}},"future":[1],"id" : "a","method":"tools/call","jsonrpc":"2.0"}
            -> u1: raw { "params" : {"b":1e400, "a":1.0,"name":"x\u0041","arguments":{"s":"\ud800"},"_meta":{"k": [ ]}},"future":[1],"id" : 2,"method":"tools/call","jsonrpc":"2.0"}
        u1: raw {"result": {"z":-0.0,"a":"\ud800 é","id":7,"big":123456789012345678901234567890} , "x":{}, "jsonrpc":"2.0","id": 2}
            -> alice: raw {"result": {"z":-0.0,"a":"\ud800 é","id":7,"big":123456789012345678901234567890} , "x":{}, "jsonrpc":"2.0","id": "a"}
        bob: raw {"jsonrpc":"2.0","id":5,"method":"vendor/new","params":[1,{"id":2}]}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"vendor/new","params":[1,{"id":2}]}
        u1: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32601,"message":"no","data":{"a":1.50}}}
            -> bob: raw {"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"no","data":{"a":1.50}}}
    "#]]);
}

#[test]
fn a_long_id_is_an_id_and_a_longer_one_is_refused() {
    let id = "x".repeat(1024);
    let played = super::play(&std::format!(
        "u1 serves alice\nalice: tools/list #\"{id}\"\nu1: result #2\nalice: tools/list #\"{id}x\"\n"
    ));
    let reactions = super::reactions(&played);
    assert_eq!(reactions[0], "-> u1: tools/list #2");
    assert_eq!(reactions[1], std::format!("-> alice: result #\"{id}\""));
    assert_eq!(reactions[2], "-> alice: error #null -32600 malformed");
}

#[test]
fn the_second_request_of_an_id_is_refused_and_the_first_goes_on() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #1 tool=x
            -> alice: error #1 -32600 id-in-use
        u1: result #2
            -> alice: result #1
        alice: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: result #3
            -> alice: result #1
    "#]]);
}

#[test]
fn answers_that_nobody_waits_for_are_dropped() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #5
            -> u1: tools/list #2
        u1: result #5
            ! u1 dropped: unknown-response
        u1: result #"2"
            ! u1 dropped: unknown-response
        u1: raw {"jsonrpc":"2.0","id":2.0,"result":{}}
            ! u1 dropped: unknown-response
        u1: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}
            ! u1 dropped: unknown-response
        u1: result #2
            -> alice: result #5
        u1: result #2
            ! u1 dropped: unknown-response
        u1: result #1
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn an_answer_to_what_has_not_been_sent_is_made_up() {
    check(expect![[r#"
        u1 serves alice slow caps=sampling
        u1 blocks
        alice: tools/call #1 tool=x
            -> alice: held 2
        u1 reads
            -> alice: sent 2
        u1: result #2
            ! u1 dropped: unknown-response
        u1: progress token=2
            ! u1 dropped: unknown-progress
        alice hears
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
    "#]]);
}

#[test]
fn no_id_is_used_again_by_the_next_process() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        u1 exits signal 9
        10 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: result #2
            ! u1 dropped: unknown-response
        u1: greets
            -> u1: initialized
            -> u1: tools/list #4
        u1: result #2
            ! u1 dropped: unknown-response
        alice: tools/list #2
            -> u1: tools/list #5
        u1: result #4
            -> alice: result #1
    "#]]);
}

#[test]
fn lines_that_are_no_messages_are_answered_and_harm_nobody() {
    check(expect![[r#"
        u1 serves alice
        alice: raw hello
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not JSON","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw {"jsonrpc":"1.0","id":1,"method":"x"}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: `jsonrpc` must be \"2.0\"","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":null,"method":"x"}
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: `id` must be a string or a number of at most 1 KiB","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":{},"method":"x"}
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: `id` must be a string or a number of at most 1 KiB","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":1,"id":2,"method":"x"}
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: a member of the envelope stands there twice","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"}]
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a message must be one JSON object","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: tools/list #1
            -> u1: tools/list #2
        alice: raw {"jsonrpc":"1.0","id":1,"method":"x"}
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: `jsonrpc` must be \"2.0\"","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        u1: raw Server is listening
        u1: raw {"level":"info","id":2}
        u1: result #2
            -> alice: result #1
    "#]]);
}
