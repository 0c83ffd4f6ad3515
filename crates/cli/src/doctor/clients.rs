//! The clients' own files: whether they can be read, whether what they say of mcpool leads to a server, and
//! whether it is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
};

use config::clients::{self, Entry, Kind, Node};
use shim::arguments::{self, Parsed};

use super::{
    Installation, Patient,
    finding::{Check, Finding},
    paths,
};
use crate::{
    config_file,
    moving::{
        machine::{self, Found, Machine},
        policies::Policies,
        stale,
    },
    survey::{Session, behind_mcpool},
};

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let Ok(machine) = Machine::this() else {
        return Vec::new();
    };
    let files = machine.files(clients::ALL);
    let stale = stale::all_stale(&machine, &patient.places.state);
    let policies = Policies::read(&machine, clients::ALL);
    let mut told = BTreeSet::new();
    let found = files
        .iter()
        .flat_map(|found| of_file(patient, (&machine, &policies), found));
    // What is so of a client is so of each of its files.
    let found = found.filter(|finding| told.insert(finding.what.clone()));
    let stale = stale.iter().map(|stale| {
        Finding::problem(Check::Clients, stale.what()).next(format!("run: {}", stale.mend()))
    });
    found.chain(stale).collect()
}

fn of_file(
    patient: &Patient<'_>,
    (machine, policies): (&Machine, &Policies),
    found: &Found,
) -> Vec<Finding> {
    let name = found.client.name;
    let file = machine.shown(&found.path);
    let problem = |what: String| {
        let next = format!("mend it; until then {name} may have none of the servers in it");
        vec![Finding::problem(Check::Clients, what).next(next)]
    };
    let text = match config_file::read_file(&found.path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            return problem(format!(
                "the file of {name}, {file}, cannot be read: {error}"
            ));
        }
    };
    match clients::survey(&text, found.client) {
        Ok(entries) => {
            let mut findings = outdated(patient, name, &entries);
            let tree = found.client.grammar.read(&text).ok();
            let node = |entry: &Entry| tree.as_ref().and_then(|tree| tree.at(&entry.at));
            let mut on = entries;
            on.retain(|entry| !node(entry).is_some_and(clients::is_off));
            findings.extend(denied(policies, found, &file, &on));
            let on = Entries::of(found, on, node);
            findings.extend(on.without_program(name, &file));
            findings.extend(on.of_unknown_servers(patient, name, &file));
            findings
        }
        Err(error) => problem(format!(
            "the file of {name}, {file}, is not what {name} reads: {error}"
        )),
    }
}

/// Sessions that run a server themselves that their client's file gives to mcpool.
fn outdated(patient: &Patient<'_>, client: &str, entries: &[Entry]) -> Vec<Finding> {
    let moved: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Ours(command) => Some(config::identify(behind_mcpool(&command.words))?.key),
            Kind::Local(_) | Kind::LeftAlone(_) => None,
        })
        .collect();
    let runs_one = |session: &&Session| {
        let mut servers = session.servers.iter();
        session.client == client && servers.any(|server| moved.contains(&server.identity.key))
    };
    let sessions = patient.survey.iter().flat_map(|survey| &survey.sessions);
    let tell = |session: &Session| {
        let what = format!(
            "{client}, process {}, runs servers itself that its file gives to mcpool by now",
            session.pid
        );
        Finding::note(Check::Clients, what).next("start that session anew")
    };
    sessions.filter(runs_one).map(tell).collect()
}

/// Entries by which mcpool starts what a rule of their client denies: it would not have been made so. Where the rules
/// cannot be read, nobody knows.
fn denied(policies: &Policies, found: &Found, file: &str, entries: &[Entry]) -> Vec<Finding> {
    let client = found.client;
    let mut names = Vec::new();
    for entry in entries {
        match policies.deny(client, entry) {
            Ok(true) => names.push(entry.name.as_str()),
            Ok(false) => {}
            Err(why) => {
                let what = format!("what {} may run is not known: {why}", client.name);
                let next =
                    "mend it; until then nobody can say whether it denies what mcpool starts";
                return vec![Finding::problem(Check::Clients, what).next(next)];
            }
        }
    }
    if names.is_empty() {
        return Vec::new();
    }
    let what = format!(
        "managed policy, or settings of yours that say the same, deny what mcpool starts for {}, as {file} says: {}",
        client.name,
        names.join(", ")
    );
    let next = format!(
        "remove it there, or run: mcpool undo --client {}",
        client.id
    );
    vec![Finding::problem(Check::Clients, what).next(next)]
}

/// The entries of a file that start mcpool.
struct Entries {
    ours: Vec<Ours>,
}

/// An entry that starts mcpool.
struct Ours {
    name: String,
    words: Vec<String>,
    /// Whether its variables say which installation it means.
    names_home: bool,
}

impl Entries {
    /// Those among these entries of a file, each of which is where this says.
    fn of<'t>(
        found: &Found,
        entries: Vec<Entry>,
        node: impl Fn(&Entry) -> Option<&'t Node>,
    ) -> Entries {
        let names_home = |entry: &Entry| {
            node(entry).is_some_and(|node| clients::declares(node, found.client, "MCPOOL_HOME"))
        };
        let ours = entries.into_iter().filter_map(|entry| {
            let names_home = names_home(&entry);
            let entry = entry.in_file(&found.path);
            match entry.kind {
                Kind::Ours(command) => Some(Ours {
                    name: entry.name,
                    words: command.words,
                    names_home,
                }),
                Kind::Local(_) | Kind::LeftAlone(_) => None,
            }
        });
        Entries {
            ours: ours.collect(),
        }
    }

    /// Those that start an mcpool that is not there.
    fn without_program(&self, client: &str, file: &str) -> Vec<Finding> {
        let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for ours in &self.ours {
            let program = ours.words.first().map_or("", String::as_str);
            if paths::is_missing(program) {
                missing.entry(program).or_default().push(&ours.name);
            }
        }
        let installed = machine::small_program();
        let installed = installed.map_or("mcpool".into(), |path| path.display().to_string());
        let tell = |(program, names): (&str, Vec<&str>)| {
            let names = names.join(", ");
            let (what, next) = if program.contains('/') {
                (
                    format!(
                        "{client} would start {program} for {names}, as {file} says, and no such program is there"
                    ),
                    format!(
                        "name {installed} there; or, if import has written it, run: mcpool undo; then: \
                         mcpool import --apply"
                    ),
                )
            } else {
                (
                    format!(
                        "{client} would start `{program}` for {names}, as {file} says, and that is not on PATH"
                    ),
                    format!("name {installed} there, or put it on PATH"),
                )
            };
            Finding::problem(Check::Clients, what).next(next)
        };
        missing.into_iter().map(tell).collect()
    }

    /// Those that name a server which the configuration has not, if it is the one that they mean.
    fn of_unknown_servers(&self, patient: &Patient<'_>, client: &str, file: &str) -> Vec<Finding> {
        let Ok(config) = &patient.config else {
            return Vec::new();
        };
        if patient.installation == Installation::Named {
            return Vec::new();
        }
        let mean_it = self.ours.iter().filter(|ours| !ours.names_home);
        let unknown = mean_it.filter_map(|ours| {
            let server = named_server(&ours.words)?;
            let is_known = config.servers.contains_key(server.as_str());
            (!is_known).then_some((&ours.name, server))
        });
        let tell = |(entry, server): (&String, String)| {
            let what = format!(
                "{client} would start `mcpool connect {server}` for {entry}, as {file} says, and no server \
                 of that name is configured"
            );
            let next = format!("run: mcpool add {server} -- COMMAND; or remove it there");
            Finding::problem(Check::Clients, what).next(next)
        };
        unknown.map(tell).collect()
    }
}

/// The server of our configuration that this command line of `mcpool connect` names, if it names one.
fn named_server(words: &[String]) -> Option<String> {
    let behind_verb = words.iter().skip(2).map(Into::into);
    match arguments::parse(behind_verb) {
        // With a home of its own it has another configuration.
        Ok(Parsed::Connect(connect)) if connect.home.is_none() && connect.command.is_empty() => {
            Some(connect.server)
        }
        Ok(Parsed::Connect(_) | Parsed::Help) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_of_connect_names_a_server_or_brings_its_own() {
        for (line, expected) in [
            ("mcpool connect notes", Some("notes")),
            ("/opt/mcpool connect --scope session notes", Some("notes")),
            ("mcpool connect -- notes", None),
            ("mcpool connect --name notes -- npx", None),
            ("mcpool connect --home /elsewhere notes", None),
            ("mcpool connect ${NAME}", None),
            ("mcpool connect", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(named_server(&words).as_deref(), expected, "{line}");
        }
    }
}
