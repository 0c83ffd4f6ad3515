//! Servers whose standard output is not for messages alone.

use core::time::Duration;
use std::{fmt::Write, string::String};

use expect_test::{Expect, expect};

use super::{script::Script, stage::Stage};
use crate::Limits;

#[track_caller]
fn check(transcript: &Expect) {
    let mut stage = Stage::with_limits(Limits {
        noise_lines: 2,
        noise_window: Duration::from_secs(10),
        ..Limits::default()
    });
    let played = stage.play(&Script::parse(transcript.data()));
    stage.clear();
    transcript.assert_eq(&played);
}

#[test]
fn a_server_that_writes_too_much_nonsense_is_degraded_until_it_is_quiet_and_served_on() {
    check(&expect![[r#"
        u1 serves alice
        u1: raw Loading weights
        2 s pass
        u1: raw Loading more weights
        2 s pass
        u1: raw Still loading
            ! u1 is degraded
        alice: tools/list #1
            -> u1: tools/list #2
        u1: raw Now serving
        u1: result #2
            -> alice: result #1
        7 s pass
        3 s pass
            after 1 s
            ! u1 is sound again
    "#]]);
}

#[test]
fn a_new_process_is_not_degraded_by_what_the_last_one_wrote() {
    check(&expect![[r#"
        u1 serves alice
        u1: raw one
        u1: raw two
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1: greets
            -> u1: initialized
        u1: raw three
        u1: raw four
        u1: raw five
            ! u1 is degraded
    "#]]);
}

#[test]
fn however_much_is_written_it_is_told_once() {
    let mut stage = Stage::default();
    let mut script = String::from("u1 serves alice\n");
    for line in 0..10_000 {
        writeln!(script, "u1: raw line {line}").unwrap();
    }
    let played = stage.play(&Script::parse(&script));
    assert_eq!(played.matches("is degraded").count(), 1);
}
