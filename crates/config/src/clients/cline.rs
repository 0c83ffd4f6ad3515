//! Cline: its own file in the folder of the editor, or of its command line; entries flat or nested.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    shape::{Client, Command, Holder},
};

/// Where the extension of VS Code keeps it.
const EXTENSION: &str =
    "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json";

pub(super) const CLIENT: Client = Client {
    id: "cline",
    name: "Cline",
    grammar: Grammar::Jsonc,
    places: &[
        Place::home(".cline/mcp.json"),
        Place::home(".cline/data/settings/cline_mcp_settings.json"),
        Place::config(EXTENSION),
        Place::support(EXTENSION),
        Place::app_data(EXTENSION),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL, Command::USUAL.within("transport")],
    variables: &["env"],
    folder: Some("cwd"),
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("streamableHttp")),
    managed: &[],
    list_command: None,
    reload: "at once",
};
