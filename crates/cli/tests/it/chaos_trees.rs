//! What calls have started, inside of the server's group and outside of it, and what descriptors they
//! are given: whatever ends a server ends all of that.

use serde_json::json;

use crate::support::{
    Client, FAKE_SERVER, Home, eventually,
    processes::{self, Process},
    until,
};

/// How a server comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Crash,
    Kill,
    Restart,
    LastSession,
    Stop,
}

/// A server of which calls have started two descendants, and all three; the server comes last.
fn tree(home: &Home, end: End) -> (Client, Vec<Process>) {
    let record = format!("record-{end:?}");
    let file = home.file(&record);
    let arguments = [
        "connect",
        "--scope",
        "session",
        "--",
        FAKE_SERVER,
        "--record",
        &file,
    ];
    let mut client = Client::spawn(&mut home.mcpool(&arguments));
    client.initialize();
    client.text("fork-grandchild", json!({}));
    client.text("double-fork", json!({}));
    let mut processes = eventually("both descendants", || {
        let lines = home.lines(&record);
        let pids = lines
            .iter()
            .filter_map(|line| line.strip_prefix("lingering "));
        let found: Vec<Process> = pids
            .filter_map(|pid| Process::of(pid.parse().unwrap()))
            .collect();
        (found.len() == 2).then_some(found)
    });
    processes.push(Process::of(client.server_pid()).unwrap());
    (client, processes)
}

#[test]
fn what_calls_have_started_ends_with_their_server_however_that_comes_to_its_end() {
    let home = Home::new();
    let ends = [
        End::Crash,
        End::Kill,
        End::Restart,
        End::LastSession,
        End::Stop,
    ];
    for end in ends {
        let (mut client, all) = tree(&home, end);
        let server = all.last().unwrap();
        match end {
            End::Crash => assert!(client.call("crash", json!({}))["error"].is_object()),
            End::Kill => server.kill(),
            End::Restart => drop(home.done(&["restart", "fake-server"])),
            End::LastSession => assert!(client.close().success()),
            End::Stop => drop(home.done(&["stop"])),
        }
        until("the end of them all", || !all.iter().any(Process::is_alive));
    }
}

#[test]
fn a_new_process_of_a_server_starts_only_when_what_the_last_one_had_started_is_gone() {
    let home = Home::new();
    let (mut client, all) = tree(&home, End::Crash);
    client.call("crash", json!({}));
    // Whoever answers this is the next one.
    client.come_to_rest();
    assert!(!all.iter().any(Process::is_alive), "{all:?}");
}

#[test]
fn nothing_that_a_server_has_left_behind_stays_in_the_table_of_processes() {
    let home = Home::new();
    let (mut client, _all) = tree(&home, End::Crash);
    client.call("crash", json!({}));
    client.come_to_rest();
    let daemon = home.daemon_pid().unwrap();
    until("daemon, guardian and one server being all", || {
        processes::with_descendants(daemon).len() == 3
    });
}

#[test]
fn a_server_is_given_three_descriptors_whatever_was_open_when_it_started() {
    let home = Home::new();
    let mut others: Vec<Client> = ["--one", "--two", "--three"]
        .map(|name| home.session(&[name]))
        .into();
    let mut client = home.session(&[]);
    for _ in 0..3 {
        for other in &mut others {
            other.server_pid();
        }
        assert_eq!(client.text("fd-dump", json!({})), "[0,1,2]");
        assert!(client.call("crash", json!({}))["error"].is_object());
    }
}
