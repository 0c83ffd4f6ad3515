//! The status of a response that is an answer and nothing else.

use hyper::StatusCode;
use memchr::memmem;
use wire::{Frame, Message, Outgoing};

/// Why a request is not answered whose server has not come up for as long as that is waited for.
const STILL_STARTING: &str = "still-starting";

/// Of a version with a handshake.
pub(super) fn of_legacy(answer: &Outgoing) -> StatusCode {
    match error_of(answer, STILL_STARTING) {
        Some(error) if error.is_for_now() => StatusCode::SERVICE_UNAVAILABLE,
        Some(_) | None => StatusCode::OK,
    }
}

/// Of 2026-07-28, by its transports, "Sending Messages".
pub(super) fn of_modern(answer: &Outgoing) -> StatusCode {
    let Some(error) = error_of(answer, "\"error\"") else {
        return StatusCode::OK;
    };
    match error.code {
        -32601 => StatusCode::NOT_FOUND,
        -32022..=-32020 => StatusCode::BAD_REQUEST,
        _other if error.is_for_now() => StatusCode::SERVICE_UNAVAILABLE,
        _other => StatusCode::OK,
    }
}

/// What an error says.
struct AnsweredError {
    code: i64,
    /// Why, if it is mcpool that says so.
    reason: Option<String>,
}

impl AnsweredError {
    fn is_for_now(&self) -> bool {
        self.code == -32603 && self.reason.as_deref() == Some(STILL_STARTING)
    }
}

/// The error that an answer is, if it has these words in it: most answers are looked through and not read for that.
fn error_of(answer: &Outgoing, words_in_it: &str) -> Option<AnsweredError> {
    let finder = memmem::Finder::new(words_in_it);
    let mut pieces = answer.pieces().iter();
    pieces.find(|piece| finder.find(piece).is_some())?;
    let frame = Frame::parse(answer.to_vec().into()).ok()?;
    let Message::Response {
        error: Some(error), ..
    } = &frame.message
    else {
        return None;
    };
    let reason = frame.member(error, "data").and_then(|data| {
        let text = |name: &str| frame.text(&frame.member(&data.at, name)?.at);
        let is_ours = text("source")? == "mcpool";
        text("reason").filter(|_| is_ours).map(String::from)
    });
    Some(AnsweredError {
        code: frame.member(error, "code")?.value.parse().ok()?,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mux::Refusal;
    use wire::RequestId;

    use super::*;

    #[test]
    fn a_server_that_has_not_come_up_yet_is_unavailable_and_nothing_else_is() {
        let id = RequestId::from(7);
        let still_starting = Refusal::StillStarting {
            server: "notes".into(),
            after: Duration::from_secs(25),
            last_words: Vec::new(),
            withheld: Vec::new(),
        };
        let answer = still_starting.to_response(Some(&id));
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(of_legacy(&answer), unavailable);
        assert_eq!(of_modern(&answer), unavailable);
        let other = Refusal::Overloaded.to_response(Some(&id));
        assert_eq!(of_legacy(&other), StatusCode::OK);
        assert_eq!(of_modern(&other), StatusCode::OK);
        for of_a_server in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"reason":"still-starting"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"still-starting"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"","data":{"reason":"still-starting"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"","data":{"reason":"still-starting"}}}"#,
        ] {
            let answer = Outgoing::from(of_a_server.to_owned());
            assert_eq!(of_legacy(&answer), StatusCode::OK, "{of_a_server}");
            assert_eq!(of_modern(&answer), StatusCode::OK, "{of_a_server}");
        }
    }

    #[test]
    fn the_status_is_that_of_the_error() {
        for (answer, status) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"error":{"code":-32601}}}"#,
                200,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":""}}"#,
                404,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":""}}"#,
                400,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":""}}"#,
                400,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":""}}"#,
                400,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":""}}"#,
                200,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":""}}"#,
                200,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32023,"message":""}}"#,
                200,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":1e3,"message":""}}"#,
                200,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"message":"-32601"}}"#,
                200,
            ),
        ] {
            let read = of_modern(&Outgoing::from(answer.to_owned()));
            assert_eq!(read.as_u16(), status, "{answer}");
        }
    }
}
