//! Cursor.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "cursor",
    name: "Cursor",
    grammar: Grammar::Jsonc,
    places: &[
        Place::home(".cursor/mcp.json"),
        Place::project(".cursor/mcp.json"),
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
    reload: "at once, perhaps after a question",
};
