//! What a server offers beside tools: resources, prompts, completion, in pages.

use std::{fs::OpenOptions, sync::atomic::Ordering};

use serde_json::{Value, json};

use crate::{
    server::{Outcome, Server, response},
    tools,
};

/// Entries of a list that go on one page.
const PAGE: usize = 2;

const RESOURCES: [&str; 5] = ["counter", "clock", "readme", "notes", "last"];
const PROMPTS: [&str; 3] = ["greet", "review", "summarize"];
const TEMPLATES: [&str; 3] = [
    "fake://file/{path}",
    "fake://user/{name}",
    "fake://day/{date}",
];

/// Whether it says when a resource has changed.
pub(crate) fn is_told_of(uri: &str) -> bool {
    !uri.starts_with("fake://untold/")
}

/// The answer to a request that is no tool call.
pub(crate) fn respond(server: &Server, method: &str, id: &Value, params: &Value) -> Outcome {
    match method {
        "ping" | "logging/setLevel" => Ok(json!({})),
        "resources/subscribe" => {
            let uri = params["uri"].as_str().unwrap_or_default();
            if is_told_of(uri) {
                server.subscribe(uri);
                Ok(json!({}))
            } else {
                Err((-32602, format!("nobody is told of {uri}")))
            }
        }
        "resources/unsubscribe" => {
            server.unsubscribe(params["uri"].as_str().unwrap_or_default());
            Ok(json!({}))
        }
        "tools/list" => Ok(json!({"tools": tools::list(server)})),
        "resources/list" => page(
            params,
            "resources",
            &RESOURCES,
            |name| json!({"uri": format!("fake://{name}"), "name": name}),
        ),
        "resources/templates/list" => page(
            params,
            "resourceTemplates",
            &TEMPLATES,
            |template| json!({"uriTemplate": template, "name": template}),
        ),
        "resources/read" => Ok(read(server, id, params)),
        "prompts/list" => page(
            params,
            "prompts",
            &PROMPTS,
            |name| json!({"name": name, "arguments": [{"name": "subject"}]}),
        ),
        "prompts/get" => prompt(params),
        "completion/complete" => Ok(complete(params)),
        other => Err((-32601, format!("method not found: {other}"))),
    }
}

fn read(server: &Server, id: &Value, params: &Value) -> Value {
    let uri = params["uri"].as_str().unwrap_or_default();
    let text = match uri.strip_prefix("fake://") {
        Some("counter") | None => server.counter.load(Ordering::Relaxed).to_string(),
        Some(rest) => format!("contents of {rest}"),
    };
    let result = json!({"contents": [{"uri": uri, "text": text}]});
    if let Some((at, file)) = uri
        .strip_prefix("fake://crash/")
        .and_then(|rest| rest.split_once('/'))
        && is_first(file)
    {
        let message = format!("{}\n", response(id, &Ok(result)));
        let at = at.parse().unwrap_or(0);
        server.output.die_behind(message.as_bytes(), at, 1);
    }
    result
}

/// Whether nobody was here before, as a file tells, which is made.
pub(crate) fn is_first(file: &str) -> bool {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .is_ok()
}

fn prompt(params: &Value) -> Outcome {
    let name = params["name"].as_str().unwrap_or_default();
    if !PROMPTS.contains(&name) {
        return Err((-32602, format!("unknown prompt: {name}")));
    }
    let subject = params["arguments"]["subject"].as_str().unwrap_or_default();
    Ok(json!({"messages": [
        {"role": "user", "content": {"type": "text", "text": format!("{name} {subject}")}},
    ]}))
}

fn complete(params: &Value) -> Value {
    let begun = params["argument"]["value"].as_str().unwrap_or_default();
    let values: Vec<String> = (1..=3).map(|number| format!("{begun}-{number}")).collect();
    json!({"completion": {"values": values, "total": 3, "hasMore": false}})
}

/// One page of a list; the cursor says which entries have been told.
fn page(params: &Value, member: &str, names: &[&str], show: impl Fn(&str) -> Value) -> Outcome {
    let begin = match params["cursor"].as_str() {
        None => 0,
        Some(cursor) => cursor
            .strip_prefix("after:")
            .and_then(|told| told.parse::<usize>().ok())
            .filter(|told| *told < names.len())
            .ok_or_else(|| (-32602, format!("unknown cursor: {cursor}")))?,
    };
    let shown: Vec<Value> = names
        .iter()
        .skip(begin)
        .take(PAGE)
        .map(|name| show(name))
        .collect();
    let mut result = json!({member: shown});
    if begin + PAGE < names.len() {
        result["nextCursor"] = json!(format!("after:{}", begin + PAGE));
    }
    Ok(result)
}
