//! Continue: YAML with a list of servers, and files of one server each.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "continue",
    name: "Continue",
    grammar: Grammar::Yaml,
    places: &[
        Place::home(".continue/config.yaml"),
        Place::home(".continue/mcpServers/*.yaml"),
        Place::project(".continue/mcpServers/*.yaml"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::List,
    commands: &[Command::USUAL],
    variables: &["env"],
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("streamable-http")),
    managed: &[],
    list_command: None,
    reload: "at once",
};
