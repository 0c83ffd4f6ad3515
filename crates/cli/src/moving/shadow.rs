//! Servers of a project's `.mcp.json`, put before it for one person alone.
//!
//! A file that version control has is everybody's who has the project, so it stays as it is. What
//! Claude Code has in local scope comes before it, and is one person's: a server of the same name
//! there takes its place.
//!
//! **Invariant:** only what that person has approved is put there, because nobody asks again about
//! local scope; what can come with the project approves nothing; and where it cannot be told whose
//! the project's file is, or what is approved, nothing is put there and nothing taken away.

use std::path::{Path, PathBuf};

use config::clients::{
    self, Approval, Approvals, Client, Entry, Grammar, Kind, Local, Node, Reach, Step, Value,
};

use super::{
    machine::{Machine, means_missing},
    tracked::{Tracked, tracked},
    trust,
};
use crate::config_file;

/// The client that has a scope before that of a project's file.
pub(crate) const CLIENT: &str = "claude-code";

/// Where the servers of projects are in the file of the user.
const PROJECTS: &str = "projects";
const SERVERS: &str = "mcpServers";

const NO_USER_FILE: &str = "the project's file is everybody's who has the project, and Claude Code \
                            has no file of yours yet to put one of the same name before it";
const NO_TEXT: &str = "the project's file is everybody's who has the project, and the path of the \
                       project is no text, so nothing can be put before it";

/// What there is to know of a project's file for what is put before it.
pub(crate) struct Shadows {
    /// The file.
    pub(super) file: PathBuf,
    /// The project, as Claude Code calls it.
    pub(super) project: String,
    /// What the file says; nothing, if there is none.
    tree: Node,
    entries: Vec<Entry>,
    /// What a person's settings approve.
    approvals: Approvals,
    /// What the file of the user said when this was read, if there was one.
    user: Option<Node>,
    pub(super) standing: Standing,
}

/// Whose a project's file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everybody's: it stays, and something can be put before it.
    Shared,
    /// The same, and nothing can be put before it, because of this.
    Obstacle(&'static str),
    /// The user's alone: it is changed itself.
    Own,
    /// Nobody can tell, because of this.
    Unknown(String),
}

/// One of them, which can be put before itself.
pub(super) struct Candidate<'a> {
    pub(super) entry: &'a Entry,
    pub(super) local: &'a Local,
    pub(super) node: &'a Node,
}

impl Shadows {
    /// That of the project at hand; `None` if there is no project, or if its file cannot be read, which is
    /// told where that is looked at for itself.
    pub(crate) fn read(machine: &Machine) -> Option<Self> {
        let client = Client::named(CLIENT)?;
        let project = clients::Machine::project(machine)?;
        let file = project.join(".mcp.json");
        let text = match config_file::read_file(&file) {
            Ok(text) => text,
            Err(error) if means_missing(&error) => String::new(),
            Err(_) => return None,
        };
        let is_trusted = trust::is_trusted(machine, &project);
        let said = approvals(machine, &project, is_trusted)
            .and_then(|approvals| Ok((approvals, user_file(machine, client)?)));
        let (said, doubt) = match said {
            Ok(said) => (said, None),
            Err(why) => (Default::default(), Some(why)),
        };
        let (approvals, user) = said;
        let standing = match (tracked(&file, is_trusted), doubt) {
            (Tracked::Unknown(why), _) => Standing::Unknown(format!(
                "whether version control has the project's file cannot be told ({why}), so nothing is changed"
            )),
            (_, Some(why)) => Standing::Unknown(format!(
                "what you have approved of the project's file cannot be told ({why}), so nothing is changed"
            )),
            (Tracked::No, None) => Standing::Own,
            (Tracked::Yes, None) if project.to_str().is_none() => Standing::Obstacle(NO_TEXT),
            (Tracked::Yes, None) if user.is_none() => Standing::Obstacle(NO_USER_FILE),
            (Tracked::Yes, None) => Standing::Shared,
        };
        Some(Shadows {
            standing,
            approvals,
            user,
            project: project.to_string_lossy().into_owned(),
            file,
            tree: client.grammar.read(&text).ok()?,
            entries: clients::survey(&text, client).ok()?,
        })
    }

    /// What the file says of a server of this name, if anything.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Those that start a program.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| self.candidate(entry))
    }

    /// One of them, if it starts a program.
    pub(super) fn candidate<'a>(&'a self, entry: &'a Entry) -> Option<Candidate<'a>> {
        match &entry.kind {
            Kind::Local(local) => Some(Candidate {
                entry,
                local,
                node: self.tree.at(&entry.at)?,
            }),
            Kind::Ours(_) | Kind::LeftAlone(_) => None,
        }
    }

    /// What the person has said of a server of this name, in settings or in this file of the user.
    pub(super) fn approval(&self, name: &str, user: &Node) -> Approval {
        let mut approvals = self.approvals.clone();
        if let Some(project) = user.at(&self.at_project()) {
            approvals.add(project);
        }
        approvals.of(name)
    }

    /// Whether somebody had refused a server of this name when this was read.
    pub(super) fn is_refused(&self, name: &str) -> bool {
        let approval = match &self.user {
            Some(user) => self.approval(name, user),
            None => self.approvals.of(name),
        };
        approval == Approval::Refused
    }

    /// Where a server stands when it is put there.
    pub(super) fn at(&self, name: &str) -> Vec<Step> {
        let mut at = self.at_project();
        at.extend([SERVERS, name].map(|key| Step::Key(key.to_owned())));
        at
    }

    fn at_project(&self) -> Vec<Step> {
        [PROJECTS, &self.project]
            .map(|key| Step::Key(key.to_owned()))
            .to_vec()
    }

    /// How many of the steps to the servers are there already.
    pub(super) fn there(&self, user: &Node) -> usize {
        let path = self.at("");
        (0..path.len())
            .take_while(|length| {
                let node = user.at(&path[..*length]);
                node.is_some_and(|node| matches!(node.value, Value::Map(_)))
            })
            .last()
            .unwrap_or(0)
    }
}

/// What the file of the user says, if there is one; else why that cannot be told.
fn user_file(machine: &Machine, client: &Client) -> Result<Option<Node>, String> {
    let mut places = client.places.iter();
    let place = places.find(|place| place.reach == Reach::User);
    match place.and_then(|place| place.on_machine(machine)) {
        Some(file) => read(&file, client.grammar),
        None => Ok(None),
    }
}

/// What a file says, if there is one; else why that cannot be told.
fn read(file: &Path, grammar: Grammar) -> Result<Option<Node>, String> {
    let said = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    match config_file::read_file(file) {
        Ok(text) => grammar.read(&text).map(Some).map_err(|error| said(&error)),
        Err(error) if means_missing(&error) => Ok(None),
        Err(error) => Err(said(&error)),
    }
}

/// What settings say of the servers of a project; else why that cannot be told.
///
/// Settings in the project approve only where they are the user's for sure.
fn approvals(machine: &Machine, project: &Path, is_trusted: bool) -> Result<Approvals, String> {
    let own = clients::Machine::variable(machine, "CLAUDE_CONFIG_DIR")
        .unwrap_or_else(|| clients::Machine::home(machine).join(".claude"));
    let mut approvals = Approvals::default();
    let read = |path: &Path| read(path, Grammar::Jsonc);
    if let Some(settings) = read(&own.join("settings.json"))? {
        approvals.add(&settings);
    }
    let local = project.join(".claude/settings.local.json");
    if let Some(settings) = read(&local)? {
        match tracked(&local, is_trusted) {
            Tracked::No if is_trusted => approvals.add(&settings),
            Tracked::No | Tracked::Yes => approvals.add_refusals(&settings),
            Tracked::Unknown(why) => return Err(format!("{}: {why}", local.display())),
        }
    }
    if let Some(settings) = read(&project.join(".claude/settings.json"))? {
        approvals.add_refusals(&settings);
    }
    Ok(approvals)
}

impl Candidate<'_> {
    /// The entry with this command line, and with everything else that it has.
    pub(super) fn through(&self, words: &[String]) -> Node {
        let mut node = self.node.clone();
        let Value::Map(members) = &mut node.value else {
            return node;
        };
        let Some((program, rest)) = words.split_first() else {
            return node;
        };
        let own = self.local.command.words.len().saturating_sub(1);
        let (ours, _) = rest.split_at(rest.len() - own);
        let mut args: Vec<Node> = ours.iter().map(|word| text(word)).collect();
        let mut is_there = false;
        for member in &mut *members {
            match (member.key.as_str(), &member.node.value) {
                ("command", _) => member.node = text(program),
                ("args", Value::List(items)) => {
                    args.extend(items.iter().cloned());
                    is_there = true;
                }
                _ => {}
            }
        }
        let args = Node {
            value: Value::List(args),
            ..text("")
        };
        if is_there {
            for member in &mut *members {
                if member.key == "args" {
                    member.node = args.clone();
                }
            }
        } else if let Some(place) = members.iter().position(|member| member.key == "command") {
            members.insert(
                place + 1,
                clients::Member {
                    key: "args".to_owned(),
                    has_half: false,
                    key_span: 0..0,
                    node: args,
                },
            );
        }
        node
    }
}

/// A text that stands nowhere yet.
fn text(text: &str) -> Node {
    Node {
        span: 0..0,
        style: clients::Style::Flow,
        value: Value::Text(text.to_owned()),
    }
}

/// A map with one member, which is in a map with one member, and so on.
pub(super) fn nested(keys: &[Step], innermost: Node) -> Node {
    keys.iter().rev().fold(innermost, |node, key| {
        let Step::Key(key) = key else {
            return node;
        };
        Node {
            span: 0..0,
            style: clients::Style::Flow,
            value: Value::Map(vec![clients::Member {
                key: key.clone(),
                has_half: false,
                key_span: 0..0,
                node,
            }]),
        }
    })
}
