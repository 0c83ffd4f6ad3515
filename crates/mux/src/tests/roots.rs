//! Roots: answered from the binding, for every client.

use expect_test::expect;

use super::check;

#[test]
fn a_server_of_a_workspace_is_told_of_it() {
    check(expect![[r#"
        u1 serves alice bob caps=roots workspace=/home/u/w
        u1: roots/list #"r"
            -> u1: result #"r" {"roots":[{"uri":"file:///home/u/w","name":"w"}]}
        alice: roots/list_changed
    "#]]);
}

#[test]
fn a_server_for_all_is_told_of_the_workspace_of_the_open_call_or_of_none() {
    check(expect![[r#"
        u1 serves alice caps=roots scope=global workspace=/a
        u1: roots/list #1
            -> u1: result #1 {"roots":[]}
        bob comes caps=roots scope=global workspace=/b
            -> bob: result #0 version=2025-11-25
        bob: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: roots/list #2
            -> u1: result #2 {"roots":[{"uri":"file:///b","name":"b"}]}
        alice: tools/call #1 tool=x
            -> u1: tools/call #3
        u1: roots/list #3
            -> u1: result #3 {"roots":[]}
        u1: result #2
            -> bob: result #1
        u1: roots/list #4
            -> u1: result #4 {"roots":[{"uri":"file:///a","name":"a"}]}
        u1: result #3
            -> alice: result #1
        carol comes caps=roots scope=global workspace=none
            -> carol: result #0 version=2025-11-25
        carol: tools/call #1 tool=x
            -> u1: tools/call #4
        u1: roots/list #5
            -> u1: result #5 {"roots":[]}
    "#]]);
}

#[test]
fn a_session_without_a_workspace_has_no_roots() {
    check(expect![[r#"
        u1 serves alice caps=roots workspace=none
        u1: roots/list #1
            -> u1: result #1 {"roots":[]}
    "#]]);
}

#[test]
fn a_server_of_one_session_is_told_of_its_workspace() {
    check(expect![[r#"
        u1 serves alice caps=roots scope=global workspace=/a asks=session
        u1: roots/list #1
            -> u1: result #1 {"roots":[{"uri":"file:///a","name":"a"}]}
        bob comes caps=roots scope=session workspace=/b server=other
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1 caps=roots
        u2: greets
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
        u2: roots/list #1
            -> u2: result #1 {"roots":[{"uri":"file:///b","name":"b"}]}
    "#]]);
}

#[test]
fn who_did_not_declare_roots_is_not_asked_for_them() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        u1: roots/list #1
            -> u1: error #1 -32601 not-capable
    "#]]);
}
