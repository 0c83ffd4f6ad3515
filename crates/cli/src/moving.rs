//! Moving clients onto mcpool, and back.
//!
//! What a client's file says is understood by `config::clients`, without touching a file.
//! Here files are found, read, replaced and kept: an import is a [`plan`], which a person
//! can look at, and then [`apply`]; an [`undo`] is the way back by the [`journal`].
//!
//! **Invariant:** a file that somebody else has changed since it was read is not written
//! over ([`safe_file`]), and nothing is written of which no copy is kept.

pub(crate) mod apply;
pub(crate) mod diff;
pub(crate) mod failpoint;
pub(crate) mod from;
pub(crate) mod http;
pub(crate) mod journal;
pub(crate) mod machine;
pub(crate) mod plan;
pub(crate) mod policies;
mod release;
pub(crate) mod safe_file;
pub(crate) mod shadow;
pub(crate) mod stale;
mod tracked;
pub(crate) mod trust;
pub(crate) mod undo;
pub(crate) mod veil;
pub(crate) mod verify;
