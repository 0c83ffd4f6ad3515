//! A disk that is full, and logs that others rotate, remove or put something in the place of.
//!
//! A limit on the size of files stands for the full disk: a write fails in the same way, and it works
//! for every user and on every system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, finish, until};

/// Calls that are made while nothing can be written.
const CALLS: u32 = 200;

fn pid_of(status: &Value) -> u32 {
    let pid = status["daemon"]["pid"].as_u64().unwrap();
    pid.try_into().unwrap()
}

/// From now on no file of this process may be longer; `None` lifts that.
fn limit_files(pid: u32, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    let pid = Pid::from_raw(pid.cast_signed());
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

fn log(home: &Home, name: &str) -> PathBuf {
    home.pool().join("logs").join(name)
}

fn text_of(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn complain(client: &mut Client, text: &str) {
    assert_eq!(client.text("stderr", json!({"text": text})), text);
}

#[test]
fn on_a_full_disk_every_call_is_served_lines_are_counted_and_logs_go_on_when_there_is_room() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let daemon = home.daemon_pid().unwrap();
    complain(&mut client, "while there is room");
    let server_log = log(&home, "fake-server.log");
    until("a line in the log", || {
        text_of(&server_log).contains("while there is room")
    });
    limit_files(daemon, Some(0));
    for number in 0..CALLS {
        complain(&mut client, &format!("lost {number}"));
    }
    // A server is started and a session is welcome all the same.
    let mut other = home.session(&["--say", "another"]);
    assert_eq!(other.text("echo", json!({"text": "here"})), "here");
    until("a count of the lines that are lost", || {
        home.status()["daemon"]["log_lines_lost"].as_u64() >= Some(CALLS.into())
    });
    let shown = home.done(&["status"]);
    assert!(shown.contains("The logs cannot be written: "), "{shown}");
    assert!(!text_of(&server_log).contains("lost"));

    limit_files(daemon, None);
    complain(&mut client, "room again");
    until("the line after the count", || {
        let text = text_of(&server_log);
        text.contains("lines could not be written to this log") && text.contains("room again")
    });
    until("no trouble any more", || {
        home.status()["daemon"]["log_trouble"].is_null()
    });
    let shown = home.done(&["status"]);
    assert!(shown.contains("\nThe logs lack "), "{shown}");
}

#[test]
fn a_daemon_that_starts_on_a_full_disk_serves_and_announces_itself_when_there_is_room() {
    let home = Home::new();
    let mut command = home.limited("ulimit -S -f 0", &["connect", "--", FAKE_SERVER]);
    let mut client = Client::spawn(&mut command);
    client.initialize();
    assert_eq!(client.text("echo", json!({"text": "served"})), "served");
    let daemon = pid_of(&home.status());
    assert_eq!(home.daemon_pid(), None, "there is no room to say so");
    limit_files(daemon, None);
    until("the daemon being named by its lock", || {
        home.daemon_pid() == Some(daemon)
    });
    home.done(&["stop"]);
}

#[test]
fn an_edit_that_finds_no_room_says_so_and_leaves_the_file_as_it_was() {
    let home = Home::new();
    let before = "# mine\n[servers.kept]\ncommand = \"cat\"\n";
    home.configure(before);
    for arguments in [&["add", "more", "--", "/bin/cat"][..], &["remove", "kept"]] {
        let ran = finish(&mut home.limited("ulimit -f 0", arguments));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let file = home.pool().join("config.toml");
        assert!(
            ran.stderr
                .contains(&format!("cannot write {}", file.display())),
            "{ran:?}"
        );
        assert_eq!(text_of(&file), before);
        let names: Vec<_> = fs::read_dir(home.pool()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "nothing half written is left: {names:?}");
    }
}

#[test]
fn logs_that_others_rotate_or_remove_are_begun_anew() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let file = log(&home, "fake-server.log");
    let logged = |client: &mut Client, text: &str| {
        complain(client, text);
        until(text, || text_of(&file).contains(text));
    };
    logged(&mut client, "first");
    fs::rename(&file, log(&home, "fake-server.log-yesterday")).unwrap();
    logged(&mut client, "second");
    assert!(!text_of(&file).contains("first"));
    fs::remove_file(&file).unwrap();
    logged(&mut client, "third");
    assert!(!text_of(&file).contains("second"));
    fs::write(&file, "").unwrap();
    logged(&mut client, "fourth");
    fs::remove_dir_all(home.pool().join("logs")).unwrap();
    logged(&mut client, "fifth");
    assert_eq!(home.status()["daemon"]["log_lines_lost"], 0);
}

#[test]
fn pipes_in_the_place_of_logs_keep_nobody_waiting() {
    let home = Home::new();
    home.make_private("logs");
    for name in ["daemon.log", "fake-server.log"] {
        let made = Command::new("mkfifo").arg(log(&home, name)).status();
        assert!(made.unwrap().success());
    }
    let mut client = home.session(&[]);
    complain(&mut client, "nobody reads it");
    until("a count of the lines that are lost", || {
        home.status()["daemon"]["log_lines_lost"].as_u64() > Some(0)
    });
    for name in ["daemon.log", "fake-server.log"] {
        fs::remove_file(log(&home, name)).unwrap();
    }
    complain(&mut client, "somebody may read it");
    until("the line in a file", || {
        text_of(&log(&home, "fake-server.log")).contains("somebody may read it")
    });
    home.done(&["stop"]);
}
