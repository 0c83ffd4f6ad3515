//! What is said: JSON-RPC messages as MCP frames them, parsed only as far as routing needs.
//!
//! A [`Frame`] is one message. Its envelope (id, method, and the few parameters that a pooler must
//! look at) is read once; its payload stays the bytes that arrived. [`Frame::rewrite`] changes
//! named spans and copies or shares everything else, so that `1e400`, key order, blanks, escapes
//! and fields that nobody knows yet survive.
//!
//! **Invariant:** nothing in this crate prints a payload that it has parsed.
#![no_std]

extern crate alloc;

mod about;
mod codec;
mod fault;
mod frame;
mod frozen;
mod id;
mod json;
pub mod meta_name;
mod method;
mod object;
mod outgoing;
mod params;
mod skim;

pub use about::{About, Named, Purpose};
pub use codec::{CutOff, Line, LineSplitter, Unended, Unkept};
pub use fault::Fault;
pub use frame::{Frame, Kind, Message};
pub use id::{ProgressToken, RequestId};
pub use json::Json;
pub use method::Method;
pub use object::{Member, edited, members_of};
pub use outgoing::{Outgoing, Pieces, quoted};
pub use params::{Modern, Params, Span};
