//! `status`, for programs and for people.

use serde_json::{Value, json};

use crate::support::{Home, until};

/// Asserts that an object has at least these members.
#[track_caller]
fn has(object: &Value, members: &[&str]) {
    for member in members {
        assert!(
            object.get(member).is_some(),
            "{member} is missing in {object}"
        );
    }
}

#[test]
fn status_has_the_members_that_programs_rely_on() {
    let home = Home::new();
    let mut client = home.session(&[]);
    let pid = client.server_pid();
    client.begin("slow", json!({"until": home.file("never")}));
    until("the call in flight", || {
        home.status()["sessions"][0]["in_flight"] == 1
    });
    let status = home.status();
    assert_eq!(status["schema"], 1);
    has(&status["daemon"], &["pid", "version", "socket", "uptime_s"]);
    assert_eq!(
        status["daemon"]["pid"].as_u64(),
        home.daemon_pid().map(u64::from)
    );
    let upstream = &status["upstreams"][0];
    has(
        upstream,
        &[
            "server",
            "pid",
            "state",
            "scope",
            "workspace",
            "sessions",
            "pss_kb",
            "restarts",
        ],
    );
    assert_eq!(upstream["server"], "fake-server");
    assert_eq!(upstream["pid"], pid);
    assert_eq!(upstream["state"], "ready");
    assert_eq!(upstream["scope"], "workspace");
    assert_eq!(upstream["workspace"], json!(home.project("project")));
    assert!(upstream["pss_kb"].as_u64().unwrap() > 100);
    let session = &status["sessions"][0];
    has(
        session,
        &[
            "id",
            "server",
            "front",
            "client",
            "workspace",
            "age_s",
            "in_flight",
            "paused",
        ],
    );
    assert!(
        session["client"].as_str().unwrap().starts_with("it"),
        "{session}"
    );
}

#[test]
fn status_without_a_daemon_says_so_and_starts_none() {
    let home = Home::new();
    let ran = home.run(&["status"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.contains("does not run"), "{ran:?}");
    let ran = home.run(&["status", "--json"]);
    assert_eq!(ran.code, Some(3));
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&status["schema"], &status["daemon"]),
        (&json!(1), &Value::Null)
    );
    assert!(!home.pool().join("mcpool.sock").exists());
}

#[test]
fn a_person_sees_servers_sessions_and_what_sharing_saves() {
    let home = Home::new();
    let _sessions = [home.session(&[]), home.session(&[])];
    let plain = home.done(&["status"]);
    for words in [
        "SERVER",
        "fake-server",
        "ready",
        "SESSION",
        "it",
        "Sharing saves",
    ] {
        assert!(plain.contains(words), "{words} is missing in:\n{plain}");
    }
    assert!(!plain.contains('\x1b'), "no style where no terminal is");
}
