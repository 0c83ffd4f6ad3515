//! What can be wrong with a line, and what JSON-RPC calls it.

use core::fmt;

use crate::id::RequestId;

/// Why a line is no message. A closed list; each knows its JSON-RPC error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text is not JSON.
    NotJson,
    /// JSON, but no object (or, where batches are allowed, no array of objects).
    NotAnObject,
    /// An object, but no JSON-RPC 2.0 message: a member is missing, doubled or of the wrong type.
    NotJsonRpc {
        /// What is wrong, for a person.
        what: &'static str,
        /// The id, if it could be read.
        id: Option<RequestId>,
        /// Whether it was meant for a response: it names no method.
        response: bool,
    },
    /// Longer than a message may be.
    TooLong {
        /// The limit that was passed, in bytes.
        limit: usize,
        /// The id, if it stood in the part that was kept.
        id: Option<RequestId>,
        /// Whether the part that was kept belongs to a response.
        response: bool,
    },
}

impl Fault {
    /// The error code that the specification gives this (JSON-RPC 2.0 section 5.1).
    pub fn code(&self) -> i32 {
        match self {
            Fault::NotUtf8 | Fault::NotJson => -32700,
            Fault::NotAnObject | Fault::NotJsonRpc { .. } | Fault::TooLong { .. } => -32600,
        }
    }

    /// The id of the message at fault, if it is known.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Fault::NotJsonRpc { id, .. } | Fault::TooLong { id, .. } => id.as_ref(),
            Fault::NotUtf8 | Fault::NotJson | Fault::NotAnObject => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotUtf8 => f.write_str("the line is not UTF-8"),
            Fault::NotJson => f.write_str("the line is not JSON"),
            Fault::NotAnObject => f.write_str("a message must be one JSON object"),
            Fault::NotJsonRpc { what, .. } => write!(f, "not a JSON-RPC 2.0 message: {what}"),
            Fault::TooLong { limit, .. } => write!(f, "a message may have at most {limit} bytes"),
        }
    }
}

impl core::error::Error for Fault {}
