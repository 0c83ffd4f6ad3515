//! Amp: part of its settings, under a name with a dot in it.

use super::{
    grammar::Grammar,
    http::HttpShape,
    place::{Place, System},
    policy::Rules,
    shape::{Client, Command, Holder},
};

pub(super) const CLIENT: Client = Client {
    id: "amp",
    name: "Amp",
    grammar: Grammar::Jsonc,
    places: &[
        Place::moved("XDG_CONFIG_HOME", ".config", "amp/settings.json")
            .on(&[System::Linux, System::Mac]),
        Place::home(".config/amp/settings.json").on(&[System::Windows]),
        Place::project(".amp/settings.json"),
    ],
    servers: &[&["amp.mcpServers"]],
    holder: Holder::Map,
    commands: &[Command::USUAL],
    variables: &["env"],
    folder: None,
    local_types: &["stdio"],
    addresses: &["url"],
    http: Some(HttpShape::at("url")),
    managed: &[
        (Place::etc("etc/ampcode/managed-settings.json"), Rules::Amp),
        (
            Place::library("Library/Application Support/ampcode/managed-settings.json"),
            Rules::Amp,
        ),
        (
            Place::program_data("ampcode/managed-settings.json"),
            Rules::Amp,
        ),
        (
            Place::moved("XDG_CONFIG_HOME", ".config", "amp/settings.json")
                .on(&[System::Linux, System::Mac]),
            Rules::OwnAmp,
        ),
        (Place::project(".amp/settings.json"), Rules::OwnAmp),
    ],
    list_command: None,
    reload: "in a new session",
};
