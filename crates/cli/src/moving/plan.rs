//! What an import would change, and what it leaves alone, and why.

use std::{fs, path::Path};

use anyhow::Context;
use config::clients::{self, Caller, Change, Client, Entry, Kind, Policy, Reach, Step};

use super::{
    machine::{self, Found, Machine},
    safe_file::Original,
};
use crate::config_file;

/// What a user wants imported.
pub(crate) struct Wish<'a> {
    pub(crate) clients: &'a [&'static Client],
    /// Servers by name; empty for all.
    pub(crate) servers: &'a [String],
}

/// How clients are told to start us.
pub(crate) struct Callers {
    /// From files of this user.
    of_user: Caller,
    /// From files of a project, which other people have, too; `None` where they would not find us.
    of_project: Option<Caller>,
}

/// What becomes of one file.
pub(crate) struct FilePlan {
    pub(crate) client: &'static Client,
    pub(crate) original: Original,
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) adopted: Vec<Adopted>,
    pub(crate) left: Vec<Left>,
    /// The names of all servers that the file has.
    pub(crate) names: Vec<String>,
}

/// A server that goes through mcpool then.
#[derive(Clone)]
pub(crate) struct Adopted {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    /// Where it stands in its file.
    pub(crate) at: Vec<Step>,
    pub(crate) was: Vec<String>,
    pub(crate) becomes: Vec<String>,
}

/// A server that stays as it is.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Left {
    pub(crate) name: String,
    pub(crate) project: Option<String>,
    pub(crate) reason: String,
}

/// A file that cannot be changed.
pub(crate) struct Untouched {
    pub(crate) client: &'static Client,
    pub(crate) path: std::path::PathBuf,
    pub(crate) reason: String,
}

impl Callers {
    pub(crate) fn find(home: Option<&Path>) -> anyhow::Result<Self> {
        let program = machine::small_program()?
            .into_os_string()
            .into_string()
            .ok()
            .context("the path of mcpool is no text, and clients' files are")?;
        let home = home
            .map(|home| home.to_str().map(str::to_owned))
            .map(|home| home.context("the path of MCPOOL_HOME is no text"))
            .transpose()?;
        Ok(Callers {
            of_user: Caller { program, home },
            of_project: machine::on_path().map(|_| Caller {
                program: "mcpool".to_owned(),
                home: None,
            }),
        })
    }
}

/// The rules of an administrator, and the user's own, for Claude Code.
pub(crate) fn policy(machine: &Machine) -> anyhow::Result<Policy> {
    let mut policy = Policy::default();
    let managed = machine::managed_folder();
    if managed.join("managed-mcp.json").exists() {
        policy.set_exclusive();
    }
    let mut files = vec![managed.join("managed-settings.json")];
    if let Ok(entries) = fs::read_dir(managed.join("managed-settings.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    let own = clients::Machine::variable(machine, "CLAUDE_CONFIG_DIR")
        .unwrap_or_else(|| clients::Machine::home(machine).join(".claude"));
    files.push(own.join("settings.json"));
    for file in files {
        let Ok(text) = config_file::read_file(&file) else {
            continue;
        };
        policy
            .add_settings(&text)
            .with_context(|| format!("{} cannot be read", file.display()))?;
    }
    Ok(policy)
}

/// Reads one file and decides; `None` if it is gone.
pub(crate) fn of_file(
    found: &Found,
    wish: &Wish<'_>,
    callers: &Callers,
    policy: &Policy,
) -> Result<Option<FilePlan>, Untouched> {
    let untouched = |reason: String| Untouched {
        client: found.client,
        path: found.path.clone(),
        reason,
    };
    let original = match Original::read(&found.path) {
        Ok(Some(original)) => original,
        Ok(None) => return Ok(None),
        Err(refused) => return Err(untouched(refused.to_string())),
    };
    let before = String::from_utf8(original.bytes.clone())
        .map_err(|_| untouched("it is not text in UTF-8".to_owned()))?;
    let entries = clients::survey(&before, found.client)
        .map_err(|error| untouched(format!("it cannot be parsed: {error}")))?;

    let mut plan = FilePlan {
        client: found.client,
        original,
        after: before.clone(),
        before,
        adopted: Vec::new(),
        left: Vec::new(),
        names: entries.iter().map(|entry| entry.name.clone()).collect(),
    };
    let mut changes = Vec::new();
    for entry in &entries {
        match decide(entry, found, wish, callers, policy) {
            Decision::Adopt(adopted, change) => changes.push((adopted, change)),
            Decision::Leave(reason) => plan.left.push(Left {
                name: entry.name.clone(),
                project: entry.project.clone(),
                reason,
            }),
            Decision::Nothing => {}
        }
    }
    plan.make(changes);
    Ok(Some(plan))
}

enum Decision {
    Adopt(Adopted, Vec<Change>),
    Leave(String),
    /// It goes through mcpool already, or nobody has asked for it.
    Nothing,
}

fn decide(
    entry: &Entry,
    found: &Found,
    wish: &Wish<'_>,
    callers: &Callers,
    policy: &Policy,
) -> Decision {
    let is_named = wish.servers.contains(&entry.name);
    if !wish.servers.is_empty() && !is_named {
        return Decision::Nothing;
    }
    let local = match &entry.kind {
        Kind::Local(local) => local,
        Kind::Ours(_) => return Decision::Nothing,
        Kind::LeftAlone(reason) => return Decision::Leave(reason.to_string()),
    };
    let words = &local.command.words;
    let is_claude_code = found.client.id == "claude-code";
    if is_claude_code && let Some(refusal) = policy.refusal(&entry.name, words) {
        return Decision::Leave(refusal.to_string());
    }
    if !is_named && let Some(what) = config::session_reason(words) {
        return Decision::Leave(format!(
            "one of its kind for each session ({what}): sharing brings nothing; \
             --server {} imports it all the same",
            entry.name
        ));
    }
    let caller = match (found.place.reach, &callers.of_project) {
        (Reach::User, _) => &callers.of_user,
        // Several clients read this very file, and its servers are approved one by one.
        (Reach::Project, _) if is_claude_code => {
            return Decision::Leave(
                "the project's file is everybody's who has the project; \
                 `claude mcp add --scope local` puts one of the same name before it, for you alone"
                    .to_owned(),
            );
        }
        (Reach::Project, Some(caller)) => caller,
        (Reach::Project, None) => {
            return Decision::Leave(
                "the project's file cannot name a folder of yours, and `mcpool` is not on PATH"
                    .to_owned(),
            );
        }
    };
    Decision::Adopt(
        Adopted {
            name: entry.name.clone(),
            project: entry.project.clone(),
            at: entry.at.clone(),
            was: words.clone(),
            becomes: caller.command_line(&entry.name, local),
        },
        clients::adopt(entry, local, caller),
    )
}

impl FilePlan {
    /// Whether anything would change.
    pub(crate) fn is_change(&self) -> bool {
        !self.adopted.is_empty()
    }

    /// All changes at once; if that is not possible, each that is.
    fn make(&mut self, changes: Vec<(Adopted, Vec<Change>)>) {
        let all: Vec<Change> = changes
            .iter()
            .flat_map(|(_, change)| change.iter().cloned())
            .collect();
        if let Ok(after) = self.client.grammar.edit(&self.before, &all) {
            self.after = after;
            self.adopted = changes.into_iter().map(|(adopted, _)| adopted).collect();
            return;
        }
        for (adopted, change) in changes {
            match self.client.grammar.edit(&self.after, &change) {
                Ok(after) => {
                    self.after = after;
                    self.adopted.push(adopted);
                }
                Err(error) => self.left.push(Left {
                    name: adopted.name,
                    project: adopted.project,
                    reason: error.to_string(),
                }),
            }
        }
    }
}
