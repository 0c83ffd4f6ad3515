//! Signals that end the daemon while it becomes another program.

use std::{fs, thread};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Home, processes::Process, until};
use crate::upgrade::{Installed, pids};

#[test]
fn a_signal_that_comes_meanwhile_ends_the_daemon_in_order() {
    let home = Home::new();
    for _ in 0..5 {
        let mut alice = home.session(&[]);
        // What is known of the server is enough for the greeting, but not for a call.
        alice.server_pid();
        let [daemon, _, server] = pids(&home);
        let process = Process::of(u32::try_from(daemon).unwrap()).unwrap();
        thread::scope(|scope| {
            let upgrading = scope.spawn(|| home.run(&["upgrade"]));
            process.signal(Signal::TERM);
            // It has been upgraded before the signal, or it has not.
            let _either = upgrading.join().unwrap();
        });
        until("the end of the daemon", || !process.is_alive());
        let server = Process::of(u32::try_from(server).unwrap());
        assert!(server.is_none_or(|server| !server.is_alive()));
        alice.close_stdin();
        assert!(alice.ended().success());
    }
}

#[test]
fn a_signal_that_comes_between_the_programs_is_heard_by_the_next() {
    let home = Home::new();
    let installed = Installed::in_home(&home);
    let mut alice = installed.session(&home);
    assert_eq!(alice.text("count", json!({})), "1");
    let [daemon, _, server] = pids(&home).map(|pid| u32::try_from(pid).unwrap());
    let daemon = Process::of(daemon).unwrap();
    let real = env!("CARGO_BIN_EXE_mcpoold");
    // It rehearses as usual.
    installed.replace(format!(
        "#!/bin/sh\ncase \"$*\" in *--thaw*) kill -TERM $$ ;; esac\nexec {real} \"$@\"\n"
    ));
    // Whether the answer comes before the end is open.
    let _either = home.run(&["upgrade"]);
    until("the end of the daemon", || !daemon.is_alive());
    let server = Process::of(server);
    assert!(server.is_none_or(|server| !server.is_alive()));
    let log = fs::read_to_string(home.pool().join("logs/daemon.log")).unwrap();
    let (_, after) = log
        .split_once("upgraded; servers and sessions go on")
        .unwrap();
    assert!(after.contains("ending"), "{log}");
    alice.close_stdin();
    assert!(alice.ended().success());
}
