//! From the preface to the last message.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    process::{Command, Stdio},
    thread,
};

use rustix::io::ioctl_fionread;
use shim::{direct::Locks, places::Places, workspace::Evidence};

use crate::stage::{ACTOR, Stage, wait};

#[test]
fn the_preface_tells_who_asks_for_what() {
    let stage = Stage::new();
    let (client, daemon) = stage.open(&[
        "--scope", "session", "--env", "TOKEN", "--", "npx", "-y", "x",
    ]);
    let home = stage.home.path().canonicalize().unwrap();
    assert_eq!(daemon.preface.pid, client.child.id());
    assert_eq!(daemon.preface.cwd, home);
    let session = daemon.session();
    assert_eq!(session.server, "x");
    assert_eq!(session.command, ["npx", "-y", "x"]);
    assert_eq!(session.pass, ["TOKEN"]);
    assert_eq!(session.variable("TOKEN"), Some(OsStr::new("a=b")));
    let workspace = session.workspace.as_ref().unwrap();
    assert_eq!(workspace.path, home);
    assert_eq!(workspace.evidence, Evidence::Directory);
    // Before the daemon's end goes: a shim that was not answered would look for another daemon,
    // and start the real one if it lies beside it.
    drop(client);
}

#[test]
fn a_refusal_is_told_and_nothing_was_read_from_stdin() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.open(&["echo"]);
    client.say("{}\n");
    daemon.say("\x1erefused no server named `echo` is configured\n");
    let stdin = client.stdin.take().unwrap();
    let (status, words) = client.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(words, "mcpool: no server named `echo` is configured\n");
    assert_eq!(ioctl_fionread(&stdin), Ok(3));
}

#[test]
fn a_command_that_the_daemon_may_not_run_runs_in_place_of_the_shim() {
    let stage = Stage::new();
    let script = "read line; echo \"$A $TOKEN $line $$\"";
    let (mut client, mut daemon) = stage.open(&["--env", "A=1", "--", "sh", "-c", script]);
    client.say("{}\n");
    daemon.say("\x1erun-it-yourself\n");
    let pid = client.child.id();
    assert_eq!(client.hear_line(), format!("1 a=b {{}} {pid}\n"));
    client.end_well();
}

#[test]
fn without_any_daemon_one_session_runs_the_command_itself_and_the_others_are_told_why() {
    let mut stage = Stage::new();
    stage.close();
    let script = "read line; echo \"$A $line $$\"; read line";
    let command = ["--env", "A=1", "--", "sh", "-c", script];
    let mut first = stage.lonely_client(&command);
    let pid = first.child.id();
    first.say("{}\n");
    assert_eq!(first.hear_line(), format!("1 {{}} {pid}\n"));
    let mut other = stage.lonely_client(&command);
    other.stdin.take();
    let (status, words) = other.end();
    assert_eq!(status.code(), Some(3));
    assert!(
        words.contains("mcpoold is missing") && words.contains("another session"),
        "{words}"
    );
    let places = Places::find(Some(stage.home.path())).unwrap();
    let running = Locks::of(&places).running().unwrap();
    assert_eq!((running.len(), running[0].pid), (1, pid));
    let log = fs::read_to_string(places.daemon_log()).unwrap();
    assert!(log.contains(&format!("process {pid} runs `sh`")), "{log}");
    first.say("{}\n");
    let (status, words) = first.end();
    assert!(
        status.code() == Some(0) || status.code() == Some(1),
        "{status}"
    );
    assert!(
        words.contains("mcpoold is missing") && words.contains("unshared"),
        "{words}"
    );
    let mut next = stage.lonely_client(&command);
    next.say("{}\n");
    assert_eq!(next.hear_line(), format!("1 {{}} {}\n", next.child.id()));
}

#[test]
fn a_workspace_that_does_not_exist_is_wrong_usage() {
    let stage = Stage::new();
    // Nobody is asked, so nobody is listening.
    let mut shim = Command::new(ACTOR)
        .args([
            "connect",
            "echo",
            "--workspace",
            "/does/not/exist",
            "--home",
        ])
        .arg(stage.home.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(wait(&mut shim).code(), Some(2));
    let mut words = String::new();
    shim.stderr.unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("/does/not/exist"), "{words}");
}

#[test]
fn messages_go_both_ways_and_control_lines_go_no_further() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    client.say("{\"id\":1}\n{\"id\":2}\n");
    assert_eq!(daemon.hear_line(), "{\"id\":1}\n");
    assert_eq!(daemon.hear_line(), "{\"id\":2}\n");
    daemon.say("\x1eheld 2\n{\"id\":1,\"result\":{}}\n\x1edone 1\n\x1esent 2\n");
    daemon.say("{\"id\":2,\"result\":{}}\n\x1edone 2\n");
    assert_eq!(client.hear_line(), "{\"id\":1,\"result\":{}}\n");
    assert_eq!(client.hear_line(), "{\"id\":2,\"result\":{}}\n");
    client.stdin = None;
    assert_eq!(daemon.hear_line(), "");
    drop(daemon);
    assert_eq!(client.hear_rest(), "");
    client.end_well();
}

#[test]
fn a_daemon_that_hangs_up_without_a_word_is_asked_again() {
    let stage = Stage::new();
    let (mut client, daemon) = stage.open(&["echo"]);
    drop(daemon);
    let mut daemon = stage.accept();
    daemon.say("\x1eaccepted\n{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    client.stdin = None;
    assert_eq!(daemon.hear_line(), "");
    drop(daemon);
    client.end_well();
}

#[test]
fn messages_of_ten_megabytes_go_through_unchanged() {
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    let large: String = ('a'..='z').cycle().take(10 << 20).collect::<String>() + "\n";
    thread::scope(|scope| {
        scope.spawn(|| client.say(&large));
        assert!(daemon.hear_line() == large, "the request was changed");
    });
    thread::scope(|scope| {
        scope.spawn(|| daemon.say(&format!("{large}\x1edone 1\n")));
        assert!(client.hear_line() == large, "the reply was changed");
    });
    client.stdin = None;
    assert_eq!(daemon.hear_line(), "");
    drop(daemon);
    client.end_well();
}

#[test]
fn a_hundred_thousand_lines_that_are_done_leave_no_memory_behind() {
    const LINES: usize = 100_000;
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    client.say("{}\n");
    daemon.hear_line();
    let before = client.own_memory();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 2..=LINES {
                client.say(&format!("{{\"id\":{number},\"method\":\"ping\"}}\n"));
            }
        });
        for number in 2..=LINES {
            let line = daemon.hear_line();
            assert!(line.contains(&format!("\"id\":{number},")), "{line}");
            daemon.say(&format!("\x1edone {number}\n"));
        }
    });
    daemon.say("{}\n");
    assert_eq!(client.hear_line(), "{}\n");
    let grown = client.own_memory().saturating_sub(before);
    assert!(grown < 512 * 1024, "{grown} bytes more than before");
}

#[test]
fn a_client_with_too_much_that_is_not_done_goes_on_once_it_is() {
    const LINES: usize = 80;
    let stage = Stage::new();
    let (mut client, mut daemon) = stage.accepted();
    let line = "x".repeat((1 << 20) - 1) + "\n";
    thread::scope(|scope| {
        scope.spawn(|| (0..LINES).for_each(|_| client.say(&line)));
        for number in 1..=LINES {
            assert!(daemon.hear_line() == line);
            // 64 of them are the most that is kept while one more comes in.
            if number >= 64 {
                daemon.say(&format!("\x1edone {number} {}\n", number - 63));
            }
        }
    });
    client.stdin = None;
    assert_eq!(daemon.hear_line(), "");
    drop(daemon);
    client.end_well();
}
