//! `OpenCode`: the command line is one list, and the environment has its whole name.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::Place,
    policy::Rules,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "opencode",
    name: "OpenCode",
    grammar: Grammar::Jsonc,
    places: &[
        // On every system, as it says.
        Place::moved("XDG_CONFIG_HOME", ".config", "opencode/opencode.json"),
        Place::moved("XDG_CONFIG_HOME", ".config", "opencode/opencode.jsonc"),
        Place::named("OPENCODE_CONFIG"),
        Place::project("opencode.json"),
        Place::project("opencode.jsonc"),
    ],
    servers: &[&["mcp"]],
    holder: Holder::Map,
    commands: &[Command::list("command")],
    variables: &["environment"],
    folder: Some("cwd"),
    local_types: &["local"],
    addresses: &["url"],
    http: Some(HttpShape::at("url").of_kind("remote").without("oauth")),
    managed: &[
        (Place::etc("etc/opencode/opencode.json"), Rules::OpenCode),
        (Place::etc("etc/opencode/opencode.jsonc"), Rules::OpenCode),
        (
            Place::library("Library/Application Support/opencode/opencode.json"),
            Rules::OpenCode,
        ),
        (
            Place::library("Library/Application Support/opencode/opencode.jsonc"),
            Rules::OpenCode,
        ),
        (
            Place::program_data("opencode/opencode.json"),
            Rules::OpenCode,
        ),
        (
            Place::program_data("opencode/opencode.jsonc"),
            Rules::OpenCode,
        ),
    ],
    list_command: Some(&["opencode", "mcp", "list"]),
    reload: "in a new session",
};
