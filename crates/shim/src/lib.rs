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
//! is read for its meaning here, but for requests that nobody else can answer;
//! nothing is read from stdin before a daemon has accepted the session, or while it
//! may be that this process becomes the server; a daemon that ends, or that there is
//! none, is no end of the session.

pub mod answer;
pub mod arguments;
pub mod connect;
pub mod control;
pub mod direct;
mod fields;
mod folder;
pub mod home;
pub mod hook;
pub mod kept;
mod label;
mod last_resort;
pub mod lock;
pub mod mcp_proxy;
mod meet;
mod own_server;
pub mod places;
pub mod preface;
mod pump;
pub mod query;
pub mod recipe;
pub mod rendezvous;
pub mod scope;
pub mod sibling;
mod stand_in;
mod start;
mod strip;
pub mod told_once;
pub mod workspace;
