//! The version without a handshake: 2026-07-28.
//!
//! Every request says who makes it and what it can do, and nothing is kept between two of them: what must
//! be known first is asked by a result, and comes back with the next request. Only who listens is
//! remembered, until it cancels that.

mod envelope;
mod listeners;
mod seal;

use std::time::Duration;

use serde_json::{Map, Value, json};

use self::{
    envelope::{Envelope, VERSION},
    listeners::Listeners,
    seal::Progress,
};
use crate::{
    Server,
    deed::{self, Deed, Stretch},
    inquiry::{Answers, Inquiry, Memory, Question},
    message::{self, Fault, Message, text},
    prompts, resources,
    stage::{Stage, Step},
    tools,
};

#[derive(Debug, Default)]
pub(crate) struct Modern {
    stage: Stage,
    listeners: Listeners,
}

/// How long a result may be kept, and by whom.
#[derive(Clone, Copy, Debug)]
enum Kept {
    /// It is none of those that say so.
    Unsaid,
    /// By everybody, for a minute.
    ByAll,
    /// By nobody.
    Never,
}

impl Server for Modern {
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
                    self.stage.cancel(id);
                    self.listeners.remove(id);
                }
            }
            // Nothing is asked that could be answered so.
            Some(Message::Answer { .. }) | None => {}
        }
    }

    fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

impl Modern {
    /// `None` if the result comes later.
    fn on_request(
        &mut self,
        now: Duration,
        id: &Value,
        method: &str,
        params: &Map<String, Value>,
    ) -> Result<Option<Value>, Fault> {
        let envelope = Envelope::open(method, params)?;
        let (kept, done) = match method {
            "server/discover" => (Kept::ByAll, discovered()),
            "tools/list" => (Kept::ByAll, tools::list()),
            "prompts/list" => (Kept::ByAll, prompts::list()),
            "resources/list" => (Kept::ByAll, resources::list()),
            "resources/templates/list" => (Kept::ByAll, resources::templates()),
            "resources/read" => (Kept::Never, readable(params)?),
            "completion/complete" => (Kept::Unsaid, deed::complete(params)),
            "tools/call" => return self.perform(now, id, &envelope, params, tools::call(params)),
            "prompts/get" => return self.perform(now, id, &envelope, params, prompts::get(params)),
            "subscriptions/listen" => {
                let acknowledged = self.listeners.add(id, params)?;
                self.stage.say(&acknowledged);
                return Ok(None);
            }
            unknown => return Err(Fault::no_such_method(unknown)),
        };
        Ok(Some(complete(done, kept)))
    }

    fn perform(
        &mut self,
        now: Duration,
        id: &Value,
        envelope: &Envelope<'_>,
        params: &Map<String, Value>,
        deed: Deed,
    ) -> Result<Option<Value>, Fault> {
        let result = match deed {
            Deed::Done(result) => result,
            Deed::Takes(stretches, result) => {
                let told = stretches
                    .into_iter()
                    .filter_map(|it| told(envelope, params, it));
                let result = complete(result, Kept::Unsaid);
                let answer = Step::Say(message::result(id, &result));
                let steps: Vec<Step> = told.chain([answer]).collect();
                self.stage.play(now, id.clone(), steps);
                return Ok(None);
            }
            Deed::Changes(change, result) => {
                for told in self.listeners.told_of(change) {
                    self.stage.say(&told);
                }
                result
            }
            Deed::Asks(inquiry) => return inquire(&inquiry, envelope, params).map(Some),
            Deed::Refused(fault) => return Err(fault),
        };
        Ok(Some(complete(result, Kept::Unsaid)))
    }
}

/// What is to be heard of a stretch, if anything.
fn told(envelope: &Envelope<'_>, params: &Map<String, Value>, stretch: Stretch) -> Option<Step> {
    let told = match stretch {
        Stretch::Pause(pause) => return Some(Step::Wait(pause)),
        Stretch::Progress(done) => {
            let params = deed::progress(deed::token(params)?, done);
            message::notification("notifications/progress", &params)
        }
        // Who has wanted no level gets nothing.
        Stretch::Log(_words) if !envelope.level.is_some_and(deed::is_heard) => return None,
        Stretch::Log(words) => message::notification("notifications/message", &deed::log(words)),
    };
    Some(Step::Say(told))
}

fn discovered() -> Value {
    json!({
        "supportedVersions": [VERSION],
        "capabilities": {
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"subscribe": true},
            "completions": {},
            "logging": {},
        },
    })
}

/// A result as this version wants it.
fn complete(mut result: Value, kept: Kept) -> Value {
    result["resultType"] = json!("complete");
    result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": {
        "name": "conformance-modern",
        "version": env!("CARGO_PKG_VERSION"),
    }});
    let (ttl_ms, scope) = match kept {
        Kept::Unsaid => return result,
        Kept::ByAll => (60_000, "public"),
        Kept::Never => (0, "private"),
    };
    result["ttlMs"] = json!(ttl_ms);
    result["cacheScope"] = json!(scope);
    result
}

fn readable(params: &Map<String, Value>) -> Result<Value, Fault> {
    let uri = text(params, "uri");
    let not_found = || Fault::invalid_params("Resource not found").with(json!({"uri": uri}));
    resources::read(uri).ok_or_else(not_found)
}

/// The result if all is known, else what is still to be asked.
fn inquire(
    inquiry: &Inquiry,
    envelope: &Envelope<'_>,
    params: &Map<String, Value>,
) -> Result<Value, Fault> {
    let can = envelope.capabilities;
    let lacks = inquiry.lacks(can);
    if !lacks.is_empty() {
        let fault = Fault::new(-32021, "the client cannot do what this needs");
        return Err(fault.with(json!({"requiredCapabilities": lacks})));
    }
    let given = match params.get("inputResponses") {
        None => &Map::new(),
        Some(Value::Object(given)) => given,
        Some(_other) => return Err(Fault::invalid_params("`inputResponses` is no object")),
    };
    let mut progress = match params.get("requestState") {
        Some(Value::String(sealed)) => Progress::unsealed(sealed, inquiry.name)?,
        Some(_other) => return Err(Fault::invalid_params("`requestState` is no text")),
        None => Progress::default(),
    };
    // Answers without the state that they belong to are those of nobody.
    let counts = inquiry.memory == Memory::Nothing || params.contains_key("requestState");
    let mut open = Vec::new();
    for question in inquiry.questions(progress.round, can) {
        match given.get(question.key) {
            Some(answer) if counts && question.kind.accepts(answer) => {
                progress
                    .answers
                    .insert(question.key.to_owned(), answer.clone());
            }
            _none_or_useless => open.push(question),
        }
    }
    if open.is_empty() {
        progress.round += 1;
        open.extend(inquiry.questions(progress.round, can));
    }
    if open.is_empty() {
        let result = inquiry.conclude(&progress.answers);
        return Ok(complete(result, Kept::Unsaid));
    }
    Ok(required(inquiry, &progress, &open))
}

/// The result that asks.
fn required(inquiry: &Inquiry, progress: &Progress, open: &[&Question]) -> Value {
    let request = |question: &&Question| {
        let request = json!({"method": question.kind.method(), "params": question.params});
        (question.key.to_owned(), request)
    };
    let requests: Answers = open.iter().map(request).collect();
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if inquiry.memory == Memory::Sealed {
        result["requestState"] = json!(progress.sealed(inquiry.name));
    }
    result
}

#[cfg(test)]
mod tests;
