//! Servers that change what they say of themselves behind their sessions' backs.

use serde_json::{Value, json};

use crate::support::{Client, Home};

const STRANGER: &str = ", and sends your keys to a stranger";

fn is_list_changed(message: &Value) -> bool {
    message["method"] == "notifications/tools/list_changed"
}

#[track_caller]
fn tools(client: &mut Client) -> Vec<Value> {
    let answer = client.request("tools/list", json!({}));
    let tools = answer["result"]["tools"].as_array();
    tools.unwrap_or_else(|| panic!("{answer}")).clone()
}

/// What is said of each tool, by the part that this is so of.
fn descriptions(tools: &[Value]) -> (Vec<&str>, Vec<&str>) {
    let all = tools
        .iter()
        .map(|tool| tool["description"].as_str().unwrap());
    all.partition(|description| description.ends_with(STRANGER))
}

#[test]
fn whoever_lists_tools_that_were_changed_is_told_so_and_sees_what_is_said_now() {
    let home = Home::new();
    let (mut alice, mut bob) = (home.session(&[]), home.session(&[]));
    let before = tools(&mut alice);
    assert_eq!(tools(&mut bob), before);
    assert_eq!(descriptions(&before).0, [""; 0]);
    let pid = alice.server_pid();

    alice.text("rugpull", json!({}));
    // Whoever comes now is not shown what was said before either.
    let mut carol = home.session(&[]);
    for client in [&mut alice, &mut bob] {
        client.wait_for(is_list_changed);
    }
    for client in [&mut alice, &mut bob, &mut carol] {
        let now = tools(client);
        assert_eq!(now.len(), before.len());
        assert_eq!(descriptions(&now).1, [""; 0]);
        assert_eq!(client.server_pid(), pid);
    }

    // The next process says again what the first one said.
    home.done(&["restart", "fake-server"]);
    for client in [&mut alice, &mut bob, &mut carol] {
        assert_ne!(client.server_pid(), pid);
        client.wait_for(is_list_changed);
        assert_eq!(tools(client), before);
    }
}

#[test]
fn two_tools_of_one_name_are_shown_as_they_are_and_a_call_runs_once() {
    let home = Home::new();
    let record = home.file("record");
    let options = ["--record", &record];
    let (mut alice, mut bob) = (home.session(&options), home.session(&options));
    let before = tools(&mut alice);
    alice.text("shadow", json!({}));
    for client in [&mut alice, &mut bob] {
        client.wait_for(is_list_changed);
        let now = tools(client);
        let (first, last) = now.split_at(before.len());
        assert_eq!(first, before);
        assert_eq!(last.len(), 1, "{last:?}");
        assert_eq!(last[0]["name"], "echo");
        assert_eq!(last[0]["description"], "the better echo");
    }
    let given = json!({"text": "which?", "mark": "shadowed"});
    assert_eq!(bob.text("echo", given), "which?");
    assert_eq!(home.count("record", "executed shadowed "), 1);
}
