//! Which servers a client's file has, and which of them can be shared.
//!
//! **Invariant:** what this does not understand it leaves alone and says why; no
//! variable is filled in, and no reason repeats a value, which may be a secret.

use std::{fmt, path::Path};

use thiserror::Error;

use super::{
    approval::switched_off,
    foreign::THROUGH_MCPOOL,
    grammar::Unreadable,
    shape::{Client, Command, Holder, WHOLE_FILE},
    tree::{Node, Step, Value},
};
use crate::{
    EnvPattern,
    auto_scope::{Found, base_name, verb_of_mcpool, what_starts},
};

/// One server in a client's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; empty where that of the file is its name.
    pub name: String,
    /// The project whose it is, where a file of the user has servers of projects.
    pub project: Option<String>,
    /// Where it stands.
    pub at: Vec<Step>,
    /// What it is.
    pub kind: Kind,
}

impl Entry {
    /// With the name that the client gives it, in this file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        if let Some(stem) = file.file_stem().filter(|_| self.at.is_empty()) {
            self.name = stem.to_string_lossy().into_owned();
            if let Kind::LeftAlone(Reason::Bridge { name, .. }) = &mut self.kind {
                name.clone_from(&self.name);
            }
        }
        self
    }
}

/// What an entry is, to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program that each session starts for itself.
    Local(Local),
    /// It goes through mcpool already.
    Ours(CommandAt),
    /// It is not for us.
    LeftAlone(Reason),
}

/// A program that each session starts for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its command line.
    pub command: CommandAt,
    /// The variables that the entry declares.
    pub variables: Vec<String>,
    /// Whether the entry says in which folder the client starts it.
    pub has_folder: bool,
}

/// A command line, and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandAt {
    /// Program and arguments.
    pub words: Vec<String>,
    pub(super) at: Vec<Step>,
    pub(super) form: Command,
    pub(super) has_arguments: bool,
}

impl fmt::Debug for CommandAt {
    /// Shows no word, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandAt({} words)", self.words.len())
    }
}

/// Why an entry is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// Nobody starts it.
    #[error("a remote server: no session starts a process for it")]
    Remote,
    /// It is switched off.
    #[error("disabled")]
    Disabled,
    /// It starts mcpool in a way that is not ours.
    #[error("{THROUGH_MCPOOL}")]
    ThroughMcpool,
    /// It starts a container.
    #[error(
        "`{program}` runs it in a container; put mcpool before it by hand if it is to be shared"
    )]
    Container {
        /// The program.
        program: String,
    },
    /// It relays to a remote server.
    #[error(
        "`{program}` is a bridge to a remote server; mcpool reaches that by its URL: `mcpool add {name} --url URL`"
    )]
    Bridge {
        /// The package.
        program: &'static str,
        /// The server.
        name: String,
    },
    /// The client asks a person for part of it.
    #[error("the client asks you for `${{input:…}}`")]
    Input,
    /// The client brings it along.
    #[error("an extension of the client")]
    Extension,
    /// A marketplace has put it there.
    #[error("a marketplace has put it there, and compares it with what it has")]
    Marketplace,
    /// The client confines it.
    #[error("the client runs it in a sandbox, which a shared server would be outside of")]
    Sandbox,
    /// The client starts it in another way while somebody works on it.
    #[error(
        "the client watches or debugs it by its `dev`, and would restart or look into mcpool in its place"
    )]
    Dev,
    /// Its variables are in another file.
    #[error("its variables come from an `envFile`, and mcpool passes variables by name")]
    EnvFile,
    /// A text in it is no text of ours.
    #[error(
        "half a character stands in it (an escape such as `\\ud83d` without the other half), and mcpool has no such \
         text"
    )]
    Half,
    /// A variable has a name that cannot be passed.
    #[error("the name of one of its variables cannot be passed on: {0}")]
    Variable(String),
    /// There is no command line where one should be.
    #[error("it has no command line that mcpool understands")]
    OddCommand,
    /// Its program has a name that a shell would read.
    #[error("its `command` is for a shell to read, and mcpool starts a program without one")]
    Shell,
    /// The same name twice in one map.
    #[error("the file has this name twice")]
    Twice,
}

/// The servers of a file, in its order.
pub fn survey(text: &str, client: &Client) -> Result<Vec<Entry>, Unreadable> {
    let tree = client.grammar.read(text)?;
    let mut entries = Vec::new();
    for path in client.servers {
        collect(&tree, client, path, &mut Vec::new(), None, &mut entries);
    }
    let (excluded, allowed) = (listed(&tree, "excluded"), listed(&tree, "allowed"));
    for entry in &mut entries {
        let is_in = |list: &[&str]| list.contains(&entry.name.as_str());
        let is_off = is_in(&excluded)
            || !allowed.is_empty() && !is_in(&allowed)
            || is_off_in_project(&tree, entry);
        if is_off && matches!(entry.kind, Kind::Local(_)) {
            entry.kind = Kind::LeftAlone(Reason::Disabled);
        }
    }
    Ok(entries)
}

/// Gemini CLI keeps lists of what is not to run, and of what alone is.
fn listed<'t>(tree: &'t Node, list: &str) -> Vec<&'t str> {
    let path = [Step::key("mcp"), Step::key(list)];
    let list = tree.at(&path).map(Node::items).unwrap_or_default();
    list.iter().filter_map(Node::text).collect()
}

/// Claude Code notes of a project which servers are switched off in it.
fn is_off_in_project(tree: &Node, entry: &Entry) -> bool {
    let Some(project) = &entry.project else {
        return false;
    };
    let noted = tree.at(&[Step::key("projects"), Step::key(project)]);
    noted.is_some_and(|noted| switched_off(noted).contains(&entry.name))
}

fn collect(
    node: &Node,
    client: &Client,
    path: &[&str],
    at: &mut Vec<Step>,
    project: Option<&str>,
    entries: &mut Vec<Entry>,
) {
    match path.split_first() {
        None => collect_servers(node, client, at, project, entries),
        Some((&WHOLE_FILE, _)) => entries.extend(whole_file(node, client)),
        Some((&"*", rest)) => {
            for member in node.members() {
                at.push(Step::key(&member.key));
                let before = entries.len();
                collect(&member.node, client, rest, at, Some(&member.key), entries);
                if member.has_half {
                    for entry in &mut entries[before..] {
                        entry.kind = Kind::LeftAlone(Reason::Half);
                    }
                }
                at.pop();
            }
        }
        Some((key, rest)) => {
            if let Some(inner) = node.get(key) {
                at.push(Step::key(key));
                collect(inner, client, rest, at, project, entries);
                at.pop();
            }
        }
    }
}

/// The file itself, where it is the one server; its name is that of the file.
fn whole_file(node: &Node, client: &Client) -> Option<Entry> {
    let mut holders = client.servers.iter().filter_map(|path| path.first());
    let has_others = holders.any(|key| node.get(key).is_some());
    let is_one = command_line(node, client, &[]).is_some()
        || client.addresses.iter().any(|key| node.get(key).is_some());
    (is_one && !has_others).then(|| Entry {
        name: String::new(),
        project: None,
        at: Vec::new(),
        kind: kind("", node, client, &[]),
    })
}

fn collect_servers(
    holder: &Node,
    client: &Client,
    at: &[Step],
    project: Option<&str>,
    entries: &mut Vec<Entry>,
) {
    let mut add = |name: &str, step: Step, node: &Node, odd: Option<Reason>| {
        let at = [at, &[step]].concat();
        let kind = match odd {
            Some(reason) => Kind::LeftAlone(reason),
            None => kind(name, node, client, &at),
        };
        entries.push(Entry {
            name: name.to_owned(),
            project: project.map(str::to_owned),
            at,
            kind,
        });
    };
    match client.holder {
        Holder::Map => {
            let members = holder.members();
            for member in members {
                let same = members.iter().filter(|other| other.key == member.key);
                let is_twice = (same.count() > 1).then_some(Reason::Twice);
                let odd = is_twice.or(member.has_half.then_some(Reason::Half));
                add(&member.key, Step::key(&member.key), &member.node, odd);
            }
        }
        Holder::List => {
            for (index, item) in holder.items().iter().enumerate() {
                let name = item.get("name").and_then(Node::text).unwrap_or_default();
                add(name, Step::Index(index), item, None);
            }
        }
    }
}

fn kind(name: &str, entry: &Node, client: &Client, at: &[Step]) -> Kind {
    // Whatever else is said of it: one that is switched off has our words as well, and they can be taken back.
    if let Some(Ok(command)) = command_line(entry, client, at)
        && is_ours(&command.words)
    {
        return Kind::Ours(command);
    }
    match local(name, entry, client, at) {
        Ok(local) => Kind::Local(local),
        Err(reason) => Kind::LeftAlone(reason),
    }
}

/// The command line of an entry, where one stands in it.
fn command_line(entry: &Node, client: &Client, at: &[Step]) -> Option<Result<CommandAt, Reason>> {
    let mut forms = client.commands.iter();
    forms.find_map(|form| form.find(entry, at))
}

fn local(name: &str, entry: &Node, client: &Client, at: &[Step]) -> Result<Local, Reason> {
    let command = command_line(entry, client, at);
    if client
        .addresses
        .iter()
        .any(|address| entry.get(address).is_some())
    {
        return Err(Reason::Remote);
    }
    if entry.has_half() {
        return Err(Reason::Half);
    }
    let holders = holders(entry, client);
    refuse_kind(entry, &holders, client)?;
    if entry.get("gallery").is_some() {
        return Err(Reason::Marketplace);
    }
    let command = match command {
        Some(command) => command?,
        // Zed's entries of extensions have settings alone.
        None if entry.get("settings").is_some() => return Err(Reason::Extension),
        None => return Err(Reason::OddCommand),
    };
    if is_off(entry) {
        return Err(Reason::Disabled);
    }
    if says(entry, "sandboxEnabled", "true") {
        return Err(Reason::Sandbox);
    }
    // That of VS Code, which wants `node` or `python` as the program to debug it.
    if entry.get("dev").is_some_and(|dev| !dev.is_word("null")) {
        return Err(Reason::Dev);
    }
    if holders.iter().any(|holder| holder.get("envFile").is_some()) {
        return Err(Reason::EnvFile);
    }
    if any_text(entry, "${input:") {
        return Err(Reason::Input);
    }
    refuse_program(name, &command.words)?;
    let mut variables = Vec::new();
    for holder in &holders {
        for member in client.variables {
            names(holder.get(member), &mut variables)?;
        }
    }
    let mut folder = client.folder.into_iter();
    Ok(Local {
        command,
        variables,
        has_folder: folder.any(|it| holders.iter().any(|holder| holder.get(it).is_some())),
    })
}

/// Refuses what is of another kind than a program that the client starts.
fn refuse_kind(entry: &Node, holders: &[&Node], client: &Client) -> Result<(), Reason> {
    for holder in holders {
        if let Some(kind) = holder.get("type").and_then(Node::text) {
            if [
                "http",
                "sse",
                "ws",
                "remote",
                "streamable-http",
                "streamableHttp",
                "streamable_http",
            ]
            .contains(&kind)
            {
                return Err(Reason::Remote);
            }
            if !client.local_types.contains(&kind) {
                return Err(Reason::Extension);
            }
        }
    }
    if entry.get("source").and_then(Node::text) == Some("extension") {
        return Err(Reason::Extension);
    }
    Ok(())
}

/// The entry, and what in it holds its command line: what is said of that may stand in either.
pub(super) fn holders<'t>(entry: &'t Node, client: &Client) -> Vec<&'t Node> {
    let within = client.commands.iter().filter_map(|command| command.within);
    let within = within.filter_map(|member| entry.get(member));
    std::iter::once(entry).chain(within).collect()
}

/// Whether an entry says something of this variable: its value, or that it is passed on.
pub fn declares(entry: &Node, client: &Client, variable: &str) -> bool {
    let members = holders(entry, client)
        .into_iter()
        .flat_map(|holder| client.variables.iter().map(|member| holder.get(member)));
    members
        .flatten()
        .any(|member| declared(member).contains(&variable))
}

/// Whether an entry is switched off.
pub fn is_off(entry: &Node) -> bool {
    says(entry, "disabled", "true") || says(entry, "enabled", "false")
}

pub(super) fn says(entry: &Node, key: &str, word: &str) -> bool {
    entry.get(key).is_some_and(|node| node.is_word(word))
}

/// Whether any text in it has this part.
fn any_text(node: &Node, part: &str) -> bool {
    match &node.value {
        Value::Text(text) => text.contains(part),
        Value::Other(_) | Value::Half(_) => false,
        Value::List(items) => items.iter().any(|item| any_text(item, part)),
        Value::Map(members) => members.iter().any(|member| any_text(&member.node, part)),
    }
}

/// The names of variables: of a map its keys, of a list its texts, or what their `name` says.
fn names(node: Option<&Node>, names: &mut Vec<String>) -> Result<(), Reason> {
    for name in node.map(declared).unwrap_or_default() {
        if name.contains('*') || name.parse::<EnvPattern>().is_err() {
            return Err(Reason::Variable(name.escape_default().to_string()));
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(())
}

/// The names of variables in such a member.
fn declared(node: &Node) -> Vec<&str> {
    match &node.value {
        Value::Map(members) => members.iter().map(|member| member.key.as_str()).collect(),
        Value::List(items) => items
            .iter()
            .filter_map(|item| {
                item.text()
                    .or_else(|| item.get("name").and_then(Node::text))
            })
            .collect(),
        Value::Text(_) | Value::Other(_) | Value::Half(_) => Vec::new(),
    }
}

/// Whether a command line is that of a session with mcpool.
pub(super) fn is_ours(words: &[String]) -> bool {
    let program = words.split_first();
    program.and_then(|(program, rest)| verb_of_mcpool(program, rest)) == Some("connect")
}

/// Programs that run another one in a container.
const CONTAINERS: [&str; 12] = [
    "apptainer",
    "container",
    "distrobox",
    "docker",
    "docker-compose",
    "finch",
    "flatpak",
    "nerdctl",
    "podman",
    "podman-compose",
    "singularity",
    "toolbox",
];

/// Programs that relay to a server elsewhere, and whether that is all they do: the others also put a server of one's
/// own behind an address.
const BRIDGES: [(&str, bool); 4] = [
    ("mcp-remote", true),
    ("supergateway", false),
    ("mcp-proxy", false),
    (FASTMCP, false),
];

/// Runs servers of one's own as well, with any addresses among their arguments.
const FASTMCP: &str = "fastmcp";

fn refuse_program(name: &str, words: &[String]) -> Result<(), Reason> {
    let program = words.first().map_or("", |program| base_name(program));
    if program.is_empty() {
        return Err(Reason::OddCommand);
    }
    if is_for_a_shell(&words[0]) {
        return Err(Reason::Shell);
    }
    let found = what_starts(words);
    if found.is_through_mcpool {
        return Err(Reason::ThroughMcpool);
    }
    let programs = found.programs.iter();
    let mut programs = programs.map(|program| base_name(program).to_lowercase());
    if let Some(program) = programs.find(|program| CONTAINERS.contains(&program.as_str())) {
        return Err(Reason::Container { program });
    }
    let is_told_where = || {
        let is_by_profile = program == "mcp-proxy" && names_profile(words);
        is_by_profile || words.iter().any(|word| is_address(word))
    };
    for (bridge, is_always_one) in BRIDGES {
        let is_told_where = || match bridge {
            FASTMCP => is_proxy_of_fastmcp(&found.arguments),
            _ => is_told_where(),
        };
        if starts_package(&found, bridge) && (is_always_one || is_told_where()) {
            return Err(Reason::Bridge {
                program: bridge,
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether `fastmcp` is told to relay: `fastmcp proxy URL`, or `fastmcp run URL`. An address may also be what an option
/// of a server of one's own says.
fn is_proxy_of_fastmcp(arguments: &[String]) -> bool {
    let is_option = |word: &String| word.starts_with('-');
    let verb = arguments.iter().position(|word| !is_option(word));
    let Some((verb, words)) = verb.and_then(|at| arguments[at..].split_first()) else {
        return false;
    };
    let mut others = words.iter().filter(|word| !is_option(word));
    let is_all = others.clone().count() > 0 && others.all(|word| is_address(word));
    let mut pairs = words.windows(2);
    let is_one = pairs.any(|pair| !is_option(&pair[0]) && is_address(&pair[1]));
    verb == "proxy" || verb == "run" && (is_all || is_one)
}

/// Whether a package is what is started, by its name or from a folder of this name.
fn starts_package(found: &Found, package: &str) -> bool {
    let script = found.programs.last().into_iter();
    let folders = script.flat_map(|script| script.split(['/', '\\']));
    let names = found.names.iter().map(String::as_str);
    names.chain(folders).any(|name| is_package(name, package))
}

/// Whether a program is a whole command line, or in a home folder that a shell fills in, which some clients have
/// done for them. A blank in a folder's name is none of that.
fn is_for_a_shell(program: &str) -> bool {
    let first = program.split(char::is_whitespace).next();
    let is_split = first.is_some_and(|first| first != program && !first.contains(['/', '\\']));
    is_split || program.starts_with("~/")
}

/// Whether mcp-proxy is told by `--config NAME` which address it goes to, as one of that name takes it. Behind a word
/// that is no option, options are those of a server.
fn names_profile(words: &[String]) -> bool {
    let mut options = words
        .iter()
        .skip(1)
        .take_while(|word| word.starts_with('-'));
    options.any(|word| word == "--config" || word.starts_with("--config="))
}

/// `mcp-remote`, `mcp-remote@latest`, `@scope/mcp-remote`, `npm:mcp-remote`; of a module, `mcp_proxy`.
fn is_package(word: &str, package: &str) -> bool {
    let word = word.rsplit(['/', ':']).next().unwrap_or(word);
    let mut parts = word.split(|part: char| !(part.is_alphanumeric() || "-_".contains(part)));
    let name = parts.next().unwrap_or(word);
    name.replace('_', "-").eq_ignore_ascii_case(package)
}

fn is_address(word: &str) -> bool {
    ["http://", "https://", "ws://", "wss://"]
        .iter()
        .any(|scheme| word.contains(scheme))
}
