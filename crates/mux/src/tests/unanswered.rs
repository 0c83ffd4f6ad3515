//! Modern clients that come back without the answers for which they were given a handle.

use expect_test::expect;

use super::check;

#[test]
fn who_comes_back_without_an_answer_is_asked_again_and_the_server_hears_nothing_of_it() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: raw {"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"message":"name?"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.a.1"}}
            ! u1 separates t
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.a.2"}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"`requestState` is none that is waited for here: it was used before, or its time is over","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.2","inputResponses":[],"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.a.3"}}
        alice: raw {"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.3","inputResponses":{"2":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":5,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.a.4"}}
        alice: raw {"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.4","inputResponses":{"1":"foo"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":6,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.a.5"}}
        alice: raw {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.5","inputResponses":{"1":null},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.a.6"}}
        alice: raw {"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.6","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"action":"decline"}}
        u1: result #2
            -> alice: result #8
    "#]]);
}

#[test]
fn who_answers_one_question_of_two_is_asked_the_other_again_beside_what_has_come_since() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation+sampling tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling+elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: elicitation/create #7
            -> alice: result #1
            ! u1 separates t
        u1: elicitation/create #8
        u1: sampling/createMessage #9
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"action":"decline"}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"2":{"method":"elicitation/create","params":{}},"3":{"method":"sampling/createMessage","params":{}}},"requestState":"mcpool.a.2"}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.2","inputResponses":{"3":{"role":"user"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":9,"result":{"role":"user"}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"2":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.3"}}
        alice: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.3","inputResponses":{"2":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":8,"result":{"action":"accept"}}
        u1: result #2
            -> alice: result #4
    "#]]);
}

#[test]
fn who_never_answers_is_asked_so_often_and_then_its_server_hears_that() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: elicitation/create #7
            -> alice: result #1
            ! u1 separates t
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.2"}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.2","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.3"}}
        alice: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.3","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.4"}}
        alice: raw {"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.4","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":5,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.5"}}
        alice: raw {"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.5","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":6,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.6"}}
        alice: raw {"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.6","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.7"}}
        alice: raw {"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.7","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":8,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.8"}}
        alice: raw {"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.8","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":9,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.9"}}
        alice: raw {"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.9","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"the client did not answer what the server asked before it could go on","data":{"source":"mcpool","reason":"input-refused","retryable":false}}}
        u1: result #2
            -> alice: result #10
    "#]]);
}
