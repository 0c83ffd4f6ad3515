//! Batches: of 2025-03-26 alone, answered as one.

use expect_test::expect;

use super::{check, script::Script, stage::Stage};
use crate::Limits;

#[test]
fn a_batch_is_answered_when_all_of_it_is() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/list"}, {"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":"2","method":"ping"},5,{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list"}
        u1: raw {"jsonrpc":"2.0","id":2,"result":{"tools":[ ]}}
            -> alice: raw [{"jsonrpc":"2.0","id":"2","result":{}},{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a message must be one JSON object","data":{"source":"mcpool","reason":"malformed","retryable":false}}},{"jsonrpc":"2.0","id":3,"error":{"code":-32600,"message":"this session is initialized already","data":{"source":"mcpool","reason":"already-initialized","retryable":false}}},{"jsonrpc":"2.0","id":1,"result":{"tools":[ ]}}]
        alice: tools/list #1
            -> u1: tools/list #3
    "#]]);
}

#[test]
fn the_second_request_of_an_id_is_refused_in_the_batch() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":1,"method":"tools/list"}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list"}
        u1: result #2
            -> alice: [error #1 -32600 id-in-use, result #1]
    "#]]);
}

#[test]
fn what_of_a_batch_is_cancelled_is_not_waited_for() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/list"}
        alice: cancelled #1
            -> u1: cancelled #2
        u1: result #3
            -> alice: [result #2]
        alice: raw [{"jsonrpc":"2.0","id":3,"method":"tools/list"}]
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/list"}
        alice: cancelled #3
            -> u1: cancelled #4
    "#]]);
}

#[test]
fn a_batch_of_notifications_has_no_answer_and_an_empty_one_has_an_error() {
    check(expect![[r#"
        u1 serves alice keeps version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","method":"vendor/a"},{"jsonrpc":"2.0","method":"vendor/b"}]
            -> u1: raw {"jsonrpc":"2.0","method":"vendor/a"}
            -> u1: raw {"jsonrpc":"2.0","method":"vendor/b"}
        alice: raw []
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a message must be one JSON object","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
        alice: raw [1
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not JSON","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
    "#]]);
}

#[test]
fn other_versions_have_no_batches() {
    check(expect![[r#"
        u1 serves alice version=2025-06-18
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"}]
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a message must be one JSON object","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
    "#]]);
}

#[test]
fn a_batch_survives_the_end_of_its_server_and_of_its_sessions_input() {
    check(expect![[r#"
        u1 serves alice bob version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/list"}
        alice ends
        bob: raw [{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}]
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"x"}}
        bob leaves
            -> u1: cancelled #4
        u1: result #3
        u1 exits code 1
            -> alice: [result #2, error #1 -32603 upstream-exited maybe-executed]
            -> close alice
    "#]]);
}

#[test]
fn a_batch_counts_as_sent_as_a_whole() {
    check(expect![[r#"
        u1 serves alice keeps version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x"}}
        u1 blocks
        alice: raw [{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x"}},{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"x"}}]
        u1 reads
            -> u1: tools/call #4
            -> u1: tools/call #5
        u1: result #2
        u1: result #3
            -> alice: [result #1, result #2]
        u1: result #5
        u1: result #4
            -> alice: [result #4, result #3]
    "#]]);
}

#[test]
fn an_answer_at_fault_in_a_batch_holds_up_none_of_the_others() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26 caps=sampling
        u1: sampling/createMessage #7
            -> alice: sampling/createMessage #1
        alice: raw [{"jsonrpc":"2.0","id":1,"result":{},"error":{}},{"jsonrpc":"2.0","id":5,"method":"ping"}]
            -> u1: raw {"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"the answer cannot be used: not a JSON-RPC 2.0 message: only one of `method`, `result` and `error` may be there","data":{"source":"mcpool","reason":"answer-malformed","retryable":false,"maybeExecuted":true}}}
            -> alice: raw [{"jsonrpc":"2.0","id":5,"result":{}}]
    "#]]);
}

#[test]
fn a_batch_of_more_messages_than_may_be_is_refused_whole() {
    let limits = Limits {
        batch_messages: 2,
        ..Limits::default()
    };
    let mut stage = Stage::with_limits(limits);
    let played = stage.play(&Script::parse(
        r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"},7]
        "#,
    ));
    stage.clear();
    expect![[r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]
            -> alice: raw [{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"},7]
            -> alice: raw {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"a batch may have at most 2 messages","data":{"source":"mcpool","reason":"malformed","retryable":false}}}
    "#]].assert_eq(&played);
}

#[test]
fn the_answers_of_a_batch_are_no_longer_than_a_message_may_be() {
    let limits = Limits {
        message_bytes: 600,
        session_queue_bytes: 300,
        ..Limits::default()
    };
    let mut stage = Stage::with_limits(limits);
    let long = "x".repeat(400);
    let played = stage.play(&Script::parse(&std::format!(
        r#"
        u1 serves alice version=2025-03-26
        alice: raw [{{"jsonrpc":"2.0","id":1,"method":"a"}},{{"jsonrpc":"2.0","id":2,"method":"a"}},{{"jsonrpc":"2.0","id":3,"method":"a"}}]
        u1: result #2 "{long}"
        u1: result #3 "{long}"
        u1: result #4
        "#,
    )));
    stage.clear();
    expect![[r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"a"},{"jsonrpc":"2.0","id":3,"method":"a"}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"a"}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"a"}
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"a"}
        u1: result #2 "LONG"
        u1: result #3 "LONG"
            -> pause alice
        u1: result #4
            -> resume alice
            -> alice: [result #1, error #2 -32603 answer-too-long maybe-executed, error #3 -32603 answer-too-long maybe-executed]
    "#]].assert_eq(&played.replace(&long, "LONG"));
}

#[test]
fn a_batch_is_done_once_and_not_before_its_notifications_have_gone() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26 keeps
        u1 exits code 1
        alice: raw [{"jsonrpc":"2.0","method":"vendor/told"},{"jsonrpc":"2.0","id":1,"method":"ping"}]
        alice: raw [{"jsonrpc":"2.0","method":"vendor/told"},{"jsonrpc":"2.0","method":"vendor/told"}]
        25 s pass
            after 77 ms
            -> start u1 for alice
            after 25 s
            -> alice: [result #1]
        alice: ping #2
            -> alice: done 3
            -> alice: result #2
    "#]]);
}

#[test]
fn a_session_that_ends_is_not_closed_before_the_answers_of_its_batch_have_left() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26
        u1 exits code 1
        alice: tools/call #1 tool=x
        alice: raw [{"jsonrpc":"2.0","method":"vendor/told"},{"jsonrpc":"2.0","id":2,"method":"ping"}]
        alice ends
        25 s pass
            after 77 ms
            -> start u1 for alice
            after 25 s
            -> alice: error #1 -32603 still-starting
            -> alice: [result #2]
            -> close alice
    "#]]);
}

#[test]
fn an_answer_that_is_too_long_is_not_taken_for_that_of_a_twin_in_another_batch() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x"}}
        alice: raw [{"jsonrpc":"2.0","id":3,"method":"tools/list"},{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"x"}}]
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x"}}
        u1: result #5
        u1: too long response #3
        u1: result #2
            -> alice: [error #2 -32603 answer-too-long maybe-executed, result #1]
        u1: result #4
            -> alice: [result #4, result #3]
    "#]]);
}
