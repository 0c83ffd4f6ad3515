//! A client over stdio that answers what it is asked.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

use crate::{
    conformance::version::Fixture,
    pipes::{Moved, Pipes},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often a request may be answered with questions.
const ROUNDS_MAX: usize = 8;

const MODERN: &str = "2026-07-28";

/// The two ends of one session.
pub(super) struct Session {
    pipes: Pipes,
    era: Fixture,
    issued: u64,
}

impl Session {
    pub(super) fn open(command: Command, era: Fixture) -> anyhow::Result<Session> {
        Ok(Session {
            pipes: Pipes::open(command)?,
            era,
            issued: 0,
        })
    }

    /// Begins as a client of its era does; what the server can do.
    pub(super) fn begin(&mut self, version: &str) -> anyhow::Result<Value> {
        let found = match self.era {
            Fixture::Legacy => {
                let hello = json!({
                    "protocolVersion": version,
                    "capabilities": capabilities(),
                    "clientInfo": client_info(),
                });
                let found = self.result("initialize", &hello)?;
                self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
                found
            }
            Fixture::Modern => self.result("server/discover", &json!({}))?,
        };
        Ok(found["capabilities"].clone())
    }

    /// The result of a request, whatever is asked before.
    pub(super) fn result(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut asked = params.clone();
        for _round in 0..ROUNDS_MAX {
            let answer = self.answer(method, asked)?;
            let Some(result) = answer.get("result") else {
                bail!("the answer to {method} was {answer}");
            };
            if result["resultType"] != "input_required" {
                return Ok(result.clone());
            }
            ensure!(
                self.era == Fixture::Modern,
                "a legacy client was answered {answer}"
            );
            asked = params.clone();
            asked["inputResponses"] = answers_to(&result["inputRequests"]);
            if let Some(state) = result.get("requestState") {
                asked["requestState"] = state.clone();
            }
        }
        bail!("{method} was answered with questions {ROUNDS_MAX} times")
    }

    /// Ends its input; it must end in good order then.
    pub(super) fn close(mut self) -> anyhow::Result<()> {
        self.pipes.close();
        let deadline = Instant::now() + PATIENCE;
        while self.pipes.exchange(PATIENCE)? != Moved::End {
            ensure!(Instant::now() < deadline, "the session did not end");
        }
        let status = self.pipes.ended()?;
        ensure!(status.success(), "the session ended with {status}");
        Ok(())
    }

    fn say(&mut self, message: &Value) {
        self.pipes.say(&message.to_string());
    }

    fn answer(&mut self, method: &str, mut params: Value) -> anyhow::Result<Value> {
        self.issued += 1;
        let id = self.issued;
        if self.era == Fixture::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": capabilities(),
                "io.modelcontextprotocol/clientInfo": client_info(),
            });
        }
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(line) = self.pipes.line() {
                let message: Value = serde_json::from_slice(&line)
                    .with_context(|| format!("reading {:?}", String::from_utf8_lossy(&line)))?;
                if message.get("method").is_none() && message["id"] == id {
                    return Ok(message);
                }
                self.on_question(&message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pipes.exchange(left)? {
                Moved::Something => {}
                Moved::Nothing if !left.is_zero() => {}
                Moved::Nothing => bail!("{method} was not answered within {PATIENCE:?}"),
                Moved::End => bail!("the session ended by itself"),
            }
        }
    }

    /// Answers what the server asks, if it does.
    fn on_question(&mut self, message: &Value) {
        let (Some(id), Some(method)) = (message.get("id"), message["method"].as_str()) else {
            return;
        };
        let answer = match answer_to(method, &message["params"]) {
            Some(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            None => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}})
            }
        };
        self.say(&answer);
    }
}

fn capabilities() -> Value {
    json!({"elicitation": {}})
}

fn client_info() -> Value {
    json!({"name": "conformance", "version": "1"})
}

/// Answers to all questions of a modern server, by their names.
fn answers_to(questions: &Value) -> Value {
    let mut answers = Map::new();
    for (name, question) in questions.as_object().into_iter().flatten() {
        let method = question["method"].as_str().unwrap_or_default();
        let answer = answer_to(method, &question["params"]);
        answers.insert(name.clone(), answer.unwrap_or_default());
    }
    Value::Object(answers)
}

/// What somebody says who agrees to everything and changes nothing of what is proposed.
fn answer_to(method: &str, params: &Value) -> Option<Value> {
    match method {
        "elicitation/create" => {
            let fields = params["requestedSchema"]["properties"].as_object();
            let fields = fields.into_iter().flatten();
            let content = fields.map(|(name, field)| {
                let proposed = field.get("default").cloned();
                (name.clone(), proposed.unwrap_or_else(|| sample(field)))
            });
            Some(json!({"action": "accept", "content": content.collect::<Map<_, _>>()}))
        }
        "roots/list" => Some(json!({"roots": []})),
        _other => None,
    }
}

/// A value that a schema allows, for simple ones.
pub(super) fn sample(schema: &Value) -> Value {
    match schema["type"].as_str().unwrap_or_default() {
        "number" | "integer" => json!(7),
        "boolean" => json!(true),
        "array" => json!([]),
        "object" => json!({}),
        "null" => Value::Null,
        _text => json!("text"),
    }
}
