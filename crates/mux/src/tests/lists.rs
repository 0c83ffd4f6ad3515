//! Lists that change, and how often that is told.

use std::{fmt::Write, string::String};

use expect_test::expect;

use super::{check, play, reactions};

#[test]
fn the_first_change_is_told_at_once_and_the_last_of_many_after_a_window() {
    check(expect![[r#"
        u1 serves alice bob
        u1: tools/list_changed
            -> alice: tools/list_changed
            -> bob: tools/list_changed
        u1: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"n":2}}
        u1: raw {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"n":3}}
            ! u1 dropped: merged
        u1: prompts/list_changed
            -> alice: prompts/list_changed
            -> bob: prompts/list_changed
        10 s pass
            after 100 ms
            -> alice: tools/list_changed
            -> bob: tools/list_changed
        u1: tools/list_changed
            -> alice: tools/list_changed
            -> bob: tools/list_changed
        10 s pass
    "#]]);
}

#[test]
fn a_storm_is_told_ten_times_a_second() {
    let mut script = String::from("u1 serves alice\n");
    for _ in 0..1000 {
        writeln!(script, "u1: tools/list_changed\n1 ms pass").unwrap();
    }
    writeln!(script, "1 s pass").unwrap();
    let played = play(&script);
    let count = |line: &str| {
        reactions(&played)
            .iter()
            .filter(|told| **told == line)
            .count()
    };
    let told = count("-> alice: tools/list_changed");
    assert!((10..=11).contains(&told), "{told}");
    assert_eq!(told + count("! u1 dropped: merged"), 1000);
}

#[test]
fn who_comes_within_a_window_hears_of_its_end_and_who_has_left_does_not() {
    check(expect![[r#"
        u1 serves alice bob
        u1: tools/list_changed
            -> alice: tools/list_changed
            -> bob: tools/list_changed
        u1: tools/list_changed
        carol comes
            -> carol: result #0 version=2025-11-25
        bob leaves
        10 s pass
            after 100 ms
            -> alice: tools/list_changed
            -> carol: tools/list_changed
    "#]]);
}

#[test]
fn a_change_that_waits_outlives_the_process() {
    check(expect![[r#"
        u1 serves alice
        u1: tools/list_changed
            -> alice: tools/list_changed
        u1: tools/list_changed
        u1 exits code 1
        90 ms pass
            after 77 ms
            -> start u1 for alice
        10 ms pass
            after 10 ms
            -> alice: tools/list_changed
    "#]]);
}

#[test]
fn a_new_process_may_have_other_lists_which_those_hear_who_were_promised_to() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged+prompts.listChanged+resources.subscribe
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        u1 exits code 1
        bob comes
        1 s pass
            after 77 ms
            -> start u1 for bob
        u1 starts
            -> u1: initialize #2
        u1: greets declares=tools.listChanged+prompts.listChanged+resources.subscribe.listChanged
            -> u1: initialized
            -> alice: tools/list_changed
            -> alice: prompts/list_changed
            -> bob: result #0 version=2025-11-25
        u1: tools/list_changed
        u1: resources/list_changed
            -> alice: resources/list_changed
            -> bob: resources/list_changed
        1 s pass
            after 100 ms
            -> alice: tools/list_changed
            -> bob: tools/list_changed
    "#]]);
}

#[test]
fn a_change_that_comes_as_the_window_ends_takes_the_one_that_waits_with_it() {
    check(expect![[r#"
        u1 serves alice
        u1: tools/list_changed
            -> alice: tools/list_changed
        u1: tools/list_changed
        100 ms pass unnoticed
        u1: tools/list_changed
            -> alice: tools/list_changed
            ! u1 dropped: merged
        u1: tools/list_changed
        1 s pass
            after 100 ms
            -> alice: tools/list_changed
    "#]]);
}
