//! `try`: the demonstration, in small.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Home,
    processes::{self, Process},
    until,
};

/// The demonstration, with a temporary folder that can be looked into.
fn trial(home: &Home, arguments: &[&str]) -> (Command, std::path::PathBuf) {
    let temporary = home.root().join("temporary");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = home.mcpool(&["try"]);
    command.args(arguments).env("TMPDIR", &temporary);
    (command, temporary)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn sharing_is_measured_and_nothing_is_left() {
    let home = Home::new();
    // Twice what all the programs take where nobody else has them mapped.
    let ballast = 60 * 1024;
    let (mut command, temporary) = trial(&home, &["--sessions", "3", "--ballast", "60", "--json"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (without, with) = (&report["without"], &report["with"]);
    assert_eq!(without["processes"], 3);
    assert_eq!(
        with["processes"], 6,
        "shims, daemon, guardian and one server: {report}"
    );
    let pss = |measured: &Value| measured["pss_kb"].as_u64().unwrap();
    assert!(pss(without) > 3 * ballast, "{report}");
    assert!(pss(with) > ballast && pss(with) < 2 * ballast, "{report}");
    assert!(is_empty(&temporary));
    assert!(
        !home.pool().join("mcpool.sock").exists(),
        "the user's own daemon is not touched"
    );
}

#[test]
fn an_interrupted_demonstration_leaves_nothing_behind() {
    for (words, signal) in [
        ("2/6", Signal::INT),
        ("4/6", Signal::TERM),
        ("5/6", Signal::INT),
    ] {
        let home = Home::new();
        let (mut command, temporary) = trial(&home, &["--sessions", "3", "--ballast", "10"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut tree = Vec::new();
        for line in lines {
            if line.unwrap().starts_with(words) {
                tree = processes::with_descendants(child.id());
                Process::of(child.id()).unwrap().signal(signal);
            }
        }
        assert!(!tree.is_empty(), "{words} was never said");
        child.wait().unwrap();
        until("the end of all", || !tree.iter().any(Process::is_alive));
        assert!(is_empty(&temporary), "{words}");
    }
}
