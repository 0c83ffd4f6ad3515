//! What is said to a message of the modern era that is at fault itself. Words live here alone.

use std::fmt;

use hyper::StatusCode;
use serde_json::{Value, json};
use wire::{Outgoing, RequestId};

/// A message of the modern era that is refused before any session hears of it.
///
/// Its status and its code are those of the specification (2026-07-28, Streamable HTTP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModernFault {
    /// The body is not exactly one request or notification.
    NotOneRequest,
    /// A header that says again what the body says is missing, or says something else.
    HeaderMismatch {
        /// Its name.
        header: Box<str>,
        /// What is wrong with it.
        mismatch: Mismatch,
    },
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// It is not there.
    Missing,
    /// It stands there several times.
    Doubled,
    /// No text can be made of it.
    Unreadable,
    /// It says something else than the body.
    Unequal,
    /// The body has nothing that it could be about.
    Unfounded,
}

impl ModernFault {
    /// A stable word for programs. Never change one; add another.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            ModernFault::NotOneRequest => "not-one-request",
            ModernFault::HeaderMismatch { .. } => "header-mismatch",
        }
    }

    /// The JSON-RPC error code.
    pub(crate) fn code(&self) -> i32 {
        match self {
            ModernFault::NotOneRequest => -32600,
            ModernFault::HeaderMismatch { .. } => -32020,
        }
    }

    /// Whether the same request may do better a little later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            ModernFault::NotOneRequest | ModernFault::HeaderMismatch { .. } => false,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            ModernFault::NotOneRequest | ModernFault::HeaderMismatch { .. } => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// The error response to the request with this id, or to what has none.
    pub(crate) fn to_response(&self, id: Option<&RequestId>) -> Outgoing {
        let id = id.map_or_else(|| "null".to_owned(), ToString::to_string);
        let error = json!({
            "code": self.code(),
            "message": self.to_string(),
            "data": self.data(),
        });
        Outgoing::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#))
    }

    fn data(&self) -> Value {
        let mut data = json!({
            "source": "mcpool",
            "reason": self.reason(),
            "retryable": self.is_retryable(),
        });
        if let ModernFault::HeaderMismatch { header, .. } = self {
            data["header"] = json!(header);
        }
        data
    }
}

impl fmt::Display for ModernFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModernFault::NotOneRequest => {
                f.write_str("the body must be exactly one request or notification")
            }
            ModernFault::HeaderMismatch { header, mismatch } => {
                let what = match mismatch {
                    Mismatch::Missing => "is missing",
                    Mismatch::Doubled => "stands there more than once",
                    Mismatch::Unreadable => "cannot be read",
                    Mismatch::Unequal => "does not say what the body says",
                    Mismatch::Unfounded => "is about something that the body does not have",
                };
                write!(f, "the header `{header}` {what}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_goes_to_the_request_and_says_what_the_specification_wants() {
        let fault = ModernFault::HeaderMismatch {
            header: "Mcp-Name".into(),
            mismatch: Mismatch::Missing,
        };
        let id = RequestId::from_json("1e400");
        let said = String::from_utf8(fault.to_response(id.as_ref()).to_vec()).unwrap();
        assert!(said.contains(r#""id":1e400,"#), "{said}");
        let said: Value = serde_json::from_slice(&fault.to_response(None).to_vec()).unwrap();
        assert_eq!(said["id"], Value::Null);
        assert_eq!(said["error"]["code"], -32020);
        assert_eq!(said["error"]["data"]["reason"], "header-mismatch");
        assert_eq!(said["error"]["data"]["header"], "Mcp-Name");
        assert_eq!(said["error"]["message"], "the header `Mcp-Name` is missing");
    }
}
