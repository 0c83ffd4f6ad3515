//! Secrets of sessions that bring no environment: out of files, and seen by nobody but the server.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::json;

use crate::support::{FAKE_SERVER, Home, canary, eventually, web::Web};

fn private(home: &Home, name: &str, text: &str) -> PathBuf {
    let path = home.root().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A server that gets a secret out of a file of variables, and another out of one of its own.
fn home_with_files() -> (Home, Web) {
    let home = Home::new();
    let variables = private(&home, "variables", "API_TOKEN=from-the-file\n");
    let word = private(&home, "word", &format!("{}\n", canary::PASSED));
    home.configure(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[servers.fake]\ncommand = '{FAKE_SERVER}'\nscope = \"global\"\n\
         env_file = \"{}\"\nenv = {{ TOKEN = \"${{API_TOKEN}}\", WORD = \"${{file:{}}}\" }}\n",
        variables.display(),
        word.display(),
    ));
    home.come_and_go("fake");
    let web = Web::at(&home.http_address(), "/mcp/fake");
    (home, web)
}

#[test]
fn a_session_over_http_or_a_websocket_has_them_out_of_files() {
    let (home, web) = home_with_files();
    let mut over_http = web.session();
    let mut over_websocket = web.talk();
    let http = over_http.result("env-dump", json!({}));
    let websocket = over_websocket.result("env-dump", json!({}));
    let mut shim = home.configured("fake");
    let pid = shim.server_pid();
    for dumped in [http, websocket] {
        assert_eq!(dumped["structuredContent"]["pid"], pid);
        let dumped = dumped["content"].to_string();
        assert!(dumped.contains("from-the-file"), "{dumped}");
        assert!(dumped.contains(canary::PASSED), "{dumped}");
        assert!(!dumped.contains("API_TOKEN"), "{dumped}");
    }
    assert_eq!(home.status()["upstreams"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_server_says_of_them_in_its_log_is_hidden() {
    let (home, web) = home_with_files();
    let mut session = web.session();
    session.result("stderr-variable", json!({"text": "WORD"}));
    session.result("stderr", json!({"text": "from-the-file was said"}));
    session.result("stderr", json!({"text": "the end"}));
    let text = eventually("the last line", || {
        let text = home.done(&["logs", "fake"]);
        text.contains("the end").then_some(text)
    });
    assert!(text.contains("refused with ***"), "{text}");
    assert!(text.contains("*** was said"), "{text}");
    home.has_no_secret_in_files();
}

#[test]
fn a_file_that_others_can_read_is_not_used_and_its_line_is_told_that_is_wrong() {
    let (home, web) = home_with_files();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}}});
    let variables = private(&home, "variables", "A=1\n\nno sign\n");
    let refused = web.post(&hello);
    assert_eq!(refused.status, 400);
    let text = refused.text();
    assert!(
        text.contains(&format!("{}:3:", variables.display())),
        "{text}"
    );
    fs::set_permissions(&variables, fs::Permissions::from_mode(0o644)).unwrap();
    let text = web.post(&hello).text();
    assert!(text.contains("chmod 600"), "{text}");
    let (status, reason) = web.try_talk("/ws/fake", &[]).err().unwrap();
    assert_eq!((status, reason.as_str()), (400, "bad-configuration"));
}
