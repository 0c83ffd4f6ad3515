//! Claude Desktop: its file has servers over stdio alone.

use super::{
    grammar::Grammar,
    place::{Place, System},
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "claude-desktop",
    name: "Claude Desktop",
    grammar: Grammar::Json,
    places: &[
        Place::support("Claude/claude_desktop_config.json"),
        Place::app_data("Claude/claude_desktop_config.json"),
        // Installed from the store, it sees another folder in the place of the usual one.
        Place::moved(
            "LOCALAPPDATA",
            "AppData/Local",
            "Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
        )
        .on(&[System::Windows]),
        Place::config("Claude/claude_desktop_config.json"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: None,
    local_types: &["stdio"],
    addresses: &["url"],
    http: None,
    managed: &[],
    list_command: None,
    reload: "after a restart",
};
