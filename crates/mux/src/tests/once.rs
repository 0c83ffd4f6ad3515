//! Once: a repeat of another session's call is answered with its result, where the configuration says so.

use expect_test::expect;

use super::check;

#[test]
fn a_repeat_of_another_session_s_call_is_answered_with_the_first_result() {
    check(expect![[r#"
        u1 serves alice bob once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        2 s pass
        bob: tools/call #1 tool=speak says=built
            -> bob: result #1 {"_meta":{"dev.mcpool/once":{"firstMsAgo":2000,"ttlLeftMs":3000}}}
        bob: tools/call #2 tool=speak says=failed
            -> u1: tools/call #3
        bob: tools/call #3 tool=other says=built
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn a_repeat_waits_while_the_first_call_is_at_work() {
    check(expect![[r#"
        u1 serves alice bob carol once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        bob: tools/call #1 tool=speak says=built
        carol: tools/call #1 tool=speak says=built
        carol: tools/list #2
            -> u1: tools/list #3
        u1: result #2
            -> alice: result #1
            -> bob: result #1 {"_meta":{"dev.mcpool/once":{"firstMsAgo":0,"ttlLeftMs":5000}}}
            -> carol: result #1 {"_meta":{"dev.mcpool/once":{"firstMsAgo":0,"ttlLeftMs":5000}}}
    "#]]);
}

#[test]
fn what_failed_or_was_cancelled_is_not_repeated_and_the_next_one_goes() {
    check(expect![[r#"
        u1 serves alice bob carol once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        bob: tools/call #1 tool=speak says=built
        carol: tools/call #1 tool=speak says=built
        u1: error #2
            -> alice: error #1 -1
            -> u1: tools/call #3
        bob: cancelled #1
            -> u1: cancelled #3
            -> u1: tools/call #4
        u1: result #4
            -> carol: result #1
    "#]]);
}

#[test]
fn a_session_that_repeats_its_own_call_wants_it_carried_out_again() {
    check(expect![[r#"
        u1 serves alice bob once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        alice: tools/call #2 tool=speak says=built
            -> u1: tools/call #3
        u1: result #2
            -> alice: result #1
        u1: result #3
            -> alice: result #2
        bob: tools/call #1 tool=speak says=built
            -> bob: result #1 {"_meta":{"dev.mcpool/once":{"firstMsAgo":0,"ttlLeftMs":5000}}}
        bob: tools/call #2 tool=speak says=built
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn a_call_is_a_repeat_for_so_long_and_no_longer() {
    check(expect![[r#"
        u1 serves alice bob once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        5 s pass
        bob: tools/call #1 tool=speak says=built
            -> u1: tools/call #3
    "#]]);
}

#[test]
fn only_the_arguments_that_are_named_count() {
    check(expect![[r#"
        u1 serves alice bob once=speak once-key=text
        alice: tools/call #1 tool=speak says=built voice=low
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=speak says=built voice=high
            -> bob: result #1 {"_meta":{"dev.mcpool/once":{"firstMsAgo":0,"ttlLeftMs":5000}}}
        bob: tools/call #2 tool=speak says=failed voice=low
            -> u1: tools/call #3
    "#]]);
}

#[test]
fn results_do_not_leave_the_process_that_sessions_share() {
    check(expect![[r#"
        u1 serves alice once=speak route=a
        u2 serves bob once=speak route=b
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=speak says=built
            -> u2: tools/call #2
    "#]]);
}

#[test]
fn without_a_rule_a_repeat_is_a_call() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=speak says=built
            -> u1: tools/call #3
    "#]]);
}

#[test]
fn who_repeats_does_not_wait_for_the_device() {
    check(expect![[r#"
        u1 serves alice bob carol device=speakers once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        carol: tools/call #1 tool=speak says=else
            -> u1: tools/call #3
        bob: tools/call #1 tool=speak says=built
            -> bob: result #1 {"_meta":{"dev.mcpool/once":{"firstMsAgo":0,"ttlLeftMs":5000}}}
    "#]]);
}

#[test]
fn clients_of_the_modern_era_are_told_so_too_but_for_requests_without_a_session() {
    check(expect![[r#"
        alice opens once=speak
        alice: tools/call #1 modern tool=speak says=built
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets speaks=2026-07-28
            -> u1: tools/call #2 modern
        u1: result #2 {"content":[],"resultType":"complete","_meta":{"a":1}}
            -> alice: result #1 {"content":[],"resultType":"complete","_meta":{"a":1}}
        bob opens once=speak
        bob: tools/call #"x" modern tool=speak says=built
            -> bob: result #"x"
        carol opens posts once=speak
        carol: tools/call #1 modern tool=speak says=built
            -> u1: tools/call #3 modern
    "#]]);
}

#[test]
fn a_result_is_repeated_in_the_words_of_the_other_era() {
    check(expect![[r#"
        alice comes era=legacy once=speak
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2 {"content":[]}
            -> alice: result #1 {"content":[]}
        bob opens era=legacy once=speak
        bob: tools/call #1 modern tool=speak says=built
            -> bob: result #1
    "#]]);
}

#[test]
fn a_result_of_a_process_that_is_gone_is_not_repeated() {
    check(expect![[r#"
        u1 serves alice bob once=speak
        alice: tools/call #1 tool=speak says=built
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            ! u1 has forgotten 1
        bob: tools/call #1 tool=speak says=built
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn a_repeat_is_answered_with_a_result_for_which_its_own_client_has_to_come_back() {
    check(expect![[r#"
        alice opens era=legacy handle=a once=speak
        alice: tools/call #1 modern caps=sampling tool=speak
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        bob opens era=legacy handle=b once=speak
        bob: tools/call #1 modern caps=sampling tool=speak
        u1: sampling/createMessage #7
            -> alice: result #1
            ! u1 separates speak
        u1: cancelled #7
        u1: result #2 {"content":[]}
            -> bob: result #1
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"speak","requestState":"mcpool.a.1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}
            -> alice: raw {"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1"}},"content":[]}}
    "#]]);
}
