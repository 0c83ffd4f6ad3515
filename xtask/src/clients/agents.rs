//! Agents: how each is told of its servers, and asked which it reaches.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use toml_edit::{Array, DocumentMut, value};

use super::{Place, Target, codex, ended, shown};
use crate::{
    conformance::version::Fixture,
    provision::{Agent, Provisioned},
};

/// A server of an agent: its name, and where it is.
type Entry<'a> = (&'a str, &'a Target);

/// What they are told so that they look for nothing outside of this machine.
pub(crate) const QUIET: [(&str, &str); 8] = [
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("GEMINI_TELEMETRY_ENABLED", "false"),
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
    // Else it shows every server of a folder that nobody has trusted as disabled.
    ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
];

/// What an agent says of these servers, in the order of their names: whether it reaches each, and in what
/// words. For the tools of each there are words, too, where it tells them.
pub(crate) fn look(
    agent: Agent,
    provisioned: &Provisioned,
    place: &Place,
    names: &[&str],
) -> anyhow::Result<Vec<Look>> {
    let settled = |command| -> anyhow::Result<Command> {
        let mut command = place.settled(command, provisioned)?;
        command.envs(QUIET);
        Ok(command)
    };
    if agent == Agent::Codex {
        let log = place.home.join("app-server.log");
        let answer = codex::statuses(&mut settled(command(agent, provisioned))?, &log)?;
        let looks = names.iter().map(|name| codex::look(&answer, name));
        return looks.collect();
    }
    if agent == Agent::Copilot {
        // Its list says nothing about them, and without a login it starts none.
        let looks = names.iter().map(|name| {
            let mut command = command(agent, provisioned);
            command.arg(name);
            let text = all(&ended(&mut settled(command)?)?);
            Ok(Look {
                name: (*name).to_owned(),
                is_reached: text.contains("Status: Enabled"),
                tools: Vec::new(),
                text,
            })
        });
        return looks.collect();
    }
    let text = list(agent, provisioned, place, &[])?;
    let looks = names.iter().map(|name| {
        let shown = shown::listed(agent, &text, name);
        let shown = shown.with_context(|| format!("`{name}` is not shown in:\n{text}"))?;
        Ok(Look {
            name: (*name).to_owned(),
            is_reached: shown.is_reached,
            tools: Vec::new(),
            text: shown.text,
        })
    });
    looks.collect()
}

/// What an agent's own list says, with these variables.
pub(crate) fn list(
    agent: Agent,
    provisioned: &Provisioned,
    place: &Place,
    variables: &[(&str, PathBuf)],
) -> anyhow::Result<String> {
    let mut command = place.settled(command(agent, provisioned), provisioned)?;
    command.envs(QUIET);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    Ok(all(&ended(&mut command)?))
}

/// What an agent says of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) name: String,
    pub(crate) is_reached: bool,
    /// Sorted; none where it does not tell them.
    pub(crate) tools: Vec<String>,
    pub(crate) text: String,
}

/// Asks an agent that has these servers; what it showed of [`shown::POOLED`].
pub(super) fn run(
    agent: Agent,
    provisioned: &Provisioned,
    place: &Place,
    entries: &[Entry<'_>],
    fixture: Fixture,
) -> anyhow::Result<String> {
    let (file, text) = configuration(agent, entries);
    write(&place.home.join(file), &text)?;
    let mut command = place.settled(command(agent, provisioned), provisioned)?;
    command.envs(QUIET);
    if agent == Agent::Codex {
        let log = place.home.join("app-server.log");
        let answer = codex::statuses(&mut command, &log)?;
        return shown::reached(|name| codex::shown(&answer, name, fixture));
    }
    let output = ended(&mut command)?;
    let text = all(&output);
    let shown = shown::reached(|name| shown::listed(agent, &text, name));
    shown.with_context(|| format!("it ended with {} and showed:\n{text}", output.status))
}

fn command(agent: Agent, provisioned: &Provisioned) -> Command {
    let program = provisioned.agent(agent);
    let mut command = match agent {
        Agent::Gemini => {
            let mut command = Command::new(provisioned.node());
            command.arg(program);
            command
        }
        Agent::ClaudeCode | Agent::Codex | Agent::OpenCode | Agent::Copilot => {
            Command::new(program)
        }
    };
    match agent {
        Agent::Codex => command.arg("app-server"),
        Agent::Copilot => command.args(["mcp", "get"]),
        Agent::ClaudeCode | Agent::Gemini | Agent::OpenCode => command.args(["mcp", "list"]),
    };
    command
}

/// All that it wrote; some write their list to standard error.
fn all(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    shown::plain(&format!("{out}\n{err}"))
}

/// The file in its home that names its servers, and what stands in it.
fn configuration(agent: Agent, entries: &[Entry<'_>]) -> (&'static str, String) {
    let map = |entry: &dyn Fn(&Target) -> Value| -> Map<String, Value> {
        let entries = entries.iter();
        entries
            .map(|(name, target)| ((*name).to_owned(), entry(target)))
            .collect()
    };
    match agent {
        Agent::ClaudeCode => {
            let servers = map(&|target| match target {
                Target::Command(words) => {
                    json!({"type": "stdio", "command": words[0], "args": words[1..], "env": {}})
                }
                Target::Url(url) => json!({"type": "http", "url": url}),
            });
            (".claude.json", json!({"mcpServers": servers}).to_string())
        }
        Agent::Codex => (".codex/config.toml", codex_configuration(entries)),
        Agent::Gemini => {
            let servers = map(&|target| match target {
                Target::Command(words) => json!({"command": words[0], "args": words[1..]}),
                Target::Url(url) => json!({"httpUrl": url}),
            });
            let settings = json!({
                "general": {"enableAutoUpdate": false},
                "privacy": {"usageStatisticsEnabled": false},
                "mcpServers": servers,
            });
            (".gemini/settings.json", settings.to_string())
        }
        Agent::OpenCode => {
            let servers = map(&|target| match target {
                Target::Command(words) => json!({"type": "local", "command": words}),
                Target::Url(url) => json!({"type": "remote", "url": url, "oauth": false}),
            });
            let file = ".config/opencode/opencode.json";
            (file, json!({"mcp": servers}).to_string())
        }
        Agent::Copilot => {
            let servers = map(&|target| match target {
                Target::Command(words) => {
                    json!({"type": "local", "command": words[0], "args": words[1..], "tools": ["*"]})
                }
                Target::Url(url) => json!({"type": "http", "url": url, "tools": ["*"]}),
            });
            let file = ".copilot/mcp-config.json";
            (file, json!({"mcpServers": servers}).to_string())
        }
    }
}

fn codex_configuration(entries: &[Entry<'_>]) -> String {
    let mut document = DocumentMut::new();
    for (name, target) in entries {
        match target {
            Target::Command(words) => {
                let arguments: Array = words[1..].iter().collect();
                document["mcp_servers"][name]["command"] = value(words[0].as_str());
                document["mcp_servers"][name]["args"] = value(arguments);
            }
            Target::Url(url) => document["mcp_servers"][name]["url"] = value(url.as_str()),
        }
    }
    document.to_string()
}

pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_is_told_in_its_own_words() {
        let command = Target::Command(["mcpool", "connect", "a b"].map(str::to_owned).to_vec());
        let url = Target::Url("http://127.0.0.1:7665/mcp/b".to_owned());
        let entries = [("a", &command), ("b", &url)];
        let told = |agent| {
            let (file, text) = configuration(agent, &entries);
            let value = serde_json::from_str::<Value>(&text).unwrap_or_default();
            (file, text, value)
        };

        let (file, _, claude) = told(Agent::ClaudeCode);
        assert_eq!(file, ".claude.json");
        assert_eq!(claude["mcpServers"]["a"]["args"], json!(["connect", "a b"]));
        assert_eq!(claude["mcpServers"]["b"]["type"], "http");

        let (_, _, gemini) = told(Agent::Gemini);
        assert_eq!(gemini["mcpServers"]["a"]["command"], "mcpool");
        assert_eq!(
            gemini["mcpServers"]["b"]["httpUrl"],
            "http://127.0.0.1:7665/mcp/b"
        );

        let (_, _, opencode) = told(Agent::OpenCode);
        assert_eq!(
            opencode["mcp"]["a"]["command"],
            json!(["mcpool", "connect", "a b"])
        );
        assert_eq!(opencode["mcp"]["b"]["type"], "remote");

        let (_, text, _) = told(Agent::Codex);
        let codex: DocumentMut = text.parse().unwrap();
        let servers = &codex["mcp_servers"];
        assert_eq!(servers["a"]["command"].as_str(), Some("mcpool"));
        assert_eq!(servers["a"]["args"][1].as_str(), Some("a b"));
        assert_eq!(
            servers["b"]["url"].as_str(),
            Some("http://127.0.0.1:7665/mcp/b")
        );
    }
}
