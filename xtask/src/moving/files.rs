//! Files of clients as people have them, with real servers in them.

use serde_json::{Value, json};
use toml_edit::DocumentMut;

use crate::provision::Agent;

/// One server: its name, its command line, and its variables; or where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) url: Option<String>,
}

/// Where an agent has its file, below the home folder.
pub(super) fn path(agent: Agent) -> &'static str {
    match agent {
        Agent::ClaudeCode => ".claude.json",
        Agent::Codex => ".codex/config.toml",
        Agent::Gemini => ".gemini/settings.json",
        Agent::OpenCode => ".config/opencode/opencode.jsonc",
        Agent::Copilot => ".copilot/mcp-config.json",
    }
}

/// A file with these servers, one that is switched off, and what else such a file has.
pub(super) fn text(agent: Agent, entries: &[Entry], project: &str) -> String {
    let all = |one: &dyn Fn(&Entry) -> String, between: &str| -> String {
        let all: Vec<String> = entries.iter().map(one).collect();
        all.join(between)
    };
    match agent {
        Agent::ClaudeCode => format!(
            "{{\n  \"numStartups\": 214,\n  \"installMethod\": \"unknown\",\n  \"autoUpdates\": false,\n  \
             \"hasCompletedOnboarding\": true,\n  \"tipsHistory\": {{ \"new-user-warmup\": 4 }},\n  \
             \"projects\": {{\n    {}: {{\n      \"allowedTools\": [],\n      \"mcpServers\": {{}},\n      \
             \"enabledMcpjsonServers\": [\"shared\"],\n      \"hasTrustDialogAccepted\": true,\n      \
             \"lastCost\": 0.30142500000000005\n    }}\n  }},\n  \"mcpServers\": {{\n{}\n  }},\n  \
             \"bugs\": \"\\u00fcber \\\\ \\\"quoted\\\"\"\n}}\n",
            json!(project),
            all(&|entry| claude_code(entry), ",\n")
        ),
        Agent::Codex => format!(
            "# mine\nmodel = \"gpt-5\"\napproval_policy = 'on-request'\n\n{}\n[mcp_servers.off]\n\
             command = \"npx\"\nargs = [\"-y\", \"nobody\"]\nenabled = false\n\n\
             [projects.{}]\ntrust_level = \"trusted\"\n",
            all(&|entry| codex(entry), "\n"),
            json!(project)
        ),
        Agent::Gemini => format!(
            "{{\n    // what I like\n    \"ui\": {{\"theme\": \"Default\"}},\n    \
             \"general\": {{\"enableAutoUpdate\": false}},\n    \
             \"privacy\": {{\"usageStatisticsEnabled\": false}},\n    \"mcpServers\": {{\n{}\n    }}\n}}\n",
            all(&|entry| gemini(entry), ",\n")
        ),
        Agent::OpenCode => format!(
            "{{\n  // servers of mine\n  \"mcp\": {{\n{},\n    \"off\": {{ \"type\": \"local\", \
             \"command\": [\"npx\", \"nobody\"], \"enabled\": false }}\n  }},\n  \"autoupdate\": false,\n}}\n",
            all(&|entry| opencode(entry), ",\n")
        ),
        Agent::Copilot => format!(
            "{{\n\t\"mcpServers\": {{\n{}\n\t}}\n}}\n",
            all(&|entry| copilot(entry), ",\n")
        ),
    }
}

fn env(entry: &Entry) -> Value {
    let pairs = entry.env.iter();
    pairs
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn claude_code(entry: &Entry) -> String {
    format!(
        "    {}: {{\n      \"type\": \"stdio\",\n      \"command\": {},\n      \"args\": {},\n      \
         \"env\": {},\n      \"timeout\": 60000\n    }}",
        json!(entry.name),
        json!(entry.words[0]),
        json!(entry.words[1..]),
        env(entry)
    )
}

fn codex(entry: &Entry) -> String {
    let args: Vec<String> = entry.words[1..]
        .iter()
        .map(|word| format!("  {},\n", json!(word)))
        .collect();
    let table = format!(
        "[mcp_servers.{}]\ncommand = {} # why\nargs = [\n{}]\nstartup_timeout_sec = 60\n",
        entry.name,
        json!(entry.words[0]),
        args.concat()
    );
    if entry.env.is_empty() {
        return table;
    }
    let env: Vec<String> = entry
        .env
        .iter()
        .map(|(name, value)| format!("{name} = {}\n", json!(value)))
        .collect();
    format!(
        "{table}\n[mcp_servers.{}.env]\n{}",
        entry.name,
        env.concat()
    )
}

fn gemini(entry: &Entry) -> String {
    format!(
        "        {}: {{\"command\": {}, \"args\": {}, \"env\": {}, \"trust\": false, /* mine */ \"timeout\": 60000}}",
        json!(entry.name),
        json!(entry.words[0]),
        json!(entry.words[1..]),
        env(entry)
    )
}

fn opencode(entry: &Entry) -> String {
    format!(
        "    {}: {{\n      \"type\": \"local\",\n      \"command\": {},\n      \"environment\": {},\n      \
         \"enabled\": true,\n      \"timeout\": 60000,\n    }}",
        json!(entry.name),
        json!(entry.words),
        env(entry)
    )
}

fn copilot(entry: &Entry) -> String {
    format!(
        "\t\t{}: {{\n\t\t\t\"type\": \"local\",\n\t\t\t\"command\": {},\n\t\t\t\"args\": {},\n\t\t\t\
         \"env\": {},\n\t\t\t\"tools\": [\"*\"]\n\t\t}}",
        json!(entry.name),
        json!(entry.words[0]),
        json!(entry.words[1..]),
        env(entry)
    )
}

/// The servers that a file has, in its order, without those that are switched off.
pub(super) fn entries(agent: Agent, text: &str) -> anyhow::Result<Vec<Entry>> {
    let servers: Value = match agent {
        Agent::Codex => {
            let document: DocumentMut = text.parse()?;
            let servers = document.get("mcp_servers");
            toml(servers.unwrap_or(&toml_edit::Item::None))
        }
        Agent::OpenCode => jsonc(text)?["mcp"].clone(),
        Agent::ClaudeCode | Agent::Gemini | Agent::Copilot => jsonc(text)?["mcpServers"].clone(),
    };
    let mut entries = Vec::new();
    for (name, server) in servers.as_object().into_iter().flatten() {
        if server["enabled"] == json!(false) {
            continue;
        }
        let list = |value: &Value| -> Vec<String> {
            let words = value.as_array().into_iter().flatten();
            words.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let words = if agent == Agent::OpenCode {
            list(&server["command"])
        } else {
            let program = server["command"].as_str().map(str::to_owned);
            program.into_iter().chain(list(&server["args"])).collect()
        };
        let env = if agent == Agent::OpenCode {
            &server["environment"]
        } else {
            &server["env"]
        };
        let pairs = env.as_object().into_iter().flatten();
        let mut urls = ["url", "httpUrl"].iter().map(|key| &server[*key]);
        entries.push(Entry {
            name: name.clone(),
            url: urls.find_map(Value::as_str).map(str::to_owned),
            words,
            env: pairs
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
        });
    }
    // What was read has the order of the alphabet.
    entries.sort_by_key(|entry| match agent {
        Agent::Codex => text.find(&format!("[mcp_servers.{}]", entry.name)),
        Agent::ClaudeCode | Agent::Gemini | Agent::OpenCode | Agent::Copilot => {
            text.find(&format!("{}: {{", json!(entry.name)))
        }
    });
    Ok(entries)
}

fn jsonc(text: &str) -> anyhow::Result<Value> {
    // Comments and commas before brackets, as they stand in the files above.
    let mut plain = String::new();
    for line in text.lines() {
        let line = line.split("// ").next().unwrap_or(line);
        plain.push_str(&line.replace("/* mine */", ""));
        plain.push('\n');
    }
    let plain = plain.replace(",\n    }", "\n    }").replace(",\n}", "\n}");
    Ok(serde_json::from_str(&plain)?)
}

fn toml(item: &toml_edit::Item) -> Value {
    if let Some(table) = item.as_table_like() {
        let members = table.iter().map(|(key, item)| (key.to_owned(), toml(item)));
        return members.collect::<serde_json::Map<_, _>>().into();
    }
    match item.as_value() {
        Some(toml_edit::Value::String(text)) => json!(text.value()),
        Some(toml_edit::Value::Boolean(truth)) => json!(truth.value()),
        Some(toml_edit::Value::Integer(number)) => json!(number.value()),
        Some(toml_edit::Value::Array(items)) => {
            let items = items.iter().filter_map(|item| item.as_str());
            items.collect::<Vec<_>>().into()
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let entry = |name: &str, env: &[(&str, &str)]| Entry {
            name: name.to_owned(),
            words: ["/bin/x", "-y", "a b"].map(str::to_owned).to_vec(),
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            url: None,
        };
        let written = [entry("two", &[("A", "b")]), entry("one", &[])];
        for agent in Agent::ALL {
            let text = text(agent, &written, "/home/ada/src");
            let read = entries(agent, &text).unwrap();
            assert_eq!(read, written, "{text}");
        }
    }
}
