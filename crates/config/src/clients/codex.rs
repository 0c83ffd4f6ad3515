//! Codex: TOML, with names of variables beside their values.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

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
    ],
    list_command: Some(&["codex", "mcp", "list", "--json"]),
    reload: "in a new session",
};
