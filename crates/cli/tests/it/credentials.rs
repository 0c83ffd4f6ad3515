//! What of a client's environment gets to a server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home, canary, eventually, processes};

const SECRET: &str = "s3cr3t-value";

fn with_token(home: &Home, options: &[&str], server: &[&str], token: &str) -> Client {
    let mut arguments = vec!["connect"];
    arguments.extend(options);
    arguments.extend(["--", FAKE_SERVER]);
    arguments.extend(server);
    let mut command = home.mcpool(&arguments);
    command
        .env("GITHUB_TOKEN", token)
        .env("EDITOR_SESSION", "12345")
        .env("LANG", "C.UTF-8");
    Client::spawn(&mut command)
}

#[test]
fn a_secret_never_reaches_a_server_to_which_it_was_not_passed() {
    let home = Home::new();
    let mut client = with_token(&home, &[], &[], SECRET);
    client.initialize();
    let env = client.surroundings()["env"].clone();
    assert_eq!(env.get("GITHUB_TOKEN"), None);
    assert_eq!(
        env.get("EDITOR_SESSION"),
        None,
        "only the allow-list is passed"
    );
    assert_eq!(env["LANG"], "C.UTF-8");
    assert_eq!(env["HOME"], json!(home.user()));
    for process in processes::with_descendants(home.daemon_pid().unwrap()) {
        let environment = processes::environment(process.pid).join("\n");
        assert!(!environment.contains(SECRET), "{}", process.pid);
    }
}

#[test]
fn a_secret_that_was_passed_arrives_and_two_secrets_are_two_processes() {
    let home = Home::new();
    let pass = ["--env", "GITHUB_*"];
    let mut alice = with_token(&home, &pass, &[], "alice's");
    let mut bob = with_token(&home, &pass, &[], "bob's");
    let mut again = with_token(&home, &pass, &[], "alice's");
    for client in [&mut alice, &mut bob, &mut again] {
        client.initialize();
    }
    assert_eq!(alice.surroundings()["env"]["GITHUB_TOKEN"], "alice's");
    assert_eq!(bob.surroundings()["env"]["GITHUB_TOKEN"], "bob's");
    assert_ne!(alice.server_pid(), bob.server_pid());
    assert_eq!(alice.server_pid(), again.server_pid());
}

#[test]
fn sessions_whose_keys_differ_in_one_byte_never_meet_in_one_process() {
    let home = Home::new();
    let keys = ["key-0", "key-1", "kez-0", "key-0 "];
    let mut clients: Vec<(&str, Client)> = (0..12)
        .map(|number| keys[number * 7 % keys.len()])
        .map(|key| (key, with_token(&home, &["--env", "GITHUB_TOKEN"], &[], key)))
        .collect();
    let mut keys_of = BTreeMap::new();
    for (key, client) in &mut clients {
        client.initialize();
        let env: Value = serde_json::from_str(&client.text("env-dump", json!({}))).unwrap();
        assert_eq!(env["GITHUB_TOKEN"], *key);
        let before = keys_of.insert(client.server_pid(), *key);
        assert!(
            before.is_none_or(|before| before == *key),
            "{before:?} {key}"
        );
    }
    assert_eq!(keys_of.len(), keys.len());
}

#[test]
fn a_value_on_the_command_line_is_set() {
    let home = Home::new();
    let mut client = with_token(&home, &["--env", "LEVEL=debug"], &[], SECRET);
    client.initialize();
    assert_eq!(client.surroundings()["env"]["LEVEL"], "debug");
}

#[test]
fn what_merely_differs_in_the_environment_shares_a_process() {
    let home = Home::new();
    let mut clients: Vec<Client> = ["1", "2"]
        .map(|id| {
            let mut command = home.mcpool(&["connect", "--", FAKE_SERVER]);
            Client::spawn(command.env("CLAUDE_CODE_SESSION_ID", id))
        })
        .into();
    let pids: Vec<u32> = clients
        .iter_mut()
        .map(|client| {
            client.initialize();
            client.server_pid()
        })
        .collect();
    assert_eq!(pids[0], pids[1]);
}

#[test]
fn what_was_withheld_is_named_in_status_and_in_the_error_and_its_value_never() {
    let home = Home::new();
    let mut client = with_token(&home, &[], &[], SECRET);
    client.initialize();
    let status: Value = home.status();
    assert_eq!(
        status["upstreams"][0]["withheld"],
        json!(["GITHUB_TOKEN", "UNASKED_API_KEY"])
    );
    let plain = home.done(&["status"]);
    assert!(plain.contains("--env GITHUB_TOKEN"), "{plain}");

    let options = ["--exit-at-start", "1", "--say", "token missing"];
    let mut failing = with_token(&home, &[], &options, SECRET);
    let answer = failing.greet(&json!({}));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("GITHUB_TOKEN") && message.contains("token missing"),
        "{message}"
    );

    let logs = home.run(&["logs", "daemon"]).stdout;
    for text in [status.to_string(), plain, answer.to_string(), logs] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

/// How a server gets a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `--env NAME`.
    ByName,
    /// `--env NAME=VALUE`.
    AsValue,
    /// `env` in the configuration.
    Configured,
}

const PASSED_NAME: &str = "PASSED_TOKEN";
const DIES_AT_ITS_START: [&str; 6] = [
    "--say",
    "no start today",
    "--say-variable",
    PASSED_NAME,
    "--exit-at-start",
    "1",
];

impl Way {
    /// Names of servers that this way passes the secret to: one that works, and one that never starts.
    fn names(self) -> [&'static str; 2] {
        match self {
            Way::ByName | Way::AsValue => ["fake-server", "fake-server"],
            Way::Configured => ["good", "failing"],
        }
    }

    fn configure(self, home: &Home) {
        let env = format!("env = {{ {PASSED_NAME} = \"{}\" }}", canary::PASSED);
        let [good, failing] = self.names();
        if self == Way::Configured {
            home.configure(&format!(
                "[servers.{good}]\ncommand = \"{FAKE_SERVER}\"\n{env}\n\
                 [servers.{failing}]\ncommand = \"{FAKE_SERVER}\"\nargs = {DIES_AT_ITS_START:?}\n{env}\n"
            ));
        }
    }

    fn open(self, home: &Home, name: &str, options: &[&str]) -> Client {
        let value = format!("{PASSED_NAME}={}", canary::PASSED);
        let arguments = match self {
            Way::ByName => [
                &["connect", "--env", PASSED_NAME, "--", FAKE_SERVER],
                options,
            ]
            .concat(),
            Way::AsValue => [&["connect", "--env", &value, "--", FAKE_SERVER], options].concat(),
            Way::Configured => vec!["connect", name],
        };
        let mut command = home.mcpool(&arguments);
        if self == Way::ByName {
            command.env(PASSED_NAME, canary::PASSED);
        }
        Client::spawn(&mut command)
    }
}

/// Has the server quote what it was given; its log tells of that, and not what.
#[track_caller]
fn quotes_it(home: &Home, client: &mut Client, name: &str, when: &str) {
    client.text("stderr-variable", json!({"text": PASSED_NAME}));
    let end = format!("quoted it {when}");
    client.text("stderr", json!({"text": end}));
    let log = eventually("the quote stands in the log", || {
        let log = home.done(&["logs", name]);
        log.contains(&end).then_some(log)
    });
    let before = log.lines().take_while(|line| !line.ends_with(&end));
    let quote = before.last().unwrap_or_default();
    assert!(quote.ends_with("refused with ***, and so on"), "{quote}");
}

/// Looks for what was passed to this server wherever else it might be: verbs, files, other processes.
#[track_caller]
fn is_nowhere_but_in(home: &Home, server: u32, names: [&str; 2]) {
    let variable = format!("{PASSED_NAME}={}", canary::PASSED);
    assert!(processes::environment(server).contains(&variable));
    // What these print is looked at wherever it is read.
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["list"],
        &["list", "--json"],
        &["logs", "daemon"],
        &["logs", names[0]],
        &["logs", names[1]],
    ] {
        home.done(arguments);
    }
    home.has_no_secret_in_files();
    for process in processes::with_descendants(home.daemon_pid().unwrap()) {
        let words = processes::command_line(process.pid);
        assert!(!words.contains(canary::PASSED), "{words}");
        let environment = processes::environment(process.pid).join("\n");
        let is_there = environment.contains(canary::PASSED);
        assert_eq!(is_there, process.pid == server, "{words}");
    }
}

/// What clients and verbs are sent is searched wherever it is read, and the files once more at the end.
#[test]
fn a_secret_that_was_passed_comes_out_nowhere_but_at_its_server_whatever_happens_to_it() {
    for way in [Way::ByName, Way::AsValue, Way::Configured] {
        let home = Home::new();
        way.configure(&home);
        let names = way.names();
        let mut alice = way.open(&home, names[0], &[]);
        alice.initialize();
        let mut failing = way.open(&home, names[1], &DIES_AT_ITS_START);
        let error = failing.greet(&json!({}))["error"].clone();
        let words = error.to_string();
        assert!(words.contains("no start today"), "{error}");
        assert!(words.contains("refused with ***, and so on"), "{error}");
        // Another process of the same program, to which nothing was passed.
        let mut stranger = home.session(&["--stranger"]);
        quotes_it(&home, &mut alice, names[0], "at first");
        is_nowhere_but_in(&home, alice.server_pid(), names);
        let error = alice.call("crash", json!({}))["error"].clone();
        assert_eq!(error["data"]["reason"], "upstream-exited", "{error}");
        is_nowhere_but_in(&home, alice.server_pid(), names);
        home.done(&["restart", names[0]]);
        is_nowhere_but_in(&home, alice.server_pid(), names);
        quotes_it(&home, &mut alice, names[0], "after a restart");
        home.kill_daemon();
        let server = alice.server_pid();
        // The daemon that took it over was never told what it was started with.
        quotes_it(&home, &mut alice, names[0], "to another daemon");
        home.done(&["upgrade"]);
        quotes_it(&home, &mut alice, names[0], "after an upgrade");
        is_nowhere_but_in(&home, server, names);
        stranger.come_to_rest();
        home.done(&["stop"]);
        home.has_no_secret_in_files();
    }
}
