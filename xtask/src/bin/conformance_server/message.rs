//! JSON-RPC, as far as a server needs it.

use std::fmt;

use serde_json::{Map, Value, json};

/// What a client says.
#[derive(Debug)]
pub(crate) enum Message {
    Request {
        id: Value,
        method: String,
        params: Map<String, Value>,
    },
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// The answer to a question of ours; the error is none of our own.
    Answer {
        id: Value,
        outcome: Result<Value, Value>,
    },
}

impl Message {
    /// `None` for a line that is no message; nobody can be told of it.
    pub(crate) fn read(line: &[u8]) -> Option<Message> {
        let Value::Object(mut object) = serde_json::from_slice(line).ok()? else {
            return None;
        };
        let params = match object.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_other) => return None,
        };
        let id = object.remove("id");
        match (object.remove("method"), id) {
            (Some(Value::String(method)), Some(id)) => {
                Some(Message::Request { id, method, params })
            }
            (Some(Value::String(method)), None) => Some(Message::Notification { method, params }),
            (None, Some(id)) => {
                let outcome = match (object.remove("result"), object.remove("error")) {
                    (Some(result), None) => Ok(result),
                    (_none, error) => Err(error.unwrap_or_default()),
                };
                Some(Message::Answer { id, outcome })
            }
            _neither => None,
        }
    }
}

/// An error to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    code: i64,
    message: String,
    data: Option<Value>,
}

impl Fault {
    pub(crate) fn new(code: i64, message: impl fmt::Display) -> Fault {
        Fault {
            code,
            message: message.to_string(),
            data: None,
        }
    }

    pub(crate) fn with(self, data: Value) -> Fault {
        let data = Some(data);
        Fault { data, ..self }
    }

    pub(crate) fn invalid_params(message: impl fmt::Display) -> Fault {
        Fault::new(-32602, message)
    }

    pub(crate) fn no_such_method(method: &str) -> Fault {
        Fault::new(-32601, format_args!("no method `{method}`"))
    }

    pub(crate) fn to(&self, id: &Value) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

pub(crate) fn result(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

pub(crate) fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A member that is a text; the empty one if it is not there.
pub(crate) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}
