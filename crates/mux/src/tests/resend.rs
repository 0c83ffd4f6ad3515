//! What goes to a server's next process when one has died.

use std::{fmt::Write, string::String};

use expect_test::expect;

use super::{check, play, reactions};

#[test]
fn what_changes_nothing_goes_once_more_and_nothing_else_does() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/list #"l" token="t"
            -> u1: tools/list #3 token=3
        alice: vendor/do #2
            -> u1: vendor/do #4
        bob: resources/read #1 uri=a:b
            -> u1: resources/read #5 uri=a:b
        bob: prompts/get #2 prompt=p
            -> u1: prompts/get #6
        bob: completion/complete #3
            -> u1: completion/complete #7
        bob: resources/subscribe #4 uri=a:b
            -> u1: resources/subscribe #8 uri=a:b
        bob: logging/setLevel #5 level=debug
            -> u1: logging/setLevel #9 level=debug
        u1 exits signal 9
            -> alice: error #1 -32603 upstream-exited maybe-executed
            -> alice: error #2 -32603 upstream-exited maybe-executed
            -> bob: error #4 -32603 upstream-exited maybe-executed
            -> bob: error #5 -32603 upstream-exited maybe-executed
        bob: resources/list #6
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #10
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #11 level=debug
            -> alice: message level=warning
            -> u1: completion/complete #12
            -> u1: tools/list #13 token=13
            -> u1: resources/list #14
            -> u1: resources/read #15 uri=a:b
            -> u1: prompts/get #16
            ! u1 has forgotten 1
        u1: progress token=9
            ! u1 dropped: unknown-progress
        u1: result #9 {"tools":1}
            ! u1 dropped: unknown-response
    "#]]);
}

#[test]
fn what_goes_again_goes_before_what_was_said_since() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        alice: prompts/list #2
            -> u1: prompts/list #3
        alice: resources/read #3 uri=a:1
            -> u1: resources/read #4 uri=a:1
        alice: resources/read #4 uri=a:2
            -> u1: resources/read #5 uri=a:2
        u1 exits code 1
        alice: resources/list #5
        alice: tools/call #6 tool=x
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> u1: tools/list #7
            -> u1: prompts/list #8
            -> u1: resources/list #9
            -> u1: resources/read #10 uri=a:1
            -> u1: resources/read #11 uri=a:2
            -> u1: tools/call #12
    "#]]);
}

#[test]
fn what_met_two_deaths_is_an_error() {
    check(expect![[r#"
        show words
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> u1: tools/list #4
        alice: prompts/list #2
            -> u1: prompts/list #5
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited not-executed "`echo` exited with code 1 before it answered; the request had no effect; see `mcpool logs echo`"
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> u1: prompts/list #7
    "#]]);
}

#[test]
fn what_goes_again_may_be_cancelled_and_may_lose_its_session() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/list #1
            -> u1: tools/list #2
        alice: tools/list #2
            -> u1: tools/list #3
        bob: tools/list #1
            -> u1: tools/list #4
        u1 exits code 1
        alice: cancelled #1
        bob leaves
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #5
        u1: greets
            -> u1: initialized
            -> u1: tools/list #6
        alice: cancelled #2
            -> u1: cancelled #6
    "#]]);
}

#[test]
fn what_waited_for_a_process_that_died_goes_to_the_next() {
    check(expect![[r#"
        u1 serves alice keeps
        u1 blocks
        alice: tools/call #1 tool=x
            -> alice: held 2
        alice: tools/call #2 tool=x
            -> alice: held 3
        alice: tools/list #3
            -> alice: held 4
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1: greets
            -> u1: initialized
            -> u1: tools/list #3
            -> alice: sent 2
            -> alice: sent 3
            -> u1: tools/call #4
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn an_announcement_that_leaves_late_lets_nothing_go_before_the_next_one_has_left() {
    check(expect![[r#"
        u1 serves alice slow
        u1 blocks
        alice: tools/call #1 tool=x
            -> alice: held 2
        alice: tools/call #2 tool=x
            -> alice: held 3
        u1 reads
            -> alice: sent 2
            -> alice: sent 3
        u1 exits code 1
            -> alice: held 3
            -> alice: held 2
        alice: cancelled #2
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: sent 2
        alice hears
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn an_announcement_that_has_left_before_the_next_process_came_up_is_made_again() {
    check(expect![[r#"
        u1 serves alice slow
        u1 blocks
        alice: tools/call #1 tool=x
            -> alice: held 2
        u1 reads
            -> alice: sent 2
        u1 exits code 1
            -> alice: held 2
        alice hears
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> alice: sent 2
        alice hears
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn what_waits_for_a_server_that_does_not_come_up_is_answered() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1 exits code 1
            -> alice: error #1 -32603 start-failed
    "#]]);
}

#[test]
fn what_waits_for_a_server_that_takes_too_long_is_answered() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        1 min pass
            after 24 s
            -> alice: error #1 -32603 still-starting
    "#]]);
}

#[test]
fn a_restart_that_was_asked_for_sends_again_too() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> alice: error #2 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> admin: restarted 1
            -> u1: tools/list #5
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn a_request_of_a_batch_goes_again_and_the_batch_has_one_answer() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26 keeps
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/list"}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x"}}
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> u1: tools/list #5
            ! u1 has forgotten 1
        u1: result #5
            -> alice: [error #2 -32603 upstream-exited maybe-executed, result #1]
    "#]]);
}

#[test]
fn a_session_that_ends_waits_for_what_goes_again() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        alice ends
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> u1: tools/list #4
        u1: result #4
            -> alice: result #1
            -> close alice
    "#]]);
}

#[test]
fn a_long_request_does_not_go_again() {
    let long = "x".repeat(70_000);
    let mut script = String::from("u1 serves alice\n");
    writeln!(script, "alice: resources/read #1 uri={long}").unwrap();
    writeln!(script, "u1 exits code 1").unwrap();
    let played = play(&script);
    let last = reactions(&played).pop().unwrap();
    assert_eq!(
        last,
        "-> alice: error #1 -32603 upstream-exited not-executed"
    );
}

#[test]
fn what_is_announced_while_the_process_is_stopped_goes_to_the_next() {
    check(expect![[r#"
        u1 serves alice slow
        u1 blocks
        alice: tools/call #1 tool=x
            -> alice: held 2
        u1 reads
            -> alice: sent 2
        admin restarts echo
            -> stop u1
        alice hears
        u1 exits code 0
            -> alice: held 2
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> admin: restarted 1
            -> alice: sent 2
        alice hears
            -> u1: tools/call #4
    "#]]);
}

#[test]
fn what_was_not_written_to_a_process_that_died_goes_to_the_next() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #"a" tool=x token="t"
            -> u1: tools/call #2 token=2
        alice: vendor/do #1
            -> u1: vendor/do #3
        bob: tools/call #1 tool=x
            -> u1: tools/call #4
        alice: tools/list #2
            -> u1: tools/list #5
        u1 exits signal 9 unwritten #3 #4 #5
            -> alice: error #"a" -32603 upstream-exited maybe-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #6
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> u1: vendor/do #7
            -> u1: tools/call #8
            -> u1: tools/list #9
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn what_no_process_has_seen_goes_however_many_have_died() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x token="t"
            -> u1: tools/call #2 token=2
        alice: tools/list #2
            -> u1: tools/list #3
        u1 exits code 1 unwritten #2 #3
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> u1: tools/list #5
            -> u1: tools/call #6 token=6
        u1 exits code 1 unwritten #6 #5
        1 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #7
        u1: greets
            -> u1: initialized
            -> u1: tools/list #8
            -> u1: tools/call #9 token=9
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited maybe-executed
    "#]]);
}

#[test]
fn what_was_not_written_may_have_been_cancelled_meanwhile() {
    check(expect![[r#"
        u1 serves alice bob
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        alice: cancelled #1
            -> u1: cancelled #2
        bob leaves
            -> u1: cancelled #3
        u1 exits code 1 unwritten #2 #3
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            ! u1 has forgotten 1
        alice: tools/call #2 tool=x
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn a_shim_hears_that_what_was_not_written_waits_again() {
    check(expect![[r#"
        u1 serves alice keeps
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/list #2
            -> u1: tools/list #3
        alice: tools/call #3 tool=x
            -> u1: tools/call #4
        u1 exits code 1 unwritten #3 #4
            -> alice: held 4
            -> alice: error #1 -32603 upstream-exited maybe-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #5
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> u1: tools/list #6
            -> alice: sent 4
            ! u1 has forgotten 1
            -> u1: tools/call #7
        u1: result #6
            -> alice: result #2
        u1: result #7
            -> alice: result #3
    "#]]);
}

#[test]
fn what_was_not_written_of_a_batch_goes_to_the_next_process_and_the_batch_has_one_answer() {
    check(expect![[r#"
        u1 serves alice version=2025-03-26 keeps
        alice: raw [{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"y"}}]
            -> u1: raw {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"y"}}
        u1 exits code 1 unwritten #3
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> u1: tools/call #5
            ! u1 has forgotten 1
        u1: result #5
            -> alice: [error #1 -32603 upstream-exited maybe-executed, result #2]
    "#]]);
}

#[test]
fn what_was_not_written_and_changes_our_books_is_an_error_that_says_that_nothing_was_done() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #2 uri=a:b
        bob: logging/setLevel #1 level=debug
            -> u1: logging/setLevel #3 level=debug
        alice: resources/unsubscribe #2 uri=c:d
            -> u1: resources/unsubscribe #4 uri=c:d
        u1 exits code 1 unwritten #2 #3 #4
            -> alice: error #1 -32603 upstream-exited not-executed
            -> bob: error #1 -32603 upstream-exited not-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #5
        u1: greets
            -> u1: initialized
            -> u1: logging/setLevel #6 level=debug
            -> u1: resources/unsubscribe #7 uri=c:d
    "#]]);
}

#[test]
fn what_was_not_written_when_a_restart_was_asked_for_goes_to_the_next_process() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        admin restarts echo
            -> stop u1
        u1 exits code 0 unwritten #3
            -> alice: error #1 -32603 upstream-stopped maybe-executed
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets
            -> u1: initialized
            -> alice: message level=warning
            -> admin: restarted 1
            -> u1: tools/call #5
            ! u1 has forgotten 1
    "#]]);
}

#[test]
fn what_only_reads_goes_once_more_though_its_second_process_never_saw_it() {
    check(expect![[r#"
        u1 serves alice
        alice: tools/list #1
            -> u1: tools/list #2
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets
            -> u1: initialized
            -> u1: tools/list #4
        u1 exits code 1 unwritten #4
        2 s pass
            after 126 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #5
        u1: greets
            -> u1: initialized
            -> u1: tools/list #6
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited not-executed
    "#]]);
}
