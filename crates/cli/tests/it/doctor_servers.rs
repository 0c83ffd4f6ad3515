//! `doctor` and servers that are never started: what keeps them from it.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use crate::{
    doctor::{examined, problem},
    support::{Client, FAKE_SERVER, Home, hello, until},
};

#[test]
fn a_path_at_which_no_program_is_is_told_before_a_session_misses_it() {
    let home = Home::new();
    home.configure("[servers.gone]\ncommand = \"/nowhere/server\"\n");
    let (what, next) = problem(&home, "path");
    assert!(
        what.contains("/nowhere/server") && what.contains("`gone`"),
        "{what}"
    );
    assert!(next.contains("[servers.gone]"), "{next}");
}

#[test]
fn a_file_of_variables_that_no_session_can_have_is_told_and_closed() {
    let home = Home::new();
    let file = home.file("variables");
    home.configure(&format!(
        "[servers.env]\ncommand = '{FAKE_SERVER}'\nenv_file = '{file}'\n"
    ));
    let (what, _) = problem(&home, "folders");
    assert!(
        what.contains("`env`") && what.contains("cannot be read"),
        "{what}"
    );
    fs::write(&file, "A=1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (what, _) = problem(&home, "folders");
    assert!(what.contains(&file) && what.contains("by others"), "{what}");
    let (code, found) = examined(&home, "folders", &["--fix"]);
    assert_eq!(
        (code, found[0]["weight"].as_str()),
        (Some(0), Some("mended"))
    );
    assert_eq!(examined(&home, "folders", &[]), (Some(0), Vec::new()));
    home.configured("env");
}

#[test]
fn a_server_that_was_not_started_or_not_reached_is_told_with_the_reason() {
    let home = Home::new();
    home.configure(&format!(
        "[servers.folder]\ncommand = '{FAKE_SERVER}'\ncwd = '/nowhere'\n\
         [servers.remote]\nurl = 'http://127.0.0.1:1/mcp'\n"
    ));
    for (name, reason) in [("folder", "/nowhere"), ("remote", "connection refused")] {
        let mut client = Client::spawn(&mut home.mcpool(&["connect", name]));
        client.ask("initialize", hello("2025-11-25", &json!({})));
        // It is tried again now and then.
        until("the finding", || {
            let (_, found) = examined(&home, "servers", &[]);
            let mut told = found.iter().filter_map(|finding| finding["what"].as_str());
            told.any(|what| {
                let is_it = what.starts_with(&format!("`{name}` could not be"));
                is_it && what.contains(reason) && !what.contains(" times")
            })
        });
    }
}

#[test]
fn a_server_that_answers_neither_greeting_is_told_with_what_it_answered_to_both() {
    let home = Home::new();
    let script = r#"
        while read -r line; do
            id=${line##*'"id":'}
            error='{"code":-32602,"message":"no licence"}'
            echo "{\"jsonrpc\":\"2.0\",\"id\":${id%%[!0-9]*},\"error\":$error}"
        done"#;
    fs::write(home.file("server"), script).unwrap();
    home.configure(&format!(
        "[servers.both]\ncommand = '/bin/sh'\nargs = ['{}']\n",
        home.file("server")
    ));
    let mut client = Client::spawn(&mut home.mcpool(&["connect", "both"]));
    let answer = client.request("initialize", hello("2025-11-25", &json!({})));
    let error = answer["error"]["message"].as_str().unwrap();
    let reasons = ["`initialize` with", "`server/discover` with", "no licence"];
    for reason in reasons {
        assert!(error.contains(reason), "{error}");
    }
    // The client wants it still, so it is tried again now and then.
    client.ask("initialize", hello("2025-11-25", &json!({})));
    until("the finding", || {
        let (_, found) = examined(&home, "servers", &[]);
        let mut told = found.iter().filter_map(|finding| finding["what"].as_str());
        told.any(|what| {
            let has_all = reasons.iter().all(|reason| what.contains(reason));
            what.starts_with("`both` has not come up") && has_all
        })
    });
}
