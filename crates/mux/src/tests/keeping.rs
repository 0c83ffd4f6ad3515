//! What a shim hears about the lines that it keeps.

use std::{fmt::Write, string::String};

use expect_test::expect;

use super::{check, play, reactions};

#[test]
fn a_line_that_goes_at_once_is_not_spoken_of() {
    check(expect![[r#"
        u1 serves alice keeps
        alice: initialized
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: done 2
            -> alice: result #1
    "#]]);
}

#[test]
fn a_line_that_waits_is_announced_before_it_goes_unless_it_may_be_repeated() {
    check(expect![[r#"
        alice comes keeps
            -> start u1 for alice
        alice: tools/list #1
            -> alice: held 2
        alice: tools/call #2 tool=x
            -> alice: held 3
        alice: resources/subscribe #3 uri=a:b
            -> alice: held 4
        alice: vendor/do #4
            -> alice: held 5
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25, kept
            -> u1: tools/list #2
            -> u1: resources/subscribe #3 uri=a:b
            -> alice: sent 5
            -> alice: sent 3
            -> u1: vendor/do #4
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn nothing_is_sent_before_its_announcement_has_left() {
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
        alice: tools/call #3 tool=x
            -> u1: tools/call #4
        alice: cancelled #1
        alice hears
            -> u1: tools/call #3
    "#]]);
}

#[test]
fn lines_without_an_answer_are_done_with_the_next_answer() {
    check(expect![[r#"
        u1 serves alice keeps caps=sampling
        alice: initialized
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates x
        alice: result #1
            -> u1: result #1
        alice: progress token=1
        u1: result #2
            -> alice: done 2 4 5
            -> alice: result #1
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        alice: cancelled #2
            -> u1: cancelled #3
        alice: ping #3
            -> alice: done 6 7
            -> alice: result #3
    "#]]);
}

#[test]
fn many_lines_without_an_answer_are_done_without_one() {
    let mut script = String::from("u1 serves alice keeps\n");
    for _ in 0..64 {
        writeln!(script, "alice: initialized").unwrap();
    }
    let played = play(&script);
    let reactions = reactions(&played);
    assert_eq!(reactions.len(), 1, "{reactions:?}");
    assert!(reactions[0].starts_with("-> alice: done 2 3 4 "));
    assert!(reactions[0].ends_with(" 64 65"));
}

#[test]
fn who_leaves_with_much_in_flight_hears_nothing_more() {
    let mut script = String::from("u1 serves alice keeps\n");
    for id in 1..=64 {
        writeln!(script, "alice: tools/call #{id} tool=x").unwrap();
    }
    script += "alice leaves\n";
    let played = play(&script);
    let to_alice = reactions(&played)
        .iter()
        .filter(|line| line.contains("alice"))
        .count();
    assert_eq!(to_alice, 0);
}

#[test]
fn who_cancels_and_ends_its_input_hears_that_nothing_is_left_to_answer() {
    check(expect![[r#"
        u1 serves alice keeps
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        alice: cancelled #1
            -> u1: cancelled #2
        alice ends
            -> alice: done 2 3
            -> close alice
    "#]]);
}
