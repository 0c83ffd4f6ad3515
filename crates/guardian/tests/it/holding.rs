//! One daemon dies and the next one comes.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use guardian::protocol::{Command, Held, Introduction, Report};
use rustix::process::Signal;

use crate::world::{EPOCH, LONG, World, exists, patience, shell, wait_until_gone};

/// Answers each line with it and a number that grows: its memory.
const COUNTING: &str = r#"n=0; while read -r line; do n=$((n+1)); echo "$line $n"; done"#;

fn introduction(world: &mut World) -> Introduction {
    let report = world.report();
    let Report::Introduction(introduction) = report else {
        panic!("no introduction: {report:?}")
    };
    introduction
}

fn held(world: &mut World) -> Held {
    let report = world.report();
    let Report::Held(held) = report else {
        panic!("nothing is held: {report:?}")
    };
    held
}

pub(crate) fn the_next_daemon_gets_the_servers_as_they_were() {
    let mut world = World::start_with_door();
    let (pid, mut pipes) = world.run(1, COUNTING);
    pipes.stdin.as_ref().unwrap().write_all(b"one\n").unwrap();
    assert_eq!(pipes.line(), "one 1");
    for record in ["old", "new"] {
        world.send(&Command::Record {
            upstream: 1,
            record: record.into(),
        });
    }
    for daemon in 1..=2 {
        world.replace_daemon();
        assert_eq!(
            introduction(&mut world),
            Introduction {
                epoch: EPOCH + daemon,
                held: 1,
                ending: false
            }
        );
        assert_eq!(
            held(&mut world),
            Held {
                upstream: 1,
                pid,
                ending: false,
                record: b"new".to_vec(),
            }
        );
        let mut fds = std::mem::take(&mut world.fds).into_iter();
        let mut stdin = File::from(fds.next().unwrap());
        let mut stdout = File::from(fds.next().unwrap());
        stdin.write_all(b"more\n").unwrap();
        let mut answer = [0; 7];
        stdout.read_exact(&mut answer).unwrap();
        assert_eq!(answer, format!("more {}\n", daemon + 1).as_bytes());
    }
    drop(pipes);
    // The end of its input is that of the last who holds it.
    world.stop(1, patience(LONG, LONG));
    world.expect_end(1, Some(0), None);
}

pub(crate) fn servers_end_when_no_daemon_comes() {
    let mut world = World::start_with_door();
    let (pid, mut pipes) = world.run(1, "sleep 1000 & echo $!; wait");
    let child = pipes.pids()[0];
    let died = Instant::now();
    world.hang_up();
    assert!(world.wait().success());
    assert!(!exists(pid) && !exists(child));
    // Nobody who came in time would have found them gone.
    assert!(died.elapsed() >= Duration::from_secs(5));
}

pub(crate) fn what_was_being_stopped_ends_under_the_next_daemon_as_well() {
    let mut world = World::start_with_door();
    let (pid, mut pipes) = world.run(1, "trap '' TERM; echo 0; while :; do sleep 1000; done");
    pipes.line();
    world.stop(1, patience(Duration::from_millis(10), LONG));
    world.replace_daemon();
    assert_eq!(introduction(&mut world).held, 1);
    let held = held(&mut world);
    assert!(held.ending && held.pid == pid && world.fds.is_empty());
    world.stop(1, patience(Duration::ZERO, Duration::ZERO));
    world.expect_end(1, None, Some(Signal::KILL.as_raw()));
}

pub(crate) fn a_server_that_ends_while_no_daemon_is_there_is_told_to_the_next() {
    let mut world = World::start_with_door();
    // What it leaves behind takes its time to end.
    let script = "(trap '' TERM; echo 0; while :; do sleep 1000; done) & read -r line; exit 7";
    let (pid, mut pipes) = world.run(1, script);
    pipes.line();
    world.hang_up();
    pipes.stdin.as_ref().unwrap().write_all(b"go\n").unwrap();
    wait_until_ended(pid);
    world.replace_daemon();
    assert_eq!(introduction(&mut world).held, 1);
    assert!(held(&mut world).ending);
    world.expect_end(1, Some(7), None);
}

/// Waits until a process has ended, be it a zombie still.
fn wait_until_ended(pid: u32) {
    crate::runner::until("the end of a server", || {
        crate::world::stat(pid)
            .is_none_or(|stat| stat[0] == "Z")
            .then_some(())
    });
}

pub(crate) fn nobody_comes_in_beside_a_daemon() {
    let mut world = World::start_with_door();
    let (pid, _pipes) = world.run(1, COUNTING);
    let mut early = world.connect();
    early.set_nonblocking(true).unwrap();
    // Whoever is listened to is the first one still.
    let (other, _other_pipes) = world.run(2, COUNTING);
    let nothing = early.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    early.set_nonblocking(false).unwrap();
    world.hang_up();
    // Its turn has come.
    let mut head = [0; 4];
    early.read_exact(&mut head).unwrap();
    assert!(exists(pid) && exists(other));
}

pub(crate) fn who_comes_too_late_is_told_so() {
    let mut world = World::start_with_door();
    let (pid, mut pipes) = world.run(1, "trap '' TERM; echo 0; while :; do sleep 1000; done");
    pipes.line();
    world.signal(Signal::TERM);
    world.replace_daemon();
    let introduction = introduction(&mut world);
    assert!(introduction.ending && introduction.held == 1);
    assert!(held(&mut world).ending);
    let mut spawn = shell(2, "exit 0");
    spawn.upstream = 2;
    drop(world.order(&spawn));
    wait_until_gone(pid);
}

pub(crate) fn a_guardian_without_servers_does_not_wait_for_anybody() {
    let mut world = World::start_with_door();
    let began = Instant::now();
    world.hang_up();
    assert!(world.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5));
}
