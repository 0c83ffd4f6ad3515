//! Servers of a project's `.mcp.json`, put before it for one person alone.
//!
//! A file that version control has is everybody's who has the project, so it stays as it is. What
//! Claude Code has in local scope comes before it, and is one person's: a server of the same name
//! there takes its place.
//!
//! **Invariant:** only what that person has approved is put there, because nobody asks again about
//! local scope; and what can come with the project approves nothing.

use std::path::{Path, PathBuf};

use config::clients::{
    self, Approvals, Client, Entry, Grammar, Kind, Local, Node, Reach, Step, Value,
};

use super::{machine::Machine, safe_file::Original, tracked, trust};
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

/// The servers of a project's file that version control has.
pub(crate) struct Shadows {
    /// The file.
    pub(super) file: PathBuf,
    /// The project, as Claude Code calls it.
    pub(super) project: String,
    /// What the file says.
    tree: Node,
    entries: Vec<Entry>,
    /// What a person's settings approve.
    approvals: Approvals,
    /// Why nothing can be put before them, if it cannot.
    pub(super) obstacle: Option<&'static str>,
}

/// One of them, which can be put before itself.
pub(super) struct Candidate<'a> {
    pub(super) entry: &'a Entry,
    pub(super) local: &'a Local,
    pub(super) node: &'a Node,
}

impl Shadows {
    /// Those of the project at hand; `None` if nothing is to be put before its file.
    pub(crate) fn read(machine: &Machine) -> Option<Self> {
        let client = Client::named(CLIENT)?;
        let project = clients::Machine::project(machine)?;
        let file = project.join(".mcp.json");
        // What is wrong with it is said where it is looked at for itself.
        let original = Original::read(&file).ok()??;
        let text = String::from_utf8(original.bytes).ok()?;
        let tree = client.grammar.read(&text).ok()?;
        let entries = clients::survey(&text, client).ok()?;
        let is_trusted = trust::is_trusted(machine, &project);
        if !tracked::is_tracked(&file, is_trusted) {
            return None;
        }
        let users = client.places.iter();
        let mut users = users
            .filter(|place| place.reach == Reach::User)
            .filter_map(|place| place.on_machine(machine));
        let obstacle = if project.to_str().is_none() {
            Some(NO_TEXT)
        } else if users.any(|file| file.exists()) {
            None
        } else {
            Some(NO_USER_FILE)
        };
        Some(Shadows {
            obstacle,
            approvals: approvals(machine, &project, is_trusted),
            project: project.to_string_lossy().into_owned(),
            file,
            tree,
            entries,
        })
    }

    /// Those that start a program.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.entries.iter().filter_map(|entry| match &entry.kind {
            Kind::Local(local) => Some(Candidate {
                entry,
                local,
                node: self.tree.at(&entry.at)?,
            }),
            Kind::Ours(_) | Kind::LeftAlone(_) => None,
        })
    }

    /// Whether the person has approved a server of this name, by settings or by this file of the user.
    pub(super) fn is_approved(&self, name: &str, user: &Node) -> bool {
        let mut approvals = self.approvals.clone();
        if let Some(project) = user.at(&self.at_project()) {
            approvals.add(project);
        }
        approvals.has(name)
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

/// What settings say of the servers of a project. One that cannot be read approves nothing; that
/// it cannot is said where policies are.
///
/// Settings in the project approve only where they are the user's for sure.
fn approvals(machine: &Machine, project: &Path, is_trusted: bool) -> Approvals {
    let own = clients::Machine::variable(machine, "CLAUDE_CONFIG_DIR")
        .unwrap_or_else(|| clients::Machine::home(machine).join(".claude"));
    let mut approvals = Approvals::default();
    let read = |path: &Path| {
        let text = config_file::read_file(path).ok()?;
        Grammar::Jsonc.read(&text).ok()
    };
    if let Some(settings) = read(&own.join("settings.json")) {
        approvals.add(&settings);
    }
    let local = project.join(".claude/settings.local.json");
    if let Some(settings) = read(&local) {
        if is_trusted && !tracked::is_tracked(&local, is_trusted) {
            approvals.add(&settings);
        } else {
            approvals.add_refusals(&settings);
        }
    }
    if let Some(settings) = read(&project.join(".claude/settings.json")) {
        approvals.add_refusals(&settings);
    }
    approvals
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
                key_span: 0..0,
                node,
            }]),
        }
    })
}
