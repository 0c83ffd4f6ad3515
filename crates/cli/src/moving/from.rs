//! Servers of other systems, into the configuration of mcpool.

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use config::{
    Config, Scope, Server, ServerEntry, ServerName,
    clients::{self, Foreign, Grammar, Node, Step, Value},
};
use serde::Serialize;
use shim::places::Places;

use super::{
    diff,
    http::Addresses,
    journal::{Journal, Row, SavedStep, digest},
    machine::Machine,
    plan::Left,
    undo::Released,
    veil,
};
use crate::config_file;

/// The word of our own configuration in the journal.
pub(crate) const OURS: &str = "mcpool";

/// What the address of code-intelligence ends with: what a session is about.
const REPOSITORY: &str = "?repo=${workspace}";

/// Where servers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Profiles of mcp-proxy: a file each.
    McpProxy,
    /// smart-mcp-proxy, which `MCPPROXY_CONFIG_PATH` tells where its file is.
    SmartMcpProxy,
    /// mcpproxy.
    Mcpproxy,
    /// aitkit, with a smart-mcp-proxy in it.
    Aitkit,
    /// The daemon of code-intelligence.
    CodeIntelligence,
    /// Any file with servers.
    File(PathBuf),
}

/// What would be added to the configuration, or was.
#[derive(Debug, Serialize)]
pub(crate) struct Added {
    /// The files that were read.
    pub(crate) read: Vec<PathBuf>,
    pub(crate) servers: Vec<String>,
    /// Those that are in it already, and are the same.
    pub(crate) same: Vec<String>,
    pub(crate) left: Vec<Left>,
    pub(crate) config: PathBuf,
    /// Whether others may read the configuration, and may not with what comes into it.
    pub(crate) becomes_private: bool,
    /// Without values of variables.
    pub(crate) diff: String,
}

/// A configuration with more servers.
pub(crate) struct Planned {
    pub(crate) added: Added,
    before: String,
    after: String,
    is_private: bool,
}

impl From<String> for Source {
    fn from(word: String) -> Self {
        match word.as_str() {
            "mcp-proxy" => Source::McpProxy,
            "smart-mcp-proxy" => Source::SmartMcpProxy,
            "mcpproxy" => Source::Mcpproxy,
            "aitkit" => Source::Aitkit,
            "code-intelligence" => Source::CodeIntelligence,
            _ => Source::File(PathBuf::from(word)),
        }
    }
}

/// The variable of smart-mcp-proxy that means something here.
const CONFIG_PATH: &str = "MCPPROXY_CONFIG_PATH";

/// The variables of this environment that meant something to a system, and mean nothing to us.
pub(crate) fn meaningless(source: &Source) -> Vec<String> {
    if ![Source::SmartMcpProxy, Source::Aitkit].contains(source) {
        return Vec::new();
    }
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let is_theirs = |name: &String| {
        let rest = name.strip_prefix("MCPPROXY_");
        rest.is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        })
    };
    let mut names: Vec<String> = names
        .filter(|name| is_theirs(name) && name != CONFIG_PATH)
        .collect();
    names.sort();
    names
}

impl Source {
    /// The files of this system that are there.
    fn files(&self, machine: &Machine) -> anyhow::Result<Vec<PathBuf>> {
        let home = clients::Machine::home(machine);
        let variable = |name| clients::Machine::variable(machine, name);
        let candidates = match self {
            Source::File(path) => return Ok(vec![path.clone()]),
            Source::McpProxy => {
                let folder = home.join(".punt-labs/mcp-proxy");
                let mut profiles: Vec<PathBuf> = fs::read_dir(&folder)
                    .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                    .unwrap_or_default();
                profiles.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
                profiles.sort();
                if profiles.is_empty() {
                    profiles.push(folder.join("*.toml"));
                }
                profiles
            }
            Source::SmartMcpProxy => match variable(CONFIG_PATH) {
                Some(path) => vec![path],
                None => ["mcp_config.json", "mcp_proxy_config.json"]
                    .map(PathBuf::from)
                    .to_vec(),
            },
            Source::Mcpproxy => vec![home.join(".mcpproxy/mcp_config.json")],
            Source::Aitkit => {
                let root = variable("AITKIT_ROOT").unwrap_or_else(|| home.join(".aitkit"));
                vec![root.join("lib/mcpproxy/mcp_proxy_config.json")]
            }
            Source::CodeIntelligence => {
                let folder = home.join(".code-intelligence");
                let settings = folder.join("server.toml");
                // Without settings it is where it usually is.
                if folder.is_dir() && !settings.exists() {
                    return Ok(Vec::new());
                }
                vec![settings]
            }
        };
        let there: Vec<PathBuf> = candidates
            .iter()
            .filter(|path| path.is_file())
            .cloned()
            .collect();
        if there.is_empty() {
            let looked: Vec<String> = candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            bail!(
                "nothing of it is found here ({}); give the file itself: --from FILE",
                looked.join(", ")
            );
        }
        Ok(there)
    }
}

/// By the ending; what has none is JSON.
fn grammar(path: &Path) -> Grammar {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Grammar::Toml,
        Some("yaml" | "yml") => Grammar::Yaml,
        _ => Grammar::Jsonc,
    }
}

/// What is to become of the configuration.
pub(crate) fn plan(
    source: &Source,
    servers: &[String],
    machine: &Machine,
    places: &Places,
) -> anyhow::Result<Planned> {
    let read = source.files(machine)?;
    let mut found: Vec<Foreign> = Vec::new();
    let mut without: Vec<String> = Vec::new();
    for path in &read {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let unparsed = || format!("{} cannot be parsed", path.display());
        if *source == Source::CodeIntelligence {
            found.push(code_intelligence(&text).with_context(unparsed)?);
        } else {
            match clients::foreign(&text, grammar(path)).with_context(unparsed)? {
                Some(servers) => found.extend(servers),
                None => without.push(path.display().to_string()),
            }
        }
    }
    // Of several files, one may be for something else.
    if !without.is_empty() && without.len() == read.len() {
        bail!(
            "{} has no servers: neither `mcpServers` nor a profile with a `url` is in it; the file \
             of a client is for `mcpool import --client CLIENT`",
            without.join(", ")
        );
    }
    if *source == Source::CodeIntelligence && read.is_empty() {
        found.push(code_intelligence("")?);
    }
    let is_there = |name: &String| found.iter().any(|foreign| foreign.name == *name);
    let unknown: Vec<&str> = servers
        .iter()
        .filter(|name| !is_there(name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        bail!(
            "no server named {} is there; without --server all are shown",
            unknown.join(", ")
        );
    }
    found.retain(|foreign| servers.is_empty() || servers.contains(&foreign.name));
    let addresses = Addresses::of(places);
    for Foreign { server, .. } in &mut found {
        if let Ok((_, ServerEntry { url: Some(url), .. })) = server
            && addresses.have(url)
        {
            *server = Err(clients::THROUGH_MCPOOL.to_owned());
        }
    }
    planned(read, found, false, machine, places)
}

/// Its daemon, which is told in the address what repository a session is about.
fn code_intelligence(settings: &str) -> anyhow::Result<Foreign> {
    const NAME: &str = "code-intelligence";
    let tree = Grammar::Toml.read(settings)?;
    let server = tree.get("server");
    let said = |key: &str| match server
        .and_then(|server| server.get(key))
        .map(|node| &node.value)
    {
        Some(Value::Text(text) | Value::Other(text)) => Some(text.clone()),
        Some(Value::Map(_) | Value::List(_) | Value::Half(_)) | None => None,
    };
    let host = said("host").unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = said("port").unwrap_or_else(|| "17800".to_owned());
    let entry = ServerEntry {
        url: Some(format!("http://{host}:{port}/mcp{REPOSITORY}")),
        scope: Some(Scope::Workspace),
        ..ServerEntry::default()
    };
    Ok(Foreign {
        name: NAME.to_owned(),
        server: Ok((NAME.parse()?, entry)),
    })
}

/// What becomes of the configuration when these come into it, which were read in these files.
///
/// It becomes its owner's alone if that is wanted, or if what may be a secret comes into it.
pub(super) fn planned(
    read: Vec<PathBuf>,
    found: Vec<Foreign>,
    is_private: bool,
    machine: &Machine,
    places: &Places,
) -> anyhow::Result<Planned> {
    let before = config_file::read(&places.config)?;
    config::load_unfinished(&before, &places.config)?;
    let mut added = Added {
        read,
        servers: Vec::new(),
        same: Vec::new(),
        left: Vec::new(),
        config: places.config.clone(),
        becomes_private: false,
        diff: String::new(),
    };
    let mut is_private = is_private;
    let after = added.add_all(&before, found, places, &mut is_private);
    added.becomes_private = is_private
        && fs::metadata(&places.config).is_ok_and(|metadata| metadata.mode() & 0o077 != 0);
    if after != before {
        added.diff = diff::unified(
            &machine.shown(&places.config),
            &before,
            &after,
            Grammar::Toml,
        );
    }
    Ok(Planned {
        added,
        before,
        after,
        is_private,
    })
}

impl Added {
    fn add_all(
        &mut self,
        before: &str,
        found: Vec<Foreign>,
        places: &Places,
        is_private: &mut bool,
    ) -> String {
        let mut text = before.to_owned();
        for Foreign { name, server } in found {
            if let Ok((server_name, entry)) = &server
                && has_same(&text, server_name, entry, places)
            {
                self.same.push(name);
                continue;
            }
            let with = server.and_then(|(name, entry)| {
                add(&text, &name, &entry, places).map(|with| (with, may_be_secret(&entry)))
            });
            match with {
                Ok((with, is_secret)) => {
                    *is_private |= is_secret;
                    text = with;
                    self.servers.push(name);
                }
                Err(reason) => self.left.push(Left {
                    name,
                    project: None,
                    reason,
                }),
            }
        }
        text
    }
}

/// Whether an entry has something in it that is not to be read by others.
fn may_be_secret(entry: &ServerEntry) -> bool {
    let mut values = entry.env.values().chain(entry.headers.values());
    values.any(|value| veil::value(value) != *value)
        || veil::words(&entry.args) != entry.args
        || entry.url.as_deref().is_some_and(|url| {
            let url = url.strip_suffix(REPOSITORY).unwrap_or(url);
            config::shown_address(url) != url
        })
}

fn add(
    text: &str,
    name: &ServerName,
    entry: &ServerEntry,
    places: &Places,
) -> Result<String, String> {
    config::add_server(text, &places.config, name, entry).map_err(|error| error.to_string())
}

/// Whether a configuration has this server already, however it is served there.
fn has_same(text: &str, name: &ServerName, entry: &ServerEntry, places: &Places) -> bool {
    let known = config::load_unfinished(text, &places.config).ok();
    let alone = add("", name, entry, places).ok();
    let wanted = alone.and_then(|alone| config::load(&alone, &places.config).ok());
    let server = |config: Option<Config>| config.and_then(|mut it| it.servers.remove(name));
    let (known, wanted) = (server(known), server(wanted));
    known
        .zip(wanted)
        .is_some_and(|(known, wanted)| starts_the_same(&known, &wanted))
}

/// Whether two servers start the same, whoever is served by them.
pub(super) fn starts_the_same(one: &Server, other: &Server) -> bool {
    one.command == other.command
        && one.args == other.args
        && one.env == other.env
        && one.cwd == other.cwd
        && one.remote == other.remote
}

/// Writes the configuration as planned, if it is as it was.
pub(crate) fn apply(
    planned: &Planned,
    places: &Places,
    journal: &mut Journal,
) -> anyhow::Result<()> {
    let names = planned.added.servers.iter();
    let digests = names.clone().map(|name| said(&planned.after, name));
    let row = Row {
        digests: digests.collect::<Option<_>>().unwrap_or_default(),
        mode: fs::metadata(&places.config)
            .ok()
            .filter(|_| planned.is_private)
            .map(|metadata| metadata.mode() & 0o7777),
        client: OURS.to_owned(),
        path: places.config.clone(),
        before: digest(planned.before.as_bytes()),
        after: digest(planned.after.as_bytes()),
        entries: names
            .map(|name| {
                let steps = ["servers".to_owned(), name.clone()];
                steps.map(SavedStep::Key).to_vec()
            })
            .collect(),
        is_new: !places.config.try_exists()?,
        ..Row::default()
    };
    let change = |now: &str| {
        if now != planned.before {
            return Err(io::Error::other("it has changed meanwhile; run this again"));
        }
        let _is_new = journal
            .announce(row, now.as_bytes())
            .map_err(io::Error::other)?;
        Ok(planned.after.clone())
    };
    if planned.is_private {
        config_file::edit_private(&places.config, change)
    } else {
        config_file::edit(&places.config, change)
    }
}

/// The configuration without the servers of a row, and their names. One that somebody has
/// rewritten since stays, and so does one whose address is named.
pub(crate) fn without(
    text: &str,
    row: &Row,
    named: &[String],
) -> anyhow::Result<(String, Released)> {
    let mut text = text.to_owned();
    let mut released = Released::default();
    for (index, entry) in row.entries.iter().enumerate() {
        let Some(SavedStep::Key(name)) = entry.last() else {
            continue;
        };
        let (now, added) = (said(&text, name), row.digests.get(index));
        if now
            .as_ref()
            .zip(added)
            .is_some_and(|(now, added)| now != added)
        {
            released.kept.push(name.clone());
            continue;
        }
        if now.is_some() && named.iter().any(|url| names(url, name)) {
            released.stuck.push(format!(
                "clients still name the address of {name}; undo their files first"
            ));
            continue;
        }
        match config::take_out_server(&text, &row.path, name) {
            Ok(without) => {
                text = without;
                released.servers.push(name.clone());
            }
            // Somebody has removed it already.
            Err(config::EditError::Missing { .. }) => {}
            // Somebody has given it an address of its own since.
            Err(config::EditError::Addressed { .. }) => released.kept.push(name.clone()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((text, released))
}

/// Whether one of these addresses is that of a server of a row.
pub(crate) fn is_named(row: &Row, named: &[String]) -> bool {
    let names_it = |at: &Vec<SavedStep>| match at.last() {
        Some(SavedStep::Key(name)) => named.iter().any(|url| names(url, name)),
        Some(SavedStep::Index(_)) | None => false,
    };
    row.entries.iter().any(names_it)
}

/// Whether an address of ours is that of a server.
fn names(url: &str, server: &str) -> bool {
    let path = url.split('?').next().unwrap_or(url);
    let name = path.rsplit_once("/mcp/").map(|(_, name)| name);
    name == Some(server)
}

/// The digest of what a configuration says of a server, however it is written.
fn said(text: &str, name: &str) -> Option<String> {
    let tree = Grammar::Toml.read(text).ok()?;
    let entry = tree.at(&["servers", name].map(|key| Step::Key(key.to_owned())))?;
    Some(digest(json(entry).to_string().as_bytes()))
}

/// The same in JSON, whose members have an order of their own.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Text(text) => text.as_str().into(),
        // A number is none of JSON's, and no text either.
        Value::Other(raw) | Value::Half(raw) => serde_json::json!({ "": raw }),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(members) => members
            .iter()
            .map(|member| (member.key.clone(), json(&member.node)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_the_same_however_it_is_written_and_another_when_it_says_more() {
        let one = said("[servers.a]\ncommand = \"x\"\nmax = 1\n", "a");
        assert!(one.is_some());
        let same = "# mine\n[servers]\na = { max = 1, command = 'x' }\n";
        assert_eq!(said(same, "a"), one);
        for other in [
            "[servers.a]\ncommand = \"x\"\nmax = \"1\"\n",
            "[servers.a]\ncommand = \"x\"\nmax = 1\n[servers.a.env]\nA = \"b\"\n",
        ] {
            assert_ne!(said(other, "a"), one, "{other}");
        }
        assert_eq!(said(same, "b"), None);
    }
}
