//! Whether the user trusts the project at hand.
//!
//! What lies in a folder may come from anybody. Claude Code asks a person before it heeds what a
//! folder says, and notes the answer in the file of the user, where no project can write it.

use std::path::Path;

use config::clients::{self, Client, Node, Reach, Step, Value};

use super::{machine::Machine, shadow::CLIENT};
use crate::config_file;

/// Whether the user has said so of this folder, or of one that it is in.
pub(crate) fn is_trusted(machine: &Machine, project: &Path) -> bool {
    let Some(client) = Client::named(CLIENT) else {
        return false;
    };
    let users = client.places.iter();
    let mut users = users
        .filter(|place| place.reach == Reach::User)
        .filter_map(|place| place.on_machine(machine));
    users.any(|file| {
        let text = config_file::read_file(&file).ok();
        let user = text.and_then(|text| client.grammar.read(&text).ok());
        user.is_some_and(|user| trusts(&user, project))
    })
}

/// The project at hand, if it is trusted.
pub(crate) fn trusted_project(machine: &Machine) -> Option<std::path::PathBuf> {
    clients::Machine::project(machine).filter(|project| is_trusted(machine, project))
}

fn trusts(user: &Node, project: &Path) -> bool {
    let folders = project.ancestors().filter_map(Path::to_str);
    folders
        .map(|folder| ["projects", folder, "hasTrustDialogAccepted"].map(str::to_owned))
        .filter_map(|at| user.at(&at.map(Step::Key)))
        .any(|answer| answer.value == Value::Other("true".to_owned()))
}

#[cfg(test)]
mod tests {
    use config::clients::Grammar;

    use super::*;

    #[test]
    fn a_folder_is_trusted_by_what_the_user_has_said_of_it_or_of_one_above() {
        let user = r#"{"projects": {"/src": {"hasTrustDialogAccepted": true},
            "/tmp/a": {"hasTrustDialogAccepted": false}, "/tmp/b": {}}}"#;
        let user = Grammar::Json.read(user).unwrap();
        for (folder, expected) in [
            ("/src", true),
            ("/src/a/b", true),
            ("/srcs", false),
            ("/tmp/a", false),
            ("/tmp/b", false),
            ("/", false),
        ] {
            assert_eq!(trusts(&user, Path::new(folder)), expected, "{folder}");
        }
    }
}
