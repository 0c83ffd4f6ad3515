//! Claude Code: one file for the user and all projects, and one in a project.

use super::{
    grammar::Grammar,
    place::Place,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "claude-code",
    name: "Claude Code",
    grammar: Grammar::Json,
    places: &[
        Place::moved("CLAUDE_CONFIG_DIR", "", ".claude.json"),
        Place::project(".mcp.json"),
    ],
    servers: &[&["mcpServers"], &["projects", "*", "mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    local_types: &["stdio"],
    addresses: &["url"],
    list_command: Some(&["claude", "mcp", "list"]),
    reload: "in a new session",
};
