//! What both ends of a soak know: the mark that everything carries, and the text of all that a server says.
//!
//! **Invariant:** a text here depends on its arguments alone. So whoever gets it can write it again and
//! compare every byte.

use std::fmt;

use serde::Deserialize;

/// Whose message it is, and the how-manieth of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "(u16, u16, u64)")]
pub(crate) struct Mark {
    pub(crate) client: u16,
    /// Of several sessions that a client had, one after the other.
    pub(crate) generation: u16,
    /// Counted by the session from 1.
    pub(crate) number: u64,
}

impl From<(u16, u16, u64)> for Mark {
    fn from((client, generation, number): (u16, u16, u64)) -> Mark {
        Mark {
            client,
            generation,
            number,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark {
            client,
            generation,
            number,
        } = self;
        write!(f, "[{client},{generation},{number}]")
    }
}

/// The answer to a request: who executed it, and its parameters as they arrived.
///
/// Members come in either order, because peers may choose any.
pub(crate) fn result(id: &str, mark: Mark, pid: u32, echo: &str) -> String {
    let result = format!(r#""result":{{"pid":{pid},"echo":{echo}}}"#);
    if mark.number.is_multiple_of(2) {
        format!(r#"{{"jsonrpc":"2.0","id":{id},{result}}}"#)
    } else {
        format!(r#"{{ {result}, "id": {id}, "jsonrpc":"2.0" }}"#)
    }
}

/// The answer to a request without a mark.
pub(crate) fn unmarked_result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}

/// The how-manieth step of a call.
pub(crate) fn progress(token: &str, mark: Mark, step: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"mark":{mark},"progressToken":{token},"progress":{step}}}}}"#
    )
}

/// A log message that a call causes.
pub(crate) fn log_message(mark: Mark) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":{{"mark":{mark}}}}}}}"#
    )
}

/// A resource has changed for the `stamp`-th time since the process began.
pub(crate) fn updated(uri: &str, mark: Mark, pid: u32, stamp: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}","mark":{mark},"pid":{pid},"stamp":{stamp}}}}}"#
    )
}

/// What a call asks its client: a sample or, every other time, a form.
pub(crate) fn ask(id: &str, mark: Mark) -> String {
    let (method, question) = if mark.number.is_multiple_of(2) {
        ("sampling/createMessage", r#""messages":[],"maxTokens":9"#)
    } else {
        (
            "elicitation/create",
            r#""message":"which?","requestedSchema":{"type":"object","properties":{}}"#,
        )
    };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"mark":{mark},{question}}}}}"#
    )
}

/// What the client says to that; now and then no.
pub(crate) fn ask_answer(id: &str, mark: Mark) -> String {
    if mark.number.is_multiple_of(5) {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1,"message":"not to be known","data":{mark}}}}}"#
        )
    } else {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"action":"accept","content":{{}},"role":"assistant","model":"{mark}"}}}}"#
        )
    }
}
