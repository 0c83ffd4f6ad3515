//! Processes of the other era to which sessions were sent, and that do not come up.

use expect_test::expect;

use super::check;

#[test]
fn who_has_come_to_a_process_of_the_other_era_that_does_not_come_up_hears_so() {
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
            -> carol: notifications/subscriptions/acknowledged of #1 {"resourceSubscriptions":["a:1"]}
        carol: tools/call #2 modern tool=y
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        u3 exits code 1
            -> bob: error #1 -32603 start-failed
            -> carol: error #2 -32603 start-failed
        bob: tools/call #2 modern tool=x
        1 s pass
            after 53 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #2
        u3 exits code 1
            -> bob: error #2 -32603 start-failed
        1 s pass
            after 116 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #3
        u3 exits code 1
        2 s pass
            after 294 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #4
        u3 exits code 1
        2 s pass
            after 628 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #5
        u3 exits code 1
        5 s pass
            after 1019 ms
            -> start u3 for bob
        u3 starts
            -> u3: initialize #6
        u3 exits code 1
            ! u3 has failed
        bob: tools/call #3 modern tool=x
            -> bob: error #3 -32603 still-failing
        dave opens lazy idle=0
        dave: tools/call #1 modern tool=x
            -> start u4 for dave
        1 min pass
            after 25 s
            -> dave: error #1 -32603 still-starting
            after 60 s
            -> start u3 for bob
        u3 starts
            -> u3: initialize #7
        bob: tools/call #4 modern tool=x
        25 s pass
            after 25 s
            -> bob: error #4 -32603 still-starting
        u3: greets declares=tools+resources.subscribe
            -> u3: initialized
            -> u3: resources/subscribe #8 uri=a:1
            -> keep u3: initialize
        bob: tools/call #5 modern tool=x
            -> u3: tools/call #9
    "#]]);
}

#[test]
fn who_has_come_to_a_process_of_the_other_era_that_says_nothing_hears_so() {
    check(expect![[r#"
        alice opens lazy idle=0
        alice: tools/list #1 modern
            -> start u1 for alice
        u1 starts
            -> u1: server/discover #1 modern
        u1: greets declares=tools
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
        u2 starts
            -> u2: server/discover #1 modern
        u2: error #1
            -> keep u2: nothing
            -> stop u2
        u2 exits code 0
            -> start u3 for bob
        u3 starts
            -> u3: initialize #1
        25 s pass
            after 25 s
            -> bob: error #1 -32603 still-starting
        bob: tools/call #2 modern tool=x
        5 min pass
            after 25 s
            -> bob: error #2 -32603 still-starting
            after 275 s
            -> stop u3
        u3 exits signal 15
        10 min pass
            after 53 ms
            -> start u3 for bob
    "#]]);
}
