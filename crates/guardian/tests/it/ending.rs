//! How servers end, and that nothing of them is left.

use std::io::Write;
use std::time::{Duration, Instant};

use guardian::protocol::{Command, Report};
use rustix::process::{Pid, Signal};

use crate::runner::until;
use crate::world::{LONG, World, exists, patience, shell, stat, wait_until_gone, zombies_of};

const SOON: Duration = Duration::from_millis(100);

/// Ends with its input, and tells a child that does not.
const LEAVES_CHILDREN: &str = "sleep 1000 & first=$!; (sleep 1000 & echo $first $!); exec cat";

/// Ignores that its input ends, and TERM.
const STUBBORN: &str = "trap '' TERM; echo $$; while :; do sleep 1000; done";

/// A child of init, it thinks, in a session of its own.
const DAEMONISES: &str = "(setsid sh -c 'echo $$; exec sleep 1000' &); exec cat";

/// The same without any trace of where it comes from.
const ESCAPES: &str = "(env -i setsid /bin/sh -c 'echo $$; exec sleep 1000' &); exec cat";

/// A child in a session of its own, without the marker; the server knows it until its own end.
const HIDES_A_CHILD: &str = "env -i setsid /bin/sh -c 'echo $$; exec sleep 1000' & cat; exit 0";

fn assert_gone(pids: &[u32]) {
    for pid in pids {
        assert!(!exists(*pid), "still there: {:?}", stat(*pid));
    }
}

pub(crate) fn a_polite_server_ends_with_its_input() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, "cat; exit 3");
    pipes.stdin.take();
    world.stop(1, patience(LONG, LONG));
    world.expect_end(1, Some(3), None);
    assert_gone(&[pid]);
}

pub(crate) fn a_server_that_ignores_its_input_gets_term() {
    let mut world = World::start();
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let (pid, mut pipes) = world.run(1, script);
    assert_eq!(pipes.line(), "ready");
    pipes.stdin.take();
    world.stop(1, patience(SOON, LONG));
    world.expect_end(1, Some(7), None);
    assert_eq!(pipes.line(), "bye");
    assert_gone(&[pid]);
}

pub(crate) fn a_server_that_ignores_term_is_killed() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, STUBBORN);
    assert_eq!(pipes.pids(), [pid]);
    pipes.stdin.take();
    let start = Instant::now();
    world.stop(1, patience(SOON, SOON));
    world.expect_end(1, None, Some(9));
    assert!(start.elapsed() >= SOON * 2, "it was not given its time");
    assert_gone(&[pid]);
}

pub(crate) fn a_second_stop_hurries_the_first() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, STUBBORN);
    assert_eq!(pipes.pids(), [pid]);
    world.stop(1, patience(LONG, LONG));
    world.stop(1, patience(Duration::ZERO, Duration::ZERO));
    // Nor does a third one slow it down again.
    world.stop(1, patience(LONG, LONG));
    world.expect_end(1, None, Some(9));
    assert_gone(&[pid]);
    // One that is gone already is nobody's business.
    world.stop(1, patience(LONG, LONG));
    let (_, _pipes) = world.run(2, "exec cat");
}

pub(crate) fn children_that_a_server_leaves_behind_end_with_it() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, LEAVES_CHILDREN);
    let children = pipes.pids();
    assert_eq!(children.len(), 2);
    pipes.stdin.take();
    world.stop(1, patience(LONG, LONG));
    world.expect_end(1, Some(0), None);
    assert_gone(&[pid]);
    assert_gone(&children);
}

pub(crate) fn a_double_fork_into_a_new_session_does_not_escape() {
    let mut world = World::start();
    let (_, mut pipes) = world.run(1, DAEMONISES);
    let daemons = pipes.pids();
    until("its adoption", || {
        (stat(daemons[0]).unwrap()[1] == world.pid().to_string()).then_some(())
    });
    pipes.stdin.take();
    world.stop(1, patience(LONG, LONG));
    world.expect_end(1, Some(0), None);
    assert_gone(&daemons);
}

pub(crate) fn a_child_that_hides_its_origin_does_not_escape_a_stop() {
    let mut world = World::start();
    let (_, mut pipes) = world.run(1, HIDES_A_CHILD);
    let hidden = pipes.pids();
    world.stop(1, patience(LONG, LONG));
    // Commands are obeyed in order: when this one is, the guardian has looked at the tree.
    let (_, _pipes) = world.run(2, "exec cat");
    pipes.stdin.take();
    world.expect_end(1, Some(0), None);
    assert_gone(&hidden);
}

pub(crate) fn without_a_descriptor_to_look_nobody_is_taken_for_gone() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, LEAVES_CHILDREN);
    let children = pipes.pids();
    // As many as it is sure to have: there is none for it to look with.
    world.limit_descriptors(Some(3));
    rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let exited = Report::Exited {
        upstream: 1,
        code: None,
        signal: Some(9),
    };
    assert_eq!(world.report(), exited);
    world.limit_descriptors(None);
    let gone = Report::Gone {
        upstream: 1,
        survivors: 0,
    };
    assert_eq!(world.report(), gone);
    assert_gone(&[pid]);
    assert_gone(&children);
}

pub(crate) fn what_a_crashed_server_leaves_behind_ends_as_well() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, LEAVES_CHILDREN);
    let children = pipes.pids();
    let (other, mut other_pipes) = world.run(2, DAEMONISES);
    let daemons = other_pipes.pids();
    for (upstream, crashing, left) in [(1, pid, children), (2, other, daemons)] {
        let crashing = Pid::from_raw(crashing.cast_signed()).unwrap();
        rustix::process::kill_process(crashing, Signal::SEGV).unwrap();
        world.expect_end(upstream, None, Some(11));
        assert_gone(&left);
    }
}

pub(crate) fn stopping_one_server_leaves_the_other_alone() {
    let mut world = World::start();
    let (_, mut pipes) = world.run(1, DAEMONISES);
    let (_, mut other_pipes) = world.run(
        2,
        "(setsid sh -c 'echo $$; exec sleep 1000' &); while read line; do echo $line; done",
    );
    let (daemons, others) = (pipes.pids(), other_pipes.pids());
    pipes.stdin.take();
    world.stop(1, patience(LONG, LONG));
    world.expect_end(1, Some(0), None);
    assert_gone(&daemons);
    other_pipes
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"alive\n")
        .unwrap();
    assert_eq!(other_pipes.line(), "alive");
    assert_ne!(stat(others[0]).unwrap()[0], "Z");
}

pub(crate) fn shutdown_leaves_nothing_not_even_those_of_unknown_origin() {
    let mut world = World::start();
    let (_, mut first) = world.run(1, ESCAPES);
    let (_, mut second) = world.run(2, STUBBORN);
    let (_, mut third) = world.run(3, LEAVES_CHILDREN);
    let pids = [first.pids(), second.pids(), third.pids()].concat();
    // Their input stays open: a daemon may hang.
    world.send(&Command::Shutdown {
        patience: patience(SOON, SOON),
    });
    let mut reports = Vec::new();
    while let Some(report) = world.next_report() {
        reports.push(report);
    }
    for upstream in 1..=3 {
        assert!(
            reports.contains(&Report::Gone {
                upstream,
                survivors: 0
            }),
            "{reports:?}"
        );
    }
    assert_eq!(world.wait().code(), Some(0));
    assert_gone(&pids);
}

pub(crate) fn servers_end_with_their_daemon() {
    let mut world = World::start();
    let (_, mut first) = world.run(1, STUBBORN);
    let (_, mut second) = world.run(2, LEAVES_CHILDREN);
    let (_, mut third) = world.run(3, DAEMONISES);
    let pids = [first.pids(), second.pids(), third.pids()].concat();
    // A daemon does not choose its moment: it may die with reports unread.
    let mut fourth = world.order(&shell(4, "echo ready; exec cat"));
    assert_eq!(fourth.line(), "ready");
    let start = Instant::now();
    world.hang_up();
    assert_eq!(world.wait().code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "took {:?}",
        start.elapsed()
    );
    assert_gone(&pids);
}

pub(crate) fn term_ends_the_guardian_and_all_servers() {
    let mut world = World::start();
    let (pid, _pipes) = world.run(1, "exec cat");
    world.signal(Signal::HUP);
    world.signal(Signal::TERM);
    world.expect_end(1, None, Some(15));
    assert_eq!(world.next_report(), None);
    assert_eq!(world.wait().code(), Some(0));
    assert_gone(&[pid]);
}

pub(crate) fn nonsense_ends_the_guardian_and_all_servers() {
    let mut world = World::start();
    let (pid, mut pipes) = world.run(1, LEAVES_CHILDREN);
    let children = pipes.pids();
    world.socket().write_all(&u32::MAX.to_le_bytes()).unwrap();
    assert_eq!(world.wait().code(), Some(1));
    assert_gone(&[pid]);
    assert_gone(&children);
}

pub(crate) fn servers_get_term_when_the_guardian_is_killed() {
    let mut world = World::start();
    let script =
        "trap 'echo asked to end; exit' TERM; echo ready; while :; do sleep 1 & wait; done";
    let (pid, mut pipes) = world.run(1, script);
    assert_eq!(pipes.line(), "ready");
    world.signal(Signal::KILL);
    assert_eq!(pipes.line(), "asked to end");
    wait_until_gone(pid);
}

pub(crate) fn orphans_are_reaped_while_their_server_runs() {
    let mut world = World::start();
    let script = "i=0; while [ $i -lt 200 ]; do (: &); i=$((i+1)); done; echo done; exec cat";
    let (pid, mut pipes) = world.run(1, script);
    assert_eq!(pipes.line(), "done");
    until("no zombies", || {
        (zombies_of(world.pid()) == 0).then_some(())
    });
    assert!(exists(pid));
    // Also behind a server that has ended and whose left-overs take their time.
    let slow = "trap '' TERM; (trap '' TERM; while :; do sleep 0.01; done) & echo $!; read -r line";
    let (leader, mut slow_pipes) = world.run(2, slow);
    let left = slow_pipes.pids();
    let mut input = slow_pipes.stdin.take().unwrap();
    input.write_all(b"end\n").unwrap();
    assert_eq!(
        world.report(),
        Report::Exited {
            upstream: 2,
            code: Some(0),
            signal: None
        }
    );
    let (_, mut more) = world.run(3, script);
    assert_eq!(more.line(), "done");
    until("one zombie", || {
        (zombies_of(world.pid()) == 1).then_some(())
    });
    assert_eq!(
        stat(leader).unwrap()[0],
        "Z",
        "the leader is kept while its tree is there"
    );
    world.stop(2, patience(Duration::ZERO, Duration::ZERO));
    assert_eq!(
        world.report(),
        Report::Gone {
            upstream: 2,
            survivors: 0
        }
    );
    assert_gone(&left);
    assert_gone(&[leader]);
}

pub(crate) fn two_hundred_short_servers_leave_no_zombie() {
    let mut world = World::start();
    for upstream in 1..=200 {
        // All at once: nobody reads the reports meanwhile.
        world.order(&shell(upstream, "exit 4"));
    }
    let mut gone = 0;
    while gone < 200 {
        match world.report() {
            Report::Spawned { .. } => {}
            Report::Exited { code, signal, .. } => assert_eq!((code, signal), (Some(4), None)),
            Report::Gone { survivors, .. } => {
                assert_eq!(survivors, 0);
                gone += 1;
            }
            other @ (Report::Introduction(_) | Report::Held(_) | Report::SpawnFailed { .. }) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(zombies_of(world.pid()), 0);
}
