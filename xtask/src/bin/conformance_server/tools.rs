//! The tools.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    deed::{Change, Deed, Stretch},
    inquiry,
    message::{Fault, text},
    prompts::words,
    resources::{PICTURE, SOUND},
};

/// How long a call takes that others are to leave and come back to.
const LONG: Duration = Duration::from_millis(300);

/// All tools, in the order in which they are listed; the first needs no arguments.
const TOOLS: [(&str, &str); 29] = [
    ("test_simple_text", "Answers with a text"),
    ("test_image_content", "Answers with a picture"),
    ("test_audio_content", "Answers with a sound"),
    ("test_embedded_resource", "Answers with a resource"),
    (
        "test_multiple_content_types",
        "Answers with a text, a picture and a resource",
    ),
    ("test_error_handling", "Always fails"),
    ("test_tool_with_logging", "Logs what it does"),
    ("test_logging_tool", "Logs that it was called"),
    ("test_tool_with_progress", "Tells of its progress"),
    (
        "test_reconnection",
        "Takes longer than a connection may last",
    ),
    (
        "json_schema_2020_12_tool",
        "Tool with JSON Schema 2020-12 features",
    ),
    (
        "test_x_mcp_header",
        "Has parameters that also stand in headers",
    ),
    ("test_trigger_tool_change", "Changes the list of tools"),
    ("test_trigger_prompt_change", "Changes the list of prompts"),
    (
        "test_trigger_resource_update",
        "Changes the resource that can be watched",
    ),
    ("test_sampling", "Asks the model of the client"),
    ("test_elicitation", "Asks the user of the client"),
    (
        "test_elicitation_sep1034_defaults",
        "Asks with a default for everything",
    ),
    (
        "test_elicitation_sep1330_enums",
        "Asks with every kind of choice",
    ),
    (
        "test_missing_capability",
        "Cannot be called without sampling",
    ),
    ("test_streaming_elicitation", "Asks for a confirmation"),
    ("test_input_required_result_elicitation", "Asks for a name"),
    ("test_input_required_result_sampling", "Asks for a capital"),
    (
        "test_input_required_result_list_roots",
        "Asks for the roots",
    ),
    (
        "test_input_required_result_request_state",
        "Asks, and has its state brought back",
    ),
    (
        "test_input_required_result_multiple_inputs",
        "Asks for three things at once",
    ),
    (
        "test_input_required_result_multi_round",
        "Asks for one thing after the other",
    ),
    (
        "test_input_required_result_tampered_state",
        "Asks, and sees whether its state was changed",
    ),
    (
        "test_input_required_result_capabilities",
        "Asks for what the client can do",
    ),
];

pub(crate) fn list() -> Value {
    let tool = |(name, description): (&str, &str)| json!({"name": name, "description": description, "inputSchema": schema(name)});
    let tools: Vec<Value> = TOOLS.into_iter().map(tool).collect();
    json!({ "tools": tools })
}

fn schema(name: &str) -> Value {
    match name {
        "json_schema_2020_12_tool" => of_2020_12(),
        "test_sampling" => of_text("prompt", "What to ask the model"),
        "test_elicitation" => of_text("message", "What to ask the user"),
        "test_x_mcp_header" => json!({
            "type": "object",
            "properties": {
                "region": {"type": "string", "description": "Where", "x-mcp-header": "Region"},
                "priority": {"type": "integer", "description": "How soon", "x-mcp-header": "Priority"},
                "dry": {"type": "boolean", "description": "Whether to try only", "x-mcp-header": "Dry-Run"},
            },
            "required": ["region"],
        }),
        _takes_nothing => json!({"type": "object", "properties": {}}),
    }
}

fn of_text(name: &str, description: &str) -> Value {
    let properties = json!({name: {"type": "string", "description": description}});
    json!({"type": "object", "properties": properties, "required": [name]})
}

/// With every word that simpler readers of schemas lose.
fn of_2020_12() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": text(), "city": text()},
        }},
        "properties": {
            "name": text(),
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": text(),
            "email": text(),
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

pub(crate) fn call(params: &Map<String, Value>) -> Deed {
    let none = Map::new();
    let arguments = params
        .get("arguments")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let name = text(params, "name");
    if let Some(inquiry) = inquiry::of_tool(name, arguments) {
        return Deed::Asks(inquiry);
    }
    let contents = match name {
        "test_simple_text" => vec![words("This is a simple text response for testing.")],
        "test_image_content" => vec![picture()],
        "test_audio_content" => {
            vec![json!({"type": "audio", "data": SOUND, "mimeType": "audio/wav"})]
        }
        "test_embedded_resource" => {
            let text = "This is an embedded resource content.";
            vec![resource("test://embedded-resource", "text/plain", text)]
        }
        "test_multiple_content_types" => {
            let text = json!({"test": "data", "value": 123}).to_string();
            let resource = resource("test://mixed-content-resource", "application/json", &text);
            vec![words("Multiple content types test:"), picture(), resource]
        }
        "test_error_handling" => {
            return Deed::Done(failure(
                "This tool intentionally returns an error for testing",
            ));
        }
        "json_schema_2020_12_tool" | "test_x_mcp_header" => {
            vec![words(&Value::Object(arguments.clone()).to_string())]
        }
        _other => return lasting(name),
    };
    Deed::Done(json!({ "content": contents }))
}

/// What is not done with a result at once.
fn lasting(name: &str) -> Deed {
    const BRIEF: Stretch = Stretch::BRIEF;
    let stretches = match name {
        "test_tool_with_logging" => vec![
            Stretch::Log("Tool execution started"),
            BRIEF,
            Stretch::Log("Tool processing data"),
            BRIEF,
            Stretch::Log("Tool execution completed"),
        ],
        "test_logging_tool" => vec![Stretch::Log("Tool was called")],
        "test_tool_with_progress" => vec![
            Stretch::Progress(0),
            BRIEF,
            Stretch::Progress(50),
            BRIEF,
            Stretch::Progress(100),
        ],
        "test_reconnection" => vec![Stretch::Pause(LONG)],
        "test_trigger_tool_change" => return changed(Change::Tools),
        "test_trigger_prompt_change" => return changed(Change::Prompts),
        "test_trigger_resource_update" => return changed(Change::Watched),
        _unknown => return Deed::Refused(Fault::invalid_params(format_args!("no tool `{name}`"))),
    };
    Deed::Takes(stretches, text_result("It is done."))
}

fn changed(change: Change) -> Deed {
    Deed::Changes(change, text_result("It was changed."))
}

pub(crate) fn text_result(text: &str) -> Value {
    json!({"content": [words(text)]})
}

/// The result of a call that went wrong.
pub(crate) fn failure(text: &str) -> Value {
    json!({"content": [words(text)], "isError": true})
}

fn picture() -> Value {
    json!({"type": "image", "data": PICTURE, "mimeType": "image/png"})
}

fn resource(uri: &str, kind: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_that_is_listed_can_be_called() {
        for (name, _description) in TOOLS {
            let params = json!({"name": name, "arguments": {}});
            let deed = call(params.as_object().unwrap());
            assert!(!matches!(deed, Deed::Refused(_)), "{name}: {deed:?}");
        }
        let unknown = json!({"name": "elsewhere"});
        assert!(matches!(
            call(unknown.as_object().unwrap()),
            Deed::Refused(_)
        ));
    }

    #[test]
    fn the_first_tool_is_done_without_arguments() {
        let params = json!({"name": TOOLS[0].0});
        assert!(matches!(call(params.as_object().unwrap()), Deed::Done(_)));
    }
}
