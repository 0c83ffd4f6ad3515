//! The servers that a configuration names, to know them among processes.

use std::collections::BTreeSet;

use config::{CommandIdentity, Config};

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

    /// Another command line that starts a server.
    pub(crate) fn add(&mut self, argv: &[String]) {
        self.keys
            .extend(config::identify(argv).map(|identity| identity.key));
    }

    pub(super) fn has(&self, identity: &CommandIdentity) -> bool {
        self.keys.contains(&identity.key)
    }
}
