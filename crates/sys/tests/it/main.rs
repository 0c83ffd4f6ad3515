//! What the functions of `sys` do to a real process.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, which clippy knows by #[test] only"
)]

mod roles;
mod runner;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use runner::until;
use rustix::process::{Pid, Signal};

fn main() -> ExitCode {
    match env::var("SYS_TEST_ROLE") {
        Ok(role) => roles::play(&role),
        Err(_) => runner::run(tests![
            a_blocking_read_is_interrupted_when_asked_to_end,
            a_blocking_write_ends_in_time_however_often_it_is_asked,
            signals_are_kept_from_threads_that_are_started_so,
            signals_become_readable_and_end_nothing,
            signals_that_were_ignored_become_readable_too,
            a_socket_moves_away_from_standard_input,
            what_is_no_socket_is_refused,
            a_child_is_seen_to_have_ended_before_it_is_reaped,
            children_of_any_number_are_named_one_by_one,
        ]),
    }
}

/// This program again, in another role.
fn role(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env("SYS_TEST_ROLE", name);
    command
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits until the process sleeps in a system call, after the start-up that it announced.
fn wait_until_blocked(child: &Child) {
    until("a sleeping process", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .starts_with(" S")
            .then_some(())
    });
}

/// The signals that the current thread has blocked, bit 0 for signal 1.
fn blocked_here() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

fn a_blocking_read_is_interrupted_when_asked_to_end() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut child = role("reader")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        // Waiting would close it, and that ends a read as well.
        let _stdin = child.stdin.take();
        wait_until_blocked(&child);
        rustix::process::kill_process(pid(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(roles::ASKED));
    }
}

fn a_blocking_write_ends_in_time_however_often_it_is_asked() {
    // The promise is 100 ms; a machine that is busy with other tests may be late.
    until("an end in time", || {
        let took = time_of_a_blocked_writer_to_end();
        (took < Duration::from_secs(1)).then_some(())
    });
}

fn time_of_a_blocked_writer_to_end() -> Duration {
    let mut child = role("writer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Reads the first byte, and no more.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    wait_until_blocked(&child);
    let start = Instant::now();
    let status = until("its end", || {
        // Until it is waited for, its number is its own.
        rustix::process::kill_process(pid(&child), Signal::TERM).unwrap();
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(roles::TIMED_OUT));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(70),
        "left no time to tidy up: {took:?}"
    );
    took
}

fn signals_are_kept_from_threads_that_are_started_so() {
    let bits = [Signal::INT, Signal::TERM, Signal::HUP, Signal::ALARM];
    let ours = bits
        .iter()
        .fold(0, |mask, signal| mask | 1_u64 << (signal.as_raw() - 1));
    let before = blocked_here();
    let inside = sys::quit::blocked(|| std::thread::spawn(blocked_here).join().unwrap()).unwrap();
    assert_eq!(before & ours, 0);
    assert_eq!(inside, before | ours);
    assert_eq!(blocked_here(), before);
}

fn signals_become_readable_and_end_nothing() {
    tells_of_term(role("watcher").stdout(Stdio::piped()).spawn().unwrap());
}

fn signals_that_were_ignored_become_readable_too() {
    // As a program has them whose client passes over TERM.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' TERM; exec \"$0\""]);
    shell.arg(env::current_exe().unwrap());
    shell.env("SYS_TEST_ROLE", "watcher").stdout(Stdio::piped());
    tells_of_term(shell.spawn().unwrap());
}

/// Sends TERM to somebody who watches.
fn tells_of_term(mut child: Child) {
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    rustix::process::kill_process(pid(&child), Signal::TERM).unwrap();
    let mut told = String::new();
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert_eq!(told, format!("{:?}", [Signal::TERM]));
    assert!(child.wait().unwrap().success());
}

fn a_socket_moves_away_from_standard_input() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = role("socket").stdin(OwnedFd::from(theirs)).spawn().unwrap();
    ours.write_all(b"hello").unwrap();
    let mut echoed = [0; 5];
    ours.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
    assert!(child.wait().unwrap().success());
}

fn what_is_no_socket_is_refused() {
    let status = role("socket").stdin(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(roles::REFUSED));
}

fn a_child_is_seen_to_have_ended_before_it_is_reaped() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read line; exit 5"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(sys::wait::ended(pid(&child)).unwrap(), None);
    drop(child.stdin.take());
    let exit = until("its end", || sys::wait::ended(pid(&child)).unwrap());
    assert_eq!(
        exit,
        sys::wait::Exit {
            code: Some(5),
            signal: None
        }
    );
    assert_eq!(sys::wait::ended(pid(&child)).unwrap(), Some(exit));
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

fn children_of_any_number_are_named_one_by_one() {
    assert!(role("parent").status().unwrap().success());
}
