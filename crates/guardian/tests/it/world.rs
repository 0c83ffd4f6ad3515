//! A guardian, and the daemon's end of its socket.

use std::fs;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{env, io, iter, thread};

use guardian::protocol::{self, Patience, Receiver, Report, Spawn};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, prlimit};
use tempfile::TempDir;

use crate::runner::{PATIENCE, until};

/// The argument that makes this program a guardian.
pub(crate) const GUARDIAN: &str = "guardian";

/// Of the daemon that starts it, which may have had other guardians before.
pub(crate) const EPOCH: u32 = 7;

/// What nobody should have to wait for.
pub(crate) const LONG: Duration = Duration::from_hours(1);

/// A guardian that is killed, if it still runs, when the test is over.
pub(crate) struct World {
    child: Child,
    /// The daemon's end; `None` once the daemon has died.
    socket: Option<UnixStream>,
    receiver: Receiver,
    /// Descriptors that came with the last report.
    pub(crate) fds: Vec<OwnedFd>,
    /// Where the next daemon meets the guardian, and the folder of it.
    meeting_place: Option<(PathBuf, TempDir)>,
}

/// The daemon's ends of a server's pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: PipeReader,
    /// Held open, not read.
    _stderr: PipeReader,
}

impl World {
    /// One that no other daemon can come to.
    pub(crate) fn start() -> World {
        World::start_at(None)
    }

    /// One that holds its servers for the next daemon.
    pub(crate) fn start_with_door() -> World {
        let folder = tempfile::tempdir().unwrap();
        World::start_at(Some((folder.path().join("guard.sock"), folder)))
    }

    fn start_at(meeting_place: Option<(PathBuf, TempDir)>) -> World {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .arg(GUARDIAN)
            .args(meeting_place.as_ref().map(|(path, _folder)| path))
            .env("AMBIENT_SECRET", "not for servers")
            .stdin(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        World {
            child,
            socket: Some(ours),
            receiver: Receiver::default(),
            fds: Vec::new(),
            meeting_place,
        }
    }

    /// The next daemon comes, whether or not the last one is gone.
    pub(crate) fn connect(&self) -> UnixStream {
        let (path, _folder) = self.meeting_place.as_ref().unwrap();
        let socket = until("the guardian's door", || UnixStream::connect(path).ok());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The daemon dies, and the next one comes.
    pub(crate) fn replace_daemon(&mut self) {
        self.socket = None;
        self.receiver = Receiver::default();
        self.socket = Some(self.connect());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        self.socket.as_ref().unwrap()
    }

    pub(crate) fn send(&self, command: &protocol::Command) {
        protocol::send(self.socket(), command, &[]).unwrap();
    }

    /// Orders a server with new pipes; what becomes of it is in the next reports.
    pub(crate) fn order(&self, spawn: &Spawn) -> Pipes {
        let (stdin, our_stdin) = io::pipe().unwrap();
        let (our_stdout, stdout) = io::pipe().unwrap();
        let (our_stderr, stderr) = io::pipe().unwrap();
        let fds = [
            stdin.as_fd(),
            stdout.as_fd(),
            stderr.as_fd(),
            our_stdin.as_fd(),
            our_stdout.as_fd(),
            our_stderr.as_fd(),
        ];
        protocol::send(
            self.socket(),
            &protocol::Command::Spawn(spawn.clone()),
            &fds,
        )
        .unwrap();
        Pipes {
            stdin: Some(our_stdin),
            stdout: our_stdout,
            _stderr: our_stderr,
        }
    }

    /// Starts a shell script as a server, and returns its process as well.
    pub(crate) fn run(&mut self, upstream: u64, script: &str) -> (u32, Pipes) {
        let pipes = self.order(&shell(upstream, script));
        let report = self.report();
        let Report::Spawned { pid, .. } = report else {
            panic!("not started: {report:?}")
        };
        (pid, pipes)
    }

    /// The guardian's next report.
    pub(crate) fn report(&mut self) -> Report {
        self.next_report()
            .expect("the guardian ended before it reported")
    }

    /// The guardian's next report; `None` when it has closed its end.
    pub(crate) fn next_report(&mut self) -> Option<Report> {
        loop {
            if let Some((report, fds)) = self.receiver.next_report().unwrap() {
                self.fds = fds;
                return Some(report);
            }
            let socket = self.socket.as_ref().unwrap();
            assert!(is_ready(socket), "no report");
            match self.receiver.fill(socket) {
                Ok(0) => return None,
                Ok(_) => {}
                // It left with something unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no report: {error}"),
            }
        }
    }

    pub(crate) fn stop(&self, upstream: u64, patience: Patience) {
        self.send(&protocol::Command::Stop { upstream, patience });
    }

    /// Expects the end of an upstream: first how its own process ended, then all of it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, upstream: u64, code: Option<i32>, signal: Option<i32>) {
        assert_eq!(
            self.report(),
            Report::Exited {
                upstream,
                code,
                signal
            }
        );
        assert_eq!(
            self.report(),
            Report::Gone {
                upstream,
                survivors: 0
            }
        );
    }

    /// The daemon dies.
    pub(crate) fn hang_up(&mut self) {
        self.socket = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How many descriptors the guardian may have from now on; `None` for as many as at first.
    pub(crate) fn limit_descriptors(&self, current: Option<u64>) {
        let ours = getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: current.or(ours.current),
            ..ours
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the guardian's end", || self.child.try_wait().unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // In a test that failed it may be waiting for us. It is to take its servers with it.
        self.socket = None;
        let start = Instant::now();
        while start.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            thread::park_timeout(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pipes {
    /// Reads one line of numbers: the processes that a script tells.
    pub(crate) fn pids(&mut self) -> Vec<u32> {
        self.line()
            .split_ascii_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        while let Some(byte) = self.byte()
            && byte != b'\n'
        {
            line.push(byte);
        }
        String::from_utf8(line).unwrap()
    }

    pub(crate) fn read_all(&mut self) -> String {
        let bytes = iter::from_fn(|| self.byte()).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// The next byte of its output; `None` at the end.
    fn byte(&mut self) -> Option<u8> {
        assert!(is_ready(&self.stdout), "the server says nothing");
        let mut byte = [0];
        (self.stdout.read(&mut byte).unwrap() == 1).then_some(byte[0])
    }
}

/// A shell script as a server, with nothing in its environment but a PATH.
pub(crate) fn shell(upstream: u64, script: &str) -> Spawn {
    Spawn {
        upstream,
        program: "/bin/sh".into(),
        arguments: vec!["sh".into(), "-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        directory: "/".into(),
        umask: 0o022,
    }
}

pub(crate) fn patience(eof: Duration, term: Duration) -> Patience {
    Patience { eof, term }
}

/// Whether there is such a process, a zombie included.
pub(crate) fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// The fields of `/proc/PID/stat` from the state on.
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    Some(fields.map(str::to_owned).collect())
}

/// One line of `/proc/PID/status`.
pub(crate) fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

/// Waits until a process that is nobody's child here has ended.
pub(crate) fn wait_until_gone(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    assert!(is_ready(&pidfd), "still there: {pid}");
}

/// Waits until there is something to read.
fn is_ready(fd: impl AsFd) -> bool {
    let timeout = Timespec {
        tv_sec: PATIENCE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

/// The children of a process that have ended and were not reaped.
pub(crate) fn zombies_of(parent: u32) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_zombie =
        |pid: &u32| stat(*pid).is_some_and(|stat| stat[0] == "Z" && stat[1] == parent.to_string());
    pids.filter(is_zombie).count()
}
