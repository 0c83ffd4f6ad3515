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
    // In the order in which it reads them, and what it reads later counts; but it reads those of a project behind
    // `OPENCODE_CONFIG`. Here they are last: the home folder may be the project too, and what is there is the user's.
    places: &[
        // On every system, as it says.
        Place::moved("XDG_CONFIG_HOME", ".config", "opencode/config.json"),
        Place::moved("XDG_CONFIG_HOME", ".config", "opencode/opencode.json"),
        Place::moved("XDG_CONFIG_HOME", ".config", "opencode/opencode.jsonc"),
        Place::named("OPENCODE_CONFIG"),
        Place::home(".opencode/opencode.json"),
        Place::home(".opencode/opencode.jsonc"),
        Place::in_named("OPENCODE_CONFIG_DIR", "opencode.json"),
        Place::in_named("OPENCODE_CONFIG_DIR", "opencode.jsonc"),
        Place::project("opencode.json"),
        Place::project("opencode.jsonc"),
        Place::project(".opencode/opencode.json"),
        Place::project(".opencode/opencode.jsonc"),
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
