//! A daemon that nobody needs.

use std::{string::String, time::Duration};

use expect_test::{Expect, expect};

use super::{script::Script, stage::Stage};
use crate::{IdleTimeout, Limits};

/// Plays with a daemon that is kept for half an hour.
#[track_caller]
fn check(transcript: &Expect) {
    let limits = Limits {
        daemon_idle_timeout: IdleTimeout::After(Duration::from_mins(30)),
        ..Limits::default()
    };
    let played: String = Stage::with_limits(limits).play(&Script::parse(transcript.data()));
    transcript.assert_eq(&played);
}

#[test]
fn a_daemon_without_sessions_and_servers_ends_after_its_time() {
    check(&expect![[r#"
        29 min pass
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        1 h pass
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        1 h pass
        u1 exits code 0
        29 min pass
        1 min pass
            after 60 s
            -> end the daemon
    "#]]);
}

#[test]
fn a_daemon_that_nobody_ever_came_to_ends_too() {
    check(&expect![[r#"
        30 min pass
            after 1800 s
            -> end the daemon
        shutdown
        1 h pass
    "#]]);
}

#[test]
fn a_server_that_is_kept_keeps_the_daemon() {
    check(&expect![[r#"
        u1 serves alice idle=never
        alice leaves
        300 h pass
    "#]]);
}

#[test]
fn a_session_without_a_server_keeps_the_daemon() {
    check(&expect![[r#"
        alice opens
        5 h pass
    "#]]);
}
