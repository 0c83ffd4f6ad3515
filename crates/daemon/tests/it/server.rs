//! A server that does what its calls say.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use serde_json::{Value, json};

/// The role of a server.
pub(crate) const ROLE: &str = "server";

/// Plays the server until its input ends.
pub(crate) fn run() -> ExitCode {
    let mut late: Vec<Value> = Vec::new();
    let mut notes = 0;
    for line in io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line.unwrap()) else {
            return ExitCode::FAILURE;
        };
        let id = &message["id"];
        match message["params"]["name"].as_str() {
            // Answered when another call says so, or never.
            Some("late") => {
                late.push(id.clone());
                continue;
            }
            Some("answer-the-late") => {
                for id in late.drain(..) {
                    answer(&id, &json!({ "late": true }));
                }
            }
            _ => {}
        }
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "echo", "version": "1" },
            }),
            Some("tools/call") if message["params"]["name"] == "notes-before" => {
                json!({ "notes": notes })
            }
            Some("tools/call") => call(&message["params"]),
            Some("notifications/note") => {
                notes += 1;
                continue;
            }
            _ => continue,
        };
        answer(id, &result);
    }
    ExitCode::SUCCESS
}

fn answer(id: &Value, result: &Value) {
    say(&json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string());
}

fn call(params: &Value) -> Value {
    let arguments = &params["arguments"];
    let bytes = usize::try_from(arguments["bytes"].as_u64().unwrap_or(0)).unwrap();
    match params["name"].as_str().unwrap() {
        "echo" => arguments.clone(),
        "pid" => json!({ "pid": std::process::id() }),
        "large" => json!({ "text": "x".repeat(bytes) }),
        "answer-the-late" => json!({ "answered": true }),
        "die" => std::process::abort(),
        "progress" => {
            let filler = "p".repeat(1000);
            for number in 0..bytes / 1000 {
                say(&json!({
                    "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": { "progressToken": params["_meta"]["progressToken"], "progress": number, "message": filler },
                })
                .to_string());
            }
            json!({ "told": true })
        }
        "complain" => {
            let line = format!("{}\n", "e".repeat(99));
            let mut stderr = io::stderr().lock();
            for _ in 0..bytes / 100 {
                stderr.write_all(line.as_bytes()).unwrap();
            }
            json!({ "complained": true })
        }
        "noise" => {
            say("Welcome!\n\n{\"half\": ");
            json!({ "noisy": true })
        }
        other => json!({ "unknown": other }),
    }
}

fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes()).unwrap();
    stdout.flush().unwrap();
}
