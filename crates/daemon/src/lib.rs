//! The daemon: every effect that the pooler has.
//!
//! One task, the hub, owns the core (`mux`). Around it are tasks that turn what the world does into
//! inputs: a reader per session and per server, the door, the guardian's voice. What the core asks for is
//! done at once by plain functions that never wait.
//!
//! **Invariant:** there is no lock and no shared state between tasks but the bounded inbox of the hub.

pub mod admin;
mod alarm;
mod configuration;
mod failpoint;
mod files;
mod front;
mod hub;
mod kept_sessions;
mod kept_words;
mod launch;
mod link;
mod logs;
mod observe;
mod private_file;
mod process;
mod serve;
mod tasks;
mod upgrade;
mod upstream;
mod watchdog;
#[cfg(test)]
mod woken;

pub use front::{holder as port_holder, http_addresses, token as http_token};
pub use launch::{check_env_file, recipe};
pub use serve::{PASSED_FOR_HTTP, PASSED_FOR_SESSIONS, ServeOptions, StartedBy, serve};
pub use upgrade::check_state;
pub use upstream::secured;
