//! What administrators have settled for the clients of this machine.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use config::clients::{Client, Entry, Kind, Policy, Rules};

use super::machine::{Machine, means_missing};
use crate::{config_file, survey::behind_mcpool};

/// The rules of clients.
pub(crate) struct Policies {
    machine: Machine,
    /// By the client's word: its rules, or why they are not known.
    here: BTreeMap<&'static str, Result<Policy, String>>,
}

impl Policies {
    pub(crate) fn read(machine: &Machine, clients: &[&'static Client]) -> Self {
        let of = |client: &&'static Client| (client.id, of_client(machine, client));
        Policies {
            machine: machine.clone(),
            here: clients.iter().map(of).collect(),
        }
    }

    /// The rules of a client; where they cannot be read, nobody knows what it may run.
    pub(super) fn of(&self, client: &Client) -> Result<&Policy, String> {
        match self.here.get(client.id) {
            Some(Ok(policy)) => Ok(policy),
            Some(Err(why)) => Err(why.clone()),
            None => Err("its rules were not read".to_owned()),
        }
    }

    /// Whether a rule denies what an entry that goes through mcpool has it start, where it says what that is.
    pub(crate) fn deny(&self, client: &Client, entry: &Entry) -> Result<bool, String> {
        let Kind::Ours(command) = &entry.kind else {
            return Ok(false);
        };
        let own = behind_mcpool(&command.words);
        if own.is_empty() {
            return Ok(false);
        }
        let policy = self.of_project(client, entry.project.as_deref())?;
        Ok(policy.denies(&entry.name, own))
    }

    /// The rules of a client for a server of this project: its own lists are those of the project,
    /// and not those of the folder at hand.
    pub(super) fn of_project(
        &self,
        client: &Client,
        project: Option<&str>,
    ) -> Result<Cow<'_, Policy>, String> {
        let Some(project) = project.map(Path::new).filter(|path| path.is_absolute()) else {
            return self.of(client).map(Cow::Borrowed);
        };
        of_client(&self.machine.in_project(project), client).map(Cow::Owned)
    }
}

fn of_client(machine: &Machine, client: &Client) -> Result<Policy, String> {
    let mut policy = Policy::default();
    let mut seen = BTreeSet::new();
    for (place, rules) in client.managed {
        let paths = machine.paths(place).map_err(|error| {
            format!("what an administrator may have settled for it cannot be looked for: {error}")
        })?;
        for path in paths {
            if seen.insert(path.clone()) {
                add(&mut policy, *rules, &path)?;
            }
        }
    }
    Ok(policy)
}

fn add(policy: &mut Policy, rules: Rules, path: &Path) -> Result<(), String> {
    let why = |error: &dyn std::fmt::Display| {
        format!(
            "{}, which says what it may run, cannot be read: {error}",
            path.display()
        )
    };
    let read = match rules {
        // An address, and no file.
        Rules::Elsewhere => Ok(String::new()),
        // It may be no text, and is only looked through for words.
        Rules::Unread(_) => {
            fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        Rules::Lists
        | Rules::OwnLists
        | Rules::Exclusive
        | Rules::Requirements
        | Rules::Toml
        | Rules::Gemini
        | Rules::Switches
        | Rules::VsCode
        | Rules::Amp
        | Rules::OwnAmp
        | Rules::OpenCode => config_file::read_file(path),
    };
    let text = match read {
        Ok(text) => text,
        Err(error) if means_missing(&error) => return Ok(()),
        Err(error) => return Err(why(&error)),
    };
    policy.add(rules, &text).map_err(|error| why(&error))
}
