//! What comes of a request, in whatever era it was made.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    inquiry::Inquiry,
    message::{Fault, text},
};

/// The levels of log messages, the least grave first. Ours are all of the second.
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// What comes of a call, a prompt or a read.
#[derive(Debug)]
pub(crate) enum Deed {
    /// A result at once.
    Done(Value),
    /// A result after some time, with things to tell on the way.
    Takes(Vec<Stretch>, Value),
    /// A result, and others hear that something is not what it was.
    Changes(Change, Value),
    /// Something must be known of the client first.
    Asks(Inquiry),
    Refused(Fault),
}

/// A part of the time that something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stretch {
    Pause(Duration),
    /// Of a hundred.
    Progress(u32),
    Log(&'static str),
}

/// What others may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Tools,
    Prompts,
    /// The only resource that changes.
    Watched,
}

impl Stretch {
    pub(crate) const BRIEF: Stretch = Stretch::Pause(Duration::from_millis(50));
}

/// A level of log messages by its name.
pub(crate) fn level(name: &str) -> Option<&'static str> {
    LEVELS.into_iter().find(|level| *level == name)
}

/// Whether who wants to hear of such graveness hears what we log.
pub(crate) fn is_heard(level: &str) -> bool {
    LEVELS[..2].contains(&level)
}

/// The parameters of a log message.
pub(crate) fn log(words: &str) -> Value {
    json!({"level": "info", "logger": "conformance", "data": words})
}

/// The parameters of a notification of progress.
pub(crate) fn progress(token: &Value, done: u32) -> Value {
    json!({"progressToken": token, "progress": done, "total": 100})
}

/// The token under which a request wants to hear of its progress.
pub(crate) fn token(params: &Map<String, Value>) -> Option<&Value> {
    params.get("_meta")?.get("progressToken")
}

/// The result of a completion.
pub(crate) fn complete(params: &Map<String, Value>) -> Value {
    let begun = params.get("argument").and_then(Value::as_object);
    let begun = begun.map_or("", |argument| text(argument, "value"));
    let mut values = vec!["paris", "park", "party"];
    values.retain(|value| value.starts_with(begun));
    json!({"completion": {"total": values.len(), "values": values, "hasMore": false}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_log_is_heard_by_those_who_want_that_much() {
        assert!(is_heard("debug") && is_heard("info"));
        assert!(!is_heard("notice") && !is_heard("emergency") && !is_heard("loud"));
        assert_eq!(level("alert"), Some("alert"));
        assert_eq!(level("loud"), None);
    }

    #[test]
    fn a_completion_goes_on_with_what_was_begun() {
        let of = |begun: &str| {
            let params = json!({"ref": {}, "argument": {"name": "arg1", "value": begun}});
            complete(params.as_object().unwrap())["completion"]["values"].clone()
        };
        assert_eq!(of("park"), json!(["park"]));
        assert_eq!(of("test"), json!([]));
    }
}
