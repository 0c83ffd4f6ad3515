//! `add`, `remove` and `list`, and what the configuration does to sessions.

use std::fs;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Client, FAKE_SERVER, Home};

fn config(home: &Home) -> String {
    fs::read_to_string(home.pool().join("config.toml")).unwrap_or_default()
}

/// Without what differs from test to test.
fn anonymous(home: &Home, text: &str) -> String {
    text.replace(home.pool().to_str().unwrap(), "POOL")
}

#[test]
fn add_writes_the_file_and_says_what_a_client_needs() {
    let home = Home::new();
    let said = home.done(&[
        "add",
        "files",
        "--scope",
        "workspace",
        "--env",
        "API_TOKEN",
        "--env",
        "AWS_*",
        "--env",
        "LEVEL=debug",
        "--",
        "sh",
        "-c",
        "exec cat",
    ]);
    expect![[r#"
        Added `files` to POOL/config.toml.
        A client's entry for it is, in most clients:

          "files": {"command":"mcpool","args":["connect","--home","POOL","files"]}

        `mcpool tools files` starts it and shows what it can do.
    "#]]
    .assert_eq(&anonymous(&home, &said));
    expect![[r#"
        [servers.files]
        command = "sh"
        args = ["-c", "exec cat"]
        env = { LEVEL = "debug" }
        env_pass = ["API_TOKEN", "AWS_*"]
        scope = "workspace"
    "#]]
    .assert_eq(&config(&home));
    home.done(&["add", "second", "--", "/bin/cat"]);
    expect![[r"
        NAME    SCOPE      ENVIRONMENT            COMMAND
        files   workspace  LEVEL API_TOKEN AWS_*  sh -c 'exec cat'
        second  auto       -                      /bin/cat
    "]]
    .assert_eq(&home.done(&["list"]));
}

#[test]
fn remove_takes_out_what_add_wrote_and_nothing_else() {
    let home = Home::new();
    let before = "# mine\n[servers.kept]\ncommand = \"cat\" # why\n";
    home.configure(before);
    home.done(&["add", "gone", "--", "/bin/cat"]);
    assert_ne!(config(&home), before);
    home.done(&["remove", "gone"]);
    assert_eq!(config(&home), before);
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let home = Home::new();
    home.configure("[servers.cat]\ncommand = \"cat\"\n");
    let before = config(&home);
    for (arguments, code, words) in [
        (&["add", "cat", "--", "cat"][..], 1, "remove it first"),
        (&["add", "a/b", "--", "cat"], 2, "letters, digits"),
        (&["add", "x"], 2, "COMMAND"),
        (
            &["add", "x", "--env", "*", "--", "cat"],
            2,
            "whole environment",
        ),
        (&["remove", "dog"], 1, "configured are cat"),
        (&["restart", "cat"], 3, "not running"),
        (&["lst"], 2, "list"),
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(config(&home), before);
}

#[test]
fn a_file_that_does_not_parse_is_named_with_the_place_and_never_written() {
    let home = Home::new();
    let broken = "[servers.x]\ncomand = \"cat\"\n";
    home.configure(broken);
    for arguments in [&["list"][..], &["add", "y", "--", "cat"]] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("config.toml:2:1"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("did you mean `command`?"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(config(&home), broken);
}

#[test]
fn a_value_that_looks_like_a_credential_gets_a_remark_and_is_not_listed() {
    let home = Home::new();
    let ran = home.run(&["add", "x", "--env", "API_TOKEN=hush-hush", "--", "/bin/cat"]);
    assert!(
        ran.stderr.contains("API_TOKEN looks like a credential"),
        "{ran:?}"
    );
    assert!(!ran.stderr.contains("hush-hush") && !ran.stdout.contains("hush-hush"));
    for arguments in [&["list"][..], &["list", "--json"]] {
        let listed = home.done(arguments);
        assert!(
            listed.contains("API_TOKEN") && !listed.contains("hush-hush"),
            "{listed}"
        );
    }
}

#[test]
fn variables_are_filled_in_from_the_session_that_asks() {
    let home = Home::new();
    home.configure(&format!(
        "[servers.fake]\ncommand = \"{FAKE_SERVER}\"\n\
         args = [\"${{WHO:-nobody}}\", \"${{workspace}}\", \"$${{WHO}}\"]\n"
    ));
    let project = home.project("project");
    for (who, expected) in [(Some("alice"), "alice"), (None, "nobody")] {
        let mut command = home.mcpool(&["connect", "fake"]);
        command.envs(who.map(|who| ("WHO", who)));
        let mut client = Client::spawn(&mut command);
        client.initialize();
        let args = client.surroundings()["args"].clone();
        assert_eq!(args, json!([expected, project, "${WHO}"]));
    }
}

#[test]
fn an_unset_variable_is_an_error_with_its_place_to_that_session_alone() {
    let home = Home::new();
    home.configure(&format!(
        "[servers.fake]\ncommand = \"{FAKE_SERVER}\"\nargs = [\"${{WHO}}\"]\n"
    ));
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "fake"]));
    let error = client.greet(&json!({}))["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("WHO") && message.contains("config.toml:3"),
        "{message}"
    );
    assert_eq!(error["data"]["source"], "mcpool");

    let mut command = home.mcpool(&["connect", "fake"]);
    let mut other = Client::spawn(command.env("WHO", "bob"));
    other.initialize();
    assert_eq!(other.surroundings()["args"], json!(["bob"]));
}

#[test]
fn an_unknown_name_is_refused_with_those_that_look_like_it() {
    let home = Home::new();
    home.done(&["add", "memory", "--", FAKE_SERVER]);
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "memroy"]));
    let answer = client.greet(&json!({}));
    assert_eq!(answer["error"]["data"]["reason"], "no-such-server");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("did you mean `memory`?"), "{message}");
}

#[test]
fn the_last_good_configuration_stays_in_force_and_status_tells_the_error() {
    let home = Home::new();
    home.done(&["add", "fake", "--", FAKE_SERVER]);
    home.configured("fake").close();
    home.configure("[servers\n");
    home.configured("fake").close();
    let status: Value = home.status();
    let error = status["config_error"].as_str().unwrap();
    assert!(error.contains("config.toml"), "{error}");
}
