//! What legacy servers ask, put to modern clients: they come back with the answers.

use expect_test::expect;

use super::{check, script::Script, stage::Stage};
use crate::Limits;

#[test]
fn a_question_of_a_legacy_server_is_the_answer_to_the_call_and_the_answer_comes_with_the_next() {
    check(expect![[r#"
        alice opens handle=secret era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t token=7
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2 token=2
        u1: raw {"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"name?","_meta":{"progressToken":1}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"message":"name?"}}},"requestState":"mcpool.secret.1"}}
            ! u1 separates t
        u1: progress token=2
            ! u1 dropped: unknown-progress
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.secret.1","inputResponses":{"1":{"action":"accept","content":{"name":"x"}}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"b"}}}
            -> u1: raw {"jsonrpc":"2.0","id":"q","result":{"action":"accept","content":{"name":"x"}}}
        u1: progress token=2
            -> alice: progress token="b"
        u1: result #2 {"content":[]}
            -> alice: result #2
        alice leaves
    "#]]);
}

#[test]
fn a_handle_is_good_once_and_for_the_same_request() {
    check(expect![[r#"
        alice opens handle=secret era=legacy
        bob opens handle=other era=legacy
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
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x","requestState":"mcpool.secret.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"`requestState` is none that is waited for here: it was used before, or its time is over","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        bob: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.secret.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"`requestState` is none that is waited for here: it was used before, or its time is over","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.secret.1","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"action":"decline"}}
        alice: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","requestState":"mcpool.secret.1","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32602,"message":"`requestState` is none that is waited for here: it was used before, or its time is over","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        u1: result #2
            -> alice: result #3
    "#]]);
}

#[test]
fn what_becomes_of_the_call_meanwhile_waits_for_who_comes_back_and_who_does_not_is_not_waited_for()
{
    check(expect![[r#"
        alice opens posts handle=a era=legacy
        alice: tools/call #1 modern caps=sampling tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: sampling/createMessage #7
            -> alice: result #1
            ! u1 separates t
        u1: cancelled #7
        u1: result #2 {"content":[]}
        alice: raw {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}},"content":[]}}
            -> close alice
        bob opens posts handle=b era=legacy
        bob: tools/call #1 modern caps=sampling tool=t
            -> u1: tools/call #3
        u1: sampling/createMessage #8
            -> bob: result #1
        10 min pass
            after 30 s
            -> u1: ping #4
            after 60 s
            -> u1: ping #5
            after 90 s
            -> u1: ping #6
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
            after 600 s
            -> u1: error #8 -32603 owner-gone
            -> u1: cancelled #3
            -> stop u1
            -> close bob
        u1: result #3
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn several_questions_are_put_one_after_the_other_and_the_death_of_the_server_is_told() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=sampling+elicitation tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling+elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: sampling/createMessage #7
            -> alice: result #1
            ! u1 separates t
        u1: elicitation/create #8
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"1":{"role":"assistant"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"role":"assistant"}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"2":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.2"}}
        u1 exits signal 9
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.2","inputResponses":{"2":{"action":"cancel"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32603,"message":"`echo` was killed (9) before it answered, by somebody or by the system for want of memory; the request may have been carried out; see `mcpool logs echo`","data":{"source":"mcpool","reason":"upstream-exited","retryable":true,"maybeExecuted":true,"server":"echo"}}}
    "#]]);
}

#[test]
fn who_is_not_able_to_is_not_asked_and_log_messages_reach_who_wants_them() {
    check(expect![[r#"
        alice opens era=legacy
        alice: tools/call #1 modern caps=sampling tool=t log=info
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #3 level=info
            -> u1: tools/call #2
        u1: elicitation/create #7
            -> u1: error #7 -32601 not-capable
            ! u1 separates t
        u1: message level=info
            -> alice: message level=info
            ! u1 separates t
        u1: message level=debug
        u1: result #3
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 modern caps=sampling tool=t
            -> u1: tools/call #4
        u1: message level=error
    "#]]);
}

#[test]
fn who_waits_behind_one_that_does_not_come_back_waits_half_a_minute() {
    check(expect![[r#"
        alice opens posts handle=a era=legacy
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
        bob opens posts handle=b era=legacy
        bob: tools/call #1 modern caps=elicitation tool=x
        30 s pass
            after 1 s
            -> u1: tools/call #3
            after 30 s
            -> u1: ping #4
        u1: elicitation/create #8
        10 s pass
            after 10 s
            -> u1: error #8 -32603 owner-unclear
            ! u1 separates x
        u1: result #3
            -> bob: result #1
            -> close bob
    "#]]);
}

#[test]
fn who_closes_its_input_does_not_come_back() {
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
        alice ends
            -> u1: error #7 -32603 owner-gone
            -> u1: cancelled #2
            -> close alice
        u1: result #2
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn what_its_client_was_asked_about_is_not_sent_again_however_little_it_does() {
    check(expect![[r#"
        alice opens posts handle=a era=legacy
        alice: prompts/get #1 modern caps=elicitation
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: prompts/get #2
        u1: elicitation/create #7
            -> alice: result #1
            ! u1 separates prompts/get 
        u1 exits signal 9
        alice: raw {"jsonrpc":"2.0","id":2,"method":"prompts/get","params":{"requestState":"mcpool.a.1","inputResponses":{"1":{"action":"cancel"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"`echo` was killed (9) before it answered, by somebody or by the system for want of memory; the request had no effect; see `mcpool logs echo`","data":{"source":"mcpool","reason":"upstream-exited","retryable":true,"maybeExecuted":false,"server":"echo"}}}
            -> close alice
    "#]]);
}

#[test]
fn who_has_something_to_answer_or_to_come_back_for_is_no_probe() {
    check(expect![[r#"
        bob opens era=legacy
        bob: initialize #0
            -> start u1 for bob
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> bob: result #0 version=2025-11-25
        bob: tools/call #1 tool=t
            -> u1: tools/call #2
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1 caps=elicitation.form
        u2: greets
            -> u2: initialized
            -> u2: tools/call #2
        u2: elicitation/create #0
            -> alice: result #1
            ! u2 separates t
        alice: initialize #2
            -> alice: error #2 -32600 already-initialized
        u1: elicitation/create #0
            -> u1: error #0 -32601 not-capable
        alice: result #1 {"action":"accept"}
            -> u2: result #0 {"action":"accept"}
        alice leaves
            -> u2: cancelled #2
        u1: result #3
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn what_no_client_of_the_modern_era_can_be_asked_is_refused() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: raw {"jsonrpc":"2.0","id":7,"method":"x/ask","params":{}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"method not found: x/ask","data":{"source":"mcpool","reason":"no-such-method","retryable":false}}}
        u1: result #2
            -> alice: result #1
        bob opens era=legacy
        bob: initialize #0 caps=elicitation
            -> bob: result #0 version=2025-11-25
        u1: raw {"jsonrpc":"2.0","id":8,"method":"x/ask","params":{}}
            -> u1: raw {"jsonrpc":"2.0","id":8,"error":{"code":-32601,"message":"method not found: x/ask","data":{"source":"mcpool","reason":"no-such-method","retryable":false}}}
        alice leaves
        u1: raw {"jsonrpc":"2.0","id":9,"method":"x/ask","params":{}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"method":"x/ask","params":{}}
        bob: result #1 {}
            -> u1: result #9
    "#]]);
}

#[test]
fn what_a_modern_server_wants_back_is_its_own_whatever_it_is_called() {
    check(expect![[r#"
        alice opens handle=a era=modern
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> u1: tools/call #2 modern caps=elicitation.form
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"q":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.1"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"q":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.1"}}
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"q":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"q":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
        bob opens posts handle=b era=modern
        bob: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"q":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"q":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
    "#]]);
}

#[test]
fn a_state_that_a_legacy_server_cannot_have_given_does_not_run_its_tool() {
    check(expect![[r#"
        alice opens posts handle=a
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"of-somebody-else","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> alice: error #2 -32602 bad-parameter
            -> close alice
        bob opens posts handle=b era=legacy route=other
        bob: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.gone.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> bob: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"`requestState` is none that is waited for here: it was used before, or its time is over","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
            -> close bob
        carol opens posts handle=c
        carol: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","inputResponses":{"1":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u2: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","_meta":{}}}
    "#]]);
}

#[test]
fn a_handle_is_good_for_the_same_arguments_however_they_are_spaced() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: raw {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a b":"c \" d","e":[1, 2]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: elicitation/create #7
            -> alice: result #1
            ! u1 separates t
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","arguments":{"a b":"c \"  d","e":[1,2]},"requestState":"mcpool.a.1","inputResponses":{"1":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"`requestState` is none that is waited for here: it was used before, or its time is over","data":{"source":"mcpool","reason":"bad-parameter","retryable":false}}}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"requestState":"mcpool.a.1","inputResponses":{"1":{"action":"accept"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},"arguments":{ "a b": "c \" d","e" :[1,2]},"name":"t"}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}
    "#]]);
}

#[test]
fn what_is_settled_elsewhere_is_not_told_in_the_modern_era() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation.url tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.url
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: raw {"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"mode":"url","url":"https://x","elicitationId":"e"}}
            -> alice: raw {"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"mode":"url","url":"https://x"}}},"requestState":"mcpool.a.1"}}
            ! u1 separates t
        u1: raw {"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e"}}
            ! u1 dropped: unknown-elicitation
        alice: tools/call #2 modern caps=elicitation.url tool=u
            -> u1: tools/call #3
        u1: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32042,"message":"go","data":{"elicitations":[{"mode":"url","url":"https://y","elicitationId":"f","message":"m"}]}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"1":{"method":"elicitation/create","params":{"mode":"url","url":"https://y","message":"m"}}}}}
        u1: raw {"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"f"}}
            ! u1 dropped: unknown-elicitation
    "#]]);
}

#[test]
fn each_request_says_what_its_client_can_be_asked() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation+sampling tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling+elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 modern caps=sampling tool=t
            -> u1: tools/call #3
        u1: elicitation/create #7
            -> u1: error #7 -32601 not-capable
            ! u1 separates t
        u1: sampling/createMessage #8
            -> alice: result #2
        u1: result #3
        alice: tools/call #3 modern caps=elicitation tool=t
            -> u1: tools/call #4
        u1: elicitation/create #9
            -> alice: result #3
        alice: tools/call #4 modern caps=elicitation tool=u
            -> u1: tools/call #5
        u1: raw {"jsonrpc":"2.0","id":5,"error":{"code":-32042,"message":"go","data":{"elicitations":[{"mode":"url","url":"https://y","elicitationId":"f","message":"m"}]}}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"error":{"code":-32021,"message":"the answer needs a client that can do `elicitation.url`, and the request has not declared that","data":{"source":"mcpool","reason":"lacks-capability","retryable":false,"requiredCapabilities":{"elicitation":{"url":{}}}}}}
    "#]]);
}

#[test]
fn no_more_is_kept_for_who_does_not_come_back_than_it_may_have_at_its_server() {
    let limits = Limits {
        session_in_flight: 2,
        ..Limits::default()
    };
    let transcript = expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=sampling tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        u1: sampling/createMessage #7
            -> alice: result #1
            ! u1 separates t
        u1: result #2 {"content":["kept"]}
        alice: tools/call #2 modern caps=sampling tool=t
            -> u1: tools/call #3
        u1: sampling/createMessage #8
            -> alice: result #2
        links hold 536870912
        u1: result #3 {"content":["no room"]}
        links hold 0
        alice: tools/call #3 modern caps=sampling tool=t
            -> u1: tools/call #4
        u1: sampling/createMessage #9
            -> u1: error #9 -32603 overloaded
        alice: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"the client did not answer what the server asked before it could go on","data":{"source":"mcpool","reason":"input-refused","retryable":false}}}
            -> alice: raw {"jsonrpc":"2.0","id":4,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}},"content":["kept"]}}
        alice: raw {"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.2","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":8,"error":{"code":-32603,"message":"the client did not answer what the server asked before it could go on","data":{"source":"mcpool","reason":"input-refused","retryable":false}}}
            -> alice: raw {"jsonrpc":"2.0","id":5,"error":{"code":-32603,"message":"there was no room for the answer","data":{"source":"mcpool","reason":"answer-dropped","retryable":true,"maybeExecuted":true}}}
    "#]];
    let mut stage = Stage::with_limits(limits);
    let played = stage.play(&Script::parse(transcript.data()));
    transcript.assert_eq(&played);
    stage.clear();
}

#[test]
fn an_answer_reaches_its_server_though_the_call_that_it_came_with_is_over() {
    check(expect![[r#"
        alice opens handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u1 for alice
        alice: resources/read #2 modern caps=elicitation uri=a:1
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
            -> u1: resources/read #3 uri=a:1
        u1: elicitation/create #7
            -> alice: result #1
            ! u1 separates resources/read 
            ! u1 separates t
        u1: elicitation/create #8
        u1: result #2 {"content":[]}
        alice: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"action":"decline"}}
            -> alice: raw {"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}},"content":[]}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"input_required","inputRequests":{"2":{"method":"elicitation/create","params":{}}},"requestState":"mcpool.a.2"}}
    "#]]);
}

#[test]
fn who_comes_back_to_a_server_that_nobody_shares_by_now_is_served() {
    check(expect![[r#"
        alice opens posts handle=a era=legacy
        alice: tools/call #1 modern caps=elicitation tool=t
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets declares=tasks
            -> u1: initialized
            -> u1: tools/call #2
            ! u1 is private
        u1: elicitation/create #7
            -> alice: result #1
            ! u1 separates t
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"1":{"action":"decline"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"action":"decline"}}
        u1: result #2 {"content":[]}
            -> alice: result #2
            -> close alice
            -> stop u1
        bob opens posts handle=b era=legacy
        bob: tools/call #1 modern caps=elicitation tool=t
            -> bob: error #1 -32603 needs-session
            -> close bob
    "#]]);
}
