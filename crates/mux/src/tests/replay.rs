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
