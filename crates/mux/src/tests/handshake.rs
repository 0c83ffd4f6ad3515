//! The handshake: one with the server, one with each session.

use expect_test::expect;

use super::check;

#[test]
fn the_server_is_greeted_once_and_all_who_came_meanwhile_are_answered() {
    check(expect![[r#"
        alice opens
        bob opens
        alice: initialize #0 version=2025-11-25
            -> start u1 for alice
        bob: initialize #"a" version=2025-06-18
        u1 starts
            -> u1: initialize #1
        carol comes version=2024-11-05
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> bob: result #"a" version=2025-06-18
            -> carol: result #0 version=2024-11-05
        alice: initialized
        bob: initialized
        dave comes
            -> dave: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn the_servers_own_words_reach_every_session() {
    check(expect![[r#"
        alice comes version=2025-06-18
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"result":{ "capabilities":{"tools":{"x":1e400}},"protocolVersion" : "2025-11-25", "serverInfo":{"name":"s","version":"1"},"future":[1.0],"instructions":"é\n"}}
            -> u1: raw {"jsonrpc":"2.0","method":"notifications/initialized"}
            -> alice: raw {"jsonrpc":"2.0","id":0,"result":{ "capabilities":{"tools":{"x":1e400}},"protocolVersion" : "2025-06-18", "serverInfo":{"name":"s","version":"1"},"future":[1.0],"instructions":"é\n"}}
        bob opens
        bob: raw {"jsonrpc":"2.0","id":"one","method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"b","version":"0"}}}
            -> bob: raw {"jsonrpc":"2.0","id":"one","result":{ "capabilities":{"tools":{"x":1e400}},"protocolVersion" : "2024-11-05", "serverInfo":{"name":"s","version":"1"},"future":[1.0],"instructions":"é\n"}}
    "#]]);
}

#[test]
fn we_greet_in_our_own_name_with_the_class_of_the_sessions() {
    check(expect![[r#"
        alice comes caps=roots+sampling+elicitation
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=roots+sampling+elicitation.form
        u1: raw {"jsonrpc":"2.0","id":"ready?","method":"ping"}
            -> u1: raw {"jsonrpc":"2.0","id":"ready?","result":{}}
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        alice leaves
    "#]]);
}

#[test]
fn what_is_sent_before_the_handshake_goes_after_it_and_calls_last() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        alice: initialized
        alice: tools/list #1
        alice: tools/call #2 tool=x
        alice: vendor/told
        alice: resources/list #3
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> u1: tools/list #2
            -> u1: resources/list #3
            -> u1: tools/call #4
            -> u1: vendor/told
    "#]]);
}

#[test]
fn ping_and_discover_are_answered_at_once_and_the_rest_needs_a_handshake() {
    check(expect![[r#"
        alice opens
        alice: ping #"p"
            -> alice: result #"p"
        alice: server/discover #"server-discover-probe-1"
            -> alice: error #"server-discover-probe-1" -32601 no-such-method
        alice: tools/list #1
            -> alice: error #1 -32600 not-initialized
        alice: vendor/told
        alice: cancelled #1
        alice: initialize #0
            -> start u1 for alice
        alice: ping #2
            -> alice: result #2
        alice: server/discover #3
            -> alice: error #3 -32601 no-such-method
        u1 starts
            -> u1: initialize #1
        u1: ping #"x"
            -> u1: result #"x"
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        u1: ping #7
            -> u1: result #7
    "#]]);
}

#[test]
fn a_second_initialize_is_answered_from_memory_and_another_class_is_refused() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        alice: initialize #0
            -> alice: error #0 -32600 id-in-use
        alice: initialize #1
            -> alice: error #1 -32600 already-initialized
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        alice: initialize #2 version=2025-03-26
            -> alice: result #2 version=2025-03-26
        alice: initialize #3 caps=sampling
            -> alice: error #3 -32600 already-initialized
    "#]]);
}

#[test]
fn a_server_that_speaks_before_its_handshake_is_not_listened_to() {
    check(expect![[r#"
        alice comes caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: tools/list_changed
            ! u1 dropped: before-handshake
        u1: message level=info
            ! u1 dropped: before-handshake
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-unclear
        u1: roots/list #2
            -> u1: error #2 -32603 owner-unclear
        u1: raw banner of a package manager
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn a_session_that_cannot_be_served_hears_why_and_can_still_ping() {
    check(expect![[r#"
        show words
        alice opens refused=ecko
        alice: server/discover #1
            -> alice: error #1 -32601 no-such-method "method not found: server/discover"
        alice: initialize #0
            -> alice: error #0 -32603 no-such-server "no server named `ecko` is configured; `mcpool list` shows those that are, `mcpool add` adds one"
        alice: tools/list #2
            -> alice: error #2 -32603 no-such-server "no server named `ecko` is configured; `mcpool list` shows those that are, `mcpool add` adds one"
        alice: ping #3
            -> alice: result #3
    "#]]);
}

#[test]
fn a_server_that_is_stopped_before_it_was_greeted_reaches_nobody() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2 caps=sampling
        admin restarts echo
            -> stop u1
        u1: message level=error
            ! u1 dropped: before-handshake
        u1: tools/list_changed
            ! u1 dropped: before-handshake
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-unclear
        u1: ping #2
            -> u1: result #2
        u1 exits code 0
            -> start u1 for alice
    "#]]);
}
