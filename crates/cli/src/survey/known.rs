//! The servers that are configured, to know them among processes whatever they are called.

use std::collections::BTreeSet;

use config::{
    CommandIdentity, Config,
    clients::{self, Kind},
};

use super::Census;
use crate::moving::machine::Machine;

/// More folders than anybody works in at a time.
const FOLDERS_MAX: usize = 100;

/// What is known to be a server, whatever it is called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    keys: BTreeSet<String>,
}

impl Known {
    /// The servers of our own configuration.
    pub(crate) fn of(config: &Config) -> Known {
        let mut known = Known::default();
        for server in config.servers.values() {
            let words = std::iter::once(&server.command).chain(&server.args);
            let argv: Vec<String> = words.map(config::Template::as_written).collect();
            known.add(&argv);
        }
        known
    }

    /// The same, and those in the files of clients: of the user, of the project at hand, and of the folders in which
    /// clients work. What cannot be read there names none.
    pub(crate) fn and_of_clients(mut self, census: Option<&Census>) -> Known {
        let Ok(machine) = Machine::this() else {
            return self;
        };
        let folders = census.map(Census::folders_of_clients).unwrap_or_default();
        let folders = folders.into_iter().take(FOLDERS_MAX);
        let elsewhere = folders.map(|folder| machine.in_project(folder));
        let machines: Vec<Machine> = elsewhere.collect();
        let mut seen = BTreeSet::new();
        let files = std::iter::once(&machine)
            .chain(&machines)
            .flat_map(|machine| machine.files(clients::ALL));
        for found in files.filter(|found| seen.insert(found.path.clone())) {
            for entry in found.entries() {
                match entry.kind {
                    Kind::Local(local) => self.add(&local.command.words),
                    Kind::Ours(command) => self.add(behind_mcpool(&command.words)),
                    Kind::LeftAlone(_) => {}
                }
            }
        }
        self
    }

    /// Another command line that starts a server.
    pub(crate) fn add(&mut self, argv: &[String]) {
        self.keys
            .extend(config::identify(argv).map(|identity| identity.key));
    }

    pub(super) fn has(&self, identity: &CommandIdentity) -> bool {
        self.keys.contains(&identity.key)
    }
}

/// The command line that `mcpool connect` stands before; empty if it names a server of the configuration.
pub(crate) fn behind_mcpool(words: &[String]) -> &[String] {
    let dashes = words.iter().position(|word| word == "--");
    dashes
        .and_then(|at| words.get(at + 1..))
        .unwrap_or_default()
}
