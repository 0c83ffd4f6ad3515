//! Servers that say what belongs to a request on the stream of that request: whose it is need not be found out.

use expect_test::expect;

use super::check;

#[test]
fn what_a_server_asks_and_logs_on_the_stream_of_a_call_is_of_whoever_called() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling declares=logging
        alice: logging/setLevel #0 level=debug
            -> u1: logging/setLevel #2 level=debug
        u1: result #2
            -> alice: result #0
        bob: logging/setLevel #0 level=debug
            -> bob: result #0
        alice: tools/list #1
            -> u1: tools/list #3
        bob: tools/list #1
            -> u1: tools/list #4
        u1#3: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
        u1#4: sampling/createMessage #"b"
            -> bob: sampling/createMessage #1
        u1#3: message level=info
            -> alice: message level=info
        u1#4: message level=info
            -> bob: message level=info
        u1: message level=info
            ! u1 dropped: unclear-log-message
        u1#4: notifications/later
            -> bob: notifications/later
        u1: result #3
            -> alice: result #1
        u1#3: sampling/createMessage #"c"
            -> u1: error #"c" -32603 owner-gone
        u1#3: message level=info
            ! u1 dropped: unclear-log-message
        alice: result #1 {"role":"assistant"}
            -> u1: result #"a" {"role":"assistant"}
    "#]]);
}

#[test]
fn a_tool_that_asks_on_its_own_stream_need_not_run_apart() {
    check(expect![[r#"
        u1 serves alice bob caps=elicitation
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #3
        u1#3: elicitation/create #"a"
            -> bob: elicitation/create #1
        u1#2: elicitation/create #"b"
            -> alice: elicitation/create #1
        alice: result #1
            -> u1: result #"b"
        bob: result #1
            -> u1: result #"a"
        u1: result #2
            -> alice: result #1
        u1: result #3
            -> bob: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #4
        bob: tools/call #2 tool=x
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn the_folders_are_those_of_whoever_called() {
    check(expect![[r#"
        alice opens scope=global workspace=/a
        alice: initialize #0 caps=roots
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=roots
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        bob opens scope=global workspace=/b
        bob: initialize #0 caps=roots
            -> bob: result #0 version=2025-11-25
        alice: tools/list #1
            -> u1: tools/list #2
        bob: tools/list #1
            -> u1: tools/list #3
        u1#3: roots/list #"r"
            -> u1: result #"r" {"roots":[{"uri":"file:///b","name":"b"}]}
        u1#2: roots/list #"s"
            -> u1: result #"s" {"roots":[{"uri":"file:///a","name":"a"}]}
        u1: roots/list #"t"
            -> u1: result #"t" {"roots":[]}
    "#]]);
}

#[test]
fn a_modern_client_is_answered_for_the_call_that_made_its_server_ask() {
    check(expect![[r#"
        u1 serves alice caps=elicitation
        mia opens era=legacy
        mia: tools/call #1 modern caps=elicitation tool=x
            -> u1: tools/call #2
        mia: tools/call #2 modern caps=elicitation tool=y
            -> u1: tools/call #3
        1 s pass
        u1#3: elicitation/create #"a"
            -> mia: result #2
        u1#2: elicitation/create #"b"
            -> mia: result #1
        u1#3: elicitation/create #"c"
        u1#9: elicitation/create #"d"
            -> u1: error #"d" -32603 owner-gone
    "#]]);
}

#[test]
fn where_the_modern_era_has_no_sessions_nobody_needs_one() {
    check(expect![[r#"
        alice opens scope=session modern-global posts
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> u1: tools/list #2 modern
        u1: result #2 {"tools":[],"resultType":"complete"}
            -> alice: result #1 {"tools":[],"resultType":"complete"}
            -> close alice
        bob opens scope=session modern-global
        bob: initialize #0
            -> start u2 for bob
        carol opens scope=session modern-global
        carol: tools/list #0 modern
            -> u1: tools/list #3 modern
        bob leaves
            -> stop u2
        carol leaves
            -> u1: cancelled #3
    "#]]);
}

#[test]
fn where_it_turns_out_that_there_are_sessions_who_has_none_is_turned_away() {
    check(expect![[r#"
        alice opens scope=session modern-global posts
        alice: tools/list #1 modern
            -> start u1 for alice
        bob opens scope=session modern-global posts
        bob: server/discover #1 modern
        carol opens scope=session modern-global
        carol: server/discover #1 modern
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> alice: error #1 -32603 needs-session
            -> close alice
            -> bob: error #1 -32601 no-such-method
            -> close bob
            -> start u2 for carol
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> found of u2: not=modern
            -> carol: result #1 versions=2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05
        dave opens scope=session modern-global posts
        dave: tools/list #1 modern
            -> dave: error #1 -32603 needs-session
            -> close dave
        carol leaves
            -> stop u2
    "#]]);
}

#[test]
fn what_a_client_can_be_asked_is_what_the_call_said_on_whose_stream_it_is() {
    check(expect![[r#"
        alice opens era=legacy
        alice: tools/call #1 modern tool=x caps=elicitation
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> u1: tools/call #2
        alice: tools/call #2 modern tool=x
            -> u1: tools/call #3
        u1#3: elicitation/create #"b"
            -> u1: error #"b" -32601 not-capable
        u1#2: elicitation/create #"a"
            -> alice: result #1
    "#]]);
}
