//! Encoding and decoding.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::*;

fn spawn() -> Spawn {
    Spawn {
        upstream: 7,
        program: "/bin/echo".into(),
        arguments: vec![
            "echo".into(),
            OsString::new(),
            OsString::from_vec(vec![0xff, b'=', b'\n']),
        ],
        environment: vec![
            ("PATH".into(), "/bin".into()),
            ("EMPTY".into(), OsString::new()),
            ("RAW".into(), OsString::from_vec(vec![0xfe, b'=', b'='])),
        ],
        directory: "/tmp".into(),
        umask: 0o027,
    }
}

/// A message of these fields.
fn message(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    [&len.to_le_bytes(), body].concat()
}

#[test]
fn every_command_comes_back_as_it_was() {
    let patience = Patience {
        eof: Duration::from_secs(2),
        term: Duration::ZERO,
    };
    for command in [
        Command::Spawn(spawn()),
        Command::Record {
            upstream: 7,
            record: b"7 {\"a\":\xff}\n".to_vec(),
        },
        Command::Stop {
            upstream: u64::MAX,
            patience,
        },
        Command::Shutdown { patience },
    ] {
        let bytes = command.encode().unwrap();
        assert_eq!(Command::decode(&bytes), Ok(Some((command, bytes.len()))));
    }
}

/// A guardian stays when the daemon's program is upgraded, so each version must speak with the one before.
#[test]
fn commands_look_on_the_link_as_the_first_version_wrote_them() {
    let patience = Patience {
        eof: Duration::from_secs(2),
        term: Duration::from_millis(500),
    };
    let commands = [
        Command::Spawn(spawn()),
        Command::Record {
            upstream: 7,
            record: b"7 {}".to_vec(),
        },
        Command::Stop {
            upstream: 7,
            patience,
        },
        Command::Shutdown { patience },
    ];
    let commands = commands.map(|command| command.encode().unwrap().escape_ascii().to_string());
    assert_eq!(
        commands,
        [
            "u\\x00\\x00\\x00ask=spawn\\x00upstream=7\\x00program=/bin/echo\\x00arg=echo\\x00arg=\\x00arg=\\xff=\\n\\x00env=PATH=/bin\\x00env=EMPTY=\\x00env=RAW=\\xfe==\\x00cwd=/tmp\\x00umask=027\\x00",
            "\\\"\\x00\\x00\\x00ask=record\\x00upstream=7\\x00record=7 {}\\x00",
            ",\\x00\\x00\\x00ask=stop\\x00upstream=7\\x00eof-ms=2000\\x00term-ms=500\\x00",
            "%\\x00\\x00\\x00ask=shutdown\\x00eof-ms=2000\\x00term-ms=500\\x00",
        ]
    );
}

#[test]
fn reports_look_on_the_link_as_the_first_version_wrote_them() {
    let reports = [
        Report::Introduction(Introduction {
            epoch: 3,
            held: 2,
            ending: true,
        }),
        Report::Held(Held {
            upstream: 7,
            pid: 4711,
            ending: false,
            record: b"7 {}".to_vec(),
        }),
        Report::Spawned {
            upstream: 7,
            pid: 4711,
            start_time: 99,
        },
        Report::SpawnFailed {
            upstream: 7,
            errno: 2,
            text: "no such file".into(),
        },
        Report::Exited {
            upstream: 7,
            code: Some(3),
            signal: None,
        },
        Report::Gone {
            upstream: 7,
            survivors: 1,
        },
    ];
    let reports = reports.map(|report| report.encode().unwrap().escape_ascii().to_string());
    assert_eq!(
        reports,
        [
            ",\\x00\\x00\\x00report=introduction\\x00epoch=3\\x00held=2\\x00ending=1\\x00",
            "5\\x00\\x00\\x00report=held\\x00upstream=7\\x00pid=4711\\x00ending=0\\x00record=7 {}\\x00",
            "1\\x00\\x00\\x00report=spawned\\x00upstream=7\\x00pid=4711\\x00start-time=99\\x00",
            "9\\x00\\x00\\x00report=spawn-failed\\x00upstream=7\\x00errno=2\\x00text=no such file\\x00",
            " \\x00\\x00\\x00report=exited\\x00upstream=7\\x00code=3\\x00",
            "#\\x00\\x00\\x00report=gone\\x00upstream=7\\x00survivors=1\\x00",
        ]
    );
}

#[test]
fn every_report_comes_back_as_it_was() {
    for report in [
        Report::Introduction(Introduction {
            epoch: 3,
            held: 2,
            ending: true,
        }),
        Report::Held(Held {
            upstream: 9,
            pid: 77,
            ending: false,
            record: b"9 {}".to_vec(),
        }),
        Report::Spawned {
            upstream: 0,
            pid: 4_194_304,
            start_time: u64::MAX,
        },
        Report::SpawnFailed {
            upstream: 1,
            errno: 2,
            text: "cannot run `/é`: no".to_owned(),
        },
        Report::Exited {
            upstream: 2,
            code: Some(0),
            signal: None,
        },
        Report::Exited {
            upstream: 2,
            code: None,
            signal: Some(9),
        },
        Report::Exited {
            upstream: 2,
            code: None,
            signal: None,
        },
        Report::Gone {
            upstream: 3,
            survivors: 0,
        },
    ] {
        let bytes = report.encode().unwrap();
        assert_eq!(Report::decode(&bytes), Ok(Some((report, bytes.len()))));
    }
}

#[test]
fn a_message_that_is_not_all_there_is_no_error() {
    let bytes = Command::Spawn(spawn()).encode().unwrap();
    for len in 0..bytes.len() {
        assert_eq!(Command::decode(&bytes[..len]), Ok(None), "of {len} bytes");
    }
}

#[test]
fn what_follows_a_message_is_left_alone() {
    let mut bytes = Report::Gone {
        upstream: 3,
        survivors: 1,
    }
    .encode()
    .unwrap();
    let len = bytes.len();
    bytes.extend_from_slice(b"\xff\xff\xff\xff");
    assert_eq!(
        Report::decode(&bytes),
        Ok(Some((
            Report::Gone {
                upstream: 3,
                survivors: 1
            },
            len
        )))
    );
}

#[test]
fn fields_of_a_newer_peer_are_skipped() {
    let bytes = message(b"report=gone\0mood=good\0upstream=3\0survivors=0\0");
    assert!(matches!(
        Report::decode(&bytes),
        Ok(Some((
            Report::Gone {
                upstream: 3,
                survivors: 0
            },
            _
        )))
    ));
}

#[test]
fn a_wrong_message_is_told_what_is_wrong_with_it() {
    for (body, wrong) in [
        (
            &b"report=gone\0upstream=3\0"[..],
            Malformed::Missing("survivors"),
        ),
        (
            b"report=gone\0upstream=3\0survivors=-1\0",
            Malformed::Invalid("survivors"),
        ),
        (
            b"report=gone\0upstream=3\0upstream=4\0survivors=0\0",
            Malformed::Repeated("upstream"),
        ),
        (b"report=born\0upstream=3\0", Malformed::Invalid("report")),
        (b"report\0upstream=3\0", Malformed::NoKey),
        (b"report=gone\0upstream=3", Malformed::Unended),
        (b"", Malformed::Missing("report")),
    ] {
        assert_eq!(Report::decode(&message(body)), Err(wrong));
    }
    for (body, wrong) in [
        (
            &b"ask=spawn\0upstream=1\0program=/x\0cwd=/\0umask=022\0"[..],
            Malformed::Missing("arg"),
        ),
        (
            b"ask=spawn\0upstream=1\0program=/x\0arg=x\0cwd=/\0umask=1777\0",
            Malformed::Invalid("umask"),
        ),
        (
            b"ask=spawn\0upstream=1\0program=/x\0arg=x\0env==v\0cwd=/\0umask=022\0",
            Malformed::Invalid("env"),
        ),
        (
            b"ask=spawn\0upstream=1\0program=/x\0arg=x\0env=V\0cwd=/\0umask=022\0",
            Malformed::Invalid("env"),
        ),
        (
            b"ask=stop\0upstream=1\0eof-ms=1\0term-ms=4294967296\0",
            Malformed::Invalid("term-ms"),
        ),
    ] {
        assert_eq!(Command::decode(&message(body)), Err(wrong));
    }
    assert_eq!(
        Command::decode(&u32::MAX.to_le_bytes()),
        Err(Malformed::TooLong)
    );
}

#[test]
fn no_value_smuggles_in_another_field() {
    let mut smuggling = spawn();
    smuggling
        .arguments
        .push("a\0env=LD_PRELOAD=/evil.so".into());
    assert_eq!(
        Command::Spawn(smuggling).encode(),
        Err(Malformed::HasNul("arg"))
    );

    let mut smuggling = spawn();
    smuggling.environment.push(("A=B".into(), "C".into()));
    assert_eq!(
        Command::Spawn(smuggling).encode(),
        Err(Malformed::Invalid("env"))
    );
}

#[test]
fn a_message_that_no_receiver_would_take_is_not_made() {
    let mut large = spawn();
    large
        .arguments
        .push(OsString::from_vec(vec![b'x'; BODY_LEN_MAX]));
    assert_eq!(Command::Spawn(large).encode(), Err(Malformed::TooLong));
}

/// Reads until `count` commands have come.
fn receive(socket: &UnixStream, count: usize) -> Vec<(Command, Vec<OwnedFd>)> {
    let mut receiver = Receiver::default();
    let mut commands = Vec::new();
    while commands.len() < count {
        let mut fds = [rustix::event::PollFd::new(
            socket,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        assert_ne!(receiver.fill(socket).unwrap(), 0, "ended early");
        while let Some(command) = receiver.next_command().unwrap() {
            commands.push(command);
        }
    }
    commands
}

/// What a descriptor is of.
fn inode(fd: impl AsFd) -> u64 {
    rustix::fs::fstat(fd).unwrap().st_ino
}

#[test]
fn descriptors_come_with_their_own_message_and_close_on_exec() {
    let (daemon, guardian) = UnixStream::pair().unwrap();
    let pipes: Vec<_> = (0..6).map(|_| rustix::pipe::pipe().unwrap()).collect();
    let fds: Vec<_> = pipes.iter().map(|(read, _)| read.as_fd()).collect();
    let stop = Command::Stop {
        upstream: 1,
        patience: Patience {
            eof: Duration::ZERO,
            term: Duration::ZERO,
        },
    };
    // Larger than one read, so that its end comes together with the next message.
    let mut large = spawn();
    large.arguments.push(OsString::from_vec(vec![b'x'; 40_000]));

    send(&daemon, &stop, &[]).unwrap();
    send(&daemon, &Command::Spawn(large.clone()), &fds[..3]).unwrap();
    send(&daemon, &Command::Spawn(spawn()), &fds[3..]).unwrap();

    let received = receive(&guardian, 3);
    assert_eq!(received[0].0, stop);
    assert!(received[0].1.is_empty());
    assert_eq!(received[1].0, Command::Spawn(large));
    assert_eq!(received[2].0, Command::Spawn(spawn()));
    let got: Vec<u64> = received[1..]
        .iter()
        .flat_map(|(_, fds)| fds)
        .map(inode)
        .collect();
    let sent: Vec<u64> = fds.iter().map(inode).collect();
    assert_eq!(got, sent);
    for fd in received.iter().flat_map(|(_, fds)| fds) {
        assert!(
            rustix::io::fcntl_getfd(fd)
                .unwrap()
                .contains(rustix::io::FdFlags::CLOEXEC)
        );
    }
}

#[test]
fn a_receiver_says_when_the_sender_has_left() {
    let (daemon, guardian) = UnixStream::pair().unwrap();
    let mut receiver = Receiver::default();
    assert_eq!(
        receiver.fill(&guardian).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    drop(daemon);
    assert_eq!(receiver.fill(&guardian).unwrap(), 0);
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::decode(&bytes);
        let _ = Report::decode(&bytes);
        let _ = Command::decode(&message(&bytes));
        let _ = Report::decode(&message(&bytes));
    }

    #[test]
    fn any_command_line_and_environment_come_back_as_they_were(
        arguments in proptest::collection::vec(proptest::collection::vec(1_u8.., 0..20), 1..5),
        environment in proptest::collection::vec(("[A-Z_]{1,8}", proptest::collection::vec(1_u8.., 0..20)), 0..5),
        umask in 0_u32..=0o777,
    ) {
        let spawn = Spawn {
            arguments: arguments.into_iter().map(OsString::from_vec).collect(),
            environment: environment.into_iter().map(|(name, value)| (name.into(), OsString::from_vec(value))).collect(),
            umask,
            ..spawn()
        };
        let command = Command::Spawn(spawn);
        let bytes = command.encode().unwrap();
        prop_assert_eq!(Command::decode(&bytes), Ok(Some((command, bytes.len()))));
    }
}
