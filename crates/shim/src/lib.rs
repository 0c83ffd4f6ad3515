//! How a client reaches the daemon.
//!
//! A client runs `mcpool connect …` as if that were its server. This process, the
//! shim, finds the daemon (or starts it), says in a preface who asks for what, and
//! then relays bytes between its own stdin and stdout and the daemon's socket.
//! One shim runs per session for as long as its client lives, so it is blocking
//! code on `std` and `rustix`, without an async runtime and with little memory.
//!
//! The daemon uses the same rooms for its side of the meeting: [`places`],
//! [`lock`], and the pure [`preface`], [`answer`] and [`control`].
//!
//! **Invariants:** stdout carries protocol and nothing else; no byte of a message
//! is read for its meaning here; nothing is read from stdin before the daemon has
//! accepted the session.

pub mod answer;
pub mod arguments;
pub mod connect;
pub mod control;
mod folder;
pub mod home;
pub mod kept;
mod label;
pub mod lock;
pub mod places;
pub mod preface;
pub mod pump;
pub mod rendezvous;
pub mod scope;
pub mod sibling;
mod start;
mod strip;
pub mod workspace;
