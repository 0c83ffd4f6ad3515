//! A server that a session runs without the daemon, when there is a daemon after all.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command, thread};

use serde_json::json;

use crate::support::{
    Client, FAKE_SERVER, Home, canary, hello,
    processes::{self, Process},
    programs, until,
};

/// It is no daemon for as long as the gate is shut, and does whatever else is asked of it.
const NO_DAEMON: &str = "#!/bin/sh\n\
    [ \"$1\" != serve ] || [ -e \"$0.gate\" ] || { echo 'none today' >&2; exit 1; }\n\
    exec \"$(cat \"$0.real\")\" \"$@\"\n";

/// A session that finds no daemon's program beside its own, and runs its server itself.
fn without_daemon(home: &Home, server: &[&str]) -> Client {
    let connect = [&["connect", "--"], server].concat();
    let mut client = Client::spawn(&mut home.command(alone(home), &connect));
    client.initialize();
    client
}

/// The small program without the other one beside it.
fn alone(home: &Home) -> PathBuf {
    let folder = home.root().join("bin");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("mcpool");
    programs::copy(env!("CARGO_BIN_EXE_mcpool"), &program);
    program
}

#[test]
fn it_starts_in_the_folder_that_is_wanted() {
    let home = Home::new();
    let folder = home.project("project").join("src");
    fs::create_dir_all(&folder).unwrap();
    let connect = ["connect", "--cwd", "src", "--", FAKE_SERVER];
    let mut client = Client::spawn(&mut home.command(alone(&home), &connect));
    client.initialize();
    assert_eq!(processes::folder(client.server_pid()), folder);
}

#[test]
fn a_daemon_starts_no_second_one_and_says_so_and_starts_it_when_that_session_has_ended() {
    let home = Home::new();
    let mut direct = without_daemon(&home, &[FAKE_SERVER]);
    let pid = direct.server_pid();
    let ran = home.run(&["status"]);
    let told = format!("NOT SHARED: `fake-server` runs without mcpool in process {pid}");
    assert!(ran.stdout.contains(&told), "{ran:?}");

    let mut other = home.open(&[]);
    let refused = other.greet(&json!({}));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("process {pid} runs it without mcpool's daemon")),
        "{refused}"
    );
    let status = home.status();
    assert_eq!(status["direct"][0]["pid"], pid, "{status}");
    assert_eq!(status["upstreams"][0]["pid"], json!(null), "{status}");
    until("the log saying so", || {
        let log = home.done(&["logs", "daemon"]);
        log.contains("not started for as long as a session runs it")
            && log.contains(&format!("process {pid} runs `fake-server` itself"))
    });

    let mut waiting = home.open(&[]);
    let greeting = waiting.ask("initialize", hello("2025-11-25", &json!({})));
    until("the session being known", || {
        home.status()["sessions"].as_array().unwrap().len() == 2
    });
    assert_eq!(direct.text("echo", json!({"text": "mine"})), "mine");
    assert!(direct.close().success());
    let answer = waiting.response(greeting);
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(home.status()["direct"], json!([]));
}

#[test]
fn a_server_that_is_wanted_no_longer_is_not_waited_for() {
    let home = Home::new();
    let direct = without_daemon(&home, &[FAKE_SERVER]);
    let mut other = home.open(&[]);
    other.ask("initialize", hello("2025-11-25", &json!({})));
    until("the start being postponed", || {
        home.run(&["logs", "daemon"])
            .stdout
            .contains("not started for as long")
    });
    drop(other);
    home.done(&["stop"]);
    assert!(direct.close().success());
}

#[test]
fn a_server_that_has_ended_is_not_waited_for_though_a_helper_of_it_lives() {
    let home = Home::new();
    let script = "setsid sleep 600 & echo $! >> \"$1\"; exec \"$0\"";
    let helpers = home.file("helpers");
    let server = ["sh", "-c", script, FAKE_SERVER, &helpers];
    let mut direct = without_daemon(&home, &server);
    let pid = direct.server_pid();
    assert!(direct.close().success());
    let helper = home.noted("helpers", "").parse().unwrap();
    let helper = Process::of(helper).unwrap();
    let mut other = Client::spawn(&mut home.mcpool(&[&["connect", "--"], &server[..]].concat()));
    other.initialize();
    assert_ne!(other.server_pid(), pid);
    assert_eq!(home.status()["direct"], json!([]));
    assert!(helper.is_alive());
    helper.kill();
}

/// A session of an installation that has no daemon until its gate is opened.
fn gated(home: &Home, arguments: &[&str]) -> Client {
    let arguments = [&["connect"], arguments].concat();
    Client::spawn(&mut home.beside_script(NO_DAEMON, &arguments))
}

/// Has `echo` stand for the scripted server, which notes its starts.
fn configure_echo(home: &Home, more: &str) {
    let record = home.file("record");
    home.configure(&format!(
        "[servers.echo]\ncommand = {FAKE_SERVER:?}\nargs = [\"--record\", {record:?}]\n\
         env = {{ WORD = \"of ${{HOME}}\" }}\n{more}"
    ));
}

/// What a session says that ends at once, as nobody serves it.
#[track_caller]
fn words_in_vain(mut client: Client) -> String {
    client.close_stdin();
    let status = client.ended();
    let words = client.errors();
    assert_eq!(status.code(), Some(3), "{words}");
    words
}

#[test]
fn one_of_two_sessions_on_a_name_runs_it_and_a_daemon_that_comes_waits_for_its_end() {
    let home = Home::new();
    configure_echo(&home, "");
    let mut direct = gated(&home, &["echo"]);
    direct.initialize();
    let server = direct.server_pid();
    // It is run as a daemon would have done it.
    let environment = processes::environment(server);
    let word = format!("WORD=of {}", home.user().display());
    assert!(environment.contains(&word), "{environment:?}");
    let is_secret = |variable: &String| variable.contains(canary::SECRET_NAME);
    assert!(!environment.iter().any(is_secret));
    assert_eq!(processes::folder(server), home.root().join("project"));

    let mut other = gated(&home, &["echo"]);
    let refused = other.greet(&json!({}));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("none today") && message.contains("another session runs it already"),
        "{refused}"
    );
    let pid = direct.process().pid;
    let ran = home.run(&["status"]);
    let told = format!("NOT SHARED: `echo` runs without mcpool in process {pid}");
    assert!(ran.stdout.contains(&told), "{ran:?}");

    // The daemon comes.
    home.open_gate();
    let mut waiting = gated(&home, &["echo"]);
    let refused = waiting.greet(&json!({}));
    let message = refused["error"]["message"].as_str().unwrap();
    let told = format!("process {pid} runs it without mcpool's daemon");
    assert!(message.contains(&told), "{refused}");
    assert!(home.upstream_pids().is_empty());
    assert_eq!(home.count("record", "started "), 1);
    assert_eq!(direct.server_pid(), server);
    assert!(direct.close().success());
    for client in [&mut waiting, &mut other] {
        until("a session being served", || {
            client.greet(&json!({})).get("result").is_some()
        });
        client.notify("notifications/initialized", &json!({}));
    }
    assert_eq!(other.server_pid(), waiting.server_pid());
    assert_eq!(home.count("record", "started "), 2);
    assert_eq!(home.status()["direct"], json!([]));
    let told = format!("process {pid} runs `echo` itself");
    until("the log saying so", || {
        home.done(&["logs", "daemon"]).contains(&told)
    });
}

#[test]
fn when_its_own_server_dies_a_session_on_a_name_goes_on_at_the_daemon_that_is_there_by_then() {
    let home = Home::new();
    configure_echo(&home, "");
    let mut client = gated(&home, &["echo"]);
    client.initialize();
    let server = client.server_pid();
    home.open_gate();
    Process::of(server).unwrap().kill();
    // What is written before its end is known is an error.
    until("the session being served", || {
        client.call("echo", json!({})).get("result").is_some()
    });
    assert_ne!(client.server_pid(), server);
    assert_eq!(home.upstream_pids(), [client.server_pid()]);
    assert_eq!(home.status()["direct"], json!([]));
    assert!(client.close().success());
}

#[test]
fn a_server_is_kept_from_those_without_a_daemon_that_would_have_shared_it() {
    for (scope, same, other) in [
        ("session", true, true),
        ("workspace", false, true),
        ("global", false, false),
    ] {
        let home = Home::new();
        configure_echo(&home, &format!("scope = {scope:?}\n"));
        home.project("another");
        let mut first = gated(&home, &["echo"]);
        first.initialize();
        let another = home.root().join("another");
        let elsewhere = ["--workspace", another.to_str().unwrap(), "echo"];
        for (arguments, is_served) in [(&["echo"][..], same), (&elsewhere, other)] {
            let mut client = gated(&home, arguments);
            if is_served {
                client.initialize();
                assert_ne!(client.server_pid(), first.server_pid());
                assert!(client.close().success());
            } else {
                let words = words_in_vain(client);
                assert!(words.contains("another session runs it already"), "{words}");
            }
        }
    }
}

/// A client that has given up rights which a daemon has that others start.
fn confined(command: &mut Command) -> Client {
    let spawn = || {
        rustix::thread::set_no_new_privs(true).unwrap();
        Client::spawn(command)
    };
    thread::scope(|scope| scope.spawn(spawn).join().unwrap())
}

/// A `PATH` with a folder of this name before all others, in which `by-path` is the scripted server.
fn path_with(home: &Home, folder: &str) -> String {
    let folder = home.root().join(folder);
    fs::create_dir_all(&folder).unwrap();
    symlink(FAKE_SERVER, folder.join("by-path")).unwrap();
    format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display())
}

#[test]
fn a_name_that_a_sandboxed_session_runs_is_waited_for_though_the_daemon_finds_its_program_elsewhere()
 {
    let home = Home::new();
    let record = home.file("record");
    home.configure(&format!(
        "[servers.echo]\ncommand = \"by-path\"\nargs = [\"--record\", {record:?}]\n"
    ));
    let inside = path_with(&home, "inside");
    let outside = path_with(&home, "outside");
    let connect = |path: &str| {
        let mut command = home.beside_script(NO_DAEMON, &["connect", "echo"]);
        command.env("PATH", path);
        command
    };
    let mut direct = confined(&mut connect(&inside));
    direct.initialize();
    let pid = direct.process().pid;

    // The daemon comes, and with it those who would have shared the server there.
    home.open_gate();
    let mut free = Client::spawn(&mut connect(&outside));
    let free_greeting = free.ask("initialize", hello("2025-11-25", &json!({})));
    until("the daemon", || {
        home.run(&["status", "--json"]).code == Some(0)
    });
    let mut sandboxed = confined(&mut connect(&inside));
    let refused = sandboxed.greet(&json!({}));
    for refused in [refused, free.response(free_greeting)] {
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        let told = format!("process {pid} runs it without mcpool's daemon");
        assert!(message.contains(&told), "{refused}");
    }
    assert_eq!(home.count("record", "started "), 1);
    assert!(direct.close().success());
    for client in [&mut sandboxed, &mut free] {
        until("a session being served", || {
            client.greet(&json!({})).get("result").is_some()
        });
        client.notify("notifications/initialized", &json!({}));
    }
    assert_eq!(sandboxed.server_pid(), free.server_pid());
    assert_eq!(home.count("record", "started "), 2);
}

#[test]
fn what_is_wrong_with_its_configuration_is_told_where_there_is_no_daemon() {
    let home = Home::new();
    for (text, expected) in [
        ("[servers.echo]\ncommand = 1\n", "config.toml:2:11"),
        ("[servers.echoes]\ncommand = \"cat\"\n", "echoes"),
        (
            "[servers.echo]\ncommand = \"cat\"\nargs = [\"${MISSING}\"]\n",
            "MISSING",
        ),
        ("[servers.echo]\ncommand = \"no-such\"\n", "`no-such`"),
    ] {
        home.configure(text);
        let words = words_in_vain(gated(&home, &["echo"]));
        let told = "it is not run unshared either: ";
        let is_told = words.contains(told) && words.contains(expected);
        assert!(is_told && words.contains("none today"), "{words}");
    }
}

#[test]
fn a_configured_server_is_not_run_without_a_daemon_if_that_is_to_be_an_error() {
    let home = Home::new();
    let by_command_line = ["connect", "--on-daemon-failure", "error", "plain"];
    let by_command_line = home.beside_script(NO_DAEMON, &by_command_line);
    let mut by_variable = home.beside_script(NO_DAEMON, &["connect", "plain"]);
    by_variable.env("MCPOOL_ON_DAEMON_FAILURE", "error");
    let by_configuration = home.beside_script(NO_DAEMON, &["connect", "echo"]);
    configure_echo(
        &home,
        &format!("on_daemon_failure = \"error\"\n[servers.plain]\ncommand = {FAKE_SERVER:?}\n"),
    );
    let said = "the configuration says so, by `on_daemon_failure = \"error\"`";
    let cases = [
        (by_command_line, ""),
        (by_variable, ""),
        (by_configuration, said),
    ];
    // Each is told only when its patience with a first daemon is over, so all wait together.
    let greeted = cases.map(|(mut command, why)| {
        let mut client = Client::spawn(&mut command);
        let greeting = client.ask("initialize", hello("2025-11-25", &json!({})));
        (client, greeting, why)
    });
    for (mut client, greeting, why) in greeted {
        let refused = client.response(greeting);
        assert_eq!(refused["error"]["data"]["reason"], "daemon-unreachable");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("none today") && message.contains(why),
            "{refused}"
        );
        assert_eq!(message.contains("unshared"), !why.is_empty(), "{refused}");
        words_in_vain(client);
    }
    assert_eq!(home.count("record", "started "), 0);
    // Who starts a session knows better than the configuration.
    let mut direct = gated(&home, &["--on-daemon-failure", "direct", "echo"]);
    direct.initialize();
    assert_eq!(home.count("record", "started "), 1);
    assert!(direct.close().success());
}
