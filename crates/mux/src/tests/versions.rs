//! Versions: each session in the one that it asked for, or in the server's older one.

use expect_test::expect;

use super::check;

#[test]
fn a_new_server_answers_each_session_in_its_own_version() {
    check(expect![[r#"
        alice comes version=2024-11-05
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets speaks=2025-11-25
            -> u1: initialized
            -> alice: result #0 version=2024-11-05
        bob comes version=2025-03-26
            -> bob: result #0 version=2025-03-26
        carol comes version=2025-06-18
            -> carol: result #0 version=2025-06-18
        dave comes version=2025-11-25
            -> dave: result #0 version=2025-11-25
        erin comes version=2024-10-07
            -> erin: result #0 version=2024-10-07
        frank comes version=2026-07-28
            -> frank: result #0 version=2025-11-25
        grace comes version=tomorrow
            -> grace: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn an_old_server_answers_nobody_in_a_newer_version_than_its_own() {
    check(expect![[r#"
        alice comes version=2025-11-25
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets speaks=2025-03-26
            -> u1: initialized
            -> alice: result #0 version=2025-03-26
        bob comes version=2024-11-05
            -> bob: result #0 version=2024-11-05
        carol comes version=2025-06-18
            -> carol: result #0 version=2025-03-26
    "#]]);
}
