//! Sessions that are served before their server runs, from what it said at its last start.

use expect_test::expect;

use super::check;

#[test]
fn who_comes_when_nothing_runs_is_greeted_and_given_lists_at_once_and_a_call_starts_the_server() {
    check(expect![[r#"
        alice comes lazy keeps
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged+prompts
            -> u1: initialized
            -> alice: result #0 version=2025-11-25, kept
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[{"name":"x"}]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[{"name":"x"}]}
        alice: tools/list #2
            -> u1: tools/list #3
        u1: result #3 {"tools":[{"name":"x"}]}
            -> alice: result #2 {"tools":[{"name":"x"}]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0

        bob comes lazy keeps
            -> bob: result #0 version=2025-11-25, kept
            ! u2 is recalled
        bob: initialized
        bob: tools/list #"a" token=7
            -> bob: done 2
            -> bob: result #"a" {"tools":[{"name":"x"}]}
        carol comes lazy version=2025-06-18
            -> carol: result #0 version=2025-06-18
        carol: tools/list #1
            -> carol: result #1 {"tools":[{"name":"x"}]}
        bob: tools/call #1 tool=x
            -> bob: held 4
            -> start u2 for bob
        carol: tools/list #2
            -> carol: result #2 {"tools":[{"name":"x"}]}
        bob: tools/list #2
            -> bob: held 5
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools.listChanged+prompts
            -> u2: initialized
            -> u2: tools/list #2
            -> bob: sent 4
            -> u2: tools/list #4
            -> u2: tools/call #3
        u2: result #3 {"tools":[{"name":"x"}]}
            -> bob: result #1 {"tools":[{"name":"x"}]}
        u2: result #2 {"tools":[{"name":"x"}]}
            -> bob: result #2 {"tools":[{"name":"x"}]}
        u2: result #4 {"tools":[{"name":"x"}]}
        bob: tools/list #3
            -> u2: tools/list #5
    "#]]);
}

#[test]
fn only_the_same_class_and_route_is_greeted_with_what_was_kept() {
    check(expect![[r#"
        alice comes lazy caps=roots
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=roots
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob comes lazy
            -> start u2 for bob
        carol comes lazy caps=roots route=other-token
            -> start u3 for carol
        dave comes lazy caps=roots
            -> dave: result #0 version=2025-11-25
            ! u4 is recalled
        erin comes lazy caps=roots scope=session
            -> start u5 for erin
        frank comes caps=roots server=eager
            -> start u6 for frank
    "#]]);
}

#[test]
fn a_list_that_has_changed_meanwhile_is_told_to_those_who_were_promised_to_hear() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged+prompts+resources.listChanged
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[1]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[1]}
        alice: prompts/list #2
            -> u1: prompts/list #3
        u1: result #3 {"prompts":[1]}
            -> keep u1: initialize tools/list prompts/list
            -> alice: result #2 {"prompts":[1]}
        alice: resources/list #3
            -> u1: resources/list #4
        u1: result #4 {"resources":[1]}
            -> keep u1: initialize tools/list prompts/list resources/list
            -> alice: result #3 {"resources":[1]}
        alice: resources/templates/list #4
            -> u1: resources/templates/list #5
        u1: result #5 {"resourceTemplates":[1]}
            -> keep u1: initialize tools/list prompts/list resources/list resources/templates/list
            -> alice: result #4 {"resourceTemplates":[1]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0

        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        carol comes lazy
            -> carol: result #0 version=2025-11-25
        bob: tools/call #1 tool=x
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools.listChanged+prompts+resources.listChanged
            -> u2: initialized
            -> u2: tools/call #2
            -> u2: tools/list #3
            -> u2: prompts/list #4
            -> u2: resources/list #5
            -> u2: resources/templates/list #6
        u2: result #3 {"tools":[1,2]}
            -> keep u2: initialize tools/list prompts/list resources/list resources/templates/list
            -> bob: tools/list_changed
            -> carol: tools/list_changed
            ! u2 has other tools/list
        u2: result #4 {"prompts":[2]}
            -> keep u2: initialize tools/list prompts/list resources/list resources/templates/list
            ! u2 has other prompts/list
        u2: error #5
            -> keep u2: initialize tools/list prompts/list resources/templates/list
            -> bob: resources/list_changed
            -> carol: resources/list_changed
            ! u2 has other resources/list
        u2: result #6 {"resourceTemplates":[1]}
    "#]]);
}

#[test]
fn a_list_of_several_pages_is_kept_whole_and_compared_page_by_page() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[1],"nextCursor":"p2"}
            -> alice: result #1 {"tools":[1],"nextCursor":"p2"}
        alice: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"cursor":"p2"}}
            -> u1: raw {"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"p2"}}
        u1: result #3 {"tools":[2]}
            -> keep u1: initialize tools/list*2
            -> alice: result #2 {"tools":[2]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0

        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: tools/list #1
            -> bob: result #1 {"tools":[1],"nextCursor":"p2"}
        bob: raw {"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"cursor":"p2"}}
            -> bob: raw {"jsonrpc":"2.0","id":2,"result":{"tools":[2]}}
        bob: raw {"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"p3"}}
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools.listChanged
            -> u2: initialized
            -> u2: tools/list #2
            -> u2: tools/list #3
        u2: error #2
            -> bob: error #3 -1
        u2: raw {"jsonrpc":"2.0","id":3,"result":{"tools":[1],"nextCursor":"p2"}}
            -> u2: raw {"jsonrpc":"2.0","method":"tools/list","params":{"cursor":"p2"},"id":4}
        u2: result #4 {"tools":[3]}
            -> keep u2: initialize tools/list*2
            -> bob: tools/list_changed
            ! u2 has other tools/list
    "#]]);
}

#[test]
fn what_is_no_longer_offered_is_refused_as_after_any_restart() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+prompts
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: prompts/list #1
            -> u1: prompts/list #2
        u1: result #2 {"prompts":[]}
            -> keep u1: initialize prompts/list
            -> alice: result #1 {"prompts":[]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: prompts/get #1 prompt=p
            -> start u2 for bob
        bob: prompts/get #2 prompt=p
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools
            -> u2: initialized
            -> bob: error #1 -32601 no-longer-offered
            -> bob: error #2 -32601 no-longer-offered
            -> keep u2: initialize
            ! u2 offers less
        bob: prompts/list #3
            -> bob: error #3 -32601 no-longer-offered
    "#]]);
}

#[test]
fn a_server_that_cannot_be_started_is_no_longer_trusted_to_be_what_it_was() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: tools/call #1 tool=x
            -> start u2 for bob
        u2 start fails no such program
            -> bob: error #1 -32603 start-failed
        bob: tools/list #2
        carol comes lazy
        1 s pass
            after 71 ms
            -> start u2 for carol
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> carol: result #0 version=2025-11-25
            -> u2: tools/list #2
    "#]]);
}

#[test]
fn a_change_that_the_server_tells_makes_what_was_kept_of_the_list_worthless() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged+resources.listChanged
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[1]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[1]}
        alice: tools/list #2
            -> u1: tools/list #3
        u1: tools/list_changed
            -> keep u1: initialize
            -> alice: tools/list_changed
        u1: result #3 {"tools":[1]}
            -> alice: result #2 {"tools":[1]}
        alice: tools/list #3
            -> u1: tools/list #4
        u1: result #4 {"tools":[1,2]}
            -> keep u1: initialize tools/list
            -> alice: result #3 {"tools":[1,2]}
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob comes lazy
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob: tools/list #1
            -> bob: result #1 {"tools":[1,2]}
        bob: tools/call #2 tool=x
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools.listChanged+resources.listChanged
            -> u2: initialized
            -> u2: tools/call #2
            -> u2: tools/list #3
        u2: tools/list_changed
            -> keep u2: initialize
            -> bob: tools/list_changed
        u2: result #3 {"tools":[7]}
    "#]]);
}

#[test]
fn a_server_that_is_kept_warm_starts_with_its_first_session() {
    check(expect![[r#"
        alice comes lazy warm idle=never
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice leaves
        1 h pass
        u1 exits code 1
        10 min pass
        bob comes lazy warm idle=never
            -> bob: result #0 version=2025-11-25
            -> start u2 for bob
            ! u2 is recalled
        carol comes lazy warm idle=never
            -> carol: result #0 version=2025-11-25
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
    "#]]);
}

#[test]
fn a_server_that_was_not_started_yet_stops_nobody_from_leaving_and_is_started_by_an_administrator()
{
    check(expect![[r#"
        alice comes lazy idle=0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy idle=0
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        bob leaves
        carol comes lazy idle=0
            -> carol: result #0 version=2025-11-25
            ! u3 is recalled
        admin restarts echo
            -> start u3 for carol
        u3 starts
            -> u3: initialize #1
        u3: greets
            -> u3: initialized
            -> admin: restarted 1
    "#]]);
}

#[test]
fn who_waits_for_the_start_is_told_so_as_ever() {
    check(expect![[r#"
        alice comes lazy keeps
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25, kept
            -> keep u1: initialize
        alice leaves
        10 min pass
            after 600 s
            -> stop u1
        u1 exits code 0
        bob comes lazy keeps
            -> bob: result #0 version=2025-11-25, kept
            ! u2 is recalled
        bob: tools/call #1 tool=x
            -> bob: held 2
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        30 s pass
            after 25 s
            -> bob: error #1 -32603 still-starting
        bob: initialize #2
            -> bob: result #2 version=2025-11-25, kept
            -> bob: done 1
        u2: greets
            -> u2: initialized
        bob: tools/call #3 tool=x
            -> u2: tools/call #2
    "#]]);
}

#[test]
fn a_server_with_tasks_is_not_kept_and_forgotten_if_it_was() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+tasks
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            ! u1 is private
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[]}
            -> alice: result #1 {"tools":[]}
        bob comes lazy route=2
            -> start u2 for bob
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
            -> keep u2: initialize
        bob leaves
        10 min pass
            after 600 s
            -> stop u2
        u2 exits code 0
        carol comes lazy route=2
            -> carol: result #0 version=2025-11-25
            ! u3 is recalled
        carol: tools/call #1 tool=x
            -> start u3 for carol
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools+tasks
            -> u3: initialized
            -> u3: tools/call #2
            -> keep u3: nothing
            ! u3 is private
    "#]]);
}

#[test]
fn after_a_death_lists_are_told_as_ever_and_stay_kept() {
    check(expect![[r#"
        alice comes lazy
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools.listChanged
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice: tools/list #1
            -> u1: tools/list #2
        u1: result #2 {"tools":[1]}
            -> keep u1: initialize tools/list
            -> alice: result #1 {"tools":[1]}
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: initialize #3
        u1: greets declares=tools.listChanged
            -> u1: initialized
            -> alice: tools/list_changed
        alice: tools/list #2
            -> u1: tools/list #4
        u1: result #4 {"tools":[1]}
            -> alice: result #2 {"tools":[1]}
    "#]]);
}
