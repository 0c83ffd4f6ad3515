//! Codex: TOML, with names of variables beside their values.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

/// Preferences with settings in TOML in base 64, which may be about servers.
const ABOUT_SERVERS: Rules = Rules::Unread(&["requirements_toml_base64", "config_toml_base64"]);

pub(super) const CLIENT: Client = Client {
    id: "codex",
    name: "Codex",
    grammar: Grammar::Toml,
    places: &[
        Place::moved("CODEX_HOME", ".codex", "config.toml"),
        Place::project(".codex/config.toml"),
    ],
    servers: &[&["mcp_servers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env", "env_vars"],
    folder: Some("cwd"),
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url")),
    managed: &[
        (
            Place::etc("etc/codex/requirements.toml"),
            Rules::Requirements,
        ),
        (
            Place::library("etc/codex/requirements.toml"),
            Rules::Requirements,
        ),
        (
            Place::program_data("OpenAI/Codex/requirements.toml"),
            Rules::Requirements,
        ),
        (Place::etc("etc/codex/managed_config.toml"), Rules::Toml),
        (Place::library("etc/codex/managed_config.toml"), Rules::Toml),
        // What a service has told it to heed: a copy, with settings in TOML within JSON.
        (
            Place::moved("CODEX_HOME", ".codex", "cloud-config-bundle-cache.json"),
            Rules::Unread(&["mcp_servers"]),
        ),
        // What the management of devices has told it: the machine, or one user of it.
        (
            Place::library("Library/Managed Preferences/com.openai.codex.plist"),
            ABOUT_SERVERS,
        ),
        (
            Place::library("Library/Managed Preferences/*/com.openai.codex.plist"),
            ABOUT_SERVERS,
        ),
    ],
    list_command: Some(&["codex", "mcp", "list", "--json"]),
    reload: "in a new session",
};
