//! The daemon goes on as another program under requests of the modern era over HTTP.

use std::{fs, io::BufReader};

use serde_json::{Value, json};

use crate::{
    http_modern::{ask, call_of, fitted, request, sessions},
    support::{Home, until, web::Response},
    upgrade::upgrade,
};

#[test]
fn requests_go_on_under_an_upgrade_at_whatever_point_they_are() {
    let home = Home::new();
    let record = home.file("record");
    let web = home.web(&["--record", &record]);
    let mut message = call_of("elicit", json!({"text": "name?", "mark": "once"}));
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}});
    let asked = ask(&web, &message).json();
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let key = result["inputRequests"].as_object().unwrap().keys().next();
    let mut again = message.clone();
    again["params"]["requestState"] = result["requestState"].clone();
    let said = json!({"action": "accept", "content": {"name": "Alice"}});
    again["params"]["inputResponses"] = json!({key.unwrap(): said});
    // One of which nothing has come, one in the middle of a stream, one that listens, and one that goes away.
    let file = home.file("go on");
    let slow = call_of("slow", json!({"until": file, "mark": "slow"}));
    let waits = fitted(&web, &slow).send("POST", slow.to_string().as_bytes());
    home.noted("record", "executed slow");
    let arguments = json!({"steps": 3, "until": file, "mark": "steps"});
    let mut steps = call_of("progress", arguments);
    steps["params"]["_meta"]["progressToken"] = json!("mine");
    let mut stream = ask(&web, &steps);
    assert_eq!(stream.event().unwrap()["params"]["progress"], 1);
    let wanted = json!({"notifications": {"toolsListChanged": true}});
    let mut listens = ask(&web, &request("subscriptions/listen", wanted));
    assert!(listens.event().is_some());
    let never = call_of("slow", json!({"until": home.file("never"), "mark": "gone"}));
    let goes = fitted(&web, &never).send("POST", never.to_string().as_bytes());
    home.noted("record", "executed gone");
    for _ in 0..3 {
        upgrade(&home);
        until("those alone that are open", || sessions(&home) == 5);
        assert_eq!(ask(&web, &call_of("change", json!({}))).status, 200);
        let told = listens.event().unwrap();
        assert_eq!(told["method"], "notifications/tools/list_changed");
    }
    assert_eq!(home.count("record", "cancelled"), 0);
    drop(goes);
    home.noted("record", "cancelled");
    fs::write(&file, "").unwrap();
    let answer = Response::read(BufReader::new(waits));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.answer()["id"], 7);
    for step in 2..=3 {
        assert_eq!(stream.event().unwrap()["params"]["progress"], step);
    }
    assert_eq!(stream.event().unwrap()["id"], 7);
    assert_eq!(stream.event(), None);
    let answer = ask(&web, &again).json();
    let heard = answer["result"]["content"][0]["text"].as_str();
    let heard = heard.unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(serde_json::from_str::<Value>(heard).unwrap(), said);
    listens.hang_up();
    until("the end of all of them", || sessions(&home) == 0);
    for mark in ["once", "slow", "steps"] {
        assert_eq!(home.count("record", &format!("executed {mark}")), 1);
    }
    assert_eq!(home.count("record", "cancelled"), 1);
}
