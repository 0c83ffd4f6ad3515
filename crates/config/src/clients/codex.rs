//! Codex: TOML, with names of variables beside their values.

use super::{
    grammar::Grammar,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "codex",
    name: "Codex",
    grammar: Grammar::Toml,
    places: &[
        Place::moved("CODEX_HOME", ".codex", "config.toml"),
        Place::project(".codex/config.toml"),
    ],
    servers: &[&["mcp_servers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env", "env_vars"],
    local_types: &["stdio"],
    addresses: &["url"],
    list_command: Some(&["codex", "mcp", "list", "--json"]),
    reload: "in a new session",
};
