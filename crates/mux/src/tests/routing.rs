//! Which sessions share a server.

use expect_test::expect;

use super::check;

#[test]
fn equal_routes_and_classes_share_and_others_do_not() {
    check(expect![[r#"
        u1 serves alice bob
        carol comes route=other-token
            -> start u2 for carol
        dave comes caps=sampling
            -> start u3 for dave
        erin comes workspace=/elsewhere
            -> start u4 for erin
        frank comes
            -> frank: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn a_class_fixed_by_the_configuration_is_everybodys() {
    check(expect![[r#"
        alice comes fixed=roots caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=roots
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        bob comes fixed=roots
            -> bob: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn scope_global_ignores_workspaces_and_scope_session_shares_nothing() {
    check(expect![[r#"
        u1 serves alice bob scope=global
        carol comes scope=global workspace=/elsewhere
            -> carol: result #0 version=2025-11-25
        dave comes server=browser scope=session
            -> start u2 for dave
        erin comes server=browser scope=session
            -> start u3 for erin
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> dave: result #0 version=2025-11-25
        dave leaves
            -> stop u2
    "#]]);
}

#[test]
fn a_server_whose_asks_are_the_sessions_gets_a_process_for_each() {
    check(expect![[r#"
        alice comes asks=session caps=elicitation
            -> start u1 for alice
        bob comes asks=session caps=elicitation
            -> start u2 for bob
        u1 starts
            -> u1: initialize #1 caps=elicitation.form
        u1: greets
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
        u1: elicitation/create #1
            -> alice: elicitation/create #1
        alice leaves
            -> u1: error #1 -32603 owner-gone
            -> stop u1
    "#]]);
}

#[test]
fn a_server_that_declares_tasks_is_not_shared() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        bob comes
        bob: tools/list #1
        carol comes
        bob: tools/list #2
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+tasks
            -> u1: initialized
            -> start u2 for bob
            -> start u3 for carol
            -> alice: result #0 version=2025-11-25
            ! u1 is private
        dave comes
            -> start u4 for dave
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools+tasks
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
            -> u2: tools/list #2
            -> u2: tools/list #3
        bob: tools/list #3
            -> u2: tools/list #4
        alice: tools/list #1
            -> u1: tools/list #2
        u2: result #2
            -> bob: result #1
        carol leaves
            -> stop u3
        alice leaves
            -> u1: cancelled #2
            -> stop u1
    "#]]);
}

#[test]
fn messages_of_a_session_that_moved_do_not_go_to_the_server_it_left() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        bob comes caps=
        bob: tools/call #1 tool=x
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+tasks
            -> u1: initialized
            -> start u2 for bob
            -> alice: result #0 version=2025-11-25
            ! u1 is private
        alice: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: result #2
            -> alice: result #1
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools+tasks
            -> u2: initialized
            -> bob: result #0 version=2025-11-25
            -> u2: tools/call #2
        u2 blocks
        bob: tools/call #2 tool=x
        alice: tools/call #2 tool=x
            -> u1: tools/call #3
        u1: result #3
            -> alice: result #2
        u2 reads
            -> u2: tools/call #3
    "#]]);
}

#[test]
fn who_asks_what_there_is_of_a_server_that_turns_out_not_to_be_shared_begins_a_session() {
    check(expect![[r#"
        alice opens posts
        alice: server/discover #1 modern
            -> start u1 for alice
        bob opens posts
        bob: server/discover #1 modern
        u1 starts
            -> u1: server/discover #1 modern
        u1: error #1
            -> stop u1
        u1 exits code 0
            -> start u2 for alice
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools+tasks
            -> u2: initialized
            -> found of u2: not=modern
            -> alice: error #1 -32601 no-such-method
            -> close alice
            -> bob: error #1 -32601 no-such-method
            -> close bob
            ! u2 is private
        alice leaves
        bob leaves
        carol opens posts
        carol: initialize #1
            -> carol: result #1 version=2025-11-25, kept
        dave opens posts
        dave: server/discover #1 modern
            -> dave: error #1 -32601 no-such-method
            -> close dave
        dave leaves
    "#]]);
}

#[test]
fn sessions_of_a_process_that_declares_tasks_only_when_it_is_started_again_part() {
    check(expect![[r#"
        u1 serves alice bob carol declares=tools+logging+resources.subscribe
        bob: logging/setLevel #1 level=info
            -> u1: logging/setLevel #2 level=info
        u1: result #2
            -> bob: result #1
        bob: resources/subscribe #2 uri=a:b
            -> u1: resources/subscribe #3 uri=a:b
        u1: result #3
            -> bob: result #2
        bob: tools/call #3 tool=x
            -> u1: tools/call #4
        carol: tools/list #1
            -> u1: tools/list #5
        u1 exits code 1
            -> bob: error #3 -32603 upstream-exited maybe-executed
        carol: tools/call #2 tool=x
        dave comes
        1 s pass
            after 77 ms
            -> start u1 for dave
        u1 starts
            -> u1: initialize #6
        u1: greets declares=tools+tasks+logging+resources.subscribe
            -> u1: initialized
            -> start u2 for bob
            -> start u3 for carol
            -> start u4 for dave
            ! u1 is private
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools+tasks+logging+resources.subscribe
            -> u2: initialized
            -> u2: resources/subscribe #2 uri=a:b
            -> u2: logging/setLevel #3 level=info
            -> bob: message level=warning
            ! u2 has forgotten 1
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools+tasks+logging+resources.subscribe
            -> u3: initialized
            -> u3: tools/list #2
            -> u3: tools/call #3
        u2: resources/updated uri=a:b
            -> bob: resources/updated uri=a:b
        u1: message level=error
            -> alice: message level=error
        u1: sampling/createMessage #1
            -> u1: error #1 -32601 not-capable
        bob: tools/call #4 tool=x
            -> u2: tools/call #4
        alice: tools/call #1 tool=x
            -> u1: tools/call #7
        bob leaves
            -> u2: cancelled #4
            -> u2: resources/unsubscribe #5 uri=a:b
            -> stop u2
    "#]]);
}

#[test]
fn sessions_served_from_what_is_kept_part_when_their_server_turns_out_to_declare_tasks() {
    check(expect![[r#"
        alice comes lazy idle=0
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools
            -> u1: initialized
            -> alice: result #0 version=2025-11-25
            -> keep u1: initialize
        alice leaves
            -> stop u1
        u1 exits code 0
        bob comes lazy idle=0
            -> bob: result #0 version=2025-11-25
            ! u2 is recalled
        carol comes lazy idle=0
            -> carol: result #0 version=2025-11-25
        bob: tools/call #1 tool=x
            -> start u2 for bob
        carol: tools/call #1 tool=y
        u2 starts
            -> u2: initialize #1
        u2: greets declares=tools+tasks
            -> u2: initialized
            -> start u3 for carol
            -> u2: tools/call #2
            -> keep u2: nothing
            ! u2 is private
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools+tasks
            -> u3: initialized
            -> u3: tools/call #2
        u2: result #2 {"content":[]}
            -> bob: result #1 {"content":[]}
        u3: result #2 {"content":[]}
            -> carol: result #1 {"content":[]}
    "#]]);
}

#[test]
fn who_has_moved_to_a_process_of_the_other_era_that_declares_tasks_parts_from_the_others_there() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools+resources.subscribe
            -> u1: tools/list #2 modern
            -> keep u1: server/discover
        alice leaves
            -> u1: cancelled #2
            -> stop u1
        u1 exits code 0
        bob opens lazy idle=0
        bob: tools/call #1 modern tool=x
            -> start u2 for bob
            ! u2 is recalled
        carol opens lazy idle=0
        carol: subscriptions/listen #1 modern watches=a:1
        carol: tools/call #2 modern tool=y
        dave opens lazy idle=0 posts
        dave: tools/call #1 modern tool=z
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        u3: greets declares=tools+tasks+resources.subscribe
            -> u3: initialized
            -> start u4 for carol
            -> start u5 for dave
            -> u3: tools/call #2
            ! u3 is private
        u4 starts
            -> u4: initialize #1
        u4: greets declares=tools+tasks+resources.subscribe
            -> u4: initialized
            -> u4: resources/subscribe #2 uri=a:1
            -> u4: tools/call #3
        u4: result #2
            -> carol: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        u5 starts
            -> u5: initialize #1
        u5: greets declares=tools+tasks+resources.subscribe
            -> u5: initialized
            -> u5: tools/call #2
        u3: result #2 {"content":[]}
            -> bob: result #1
        u4: resources/updated uri=a:1
            -> carol: resources/updated of #1 uri=a:1
        erin opens lazy posts
        erin: tools/call #1 modern tool=z
            -> erin: error #1 -32603 needs-session
            -> close erin
    "#]]);
}

#[test]
fn who_watches_at_a_modern_server_that_declares_tasks_is_watched_for_where_it_goes() {
    check(expect![[r#"
        alice opens
        alice: subscriptions/listen #1 modern watches=a:1
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=resources.subscribe
            -> u1: subscriptions/listen #2 modern {"resourceSubscriptions":["a:1"]}
        u1: subscriptions/acknowledged #2 watches=a:1
            -> alice: subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        bob opens
        bob: subscriptions/listen #1 modern watches=b:1
            -> u1: subscriptions/listen #3 modern {"resourceSubscriptions":["a:1","b:1"]}
        u1 exits code 1
        1 s pass
            after 77 ms
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #4 modern
        u1: greets declares=resources.subscribe+tasks
            -> start u2 for bob
            -> u1: subscriptions/listen #5 modern {"resourceSubscriptions":["a:1"]}
            ! u1 is private
        u1: subscriptions/acknowledged #5 watches=a:1
        u2 starts
            -> u2: server/discover #1 modern
        u2: greets declares=resources.subscribe+tasks
            -> u2: subscriptions/listen #2 modern {"resourceSubscriptions":["b:1"]}
        u2: subscriptions/acknowledged #2 watches=b:1
            -> bob: subscriptions/acknowledged of #1 {"resourceSubscriptions":["b:1"]}
        u1: resources/updated uri=b:1
            ! u1 dropped: no-subscriber
        u2: resources/updated uri=b:1
            -> bob: resources/updated of #1 uri=b:1
    "#]]);
}

#[test]
fn a_server_with_tasks_that_nobody_waited_for_is_kept_for_the_next_session() {
    check(expect![[r#"
        alice comes
            -> start u1 for alice
        25 s pass
            after 25 s
            -> alice: error #0 -32603 still-starting
        u1 starts
            -> u1: initialize #1
        u1: greets declares=tools+tasks
            -> u1: initialized
            ! u1 is private
        bob comes
            -> bob: result #0 version=2025-11-25
        carol comes
            -> start u2 for carol
        bob leaves
            -> stop u1
    "#]]);
}

#[test]
fn who_joins_takes_what_runs_and_starts_its_own_otherwise() {
    check(expect![[r#"
        u1 serves alice caps=sampling
        bob comes joins route=whatever
            -> bob: result #0 version=2025-11-25
        bob: tools/call #1 tool=x
            -> u1: tools/call #2
        u1: sampling/createMessage #1
            -> u1: error #1 -32601 not-capable
            ! u1 separates x
        u1: result #2
            -> bob: result #1
        carol comes joins server=other
            -> start u2 for carol
        dave comes joins workspace=/elsewhere route=x
            -> start u3 for dave
        u2 starts
            -> u2: initialize #1
        u2: greets
            -> u2: initialized
            -> carol: result #0 version=2025-11-25
        erin comes joins workspace=/elsewhere route=y server=other
            -> start u4 for erin
        u4 serves frank scope=global server=all
        grace comes joins workspace=/elsewhere route=y server=all
            -> grace: result #0 version=2025-11-25
    "#]]);
}

#[test]
fn who_cannot_start_a_server_joins_one_that_runs_and_is_refused_otherwise() {
    check(expect![[r#"
        alice comes joins refused=echo
            -> alice: error #0 -32603 no-such-server
        u1 serves bob
        carol comes joins refused=echo
            -> carol: result #0 version=2025-11-25
        carol: tools/list #1
            -> u1: tools/list #2
        dave comes joins refused=other server=other
            -> dave: error #0 -32603 no-such-server
    "#]]);
}

#[test]
fn who_joined_does_not_restart_what_others_started() {
    check(expect![[r#"
        u1 serves alice
        bob comes joins route=whatever
            -> bob: result #0 version=2025-11-25
        alice leaves
        u1 exits code 1
        bob: tools/list #1
        1 s pass
            after 77 ms
            -> bob: error #1 -32603 upstream-stopped not-executed
        bob: tools/list #2
            -> bob: error #2 -32603 upstream-stopped not-executed
        admin restarts echo
            -> admin: restarted 1
    "#]]);
}

#[test]
fn who_waited_to_join_a_server_that_cannot_be_shared_joins_another_at_once() {
    check(expect![[r#"
        alice comes caps=sampling
            -> start u1 for alice
        u1 starts
            -> u1: initialize #1 caps=sampling
        bob comes joins caps=sampling
        bob: tools/list #1
        carol comes scope=global caps=roots
            -> start u2 for carol
        u2 starts
            -> u2: initialize #1 caps=roots
        u2: greets
            -> u2: initialized
            -> carol: result #0 version=2025-11-25
        u1: greets declares=tasks
            -> u1: initialized
            -> bob: result #0 version=2025-11-25
            -> u2: tools/list #2
            -> alice: result #0 version=2025-11-25
            ! u1 is private
    "#]]);
}

#[test]
fn who_joins_a_server_that_is_shared_for_want_of_sessions_is_asked_with_the_same_words() {
    check(expect![[r#"
        alice opens route=a scope=session modern-global era=modern
        alice: tools/call #1 modern tool=x
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets
            -> u1: tools/call #2 modern
        bob opens joins route=b scope=session modern-global era=modern
        bob: tools/call #1 modern tool=x
            -> start u2 for bob
    "#]]);
}

#[test]
fn a_modern_client_that_cannot_start_a_server_joins_one_that_runs_and_is_refused_otherwise() {
    check(expect![[r#"
        alice opens joins refused=echo
        alice: tools/list #1 modern
            -> alice: error #1 -32603 no-such-server
        u1 serves bob
        carol opens joins refused=echo
        carol: tools/list #1 modern
            -> u1: tools/list #2
    "#]]);
}
