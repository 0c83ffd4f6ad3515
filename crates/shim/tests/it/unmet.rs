//! A session for which no daemon can be had when it begins.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::{io::ioctl_fionread, process::Signal};
use shim::{direct::Locks, places::Places};

use crate::stage::{Client, DEADLINE, Stage, wait_until};

const INITIALIZE: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\"}\n";

const SOON: Duration = Duration::from_millis(200);

/// Notes that it runs, and answers each line with its own process id.
const SERVER: &str = "echo ran >> notes; while read -r line; do \
                      id=$(printf %s \"$line\" | sed -n 's/.*\"id\":\\([0-9]*\\).*/\\1/p'); \
                      echo \"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":$id,\\\"result\\\":$$}\"; done";

const COMMAND: [&str; 4] = ["--", "sh", "-c", SERVER];

fn ping(id: u32) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n")
}

/// The next line is an error that answers this request, and names the cause.
#[track_caller]
fn is_refused(client: &mut Client, id: u32, cause: &str) {
    let refused = client.hear_line();
    assert!(
        refused.contains(&format!("\"id\":{id},\"error\"")) && refused.contains(cause),
        "{refused}"
    );
    assert!(refused.contains("daemon-unreachable"), "{refused}");
    assert!(refused.contains("\"maybeExecuted\":false"), "{refused}");
}

/// Asks until somebody serves.
fn result_of_ping(client: &mut Client) -> String {
    let begin = Instant::now();
    for id in 1.. {
        client.say(&ping(id));
        let answer = client.hear_line();
        if answer.contains("\"result\"") {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "{answer}");
    }
    unreachable!("so many pings");
}

/// Goes on with a session at the first daemon that it has.
fn served(stage: &Stage, told: &str) -> crate::stage::Daemon {
    loop {
        let mut daemon = stage.accept();
        // It has gone who came when nobody answered.
        if daemon.session().resume.is_some() {
            daemon.say("\x1eaccepted 1\n");
            assert_eq!(daemon.hear_resumed(), told);
            return daemon;
        }
    }
}

#[test]
fn of_a_daemon_that_does_not_answer_it_is_told_in_time_and_runs_nothing_itself() {
    let stage = Stage::new();
    let mut client = stage.lonely_client_with(SOON, &COMMAND);
    client.say(INITIALIZE);
    is_refused(&mut client, 0, "did not answer in time");
    let begin = Instant::now();
    client.say(&ping(1));
    is_refused(&mut client, 1, "did not answer in time");
    // Whoever waits for a daemon to start does so for longer.
    assert!(begin.elapsed() < Duration::from_secs(20));
    // It may have servers, so nobody else runs one.
    assert!(!stage.home.path().join("notes").exists());
    let places = Places::find(Some(stage.home.path())).unwrap();
    assert!(Locks::of(&places).running().unwrap().is_empty());
    // It goes on, and so does the session.
    let mut daemon = served(&stage, "\x1enext 3\n");
    client.say(INITIALIZE);
    assert_eq!(daemon.hear_line(), INITIALIZE);
    daemon.say("{\"id\":0}\n\x1edone 3\n");
    assert_eq!(client.hear_line(), "{\"id\":0}\n");
    client.stdin.take();
    assert_eq!(daemon.hear_line(), "");
    drop(daemon);
    let (status, words) = client.end();
    assert_eq!(status.code(), Some(0), "{words}");
    assert!(
        words.contains("did not answer in time; mcpool goes on trying"),
        "{words}"
    );
}

#[test]
fn what_it_says_while_there_is_hope_waits_for_the_daemon() {
    let mut stage = Stage::new();
    stage.close();
    let mut client = stage.lonely_client_with(DEADLINE, &["echo"]);
    client.say(INITIALIZE);
    let stdin = client.stdin.as_ref().unwrap();
    wait_until(|| ioctl_fionread(stdin) == Ok(0));
    stage.open_again();
    let mut daemon = served(
        &stage,
        &format!("\x1eline 1 fresh\n{INITIALIZE}\x1enext 2\n"),
    );
    daemon.say("{\"id\":0}\n\x1edone 1\n");
    assert_eq!(client.hear_line(), "{\"id\":0}\n");
}

#[test]
fn a_name_or_a_wish_for_it_is_an_error_that_names_the_cause() {
    let mut stage = Stage::new();
    stage.close();
    for arguments in [&["echo"][..], &["--on-daemon-failure", "error", "--", "sh"]] {
        let mut client = stage.lonely_client_with(SOON, arguments);
        client.say(INITIALIZE);
        is_refused(&mut client, 0, "mcpoold is missing");
        client.stdin.take();
        let (status, words) = client.end();
        assert_eq!(status.code(), Some(3), "{words}");
        assert!(words.contains("mcpoold is missing"), "{words}");
    }
}

#[test]
fn of_two_one_runs_the_server_and_the_other_does_when_that_has_ended() {
    let mut stage = Stage::new();
    stage.close();
    let mut first = stage.lonely_client_with(SOON, &COMMAND);
    first.say(INITIALIZE);
    let answer = first.hear_line();
    assert!(
        answer.contains(&format!("\"result\":{}", first.child.id())),
        "{answer}"
    );
    let mut second = stage.lonely_client_with(SOON, &COMMAND);
    second.say(INITIALIZE);
    is_refused(&mut second, 0, "another session runs it already");
    first.stdin.take();
    let (status, words) = first.end();
    assert_eq!(status.code(), Some(0), "{words}");
    let answer = result_of_ping(&mut second);
    assert!(
        !answer.contains(&format!("\"result\":{}", second.child.id())),
        "{answer}"
    );
    let notes = fs::read_to_string(stage.home.path().join("notes")).unwrap();
    assert_eq!(notes, "ran\nran\n");
    second.stdin.take();
    let (status, words) = second.end();
    assert_eq!(status.code(), Some(0), "{words}");
    assert!(!words.contains("forgotten"), "{words}");
}

#[test]
fn it_runs_what_a_daemon_that_comes_late_may_not_run() {
    let mut stage = Stage::new();
    stage.close();
    let mut first = stage.lonely_client_with(SOON, &COMMAND);
    first.say(INITIALIZE);
    first.hear_line();
    let mut second = stage.lonely_client_with(SOON, &COMMAND);
    second.say(INITIALIZE);
    is_refused(&mut second, 0, "another session runs it already");
    stage.open_again();
    let mut daemon = stage.accept();
    daemon.say("\x1erun-it-yourself\n");
    drop(daemon);
    result_of_ping(&mut second);
}

#[test]
fn a_signal_ends_it() {
    let mut stage = Stage::new();
    stage.close();
    let mut client = stage.lonely_client_with(SOON, &["echo"]);
    client.say(INITIALIZE);
    is_refused(&mut client, 0, "mcpoold is missing");
    client.signal(Signal::TERM);
    let (status, _) = client.end();
    assert_eq!(status.code(), Some(3));
}
