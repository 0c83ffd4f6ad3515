//! Continue: YAML with a list of servers, and in folders of their own files of a few servers each, in YAML or
//! as other clients have them in JSON.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    shape::{Client, Command, Holder, WHOLE_FILE},
};

pub(super) const CLIENT: Client = Client {
    id: "continue",
    name: "Continue",
    grammar: Grammar::Yaml,
    places: &[
        Place::home(".continue/config.yaml"),
        Place::home(".continue/mcpServers/*.yaml"),
        Place::home(".continue/mcpServers/*.yml"),
        Place::project(".continue/mcpServers/*.yaml"),
        Place::project(".continue/mcpServers/*.yml"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::List,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: Some("cwd"),
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("streamable-http")),
    managed: &[],
    list_command: None,
    reload: "at once",
};

/// Files of Claude Code and Claude Desktop, and of one server alone, which are put there as they are.
///
/// It heeds of an entry what those clients write, so no folder.
pub(super) const JSON: Client = Client {
    grammar: Grammar::Jsonc,
    places: &[
        Place::home(".continue/mcpServers/*.json"),
        Place::project(".continue/mcpServers/*.json"),
    ],
    servers: &[
        &["mcpServers"],
        &["projects", "*", "mcpServers"],
        &[WHOLE_FILE],
    ],
    holder: Holder::Map,
    http: Some(HttpShape::at("url").of_kind("http")),
    ..CLIENT
};
