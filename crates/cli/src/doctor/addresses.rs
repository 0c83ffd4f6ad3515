//! Addresses of mcpool in the files of clients: whether it listens there, and has the server.
//!
//! No client starts mcpool for an address, so one that leads nowhere is a server that its sessions do without.

use std::collections::{BTreeMap, BTreeSet};

use config::clients::{self, Entry};
use shim::lock;

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::{
    config_file,
    moving::{
        journal,
        machine::{Found, Machine},
    },
    service,
};

/// What clients' files say of addresses of mcpool.
#[derive(Default)]
struct Named {
    /// By the address, servers and the clients that name them.
    servers: BTreeMap<String, BTreeMap<String, BTreeSet<&'static str>>>,
}

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let (Ok(machine), Ok(config)) = (Machine::this(), &patient.config) else {
        return Vec::new();
    };
    let configured = daemon::http_addresses(&config.http, patient.places);
    let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
    let named = Named::in_files(&machine, patient, &configured);
    if named.servers.is_empty() {
        return Vec::new();
    }
    let listening: Option<Vec<String>> = match &patient.status {
        Some(status) => {
            let daemon = status.daemon.as_ref();
            daemon.map(|daemon| daemon.http.addresses.clone())
        }
        // A daemon that does not answer may be there, which another check tells.
        None if !matches!(lock::holder(&patient.places.lock), Ok(None)) => return Vec::new(),
        None => service::listens(patient.places)
            .map(|addresses| addresses.iter().map(ToString::to_string).collect()),
    };
    let mut findings = Vec::new();
    for (address, servers) in named.servers {
        let silence = match &listening {
            Some(listening) if listening.contains(&address) => None,
            // A daemon that is started listens at what is configured, also where no service does for it.
            Some(_) if patient.status.is_some() || !configured.contains(&address) => {
                Some(Silence::Elsewhere)
            }
            Some(_) | None => Some(Silence::NotRunning),
        };
        if let Some(silence) = silence {
            findings.push(unheard(&address, &servers, silence));
            continue;
        }
        let is_unknown = |name: &str| {
            let mut known = config.servers.keys();
            !known.any(|server| server.as_str() == name)
        };
        let unknown = servers.iter().filter(|(name, _)| is_unknown(name));
        findings.extend(unknown.map(|(name, clients)| {
            let what = format!(
                "{} would find `{name}` at http://{address}/mcp/{name}, and no server of that name is \
                 configured",
                shown(clients)
            );
            let next = format!("run: mcpool add {name} -- COMMAND; or remove it there");
            Finding::problem(Check::Ports, what).next(next)
        }));
    }
    findings
}

/// Why nobody listens at an address.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// mcpool listens at others.
    Elsewhere,
    NotRunning,
}

/// Nobody listens at this address.
fn unheard(
    address: &str,
    servers: &BTreeMap<String, BTreeSet<&'static str>>,
    silence: Silence,
) -> Finding {
    let clients: BTreeSet<&str> = servers.values().flatten().copied().collect();
    let names: Vec<&str> = servers.keys().map(String::as_str).collect();
    let (why, next) = match silence {
        Silence::Elsewhere => (
            "mcpool does not listen there",
            "name it with `listen` in [http] and run: mcpool stop; or take the addresses back: mcpool undo",
        ),
        Silence::NotRunning => (
            "mcpool does not run, which no client starts for an address",
            "run: mcpool service install; where there is no service manager, have mcpool serve run, or a \
             session over stdio",
        ),
    };
    let what = format!(
        "{} would find {} at http://{address}, and {why}",
        shown(&clients),
        names.join(", ")
    );
    Finding::problem(Check::Ports, what).next(next)
}

fn shown(clients: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = clients.iter().copied().collect();
    names.join(", ")
}

impl Named {
    /// Those that mcpool is to listen at by its configuration, and those that import has written.
    fn in_files(machine: &Machine, patient: &Patient<'_>, configured: &[String]) -> Self {
        let rows = journal::rows(&patient.places.state).unwrap_or_default();
        let urls = rows.into_iter().flat_map(|row| row.urls);
        let written: BTreeSet<String> = urls.map(|saved| saved.url).collect();
        let mut named = Named::default();
        for found in machine.files(clients::ALL) {
            named.add_file(&found, |url, address| {
                written.contains(url) || configured.iter().any(|it| it == address)
            });
        }
        named
    }

    fn add_file(&mut self, found: &Found, is_ours: impl Fn(&str, &str) -> bool) {
        let text = config_file::read_file(&found.path).unwrap_or_default();
        let client = found.client;
        let (Ok(tree), Ok(entries)) = (client.grammar.read(&text), clients::survey(&text, client))
        else {
            return;
        };
        let is_on = |entry: &&Entry| !tree.at(&entry.at).is_some_and(clients::is_off);
        for entry in entries.iter().filter(is_on) {
            let Some(url) = clients::address(&tree, entry, client) else {
                continue;
            };
            let Some((address, server)) = parts(url) else {
                continue;
            };
            if is_ours(url, address) {
                let servers = self.servers.entry(address.to_owned()).or_default();
                let clients = servers.entry(server.to_owned()).or_default();
                clients.insert(client.name);
            }
        }
    }
}

/// The address and the server of a URL of ours; `None` if it is none.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (address, rest) = url.strip_prefix("http://")?.split_once("/mcp/")?;
    let server = rest.split(['?', '#', '/']).next()?;
    Some((address, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_ours_names_an_address_and_a_server() {
        for (url, expected) in [
            ("http://127.0.0.1:7665/mcp/a", Some(("127.0.0.1:7665", "a"))),
            ("http://[::1]:1/mcp/a?workspace=/x", Some(("[::1]:1", "a"))),
            ("https://example.com/mcp", None),
            ("ws://127.0.0.1:7665/ws/a", None),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }
}
