//! Devices: one call at a time, whichever session of whichever server makes it.

use expect_test::expect;

use super::check;

#[test]
fn calls_that_use_a_device_run_one_after_the_other() {
    check(expect![[r#"
        u1 serves alice bob device=speakers
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        bob: tools/call #1 tool=speak
        bob: tools/list #2
            -> u1: tools/list #3
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #4
        u1: result #4
            -> bob: result #1
    "#]]);
}

#[test]
fn sessions_take_turns_however_much_one_of_them_has_to_say() {
    check(expect![[r#"
        u1 serves alice bob carol device=speakers
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        alice: tools/call #2 tool=speak
        alice: tools/call #3 tool=speak
        bob: tools/call #1 tool=speak
        carol: tools/call #1 tool=speak
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #3
        u1: result #3
            -> alice: result #2
            -> u1: tools/call #4
        u1: result #4
            -> bob: result #1
            -> u1: tools/call #5
        u1: result #5
            -> carol: result #1
            -> u1: tools/call #6
        u1: result #6
            -> alice: result #3
    "#]]);
}

#[test]
fn servers_that_name_the_same_device_share_it() {
    check(expect![[r#"
        u1 serves alice device=speakers
        u2 serves bob server=music device=speakers
        u3 serves carol server=lamp device=light
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        bob: tools/call #1 tool=play
        carol: tools/call #1 tool=on
            -> u3: tools/call #2
        u1: result #2
            -> alice: result #1
            -> u2: tools/call #2
        u2: result #2
            -> bob: result #1
    "#]]);
}

#[test]
fn only_the_tools_that_are_named_use_it() {
    check(expect![[r#"
        u1 serves alice bob device=speakers device-tools=speak,play
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        bob: tools/call #1 tool=list
            -> u1: tools/call #3
        bob: prompts/get #2 name=speak
            -> u1: prompts/get #4
        bob: tools/call #3 tool=play
        u1: result #2
            -> alice: result #1
            -> u1: tools/call #5
    "#]]);
}

#[test]
fn a_device_is_free_when_nobody_waits_for_the_call_any_more() {
    check(expect![[r#"
        u1 serves alice bob carol dave device=speakers
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        bob: tools/call #1 tool=speak
        carol: tools/call #1 tool=speak
        dave: tools/call #1 tool=speak
        alice: cancelled #1
            -> u1: cancelled #2
            -> u1: tools/call #3
        bob leaves
            -> u1: cancelled #3
            -> u1: tools/call #4
        dave: cancelled #1
        u1: result #4
            -> carol: result #1
    "#]]);
}

#[test]
fn a_device_outlives_the_process_whose_call_used_it() {
    check(expect![[r#"
        u1 serves alice device=speakers
        u2 serves bob server=music device=speakers
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        bob: tools/call #1 tool=play
        u1 exits code 1
            -> alice: error #1 -32603 upstream-exited maybe-executed
            -> u2: tools/call #2
    "#]]);
}

#[test]
fn who_cannot_go_when_it_is_free_does_not_keep_it_from_others() {
    check(expect![[r#"
        u1 serves alice device=speakers
        u2 serves bob server=music device=speakers
        u3 serves carol server=lamp device=speakers
        alice: tools/call #1 tool=speak
            -> u1: tools/call #2
        bob: tools/call #1 tool=play
        carol: tools/call #1 tool=on
        u2 blocks
        u1: result #2
            -> alice: result #1
            -> u3: tools/call #2
        u3: result #2
            -> carol: result #1
        u2 reads
            -> u2: tools/call #2
    "#]]);
}

#[test]
fn who_waits_for_a_device_keeps_nobody_from_what_needs_none() {
    check(expect![[r#"
        u1 serves alice bob device=speakers device-tools=ask caps=sampling
        u2 serves carol server=music device=speakers
        alice: tools/call #1 tool=ask
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> alice: sampling/createMessage #1
            ! u1 separates ask
        alice: result #1
            -> u1: result #1
        u1: result #2
            -> alice: result #1
        bob: tools/call #1 tool=quiet
            -> u1: tools/call #3
        u1: result #3
            -> bob: result #1
        bob: tools/call #2 tool=quiet
            -> u1: tools/call #4
        alice: tools/call #2 tool=ask
        carol: tools/call #1 tool=play
            -> u2: tools/call #2
        u1: result #4
            -> bob: result #2
        bob: tools/call #3 tool=quiet
            -> u1: tools/call #5
    "#]]);
}
