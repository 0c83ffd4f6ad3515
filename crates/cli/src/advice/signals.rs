//! What is known of a server: its copies, what they take, and what they give away.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use shim::workspace;

use crate::survey::{Figures, Running, Survey, figures};

/// Servers that only pass on to others over HTTP.
const RELAYS: &[&str] = &["remote", "proxy", "supergateway", "gateway"];

const CONTAINERS: &[&str] = &["docker", "podman", "nerdctl"];

/// Stands in arguments for the workspace of each session.
const WORKSPACE: &str = "${workspace}";

/// The same server, started by several sessions or several times.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Its name, for a person.
    pub(crate) name: String,
    pub(crate) copies: Vec<Copy>,
    pub(crate) signals: Signals,
}

/// One copy of a server.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) running: Running,
    /// The process of its client.
    pub(crate) client_pid: u32,
    pub(crate) now: Figures,
}

/// Everything that a verdict depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signals {
    pub(crate) copies: usize,
    /// How many clients have one.
    pub(crate) sessions: usize,
    /// In how many workspaces these work.
    pub(crate) workspaces: usize,
    /// What all copies take together.
    pub(crate) now: Figures,
    /// Whether an argument is the workspace, or a path in it.
    pub(crate) names_workspace: bool,
    /// Why sessions must not share it, by its name.
    pub(crate) exclusive: Option<&'static str>,
    /// It only passes on to a server elsewhere.
    pub(crate) is_relay: bool,
    pub(crate) is_container: bool,
    /// How long a copy took to answer its first request; `None` if that was not tried.
    pub(crate) ready_after: Option<Duration>,
    /// Whether it asks its client for roots; `None` if that was not tried.
    pub(crate) asks_for_roots: Option<bool>,
    /// What a copy takes that has just started, in KiB; `None` if that was not tried.
    pub(crate) after_start_kb: Option<u64>,
}

impl Signals {
    /// The memory of one copy, in KiB.
    pub(crate) fn copy_kb(&self) -> u64 {
        let copies = u64::try_from(self.copies).unwrap_or(u64::MAX);
        self.now.pss_kb / copies.max(1)
    }

    /// Those of four copies of 50 MB for four sessions in two workspaces.
    #[cfg(test)]
    pub(super) fn usual() -> Self {
        Signals {
            copies: 4,
            sessions: 4,
            workspaces: 2,
            now: Figures {
                processes: 8,
                pss_kb: 200 * 1024,
                watches: 0,
            },
            names_workspace: false,
            exclusive: None,
            is_relay: false,
            is_container: false,
            ready_after: None,
            asks_for_roots: None,
            after_start_kb: None,
        }
    }
}

/// What tells one server from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    arguments: Vec<String>,
}

/// The servers of all sessions, measured, the heaviest first.
pub(crate) fn groups(survey: &Survey) -> Vec<Group> {
    let mut found: BTreeMap<Key, Group> = BTreeMap::new();
    let mut workspaces: BTreeMap<Key, BTreeSet<Option<PathBuf>>> = BTreeMap::new();
    for session in &survey.sessions {
        let folder = session.folder.as_deref();
        let workspace = folder.and_then(workspace::around);
        for running in &session.servers {
            let key = key_of(running, workspace.as_deref());
            let places = workspaces.entry(key.clone()).or_default();
            places.insert(workspace.clone());
            let group = found.entry(key.clone()).or_insert_with(|| Group {
                name: running.identity.name.clone(),
                copies: Vec::new(),
                signals: first_signals(running, &key),
            });
            group.copies.push(Copy {
                running: running.clone(),
                client_pid: session.pid,
                now: figures(&running.members),
            });
        }
    }
    let mut groups: Vec<Group> = found
        .into_iter()
        .map(|(key, mut group)| {
            let clients: BTreeSet<u32> = group.copies.iter().map(|copy| copy.client_pid).collect();
            group.signals.copies = group.copies.len();
            group.signals.sessions = clients.len();
            group.signals.workspaces = workspaces.get(&key).map_or(0, BTreeSet::len);
            group.signals.now = group.copies.iter().map(|copy| copy.now).sum();
            group
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.signals.now.pss_kb));
    groups
}

fn first_signals(running: &Running, key: &Key) -> Signals {
    let program = running.argv.first().map_or("", String::as_str);
    let program = program.rsplit('/').next().unwrap_or(program);
    Signals {
        copies: 0,
        sessions: 0,
        workspaces: 0,
        now: Figures::default(),
        names_workspace: key
            .arguments
            .iter()
            .any(|argument| argument.contains(WORKSPACE)),
        exclusive: config::session_reason(&running.argv),
        is_relay: RELAYS.contains(&key.name.as_str()),
        is_container: CONTAINERS.contains(&program),
        ready_after: None,
        asks_for_roots: None,
        after_start_kb: None,
    }
}

/// Two copies with the same key are the same server.
fn key_of(running: &Running, workspace: Option<&Path>) -> Key {
    let arguments = running.identity.arguments.iter();
    Key {
        name: running.identity.key.clone(),
        arguments: arguments
            .map(|argument| without_workspace(argument, workspace, running.folder.as_deref()))
            .collect(),
    }
}

/// The argument as it would be in every workspace.
fn without_workspace(argument: &str, workspace: Option<&Path>, folder: Option<&Path>) -> String {
    let Some(workspace) = workspace else {
        return argument.to_owned();
    };
    // `.` and what begins so is in the folder that the server runs in.
    let is_relative = argument == "." || argument.starts_with("./");
    if is_relative && folder.is_some_and(|folder| folder.starts_with(workspace)) {
        return argument.replacen('.', WORKSPACE, 1);
    }
    let (option, path) = match argument.split_once('=') {
        Some((option, path)) if option.starts_with('-') => (format!("{option}="), path),
        Some(_) | None => (String::new(), argument),
    };
    match Path::new(path).strip_prefix(workspace) {
        Ok(rest) if rest.as_os_str().is_empty() => format!("{option}{WORKSPACE}"),
        Ok(rest) => format!("{option}{WORKSPACE}/{}", rest.display()),
        Err(_elsewhere) => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_in_the_workspace_is_the_same_in_every_workspace() {
        let check = |argument: &str, expected: &str| {
            let project = Path::new("/home/ada/project");
            let found = without_workspace(argument, Some(project), Some(project));
            assert_eq!(found, expected);
        };
        check("/home/ada/project", "${workspace}");
        check("/home/ada/project/docs", "${workspace}/docs");
        check("--root=/home/ada/project", "--root=${workspace}");
        check(".", "${workspace}");
        check("./docs", "${workspace}/docs");
        check("/home/ada/project-2", "/home/ada/project-2");
        check("--name=x", "--name=x");
        assert_eq!(without_workspace(".", None, None), ".");
    }
}
