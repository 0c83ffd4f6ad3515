//! Claude Desktop: its file has servers over stdio alone.

use super::{
    grammar::Grammar,
    place::{Place, System},
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "claude-desktop",
    name: "Claude Desktop",
    places: &[
        Place::support(Grammar::Json, "Claude/claude_desktop_config.json"),
        Place::app_data(Grammar::Json, "Claude/claude_desktop_config.json"),
        // Installed from the store, it sees another folder in the place of the usual one.
        Place::moved(
            Grammar::Json,
            "LOCALAPPDATA",
            "AppData/Local",
            "Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
        )
        .on(&[System::Windows]),
        Place::config(Grammar::Json, "Claude/claude_desktop_config.json"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    local_types: &["stdio"],
    addresses: &["url"],
    http: None,
    list_command: None,
    reload: "after a restart",
};
