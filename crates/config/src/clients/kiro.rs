//! Kiro, the editor and the command line.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "kiro",
    name: "Kiro",
    grammar: Grammar::Jsonc,
    places: &[
        Place::home(".kiro/settings/mcp.json"),
        Place::project(".kiro/settings/mcp.json"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: None,
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url")),
    managed: &[],
    list_command: None,
    reload: "at once",
};
