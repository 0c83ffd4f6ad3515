//! The messages that the client understands, as far as it has to.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::ErrorAnswer;

/// Anything that a server may send.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    pub(super) id: Option<Box<RawValue>>,
    pub(super) method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Box<RawValue>>,
    error: Option<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    message: String,
    #[serde(default)]
    data: Value,
}

/// One page of `tools/list`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolPage {
    #[serde(default)]
    pub(super) tools: Vec<Box<RawValue>>,
    pub(super) next_cursor: Option<String>,
}

impl Incoming {
    pub(super) fn is_answer_to(&self, id: u64) -> bool {
        self.id
            .as_ref()
            .is_some_and(|theirs| theirs.get() == id.to_string())
    }

    /// The result, or the error as one of ours.
    pub(super) fn outcome(self) -> anyhow::Result<Box<RawValue>> {
        match (self.result, self.error) {
            (Some(result), _) => Ok(result),
            (None, Some(fault)) => Err(ErrorAnswer {
                is_ours: fault.data["source"] == "mcpool",
                message: fault.message,
            }
            .into()),
            (None, None) => anyhow::bail!("the server answered with neither result nor error"),
        }
    }

    /// A progress notification in a few words.
    pub(super) fn progress(&self) -> String {
        let (done, total) = (&self.params["progress"], &self.params["total"]);
        let count = if total.is_null() {
            done.to_string()
        } else {
            format!("{done}/{total}")
        };
        match self.params["message"].as_str() {
            Some(message) => format!("{count} {message}"),
            None => count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(line: &str) -> Incoming {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn an_id_of_another_type_is_another_id() {
        assert!(incoming(r#"{"id":1,"result":{}}"#).is_answer_to(1));
        assert!(!incoming(r#"{"id":"1","result":{}}"#).is_answer_to(1));
        assert!(!incoming(r#"{"id":10,"result":{}}"#).is_answer_to(1));
    }

    #[test]
    fn a_result_is_given_back_as_it_was_written() {
        let result = incoming(r#"{"id":1,"result":{"b": 1.0,"a":1e400}}"#).outcome();
        assert_eq!(result.unwrap().get(), r#"{"b": 1.0,"a":1e400}"#);
    }

    #[test]
    fn an_error_of_mcpool_is_told_from_one_of_the_server() {
        for (data, expected) in [(r#"{"source":"mcpool"}"#, true), ("{}", false)] {
            let line = format!(r#"{{"id":1,"error":{{"code":1,"message":"no","data":{data}}}}}"#);
            let error = incoming(&line).outcome().unwrap_err();
            let answer = error.downcast::<ErrorAnswer>().unwrap();
            assert_eq!((answer.is_ours, answer.message.as_str()), (expected, "no"));
        }
    }

    #[test]
    fn progress_is_told_with_what_is_known_of_it() {
        let line = r#"{"method":"notifications/progress","params":{"progress":2,"total":5,"message":"half"}}"#;
        assert_eq!(incoming(line).progress(), "2/5 half");
        let line = r#"{"method":"notifications/progress","params":{"progress":2}}"#;
        assert_eq!(incoming(line).progress(), "2");
    }
}
