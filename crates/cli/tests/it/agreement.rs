//! What a server does not tell of, nobody is promised: whichever era it speaks, and its clients.

use serde_json::{Value, json};

use crate::{
    http_modern::{ask, request},
    support::{Client, Home, until},
};

const TOLD: &str = "fake://counter";
const UNTOLD: &str = "fake://untold/1";

fn subscribe(client: &mut Client, uri: &str) -> Value {
    client.request("resources/subscribe", json!({"uri": uri}))
}

/// What a server notes that is told to.
const RECORD: &str = "record";

/// A legacy client is subscribed to what its server tells, and hears of no other.
fn subscribes(home: &Home, era: &str) -> Client {
    let options = ["--era", era, "--record", &home.file(RECORD)];
    let mut alice = home.session(&options);
    let mut bob = home.session(&options);
    let refused = subscribe(&mut bob, UNTOLD);
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let agreed = subscribe(&mut alice, TOLD);
    assert_eq!(agreed["result"], json!({}), "{agreed}");
    let refused = subscribe(&mut alice, UNTOLD);
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    bob.call("touch", json!({"uri": TOLD}));
    let updated = alice.wait_for(is_update);
    assert_eq!(updated["params"]["uri"], TOLD);
    alice
}

fn is_update(message: &Value) -> bool {
    message["method"] == "notifications/resources/updated"
}

#[test]
fn a_legacy_client_at_a_legacy_server() {
    subscribes(&Home::new(), "legacy");
}

#[test]
fn a_legacy_client_at_a_modern_server_also_after_that_has_ended() {
    let home = Home::new();
    let mut alice = subscribes(&home, "modern");
    let before = alice.server_pid();
    home.done(&["restart", "fake-server"]);
    assert_ne!(alice.server_pid(), before);
    alice.call("touch", json!({"uri": TOLD}));
    alice.wait_for(is_update);
    let refused = subscribe(&mut alice, UNTOLD);
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

#[test]
fn a_modern_server_that_outlives_its_daemon_tells_its_legacy_client_once_and_stays_the_only_one() {
    let home = Home::new();
    let mut alice = subscribes(&home, "modern");
    for _ in 0..2 {
        let ended = home.count(RECORD, "cancelled");
        home.kill_daemon();
        alice.come_to_rest();
        until("the end of what the dead daemon was told by", || {
            home.count(RECORD, "cancelled") > ended
        });
        alice.call("touch", json!({"uri": TOLD}));
        alice.wait_for(is_update);
        alice.hears_nothing();
    }
    // One to find that it does not speak as it was asked first, and one that serves.
    assert_eq!(home.count(RECORD, "started"), 2);
}

/// A modern client is promised what its server tells, and nothing else.
fn listens(era: &str) {
    let home = Home::new();
    let web = home.web(&["--era", era]);
    let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": [TOLD, UNTOLD]});
    let wish = request("subscriptions/listen", json!({"notifications": wanted}));
    let mut stream = ask(&web, &wish);
    let promised = stream.event().unwrap();
    let said = &promised["params"]["notifications"];
    assert_eq!(said["toolsListChanged"], true, "{promised}");
    assert_eq!(said["resourceSubscriptions"], json!([TOLD]), "{promised}");
    let touch = json!({"name": "touch", "arguments": {"uri": TOLD}});
    assert_eq!(ask(&web, &request("tools/call", touch)).status, 200);
    let updated = stream.event().unwrap();
    assert_eq!(updated["method"], "notifications/resources/updated");
    assert_eq!(updated["params"]["uri"], TOLD, "{updated}");
    let wanted = json!({"resourceSubscriptions": [UNTOLD]});
    let wish = request("subscriptions/listen", json!({"notifications": wanted}));
    let promised = ask(&web, &wish).event().unwrap();
    assert_eq!(promised["params"]["notifications"], json!({}), "{promised}");
}

#[test]
fn a_modern_client_at_a_legacy_server() {
    listens("legacy");
}

#[test]
fn a_modern_client_at_a_modern_server() {
    listens("modern");
}
