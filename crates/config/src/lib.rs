//! What the user wants: text in, values out.
//!
//! Everything a user can write about servers is understood here: the
//! configuration file ([`load()`]), values that each session completes from its own
//! environment ([`Template`]), names of variables to pass ([`EnvPattern`]), and
//! what a command line or a variable's name gives away ([`session_reason`],
//! [`identify`], [`looks_like_credential`]).
//!
//! **Invariant:** nothing in this crate reads a file, a variable or a clock.
//! The same text gives the same value or the same error, and no `Debug` output
//! shows text that a user wrote into a value, because it may be a secret.

mod address;
mod auto_scope;
pub mod clients;
mod config;
mod credential;
mod edit;
mod env_file;
mod env_pattern;
mod http;
mod limits;
mod load;
mod secret;
mod server_name;
mod template;
mod word;

pub use address::shown_address;
pub use auto_scope::{CommandIdentity, identify, is_launcher, session_reason};
pub use config::{
    Asks, Capability, Config, Daemon, Era, IdleTimeout, OnDaemonFailure, OnRestart, Once, Remote,
    Scope, Serialize, Server,
};
pub use credential::{has_form_of_credential, looks_like_credential};
pub use edit::{EditError, ServerEntry, add_server, remove_server, take_out_server};
pub use env_file::{EnvFileError, EnvFileProblem, parse_env_file};
pub use env_pattern::{EnvArgument, EnvPattern, EnvPatternError};
pub use http::{Http, HttpAuth, HttpSocket, Listen, Tls};
pub use limits::LimitsOverrides;
pub use load::{LoadError, SCHEMES, load, load_unfinished, unfit_header};
pub use secret::Secret;
pub use server_name::{ServerName, ServerNameError};
pub use template::{
    Builtin, Builtins, Origin, Sources, Template, TemplateError, TemplateSyntaxError,
    TemplateSyntaxProblem, Whence,
};
pub use word::UnknownWord;
