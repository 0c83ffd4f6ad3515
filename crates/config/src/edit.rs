//! Adding a server to a configuration file, or taking one out.
//!
//! The edit is a splice of whole lines; where they stand is read off a parsed
//! document. So comments, order, blank lines and line ends of all else stay as
//! they are, byte for byte.
//!
//! **Invariant:** what is returned has been parsed again and says what the old
//! text said, but for the one server. Anything else is an error and no text.

mod lines;

use std::{collections::BTreeMap, fmt, ops::Range, path::Path};

use thiserror::Error;
use toml_edit::{Array, Document, InlineTable, Item, Key, Table, Value};

use crate::{
    EnvPattern, LoadError, Scope, ServerName,
    load::{self, load_unfinished},
};

/// What `mcpool add` writes down of a server.
///
/// The texts are templates: `${NAME}` in them is filled for each session.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerEntry {
    /// The program; empty if the server runs already.
    pub command: String,
    /// Where it runs then.
    pub url: Option<String>,
    /// Headers that it is sent there.
    pub headers: BTreeMap<String, String>,
    /// The certificates that vouch for it.
    pub ca_cert: Option<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// Variables to set.
    pub env: BTreeMap<String, String>,
    /// Variables to pass from the session's environment.
    pub env_pass: Vec<EnvPattern>,
    /// Where the server starts.
    pub cwd: Option<String>,
    /// How widely it is shared; `None` leaves it to the default.
    pub scope: Option<Scope>,
}

/// Why a configuration file was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// The file has an error that must be mended first.
    #[error("{0}")]
    Unreadable(#[from] LoadError),
    /// A server of this name exists.
    #[error(
        "a server named `{name}` is configured already; remove it first: `mcpool remove {name}`"
    )]
    Exists {
        /// The name.
        name: ServerName,
    },
    /// No server has this name.
    #[error("no server named `{name}` is configured{}", Known(.known))]
    Missing {
        /// The name as asked for.
        name: String,
        /// The names of those that are.
        known: Vec<String>,
    },
    /// An address is the server's alone.
    #[error("`{key}` names `{name}`; take that out of the file first")]
    Addressed {
        /// The server that was to be removed.
        name: String,
        /// Where it is named, for example `http.listen[1].server`.
        key: String,
    },
    /// The new server is not one that could be loaded.
    #[error("{key}: {message}")]
    Entry {
        /// The key that is wrong, for example `servers.github.args[1]`.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// The file's form leaves no line of its own to the server.
    #[error(
        "`servers` is written in braces here, which only a person can edit; write `[servers.{name}]` tables instead"
    )]
    Inline {
        /// The server that was to be added or removed.
        name: String,
    },
    /// The result would have said something else than meant.
    #[error("the file cannot be changed automatically; edit `[servers.{name}]` by hand")]
    ByHand {
        /// The server that was to be added or removed.
        name: String,
    },
}

/// The text with one more server at its end.
pub fn add_server(
    text: &str,
    file: &Path,
    name: &ServerName,
    entry: &ServerEntry,
) -> Result<String, EditError> {
    let before = load_unfinished(text, file)?;
    if before.servers.contains_key(name) {
        return Err(EditError::Exists { name: name.clone() });
    }
    let document = load::parse(text, file)?;
    refuse_braces(&document, name.as_str())?;

    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut edited = text.to_owned();
    if !text.is_empty() {
        if !text.ends_with('\n') {
            edited.push_str(newline);
        }
        edited.push_str(newline);
    }
    let block = block(name, entry, newline);
    edited.push_str(&block);

    let mut after = load_unfinished(&edited, file).map_err(|error| refusal(name, error))?;
    let alone = load_unfinished(&block, file).map_err(|error| refusal(name, error))?;
    let added = after.servers.remove(name);
    if added.is_none() || added.as_ref() != alone.servers.get(name) || after != before {
        return Err(EditError::ByHand {
            name: name.to_string(),
        });
    }
    Ok(edited)
}

/// The text without the lines of one server.
///
/// The comment directly above a server goes with it, unless it opens the file.
/// A file with errors in other servers can still be edited, so that a server
/// which cannot be loaded can be removed.
pub fn remove_server(text: &str, file: &Path, name: &str) -> Result<String, EditError> {
    without_server(text, file, name, lines::without)
}

/// The text without what it says of one server, and with every comment.
///
/// For a server that nobody has written by hand: the comments are somebody's. One that has no
/// statement before it on its line any more has the line to itself.
pub fn take_out_server(text: &str, file: &Path, name: &str) -> Result<String, EditError> {
    without_server(text, file, name, lines::without_statements)
}

fn without_server(
    text: &str,
    file: &Path,
    name: &str,
    without: fn(&str, &[Range<usize>]) -> String,
) -> Result<String, EditError> {
    let document = load::parse(text, file)?;
    let Some(servers) = document.get("servers").and_then(Item::as_table_like) else {
        return Err(EditError::Missing {
            name: name.to_owned(),
            known: Vec::new(),
        });
    };
    let Some(server) = servers.get(name) else {
        let known = servers.iter().map(|(name, _)| name.to_owned()).collect();
        return Err(EditError::Missing {
            name: name.to_owned(),
            known,
        });
    };
    refuse_braces(&document, name)?;
    if let Some(key) = load::address_of_server(&document, name) {
        let name = name.to_owned();
        return Err(EditError::Addressed { name, key });
    }

    let key = servers.get_key_value(name).and_then(|(key, _)| key.span());
    let edited = without(text, &lines::statements(key, server));

    let by_hand = || EditError::ByHand {
        name: name.to_owned(),
    };
    let after = Document::parse(edited.as_str()).map_err(|_| by_hand())?;
    let before = Meaning::of_file(document.as_table(), Some(name));
    if Meaning::of_file(after.as_table(), None) != before {
        return Err(by_hand());
    }
    Ok(edited)
}

fn refuse_braces(document: &Document<&str>, name: &str) -> Result<(), EditError> {
    match document.get("servers") {
        Some(item) if item.is_value() => Err(EditError::Inline {
            name: name.to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Why a text that loaded before does not load with the new server in it.
fn refusal(name: &ServerName, error: LoadError) -> EditError {
    if error.key.is_empty() {
        EditError::ByHand {
            name: name.to_string(),
        }
    } else {
        EditError::Entry {
            key: error.key,
            message: error.message,
        }
    }
}

/// The new server as it is written into the file.
fn block(name: &ServerName, entry: &ServerEntry, newline: &str) -> String {
    let strings = |texts: Vec<&str>| Value::from(texts.into_iter().collect::<Array>());
    let mut block = format!(
        "[servers.{}]{newline}",
        Key::new(name.as_str()).display_repr()
    );
    // Line by line, because a line end within a string is part of what it says.
    let mut set = |key: &str, value: Value| block.extend([key, " = ", &value.to_string(), newline]);
    let table = |pairs: &BTreeMap<String, String>| {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str()));
        Value::from(pairs.collect::<InlineTable>())
    };
    match &entry.url {
        Some(url) => set("url", Value::from(url.as_str())),
        None => set("command", Value::from(entry.command.as_str())),
    }
    if !entry.headers.is_empty() {
        set("headers", table(&entry.headers));
    }
    if let Some(ca_cert) = &entry.ca_cert {
        set("ca_cert", Value::from(ca_cert.as_str()));
    }
    if !entry.args.is_empty() {
        set(
            "args",
            strings(entry.args.iter().map(String::as_str).collect()),
        );
    }
    if !entry.env.is_empty() {
        set("env", table(&entry.env));
    }
    if !entry.env_pass.is_empty() {
        set(
            "env_pass",
            strings(entry.env_pass.iter().map(EnvPattern::as_str).collect()),
        );
    }
    if let Some(cwd) = &entry.cwd {
        set("cwd", Value::from(cwd.as_str()));
    }
    if let Some(scope) = entry.scope {
        set("scope", Value::from(scope.as_str()));
    }
    block
}

/// What a value says, apart from how it is written.
#[derive(Debug, PartialEq)]
enum Meaning {
    Table(BTreeMap<String, Meaning>),
    List(Vec<Meaning>),
    Scalar(String),
}

impl Meaning {
    /// Of a whole file, without the server `left_out`.
    fn of_file(table: &Table, left_out: Option<&str>) -> Self {
        let said = table.iter().filter_map(|(key, item)| {
            let servers = item.as_table().filter(|_| key == "servers");
            let Some(servers) = servers else {
                return Some((key.to_owned(), Meaning::of(item)));
            };
            let rest = servers.iter().filter(|(name, _)| Some(*name) != left_out);
            let rest = Meaning::of_members(rest);
            // Without its last server, the table may go.
            (rest != Meaning::Table(BTreeMap::new())).then(|| (key.to_owned(), rest))
        });
        Meaning::Table(said.collect())
    }

    fn of_members<'t>(members: impl Iterator<Item = (&'t str, &'t Item)>) -> Self {
        Meaning::Table(
            members
                .map(|(key, item)| (key.to_owned(), Meaning::of(item)))
                .collect(),
        )
    }

    fn of(item: &Item) -> Self {
        if let Some(table) = item.as_table_like() {
            return Meaning::of_members(table.iter());
        }
        match item {
            Item::Value(value) => Meaning::of_value(value),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().map(|table| Meaning::of_members(table.iter()));
                Meaning::List(tables.collect())
            }
            Item::None | Item::Table(_) => Meaning::List(Vec::new()),
        }
    }

    fn of_value(value: &Value) -> Self {
        Meaning::Scalar(match value {
            Value::String(text) => format!("{:?}", text.value()),
            Value::Integer(number) => number.value().to_string(),
            Value::Float(number) => format!("{:?}", number.value()),
            Value::Boolean(truth) => truth.value().to_string(),
            Value::Datetime(moment) => moment.value().to_string(),
            Value::Array(array) => {
                return Meaning::List(array.iter().map(Meaning::of_value).collect());
            }
            Value::InlineTable(table) => {
                let members = table.iter();
                return Meaning::Table(
                    members
                        .map(|(key, value)| (key.to_owned(), Meaning::of_value(value)))
                        .collect(),
                );
            }
        })
    }
}

impl fmt::Debug for ServerEntry {
    /// Names what is set and hides the texts, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerEntry")
            .field("headers", &self.headers.keys())
            .field("env", &self.env.keys())
            .field("env_pass", &self.env_pass)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Ends a message with the names that would have been right.
struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "; configured are {}", self.0.join(", "))
    }
}

#[cfg(test)]
mod tests;
