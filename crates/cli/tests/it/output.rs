//! What scripts go by: JSON, exit codes, no colours, pages and completions.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{FAKE_SERVER, Home, until};

#[test]
fn every_verb_that_does_something_says_it_as_json_too() {
    let home = Home::new();
    let said = |line: &[&str]| -> Value {
        let text = home.done(line);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line:?}: {text}"))
    };
    let added = said(&["add", "fake", "--json", "--", FAKE_SERVER]);
    assert_eq!(added["name"], "fake");
    assert_eq!(said(&["list", "--json"])["servers"][0]["name"], "fake");
    assert!(said(&["tools", "fake", "--json"])["tools"].is_array());
    let called = said(&["call", "fake", "echo", "{\"text\":\"hi\"}", "--json"]);
    assert_eq!(called["content"][0]["text"], "hi");
    assert!(said(&["status", "--json"])["daemon"]["pid"].is_u64());
    // Each line for itself, once there is one.
    until("a line in the log", || {
        let log = home.run(&["logs", "fake"]);
        !log.stdout.is_empty()
    });
    assert!(said(&["logs", "fake", "-n1", "--json"])["line"].is_string());
    assert_eq!(said(&["restart", "fake", "--json"])["server"], "fake");
    assert_eq!(said(&["upgrade", "--json"])["upgraded"], true);
    assert_eq!(said(&["token", "--json"])["exists"], false);
    assert_eq!(said(&["service", "status", "--json"])["installed"], false);
    assert_eq!(said(&["stop", "--json"])["stopped"], true);
    assert_eq!(said(&["stop", "--json"])["stopped"], false);
    assert_eq!(said(&["remove", "fake", "--json"])["name"], "fake");
}

#[test]
fn the_exit_code_says_what_kind_of_failure_it_was() {
    let home = Home::new();
    home.done(&["add", "fake", "--", FAKE_SERVER]);
    for (line, code) in [
        (&["list"][..], 0),
        (&["remove", "nobody"], 1),
        (&["service", "start"], 1),
        (&["nonsense"], 2),
        (&["call", "fake", "echo", "[]"], 2),
        (&["service"], 2),
        (&["restart", "fake"], 3),
        (&["call", "fake", "fail"], 4),
        (&["call", "fake", "hang", "--timeout", "300ms"], 124),
    ] {
        let ran = home.run(line);
        assert_eq!(ran.code, Some(code), "{line:?}: {ran:?}");
        let (empty, other) = if code == 0 {
            (&ran.stderr, &ran.stdout)
        } else {
            (&ran.stdout, &ran.stderr)
        };
        assert_eq!(empty, "", "{line:?}: {ran:?}");
        assert_ne!(other, "", "{line:?}");
    }
    // It has said what it was asked.
    let ran = home.run(&["status"]);
    home.done(&["stop"]);
    assert_eq!((ran.code, home.run(&["status"]).code), (Some(0), Some(3)));
}

#[test]
fn nothing_is_coloured_where_nobody_wants_it() {
    let home = Home::new();
    // `script` gives it a terminal, in which it would set headings in bold.
    let line = format!("{} list", env!("CARGO_BIN_EXE_mcpool"));
    home.done(&["add", "fake", "--", FAKE_SERVER]);
    let shown = |term: &str, no_color: Option<&str>| {
        let mut command = home.command("script", &["-qec", &line, "/dev/null"]);
        command.stdin(Stdio::null()).env("TERM", term);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(shown("xterm", None).contains("\x1b[1m"));
    assert!(
        shown("xterm", Some("")).contains("\x1b[1m"),
        "an empty one says nothing"
    );
    for plain in [shown("xterm", Some("1")), shown("dumb", None)] {
        assert!(
            plain.contains("fake") && !plain.contains('\x1b'),
            "{plain:?}"
        );
    }
}

#[test]
fn pages_and_completions_know_every_verb() {
    let home = Home::new();
    let folder = home.file("man/man1");
    home.done(&["man", &folder]);
    let page = std::fs::read_to_string(format!("{folder}/mcpool-hook.1")).unwrap();
    assert!(page.contains("\\-\\-on\\-failure CHOICE"), "{page}");
    assert!(std::fs::exists(format!("{folder}/mcpool-service-install.1")).unwrap());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.done(&["completions", shell]);
        for verb in ["connect", "hook", "service", "man"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    assert_eq!(home.run(&["completions", "cmd"]).code, Some(2));
    // Bash itself, asked what may follow.
    let script = home.file("completions.bash");
    std::fs::write(&script, home.done(&["completions", "bash"])).unwrap();
    for (words, expected) in [
        ("mcpool hook PostToolUse --on-f", "--on-failure"),
        ("mcpool hook PostToolUse --on-failure b", "block"),
        ("mcpool connect --on-d", "--on-daemon-failure"),
    ] {
        let count = words.split(' ').count();
        let (before, last) = words.rsplit_once(' ').unwrap();
        let before = before.rsplit(' ').next().unwrap();
        let asked = format!(
            ". {script}; COMP_WORDS=({words}); COMP_CWORD={}; _mcpool mcpool '{last}' '{before}'; echo \"${{COMPREPLY[*]}}\"",
            count - 1
        );
        let output = home.command("bash", &["-c", &asked]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim(), expected, "{words}: {:?}", output.stderr);
    }
}

#[test]
fn help_says_the_same_however_it_is_asked_for() {
    let home = Home::new();
    for verb in ["hook", "connect"] {
        assert_eq!(home.done(&["help", verb]), home.done(&[verb, "--help"]));
    }
}
