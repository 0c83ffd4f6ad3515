//! What lies where our files have to be, and what happens when these are taken away.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::support::{Client, FAKE_SERVER, Home, finish, until};

/// Exit code of `mcpool connect` where there can be no daemon.
const NO_DAEMON: i32 = 3;

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A home with folders that are as they have to be.
fn prepared() -> Home {
    let home = Home::new();
    home.make_private("state");
    home.make_private("logs");
    home
}

fn socket(home: &Home) -> PathBuf {
    home.pool().join("mcpool.sock")
}

#[track_caller]
fn is_served(home: &Home) {
    let mut client = home.session(&[]);
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    assert_eq!(home.status()["sessions"].as_array().unwrap().len(), 1);
}

#[test]
fn whatever_a_crash_leaves_in_the_socket_s_place_is_replaced() {
    type Leave = fn(&Path);
    let kinds: [(&str, Leave); 5] = [
        ("a socket without a listener", |path| {
            drop(UnixListener::bind(path).unwrap());
        }),
        ("a file", |path| fs::write(path, "x").unwrap()),
        ("a pipe", pipe),
        ("a link to nowhere", |path| {
            symlink("/nowhere/mcpool.sock", path).unwrap();
        }),
        ("a link to a file", |path| {
            symlink("/dev/null", path).unwrap();
        }),
    ];
    for (_, leave) in kinds {
        let home = prepared();
        leave(&socket(&home));
        is_served(&home);
    }
}

#[test]
fn garbage_in_files_of_ours_keeps_nobody_from_starting() {
    for garbage in [
        &b""[..],
        b"12",
        b"4194303\n/nowhere/mcpool.sock\n",
        b"1\n/nowhere/mcpool.sock\n",
        b"-7\n\n\n",
        b"\x00\xff\xfe garbage \n\x00",
        vec![b'9'; 20_000].as_slice(),
    ] {
        let home = prepared();
        for name in ["state/daemon.lock", "state/daemon.start", "guard.sock"] {
            fs::write(home.pool().join(name), garbage).unwrap();
        }
        is_served(&home);
    }
}

#[test]
fn what_cannot_be_replaced_safely_is_named_at_once() {
    type Leave = fn(&Path);
    let kinds: [(&str, Leave); 5] = [
        ("mcpool.sock", |path| fs::create_dir(path).unwrap()),
        ("state/daemon.lock", |path| fs::create_dir(path).unwrap()),
        ("state/daemon.lock", pipe),
        ("state/daemon.start", pipe),
        ("state/daemon.lock", |path| {
            symlink("/dev/null", path).unwrap();
        }),
    ];
    for (name, leave) in kinds {
        let home = prepared();
        let path = home.pool().join(name);
        leave(&path);
        let arguments = ["connect", "--on-daemon-failure", "error", "--", FAKE_SERVER];
        let ran = finish(&mut home.mcpool(&arguments));
        assert_eq!(ran.code, Some(NO_DAEMON), "{ran:?}");
        assert!(ran.stderr.contains(path.to_str().unwrap()), "{ran:?}");
        // Not for the test either, which reads the lock when it is over.
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_home_that_cannot_be_made_or_written_is_named_at_once() {
    let home = Home::new();
    // No user can make a folder there, root included.
    let file = home.root().join("a-file");
    fs::write(&file, "").unwrap();
    let places = [file.join("pool"), PathBuf::from("/proc/mcpool")];
    for place in places {
        for arguments in [
            &["connect", "--", FAKE_SERVER][..],
            &["serve"],
            &["add", "x", "--", "/bin/cat"],
        ] {
            let ran = finish(home.mcpool(arguments).env("MCPOOL_HOME", &place));
            let expected = if arguments[0] == "connect" {
                NO_DAEMON
            } else {
                1
            };
            assert_eq!(ran.code, Some(expected), "{arguments:?}: {ran:?}");
            assert!(ran.stderr.contains(place.to_str().unwrap()), "{ran:?}");
        }
    }
}

#[test]
fn a_folder_that_may_only_be_read_is_named_or_is_of_no_concern_to_root() {
    let home = prepared();
    let state = home.pool().join("state");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
    if rustix::process::geteuid().is_root() {
        return is_served(&home);
    }
    let ran = finish(&mut home.mcpool(&["connect", "--", FAKE_SERVER]));
    assert_eq!(ran.code, Some(NO_DAEMON), "{ran:?}");
    assert!(ran.stderr.contains(state.to_str().unwrap()), "{ran:?}");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_socket_that_somebody_removes_is_bound_again_by_the_same_daemon() {
    let home = Home::new();
    let mut first = home.session(&[]);
    let daemon = home.daemon_pid().unwrap();
    fs::remove_file(socket(&home)).unwrap();
    let mut second = home.session(&[]);
    assert_eq!(second.text("echo", json!({"text": "new"})), "new");
    assert_eq!(first.text("echo", json!({"text": "old"})), "old");
    assert_eq!(home.daemon_pid(), Some(daemon));
    assert_eq!(home.status()["sessions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_lock_that_somebody_removes_is_taken_again_and_there_is_never_a_second_daemon() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let daemon = home.daemon_pid().unwrap();
    let lock = home.pool().join("state/daemon.lock");
    fs::remove_file(&lock).unwrap();
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains(socket(&home).to_str().unwrap()),
        "{ran:?}"
    );
    until("the lock being the daemon's again", || {
        home.daemon_pid() == Some(daemon)
    });
    assert_eq!(client.text("echo", json!({"text": "on"})), "on");
    home.done(&["stop"]);
    assert!(!lock.exists() && !socket(&home).exists());
}

#[test]
fn a_configuration_that_is_no_file_is_told_and_keeps_nobody_waiting() {
    let home = Home::new();
    home.done(&["add", "fake", "--", FAKE_SERVER]);
    home.configured("fake").close();
    let config = home.pool().join("config.toml");
    fs::remove_file(&config).unwrap();
    pipe(&config);
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
    client.initialize();
    let error = home.status()["config_error"].clone();
    let error = error.as_str().unwrap();
    assert!(error.contains(config.to_str().unwrap()), "{error}");
    assert!(home.done(&["status"]).contains(error));
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("it is not a file"), "{ran:?}");
}
