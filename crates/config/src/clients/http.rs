//! Entries that name an address of mcpool, in the place of a command line.
//!
//! Over HTTP nothing of a client's environment comes along, and nobody fills in its variables. So
//! only an entry that says all of its server can become one, and its server goes into the
//! configuration of mcpool.

use std::{collections::BTreeMap, mem};

use thiserror::Error;

use super::{
    grammar::{Added, Change, Grammar, comment_behind},
    shape::Client,
    survey::{self, CommandAt, Entry, Local},
    tree::{Member, Node, Step, Style, Value},
};
use crate::{ServerEntry, ServerName, ServerNameError};

/// What a client's entry looks like whose server is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpShape {
    /// The member with the address.
    pub address: &'static str,
    /// What `type` says then.
    pub kind: &'static str,
    /// Whether it must say so; else it is only changed where it is there.
    pub needs_kind: bool,
    /// A member that is false then, because nobody has to log in.
    pub off: Option<&'static str>,
}

impl HttpShape {
    /// An address, and a `type` only where there is one.
    pub(super) const fn at(address: &'static str) -> Self {
        HttpShape {
            address,
            kind: "http",
            needs_kind: false,
            off: None,
        }
    }

    /// The same with a `type` that must be there.
    pub(super) const fn of_kind(self, kind: &'static str) -> Self {
        HttpShape {
            kind,
            needs_kind: true,
            ..self
        }
    }

    pub(super) const fn without(self, off: &'static str) -> Self {
        HttpShape {
            off: Some(off),
            ..self
        }
    }
}

/// Why an entry cannot become an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoHttp {
    /// The client has none.
    #[error("its file has no entries with an address")]
    Client,
    /// The client fills something in.
    #[error("the client fills in a variable")]
    Filled,
    /// Variables are passed whose values stand elsewhere.
    #[error("variables come from the client's environment")]
    Passed,
    /// It means something else elsewhere.
    #[error("a path in it is relative")]
    Relative,
    /// It has no name that can stand in an address.
    #[error("its name cannot stand in an address: {0}")]
    Name(#[from] ServerNameError),
    /// It says more than is understood.
    #[error("what it says of its variables or its folder is not understood")]
    Odd,
}

/// The server of an entry as mcpool has to know it, if an address can stand in its place.
pub fn over_http(
    tree: &Node,
    entry: &Entry,
    local: &Local,
    client: &Client,
) -> Result<(ServerName, ServerEntry), NoHttp> {
    if client.http.is_none() {
        return Err(NoHttp::Client);
    }
    // An address does not stand where a command line within `command` does.
    if local.command.form.within == Some("command") {
        return Err(NoHttp::Odd);
    }
    let name: ServerName = entry.name.parse()?;
    let holders = holders(tree, entry, local);
    let mut env = BTreeMap::new();
    let mut cwd = None;
    for holder in &holders {
        for member in client.variables {
            values(holder.get(member), &mut env)?;
        }
        if let Some(folder) = client.folder.and_then(|folder| holder.get(folder)) {
            cwd = Some(folder.text().ok_or(NoHttp::Odd)?.to_owned());
        }
    }
    let (program, args) = local.command.words.split_first().ok_or(NoHttp::Odd)?;
    let texts = local.command.words.iter().chain(env.values()).chain(&cwd);
    if texts.into_iter().any(|text| is_filled_in(text)) {
        return Err(NoHttp::Filled);
    }
    let is_relative = |path: &str| !path.starts_with('/');
    if program.contains('/') && is_relative(program)
        || cwd.as_deref().is_some_and(is_relative)
        || args.iter().any(|arg| is_of_the_folder(arg))
        || is_script_of_the_folder(program, args)
    {
        return Err(NoHttp::Relative);
    }
    let server = ServerEntry {
        command: program.clone(),
        args: args.to_vec(),
        env,
        cwd,
        ..ServerEntry::default()
    };
    Ok((name, server))
}

/// The address that an entry names, if it does.
pub fn address<'t>(tree: &'t Node, entry: &Entry, client: &Client) -> Option<&'t str> {
    let of = |holder: &'t Node| {
        let mut members = client.addresses.iter();
        members.find_map(|member| holder.get(member).and_then(Node::text))
    };
    survey::holders(tree.at(&entry.at)?, client)
        .into_iter()
        .find_map(of)
}

/// The entry, and what holds its command line if that is another.
fn holders<'t>(tree: &'t Node, entry: &Entry, local: &Local) -> Vec<&'t Node> {
    let mut holders: Vec<&Node> = tree.at(&entry.at).into_iter().collect();
    if local.command.at != entry.at {
        holders.extend(tree.at(&local.command.at));
    }
    holders
}

/// Variables with their values; a list of names has none.
fn values(node: Option<&Node>, env: &mut BTreeMap<String, String>) -> Result<(), NoHttp> {
    let Some(node) = node else {
        return Ok(());
    };
    let members = match &node.value {
        Value::Map(members) => members,
        Value::List(items) if items.is_empty() => return Ok(()),
        Value::List(_) => return Err(NoHttp::Passed),
        Value::Text(_) | Value::Other(_) | Value::Half(_) => return Err(NoHttp::Odd),
    };
    for member in members {
        let value = match &member.node.value {
            Value::Text(text) | Value::Other(text) => text.clone(),
            Value::Map(_) | Value::List(_) | Value::Half(_) => return Err(NoHttp::Odd),
        };
        env.insert(member.key.clone(), value);
    }
    Ok(())
}

/// What the names of scripts end with, which stand behind a launcher.
const SCRIPTS: [&str; 10] = [
    "cjs", "jar", "js", "mjs", "php", "pl", "py", "rb", "sh", "ts",
];

/// Programs whose first argument is a script.
const INTERPRETERS: [&str; 9] = [
    "bash", "node", "perl", "php", "python", "ruby", "sh", "ts-node", "tsx",
];

/// Whether a program starts a script whose path is relative, whatever that ends with.
fn is_script_of_the_folder(program: &str, args: &[String]) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    // `python3.13` is Python.
    let name = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    let script = args
        .first()
        .filter(|script| !script.starts_with(['/', '-']));
    INTERPRETERS.contains(&name) && script.is_some()
}

/// Whether an argument, or what an option says in it, means something in the folder at hand.
fn is_of_the_folder(arg: &str) -> bool {
    let path = arg.rsplit_once('=').map_or(arg, |(_, value)| value);
    let first = path.split('/').next().unwrap_or(path);
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    let is_script = ending.is_some_and(|ending| SCRIPTS.contains(&ending));
    // `@a/chart.js` is a package, and what has a scheme an address.
    [".", ".."].contains(&first)
        || is_script && !path.starts_with(['/', '@']) && !path.contains("://")
}

/// Whether a client may fill something in here: `${X}`, `$X`, `%X%`, `{env:X}`, `{file:x}`.
pub(super) fn is_filled_in(text: &str) -> bool {
    let between = |sign: char| text.split(sign).nth(2).is_some();
    text.contains('$')
        || between('%')
        || text.contains("{env:")
        || text.contains("{file:")
        || text.starts_with("~/")
}

/// What has to be changed so that an address stands in the place of the command line.
pub fn adopt_over_http(
    tree: &Node,
    entry: &Entry,
    local: &Local,
    client: &Client,
    url: &str,
) -> Vec<Change> {
    let Some(shape) = client.http else {
        return Vec::new();
    };
    let command = &local.command;
    let at = command.at.clone();
    let mut changes = vec![Change::Replace {
        at: at.clone(),
        from: command.form.program.to_owned(),
        to: shape.address.to_owned(),
        value: Added::Text(url.to_owned()),
    }];
    changes.extend(kind(tree, entry, command, shape));
    let off = shape.off.filter(|off| {
        let holder = tree.at(&at);
        holder.is_some_and(|holder| holder.get(off).is_none())
    });
    if let Some(off) = off {
        changes.push(Change::Insert {
            at,
            after: shape.address.to_owned(),
            key: off.to_owned(),
            value: Added::False,
        });
    }
    let gone = gone(tree, entry, command, client);
    changes.extend(gone.into_iter().map(|(at, key)| Change::Remove { at, key }));
    changes
}

/// What `type` has to say: of what holds the command line, and of the entry itself.
fn kind(tree: &Node, entry: &Entry, command: &CommandAt, shape: HttpShape) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut places = vec![command.at.clone()];
    if entry.at != command.at {
        places.push(entry.at.clone());
    }
    for at in places {
        let is_there = tree.at(&at).is_some_and(|node| node.get("type").is_some());
        let value = Added::Text(shape.kind.to_owned());
        if is_there {
            changes.push(Change::Replace {
                at,
                from: "type".to_owned(),
                to: "type".to_owned(),
                value,
            });
        } else if shape.needs_kind && at == command.at {
            changes.push(Change::Insert {
                at,
                after: shape.address.to_owned(),
                key: "type".to_owned(),
                value,
            });
        }
    }
    changes
}

/// What goes with the command line, and where it stands: arguments, variables, and the folder.
fn gone(
    tree: &Node,
    entry: &Entry,
    command: &CommandAt,
    client: &Client,
) -> Vec<(Vec<Step>, String)> {
    let mut gone = Vec::new();
    let mut places = vec![command.at.clone()];
    if entry.at != command.at {
        places.push(entry.at.clone());
    }
    let folder = Some("cwd");
    for at in places {
        let Some(holder) = tree.at(&at) else {
            continue;
        };
        let names = command.form.arguments.iter().chain(client.variables);
        for name in names.copied().chain(folder) {
            if holder.get(name).is_some() {
                gone.push((at.clone(), name.to_owned()));
            }
        }
    }
    gone
}

/// What has to be changed so that the client starts the server itself again, as it did before.
///
/// `None` if the entry of now is at another address, or what it was is not known.
pub fn release_from_http(
    now: (&Node, &[Step]),
    before: (&str, &Node, &Entry, &Local),
    client: &Client,
    url: &str,
) -> Option<Vec<Change>> {
    let (tree, entry_at) = now;
    let (before_text, before_tree, entry, local) = before;
    let shape = client.http?;
    let command = &local.command;
    let moved = |at: &[Step]| -> Vec<Step> {
        let rest = at.get(entry.at.len()..).unwrap_or_default();
        [entry_at, rest].concat()
    };
    let at = moved(&command.at);
    let holder = tree.at(&at)?;
    if holder.get(shape.address)?.text()? != url {
        return None;
    }
    let old = before_tree.at(&command.at)?;
    let mut changes = vec![Change::Replace {
        at: at.clone(),
        from: shape.address.to_owned(),
        to: command.form.program.to_owned(),
        value: copied(
            before_text,
            client.grammar,
            old.get(command.form.program)?,
            Vec::new(),
        ),
    }];
    let mut back = Back {
        now: tree,
        before: (before_text, before_tree),
        grammar: client.grammar,
        gone: gone(before_tree, entry, command, client),
        returned: vec![(command.at.clone(), command.form.program.to_owned())],
    };
    back.in_their_order();
    for (place, key) in back.gone.clone() {
        changes.extend(back.insert(&place, &moved(&place), &key)?);
    }
    for place in [&command.at, &entry.at] {
        let (old, new) = (before_tree.at(place)?, tree.at(&moved(place))?);
        for change in without_ours((old, before_text), new, &moved(place), client, shape) {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    Some(changes)
}

/// Members that come back where they were.
struct Back<'a> {
    now: &'a Node,
    before: (&'a str, &'a Node),
    grammar: Grammar,
    /// Those that have gone, by where they stood.
    gone: Vec<(Vec<Step>, String)>,
    /// Those that are back already.
    returned: Vec<(Vec<Step>, String)>,
}

impl Back<'_> {
    fn members(&self, place: &[Step]) -> &[Member] {
        self.before
            .1
            .at(place)
            .map(Node::members)
            .unwrap_or_default()
    }

    /// Each comes behind what stood before it, which has to be there then.
    fn in_their_order(&mut self) {
        let mut gone = mem::take(&mut self.gone);
        gone.sort_by_key(|(place, key)| {
            let mut members = self.members(place).iter();
            members.position(|member| member.key == *key)
        });
        self.gone = gone;
    }

    /// What puts a member back behind the nearest of those that stood before it; nothing, where
    /// somebody has put one there.
    fn insert(&mut self, place: &[Step], at: &[Step], key: &str) -> Option<Vec<Change>> {
        let now = self.now.at(at)?;
        if now.get(key).is_some() {
            return Some(Vec::new());
        }
        let members = self.members(place);
        let index = members.iter().position(|member| member.key == key)?;
        let is_back = |name: &str| {
            self.returned
                .iter()
                .any(|(of, it)| of == place && it == name)
        };
        // What has lines to itself is no place for a line of another.
        let is_there = |name: &str| now.get(name).is_some_and(|node| node.style == Style::Flow);
        let mut before = members[..index].iter().rev();
        let after = before.find(|member| is_back(&member.key) || is_there(&member.key));
        let after = match after.map(|member| &member.key) {
            Some(after) => after.clone(),
            None => match self.returned.iter().rfind(|(of, _)| of == place) {
                Some((_, last)) => last.clone(),
                None => now.members().first()?.key.clone(),
            },
        };
        let own = self.comment(place, &after);
        let gone = self.gone.iter().filter(|(of, _)| of == place);
        let comments = gone.filter_map(|(_, key)| self.comment(place, key));
        let comments = comments.filter(|comment| Some(*comment) != own);
        let comments = comments.map(str::to_owned).collect();
        let value = copied(self.before.0, self.grammar, &members[index].node, comments);
        self.returned.push((place.to_vec(), key.to_owned()));
        Some(vec![Change::Insert {
            at: at.to_vec(),
            after,
            key: key.to_owned(),
            value,
        }])
    }

    /// The comment that a member had behind it.
    fn comment(&self, place: &[Step], key: &str) -> Option<&str> {
        let node = self.before.1.at(place)?.get(key)?;
        let is_toml = self.grammar == Grammar::Toml && node.style == Style::Flow;
        let text = self.before.0.trim_start_matches('\u{feff}');
        is_toml.then(|| comment_behind(text, node.span.end))?
    }
}

/// What puts back what `type` and the like said, where they say what we have written.
fn without_ours(
    (old, old_text): (&Node, &str),
    new: &Node,
    at: &[Step],
    client: &Client,
    shape: HttpShape,
) -> Vec<Change> {
    let is_ours = |node: &&Node| match &node.value {
        Value::Text(text) => text == shape.kind,
        Value::Other(raw) => raw == "false",
        Value::Map(_) | Value::List(_) | Value::Half(_) => false,
    };
    let keys = ["type"].into_iter().chain(shape.off);
    let changes = keys.filter_map(|key| {
        new.get(key).filter(is_ours)?;
        Some(match old.get(key) {
            Some(old) => Change::Replace {
                at: at.to_vec(),
                from: key.to_owned(),
                to: key.to_owned(),
                value: copied(old_text, client.grammar, old, Vec::new()),
            },
            None => Change::Remove {
                at: at.to_vec(),
                key: key.to_owned(),
            },
        })
    });
    changes.collect()
}

/// A value as it is written elsewhere, if it can be written so anywhere.
fn copied(text: &str, grammar: Grammar, node: &Node, comments: Vec<String>) -> Added {
    let offset = text.len() - text.trim_start_matches('\u{feff}').len();
    let is_of_lines = node.style != Style::Flow;
    let written = match grammar {
        // What is bare there may mean something else here.
        Grammar::Yaml => None,
        Grammar::Json | Grammar::Jsonc | Grammar::Toml if is_of_lines => None,
        Grammar::Json | Grammar::Jsonc | Grammar::Toml => {
            let span = node.span.start + offset..node.span.end + offset;
            text.get(span).map(str::to_owned)
        }
    };
    Added::Value {
        value: node.clone(),
        written,
        comments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_means_something_in_the_folder_at_hand_is_known() {
        for arg in [
            ".",
            "..",
            "./x",
            "../x",
            "--root=.",
            "--root=../x",
            "server.py",
            "src/index.js",
        ] {
            assert!(is_of_the_folder(arg), "{arg}");
        }
        for arg in [
            "-y",
            "/srv/x.py",
            "@a/chart.js",
            ".hidden",
            "server",
            "https://x/y.js",
            "x@1.2.3",
            "a=b",
        ] {
            assert!(!is_of_the_folder(arg), "{arg}");
        }
        for (program, script, expected) in [
            ("node", "build/index", true),
            ("/usr/bin/python3.13", "server", true),
            ("python", "-m", false),
            ("node", "/srv/index", false),
            ("npx", "server", false),
        ] {
            let args = [script.to_owned()];
            assert_eq!(
                is_script_of_the_folder(program, &args),
                expected,
                "{program} {script}"
            );
        }
    }
}
