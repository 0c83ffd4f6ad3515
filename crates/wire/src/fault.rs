//! What can be wrong with a line, and what JSON-RPC calls it.

use core::fmt;

use crate::{about::About, id::RequestId};

/// Why a line is no message. A closed list; each knows its JSON-RPC error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are not UTF-8.
    NotUtf8 {
        /// What can be known of it nevertheless.
        about: About,
    },
    /// The text is not JSON.
    NotJson {
        /// What can be known of it nevertheless.
        about: About,
    },
    /// JSON, but no object (or, where batches are allowed, no array of objects).
    NotAnObject,
    /// An object, but no JSON-RPC 2.0 message: a member is missing, doubled or of the wrong type.
    NotJsonRpc {
        /// What is wrong, for a person.
        what: &'static str,
        /// Whose it is, and what it was to be.
        about: About,
    },
    /// A batch of more messages than it may have.
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// There was no room for it.
    NoRoom {
        /// What the part that was kept says.
        about: About,
    },
    /// Longer than a message may be.
    TooLong {
        /// The limit that was passed, in bytes.
        limit: usize,
        /// What the part that was kept says.
        about: About,
    },
}

impl Fault {
    /// The error code that the specification gives this (JSON-RPC 2.0 section 5.1).
    pub fn code(&self) -> i32 {
        match self {
            Fault::NotUtf8 { .. } | Fault::NotJson { .. } => -32700,
            Fault::NoRoom { .. } => -32603,
            Fault::NotAnObject
            | Fault::NotJsonRpc { .. }
            | Fault::TooMany { .. }
            | Fault::TooLong { .. } => -32600,
        }
    }

    /// What is known of the message that the line was to be.
    pub fn about(&self) -> &About {
        match self {
            Fault::NotUtf8 { about }
            | Fault::NotJson { about }
            | Fault::NotJsonRpc { about, .. }
            | Fault::NoRoom { about }
            | Fault::TooLong { about, .. } => about,
            Fault::NotAnObject => &About::NOISE,
            Fault::TooMany { .. } => &About::ANYTHING,
        }
    }

    /// The id under which the sender is told of the fault, if there is no doubt about it.
    ///
    /// What is no JSON has none: JSON-RPC 2.0 section 5 wants `null` there.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Fault::NotJsonRpc { about, .. }
            | Fault::NoRoom { about }
            | Fault::TooLong { about, .. } => about.certain_id(),
            Fault::NotUtf8 { .. }
            | Fault::NotJson { .. }
            | Fault::NotAnObject
            | Fault::TooMany { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotUtf8 { .. } => f.write_str("the line is not UTF-8"),
            Fault::NotJson { .. } => f.write_str("the line is not JSON"),
            Fault::NotAnObject => f.write_str("a message must be one JSON object"),
            Fault::NotJsonRpc { what, .. } => write!(f, "not a JSON-RPC 2.0 message: {what}"),
            Fault::NoRoom { .. } => f.write_str("there was no room for the message"),
            Fault::TooMany { limit } => write!(f, "a batch may have at most {limit} messages"),
            Fault::TooLong { limit, .. } => write!(
                f,
                "a message may have at most {limit} bytes; this one is dropped, up to the end of its line"
            ),
        }
    }
}

impl core::error::Error for Fault {}
