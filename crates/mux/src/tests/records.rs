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
            -> u1: logging/setLevel #2 level=warning
        u1: result #2
            -> alice: result #1
            -> record u1 greeted=2025-11-25 sessions=alice,bob level=warning
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: sampling/createMessage #"a"
            -> alice: sampling/createMessage #1
            -> record u1 greeted=2025-11-25 sessions=alice,bob asks="a" level=warning
            ! u1 separates x
        alice: result #1
            -> u1: result #"a"
            -> record u1 greeted=2025-11-25 sessions=alice,bob level=warning
        u1: ping #5
            -> u1: result #5
        u1: result #3
            -> alice: result #2
        bob leaves
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
