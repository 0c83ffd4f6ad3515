//! VS Code: `servers`, and `inputs` that it asks for; one file for each profile.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

/// What policies say of servers, in a list of preferences that is written in binary.
const ABOUT_SERVERS: Rules = Rules::Unread(&["ChatMCP", "McpServers"]);

pub(super) const CLIENT: Client = Client {
    id: "vscode",
    name: "VS Code",
    grammar: Grammar::Jsonc,
    places: &[
        Place::config("Code/User/mcp.json"),
        Place::config("Code/User/profiles/*/mcp.json"),
        Place::support("Code/User/mcp.json"),
        Place::support("Code/User/profiles/*/mcp.json"),
        Place::app_data("Code/User/mcp.json"),
        Place::app_data("Code/User/profiles/*/mcp.json"),
        Place::project(".vscode/mcp.json"),
    ],
    servers: &[&["servers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: Some("cwd"),
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("http")),
    managed: &[
        (Place::etc("etc/vscode/policy.json"), Rules::VsCode),
        // What the management of devices has told it: the machine, or one user of it.
        (
            Place::library("Library/Managed Preferences/com.microsoft.VSCode.plist"),
            ABOUT_SERVERS,
        ),
        (
            Place::library("Library/Managed Preferences/*/com.microsoft.VSCode.plist"),
            ABOUT_SERVERS,
        ),
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
    list_command: None,
    reload: "at once, after a question whether to trust it",
};
