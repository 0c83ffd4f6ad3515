//! The daemon: one per home, clean, and started by whoever comes first.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::json;

use crate::support::{Client, FAKE_SERVER, Home, processes, until};

#[test]
fn a_daemon_keeps_nothing_of_the_client_that_started_it() {
    let home = Home::new();
    let mut command = home.mcpool(&["connect", "--", FAKE_SERVER]);
    let mut client = Client::spawn(command.env("SECRET_TOKEN", "s3cr3t").env("FOO", "bar"));
    client.initialize();
    let daemon = home.daemon_pid().unwrap();
    let tree = processes::with_descendants(daemon);
    assert_eq!(tree.len(), 3, "daemon, guardian and server: {tree:?}");
    let names: BTreeSet<String> = processes::environment(daemon)
        .iter()
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, _)| name.to_owned())
        .collect();
    let allowed = ["HOME", "PATH", "USER", "LOGNAME", "LANG"].map(str::to_owned);
    assert!(names.is_subset(&BTreeSet::from(allowed)), "{names:?}");
    for process in &tree[..2] {
        assert_eq!(processes::folder(process.pid), Path::new("/"));
    }
}

#[test]
fn a_server_has_three_descriptors_and_the_umask_of_its_session() {
    let home = Home::new();
    let mut command = std::process::Command::new("sh");
    command
        .args([
            "-c",
            "umask 0027; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_mcpool"),
        ])
        .args(["connect", "--", FAKE_SERVER])
        .env("MCPOOL_HOME", home.pool())
        .env("HOME", home.user())
        .current_dir(home.project("project"));
    let mut client = Client::spawn(&mut command);
    client.initialize();
    let surroundings = client.surroundings();
    assert_eq!(surroundings["descriptors"], json!([0, 1, 2]));
    assert_eq!(surroundings["umask"], "0027");
}

#[test]
fn clients_that_come_at_once_start_one_daemon() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..12).map(|_| home.open(&[])).collect();
    for client in &mut clients {
        client.initialize();
    }
    let pids: BTreeSet<u32> = clients.iter_mut().map(Client::server_pid).collect();
    assert_eq!(pids.len(), 1);
    assert_eq!(home.status()["sessions"].as_array().unwrap().len(), 12);
}

#[test]
fn what_a_crashed_daemon_left_behind_is_in_nobody_s_way() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let server = client.server_pid();
    let first = processes::Process::of(home.daemon_pid().unwrap()).unwrap();
    // Nobody is left who would look for the next daemon.
    client.process().kill();
    client.ended();
    first.kill();
    assert!(
        home.pool().join("mcpool.sock").exists(),
        "a stale socket is there"
    );
    let mut next = home.session(&[]);
    assert_eq!(next.server_pid(), server);
    assert_ne!(home.daemon_pid(), Some(first.pid));
}

#[test]
fn a_socket_and_a_lock_from_nowhere_are_no_reason_to_fail() {
    let home = Home::new();
    let state = home.pool().join("state");
    fs::create_dir_all(&state).unwrap();
    for folder in [home.pool(), state.clone()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::write(state.join("daemon.lock"), "1\n/nowhere/mcpool.sock\n").unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.pool().join("mcpool.sock")).unwrap());
    let mut client = home.session(&[]);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
}

#[test]
fn a_second_daemon_of_the_same_home_does_not_come_about() {
    let home = Home::new();
    let _client = home.session(&[]);
    let daemon = home.daemon_pid().unwrap();
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&daemon.to_string()), "{}", ran.stderr);
    assert_eq!(home.daemon_pid(), Some(daemon));
}

#[test]
fn the_folder_and_the_socket_are_for_their_owner_alone() {
    let home = Home::new();
    let _client = home.session(&[]);
    let mode = |path: &str| {
        let metadata = fs::metadata(home.pool().join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("mcpool.sock"), 0o600);
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("logs"), 0o700);
    assert_eq!(mode("logs/daemon.log"), 0o600);
}

#[test]
fn a_daemon_with_no_room_for_sessions_still_takes_orders() {
    let home = Home::new();
    home.configure("[limits]\nsessions = 1\n");
    let mut only = home.session(&[]);
    let mut second = home.open(&[]);
    assert!(!second.ended().success());
    assert!(second.errors().contains("as many sessions as there may be"));
    assert_eq!(home.status()["sessions"].as_array().unwrap().len(), 1);
    home.done(&["stop"]);
    assert_eq!(home.daemon_pid(), None, "nobody wants another one");
    assert!(only.text("echo", json!({"text": "on"})) == "on");
}

#[test]
fn a_daemon_that_ends_leaves_the_files_of_its_successor_alone() {
    let home = Home::new();
    let mut first_client = home.session(&[]);
    let first = processes::Process::of(home.daemon_pid().unwrap()).unwrap();
    // It would put them back.
    first.signal(rustix::process::Signal::STOP);
    // As somebody does who thinks that this resets everything.
    fs::remove_dir_all(home.pool().join("state")).unwrap();
    fs::remove_file(home.pool().join("mcpool.sock")).unwrap();
    let mut client = home.session(&[]);
    assert_ne!(home.daemon_pid(), Some(first.pid));
    first.signal(rustix::process::Signal::CONT);
    first.signal(rustix::process::Signal::TERM);
    until("the end of the first daemon", || !first.is_alive());
    client.call("echo", json!({"text": "still here"}));
    first_client.call("echo", json!({"text": "here now"}));
    assert_eq!(home.status()["sessions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_daemon_outlives_a_starter_that_does_not_wait_for_it() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut daemon = home
        .mcpool(&["serve", "--background"])
        .stdout(writer)
        .spawn()
        .unwrap();
    until("the daemon listening", || home.daemon_pid().is_some());
    let mut client = home.session(&[]);
    assert_eq!(client.text("echo", json!({"text": "here"})), "here");
    assert_eq!(home.daemon_pid(), Some(daemon.id()));
    home.done(&["stop"]);
    assert!(daemon.wait().unwrap().success());
}
