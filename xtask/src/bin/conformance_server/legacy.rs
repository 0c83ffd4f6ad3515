//! The versions with a handshake: 2024-11-05 to 2025-11-25.
//!
//! What it needs to know it asks on the same pipe, by requests of its own. Who shares the pipe is of no
//! interest: it greets once, and each question belongs to the request that it was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{
    Server,
    deed::{self, Change, Deed, Stretch},
    inquiry::{Answers, Inquiry, Kind},
    message::{self, Fault, Message, text},
    prompts,
    resources::{self, WATCHED},
    stage::{Stage, Step},
    tools,
};

/// The newest of the versions, which is answered to who wants one that is not known.
const NEWEST: &str = "2025-11-25";
const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", NEWEST];

#[derive(Debug, Default)]
pub(crate) struct Legacy {
    stage: Stage,
    is_greeted: bool,
    /// What the client can do, as it has said in its greeting.
    capabilities: Map<String, Value>,
    /// From which level on log messages are wanted, once somebody has said so.
    level: Option<&'static str>,
    subscribed: BTreeSet<String>,
    /// Requests for which something was asked, by a number of ours.
    runs: BTreeMap<u64, Run>,
    /// Whose each open question is, and under which key.
    asks: BTreeMap<u64, (u64, &'static str)>,
    /// How many numbers were given out.
    numbers: u64,
}

/// A request that waits for answers.
#[derive(Debug)]
struct Run {
    id: Value,
    inquiry: Inquiry,
    round: usize,
    answers: Answers,
}

impl Server for Legacy {
    fn take(&mut self, now: Duration, line: &[u8]) {
        match Message::read(line) {
            Some(Message::Request { id, method, params }) => {
                match self.on_request(now, &id, &method, &params) {
                    Ok(Some(result)) => self.stage.say(&message::result(&id, &result)),
                    Ok(None) => {}
                    Err(fault) => self.stage.say(&fault.to(&id)),
                }
            }
            Some(Message::Notification { method, params }) => {
                if method == "notifications/cancelled"
                    && let Some(id) = params.get("requestId")
                {
                    self.cancel(id);
                }
            }
            Some(Message::Answer { id, outcome }) => self.on_answer(&id, outcome),
            None => {}
        }
    }

    fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

impl Legacy {
    /// `None` if the result comes later.
    fn on_request(
        &mut self,
        now: Duration,
        id: &Value,
        method: &str,
        params: &Map<String, Value>,
    ) -> Result<Option<Value>, Fault> {
        let done = match method {
            "initialize" => self.greet(params)?,
            "ping" => json!({}),
            "server/discover" => return Err(Fault::no_such_method(method)),
            _other if !self.is_greeted => {
                return Err(Fault::new(-32600, "nobody has said `initialize`"));
            }
            "tools/list" => tools::list(),
            "prompts/list" => prompts::list(),
            "resources/list" => resources::list(),
            "resources/templates/list" => resources::templates(),
            "completion/complete" => deed::complete(params),
            "resources/read" => readable(params)?,
            "resources/subscribe" => {
                readable(params)?;
                self.subscribed.insert(text(params, "uri").to_owned());
                json!({})
            }
            "resources/unsubscribe" => {
                self.subscribed.remove(text(params, "uri"));
                json!({})
            }
            "logging/setLevel" => {
                let level = deed::level(text(params, "level"));
                self.level = Some(level.ok_or_else(|| Fault::invalid_params("no such level"))?);
                json!({})
            }
            "tools/call" => return self.perform(now, id, params, tools::call(params)),
            "prompts/get" => return self.perform(now, id, params, prompts::get(params)),
            unknown => return Err(Fault::no_such_method(unknown)),
        };
        Ok(Some(done))
    }

    fn greet(&mut self, params: &Map<String, Value>) -> Result<Value, Fault> {
        if self.is_greeted {
            return Err(Fault::new(-32600, "`initialize` was said already"));
        }
        self.is_greeted = true;
        let capabilities = params.get("capabilities").and_then(Value::as_object);
        self.capabilities = capabilities.cloned().unwrap_or_default();
        let wanted = text(params, "protocolVersion");
        let version = if VERSIONS.contains(&wanted) {
            wanted
        } else {
            NEWEST
        };
        Ok(json!({
            "protocolVersion": version,
            "capabilities": {
                "tools": {"listChanged": true},
                "prompts": {"listChanged": true},
                "resources": {"subscribe": true},
                "completions": {},
                "logging": {},
            },
            "serverInfo": {"name": "conformance-legacy", "version": env!("CARGO_PKG_VERSION")},
        }))
    }

    fn perform(
        &mut self,
        now: Duration,
        id: &Value,
        params: &Map<String, Value>,
        deed: Deed,
    ) -> Result<Option<Value>, Fault> {
        match deed {
            Deed::Done(result) => Ok(Some(result)),
            Deed::Takes(stretches, result) => {
                let told = stretches
                    .into_iter()
                    .filter_map(|stretch| self.told(params, stretch));
                let answer = Step::Say(message::result(id, &result));
                let steps: Vec<Step> = told.chain([answer]).collect();
                self.stage.play(now, id.clone(), steps);
                Ok(None)
            }
            Deed::Changes(change, result) => {
                self.tell_of(change);
                Ok(Some(result))
            }
            Deed::Asks(inquiry) => Ok(self.begin(id, inquiry)),
            Deed::Refused(fault) => Err(fault),
        }
    }

    /// What is to be heard of a stretch, if anything.
    fn told(&self, params: &Map<String, Value>, stretch: Stretch) -> Option<Step> {
        let told = match stretch {
            Stretch::Pause(pause) => return Some(Step::Wait(pause)),
            Stretch::Progress(done) => {
                let params = deed::progress(deed::token(params)?, done);
                message::notification("notifications/progress", &params)
            }
            Stretch::Log(words) => {
                // Who has wanted no level gets what a server thinks fit.
                if !self.level.is_none_or(deed::is_heard) {
                    return None;
                }
                message::notification("notifications/message", &deed::log(words))
            }
        };
        Some(Step::Say(told))
    }

    fn tell_of(&mut self, change: Change) {
        let told = match change {
            Change::Tools => {
                json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            }
            Change::Prompts => {
                json!({"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"})
            }
            Change::Watched if self.subscribed.contains(WATCHED) => {
                message::notification("notifications/resources/updated", &json!({"uri": WATCHED}))
            }
            Change::Watched => return,
        };
        self.stage.say(&told);
    }

    /// Asks for the first time; a result if that is all.
    fn begin(&mut self, id: &Value, inquiry: Inquiry) -> Option<Value> {
        let lacks = inquiry.lacks(&self.capabilities);
        if !lacks.is_empty() {
            let names: Vec<&str> = lacks.keys().map(String::as_str).collect();
            let words = format!("the client has no {}", names.join(", "));
            return Some(tools::failure(&words));
        }
        let number = self.number();
        let run = Run {
            id: id.clone(),
            inquiry,
            round: 0,
            answers: Answers::new(),
        };
        self.runs.insert(number, run);
        self.ask(number);
        None
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Asks all of a round.
    fn ask(&mut self, number: u64) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let questions = run.inquiry.questions(run.round, &self.capabilities);
        let questions: Vec<(&'static str, Kind, Value)> = questions
            .map(|question| (question.key, question.kind, question.params.clone()))
            .collect();
        for (key, kind, params) in questions {
            let ask = self.number();
            self.asks.insert(ask, (number, key));
            self.stage
                .say(&message::request(ask, kind.method(), &params));
        }
    }

    fn on_answer(&mut self, id: &Value, outcome: Result<Value, Value>) {
        let Some((number, key)) = id.as_u64().and_then(|ask| self.asks.remove(&ask)) else {
            return; // Of a request that was cancelled.
        };
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        match outcome {
            Ok(answer) => run.answers.insert(key.to_owned(), answer),
            Err(error) => {
                let words = error["message"].as_str().unwrap_or("no reason was given");
                let result = tools::failure(&format!("the client did not answer: {words}"));
                let answer = message::result(&run.id, &result);
                self.stage.say(&answer);
                return self.forget(number);
            }
        };
        if self.asks.values().any(|(other, _key)| *other == number) {
            return;
        }
        run.round += 1;
        if run.round < run.inquiry.rounds.len() {
            return self.ask(number);
        }
        let result = run.inquiry.conclude(&run.answers);
        let answer = message::result(&run.id, &result);
        self.stage.say(&answer);
        self.forget(number);
    }

    fn cancel(&mut self, id: &Value) {
        self.stage.cancel(id);
        let numbers = self.runs.iter().filter(|(_number, run)| run.id == *id);
        for number in numbers.map(|(number, _run)| *number).collect::<Vec<_>>() {
            self.forget(number);
        }
    }

    /// Forgets a request, and takes back what is still asked for it.
    fn forget(&mut self, number: u64) {
        self.runs.remove(&number);
        let open = self
            .asks
            .iter()
            .filter(|(_ask, (other, _key))| *other == number);
        for ask in open.map(|(ask, _whose)| *ask).collect::<Vec<_>>() {
            self.asks.remove(&ask);
            let params = json!({"requestId": ask});
            self.stage
                .say(&message::notification("notifications/cancelled", &params));
        }
    }
}

fn readable(params: &Map<String, Value>) -> Result<Value, Fault> {
    let uri = text(params, "uri");
    let not_found = || Fault::new(-32002, "Resource not found").with(json!({"uri": uri}));
    resources::read(uri).ok_or_else(not_found)
}

#[cfg(test)]
mod tests;
