//! Log messages: the most verbose level that anyone wants, and each message to its owner or nobody.

use expect_test::expect;

use super::check;

#[test]
fn the_server_is_as_verbose_as_anyone_wants_and_each_hears_what_it_wants() {
    check(expect![[r#"
        u1 serves alice bob
        alice: logging/setLevel #1 level=warning
            -> u1: logging/setLevel #2 level=info
            -> alice: result #1
        u1: result #2
        bob: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #3 level=debug
        u1: result #3
            -> bob: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #4
        u1: message level=info
            ! u1 separates x
        u1: message level=error
            -> alice: message level=error
        u1: result #4
            -> alice: result #2
        bob: tools/call #2 tool=x
            -> u1: tools/call #5
        u1: message level=debug
            -> bob: message level=debug
        u1: result #5
            -> bob: result #2
        bob: logging/setLevel #3 level=error
            -> u1: logging/setLevel #6 level=warning
            -> bob: result #3
        u1: result #6
        alice leaves
            -> u1: logging/setLevel #7 level=error
        u1: result #7
        bob leaves
    "#]]);
}

#[test]
fn who_never_asked_is_not_flooded_by_who_did() {
    check(expect![[r#"
        u1 serves alice
        u1: message level=debug
            -> alice: message level=debug
        bob comes
            -> bob: result #0 version=2025-11-25
        bob: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #2 level=debug
        u1: result #2
            -> bob: result #1
        alice: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: message level=debug
            ! u1 separates x
        u1: message level=info
            -> alice: message level=info
        u1: result #3
            -> alice: result #1
        bob leaves
            -> u1: logging/setLevel #4 level=info
        u1: message level=debug
        u1: message level=notice
            -> alice: message level=notice
    "#]]);
}

#[test]
fn a_level_set_before_the_handshake_counts() {
    check(expect![[r#"
        u1 serves alice
        alice: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #2 level=debug
        u1: result #2
            -> alice: result #1
        u1 blocks
        bob comes
            -> bob: result #0 version=2025-11-25
        bob: logging/setLevel #1 level=error
        u1 reads
            -> bob: result #1
        bob: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: message level=info
            ! u1 separates x
        u1: message level=error
            -> bob: message level=error
    "#]]);
}

#[test]
fn a_message_that_may_be_of_several_goes_to_nobody() {
    check(expect![[r#"
        u1 serves alice bob
        u1: message level=info
            ! u1 dropped: unclear-log-message
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: message level=info
            -> alice: message level=info
            ! u1 separates x
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: message level=info
            ! u1 dropped: unclear-log-message
        u1: result #2
            -> alice: result #1
        u1: message level=info
            -> bob: message level=info
        bob: cancelled #1
            -> u1: cancelled #3
        alice: tools/call #2 tool=y
            -> u1: tools/call #4
        u1: message level=info
            ! u1 dropped: unclear-log-message
        u1: result #3
            ! u1 dropped: unknown-response
        u1: message level=info
            -> alice: message level=info
            ! u1 separates y
    "#]]);
}

#[test]
fn a_tool_that_logs_runs_apart_while_somebody_listens() {
    check(expect![[r#"
        u1 serves alice bob
        alice: logging/setLevel #1 level=info
            -> u1: logging/setLevel #2 level=info
        u1: result #2
            -> alice: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: message level=info
            -> alice: message level=info
            ! u1 separates x
        bob: tools/call #1 tool=y
            -> u1: tools/call #4
        alice: tools/call #3 tool=x
        u1: result #3
            -> alice: result #2
        u1: result #4
            -> bob: result #1
            -> u1: tools/call #5
        bob: tools/call #2 tool=y
        u1: result #5
            -> alice: result #3
            -> u1: tools/call #6
        alice leaves
        carol comes
            -> carol: result #0 version=2025-11-25
        carol: tools/call #1 tool=x
            -> u1: tools/call #7
        bob: tools/call #3 tool=x
            -> u1: tools/call #8
    "#]]);
}

#[test]
fn a_level_that_the_server_refuses_is_nobodys() {
    check(expect![[r#"
        u1 serves alice bob
        alice: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #2 level=debug
        u1: error #2
            -> alice: error #1 -1
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: message level=debug
            -> alice: message level=debug
            ! u1 separates x
        bob: logging/setLevel #1 level=loud
            -> u1: logging/setLevel #4 level=loud
        u1: error #4
            -> bob: error #1 -1
    "#]]);
}

#[test]
fn a_server_without_logging_answers_for_itself() {
    check(expect![[r#"
        u1 serves alice bob declares=tools
        alice: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #2 level=debug
        u1: error #2
            -> alice: error #1 -1
        bob: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #3 level=debug
        u1: error #3
            -> bob: error #1 -1
    "#]]);
}

#[test]
fn a_new_process_hears_the_level() {
    check(expect![[r#"
        u1 serves alice bob
        alice: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #2 level=debug
        u1: result #2
            -> alice: result #1
        bob: logging/setLevel #1 level=error
            -> bob: result #1
        u1 exits code 1
        alice leaves
        1 s pass
            after 77 ms
            -> start u1 for bob
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #4 level=error
    "#]]);
}

#[test]
fn a_request_of_the_modern_era_hears_what_it_has_asked_for_and_no_other_does() {
    check(expect![[r#"
        alice opens era=modern
        alice: tools/call #1 modern tool=t log=debug
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> u1: tools/call #2 modern log=debug
        alice: tools/list #2 modern
            -> u1: tools/list #3 modern
        u1: message level=debug
            -> alice: message level=debug
            ! u1 separates t
        u1: result #2 {"content":[]}
            -> alice: result #1 {"content":[]}
        u1: message level=error
        u1: result #3 {"tools":[]}
            -> alice: result #2 {"tools":[]}
        alice: tools/call #3 modern tool=t
            -> u1: tools/call #4 modern
        alice: prompts/list #4 modern log=error
            -> u1: prompts/list #5 modern log=error
        u1: message level=warning
        u1: message level=error
            -> alice: message level=error
        alice: tools/call #5 modern tool=t log=info
            -> u1: tools/call #6 modern log=info
        bob opens era=modern
        bob: tools/call #1 modern tool=t
        u1: result #4 {"content":[]}
            -> alice: result #3 {"content":[]}
        u1: message level=info
            -> alice: message level=info
        u1: result #6 {"content":[]}
            -> alice: result #5 {"content":[]}
            -> u1: tools/call #7 modern
    "#]]);
}

#[test]
fn a_legacy_server_is_as_verbose_as_any_modern_request_wants_while_it_is_there() {
    check(expect![[r#"
        alice opens era=legacy
        alice: tools/call #1 modern tool=t log=warning
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #3 level=warning
            -> u1: tools/call #2
        u1: result #3
        alice: tools/call #2 modern tool=x log=debug
            -> u1: logging/setLevel #5 level=debug
            -> u1: tools/call #4
        u1: result #5
        u1: message level=debug
            -> alice: message level=debug
            ! u1 separates t
            ! u1 separates x
        u1: result #4 {"content":[]}
            -> alice: result #2
        u1: message level=info
        u1: message level=emergency
            -> alice: message level=emergency
        u1: result #2 {"content":[]}
            -> alice: result #1
        u1: message level=emergency
        bob opens era=legacy
        bob: tools/call #1 modern tool=x log=error
            -> u1: logging/setLevel #7 level=error
            -> u1: tools/call #6
        u1: result #7
        u1: message level=warning
        u1: message level=error
            -> bob: message level=error
        u1: result #6 {"content":[]}
            -> bob: result #1
    "#]]);
}

#[test]
fn a_server_that_does_not_log_is_told_no_level() {
    check(expect![[r#"
        alice opens era=legacy
        alice: tools/call #1 modern tool=t log=warning
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools
            -> u1: initialized
            -> u1: tools/call #2
    "#]]);
}

#[test]
fn who_comes_back_to_what_was_parked_says_anew_what_it_wants_to_hear() {
    check(expect![[r#"
        alice opens era=legacy handle=a
        alice: tools/call #1 modern caps=sampling tool=t log=debug
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #3 level=debug
            -> u1: tools/call #2
        u1: result #3
        u1: sampling/createMessage #7
            -> alice: result #1
            ! u1 separates t
        u1: message level=error
            ! u1 separates t
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","requestState":"mcpool.a.1","inputResponses":{"1":{"role":"assistant"}},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"error"}}}
            -> u1: raw {"jsonrpc":"2.0","id":4,"method":"logging/setLevel","params":{"level":"error"}}
            -> u1: raw {"jsonrpc":"2.0","id":7,"result":{"role":"assistant"}}
        u1: message level=info
        u1: message level=error
            -> alice: message level=error
    "#]]);
}

#[test]
fn who_set_no_level_goes_on_hearing_what_another_does_not_want() {
    check(expect![[r#"
        u1 serves alice bob
        alice: logging/setLevel #1 level=error
            -> u1: logging/setLevel #2 level=info
            -> alice: result #1
        u1: message level=info
            ! u1 dropped: unclear-log-message
        bob leaves
            -> u1: logging/setLevel #3 level=error
        carol comes
            -> carol: result #0 version=2025-11-25
            -> u1: logging/setLevel #4 level=info
        alice leaves
    "#]]);
}

#[test]
fn who_set_no_level_goes_on_hearing_what_a_modern_request_does_not_want() {
    check(expect![[r#"
        u1 serves bob
        alice opens era=legacy
        alice: tools/call #1 modern tool=t log=error
            -> u1: logging/setLevel #3 level=info
            -> u1: tools/call #2
        u1: result #3
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=t
            -> u1: tools/call #4
        u1: message level=info
            -> bob: message level=info
            ! u1 separates t
        u1: result #4
            -> bob: result #1
        alice: tools/call #2 modern tool=t log=debug
            -> u1: logging/setLevel #6 level=debug
            -> u1: tools/call #5
        u1: result #6
        u1: result #5
            -> alice: result #2
        bob leaves
            -> u1: logging/setLevel #7 level=info
        u1: result #7
        alice: tools/call #3 modern tool=t log=error
            -> u1: logging/setLevel #9 level=error
            -> u1: tools/call #8
        u1: result #9
        carol comes
            -> carol: result #0 version=2025-11-25
            -> u1: logging/setLevel #10 level=info
        u1: result #10
        carol: tools/call #1 tool=y
        u1: result #8
            -> alice: result #3
            -> u1: tools/call #11
        u1: message level=info
            -> carol: message level=info
            ! u1 separates y
    "#]]);
}
