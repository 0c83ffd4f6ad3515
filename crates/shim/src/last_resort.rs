//! What a client is told when no daemon can be had.
//!
//! One of two places of the shim where messages are read for their meaning (the other is `stand_in`):
//! to answer a request one must know its id.
//!
//! **Invariant:** what a server may have done is never said not to have happened.

use std::fmt;

use wire::{Frame, Message, RequestId, quoted};

use crate::control::Past;

/// Most messages in one line that are answered one by one.
const BATCH_MAX: usize = 1000;

/// Why requests cannot be answered by their server, and what to tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No daemon can be had; the message says why, and the session goes on as soon as there is one.
    Unreachable(String),
    /// There is a daemon, and it does not serve this session, or not any more; the message says why.
    Refused(String),
    /// The daemon ended, and the client had nothing more to say.
    Ended,
    /// The server that the session ran itself ended.
    ServerEnded,
}

impl Trouble {
    /// A stable word for programs.
    fn reason(&self) -> &'static str {
        match self {
            Trouble::Unreachable(_) => "daemon-unreachable",
            Trouble::Refused(_) => "session-refused",
            Trouble::Ended => "daemon-restarted",
            Trouble::ServerEnded => "upstream-exited",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable(why) => write!(
                f,
                "mcpool's daemon cannot be had: {why}; \
                 mcpool goes on trying, and this session goes on as soon as there is one"
            ),
            Trouble::Refused(why) => write!(
                f,
                "mcpool's daemon does not serve this session: {why}; \
                 mcpool asks again every few seconds"
            ),
            Trouble::Ended => f.write_str("mcpool's daemon ended before it had answered"),
            Trouble::ServerEnded => f.write_str(
                "the server ended before it had answered; it ran without mcpool's daemon",
            ),
        }
    }
}

/// What is to be done with a line of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is its answer, a whole line.
    Answer(Vec<u8>),
    /// It can wait for the next daemon.
    Keep,
    /// Nobody will want it any more.
    Forget,
}

/// What becomes of a line for which there is no daemon.
pub(crate) fn judge(line: Vec<u8>, past: Past, trouble: &Trouble) -> Verdict {
    let bytes = line.into();
    let Some(messages) = Frame::parse_batch(&bytes, BATCH_MAX) else {
        return match Frame::parse(bytes) {
            Ok(frame) => judge_message(&frame, past, trouble),
            Err(fault) => match fault.id() {
                Some(id) => Verdict::Answer(refuse(id, false, trouble)),
                None => Verdict::Forget,
            },
        };
    };
    let answers: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            Ok(frame) => asks(frame).map(|(id, acts)| (id, acts && past != Past::Fresh)),
            Err(fault) => fault.id().map(|id| (id, false)),
        })
        .map(|(id, maybe_executed)| error(id, maybe_executed, trouble))
        .collect();
    if answers.is_empty() {
        return Verdict::Forget;
    }
    Verdict::Answer(finished(format!("[{}]", answers.join(","))))
}

fn judge_message(frame: &Frame, past: Past, trouble: &Trouble) -> Verdict {
    match &frame.message {
        Message::Request { .. } => match asks(frame) {
            Some((id, acts)) => {
                let maybe_executed = acts && past != Past::Fresh;
                Verdict::Answer(refuse(id, maybe_executed, trouble))
            }
            None => Verdict::Forget,
        },
        Message::Notification { .. } => Verdict::Keep,
        // Whoever asked is gone.
        Message::Response { .. } => Verdict::Forget,
    }
}

/// Who wants an answer, and whether it asked for more than to be told something.
fn asks(frame: &Frame) -> Option<(&RequestId, bool)> {
    match &frame.message {
        Message::Request { id, method, .. } => Some((id, !method.is_read_only())),
        Message::Notification { .. } | Message::Response { .. } => None,
    }
}

/// The answer, a whole line, to a request that gets no other.
pub(crate) fn refuse(id: &RequestId, maybe_executed: bool, trouble: &Trouble) -> Vec<u8> {
    finished(error(id, maybe_executed, trouble))
}

fn error(id: &RequestId, maybe_executed: bool, trouble: &Trouble) -> String {
    let mut text = trouble.to_string();
    if maybe_executed {
        text.push_str("; the request may have been carried out");
    }
    let (message, reason) = (quoted(&text), trouble.reason());
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":{message},"data":{{"source":"mcpool","reason":"{reason}","retryable":true,"maybeExecuted":{maybe_executed}}}}}}}"#
    )
}

fn finished(mut text: String) -> Vec<u8> {
    text.push('\n');
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str, past: Past) -> String {
        let trouble = Trouble::Unreachable("there is \"none\"".into());
        match judge(line.as_bytes().to_vec(), past, &trouble) {
            Verdict::Answer(answer) => String::from_utf8(answer).unwrap(),
            Verdict::Keep => "keep".into(),
            Verdict::Forget => "forget".into(),
        }
    }

    const CALL: &str = "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"method\":\"tools/call\"}\n";

    #[test]
    fn a_request_gets_one_line_with_its_own_id_and_the_cause() {
        assert_eq!(
            answer(CALL, Past::Fresh),
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"error\":{\"code\":-32603,\"message\":\
             \"mcpool's daemon cannot be had: there is \\\"none\\\"; \
             mcpool goes on trying, and this session goes on as soon as there is one\",\
             \"data\":{\"source\":\"mcpool\",\"reason\":\"daemon-unreachable\",\
             \"retryable\":true,\"maybeExecuted\":false}}}\n"
        );
    }

    #[test]
    fn only_what_was_sent_and_is_more_than_a_question_may_have_been_carried_out() {
        let ping = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
        for (line, past, expected) in [
            (CALL, Past::Fresh, false),
            (CALL, Past::Sent, true),
            (CALL, Past::Repeated, true),
            (ping, Past::Sent, false),
        ] {
            let answer = answer(line, past);
            let word = format!("\"maybeExecuted\":{expected}");
            assert!(answer.contains(&word), "{answer}");
            assert_eq!(answer.contains("may have been carried out"), expected);
        }
    }

    #[test]
    fn each_request_of_a_batch_is_answered_in_one_line() {
        let batch = format!(
            "[{},{{\"jsonrpc\":\"2.0\",\"method\":\"x\"}},{}]\n",
            CALL.trim_end(),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}"
        );
        let answer = answer(&batch, Past::Sent);
        assert!(answer.starts_with("[{") && answer.ends_with("}]\n"));
        assert_eq!(answer.matches("\"error\"").count(), 2);
        assert_eq!(answer.matches("\"maybeExecuted\":true").count(), 1);
        assert_eq!(answer.matches('\n').count(), 1);
    }

    #[test]
    fn what_wants_no_answer_gets_none() {
        for (line, expected) in [
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n",
                "keep",
            ),
            ("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n", "forget"),
            ("[{\"jsonrpc\":\"2.0\",\"method\":\"x\"}]\n", "forget"),
            ("\n", "forget"),
            ("{\"broken\n", "forget"),
        ] {
            assert_eq!(answer(line, Past::Fresh), expected, "{line:?}");
        }
        assert!(
            answer("{\"id\":5,\"method\":\"x\"}\n", Past::Fresh).contains("\"id\":5,\"error\"")
        );
    }
}
