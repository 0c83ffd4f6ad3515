//! Servers that offer less after a restart than before.

use expect_test::expect;

use super::check;

#[test]
fn what_a_new_process_no_longer_offers_is_refused_in_words() {
    check(expect![[r#"
        show words
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+prompts+resources.subscribe+logging+completions
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        alice: prompts/list #1
            -> u1: prompts/list #2
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        alice: resources/subscribe #2 uri=a:b
        u1 starts
            -> u1: initialize #3
        u1: greets declares=tools+resources
            -> u1: initialized
            -> alice: error #1 -32601 no-longer-offered "`echo` was started again and no longer offers `prompts/list`; a new session sees what it offers now"
            -> alice: error #2 -32601 no-longer-offered "`echo` was started again and no longer offers `resources/subscribe`; a new session sees what it offers now"
            ! u1 offers less
        alice: tools/list #3
            -> u1: tools/list #4
        alice: logging/setLevel #4 level=info
            -> alice: error #4 -32601 no-longer-offered "`echo` was started again and no longer offers `logging/setLevel`; a new session sees what it offers now"
        alice: completion/complete #5
            -> alice: error #5 -32601 no-longer-offered "`echo` was started again and no longer offers `completion/complete`; a new session sees what it offers now"
        alice: resources/read #6 uri=a:b
            -> u1: resources/read #5 uri=a:b
        alice: vendor/do #7
            -> u1: vendor/do #6
        bob comes
            -> bob: result #0 version=2025-11-25
        bob: prompts/list #1
            -> u1: prompts/list #7
    "#]]);
}

#[test]
fn what_is_offered_again_is_there_again_and_so_for_who_greets_again() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+prompts
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1: greets declares=tools
            -> u1: initialized
            -> admin: restarted 1
            ! u1 offers less
        alice: prompts/list #1
            -> alice: error #1 -32601 no-longer-offered
        alice: initialize #2 version=2025-11-25
            -> alice: result #2 version=2025-11-25
        alice: prompts/list #3
            -> u1: prompts/list #3
        admin restarts echo
            -> stop u1
        u1 exits code 0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #4
        u1: greets declares=tools+prompts
            -> u1: initialized
            -> admin: restarted 1
            -> u1: prompts/list #5
        alice: prompts/list #4
            -> u1: prompts/list #6
    "#]]);
}

#[test]
fn an_older_version_after_a_restart_changes_nothing_for_who_is_there() {
    check(expect![[r#"
        u1 serves alice
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #2
        u1: greets speaks=2024-11-05
            -> u1: initialized
            ! u1 offers less
        alice: tools/call #1 tool=x
            -> u1: tools/call #3
        bob comes
            -> bob: result #0 version=2024-11-05
    "#]]);
}
