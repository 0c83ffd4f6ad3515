//! Addresses of mcpool for clients, and the servers that have to be configured for them.
//!
//! A command line does not go over TCP: the server that an address names is one of mcpool's own
//! configuration. So what an entry says of its server goes there, and the entry says where.
//!
//! **Invariant:** an address names a server that is what the entry was, or none is written.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, bail};
use config::{Config, HttpAuth, Server, ServerEntry, ServerName, clients::Foreign};
use daemon::http_addresses;
use shim::places::Places;
use tungstenite::http::Uri;

use super::{
    from::{self, Planned},
    machine::Machine,
    plan::{FilePlan, How},
};
use crate::config_file;

/// Where clients find mcpool, and which servers it has.
pub(crate) struct Http {
    address: SocketAddr,
    places: Places,
    /// The text of the configuration, and what it says.
    text: String,
    config: Config,
    /// Names of servers that are not in the configuration yet, and what they will be.
    claimed: RefCell<BTreeMap<ServerName, Server>>,
    /// Whether no more servers come into the configuration.
    is_settled: bool,
}

/// Where mcpool listens, or is to, by its configuration.
pub(crate) struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// None, where the configuration cannot be read.
    pub(crate) fn of(places: &Places) -> Self {
        let config = load(places).map(|(_, config)| config);
        Addresses(config.map_or_else(
            |_| Vec::new(),
            |config| http_addresses(&config.http, places),
        ))
    }

    /// Whether a URL is that of a server here, however it is spoken to.
    pub(super) fn have(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<Uri>() else {
            return false;
        };
        let usual_port = match uri.scheme_str() {
            Some("http" | "ws") => 80,
            Some("https" | "wss") => 443,
            Some(_) | None => return false,
        };
        let is_path_of_ours = ["/mcp", "/ws"].iter().any(|folder| {
            let below = uri.path().strip_prefix(folder);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        });
        let port = uri.port_u16().unwrap_or(usual_port);
        let host = uri.host().unwrap_or_default();
        let mut addresses = self.0.iter();
        is_path_of_ours
            && addresses.any(|address| address.port() == port && leads_to(host, address.ip()))
    }
}

/// Whether a host of a URL leads to who listens at this address of this machine.
fn leads_to(host: &str, listens: IpAddr) -> bool {
    let host = host.trim_matches(['[', ']']);
    let is_here = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    if host.eq_ignore_ascii_case("localhost") {
        return is_here(listens);
    }
    let Ok(address) = host.parse::<IpAddr>() else {
        return false;
    };
    address == listens
        // Who calls the unspecified address calls this machine.
        || address.is_unspecified() && is_here(listens)
        || listens.is_unspecified() && address.is_loopback()
}

impl Http {
    /// As the configuration has it.
    pub(crate) fn open(places: &Places) -> anyhow::Result<Self> {
        let (text, config) = load(places)?;
        if config.http.auth == Some(HttpAuth::Token) {
            bail!(
                "{} lets nobody in without the token (`[http] auth`), and none is written into \
                 clients' files; import without --http",
                places.config.display()
            );
        }
        let listens = config.http.listen.as_deref().unwrap_or_default();
        let is_secure = |address: &SocketAddr| {
            let mut listens = listens.iter();
            listens.any(|listen| listen.address == *address && listen.is_secure)
        };
        let addresses = http_addresses(&config.http, places);
        let mut usable = addresses.iter().filter(|address| {
            address.ip().is_loopback() && address.port() != 0 && !is_secure(address)
        });
        let address = *usable.next().with_context(|| {
            format!(
                "mcpool listens at no fixed address of this machine without TLS; name one in {}: \
                 `[http]` with `listen = [\"127.0.0.1:7665\"]`",
                places.config.display()
            )
        })?;
        Ok(Http {
            address,
            places: places.clone(),
            text,
            config,
            claimed: RefCell::default(),
            is_settled: false,
        })
    }

    /// The address of a server, for sessions of this project if it is of one.
    pub(super) fn url(&self, name: &ServerName, project: Option<&str>) -> String {
        let query = project.map_or_else(String::new, |project| {
            format!("?workspace={}", encoded(project))
        });
        format!("http://{}/mcp/{name}{query}", self.address)
    }

    /// Why a server cannot have this name, if it cannot.
    pub(super) fn refusal(&self, name: &ServerName, entry: &ServerEntry) -> Result<(), String> {
        let file = &self.places.config;
        let text = config::add_server("", file, name, entry).map_err(|error| error.to_string())?;
        let alone = config::load(&text, file).map_err(|error| error.to_string())?;
        let Some(wanted) = alone.servers.get(name) else {
            return Err("it cannot be configured".to_owned());
        };
        let mut claimed = self.claimed.borrow_mut();
        let known = self.config.servers.get(name).or_else(|| claimed.get(name));
        match known {
            Some(known) if from::starts_the_same(known, wanted) => Ok(()),
            Some(_) => Err(format!(
                "mcpool has a server named `{name}` already, with another command"
            )),
            None if self.is_settled => Err("it is not in the configuration of mcpool".to_owned()),
            None => {
                // Where servers are written in a way of their own, it may not come in.
                config::add_server(&self.text, file, name, entry)
                    .map_err(|error| error.to_string())?;
                claimed.insert(name.clone(), wanted.clone());
                Ok(())
            }
        }
    }

    /// What has to come into the configuration for these plans, if anything.
    pub(crate) fn additions<'p>(
        &self,
        plans: impl Iterator<Item = &'p FilePlan>,
        machine: &Machine,
    ) -> anyhow::Result<Option<Planned>> {
        let mut found: Vec<Foreign> = Vec::new();
        for adopted in plans.flat_map(|plan| &plan.adopted) {
            let How::Http { server, .. } = &adopted.how else {
                continue;
            };
            let is_known = self.config.servers.contains_key(&server.0)
                || found.iter().any(|other| other.name == adopted.name);
            if !is_known {
                found.push(Foreign {
                    name: adopted.name.clone(),
                    server: Ok((**server).clone()),
                });
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let planned = from::planned(Vec::new(), found, true, machine, &self.places)?;
        if let Some(left) = planned.added.left.first() {
            bail!("{} cannot be configured: {}", left.name, left.reason);
        }
        Ok(Some(planned))
    }

    /// The configuration is as it will be: what it has not is not to be had.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        (self.text, self.config) = load(&self.places)?;
        self.claimed.borrow_mut().clear();
        self.is_settled = true;
        Ok(())
    }
}

fn load(places: &Places) -> anyhow::Result<(String, Config)> {
    let text = config_file::read(&places.config)?;
    let config = config::load(&text, &places.config)?;
    Ok((text, config))
}

/// A path as it stands in the query of an address.
fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_an_address() {
        assert_eq!(encoded("/home/a_b/x-1.0~"), "/home/a_b/x-1.0~");
        assert_eq!(encoded("/a b/ü&c?"), "/a%20b/%C3%BC%26c%3F");
    }

    #[test]
    fn an_address_of_ours_is_known_however_it_is_written() {
        let is_ours =
            |listens: &str, url: &str| Addresses(vec![listens.parse().unwrap()]).have(url);
        for (listens, url) in [
            ("127.0.0.1:7001", "http://127.0.0.1:7001/mcp/a"),
            ("127.0.0.1:7001", "http://LOCALHOST:7001/mcp/a?workspace=/x"),
            ("127.0.0.1:9999", "http://127.0.0.1:9999/mcp"),
            (
                "127.0.0.1:9999",
                "http://127.0.0.1:9999/mcp?repo=${workspace}",
            ),
            ("127.0.0.1:7001", "ws://127.0.0.1:7001/ws/a"),
            ("127.0.0.1:7001", "ws://localhost:7001/mcp/a"),
            ("127.0.0.1:443", "https://localhost/mcp/a"),
            ("127.0.0.1:443", "wss://localhost/ws"),
            ("127.0.0.1:80", "http://me:pw@localhost/mcp/"),
            ("0.0.0.0:7001", "http://127.0.0.1:7001/mcp/a"),
            ("0.0.0.0:7001", "http://localhost:7001/mcp/a"),
            ("[::]:7001", "http://127.0.0.2:7001/mcp/a"),
            ("[::1]:7001", "http://localhost:7001/mcp/a"),
            ("[::1]:7001", "http://[0:0::1]:7001/mcp/a"),
            ("127.0.0.1:7001", "http://0.0.0.0:7001/mcp/a"),
            ("192.0.2.1:7001", "https://192.0.2.1:7001/mcp/a"),
        ] {
            assert!(is_ours(listens, url), "{listens}: {url}");
        }
        for (listens, url) in [
            ("127.0.0.1:7001", "http://127.0.0.1:7002/mcp/a"),
            ("127.0.0.1:7001", "http://127.0.0.2:7001/mcp/a"),
            ("127.0.0.1:7001", "http://127.0.0.1:7001/other"),
            ("127.0.0.1:7001", "http://127.0.0.1:7001/mcpool"),
            ("127.0.0.1:443", "http://127.0.0.1/mcp/a"),
            ("192.0.2.1:7001", "http://localhost:7001/mcp/a"),
            ("0.0.0.0:7001", "http://x.example:7001/mcp/a"),
            ("0.0.0.0:7001", "http://192.0.2.1:7001/mcp/a"),
            ("127.0.0.1:7001", "ftp://127.0.0.1:7001/mcp/a"),
            ("127.0.0.1:7001", "127.0.0.1:7001/mcp/a"),
        ] {
            assert!(!is_ours(listens, url), "{listens}: {url}");
        }
    }
}
