//! Lines that are no messages: whoever waits for what they were to be hears of it, and nobody else.

use expect_test::expect;

use super::check;

#[test]
fn an_answer_that_is_no_message_is_an_error_to_its_request() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #"a" tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: raw {"id":2,"result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":"a","error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: `jsonrpc` must be \"2.0\"","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        u1: raw {"jsonrpc":"2.0","id":2,"result":{}}
            ! u1 dropped: unknown-response
        u1: raw {"jsonrpc":"2.0","id":3,"result":{},"error":{}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: only one of `method`, `result` and `error` may be there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        u1: raw {"id":3,"method":"x"}
            -> u1: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: `jsonrpc` must be \"2.0\"","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
    "#]]);
}

#[test]
fn an_answer_that_is_no_json_is_an_error_to_the_request_that_it_names() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        alice: tools/call #2 tool=x
            -> u1: tools/call #4
        show words
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"mean":NaN}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: the line is not JSON","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        u1: raw {"jsonrpc":"2.0","id":3,"result":{}}{"jsonrpc":"2.0","id":4,"result":{}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3,"reason":"its answer may have been lost"}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: the line is not JSON","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4,"reason":"its answer may have been lost"}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"the answer cannot be used: the line is not JSON","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
    "#]]);
}

#[test]
fn an_answer_without_its_result_is_an_error_to_its_request() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: raw {"jsonrpc":"2.0","id":2}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: neither `method` nor `result` nor `error` is there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: raw {"jsonrpc":"2.0","id":3,"method":"x","result":{}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: only one of `method`, `result` and `error` may be there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
    "#]]);
}

#[test]
fn an_answer_with_two_ids_ends_every_request_that_it_names_and_no_other() {
    check(expect![[r#"
        u1 serves alice bob carol
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        carol: tools/call #1 tool=x
            -> u1: tools/call #4
        u1: raw {"jsonrpc":"2.0","id":2,"id":3,"result":{}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"its answer may have been lost"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: a member of the envelope stands there twice","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3,"reason":"its answer may have been lost"}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: a member of the envelope stands there twice","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        u1: raw {"jsonrpc":"2.0","id":4,"\u0069d":4,"result":{}}
            -> carol: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: a member of the envelope stands there twice","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        u1: result #4
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn an_answer_that_names_nobody_ends_nobodys_request() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}
            ! u1 dropped: unknown-response
        u1: raw {"jsonrpc":"2.0","error":{"code":-32601,"message":"no"}}
            ! u1 dropped: unknown-response
        u1: raw {"jsonrpc":"2.0","id":{},"result":{}}
            ! u1 dropped: unknown-response
        u1: raw [INFO] {"id":2,"result":"done"}
        u1: raw {"level":"info","id":2}
        u1: result #2
            -> alice: result #1
    "#]]);
}

#[test]
fn an_answer_to_a_request_that_was_cancelled_may_be_as_faulty_as_it_likes() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        alice: cancelled #1
            -> u1: cancelled #2
        u1: raw {"jsonrpc":"2.0","id":2,"result":NaN}
            ! u1 dropped: unknown-response
        u1: sampling/createMessage #1
            -> bob: sampling/createMessage #1
            ! u1 separates x
    "#]]);
}

#[test]
fn an_answer_that_is_deeper_than_may_be_is_an_error_to_its_request() {
    let deep = std::format!("{}{}", "[".repeat(200), "]".repeat(200));
    let played = super::play(&std::format!(
        "u1 serves alice caps=sampling\nalice: tools/call #1 tool=x\nu1: result #2 {deep}\nu1: sampling/createMessage #7\nalice: result #1 {deep}\n"
    ));
    expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2 DEEP
            -> alice: error #1 -32603 answer-malformed maybe-executed
        u1: sampling/createMessage #7
            -> alice: sampling/createMessage #1
        alice: result #1 DEEP
            -> u1: error #7 -32603 answer-malformed maybe-executed
    "#]]
    .assert_eq(&played.replace(&deep, "DEEP"));
}

#[test]
fn a_greeting_that_cannot_be_used_fails_the_start_at_once() {
    check(expect![[r#"
        show words
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"id":1,"result":{}}
            -> stop u1
            -> alice: raw {"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"`echo` did not start: its answer to `initialize` cannot be used: not a JSON-RPC 2.0 message: a member of the envelope stands there twice; see `mcpool logs echo`","data":{"source":"mcpool","reason":"start-failed","retryable":false,"server":"echo"}}}
        u1 exits code 0
    "#]]);
}

#[test]
fn a_message_that_is_too_long_is_an_error_to_whom_it_names() {
    check(expect![[r#"
        u1 serves alice bob
        alice: too long #1
            -> alice: error #1 -32600 malformed
        alice: too long
            -> alice: error #null -32600 malformed
        alice: a #2
            -> u1: a #2
        bob: a #1
            -> u1: a #3
        u1: too long #2 response
            -> alice: error #2 -32603 answer-too-long maybe-executed
        u1: too long #9 response
            ! u1 dropped: unknown-response
        u1: too long #"x" response
            ! u1 dropped: unknown-response
        u1: too long #3 request
            -> u1: error #3 -32600 malformed
        u1: result #3
            -> bob: result #1
    "#]]);
}

#[test]
fn who_is_in_the_middle_of_a_message_that_is_too_long_hears_of_it_before_its_end_and_once() {
    check(expect![[r#"
        show words
        u1 serves alice keeps
        alice: too long #1 request unended
            -> alice: error #1 -32600 malformed "a message may have at most 1000 bytes; this one is dropped, up to the end of its line"
        alice: too long #1 request
        alice: too long unended
            -> alice: error #null -32600 malformed "a message may have at most 1000 bytes; this one is dropped, up to the end of its line"
        alice: too long
        alice: a #1
            -> u1: a #2
    "#]]);
}

#[test]
fn a_request_that_is_too_long_and_has_its_id_last_is_answered_at_its_end() {
    check(expect![[r#"
        u1 serves alice
        alice: too long unended
            -> alice: error #null -32600 malformed
        alice: too long #1
            -> alice: error #1 -32600 malformed
        alice: too long request unended
            -> alice: error #null -32600 malformed
        alice: too long #2 request
            -> alice: error #2 -32600 malformed
        alice: too long #3 unended
            -> alice: error #null -32600 malformed
        alice: too long #3 request
            -> alice: error #3 -32600 malformed
    "#]]);
}

#[test]
fn a_message_that_is_too_long_and_goes_on_is_no_answer_to_a_request_that_is_open() {
    check(expect![[r#"
        u1 serves alice
        alice: a #1
            -> u1: a #2
        alice: too long #1 request unended
            -> alice: error #null -32600 malformed
        alice: too long #1 request
        alice: too long #1 request unended
            -> alice: error #null -32600 malformed
        u1: result #2
            -> alice: result #1
        alice: too long #1 request
            -> alice: error #1 -32600 malformed
    "#]]);
}

#[test]
fn an_answer_of_a_clients_that_is_too_long_and_goes_on_ends_its_ask_alone() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
        u1: sampling/createMessage #"b"
            -> alice: sampling/createMessage #2
        alice: too long #1 response unended
            -> u1: error #"a" -32603 answer-too-long maybe-executed
        alice: too long #1 response
        alice: too long response unended
            -> alice: error #null -32600 malformed
        alice: too long #2 response
            -> u1: error #"b" -32603 answer-too-long maybe-executed
    "#]]);
}

#[test]
fn a_message_that_is_too_long_and_names_nobody_may_have_been_any_answer() {
    check(expect![[r#"
        u1 serves alice bob
        alice: a #1
            -> u1: a #2
        bob: a #1
            -> u1: a #3
        u1: too long request
        u1: too long response
            -> u1: cancelled #2
            -> alice: error #1 -32603 answer-too-long maybe-executed
            -> u1: cancelled #3
            -> bob: error #1 -32603 answer-too-long maybe-executed
        alice: a #2
            -> u1: a #4
        bob: a #2
            -> u1: a #5
        u1: too long
            -> u1: cancelled #4
            -> alice: error #2 -32603 answer-too-long maybe-executed
            -> u1: cancelled #5
            -> bob: error #2 -32603 answer-too-long maybe-executed
    "#]]);
}

#[test]
fn an_answer_of_a_clients_that_is_no_message_ends_its_ask() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
        u1: sampling/createMessage #"b"
            -> alice: sampling/createMessage #2
        u1: sampling/createMessage #"c"
            -> alice: sampling/createMessage #3
        u1: sampling/createMessage #"d"
            -> alice: sampling/createMessage #4
        u1: sampling/createMessage #"e"
            -> alice: sampling/createMessage #5
        alice: raw {"jsonrpc":"2.0","id":1,"result":{},"error":{}}
            -> u1: raw {"jsonrpc":"2.0","id":"a","error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: only one of `method`, `result` and `error` may be there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        alice: raw {"jsonrpc":"2.0","id":2,"result":NaN}
            -> u1: raw {"jsonrpc":"2.0","id":"b","error":{"code":-32603,"message":"the answer cannot be used: the line is not JSON","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        alice: raw {"jsonrpc":"2.0","id":3}
            -> u1: raw {"jsonrpc":"2.0","id":"c","error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: neither `method` nor `result` nor `error` is there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"not a JSON-RPC 2.0 message: neither `method` nor `result` nor `error` is there","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":4,"id":99,"result":{}}
            -> u1: raw {"jsonrpc":"2.0","id":"d","error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: a member of the envelope stands there twice","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
        alice: too long response
            -> u1: error #"e" -32603 answer-too-long maybe-executed
            -> alice: error #null -32600 malformed
    "#]]);
}

#[test]
fn answers_in_a_batch_that_is_no_json_are_errors_to_their_requests() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        alice: tools/call #2 tool=x
            -> u1: tools/call #4
        u1: raw [{"jsonrpc":"2.0","id":2,"result":{}},{"jsonrpc":"2.0","id":3,"result":NaN}]
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"its answer may have been lost"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: the line is not JSON","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3,"reason":"its answer may have been lost"}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: the line is not JSON","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
    "#]]);
}
