//! What the guardian is left with of each process, and what the next daemon makes of it.

use expect_test::expect;

use super::check;

#[test]
fn the_guardian_is_left_with_what_the_next_daemon_must_know() {
    check(expect![[r#"
        show records
        alice comes caps=sampling
            -> start u1 for alice
            -> record u1
        u1 starts
            -> u1: initialize #1 caps=sampling
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> record u1 greeted=2025-11-25 sessions=alice
        bob comes caps=sampling
            -> bob: result #0 version=2025-11-25
            -> record u1 greeted=2025-11-25 sessions=alice,bob
        alice: logging/setLevel #1 level=warning
            -> u1: logging/setLevel #2 level=info
            -> alice: result #1
            -> record u1 greeted=2025-11-25 sessions=alice,bob level=info
        u1: result #2
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
            -> record u1 greeted=2025-11-25 sessions=alice,bob asks="a" level=info
            ! u1 separates x
        alice: result #1
            -> u1: result #"a"
            -> record u1 greeted=2025-11-25 sessions=alice,bob level=info
        u1: ping #5
            -> u1: result #5
        u1: result #3
            -> alice: result #2
        bob leaves
            -> u1: logging/setLevel #4 level=warning
            -> record u1 greeted=2025-11-25 sessions=alice level=warning
        alice leaves
            -> record u1 greeted=2025-11-25 level=warning
        600 s pass
            after 600 s
            -> stop u1
            -> record u1 level=warning
        u1 exits code 0
    "#]]);
}

#[test]
fn plain_calls_change_no_record() {
    check(expect![[r#"
        u1 serves alice bob
        show records
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: tools/list #1
            -> u1: tools/list #3
        u1: result #2
            -> alice: result #1
        u1: result #3
            -> bob: result #1
        bob: ping #2
            -> bob: result #2
    "#]]);
}

#[test]
fn whose_cancelled_calls_may_be_at_work_is_recorded() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        show records
        bob: tools/call #1 tool=x
            -> u1: tools/call #2
        bob: cancelled #1
            -> u1: cancelled #2
            -> record u1 greeted=2025-11-25 sessions=alice,bob ghosts=bob
        bob leaves
            -> record u1 greeted=2025-11-25 sessions=alice ghosts=bob
        alice: tools/call #1 tool=y
        alice leaves
            -> record u1 greeted=2025-11-25 ghosts=bob
    "#]]);
}

#[test]
fn a_process_that_was_greeted_goes_on_and_is_not_greeted_again() {
    check(expect![[r#"
        u1 serves alice bob
        alice: logging/setLevel #1 level=warning
            -> u1: logging/setLevel #2 level=info
            -> alice: result #1
        u1: result #2
        show records
        the daemon dies
            -> record u1 greeted=2025-11-25 sessions=alice,bob level=info
        alice comes back
        alice: replays kept initialize #0
        alice: replays kept logging/setLevel #1 level=warning
            -> u1: logging/setLevel #4294967297 level=warning
            -> record u1 greeted=2025-11-25 sessions=alice,bob level=warning
        alice is replayed
            ! 2 replayed, 0 refused
        carol comes
            -> carol: result #0 version=2025-11-25
            -> u1: logging/setLevel #4294967298 level=info
            -> record u1 greeted=2025-11-25 sessions=alice,bob,carol level=info
        carol: tools/call #1 tool=x
            -> u1: tools/call #4294967299
        u1: result #4294967297
    "#]]);
}

#[test]
fn a_process_that_was_not_greeted_is_stopped_before_another_is_started() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        the daemon dies
            -> stop u1
        alice comes back
        alice: replays sent initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        bob comes
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4294967297
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> bob: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn a_process_that_was_being_stopped_is_stopped() {
    check(expect![[r#"
        u1 serves alice idle=0
        alice leaves
            -> stop u1
        the daemon dies
            -> stop u1
        bob comes
        u1 exits code 0
            -> start u1 for bob
    "#]]);
}

#[test]
fn what_a_server_asked_is_answered_for_those_who_cannot() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
            ! u1 separates x
        bob: tools/call #1 tool=y
        alice: result #1
            -> u1: result #"a"
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #3
        alice: tools/call #2 tool=z
        1 s pass
            after 1 s
            -> u1: tools/call #4
        u1: sampling/createMessage #7
        the daemon dies
            -> u1: error #7 -32603 owner-gone
    "#]]);
}

#[test]
fn a_server_that_was_taken_over_waits_for_its_sessions() {
    check(expect![[r#"
        u1 serves alice bob idle=0
        the daemon dies
        29 s pass
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        alice leaves
        1 s pass
            after 1 s
            -> stop u1
        u1 exits code 0
    "#]]);
}

#[test]
fn a_server_that_nobody_comes_back_to_is_stopped() {
    check(expect![[r#"
        u1 serves alice scope=session
        the daemon dies
        30 s pass
            after 30 s
            -> stop u1
        u1 exits code 0
    "#]]);
}

#[test]
fn a_process_of_one_session_waits_for_nobody_else() {
    check(expect![[r#"
        u1 serves alice scope=session
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        alice leaves
            -> stop u1
        u1 exits code 0
    "#]]);
}

#[test]
fn a_process_that_cannot_be_shared_is_not_shared_by_the_next_daemon() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+tasks
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            ! u1 is private
        the daemon dies
        bob comes
            -> start u4294967297 for bob
        carol comes
            -> start u4294967298 for carol
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
    "#]]);
}

#[test]
fn a_record_that_cannot_be_read_is_no_process_to_keep() {
    check(expect![[r#"
        u7 is inherited {"format":2}
            -> stop u7
            ! u7 cannot be taken over: its format is not known here
        u7: result #1
        u8 is inherited {"format":1,"server":"echo","route":"6563686f20202f77","scope":"workspace"}
            -> stop u8
        u9 is inherited {"format":1,"server":"echo","route":"6563686f20202f77","scope":"workspace"}
            -> stop u9
            ! u9 cannot be taken over: another process has the same share key
        u7 exits code 0
        alice comes
        u8 exits code 0
            -> start u8 for alice
        u9 exits code 0
    "#]]);
}

#[test]
fn no_daemon_gives_out_the_ids_of_another() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        the daemon dies
            -> u1: error #1 -32603 owner-gone
        alice comes back
        alice: replays kept initialize #0 caps=sampling
        alice: result #1
            ! u1 dropped: unknown-response
        u1: result #2
            ! u1 dropped: unknown-response
        u1: progress token=2
            ! u1 dropped: unknown-progress
        alice: tools/call #2 tool=x token="t"
            -> u1: tools/call #4294967297 token=4294967297
        u1: progress token=4294967297
            -> alice: progress token="t"
        u1: sampling/createMessage #2
            -> alice: sampling/createMessage #4294967297
            ! u1 separates x
        bob comes route=other
            -> start u4294967297 for bob
        the daemon dies
            -> u1: error #2 -32603 owner-gone
            -> stop u4294967297
        carol comes route=third
            -> start u8589934593 for carol
        carol leaves
        u8589934593 start fails because it does
    "#]]);
}

#[test]
fn sessions_that_came_back_before_their_server_do_not_share_what_cannot_be_shared() {
    check(expect![[r#"
        alice opens keeps
        bob opens keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
            -> start u4294967297 for alice
        alice is replayed
            ! 1 replayed, 0 refused
        bob comes back
        bob: replays kept initialize #0
        bob: replays kept resources/subscribe #1 uri=a:b
        bob: replays kept logging/setLevel #2 level=info
        bob: tools/call #3 tool=x
            -> bob: held 4
        bob is replayed
            ! 3 replayed, 0 refused
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets declares=tools+tasks+logging
            -> u4294967297: initialized
            -> start u4294967298 for bob
            -> alice: message level=warning
            ! u4294967297 is private
            ! u4294967297 has forgotten 1
        u4294967298 starts
            -> u4294967298: initialize #4294967297
        u4294967298: greets declares=tools+tasks+logging
            -> u4294967298: initialized
            -> u4294967298: resources/subscribe #4294967298 uri=a:b
            -> u4294967298: logging/setLevel #4294967299 level=info
            -> bob: message level=warning
            -> bob: sent 4
            ! u4294967298 has forgotten 1
            -> u4294967298: tools/call #4294967300
    "#]]);
}

#[test]
fn nobody_is_greeted_anew_before_its_server_is() {
    check(expect![[r#"
        alice opens keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
            -> start u4294967297 for alice
        alice: replays sent initialize #1
            -> alice: error #1 -32600 already-initialized
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets
            -> u4294967297: initialized
            -> alice: message level=warning
            ! u4294967297 has forgotten 1
        alice: initialize #2
            -> alice: result #2 version=2025-11-25, kept
            -> alice: done 1
    "#]]);
}

#[test]
fn of_sessions_of_one_request_it_is_recorded_that_there_are_some() {
    check(expect![[r#"
        show records
        alice opens scope=global
        alice: initialize #0 version=2025-11-25
            -> start u1 for alice
            -> record u1
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> record u1 greeted=2025-11-25 sessions=alice
        bob opens posts scope=global era=legacy
        bob: tools/call #1 tool=x modern
            -> u1: tools/call #2
            -> record u1 greeted=2025-11-25 sessions=s0,alice
        u1: result #2
            -> bob: result #1
            -> close bob
        bob leaves
        carol opens posts scope=global era=legacy
        carol: tools/call #1 tool=x modern
            -> u1: tools/call #3
        u1: result #3
            -> carol: result #1
            -> close carol
        carol leaves
        1 s pass
            after 1 s
            -> record u1 greeted=2025-11-25 sessions=alice
        dave opens posts scope=global era=legacy
        dave: tools/call #1 tool=x modern
            -> u1: tools/call #4
            -> record u1 greeted=2025-11-25 sessions=s0,alice
        the daemon dies
            -> record u1 greeted=2025-11-25 sessions=s0,alice
    "#]]);
}

#[test]
fn what_was_asked_for_a_list_keeps_nobody_from_being_asked_by_the_next_daemon() {
    check(expect![[r#"
        u1 serves alice caps=elicitation
        show records
        bob opens posts era=legacy
        bob: tools/list #1 modern caps=elicitation
            -> u1: tools/list #2
        the daemon dies
            -> record u1 greeted=2025-11-25 sessions=alice
        alice comes back
        alice: replays kept initialize #0 caps=elicitation
        alice is replayed
            ! 1 replayed, 0 refused
        alice: tools/call #1 tool=x
            -> u1: tools/call #4294967297
        carol comes caps=elicitation
            -> carol: result #0 version=2025-11-25
            -> record u1 greeted=2025-11-25 sessions=alice,carol
        u1: elicitation/create #1
            -> alice: elicitation/create #4294967297
            -> record u1 greeted=2025-11-25 sessions=alice,carol asks=1
            ! u1 separates x
    "#]]);
}

#[test]
fn that_a_server_speaks_in_one_era_alone_is_known_to_the_next_daemon() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets
            -> found of u2: not=legacy
            -> alice: result #0 version=2025-11-25
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        bob comes
            -> bob: result #0 version=2025-11-25
        the daemon dies
        carol comes
            -> carol: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn a_server_that_may_speak_in_both_eras_is_asked_by_the_next_daemon_too() {
    check(expect![[r#"
        alice opens
        alice: tools/call #1 modern tool=t
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> u1: tools/call #2 modern
        the daemon dies
        bob comes
            -> start u4294967297 for bob
    "#]]);
}

#[test]
fn who_comes_back_hears_what_has_changed_meanwhile_of_what_it_was_promised_to_hear_of() {
    check(expect![[r#"
        u1 serves alice bob
        alice: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2
            -> alice: result #1
        the daemon dies
        u1: resources/updated uri=a:1
            ! u1 dropped: no-subscriber
        u1: resources/updated uri=a:1/part
            ! u1 dropped: no-subscriber
        u1: resources/updated uri=a:2
            ! u1 dropped: no-subscriber
        alice comes back
        alice: replays kept initialize #0
        alice: replays kept resources/subscribe #1 uri=a:1
            -> alice: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1/part
            -> u1: resources/subscribe #4294967297 uri=a:1
        alice is replayed
            ! 2 replayed, 0 refused
        bob comes back
        bob: replays kept initialize #0
        bob is replayed
            ! 1 replayed, 0 refused
        bob: resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #4294967298 uri=a:1
        u1: resources/updated uri=a:1
            -> alice: resources/updated uri=a:1
            -> bob: resources/updated uri=a:1
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays kept resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #8589934593 uri=a:1
    "#]]);
}

#[test]
fn a_wish_that_is_said_once_more_hears_what_has_changed_meanwhile_and_a_new_one_does_not() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern changes=tools watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools.listChanged+resources.subscribe
            -> u1: subscriptions/listen #2 modern {"toolsListChanged":true}
        u1: subscriptions/acknowledged #2 changes=tools
            -> u1: subscriptions/listen #3 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #3 changes=tools watches=a:1
            -> u1: cancelled #2
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        the daemon dies
        u1: tools/list_changed
        u1: resources/updated uri=a:1/part
            ! u1 dropped: no-subscriber
        alice comes back
        alice: replays sent subscriptions/listen #1 modern changes=tools watches=a:1
            -> u1: subscriptions/listen #4294967297 modern {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
        alice is replayed
            ! 1 replayed, 0 refused
        bob opens
        bob: subscriptions/listen #1 modern changes=tools watches=a:1
        u1: subscriptions/acknowledged #4294967297 changes=tools watches=a:1
            -> u1: cancelled #3
            -> alice: subscriptions/acknowledged of #1 {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
            -> alice: tools/list_changed of #1
            -> alice: resources/updated of #1 uri=a:1/part
            -> bob: subscriptions/acknowledged of #1 {"toolsListChanged":true,"resourceSubscriptions":["a:1"]}
    "#]]);
}

#[test]
fn that_a_server_speaks_in_one_era_alone_is_known_for_as_long_as_its_process_lives() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: raw {"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets
            -> found of u2: not=legacy
            -> alice: result #0 version=2025-11-25
        90000 s pass
        bob comes
            -> bob: result #0 version=2025-11-25
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
    "#]]);
}
