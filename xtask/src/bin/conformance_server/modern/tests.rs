use super::*;
use crate::resources::WATCHED;

const NOW: Duration = Duration::ZERO;
const META: &str = "io.modelcontextprotocol/";

fn said(server: &mut Modern) -> Vec<Value> {
    let text = server.stage.said();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn told(server: &mut Modern, line: &Value) -> Vec<Value> {
    server.take(NOW, line.to_string().as_bytes());
    said(server)
}

/// Metadata as a client gives it that can do these things.
fn meta(capabilities: &Value) -> Value {
    json!({
        format!("{META}protocolVersion"): VERSION,
        format!("{META}clientCapabilities"): capabilities,
    })
}

fn asked(server: &mut Modern, id: &Value, method: &str, params: &Value) -> Vec<Value> {
    let mut params = params.clone();
    if params["_meta"].is_null() {
        params["_meta"] = meta(&json!({"elicitation": {}, "sampling": {}, "roots": {}}));
    }
    told(
        server,
        &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
    )
}

fn called(server: &mut Modern, params: &Value) -> Value {
    let said = asked(server, &json!(1), "tools/call", params);
    assert_eq!(said.len(), 1, "{said:?}");
    said[0].clone()
}

#[test]
fn a_request_must_say_what_its_client_is() {
    let mut server = Modern::default();
    let mut code = |meta: &Value| {
        let said = asked(
            &mut server,
            &json!("d"),
            "server/discover",
            &json!({"_meta": meta}),
        );
        assert_eq!(said[0]["id"], "d");
        said[0]["error"].clone()
    };
    assert_eq!(code(&json!({}))["code"], -32602);
    assert_eq!(
        code(&json!({format!("{META}protocolVersion"): VERSION}))["code"],
        -32602
    );
    let other = code(&json!({format!("{META}protocolVersion"): "v999"}));
    let data = json!({"supported": [VERSION], "requested": "v999"});
    assert_eq!((&other["code"], &other["data"]), (&json!(-32022), &data));
    assert_eq!(code(&meta(&json!({}))), Value::Null);
}

#[test]
fn there_is_no_handshake_and_nothing_else_of_the_other_era() {
    let mut server = Modern::default();
    let bare = json!({"protocolVersion": "2025-11-25", "_meta": {}});
    let said = asked(&mut server, &json!(1), "initialize", &bare);
    assert_eq!(
        (
            &said[0]["error"]["code"],
            &said[0]["error"]["data"]["requested"]
        ),
        (&json!(-32022), &json!("2025-11-25"))
    );
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "unknown/method",
    ] {
        let said = asked(&mut server, &json!(1), method, &json!({}));
        assert_eq!(said[0]["error"]["code"], -32601, "{method}");
    }
}

#[test]
fn a_result_says_that_it_is_complete_and_how_long_it_may_be_kept() {
    let mut server = Modern::default();
    for method in [
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        let result = &asked(&mut server, &json!(1), method, &json!({}))[0]["result"];
        assert_eq!(
            (&result["resultType"], &result["cacheScope"]),
            (&json!("complete"), &json!("public"))
        );
        assert!(result["ttlMs"].is_u64());
        assert_eq!(
            result["_meta"][format!("{META}serverInfo")]["name"],
            "conformance-modern"
        );
    }
    let read = asked(
        &mut server,
        &json!(1),
        "resources/read",
        &json!({"uri": "test://static-text"}),
    );
    assert_eq!(read[0]["result"]["cacheScope"], "private");
    let missing = asked(
        &mut server,
        &json!(1),
        "resources/read",
        &json!({"uri": "test://elsewhere"}),
    );
    assert_eq!(missing[0]["error"]["code"], -32602);
    let result = called(&mut server, &json!({"name": "test_simple_text"}))["result"].clone();
    assert_eq!(
        (&result["resultType"], &result["ttlMs"]),
        (&json!("complete"), &Value::Null)
    );
}

#[test]
fn what_must_be_known_is_asked_until_it_is() {
    let mut server = Modern::default();
    let name = "test_input_required_result_elicitation";
    let asked = called(&mut server, &json!({"name": name}))["result"].clone();
    assert_eq!(
        (&asked["resultType"], &asked["requestState"]),
        (&json!("input_required"), &Value::Null)
    );
    assert_eq!(
        asked["inputRequests"]["user_name"]["method"],
        "elicitation/create"
    );
    let mut with = |responses: Value| {
        called(
            &mut server,
            &json!({"name": name, "inputResponses": responses}),
        )
    };
    let accepted = json!({"action": "accept", "content": {"name": "Alice"}});
    let done = with(json!({"user_name": accepted, "unknown": 1}));
    assert_eq!(done["result"]["content"][0]["text"], "Hello, Alice!");
    for useless in [
        json!({"wrong_key": accepted}),
        json!({"user_name": 12345}),
        json!({}),
    ] {
        assert_eq!(with(useless)["result"], asked);
    }
    assert_eq!(with(Value::Null)["error"]["code"], -32602);
}

#[test]
fn each_round_has_a_state_of_its_own_that_must_come_back_unchanged() {
    let mut server = Modern::default();
    let name = "test_input_required_result_multi_round";
    let mut with = |responses: Value, state: &Value| {
        called(
            &mut server,
            &json!({"name": name, "inputResponses": responses, "requestState": state}),
        )
    };
    let answer = |key: &str| json!({key: {"action": "accept", "content": {}}});
    let state = |result: &Value| result["result"]["requestState"].clone();
    let first = with(json!({}), &json!(Progress::default().sealed(name)));
    let second = with(answer("step1"), &state(&first));
    assert!(second["result"]["inputRequests"]["step2"].is_object());
    assert_ne!(state(&first), state(&second));
    // The answers of a round are not those of another.
    assert_eq!(
        with(answer("step1"), &state(&second))["result"],
        second["result"]
    );
    assert_eq!(
        with(answer("step2"), &state(&second))["result"]["resultType"],
        "complete"
    );
    let tampered = format!("{}-TAMPERED", state(&first).as_str().unwrap());
    assert_eq!(
        with(answer("step1"), &json!(tampered))["error"]["code"],
        -32602
    );
    let stateless = called(
        &mut server,
        &json!({"name": name, "inputResponses": answer("step1")}),
    );
    assert!(stateless["result"]["inputRequests"]["step1"].is_object());
}

#[test]
fn nothing_is_asked_of_who_cannot_answer() {
    let mut server = Modern::default();
    let mut of =
        |name: &str, can: Value| called(&mut server, &json!({"name": name, "_meta": meta(&can)}));
    let refused = of("test_missing_capability", json!({}))["error"].clone();
    assert_eq!(
        (&refused["code"], &refused["data"]),
        (
            &json!(-32021),
            &json!({"requiredCapabilities": {"sampling": {}}})
        )
    );
    let asked = of(
        "test_input_required_result_capabilities",
        json!({"sampling": {}}),
    );
    let keys: Vec<String> = asked["result"]["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys, ["sample"]);
}

#[test]
fn log_messages_are_only_for_requests_that_want_them() {
    let mut server = Modern::default();
    let mut of = |level: Option<&str>| {
        let mut params = json!({"name": "test_logging_tool", "_meta": meta(&json!({}))});
        if let Some(level) = level {
            params["_meta"][format!("{META}logLevel")] = json!(level);
        }
        asked(&mut server, &json!(1), "tools/call", &params).len()
    };
    assert_eq!((of(None), of(Some("info")), of(Some("error"))), (1, 2, 1));
}

#[test]
fn listeners_hear_what_they_wanted_under_their_own_ids_until_they_cancel() {
    let mut server = Modern::default();
    let listen = |server: &mut Modern, id: Value, wants: Value| {
        asked(
            server,
            &id,
            "subscriptions/listen",
            &json!({"notifications": wants}),
        )[0]["params"]
            .clone()
    };
    let key = format!("{META}subscriptionId");
    let first = listen(
        &mut server,
        json!("1"),
        json!({"toolsListChanged": true, "resourcesListChanged": true}),
    );
    assert_eq!(
        (&first["notifications"], &first["_meta"][&key]),
        (&json!({"toolsListChanged": true}), &json!("1"))
    );
    listen(
        &mut server,
        json!(1),
        json!({"promptsListChanged": true, "toolsListChanged": false}),
    );
    listen(
        &mut server,
        json!(2),
        json!({"resourceSubscriptions": [WATCHED, "test://static-text"], "toolsListChanged": true}),
    );
    let mut heard = |tool: &str| {
        let said = asked(&mut server, &json!(9), "tools/call", &json!({"name": tool}));
        let (_answer, heard) = said.split_last().unwrap();
        heard
            .iter()
            .map(|line| line["params"]["_meta"][&key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(heard("test_trigger_tool_change"), [json!("1"), json!(2)]);
    assert_eq!(heard("test_trigger_prompt_change"), [json!(1)]);
    assert_eq!(heard("test_trigger_resource_update"), [json!(2)]);
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "1"}});
    assert!(told(&mut server, &cancelled).is_empty());
    let said = asked(
        &mut server,
        &json!(9),
        "tools/call",
        &json!({"name": "test_trigger_tool_change"}),
    );
    assert_eq!(said.len(), 2);
}
