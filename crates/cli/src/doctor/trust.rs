//! Clients that ask a person before they use what a project's files name, and have not been answered yet.
//!
//! Only what a client writes down of the answers is looked at. VS Code, Cursor and Amp keep theirs where nobody
//! else reads them.

use std::path::{Path, PathBuf};

use config::clients::{self, Client, Grammar, Machine as _, Node, Step, Value};

use super::{
    Patient,
    finding::{Check, Finding},
};
use crate::{
    config_file,
    moving::{machine::Machine, shadow::CLIENT},
};

pub(super) fn check(_patient: &Patient<'_>) -> Vec<Finding> {
    let Ok(machine) = Machine::this() else {
        return Vec::new();
    };
    let Some(project) = machine.project() else {
        return Vec::new();
    };
    let pending = [
        claude_code(&machine, &project),
        codex(&machine, &project),
        gemini(&machine, &project),
    ];
    pending.into_iter().flatten().collect()
}

fn note(what: String, next: String) -> Finding {
    Finding::note(Check::Clients, what).next(next)
}

/// It asks for each server of `.mcp.json`, and goes by its name.
fn claude_code(machine: &Machine, project: &Path) -> Option<Finding> {
    let mut names = servers(CLIENT, &project.join(".mcp.json"));
    let folder = machine.variable("CLAUDE_CONFIG_DIR");
    let own = folder.clone().unwrap_or_else(|| machine.home());
    let settings = folder.unwrap_or_else(|| machine.home().join(".claude"));
    let of_project = project.to_string_lossy().into_owned();
    let mut decided = Vec::new();
    if let Some(state) = tree(&own.join(".claude.json"), Grammar::Json)
        && let Some(state) = state.at(&[Step::Key("projects".into()), Step::Key(of_project)])
    {
        decided.extend(answered(state));
    }
    let files = [
        settings.join("settings.json"),
        project.join(".claude/settings.json"),
        project.join(".claude/settings.local.json"),
    ];
    for settings in files.iter().filter_map(|file| tree(file, Grammar::Json)) {
        if is(settings.get("enableAllProjectMcpServers"), "true") {
            return None;
        }
        decided.extend(answered(&settings));
    }
    names.retain(|name| !decided.contains(name));
    (!names.is_empty()).then(|| {
        let what = format!(
            "Claude Code will ask before it starts what {} names: {}",
            machine.shown(&project.join(".mcp.json")),
            names.join(", ")
        );
        let next = format!(
            "start it in {} and answer; until then it does without",
            machine.shown(project)
        );
        note(what, next)
    })
}

/// The servers that somebody has said yes or no to.
fn answered(state: &Node) -> Vec<String> {
    let lists = ["enabledMcpjsonServers", "disabledMcpjsonServers"];
    let names = lists.iter().filter_map(|key| state.get(key));
    let names = names.flat_map(Node::items).filter_map(Node::text);
    names.map(str::to_owned).collect()
}

/// It reads nothing in a folder that it does not trust.
fn codex(machine: &Machine, project: &Path) -> Option<Finding> {
    let file = project.join(".codex/config.toml");
    let names = servers("codex", &file);
    let folder = machine.variable("CODEX_HOME");
    let folder = folder.unwrap_or_else(|| machine.home().join(".codex"));
    let own = tree(&folder.join("config.toml"), Grammar::Toml);
    let of_project = project.to_string_lossy().into_owned();
    let level = own.as_ref().and_then(|own| {
        let path = ["projects".into(), of_project, "trust_level".into()];
        own.at(&path.map(Step::Key))?.text()
    });
    (!names.is_empty() && level != Some("trusted")).then(|| {
        let shown = machine.shown(&file);
        let what = format!("Codex does not trust this folder, and passes over {shown}");
        let project = machine.shown(project);
        note(
            what,
            format!("start it in {project} and say that you trust it"),
        )
    })
}

/// It has no server at all in a folder that it does not trust, not even the user's own.
fn gemini(machine: &Machine, project: &Path) -> Option<Finding> {
    let home = machine.variable("GEMINI_CLI_HOME");
    let own = home.unwrap_or_else(|| machine.home()).join(".gemini");
    let files = [
        own.join("settings.json"),
        project.join(".gemini/settings.json"),
    ];
    if files.iter().all(|file| servers("gemini", file).is_empty()) {
        return None;
    }
    let settings = tree(&files[0], Grammar::Jsonc);
    let is_on = settings.as_ref().and_then(|settings| {
        let path = ["security", "folderTrust", "enabled"];
        settings.at(&path.map(|key| Step::Key(key.to_owned())))
    });
    if is(is_on, "false") {
        return None;
    }
    let rules = tree(&own.join("trustedFolders.json"), Grammar::Jsonc);
    let trust = trust(rules.as_ref(), project);
    (trust != Some(true)).then(|| {
        let shown = machine.shown(project);
        let what = format!("Gemini CLI does not trust {shown}, and has no servers there");
        let next = match trust {
            None => "start it there and answer, or say /permissions",
            Some(_) => "somebody has said so; /permissions in Gemini CLI changes it",
        };
        note(what, next.to_owned())
    })
}

/// What the rule says that is nearest to the folder; `None` without any.
fn trust(rules: Option<&Node>, project: &Path) -> Option<bool> {
    let rules = rules.map(Node::members).unwrap_or_default().iter();
    let about = rules.filter_map(|rule| {
        let folder = PathBuf::from(&rule.key);
        let (folder, is_trusted) = match rule.node.text()? {
            "TRUST_FOLDER" => (folder, true),
            "TRUST_PARENT" => (folder.parent()?.to_owned(), true),
            "DO_NOT_TRUST" => (folder, false),
            _ => return None,
        };
        let depth = folder.components().count();
        project.starts_with(&folder).then_some((depth, is_trusted))
    });
    // Of two that are as near, a no counts.
    let nearest = about.max_by_key(|(depth, is_trusted)| (*depth, !*is_trusted));
    nearest.map(|(_, is_trusted)| is_trusted)
}

fn is(node: Option<&Node>, word: &str) -> bool {
    node.is_some_and(|node| node.value == Value::Other(word.to_owned()))
}

/// The names of the servers in a client's file; of none that cannot be read, which another check tells.
fn servers(client: &str, file: &Path) -> Vec<String> {
    let client: Option<&&Client> = clients::ALL.iter().find(|known| known.id == client);
    let text = config_file::read_file(file).ok();
    let entries = client.zip(text).and_then(|(client, text)| {
        let entries = clients::survey(&text, client).ok()?;
        Some(entries.into_iter().map(|entry| entry.name).collect())
    });
    entries.unwrap_or_default()
}

fn tree(file: &Path, grammar: Grammar) -> Option<Node> {
    grammar.read(&config_file::read_file(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_says_whether_a_folder_is_trusted() {
        let rules = r#"{"/home/ada/work": "TRUST_FOLDER", "/home/ada/work/odd": "DO_NOT_TRUST",
            "/srv/one": "TRUST_PARENT", "/new": "SOMETHING_ELSE"}"#;
        let rules = Grammar::Jsonc.read(rules).unwrap();
        for (folder, expected) in [
            ("/home/ada/work", Some(true)),
            ("/home/ada/work/project", Some(true)),
            ("/home/ada/work/odd/project", Some(false)),
            ("/home/ada/workshop", None),
            ("/srv/two", Some(true)),
            ("/new", None),
        ] {
            assert_eq!(trust(Some(&rules), Path::new(folder)), expected, "{folder}");
        }
        assert_eq!(trust(None, Path::new("/srv")), None);
    }
}
