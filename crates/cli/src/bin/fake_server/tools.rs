//! The tools: each is one thing that a server may do during a call.

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    process,
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::server::{Outcome, Server};

/// Name and description of every tool.
const TOOLS: [(&str, &str); 21] = [
    ("echo", "answers `text`, and names its process"),
    (
        "slow",
        "answers when the file `until` exists, or after `ms`",
    ),
    ("hang", "never answers"),
    ("crash", "exits with `code`"),
    ("fail", "answers with isError"),
    ("noise", "writes `text` to standard output first"),
    ("stderr", "writes `text` to standard error first"),
    ("flood", "writes `bytes` to standard error first"),
    ("sample", "asks for sampling and answers what came back"),
    ("elicit", "asks the user and answers what came back"),
    ("roots", "asks for the roots and answers what came back"),
    ("log", "logs `text` at `level`"),
    ("progress", "reports progress `steps` times"),
    ("change", "says that the list of tools changed"),
    ("touch", "says that the resource `uri` was updated"),
    (
        "surroundings",
        "environment, arguments, folder, descriptors",
    ),
    ("count", "counts its calls"),
    ("twice", "answers twice"),
    (
        "madeup",
        "answers a request that nobody made, then this one",
    ),
    ("big", "answers `bytes` bytes"),
    ("unknown", "sends a notification that no specification has"),
];

pub(crate) fn list() -> Value {
    TOOLS
        .iter()
        .map(|(name, description)| {
            json!({
                "name": name,
                "description": description,
                "inputSchema": {"type": "object"},
            })
        })
        .collect()
}

/// Carries out one call and answers it, unless it was cancelled meanwhile.
pub(crate) fn call(server: &Server, id: &Value, params: &Value) {
    let name = params["name"].as_str().unwrap_or_default();
    server.record.note(format_args!("call {name} {id}"));
    let answered = match run(server, id, params) {
        Ok(Some(outcome)) => server.answer(id, &outcome),
        Ok(None) => Ok(()),
        Err(error) => server.answer(id, &Err((-32603, error.to_string()))),
    };
    if answered.is_err() {
        server.record.note(format_args!("nobody reads"));
    }
}

/// `None`: no answer.
fn run(server: &Server, id: &Value, params: &Value) -> io::Result<Option<Outcome>> {
    let given = &params["arguments"];
    let text = given["text"].as_str().unwrap_or_default();
    let bytes = usize::try_from(given["bytes"].as_u64().unwrap_or_default()).unwrap_or(0);
    let mut said = text.to_owned();
    match params["name"].as_str().unwrap_or_default() {
        "echo" => {}
        "slow" => {
            if !wait(server, id, given) {
                return Ok(None);
            }
        }
        "hang" => return Ok(None),
        "crash" => crash(given["code"].as_i64().unwrap_or(1)),
        "fail" => {
            return Ok(Some(Ok(json!({
                "content": [{"type": "text", "text": text}],
                "isError": true,
            }))));
        }
        "noise" => server.write_line(text)?,
        "stderr" => writeln!(io::stderr(), "{text}")?,
        "flood" => crate::flood(&mut io::stderr(), bytes)?,
        "sample" | "elicit" | "roots" => said = ask(server, params, text)?,
        "log" => server.notify(
            "notifications/message",
            &json!({"level": given["level"].as_str().unwrap_or("info"), "data": text}),
        )?,
        "progress" => progress(server, params, given["steps"].as_u64().unwrap_or(3))?,
        "change" => server.notify("notifications/tools/list_changed", &json!({}))?,
        "touch" => server.notify(
            "notifications/resources/updated",
            &json!({"uri": given["uri"]}),
        )?,
        "surroundings" => said = surroundings()?.to_string(),
        "count" => said = (server.counter.fetch_add(1, Ordering::Relaxed) + 1).to_string(),
        "twice" => server.answer(id, &Ok(content("the first answer")))?,
        "madeup" => server.answer(&json!(987_654_321), &Ok(content("nobody asked")))?,
        "big" => said = "x".repeat(bytes),
        "unknown" => server.notify("notifications/fake/unknown", &json!({}))?,
        other => return Ok(Some(Err((-32602, format!("unknown tool: {other}"))))),
    }
    Ok(Some(Ok(content(&said))))
}

#[expect(clippy::exit, reason = "a server that dies in the middle of a call")]
fn crash(code: i64) -> ! {
    process::exit(i32::try_from(code).unwrap_or(1))
}

fn content(text: &str) -> Value {
    json!({
        "content": [{"type": "text", "text": text}],
        "structuredContent": {"pid": process::id()},
    })
}

/// Whether there is still somebody to answer.
fn wait(server: &Server, id: &Value, given: &Value) -> bool {
    let step = Duration::from_millis(2);
    let mut left = given["ms"].as_u64().map(Duration::from_millis);
    let until = given["until"].as_str().map(Path::new);
    while !server.is_cancelled(id) {
        if until.is_some_and(Path::exists) || left.is_some_and(|left| left.is_zero()) {
            return true;
        }
        thread::sleep(step);
        left = left.map(|left| left.saturating_sub(step));
    }
    false
}

fn ask(server: &Server, params: &Value, text: &str) -> io::Result<String> {
    let (method, question) = match params["name"].as_str() {
        Some("sample") => (
            "sampling/createMessage",
            json!({
                "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
                "maxTokens": 10,
            }),
        ),
        Some("elicit") => (
            "elicitation/create",
            json!({
                "message": text,
                "requestedSchema": {"type": "object", "properties": {}},
            }),
        ),
        _ => ("roots/list", json!({})),
    };
    let answer = server.ask(method, &question)?;
    let part = answer.get("result").or_else(|| answer.get("error"));
    Ok(part.map(Value::to_string).unwrap_or_default())
}

fn progress(server: &Server, params: &Value, steps: u64) -> io::Result<()> {
    let token = &params["_meta"]["progressToken"];
    if token.is_null() {
        return Ok(());
    }
    for step in 1..=steps {
        server.notify(
            "notifications/progress",
            &json!({"progressToken": token, "progress": step, "total": steps}),
        )?;
    }
    Ok(())
}

/// What this process was given by whoever started it.
fn surroundings() -> io::Result<Value> {
    let environment: Map<String, Value> = env::vars_os()
        .map(|(name, value)| {
            let value = value.to_string_lossy().into_owned();
            (name.to_string_lossy().into_owned(), Value::from(value))
        })
        .collect();
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let status = fs::read_to_string("/proc/self/status")?;
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .unwrap_or_default()
        .trim();
    Ok(json!({
        "env": environment,
        "args": arguments,
        "cwd": env::current_dir()?,
        "descriptors": descriptors()?,
        "umask": umask,
    }))
}

/// The numbers of all open descriptors but that of the listing itself.
fn descriptors() -> io::Result<Vec<u32>> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_listing = fs::read_link(entry.path())
            .is_ok_and(|target| target.starts_with("/proc") && target.ends_with("fd"));
        if let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && !is_listing
        {
            open.push(number);
        }
    }
    open.sort_unstable();
    Ok(open)
}
