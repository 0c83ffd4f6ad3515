//! What becomes of what clients said to a daemon that died.

use expect_test::expect;

use super::check;

#[test]
fn a_session_goes_on_at_the_next_daemon_without_a_word() {
    check(expect![[r#"
        u1 serves alice keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0 version=2025-06-18
        alice is replayed
            ! 1 replayed, 0 refused
        alice: tools/call #1 tool=x
            -> u1: tools/call #4294967297
        u1: result #4294967297
            -> alice: result #1
    "#]]);
}

#[test]
fn what_only_reads_is_done_again_once_and_what_does_something_never() {
    check(expect![[r#"
        u1 serves alice keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays sent tools/list #1
            -> u1: tools/list #4294967297
        alice: replays sent resources/read #2 uri=a:b
            -> u1: resources/read #4294967298 uri=a:b
        alice: replays sent ping #3
            -> alice: result #3
        alice: replays sent server/discover #4
            -> alice: error #4 -32601 no-such-method
        alice: replays sent tools/call #5 tool=x
            -> alice: error #5 -32603 daemon-restarted maybe-executed
        alice: replays sent vendor/do #6
            -> alice: error #6 -32603 daemon-restarted maybe-executed
        alice: replays repeated prompts/get #7 prompt=p
            -> alice: error #7 -32603 daemon-restarted not-executed
        alice: replays repeated ping #8
            -> alice: result #8
        alice: replays repeated tools/call #9 tool=x
            -> alice: error #9 -32603 daemon-restarted maybe-executed
        alice: tools/call #10 tool=x
            -> u1: tools/call #4294967299
        alice is replayed
            ! 10 replayed, 4 refused
        u1: result #4294967297
            -> alice: result #1
        u1: result #4294967298
            -> alice: result #2
        alice: cancelled #5
        u1: result #4294967299
            -> alice: done 13
            -> alice: result #10
    "#]]);
}

#[test]
fn a_request_that_was_done_again_is_not_done_for_the_process_after_the_next() {
    check(expect![[r#"
        u1 serves alice keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays sent tools/list #1
            -> u1: tools/list #4294967297
        alice is replayed
            ! 2 replayed, 0 refused
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited not-executed
        1 s pass
            after 77 ms
            -> start u1 for alice
    "#]]);
}

#[test]
fn wishes_are_wished_again() {
    check(expect![[r#"
        u1 serves alice keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays kept resources/subscribe #1 uri=a:1
            -> u1: resources/subscribe #4294967297 uri=a:1
        alice: replays kept logging/setLevel #2 level=error
            -> u1: logging/setLevel #4294967298 level=error
        alice: replays sent resources/subscribe #3 uri=a:2
            -> u1: resources/subscribe #4294967299 uri=a:2
        alice: replays repeated resources/unsubscribe #4 uri=a:1
            -> alice: done 3
            -> u1: resources/unsubscribe #4294967300 uri=a:1
        alice: replays sent logging/setLevel #5 level=debug
            -> u1: logging/setLevel #4294967301 level=debug
        alice is replayed
            ! 6 replayed, 0 refused
        u1: result #4294967297
        u1: result #4294967298
        u1: result #4294967299
            -> alice: result #3, kept
        u1: result #4294967300
            -> alice: result #4
        u1: result #4294967301
            -> alice: result #5, kept
            -> alice: done 4
        u1: resources/updated uri=a:1
            ! u1 dropped: no-subscriber
        u1: resources/updated uri=a:2
            -> alice: resources/updated uri=a:2
    "#]]);
}

#[test]
fn what_was_told_or_answered_is_done_without_effect() {
    check(expect![[r#"
        u1 serves alice keeps caps=sampling
        the daemon dies
        alice comes back
        alice: replays kept initialize #0 caps=sampling
        alice: replays sent initialized
        alice: replays sent progress token=1
        alice: replays sent vendor/told
        alice: replays sent result #1
        alice: replays sent tools/list #2
            -> u1: tools/list #4294967297
        alice: replays sent cancelled #2
            -> u1: cancelled #4294967297
        alice: replays sent cancelled #9
        alice: ping #3
            -> alice: done 3 4 5 6 7 8 9
            -> alice: result #3
    "#]]);
}

#[test]
fn each_message_of_a_batch_is_replayed_by_the_rules() {
    check(expect![[r#"
        u1 serves alice keeps version=2025-03-26
        the daemon dies
        alice comes back
        alice: replays kept initialize #0 version=2025-03-26
        alice: replays sent raw [{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}},{"jsonrpc":"2.0","method":"notifications/initialized"},{"jsonrpc":"2.0","id":2,"method":"tools/list"},{"jsonrpc":"2.0","id":3,"method":"ping"}]
            -> u1: tools/list #4294967297
        u1: result #4294967297
            -> alice: [error #1 -32603 daemon-restarted maybe-executed, result #3, result #2]
        alice is replayed
            ! 2 replayed, 1 refused
    "#]]);
}

#[test]
fn who_comes_back_before_its_server_waits_for_that_and_hears_of_its_lists() {
    check(expect![[r#"
        u1 serves alice keeps declares=tools.listChanged
        u1 exits code 1
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
            -> start u4294967297 for alice
        alice: replays kept resources/subscribe #1 uri=a:b
        alice: replays sent tools/list #2
        alice: tools/call #3 tool=x
            -> alice: held 5
        alice is replayed
            ! 3 replayed, 0 refused
        u4294967297 starts
            -> u4294967297: initialize #4294967297
        u4294967297: greets declares=tools.listChanged+resources
            -> u4294967297: initialized
            -> u4294967297: resources/subscribe #4294967298 uri=a:b
            -> alice: tools/list_changed
            -> u4294967297: tools/list #4294967299
            -> alice: sent 5
            ! u4294967297 has forgotten 1
            -> u4294967297: tools/call #4294967300
        bob comes keeps
            -> bob: result #0 version=2025-11-25, kept
    "#]]);
}

#[test]
fn who_comes_back_late_hears_of_what_has_changed_meanwhile() {
    check(expect![[r#"
        u1 serves alice declares=tools.listChanged+prompts.listChanged
        the daemon dies
        u1: tools/list_changed
        alice comes back
        alice: replays kept initialize #0
            -> alice: tools/list_changed
        alice is replayed
            ! 1 replayed, 0 refused
    "#]]);
}

#[test]
fn who_comes_back_twice_is_one_session() {
    check(expect![[r#"
        u1 serves alice keeps
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice comes back
            -> u1: cancelled #2
        alice: replays kept initialize #0
        alice: replays sent tools/call #1 tool=x
            -> alice: error #1 -32603 daemon-restarted maybe-executed
        alice is replayed
            ! 2 replayed, 1 refused
    "#]]);
}

#[test]
fn who_can_no_longer_be_served_is_told_so_when_it_asks() {
    check(expect![[r#"
        alice opens refused=echo
        alice comes back
        alice: replays kept initialize #0
        alice: replays sent tools/call #1 tool=x
            -> alice: error #1 -32603 daemon-restarted maybe-executed
        alice: tools/list #2
            -> alice: error #2 -32603 no-such-server
        alice is replayed
            ! 2 replayed, 1 refused
    "#]]);
}

#[test]
fn the_same_id_again_is_refused_in_a_replay_too() {
    check(expect![[r#"
        u1 serves alice keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays sent tools/list #1
            -> u1: tools/list #4294967297
        alice: replays sent tools/call #1 tool=x
            -> alice: error #1 -32600 id-in-use
        alice is replayed
            ! 3 replayed, 0 refused
        u1: result #4294967297
            -> alice: done 4
            -> alice: result #1
    "#]]);
}

#[test]
fn what_the_last_daemons_call_makes_a_server_ask_reaches_nobody_else() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        1 s pass
        the daemon dies
        bob comes back
        bob: replays kept initialize #0 caps=sampling
        bob is replayed
            ! 1 replayed, 0 refused
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-gone
        u1: message
            ! u1 dropped: unclear-log-message
        u1: vendor/tells
            ! u1 dropped: unknown-notification
        bob: tools/call #1 tool=y
            -> u1: tools/call #4294967297
        u1: sampling/createMessage #2
        alice comes back
        alice: replays kept initialize #0 caps=sampling
        alice: replays sent tools/call #1 tool=x
            -> alice: error #1 -32603 daemon-restarted maybe-executed
        alice is replayed
            ! 2 replayed, 1 refused
        10 s pass
            after 10 s
            -> u1: error #2 -32603 owner-unclear
            ! u1 separates y
        u1: result #4294967297
            -> bob: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #4294967298
        u1: sampling/createMessage #3
            -> alice: sampling/createMessage #4294967297
            ! u1 separates x
        590 s pass
            after 30 s
            -> u1: ping #4294967299
            after 60 s
            -> u1: ping #4294967300
            after 90 s
            -> u1: ping #4294967301
            after 95 s
            ! u1 is unresponsive, quiet for 95 s
    "#]]);
}

#[test]
fn who_comes_back_and_had_no_call_is_suspected_no_longer() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        the daemon dies
        bob comes back
        bob: replays kept initialize #0 caps=sampling
        bob is replayed
            ! 1 replayed, 0 refused
        bob: tools/call #1 tool=x
            -> u1: tools/call #4294967297
        u1: sampling/createMessage #1
        alice comes back
        alice: replays kept initialize #0 caps=sampling
        alice is replayed
            -> bob: sampling/createMessage #4294967297
            ! 1 replayed, 0 refused
            ! u1 separates x
        bob: result #4294967297
            -> u1: result #1
    "#]]);
}

#[test]
fn who_never_comes_back_is_suspected_for_as_long_as_calls_may_take() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        the daemon dies
        alice comes back
        alice: replays kept initialize #0 caps=sampling
        alice is replayed
            ! 1 replayed, 0 refused
        599 s pass
        u1: sampling/createMessage #1
            -> u1: error #1 -32603 owner-gone
        1 s pass
        u1: sampling/createMessage #2
            -> alice: sampling/createMessage #4294967297
    "#]]);
}

#[test]
fn a_cancelled_call_is_suspected_by_the_next_daemon_too() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: cancelled #1
            -> u1: cancelled #2
        the daemon dies
        alice comes back
        alice: replays kept initialize #0 caps=sampling
        alice is replayed
            ! 1 replayed, 0 refused
        bob comes back
        bob: replays kept initialize #0 caps=sampling
        bob is replayed
            ! 1 replayed, 0 refused
        1 s pass
        bob: tools/call #1 tool=x
            -> u1: tools/call #4294967297
        u1: sampling/createMessage #1
        10 s pass
            after 10 s
            -> u1: error #1 -32603 owner-unclear
            ! u1 separates x
        20 s pass
            after 20 s
            -> u1: ping #4294967298
        u1: sampling/createMessage #2
            -> bob: sampling/createMessage #4294967297
    "#]]);
}

#[test]
fn lines_whose_effect_lasts_stay_until_others_take_their_place() {
    check(expect![[r#"
        u1 serves alice keeps
        alice: logging/setLevel #1 level=warning
            -> u1: logging/setLevel #2 level=warning
        u1: result #2
            -> alice: result #1, kept
        alice: logging/setLevel #2 level=info
            -> u1: logging/setLevel #3 level=info
        u1: result #3
            -> alice: result #2, kept
            -> alice: done 2
        alice: resources/subscribe #3 uri=a:b
            -> u1: resources/subscribe #4 uri=a:b
        u1: result #4
            -> alice: result #3, kept
        alice: resources/subscribe #4 uri=a:b
            -> alice: result #4, kept
            -> alice: done 4
        alice: resources/unsubscribe #5 uri=a:b
            -> alice: done 5
            -> u1: resources/unsubscribe #5 uri=a:b
        u1: result #5
            -> alice: result #5
        alice: initialize #6
            -> alice: result #6 version=2025-11-25, kept
            -> alice: done 1
        alice: resources/subscribe #7 uri=a:c
            -> u1: resources/subscribe #6 uri=a:c
        u1: error #6
            -> alice: error #7 -1
        alice: resources/subscribe #8 uri=a:d
            -> u1: resources/subscribe #7 uri=a:d
        alice: resources/unsubscribe #9 uri=a:d
            -> u1: resources/unsubscribe #8 uri=a:d
        u1: result #7
            -> alice: result #8
        u1: result #8
            -> alice: result #9
        bob comes
            -> bob: result #0 version=2025-11-25
        bob: logging/setLevel #1 level=info
            -> bob: result #1
    "#]]);
}

#[test]
fn a_recalled_line_goes_when_another_takes_its_place() {
    check(expect![[r#"
        u1 serves alice keeps
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice: replays kept resources/subscribe #1 uri=a:b
            -> u1: resources/subscribe #4294967297 uri=a:b
        u1: result #4294967297
        alice: replays kept logging/setLevel #2 level=info
            -> u1: logging/setLevel #4294967298 level=info
        u1: result #4294967298
        alice is replayed
            ! 3 replayed, 0 refused
        alice: resources/unsubscribe #3 uri=a:b
            -> alice: done 3
            -> u1: resources/unsubscribe #4294967299 uri=a:b
        alice: logging/setLevel #4 level=info
            -> alice: result #4, kept
            -> alice: done 4
        alice: initialize #5
            -> alice: result #5 version=2025-11-25, kept
            -> alice: done 2
    "#]]);
}

#[test]
fn nobody_waits_for_the_end_of_what_an_earlier_daemon_had() {
    check(expect![[r#"
        u1 serves alice bob caps=sampling
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        the daemon dies
        bob comes back
        bob: replays kept initialize #0 caps=sampling
        bob is replayed
            ! 1 replayed, 0 refused
        bob: tools/call #1 tool=y
            -> u1: tools/call #4294967297
        1 s pass
        bob: tools/call #2 tool=y
            -> u1: tools/call #4294967298
    "#]]);
}

#[test]
fn what_changes_until_a_wish_is_acknowledged_again_is_told_behind_that() {
    check(expect![[r#"
        u1 serves alice declares=resources.subscribe
        bob opens era=legacy keeps
        bob: subscriptions/listen #1 modern watches=a:1
            -> u1: resources/subscribe #2 uri=a:1
        u1: result #2
            -> bob: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        the daemon dies
        alice comes back
        alice: replays kept initialize #0
        alice is replayed
            ! 1 replayed, 0 refused
        bob comes back
        bob: replays sent subscriptions/listen #1 modern watches=a:1
            -> u1: resources/subscribe #4294967297 uri=a:1
        bob is replayed
            ! 1 replayed, 0 refused
        u1: resources/updated uri=a:1
        u1: result #4294967297
            -> bob: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
            -> bob: resources/updated of #1 uri=a:1
    "#]]);
}
