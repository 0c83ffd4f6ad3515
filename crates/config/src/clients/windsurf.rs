//! Windsurf: one file of the user.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "windsurf",
    name: "Windsurf",
    grammar: Grammar::Jsonc,
    places: &[Place::home(".codeium/windsurf/mcp_config.json")],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: None,
    local_types: &["stdio"],
    addresses: &["serverUrl", "url"],
    http: Some(HttpShape::at("serverUrl")),
    managed: &[],
    list_command: None,
    reload: "when its servers are refreshed",
};
