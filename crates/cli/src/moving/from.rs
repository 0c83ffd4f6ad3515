//! Servers of other systems, into the configuration of mcpool.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use config::{
    Scope, ServerEntry, ServerName,
    clients::{self, Foreign, Grammar, Value},
};
use serde::Serialize;
use shim::places::Places;

use super::{
    diff,
    journal::{Journal, Row, SavedStep, digest},
    machine::Machine,
    plan::Left,
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
    has_secrets: bool,
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

impl Source {
    /// The files of this system that are there.
    fn files(&self, machine: &Machine) -> anyhow::Result<Vec<PathBuf>> {
        let home = clients::Machine::home(machine);
        let variable = |name| clients::Machine::variable(machine, name);
        let candidates = match self {
            Source::File(path) => return Ok(vec![path.clone()]),
            Source::McpProxy => {
                let mut profiles: Vec<PathBuf> = fs::read_dir(home.join(".punt-labs/mcp-proxy"))
                    .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                    .unwrap_or_default();
                profiles.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
                profiles.sort();
                profiles
            }
            Source::SmartMcpProxy => match variable("MCPPROXY_CONFIG_PATH") {
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
                "nothing of it is found here{}; give the file itself: --from FILE",
                if looked.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", looked.join(", "))
                }
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
    for path in &read {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let unparsed = || format!("{} cannot be parsed", path.display());
        if *source == Source::CodeIntelligence {
            found.push(code_intelligence(&text).with_context(unparsed)?);
        } else {
            found.extend(clients::foreign(&text, grammar(path)).with_context(unparsed)?);
        }
    }
    if *source == Source::CodeIntelligence && read.is_empty() {
        found.push(code_intelligence("")?);
    }
    found.retain(|foreign| servers.is_empty() || servers.contains(&foreign.name));
    planned(read, found, machine, places)
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
        Some(Value::Map(_) | Value::List(_)) | None => None,
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
pub(super) fn planned(
    read: Vec<PathBuf>,
    found: Vec<Foreign>,
    machine: &Machine,
    places: &Places,
) -> anyhow::Result<Planned> {
    let before = config_file::read(&places.config)?;
    let mut added = Added {
        read,
        servers: Vec::new(),
        left: Vec::new(),
        config: places.config.clone(),
        becomes_private: false,
        diff: String::new(),
    };
    let mut has_secrets = false;
    let after = added.add_all(&before, found, places, &mut has_secrets);
    added.becomes_private = has_secrets
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
        has_secrets,
    })
}

impl Added {
    fn add_all(
        &mut self,
        before: &str,
        found: Vec<Foreign>,
        places: &Places,
        has_secrets: &mut bool,
    ) -> String {
        let mut text = before.to_owned();
        for Foreign { name, server } in found {
            let with = server.and_then(|(name, entry)| {
                add(&text, &name, &entry, places).map(|with| (with, may_be_secret(&entry)))
            });
            match with {
                Ok((with, is_secret)) => {
                    *has_secrets |= is_secret;
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

/// Writes the configuration as planned, if it is as it was.
pub(crate) fn apply(
    planned: &Planned,
    places: &Places,
    journal: &mut Journal,
) -> anyhow::Result<()> {
    let names = planned.added.servers.iter();
    let row = Row {
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
    if planned.has_secrets {
        config_file::edit_private(&places.config, change)
    } else {
        config_file::edit(&places.config, change)
    }
}

/// The configuration without the servers of a row.
pub(crate) fn without(text: &str, row: &Row) -> anyhow::Result<(String, Vec<String>)> {
    let mut text = text.to_owned();
    let mut names = Vec::new();
    for entry in &row.entries {
        let Some(SavedStep::Key(name)) = entry.last() else {
            continue;
        };
        match config::remove_server(&text, &row.path, name) {
            Ok(without) => {
                text = without;
                names.push(name.clone());
            }
            // Somebody has removed it already.
            Err(config::EditError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((text, names))
}
