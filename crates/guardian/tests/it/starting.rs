//! What a server starts with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use guardian::protocol::{self, Report, Spawn};

use crate::world::{LONG, World, exists, patience, shell, stat, status};

const NOT_FOUND: i32 = 2;
const NOT_ALLOWED: i32 = 13;
const NOT_DIRECTORY: i32 = 20;
const INVALID: i32 = 22;
const TOO_MANY_FILES: i32 = 24;

pub(crate) fn a_server_gets_exactly_the_environment_that_was_sent() {
    let mut world = World::start();
    let order = Spawn {
        program: "/usr/bin/env".into(),
        arguments: vec!["env".into()],
        environment: vec![
            ("ONE".into(), "1".into()),
            ("EMPTY".into(), "".into()),
            ("ODD".into(), "a=b c".into()),
            (protocol::MARKER.into(), "forged".into()),
        ],
        ..shell(7, "")
    };
    let mut pipes = world.order(&order);
    let mut lines: Vec<String> = pipes.read_all().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    let marker = format!("{}={}.7", protocol::MARKER, world.pid());
    assert_eq!(lines, ["EMPTY=", &marker, "ODD=a=b c", "ONE=1"]);
    assert!(matches!(
        world.report(),
        Report::Spawned { upstream: 7, .. }
    ));
    world.expect_end(7, Some(0), None);
}

pub(crate) fn a_server_sees_three_descriptors_whatever_its_ancestors_left_open() {
    // Some parent of ours forgot to close this one, as careless clients do.
    let (leaked, _writer) = std::io::pipe().unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let mut world = World::start();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::CLOEXEC).unwrap();
    let inherited = fs::read_dir(format!("/proc/{}/fd", world.pid())).unwrap();
    let same = |path: &Path| fs::read_link(path).ok() == fs::read_link(fd_path(&leaked)).ok();
    assert!(
        inherited.flatten().any(|entry| same(&entry.path())),
        "the test leaks nothing"
    );

    // Two at a time: neither sees the pipes of the other.
    let (first, mut first_pipes) = world.run(1, "echo ready; read line");
    let (second, mut second_pipes) = world.run(2, "echo ready; read line");
    for (pid, pipes) in [(first, &mut first_pipes), (second, &mut second_pipes)] {
        // Before that, the program's loader may have libraries open.
        assert_eq!(pipes.line(), "ready");
        let mut fds: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        fds.sort_unstable();
        assert_eq!(fds, ["0", "1", "2"]);
    }
}

fn fd_path(fd: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

pub(crate) fn a_server_has_the_surroundings_that_were_asked_for() {
    let mut world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let order = Spawn {
        directory: folder.path().to_owned(),
        umask: 0o027,
        ..shell(1, "exec cat")
    };
    let _pipes = world.order(&order);
    let Report::Spawned {
        upstream: 1,
        pid,
        start_time,
    } = world.report()
    else {
        panic!("not started")
    };
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(directory, folder.path().canonicalize().unwrap());
    assert_eq!(status(pid, "Umask"), "0027");
    assert_eq!(status(pid, "SigBlk"), "0000000000000000");
    let ignored = u64::from_str_radix(&status(pid, "SigIgn"), 16).unwrap();
    // 32 and 33 are the C library's own, and it lets nobody touch them.
    assert_eq!(ignored & !(0b11 << 31), 0);
    let stat = stat(pid).unwrap();
    assert_eq!(stat[1], world.pid().to_string(), "a child of the guardian");
    assert_eq!(stat[2], pid.to_string(), "the leader of its own group");
    assert_eq!(stat[19], start_time.to_string());
}

pub(crate) fn a_server_has_its_own_name_for_itself() {
    let world = World::start();
    let mut order = shell(1, "echo \"$0\"");
    order.arguments[0] = "called-so".into();
    let mut pipes = world.order(&order);
    assert_eq!(pipes.line(), "called-so");
}

pub(crate) fn a_program_that_cannot_be_run_is_told_by_name() {
    let mut world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("plain"), "").unwrap();
    fs::write(path("orphan"), "#! /no/such/interpreter -x\n").unwrap();
    fs::set_permissions(path("orphan"), fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (path("missing"), NOT_FOUND, "No such file or directory"),
        (path("plain"), NOT_ALLOWED, "Permission denied"),
        (folder.path().to_owned(), NOT_ALLOWED, "it is a directory"),
        (
            path("orphan"),
            NOT_FOUND,
            "its interpreter `/no/such/interpreter` is missing",
        ),
    ];
    for (upstream, (program, errno, why)) in (1..).zip(cases) {
        let text = format!("cannot run `{}`: {why}", program.display());
        let _pipes = world.order(&Spawn {
            program,
            ..shell(upstream, "exec cat")
        });
        assert_eq!(
            world.report(),
            Report::SpawnFailed {
                upstream,
                errno,
                text
            }
        );
    }
    // What failed is forgotten: its number may be used again.
    let (_, _pipes) = world.run(1, "exec cat");
}

pub(crate) fn a_directory_that_cannot_be_entered_is_told_by_name() {
    let mut world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let cases = [
        (
            folder.path().join("missing"),
            NOT_FOUND,
            "No such file or directory",
        ),
        (plain, NOT_DIRECTORY, "not a directory"),
    ];
    for (upstream, (directory, errno, why)) in (1..).zip(cases) {
        let text = format!("cannot start in `{}`: {why}", directory.display());
        let _pipes = world.order(&Spawn {
            directory,
            ..shell(upstream, "exec cat")
        });
        assert_eq!(
            world.report(),
            Report::SpawnFailed {
                upstream,
                errno,
                text
            }
        );
    }
}

pub(crate) fn a_program_is_not_searched_for() {
    let mut world = World::start();
    let _pipes = world.order(&Spawn {
        program: "sh".into(),
        ..shell(1, "exec cat")
    });
    let text = "`sh` is not an absolute path".to_owned();
    assert_eq!(
        world.report(),
        Report::SpawnFailed {
            upstream: 1,
            errno: INVALID,
            text
        }
    );
}

pub(crate) fn an_upstream_is_not_started_twice() {
    let mut world = World::start();
    let (pid, _pipes) = world.run(5, "exec cat");
    let _second = world.order(&shell(5, "exec cat"));
    let Report::SpawnFailed {
        upstream: 5, text, ..
    } = world.report()
    else {
        panic!("started twice")
    };
    assert_eq!(text, "upstream 5 runs already");
    assert!(exists(pid));
}

pub(crate) fn a_server_without_pipes_is_not_started() {
    let mut world = World::start();
    world.send(&protocol::Command::Spawn(shell(1, "exec cat")));
    let Report::SpawnFailed {
        upstream: 1,
        errno: TOO_MANY_FILES,
        ..
    } = world.report()
    else {
        panic!("started")
    };
    // And the next one gets its own.
    let (_, mut pipes) = world.run(2, "echo mine; exec cat");
    assert_eq!(pipes.line(), "mine");
    drop(pipes);
    world.stop(2, patience(LONG, Duration::ZERO));
    world.expect_end(2, Some(0), None);
}
