//! Every way in which a session comes to its end.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::stage::{Client, DEADLINE, Daemon, Stage, wait_until};

/// What a client waits for before it kills.
const PATIENCE: Duration = Duration::from_millis(100);

/// Plays the scene until it takes no longer than it may, and fails if it never does: a machine that does something else
/// for a while proves nothing.
#[track_caller]
fn within_patience(scene: impl Fn(&Stage) -> Duration) {
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < DEADLINE {
        let time = scene(&Stage::new());
        if time <= PATIENCE {
            return;
        }
        times.push(time);
    }
    panic!("{times:?}");
}

/// How long the shim lives on after this.
fn time_to_end(client: Client) -> Duration {
    let begin = Instant::now();
    client.end_well();
    begin.elapsed()
}

/// Waits until the shim is in the session and not still on the way to it.
fn settle(client: &mut Client, daemon: &mut Daemon) {
    daemon.say("{}\n");
    assert_eq!(client.hear_line(), "{}\n");
}

#[test]
fn answers_still_come_after_the_end_of_input() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    client.say("{\"id\":1}\n");
    client.stdin = None;
    assert_eq!(daemon.hear_line(), "{\"id\":1}\n");
    assert_eq!(daemon.hear_line(), "", "the daemon hears of the end");
    daemon.say("{\"id\":1,\"result\":{}}\n\x1edone 1\n");
    drop(daemon);
    assert_eq!(client.hear_rest(), "{\"id\":1,\"result\":{}}\n");
    client.end_well();
}

#[test]
fn an_idle_session_ends_at_once_at_the_end_of_input() {
    within_patience(|stage| {
        let (mut client, mut daemon) = stage.accepted();
        settle(&mut client, &mut daemon);
        client.stdin = None;
        assert_eq!(daemon.hear_line(), "");
        drop(daemon);
        time_to_end(client)
    });
}

#[test]
fn a_client_that_is_gone_is_noticed_while_an_answer_is_still_to_come() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    settle(&mut client, &mut daemon);
    client.stdin = None;
    client.stdout = None;
    assert_eq!(daemon.hear_line(), "");
    // The daemon says nothing, and does not hang up.
    client.end_well();
    drop(daemon);
}

#[test]
fn a_client_that_reads_no_more_ends_the_session_quietly() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    settle(&mut client, &mut daemon);
    client.stdout = None;
    // Other tests fork, and for an instant their children hold the closed pipe too.
    while daemon.link.get_mut().write_all(b"{}\n").is_ok() {}
    client.end_well();
}

#[test]
fn each_signal_ends_an_idle_session_in_time() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        within_patience(|stage| {
            let (mut client, mut daemon) = stage.accepted();
            settle(&mut client, &mut daemon);
            client.signal(signal);
            time_to_end(client)
        });
    }
}

#[test]
fn a_signal_ends_a_session_whose_client_reads_nothing_in_time() {
    within_patience(|stage| {
        let (mut client, mut daemon) = stage.accepted();
        settle(&mut client, &mut daemon);
        // More than the pipe holds, so the shim cannot write all of it.
        daemon.say(&("x".repeat(100_000) + "\n"));
        wait_until(|| {
            let stdout = client.stdout.as_ref().unwrap().get_ref();
            rustix::io::ioctl_fionread(stdout).unwrap() > 0
        });
        client.signal(Signal::TERM);
        time_to_end(client)
    });
}

#[test]
fn what_was_received_before_a_signal_is_delivered() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    settle(&mut client, &mut daemon);
    // Stopped, it can have read none of this when the signal comes.
    client.signal(Signal::STOP);
    let replies: String = "{\"id\":1,\"result\":{}}\n".repeat(300);
    daemon.say(&replies);
    client.signal(Signal::TERM);
    client.signal(Signal::CONT);
    assert_eq!(client.hear_rest(), replies);
    client.end_well();
}

#[test]
fn a_signal_ends_a_shim_that_is_not_accepted_yet() {
    let stage = Stage::new();
    let (client, daemon) = stage.open(&["echo"]);
    client.signal(Signal::TERM);
    client.end_well();
    drop(daemon);
}
