//! Amp: part of its settings, under a name with a dot in it.

use super::{
    grammar::Grammar,
    place::{Place, System},
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
    local_types: &["stdio"],
    addresses: &["url"],
    list_command: None,
    reload: "in a new session",
};
