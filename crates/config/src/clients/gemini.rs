//! Gemini CLI: part of its settings, which may have comments.

use super::{
    grammar::Grammar,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "gemini",
    name: "Gemini CLI",
    grammar: Grammar::Jsonc,
    places: &[
        Place::home(".gemini/settings.json"),
        Place::project(".gemini/settings.json"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    local_types: &["stdio"],
    addresses: &["url", "httpUrl"],
    list_command: Some(&["gemini", "mcp", "list"]),
    reload: "in a new session",
};
