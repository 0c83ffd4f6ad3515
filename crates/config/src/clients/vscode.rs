//! VS Code: `servers`, and `inputs` that it asks for; one file for each profile.

use super::{
    grammar::Grammar,
    place::Place,
    shape::{Client, Command, Holder, Http},
};

pub(super) const CLIENT: Client = Client {
    id: "vscode",
    name: "VS Code",
    places: &[
        Place::config(Grammar::Jsonc, "Code/User/mcp.json"),
        Place::config(Grammar::Jsonc, "Code/User/profiles/*/mcp.json"),
        Place::support(Grammar::Jsonc, "Code/User/mcp.json"),
        Place::support(Grammar::Jsonc, "Code/User/profiles/*/mcp.json"),
        Place::app_data(Grammar::Jsonc, "Code/User/mcp.json"),
        Place::app_data(Grammar::Jsonc, "Code/User/profiles/*/mcp.json"),
        Place::project(Grammar::Jsonc, ".vscode/mcp.json"),
    ],
    servers: &[&["servers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(Http {
        address: "url",
        type_word: Some("http"),
    }),
    list_command: None,
    reload: "at once, after a question whether to trust it",
};
