//! Zed: part of its settings; entries of extensions have no command line.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::{Place, System},
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "zed",
    name: "Zed",
    grammar: Grammar::Jsonc,
    places: &[
        Place::config("zed/settings.json"),
        Place::home(".config/zed/settings.json").on(&[System::Mac]),
        Place::app_data("Zed/settings.json"),
        Place::project(".zed/settings.json"),
    ],
    servers: &[&["context_servers"]],
    holder: Holder::Map,
    // Older settings have a map in the place of the program.
    commands: &[
        Command::USUAL,
        Command::words("path", "args").within("command"),
    ],
    variables: &["env"],
    folder: None,
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url")),
    managed: &[],
    list_command: None,
    reload: "at once",
};
