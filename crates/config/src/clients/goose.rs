//! Goose: servers are extensions among others, the environment is `envs`, the program `cmd`.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::{Place, System},
    policy::Rules,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "goose",
    name: "Goose",
    grammar: Grammar::Yaml,
    places: &[
        Place::moved("XDG_CONFIG_HOME", ".config", "goose/config.yaml")
            .on(&[System::Linux, System::Mac]),
        Place::app_data("Block/goose/config/config.yaml"),
    ],
    servers: &[&["extensions"]],
    holder: Holder::Map,
    commands: &[
        Command::words("cmd", "args"),
        Command::words("cmd", "args").within("config"),
    ],
    variables: &["envs", "env_keys"],
    folder: None,
    local_types: &["stdio"],
    addresses: &["uri", "url"],
    http: Some(HttpShape::at("uri").of_kind("streamable_http")),
    managed: &[(Place::named("GOOSE_ALLOWLIST"), Rules::Elsewhere)],
    list_command: None,
    reload: "in a new session",
};
