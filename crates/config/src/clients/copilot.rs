//! Copilot CLI. It reads `.mcp.json` too, which is left to Claude Code.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "copilot",
    name: "Copilot CLI",
    grammar: Grammar::Jsonc,
    places: &[
        Place::moved("COPILOT_HOME", ".copilot", "mcp-config.json"),
        Place::project(".github/mcp.json"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: Some("cwd"),
    local_types: &["local", "stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("http")),
    managed: &[
        (
            Place::etc("etc/github-copilot/managed-settings.json"),
            Rules::Lists,
        ),
        (
            Place::library("Library/Application Support/GitHubCopilot/managed-settings.json"),
            Rules::Lists,
        ),
        (
            Place::program_files("GitHubCopilot/managed-settings.json"),
            Rules::Lists,
        ),
    ],
    list_command: Some(&["copilot", "mcp", "list"]),
    reload: "in a new session",
};
