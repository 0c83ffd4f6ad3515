//! The clients' own files: whether they can be read, and whether what they say is in force.

use std::{collections::BTreeSet, io::ErrorKind};

use config::clients::{self, Entry, Kind};

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::{
    config_file,
    moving::{
        machine::{Found, Machine},
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
    let found = files
        .iter()
        .flat_map(|found| of_file(patient, &machine, found));
    let stale = stale.iter().map(|stale| {
        Finding::problem(Check::Clients, stale.what()).next(format!("run: {}", stale.mend()))
    });
    found.chain(stale).collect()
}

fn of_file(patient: &Patient<'_>, machine: &Machine, found: &Found) -> Vec<Finding> {
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
        Ok(entries) => outdated(patient, name, &entries),
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
