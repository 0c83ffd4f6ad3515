//! The modern era (2026-07-28): no handshake, each request says what it is of, and what is asked of the client is
//! the answer to what it asked.

use std::{cell::RefCell, error::Error, fmt, io};

use serde_json::{Value, json};

use crate::{
    mark,
    server::{Outcome, Server},
};

const VERSION: &str = "2026-07-28";

const VERSION_MEMBER: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_MEMBER: &str = "io.modelcontextprotocol/clientCapabilities";
const LEVEL_MEMBER: &str = "io.modelcontextprotocol/logLevel";
const SUBSCRIPTION_MEMBER: &str = "io.modelcontextprotocol/subscriptionId";

/// What a client sends back that goes on with a request.
const STATE: &str = "fake-server's state";

/// By what such a client finds what it is asked.
const ASK: &str = "ask";

/// Results with one of these may be kept.
const CACHEABLE: [&str; 6] = [
    "supportedVersions",
    "tools",
    "prompts",
    "resources",
    "resourceTemplates",
    "contents",
];

/// The eras that it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Era {
    /// The one with a handshake.
    #[default]
    Legacy,
    /// The one without.
    Modern,
    /// The one that the client begins with.
    Both,
}

thread_local! {
    /// The parameters of the request that this thread is at work on.
    static ASKED: RefCell<Value> = const { RefCell::new(Value::Null) };
}

/// The client has to say more first.
#[derive(Debug)]
struct InputRequired(Value);

impl fmt::Display for InputRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has to say more first")
    }
}

impl Error for InputRequired {}

/// From now on this thread is at work on a request with these parameters.
pub(crate) fn begin(params: &Value) {
    ASKED.set(params.clone());
}

/// Whether a message is one of the modern era.
pub(crate) fn is_claimed(params: &Value) -> bool {
    meta(params, VERSION_MEMBER).is_some() || meta(params, CAPABILITIES_MEMBER).is_some()
}

fn meta<'a>(params: &'a Value, name: &str) -> Option<&'a Value> {
    params.get("_meta")?.get(name)
}

/// Answers what is no call of a tool. Says whether it has.
pub(crate) fn respond(
    server: &Server,
    method: &str,
    id: &Value,
    params: &Value,
) -> io::Result<bool> {
    begin(params);
    if let Some(error) = fault(method, params) {
        server.send(&json!({"jsonrpc": "2.0", "id": id, "error": error}))?;
        return Ok(true);
    }
    match method {
        "server/discover" => server.answer(id, &Ok(discovered()))?,
        "subscriptions/listen" => server.listen(id, &params["notifications"])?,
        _other => return Ok(false),
    }
    Ok(true)
}

/// What is wrong with a request, whatever it asks.
fn fault(method: &str, params: &Value) -> Option<Value> {
    let error = |code: i32, message: &str| json!({"code": code, "message": message});
    let unsupported = |requested: &Value| {
        let mut error = error(-32022, "unsupported version");
        error["data"] = json!({"supported": [VERSION], "requested": requested});
        error
    };
    let gone = [
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    ];
    if method == "initialize" {
        return Some(unsupported(&params["protocolVersion"]));
    }
    match (
        meta(params, VERSION_MEMBER),
        meta(params, CAPABILITIES_MEMBER),
    ) {
        (None, _) => Some(error(-32602, "no version")),
        (Some(version), _) if version != VERSION => Some(unsupported(version)),
        (_, Some(capabilities)) if capabilities.is_object() => {
            gone.contains(&method).then(|| error(-32601, "gone"))
        }
        (_, _) => Some(error(-32602, "no capabilities")),
    }
}

fn discovered() -> Value {
    json!({
        "supportedVersions": [VERSION],
        "capabilities": {
            "tools": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "prompts": {"listChanged": true},
            "completions": {},
            "logging": {},
        },
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake-server", "version": "1.0"}},
    })
}

/// A result with what each has.
pub(crate) fn completed(outcome: &Outcome) -> Outcome {
    let mut result = outcome.clone()?;
    if result.get("resultType").is_none() {
        result["resultType"] = json!("complete");
    }
    if CACHEABLE.iter().any(|member| result.get(member).is_some()) {
        result["ttlMs"] = json!(0);
        result["cacheScope"] = json!("private");
    }
    Ok(result)
}

/// What the client has said to a question, if it was asked before; else the question becomes the answer.
pub(crate) fn ask(method: &str, params: &Value) -> io::Result<Value> {
    let asked = ASKED.with_borrow(Value::clone);
    if let Some(said) = asked["inputResponses"].get(ASK)
        && asked["requestState"] == STATE
    {
        return Ok(json!({"result": said}));
    }
    let question = json!({"method": method, "params": mark::added(params)});
    Err(io::Error::other(InputRequired(question)))
}

/// What a call comes to that could not be carried out.
pub(crate) fn outcome_of(error: &io::Error) -> Outcome {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<InputRequired>()) {
        Some(InputRequired(question)) => Ok(json!({
            "resultType": "input_required",
            "inputRequests": {ASK: question},
            "requestState": STATE,
        })),
        None => Err((-32603, error.to_string())),
    }
}

/// Whether the request that this thread is at work on wants to hear of it.
pub(crate) fn is_wanted(method: &str) -> bool {
    let wants_logs = || ASKED.with_borrow(|asked| meta(asked, LEVEL_MEMBER).is_some());
    method != "notifications/message" || wants_logs()
}

/// What of a wish to listen is kept to.
pub(crate) fn acknowledgement(id: &Value, filter: &Value) -> Value {
    let params = json!({"notifications": filter, "_meta": {SUBSCRIPTION_MEMBER: id}});
    json!({
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": params,
    })
}

/// What whoever listens with this filter hears of a change, if anything.
pub(crate) fn told(id: &Value, filter: &Value, method: &str, params: &Value) -> Option<Value> {
    let is_wanted = match method {
        "notifications/tools/list_changed" => filter["toolsListChanged"] == true,
        "notifications/prompts/list_changed" => filter["promptsListChanged"] == true,
        "notifications/resources/list_changed" => filter["resourcesListChanged"] == true,
        "notifications/resources/updated" => {
            let wanted = filter["resourceSubscriptions"].as_array();
            wanted.is_some_and(|wanted| wanted.contains(&params["uri"]))
        }
        _other => false,
    };
    let mut params = params.clone();
    params["_meta"][SUBSCRIPTION_MEMBER] = id.clone();
    is_wanted.then(|| json!({"jsonrpc": "2.0", "method": method, "params": params}))
}
