//! Asks: to the session whose call caused them, or to nobody.

use expect_test::expect;

use super::check;

#[test]
fn an_ask_goes_to_the_only_session_and_its_answer_comes_back() {
    check(expect![[r#"
        u1 serves alice caps=sampling+elicitation
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
        alice: result #1 {"role":"assistant"}
            -> u1: result #"a" {"role":"assistant"}
        u1: elicitation/create #"a"
            -> alice: elicitation/create #2
        u1: elicitation/create #1
            -> alice: elicitation/create #3
        alice: error #3
            -> u1: error #1 -1
        alice: result #2
            -> u1: result #"a"
        alice: result #2
            ! u1 dropped: unknown-response
        alice: result #"2"
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn asks_and_answers_pass_byte_for_byte() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        u1: raw {"jsonrpc":"2.0","id" : 1.0,"method":"sampling/createMessage","params":{"maxTokens":1e2,"_meta":{"progressToken":"p"}},"x":[]}
            -> alice: raw {"jsonrpc":"2.0","id" : 1,"method":"sampling/createMessage","params":{"maxTokens":1e2,"_meta":{"progressToken":1}},"x":[]}
        alice: raw {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1.0}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1.0}}
        alice: raw { "result":{"a":1.0}, "id":1 ,"jsonrpc":"2.0"}
            -> u1: raw { "result":{"a":1.0}, "id":1.0 ,"jsonrpc":"2.0"}
        alice: raw {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":2}}
    "#]]);
}

#[test]
fn an_ask_goes_to_the_only_session_that_calls() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/list #1
            -> u1: tools/list #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #1
            -> bob: sampling/createMessage #1
            ! u1 separates x
        alice: result #1
            ! u1 dropped: unknown-response
        bob: result #1
            -> u1: result #1
        u1: result #3
            -> bob: result #1
        u1: sampling/createMessage #2
            -> u1: error #2 -32603 owner-unclear
    "#]]);
}

#[test]
fn prompts_and_resources_may_ask_too() {
    check(expect![[r#"
        u1 serves alice bob caps=elicitation
        alice: prompts/get #1 prompt=x
            -> u1: prompts/get #2
        u1: elicitation/create #1
            -> alice: elicitation/create #1
            ! u1 separates prompts/get x
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        bob: resources/read #1 uri=a:b
            -> u1: resources/read #3 uri=a:b
        u1: elicitation/create #2
            -> bob: elicitation/create #1
            ! u1 separates resources/read 
        bob: result #1
            -> u1: result #2
        alice: resources/read #2 uri=a:c
        u1: result #3
            -> bob: result #1
            -> u1: resources/read #4 uri=a:c
    "#]]);
}

#[test]
fn an_ask_of_several_waits_until_it_is_clear_whose_it_is() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #1
        u1: sampling/createMessage #1
            -> u1: error #1 -32600 id-in-use
        alice: tools/call #2 tool=x
        alice: tools/list #3
            -> u1: tools/list #4
        5 s pass
        u1: result #3
            -> bob: result #1
            -> alice: sampling/createMessage #1
            -> u1: tools/call #5
            ! u1 separates x
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
    "#]]);
}

#[test]
fn an_ask_that_stays_unclear_is_refused_and_its_tools_run_apart_from_then_on() {
    check(expect![[r#"
        u1 serves alice bob carol caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=y
        1 s pass
            after 1 s
            -> u1: tools/call #3
        u1: sampling/createMessage #1
        6 s pass
        u1: sampling/createMessage #2
        carol: tools/call #1 tool=x
        4 s pass
            after 4 s
            -> u1: error #1 -32603 owner-unclear
            ! u1 separates x
            ! u1 separates y
        6 s pass
            after 6 s
            -> u1: error #2 -32603 owner-unclear
            -> u1: tools/call #4
        u1: result #2
            -> alice: result #1
        u1: result #3
            -> bob: result #1
        bob: tools/call #2 tool=y
        u1: sampling/createMessage #3
            -> carol: sampling/createMessage #1
        carol: result #1
            -> u1: result #3
        u1: result #4
            -> carol: result #1
            -> u1: tools/call #5
        u1: sampling/createMessage #4
            -> bob: sampling/createMessage #1
        bob: result #1
            -> u1: result #4
    "#]]);
}

#[test]
fn an_ask_taken_back_lets_others_go() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #1
        alice: tools/call #2 tool=x
        u1: cancelled #1
            -> u1: tools/call #4
        u1: cancelled #1
            ! u1 dropped: unknown-cancellation
    "#]]);
}

#[test]
fn an_ask_taken_back_by_the_server_is_taken_back_from_the_client() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
        u1: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId" : "a","reason":"\u0041"}}
            -> alice: raw {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId" : 1,"reason":"\u0041"}}
        alice: result #1
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn what_a_cancelled_call_asks_goes_to_nobody_else() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: cancelled #1
            -> u1: cancelled #2
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-gone
        bob: tools/call #1 tool=x
        u1: sampling/createMessage #2
            -> u1: error #2 -32603 owner-gone
        u1: result #2
            -> u1: tools/call #3
            ! u1 dropped: unknown-response
        10 s pass
        u1: sampling/createMessage #3
            -> bob: sampling/createMessage #1
            ! u1 separates x
    "#]]);
}

#[test]
fn a_server_that_breaks_off_a_cancelled_call_and_lets_its_ask_stand_gives_it_to_nobody_else() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: cancelled #1
            -> u1: cancelled #2
        bob: tools/call #1 tool=x
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-gone
        u1: error #2
            -> u1: tools/call #3
            ! u1 dropped: unknown-response
        u1: cancelled #1
            ! u1 dropped: unknown-cancellation
        u1: sampling/createMessage #2
            -> bob: sampling/createMessage #1
            ! u1 separates x
    "#]]);
}

#[test]
fn an_ask_that_waits_is_not_given_to_who_is_left_when_a_cancelled_call_is_broken_off() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        bob: tools/call #1 tool=quiet
            -> u1: tools/call #2
        u1: result #2
            -> bob: result #1
        alice: tools/call #1 tool=x
            -> u1: tools/call #3
        alice: cancelled #1
            -> u1: cancelled #3
        bob: tools/call #2 tool=quiet
            -> u1: tools/call #4
        u1: sampling/createMessage #1
        u1: error #3
            ! u1 dropped: unknown-response
        10 s pass
            after 10 s
            -> u1: error #1 -32603 owner-unclear
            ! u1 separates quiet
        u1: sampling/createMessage #2
            -> bob: sampling/createMessage #1
    "#]]);
}

#[test]
fn what_a_departed_session_caused_goes_to_nobody_else_for_half_a_minute() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice leaves
            -> u1: cancelled #2
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-gone
        29 s pass
        u1: sampling/createMessage #2
            -> u1: error #2 -32603 owner-gone
        1 s pass
        u1: sampling/createMessage #3
            -> bob: sampling/createMessage #1
    "#]]);
}

#[test]
fn an_ask_is_not_given_to_who_is_left_when_a_possible_cause_has_faded_meanwhile() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: cancelled #1
            -> u1: cancelled #2
        bob: tools/call #1 tool=x
        25 s pass
            after 1 s
            -> u1: tools/call #3
        u1: sampling/createMessage #1
        10 s pass
            after 10 s
            -> u1: error #1 -32603 owner-unclear
            ! u1 separates x
        u1: sampling/createMessage #2
            -> bob: sampling/createMessage #1
    "#]]);
}

#[test]
fn who_leaves_while_asked_leaves_no_server_waiting() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice leaves
            -> u1: error #1 -32603 owner-gone
            -> u1: cancelled #2
        bob: tools/call #1 tool=x
        u1: sampling/createMessage #2
            -> u1: error #2 -32603 owner-gone
        bob ends
        u1: sampling/createMessage #3
            -> u1: error #3 -32603 owner-gone
        u1: result #3
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn what_a_client_cannot_do_is_not_asked_of_it() {
    check(expect![[r#"
        u1 serves alice caps=elicitation
        u1: sampling/createMessage #1
            -> u1: error #1 -32601 not-capable
        u1: elicitation/create #2 mode=url
            -> u1: error #2 -32601 not-capable
        u1: elicitation/create #3 mode=form
            -> alice: elicitation/create #1
        u1: vendor/ask #4
            -> alice: vendor/ask #2
        bob comes caps=elicitation
            -> bob: result #0 version=2025-11-25
        u1: vendor/ask #5
            -> u1: error #5 -32601 no-such-method
        u1: vendor/told
            ! u1 dropped: unknown-notification
        bob leaves
        u1: vendor/told
            -> alice: vendor/told
        carol comes
            -> start u2 for carol
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> carol: result #0 version=2025-11-25
        u2: elicitation/create #1
            -> u2: error #1 -32601 not-capable
        u2: roots/list #2
            -> u2: error #2 -32601 not-capable
    "#]]);
}

#[test]
fn a_fixed_class_may_promise_more_than_a_session_can_do() {
    check(expect![[r#"
        u1 serves alice bob fixed=sampling+sampling.tools+elicitation caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        u1: sampling/createMessage #2 tools
            -> u1: error #2 -32601 not-capable
        u1: elicitation/create #3
            -> u1: error #3 -32601 not-capable
    "#]]);
}

#[test]
fn a_question_by_address_is_settled_with_whom_it_was_put_to() {
    check(expect![[r#"
        u1 serves alice bob caps=elicitation.url
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: elicitation/create #1 mode=url elicitation=e1
            -> alice: elicitation/create #1
            ! u1 separates x
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=y
            -> u1: tools/call #3
        u1: raw {"jsonrpc":"2.0","id":3,"error":{"code":-32042,"message":"go there","data":{"elicitations":[{"mode":"url","elicitationId":"e2","url":"https://x","message":"m"}]}}}
            -> bob: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"go there","data":{"elicitations":[{"mode":"url","elicitationId":"e2","url":"https://x","message":"m"}]}}}
        u1: elicitation/complete elicitation=e2
            -> bob: elicitation/complete
        u1: elicitation/complete elicitation=e1
            -> alice: elicitation/complete
        u1: elicitation/complete elicitation=e1
            ! u1 dropped: unknown-elicitation
    "#]]);
}

#[test]
fn an_answer_too_long_to_pass_on_ends_the_ask() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
        alice: too long #1 response
            -> u1: error #"a" -32603 answer-too-long maybe-executed
        alice: tools/list #1
            -> u1: tools/list #2
        u1: too long #2 request
            -> u1: error #2 -32600 malformed
        u1: too long #"b" request
            -> u1: error #"b" -32600 malformed
    "#]]);
}

#[test]
fn what_nobody_knows_is_not_for_who_is_left_when_a_caller_has_just_gone() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice leaves
            -> u1: cancelled #2
        u1: vendor/ask #1
            -> u1: error #1 -32601 no-such-method
        u1: vendor/told
            ! u1 dropped: unknown-notification
        u1: result #2
            ! u1 dropped: unknown-response
        u1: vendor/ask #2
            -> bob: vendor/ask #1
        u1: vendor/told
            -> bob: vendor/told
    "#]]);
}

#[test]
fn a_call_whose_answer_may_have_been_lost_may_still_be_the_cause() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: too long response
            -> u1: cancelled #2
            -> alice: error #1 -32603 answer-too-long maybe-executed
        bob: tools/call #1 tool=y
        u1: message level=error
            ! u1 dropped: unclear-log-message
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-gone
        30 s pass
            after 1 s
            -> u1: tools/call #3
        u1: message level=error
            -> bob: message level=error
            ! u1 separates y
    "#]]);
}

#[test]
fn who_waits_for_the_next_process_has_not_made_the_last_one_ask() {
    check(expect![[r#"
        alice comes era=legacy caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        admin restarts echo
            -> stop u1
        bob opens era=legacy handle=b
        bob: tools/list #1 modern caps=sampling
        u1: sampling/createMessage #7
            -> alice: sampling/createMessage #1
        u1 exits code 0
            -> alice: cancelled #1
            -> start u1 for bob
        u1 starts
            -> u1: initialize #2 caps=sampling
        u1: greets
            -> u1: initialized
            -> admin: restarted 1
            -> u1: tools/list #3
        u1: sampling/createMessage #8
            -> u1: error #8 -32603 owner-unclear
    "#]]);
}
