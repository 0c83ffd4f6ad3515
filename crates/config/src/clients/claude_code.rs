//! Claude Code: one file for the user and all projects, and one in a project.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

/// What settings say of servers, in a list of preferences that is written in binary.
const ABOUT_SERVERS: Rules = Rules::Unread(&["McpServers", "strictPluginOnlyCustomization"]);

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
    folder: None,
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("http")),
    managed: &[
        (
            Place::etc("etc/claude-code/managed-mcp.json"),
            Rules::Exclusive,
        ),
        (
            Place::library("Library/Application Support/ClaudeCode/managed-mcp.json"),
            Rules::Exclusive,
        ),
        (
            Place::program_files("ClaudeCode/managed-mcp.json"),
            Rules::Exclusive,
        ),
        (
            Place::etc("etc/claude-code/managed-settings.json"),
            Rules::Lists,
        ),
        (
            Place::etc("etc/claude-code/managed-settings.d/*.json"),
            Rules::Lists,
        ),
        (
            Place::library("Library/Application Support/ClaudeCode/managed-settings.json"),
            Rules::Lists,
        ),
        (
            Place::library("Library/Application Support/ClaudeCode/managed-settings.d/*.json"),
            Rules::Lists,
        ),
        (
            Place::program_files("ClaudeCode/managed-settings.json"),
            Rules::Lists,
        ),
        (
            Place::program_files("ClaudeCode/managed-settings.d/*.json"),
            Rules::Lists,
        ),
        // What a service has told it to heed, of which it keeps a copy.
        (
            Place::moved("CLAUDE_CONFIG_DIR", ".claude", "remote-settings.json"),
            Rules::Lists,
        ),
        // What the management of devices has told it: the machine, or one user of it.
        (
            Place::library("Library/Managed Preferences/com.anthropic.claudecode.plist"),
            ABOUT_SERVERS,
        ),
        (
            Place::library("Library/Managed Preferences/*/com.anthropic.claudecode.plist"),
            ABOUT_SERVERS,
        ),
        (
            Place::moved("CLAUDE_CONFIG_DIR", ".claude", "settings.json"),
            Rules::OwnLists,
        ),
        (Place::project(".claude/settings.json"), Rules::OwnLists),
        (
            Place::project(".claude/settings.local.json"),
            Rules::OwnLists,
        ),
    ],
    list_command: Some(&["claude", "mcp", "list"]),
    reload: "in a new session",
};
