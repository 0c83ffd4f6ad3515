//! What modern servers ask, put to legacy clients: their requests go again with the answers.

use expect_test::expect;

use super::check;

#[test]
fn a_legacy_client_is_asked_what_its_modern_server_wants_to_know_and_its_call_goes_again() {
    check(expect![[r#"
        alice opens era=modern workspace=/w
        alice: initialize #0 version=2025-11-25 caps=roots+sampling+elicitation.url
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t token=7
            -> u1: tools/call #2 token=2 modern caps=roots+sampling+elicitation.url
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"},"m":{"method":"sampling/createMessage","params":{"maxTokens":1}},"u":{"method":"elicitation/create","params":{"mode":"url","url":"https://x"}}},"requestState":"s"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"maxTokens":1}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"method":"elicitation/create","params":{"mode":"url","url":"https://x","elicitationId":"mcpool-2"}}
        alice: result #1 {"role":"assistant"}
        alice: result #2 {"action":"accept"}
            -> u1: tools/call #3 token=3 modern caps=roots+sampling+elicitation.url
        u1: progress token=3
            -> alice: progress token=7
        u1: result #3 {"content":[],"resultType":"complete"}
            -> alice: result #1 {"content":[]}
    "#]]);
}

#[test]
fn what_a_client_cannot_or_will_not_answer_ends_its_call() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling+elicitation
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling+elicitation.form
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url","url":"https://x"}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"the client does not support `elicitation/create`"}],"isError":true,"_meta":{"mcpool/reason":"not-capable"}}}
        alice: tools/call #2 tool=t
            -> u1: tools/call #3 modern caps=sampling+elicitation.form
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{}},"b":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}
        alice: error #1
        alice: error #2
            -> alice: error #2 -32603 input-refused
        alice: tools/call #3 tool=t
            -> u1: tools/call #4 modern caps=sampling+elicitation.form
        u1: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":{}}
        alice: cancelled #3
            -> alice: cancelled #3
        alice: result #3
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn a_server_that_asks_without_end_is_not_asked_again() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=roots
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","requestState":"1"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #3 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","requestState":"2"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #4 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"input_required","requestState":"3"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #5 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":5,"result":{"resultType":"input_required","requestState":"4"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #6 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":6,"result":{"resultType":"input_required","requestState":"5"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #7 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":"6"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #8 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":8,"result":{"resultType":"input_required","requestState":"7"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #9 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":9,"result":{"resultType":"input_required","requestState":"8"}}
        250 ms pass
            after 250 ms
            -> u1: tools/call #10 modern caps=roots
        u1: raw {"jsonrpc":"2.0","id":10,"result":{"resultType":"input_required","requestState":"9"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the server asks again and again before it answers","data":{"source":"mcpool","reason":"too-many-rounds","retryable":false}}}
    "#]]);
}

#[test]
fn who_leaves_while_it_is_asked_leaves_nothing() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}
        bob opens era=modern
        bob: tools/call #1 modern caps=sampling tool=t
            -> u1: tools/call #3 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}}
        alice leaves
    "#]]);
}

#[test]
fn who_closes_its_input_answers_nothing() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}
        alice ends
            -> alice: cancelled #1
            -> alice: error #1 -32603 input-refused
            -> close alice
    "#]]);
}

#[test]
fn nothing_is_left_of_a_call_that_is_cancelled_after_its_client_was_asked() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #5 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}},"requestState":"1"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}
        alice: result #1
            -> u1: tools/call #3 modern caps=sampling
        alice: cancelled #5
            -> u1: cancelled #3
        alice: tools/call #5 tool=other
            -> u1: tools/call #4 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}},"requestState":"2"}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}
        alice: result #2
            -> u1: tools/call #5 modern caps=sampling
    "#]]);
}

#[test]
fn what_is_no_request_is_asked_of_nobody() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{"_meta":{"progressToken":{}}}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: an id or token must be a string or a number of at most 1 KiB","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
    "#]]);
}

#[test]
fn an_answer_that_is_none_ends_the_call_for_which_its_client_was_asked() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}},"b":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}
        alice: raw {"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"both"}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"its answer is not needed any more"}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"reason":"its answer is not needed any more"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: only one of `method`, `result` and `error` may be there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
    "#]]);
}

#[test]
fn who_does_not_answer_is_not_waited_for_without_end() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}
        9 min pass
        alice: result #1 {"role":"assistant"}
            -> u1: tools/call #3 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}},"b":{"method":"sampling/createMessage","params":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":{}}
        alice: result #2 {"role":"assistant"}
        show words
        10 min pass
            after 600 s
            -> alice: cancelled #3
            -> alice: error #1 -32603 input-took-too-long "the client did not answer within 600 s what the server asked before it could go on"
        alice: result #3 {"role":"assistant"}
            ! u1 dropped: unknown-response
        alice: tools/call #1 tool=t
            -> u1: tools/call #4 modern caps=sampling
    "#]]);
}

#[test]
fn who_closes_its_input_while_its_request_rests_has_its_answer() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","requestState":"s"}}
        alice ends
        1 s pass
            after 250 ms
            -> u1: tools/call #3 modern caps=sampling
        u1: result #3 {"content":[],"resultType":"complete"}
            -> alice: result #1 {"content":[]}
            -> close alice
    "#]]);
}

#[test]
fn a_request_that_rests_can_be_cancelled() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern caps=sampling
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","requestState":"s"}}
        alice: cancelled #1
        1 s pass
    "#]]);
}

#[test]
fn names_come_back_as_they_are_written_whatever_they_are() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25 caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: raw {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"\ud800":1,"name":"t","_meta":{"\ud801":2}}}
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"\ud800":1,"name":"t","_meta":{"\ud801":2,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"unknown","version":"unknown"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}}
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","\ud802":3,"inputRequests":{"\ud803":{"method":"sampling/createMessage","params":{}},"\u0061":{"method":"roots/list"}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}
        alice: raw {"jsonrpc":"2.0","id":1,"result":{"role":"assistant"}}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"\ud800":1,"name":"t","_meta":{"\ud801":2,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"unknown","version":"unknown"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}},"inputResponses":{"\u0061":{"roots":[{"uri":"file:///w","name":"w"}]},"\ud803":{"role":"assistant"}}}}
        u1: raw {"jsonrpc":"2.0","id":3,"result":{"\ud804":4,"resultType":"complete","content":[]}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"\ud804":4,"content":[]}}
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"\ud800":1}}
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"unknown","version":"unknown"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}},"\ud800":1}}
    "#]]);
}

#[test]
fn what_only_the_modern_era_knows_is_not_told_to_a_legacy_client() {
    check(expect![[r#"
        alice opens era=modern
        alice: initialize #0 version=2025-11-25
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=t
            -> u1: tools/call #2 modern
        u1: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32021,"message":"no","data":{"requiredCapabilities":{"sampling":{}}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no","data":{"requiredCapabilities":{"sampling":{}}}}}
        alice: tools/call #2 tool=t
            -> u1: tools/call #3 modern
        u1: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32020,"message":"no"}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"no"}}
        alice: tools/call #3 tool=t
            -> u1: tools/call #4 modern
        u1: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32022,"message":"no"}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"no"}}
        alice: tools/call #4 tool=t
            -> u1: tools/call #5 modern
        u1: raw {"jsonrpc":"2.0","id":5,"result":{"resultType":"task","taskId":"1"}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32603,"message":"the answer is of the kind `task`, which the client's version of MCP does not have","data":{"source":"mcpool","reason":"answer-untranslatable","retryable":false,"maybeExecuted":true}}}
        alice: tools/list #5
            -> u1: tools/list #6 modern
        u1: raw {"jsonrpc":"2.0","id":6,"result":{"resultType":"input_required","requestState":"s"}}
            -> alice: raw {"jsonrpc":"2.0","id":5,"error":{"code":-32603,"message":"the answer is of the kind `input_required`, which the client's version of MCP does not have","data":{"source":"mcpool","reason":"answer-untranslatable","retryable":false,"maybeExecuted":true}}}
        alice: tools/list #6
            -> u1: tools/list #7 modern
        u1: raw {"jsonrpc":"2.0","id":7,"result":{"tools":[]}}
            -> alice: raw {"jsonrpc":"2.0","id":6,"result":{"tools":[]}}
        bob opens era=modern
        bob: tools/call #1 modern tool=t
            -> u1: tools/call #8 modern
        u1: raw {"jsonrpc":"2.0","id":8,"result":{"resultType":"task","taskId":"1"}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"1"}}
    "#]]);
}
