//! `tools`, `call` and `logs`: servers from the command line.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use serde_json::Value;

use crate::support::{FAKE_SERVER, Home, until};

fn home() -> Home {
    let home = Home::new();
    home.done(&["add", "fake", "--", FAKE_SERVER]);
    home
}

#[test]
fn tools_are_listed_and_the_server_is_started_for_it() {
    let home = home();
    let plain = home.done(&["tools", "fake"]);
    assert!(
        plain.lines().any(|line| line.starts_with("echo ")),
        "{plain}"
    );
    let listed: Value = serde_json::from_str(&home.done(&["tools", "fake", "--json"])).unwrap();
    assert_eq!(listed["tools"][0]["name"], "echo");
    assert_eq!(home.upstream_pids().len(), 1);
}

#[test]
fn nothing_is_started_where_that_is_not_wanted() {
    let home = home();
    let never = |verb: &[&str], code: i32, words: &str| {
        let ran = home.run(&[verb, &["--no-start"]].concat());
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    };
    never(&["tools", "fake"], 3, "not running");
    assert_eq!(home.daemon_pid(), None);
    // The daemon alone is not enough, nor is a server of another workspace.
    let other = home.project("other");
    let mut alice = home.configured("fake");
    home.done(&["add", "another", "--", FAKE_SERVER]);
    never(&["tools", "another"], 3, "`another` does not run here");
    alice.server_pid();
    let elsewhere = ["call", "fake", "echo", "--workspace"];
    let elsewhere = [&elsewhere[..], &[other.to_str().unwrap()]].concat();
    never(&elsewhere, 3, "`fake` does not run here");
    never(&["call", "fake", "echo", r#"{"text":"hi"}"#], 0, "");
    never(&["tools", "fake"], 0, "");
    assert_eq!(home.upstream_pids().len(), 1);
}

#[test]
fn a_call_prints_the_text_or_the_raw_result() {
    let home = home();
    assert_eq!(
        home.done(&["call", "fake", "echo", r#"{"text":"hi"}"#]),
        "hi\n"
    );
    let raw: Value =
        serde_json::from_str(&home.done(&["call", "fake", "echo", r#"{"text":"hi"}"#, "--json"]))
            .unwrap();
    assert_eq!(raw["content"][0]["text"], "hi");
}

#[test]
fn arguments_may_come_from_stdin() {
    let home = home();
    let mut child = home
        .mcpool(&["call", "fake", "echo", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(br#"{"text":"piped"}"#)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"piped\n");
}

#[test]
fn a_call_joins_the_process_that_runs_whatever_its_clients_can_do() {
    let home = home();
    let mut client = crate::support::Client::spawn(&mut home.mcpool(&["connect", "fake"]));
    client.initialize_with(&serde_json::json!({"sampling": {}, "elicitation": {}}));
    let pid = client.server_pid();
    let raw: Value = serde_json::from_str(&home.done(&["call", "fake", "echo", "--json"])).unwrap();
    assert_eq!(raw["structuredContent"]["pid"], pid);
    // What the server asks of this session is refused; the tool passes that on.
    let asked = home.done(&["call", "fake", "sample"]);
    assert!(asked.contains("-32601"), "{asked}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let home = home();
    for (arguments, code, words) in [
        (
            &["call", "fake", "fail", r#"{"text":"sorry"}"#][..],
            4,
            "sorry",
        ),
        (&["call", "fake", "nothing"], 4, "unknown tool: nothing"),
        (
            &["call", "fake", "hang", "--timeout", "200ms"],
            124,
            "no answer within 200ms",
        ),
        (&["call", "fake", "echo", "[1]"], 2, "JSON object"),
        (
            &["call", "other", "echo"],
            1,
            "mcpool: no server named `other`",
        ),
        (&["tools", "fake", "--workspace", "/no/such"], 2, "/no/such"),
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_call_that_timed_out_is_cancelled_at_the_server() {
    let home = Home::new();
    let record = home.file("record");
    home.done(&["add", "fake", "--", FAKE_SERVER, "--record", &record]);
    // The first may be over before the daemon and the server run, and any before it has come to the server.
    until("the cancellation", || {
        let ran = home.run(&["call", "fake", "hang", "--timeout", "500ms"]);
        assert_eq!(ran.code, Some(124), "{ran:?}");
        home.count("record", "cancelled") > 0
    });
}

#[test]
fn logs_show_what_a_server_said_and_follow_what_it_says() {
    let home = Home::new();
    home.done(&["add", "fake", "--", FAKE_SERVER, "--say", "good morning"]);
    let mut client = home.configured("fake");
    until("the first words in the log", || {
        home.run(&["logs", "fake"]).stdout.contains("good morning")
    });
    let mut follower = home
        .mcpool(&["logs", "fake", "-f", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("good morning"));
    client.text("stderr", serde_json::json!({"text": "good night"}));
    assert!(lines.next().unwrap().unwrap().contains("good night"));
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_log_that_does_not_exist_and_a_name_that_is_a_path_are_refused() {
    let home = home();
    assert_eq!(home.run(&["logs", "fake"]).code, Some(1));
    assert_eq!(home.run(&["logs", "../../etc/passwd"]).code, Some(2));
}

#[test]
fn completions_are_there_for_every_common_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.done(&["completions", shell]);
        assert!(
            script.contains("mcpool") && script.contains("status"),
            "{shell}"
        );
    }
}
