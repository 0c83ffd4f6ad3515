use super::*;

const NOW: Duration = Duration::ZERO;

fn said(server: &mut Legacy) -> Vec<Value> {
    let text = server.stage.said();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn told(server: &mut Legacy, line: &Value) -> Vec<Value> {
    server.take(NOW, line.to_string().as_bytes());
    said(server)
}

fn asked(server: &mut Legacy, id: u32, method: &str, params: &Value) -> Vec<Value> {
    told(
        server,
        &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
    )
}

fn called(server: &mut Legacy, id: u32, tool: &str) -> Vec<Value> {
    asked(
        server,
        id,
        "tools/call",
        &json!({"name": tool, "arguments": {}}),
    )
}

fn greeted() -> Legacy {
    let mut server = Legacy::default();
    let params = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
    });
    let said = asked(&mut server, 0, "initialize", &params);
    assert_eq!(said[0]["result"]["protocolVersion"], "2025-06-18");
    server
}

#[test]
fn it_greets_once_and_does_nothing_before() {
    let mut server = Legacy::default();
    assert_eq!(
        asked(&mut server, 1, "tools/list", &json!({}))[0]["error"]["code"],
        -32600
    );
    assert_eq!(
        asked(&mut server, 2, "server/discover", &json!({}))[0]["error"]["code"],
        -32601
    );
    assert_eq!(
        asked(&mut server, 3, "ping", &json!({}))[0]["result"],
        json!({})
    );
    let mut server = greeted();
    assert_eq!(
        asked(&mut server, 1, "initialize", &json!({}))[0]["error"]["code"],
        -32600
    );
    assert!(asked(&mut server, 2, "tools/list", &json!({}))[0]["result"]["tools"].is_array());
}

#[test]
fn a_question_that_waits_holds_up_no_other_call() {
    let mut server = greeted();
    let first = called(&mut server, 1, "test_input_required_result_elicitation");
    let second = called(&mut server, 2, "test_input_required_result_elicitation");
    assert_eq!(first[0]["method"], "elicitation/create");
    assert_ne!(first[0]["id"], second[0]["id"]);
    assert_eq!(called(&mut server, 3, "test_simple_text")[0]["id"], 3);
    let answer = |ask: &Value, name: &str| json!({"jsonrpc": "2.0", "id": ask["id"], "result": {"action": "accept", "content": {"name": name}}});
    let bob = told(&mut server, &answer(&second[0], "Bob"));
    assert_eq!(
        (&bob[0]["id"], &bob[0]["result"]["content"][0]["text"]),
        (&json!(2), &json!("Hello, Bob!"))
    );
    let alice = told(&mut server, &answer(&first[0], "Alice"));
    assert_eq!(
        (&alice[0]["id"], &alice[0]["result"]["content"][0]["text"]),
        (&json!(1), &json!("Hello, Alice!"))
    );
}

#[test]
fn the_second_round_comes_after_the_first() {
    let mut server = greeted();
    let first = called(&mut server, 1, "test_input_required_result_multi_round");
    let accepted = json!({"action": "accept", "content": {}});
    let second = told(
        &mut server,
        &json!({"jsonrpc": "2.0", "id": first[0]["id"], "result": accepted}),
    );
    assert_eq!(
        second[0]["params"]["message"],
        "Step 2: What is your favorite color?"
    );
    let done = told(
        &mut server,
        &json!({"jsonrpc": "2.0", "id": second[0]["id"], "result": accepted}),
    );
    assert_eq!(done[0]["id"], 1);
    assert!(server.runs.is_empty() && server.asks.is_empty());
}

#[test]
fn a_question_that_is_refused_ends_the_call_and_takes_back_the_others() {
    let mut server = greeted();
    let questions = called(&mut server, 1, "test_input_required_result_multiple_inputs");
    assert_eq!(questions.len(), 3);
    let refused =
        json!({"jsonrpc": "2.0", "id": questions[1]["id"], "error": {"code": -1, "message": "no"}});
    let said = told(&mut server, &refused);
    assert_eq!(said[0]["result"]["isError"], true);
    let taken_back: Vec<&Value> = said[1..]
        .iter()
        .map(|line| &line["params"]["requestId"])
        .collect();
    assert_eq!(taken_back, [&questions[0]["id"], &questions[2]["id"]]);
    // Nobody waits for the answer that comes too late.
    let late = json!({"jsonrpc": "2.0", "id": questions[0]["id"], "result": {"action": "cancel"}});
    assert!(told(&mut server, &late).is_empty());
}

#[test]
fn a_call_that_is_cancelled_is_not_answered() {
    let mut server = greeted();
    let question = called(&mut server, 1, "test_streaming_elicitation");
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let said = told(&mut server, &cancelled);
    assert_eq!(said[0]["params"]["requestId"], question[0]["id"]);
    called(&mut server, 2, "test_reconnection");
    told(
        &mut server,
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}),
    );
    assert_eq!(server.stage.next_deadline(), None);
}

#[test]
fn who_wants_graver_messages_hears_none_of_ours() {
    let mut server = greeted();
    assert_eq!(called(&mut server, 1, "test_logging_tool").len(), 2);
    asked(
        &mut server,
        2,
        "logging/setLevel",
        &json!({"level": "error"}),
    );
    assert_eq!(called(&mut server, 3, "test_logging_tool").len(), 1);
    let wrong = asked(
        &mut server,
        4,
        "logging/setLevel",
        &json!({"level": "loud"}),
    );
    assert_eq!(wrong[0]["error"]["code"], -32602);
}

#[test]
fn progress_is_told_under_the_token_of_the_call_over_time() {
    let mut server = greeted();
    let params = json!({"name": "test_tool_with_progress", "_meta": {"progressToken": "p"}});
    let begun = asked(&mut server, 1, "tools/call", &params);
    assert_eq!(
        (begun.len(), &begun[0]["params"]["progressToken"]),
        (1, &json!("p"))
    );
    server.stage.advance(Duration::from_millis(50));
    assert_eq!(said(&mut server)[0]["params"]["progress"], 50);
    server.stage.advance(Duration::from_millis(100));
    let end = said(&mut server);
    assert_eq!(
        (&end[0]["params"]["progress"], &end[1]["id"]),
        (&json!(100), &json!(1))
    );
}

#[test]
fn only_subscribers_hear_of_a_changed_resource() {
    let mut server = greeted();
    assert_eq!(
        called(&mut server, 1, "test_trigger_resource_update").len(),
        1
    );
    asked(
        &mut server,
        2,
        "resources/subscribe",
        &json!({"uri": WATCHED}),
    );
    assert_eq!(
        called(&mut server, 3, "test_trigger_resource_update")[0]["params"]["uri"],
        WATCHED
    );
    asked(
        &mut server,
        4,
        "resources/unsubscribe",
        &json!({"uri": WATCHED}),
    );
    assert_eq!(
        called(&mut server, 5, "test_trigger_resource_update").len(),
        1
    );
    let missing = asked(
        &mut server,
        6,
        "resources/read",
        &json!({"uri": "test://elsewhere"}),
    );
    assert_eq!(
        missing[0]["error"],
        json!({"code": -32002, "message": "Resource not found", "data": {"uri": "test://elsewhere"}})
    );
}

#[test]
fn a_client_that_cannot_be_asked_is_told_so() {
    let mut server = Legacy::default();
    asked(&mut server, 0, "initialize", &json!({"capabilities": {}}));
    let said = called(&mut server, 1, "test_missing_capability");
    assert_eq!(said[0]["result"]["isError"], true);
}
