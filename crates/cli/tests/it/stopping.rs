//! The end: nothing is left.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Client, FAKE_SERVER, Home, eventually,
    processes::{self, Process},
    until,
};

#[track_caller]
fn nothing_is_left(home: &Home, processes: &[Process]) {
    let left: Vec<&Process> = processes
        .iter()
        .filter(|process| process.is_alive())
        .collect();
    assert!(left.is_empty(), "still running: {left:?}");
    for file in ["mcpool.sock", "state/daemon.lock"] {
        assert!(!home.pool().join(file).exists(), "{file} is left");
    }
}

fn lingering(home: &Home) -> Vec<Process> {
    let lines = home.lines("record");
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("lingering "))
        .filter_map(|pid| Process::of(pid.parse().unwrap()))
        .collect()
}

/// A session whose server and both of its descendants stay until they are killed; the server comes last.
fn stubborn_session(home: &Home) -> (Client, Vec<Process>) {
    let record = home.file("record");
    let options = [
        "--record",
        &record,
        "--grandchild",
        "--double-fork",
        "--ignore-eof",
        "--ignore-term",
    ];
    let mut client = home.session(&options);
    let server = Process::of(client.server_pid()).unwrap();
    let mut processes = eventually("both descendants", || {
        Some(lingering(home)).filter(|found| found.len() == 2)
    });
    processes.push(server);
    (client, processes)
}

#[test]
fn stop_ends_every_process_socket_and_lock() {
    let home = Home::new();
    let mut client = home.session(&[]);
    client.server_pid();
    let tree = processes::with_descendants(home.daemon_pid().unwrap());
    assert_eq!(tree.len(), 3);
    home.done(&["stop"]);
    until("the daemon to end", || !tree.iter().any(Process::is_alive));
    nothing_is_left(&home, &tree);
    // The session has not ended, and needs a daemon only now.
    let again = client.server_pid();
    assert!(!tree.iter().any(|process| process.pid == again));
    client.close();
}

#[test]
fn stop_without_a_daemon_is_done_already() {
    let home = Home::new();
    assert!(home.done(&["stop"]).contains("does not run"));
}

#[test]
fn children_and_runaways_of_a_server_end_with_it() {
    let home = Home::new();
    let (_client, mut all) = stubborn_session(&home);
    all.extend(processes::with_descendants(home.daemon_pid().unwrap()));
    home.done(&["stop"]);
    until("the daemon to end", || !all.iter().any(Process::is_alive));
    nothing_is_left(&home, &all);
}

#[test]
fn what_a_killed_guardian_leaves_behind_ends_before_its_server_starts_again() {
    let home = Home::new();
    let (mut client, mut old) = stubborn_session(&home);
    let guardian = home.status()["daemon"]["guardian_pid"].as_u64().unwrap();
    Process::of(guardian.try_into().unwrap()).unwrap().kill();
    until("a new server", || {
        let upstream = home.upstream();
        upstream["restarts"] == 1 && upstream["state"] == "ready"
    });
    assert!(!old.iter().any(Process::is_alive), "{old:?}");
    assert_ne!(client.server_pid(), old[2].pid);
    home.done(&["stop"]);
    old.extend(lingering(&home));
    nothing_is_left(&home, &old);
}

/// Options of a server that leaves a process behind which stays until it is killed.
const LEAVING: [&str; 2] = ["--grandchild", "--ignore-term"];

/// The server of this client, and what it would leave behind.
fn with_child(client: &mut Client) -> [Process; 2] {
    let server = client.server_pid();
    eventually("a child of the server", || {
        processes::with_descendants(server).try_into().ok()
    })
}

#[test]
fn what_is_left_of_a_server_keeps_no_server_of_its_name_in_another_project_waiting() {
    let home = Home::new();
    home.configure(&format!(
        "[servers.echo]\ncommand = {FAKE_SERVER:?}\nargs = {LEAVING:?}\n"
    ));
    let mut round = 0;
    // On a machine that is busy all may have been killed before the other has been started.
    until("a server beside what is left of the other", || {
        round += 1;
        let mut clients = ["one", "other"].map(|project| {
            let project = home.project(&format!("{project}-{round}"));
            let mut connect = home.mcpool(&["connect", "echo"]);
            Client::spawn(connect.current_dir(project))
        });
        let [one, other] = &mut clients;
        one.initialize();
        let [_, left] = with_child(one);
        one.call("crash", json!({}));
        other.initialize();
        other.server_pid();
        left.is_alive()
    });
}

#[test]
fn a_server_is_not_started_beside_what_is_left_of_it_under_another_label() {
    let meanwhile: [fn(&Home); 3] = [
        |_home| {},
        |home| drop(home.done(&["upgrade"])),
        |home| {
            home.kill_daemon();
        },
    ];
    for happens in meanwhile {
        let home = Home::new();
        let connect = |label: &str| {
            let words = ["connect", "--name", label, "--", FAKE_SERVER];
            let mut client = Client::spawn(&mut home.mcpool(&[&words[..], &LEAVING].concat()));
            client.initialize();
            client
        };
        let mut one = connect("one");
        let [server, left] = with_child(&mut one);
        happens(&home);
        assert_eq!(one.server_pid(), server.pid);
        assert!(one.close().success());
        until("the end of the session", || {
            home.status()["sessions"] == json!([])
        });
        server.kill();
        until("the end of the server", || home.upstream_pids().is_empty());
        // Nobody wants it any more, so the core forgets it.
        home.done(&["restart", "one"]);
        assert_eq!(home.status()["upstreams"], json!([]));
        let mut other = connect("other");
        other.server_pid();
        assert!(!left.is_alive(), "{left:?}");
    }
}

#[test]
fn a_tree_of_shells_as_of_npx_ends_with_its_server() {
    let home = Home::new();
    let script = format!("sh -c 'sleep 1000 & {FAKE_SERVER}; wait' & wait");
    // A shell gives background commands no input unless told to.
    let script =
        script
            .replacen("sh -c", "exec 3<&0; sh -c", 1)
            .replacen("wait' &", "wait' <&3 &", 1);
    let mut client = Client::spawn(&mut home.mcpool(&[
        "connect", "--name", "tree", "--scope", "global", "--", "sh", "-c", &script,
    ]));
    client.initialize();
    client.server_pid();
    let tree = processes::with_descendants(home.daemon_pid().unwrap());
    assert!(
        tree.len() >= 6,
        "daemon, guardian, two shells, sleep and server: {tree:?}"
    );
    home.done(&["stop"]);
    until("the daemon to end", || !tree.iter().any(Process::is_alive));
    nothing_is_left(&home, &tree);
}

#[test]
fn an_interrupted_daemon_in_the_foreground_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let home = Home::new();
        let mut daemon = home
            .mcpool(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the daemon to listen", || {
            home.pool().join("mcpool.sock").exists()
        });
        let mut client = home.session(&[]);
        client.server_pid();
        let tree = processes::with_descendants(daemon.id());
        assert_eq!(tree.len(), 3);
        tree[0].signal(signal);
        let status = daemon.wait().unwrap();
        assert!(status.success(), "{signal:?}: {status}");
        until("the servers to end", || !tree.iter().any(Process::is_alive));
        nothing_is_left(&home, &tree);
    }
}

#[test]
fn what_waits_when_the_daemon_stops_is_answered() {
    let home = Home::new();
    let record = home.file("record");
    let mut client = home.session(&["--record", &record]);
    let id = client.begin("slow", json!({"until": home.file("never")}));
    until("the call", || {
        home.lines("record")
            .iter()
            .any(|line| line.starts_with("call slow"))
    });
    home.done(&["stop"]);
    let error = client.response(id)["error"].clone();
    assert_eq!(error["data"]["source"], "mcpool", "{error}");
}

#[test]
fn a_session_after_a_stop_starts_it_all_again() {
    let home = Home::new();
    home.session(&[]).close();
    home.done(&["stop"]);
    let mut client = home.session(&[]);
    assert_eq!(client.text("echo", json!({"text": "again"})), "again");
}

#[test]
fn of_a_daemon_that_stands_still_it_is_told_how_to_go_on() {
    let home = Home::new();
    let mut alice = home.session(&[]);
    let daemon = Process::of(home.daemon_pid().unwrap()).unwrap();
    daemon.signal(Signal::STOP);
    let too_late = home.run(&["call", "fake", "echo", "--timeout", "100ms"]);
    let refused = home.run(&["stop"]);
    daemon.signal(Signal::CONT);
    assert_eq!(too_late.code, Some(124), "{too_late:?}");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let pid = home.daemon_pid().unwrap();
    let mend = format!("`kill -CONT {pid}`");
    assert!(refused.stderr.contains(&mend), "{refused:?}");
    alice.come_to_rest();
}
