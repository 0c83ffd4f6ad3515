//! Whether what import has put before a project's file still says what the file says, and is still wanted.
//!
//! A copy does not follow: others who have the project change its file, and what stands before it is
//! what runs. Import has noted what it has put there; what a person has put there is theirs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::clients::{self, Approval, Client, Entry, Kind, Node, Reach, Step, Value};

use super::{
    journal::{self, SavedStep},
    machine::Machine,
    safe_file::Original,
    shadow::{CLIENT, Shadows, Standing},
};
use crate::ui;

/// One server that import has put before the file of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    /// The user's file that has it.
    pub(super) file: PathBuf,
    project: String,
    pub(super) server: String,
    at: Vec<Step>,
}

/// Why what stands before a project's file is not what is to stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// The file says something else of the server.
    Changed,
    /// It says nothing of it any more.
    Gone,
    /// The person does not want it to run any more.
    Unwanted,
    /// The file is the user's alone.
    Own,
}

/// What is out of date before the file of one project.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Stale {
    pub(crate) project: String,
    pub(crate) servers: Vec<String>,
}

/// All that imports have put before the files of projects, each once.
pub(crate) fn all_put(state: &Path) -> anyhow::Result<Vec<Put>> {
    let mut all: Vec<Put> = Vec::new();
    for row in journal::rows(state)? {
        if row.client != CLIENT {
            continue;
        }
        let steps = |at: &Vec<SavedStep>| -> Vec<Step> { at.iter().map(Step::from).collect() };
        // What was a person's is imported in its place.
        let theirs: Vec<Vec<Step>> = row.entries.iter().map(steps).collect();
        all.retain(|put| put.file != row.path || !theirs.contains(&put.at));
        for at in row.added.iter().map(steps) {
            let [_, Step::Key(project), _, Step::Key(server)] = at.as_slice() else {
                continue;
            };
            let put = Put {
                file: row.path.clone(),
                project: project.clone(),
                server: server.clone(),
                at,
            };
            if !all.contains(&put) {
                all.push(put);
            }
        }
    }
    Ok(all)
}

impl Put {
    pub(crate) fn is_of(&self, project: &Path) -> bool {
        Path::new(&self.project) == project
    }

    /// Why this is not what is to stand there, unless it is; and where it stands.
    pub(super) fn looked_at<'e>(
        &self,
        entries: &'e [Entry],
        user: &Node,
        project: &Shadows,
    ) -> Option<(&'e Entry, Now)> {
        let entry = entries.iter().find(|entry| entry.at == self.at)?;
        let Kind::Ours(command) = &entry.kind else {
            // A person has put something there since.
            return None;
        };
        let dashes = command.words.iter().position(|word| word == "--")?;
        let Some(theirs) = project.entry(&self.server) else {
            return Some((entry, Now::Gone));
        };
        if project.standing == Standing::Own {
            return Some((entry, Now::Own));
        }
        let Some(candidate) = project.candidate(theirs) else {
            return Some((entry, Now::Changed));
        };
        if project.approval(&self.server, user) != Approval::Approved {
            return Some((entry, Now::Unwanted));
        }
        let words = [&command.words[..=dashes], &candidate.local.command.words].concat();
        let is_same = says_the_same(user.at(&entry.at)?, &candidate.through(&words));
        (!is_same).then_some((entry, Now::Changed))
    }
}

/// What is out of date, of all projects that are there. What cannot be read is told elsewhere.
pub(crate) fn all_stale(machine: &Machine, state: &Path) -> Vec<Stale> {
    let (Some(client), Ok(put)) = (Client::named(CLIENT), all_put(state)) else {
        return Vec::new();
    };
    let mut all: Vec<Stale> = Vec::new();
    // Each is looked at once, as git is asked for it.
    let mut projects: BTreeMap<&str, Option<Shadows>> = BTreeMap::new();
    let files = machine.files(&[client]).into_iter();
    for found in files.filter(|found| found.place.reach == Reach::User) {
        let Ok(Some(original)) = Original::read(&found.path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&original.bytes);
        let (Ok(user), Ok(entries)) = (client.grammar.read(&text), clients::survey(&text, client))
        else {
            continue;
        };
        for server in put.iter().filter(|put| put.file == original.path) {
            let shadows = projects
                .entry(&server.project)
                .or_insert_with(|| told_of(machine, Path::new(&server.project)));
            let now = shadows
                .as_ref()
                .and_then(|shadows| server.looked_at(&entries, &user, shadows));
            if now.is_none() {
                continue;
            }
            match all.iter_mut().find(|it| it.project == server.project) {
                Some(of_project) => of_project.servers.push(server.server.clone()),
                None => all.push(Stale {
                    project: server.project.clone(),
                    servers: vec![server.server.clone()],
                }),
            }
        }
    }
    all
}

/// What there is to know of a project that is there; `None` where it cannot be told.
fn told_of(machine: &Machine, project: &Path) -> Option<Shadows> {
    let machine = project.is_dir().then(|| machine.in_project(project))?;
    let shadows = Shadows::read(&machine)?;
    let is_known = !matches!(shadows.standing, Standing::Unknown(_));
    is_known.then_some(shadows)
}

impl Stale {
    /// What is so.
    pub(crate) fn what(&self) -> String {
        format!(
            "what import has put before {}/.mcp.json is not what that says by now, or what you want of it, and \
             is what Claude Code runs: {}",
            self.project,
            self.servers.join(", ")
        )
    }

    /// The command that mends it.
    pub(crate) fn mend(&self) -> String {
        let project = ui::in_quotes(&self.project);
        format!("cd {project} && mcpool import --client claude-code --apply")
    }
}

/// Whether two values say the same: members in any order, and numbers as they count, because its client
/// writes the user's file anew all the time.
fn says_the_same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Text(one), Value::Text(other)) | (Value::Half(one), Value::Half(other)) => {
            one == other
        }
        (Value::Other(one), Value::Other(other)) => {
            let number = |text: &str| text.parse::<f64>().ok();
            let numbers = number(one).zip(number(other));
            one == other || numbers.is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
        }
        (Value::List(one), Value::List(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| says_the_same(one, other))
        }
        (Value::Map(members), Value::Map(others)) => {
            let mut members_of = members.iter();
            members.len() == others.len()
                && members_of.all(|member| {
                    let same = other.get(&member.key);
                    same.is_some_and(|other| says_the_same(&member.node, other))
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use config::clients::Grammar;

    use super::*;

    #[test]
    fn what_is_said_counts_and_not_how() {
        let read = |text| Grammar::Json.read(text).unwrap();
        for (one, other, expected) in [
            (
                r#"{"a": 1, "b": ["x"]}"#,
                r#"{"b":["\u0078"],"a":1.0}"#,
                true,
            ),
            (r#"{"a": 1}"#, r#"{"a": "1"}"#, false),
            (r#"{"a": 1}"#, r#"{"a": 2}"#, false),
            (r#"{"a": true}"#, r#"{"a": false}"#, false),
            (r#"["x", "y"]"#, r#"["y", "x"]"#, false),
            (r#"["x"]"#, r#"["x", "y"]"#, false),
            (r#"{"a": {}}"#, r#"{"a": {}, "b": {}}"#, false),
        ] {
            assert_eq!(says_the_same(&read(one), &read(other)), expected, "{one}");
        }
    }
}
