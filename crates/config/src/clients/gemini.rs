//! Gemini CLI: part of its settings, which may have comments.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

/// The variable that names another home folder.
const HOME: &str = "GEMINI_CLI_HOME";

/// The variable that names the administrator's file.
const SYSTEM_SETTINGS: &str = "GEMINI_CLI_SYSTEM_SETTINGS_PATH";

pub(super) const CLIENT: Client = Client {
    id: "gemini",
    name: "Gemini CLI",
    grammar: Grammar::Jsonc,
    places: &[
        Place::moved(HOME, "", ".gemini/settings.json"),
        Place::project(".gemini/settings.json"),
    ],
    servers: &[&["mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: Some("cwd"),
    local_types: &["stdio"],
    addresses: &["url", "httpUrl"],
    http: Some(HttpShape::at("httpUrl")),
    managed: &[
        (
            Place::etc("etc/gemini-cli/settings.json").unless(SYSTEM_SETTINGS),
            Rules::Gemini,
        ),
        (
            Place::library("Library/Application Support/GeminiCli/settings.json")
                .unless(SYSTEM_SETTINGS),
            Rules::Gemini,
        ),
        (
            Place::program_data("gemini-cli/settings.json"),
            Rules::Gemini,
        ),
        // What `gemini mcp disable` has noted.
        (
            Place::moved(HOME, "", ".gemini/mcp-server-enablement.json"),
            Rules::Switches,
        ),
    ],
    list_command: Some(&["gemini", "mcp", "list"]),
    reload: "in a new session",
};
