//! Servers in the files of other systems: proxies and hubs that start servers as we do.
//!
//! They have the members that clients have, in a map by name or in a list. A file of profiles
//! (a table by name, with a `url`) is read as well.

use std::collections::BTreeMap;

use super::{
    grammar::{Grammar, Unreadable},
    tree::{Node, Value},
};
use crate::{ServerEntry, ServerName, Template};

/// One server of such a file: what is to be configured, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name there.
    pub name: String,
    /// It, as we would configure it.
    pub server: Result<(ServerName, ServerEntry), String>,
}

/// Members that hold servers, the commonest first.
const HOLDERS: [&str; 4] = ["mcpServers", "mcp_servers", "servers", "context_servers"];

/// The servers of a file, in its order. Without any, the file is no such file.
pub fn foreign(text: &str, grammar: Grammar) -> Result<Vec<Foreign>, Unreadable> {
    let tree = grammar.read(text)?;
    let holder = HOLDERS.iter().find_map(|key| tree.get(key));
    let entries: Vec<(&str, &Node)> = match holder.map(|holder| (holder, &holder.value)) {
        Some((_, Value::List(items))) => items
            .iter()
            .map(|item| {
                (
                    item.get("name").and_then(Node::text).unwrap_or_default(),
                    item,
                )
            })
            .collect(),
        Some((holder, _)) => named(holder).collect(),
        // Profiles.
        None => named(&tree)
            .filter(|(_, node)| node.get("url").is_some())
            .collect(),
    };
    Ok(entries
        .into_iter()
        .map(|(name, entry)| Foreign {
            name: name.to_owned(),
            server: server(name, entry),
        })
        .collect())
}

fn named(holder: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let members = holder.members().iter();
    members.map(|member| (member.key.as_str(), &member.node))
}

fn server(name: &str, entry: &Node) -> Result<(ServerName, ServerEntry), String> {
    let name: ServerName = name.parse().map_err(|error| format!("{error}"))?;
    let is = |key: &str, word: &str| {
        entry
            .get(key)
            .is_some_and(|node| node.value == Value::Other(word.to_owned()))
    };
    if is("enabled", "false") || is("disabled", "true") {
        return Err("disabled".to_owned());
    }
    if is("quarantined", "true") {
        return Err("quarantined there, until somebody has looked at it".to_owned());
    }
    let server = match text(entry, "url")? {
        Some(url) => ServerEntry {
            url: Some(url),
            headers: texts(entry, "headers")?,
            ca_cert: text(entry, "ca_cert")?,
            ..ServerEntry::default()
        },
        None => ServerEntry {
            command: text(entry, "command")?.ok_or("it has neither `command` nor `url`")?,
            args: list(entry, "args")?,
            env: texts(entry, "env")?,
            cwd: match text(entry, "cwd")? {
                Some(cwd) => Some(cwd),
                None => text(entry, "working_dir")?,
            },
            ..ServerEntry::default()
        },
    };
    let is_relative = server.command.contains('/') && !server.command.starts_with(['/', '$', '~']);
    if is_relative {
        return Err("its program is named by a relative path".to_owned());
    }
    Ok((name, server))
}

/// A text that we can fill in as they do: `${NAME}`.
fn filled(key: &str, text: &str) -> Result<String, String> {
    Template::parse(text, None)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{key}: {error}"))
}

fn text(entry: &Node, key: &str) -> Result<Option<String>, String> {
    match entry.get(key).map(|node| &node.value) {
        None => Ok(None),
        Some(Value::Text(text)) if text.is_empty() => Ok(None),
        Some(Value::Text(text)) => filled(key, text).map(Some),
        Some(Value::Other(raw)) if raw == "null" => Ok(None),
        Some(_) => Err(format!("{key} is no text")),
    }
}

fn list(entry: &Node, key: &str) -> Result<Vec<String>, String> {
    let Some(list) = entry.get(key) else {
        return Ok(Vec::new());
    };
    let words = list.items().iter().map(|item| match &item.value {
        Value::Text(text) | Value::Other(text) => filled(key, text),
        Value::Map(_) | Value::List(_) => Err(format!("{key} is no list of texts")),
    });
    words.collect()
}

fn texts(entry: &Node, key: &str) -> Result<BTreeMap<String, String>, String> {
    let Some(map) = entry.get(key) else {
        return Ok(BTreeMap::new());
    };
    let texts = map.members().iter().map(|member| match &member.node.value {
        Value::Text(text) | Value::Other(text) => {
            Ok((member.key.clone(), filled(&member.key, text)?))
        }
        Value::Map(_) | Value::List(_) => Err(format!("{key}.{} is no text", member.key)),
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, path::Path};

    use expect_test::{Expect, expect};

    use super::*;
    use crate::add_server;

    #[track_caller]
    fn check(text: &str, grammar: Grammar, expected: &Expect) {
        let mut config = String::new();
        let mut refused = String::new();
        for Foreign { name, server } in foreign(text, grammar).unwrap() {
            match server {
                Ok((name, entry)) => {
                    config = add_server(&config, Path::new("config.toml"), &name, &entry).unwrap();
                }
                Err(reason) => {
                    let _ = writeln!(refused, "{name:?}: {reason}");
                }
            }
        }
        expected.assert_eq(&format!("{config}---\n{refused}"));
    }

    #[test]
    fn a_map_of_servers_is_configured_as_it_stands() {
        check(
            r#"{ // comments are for people
              "mcpServers": {
                "memory": {"command": "npx", "args": ["-y", "server", 3], "env": {"K": "${K}", "N": 1}},
                "remote": {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer ${T}"}},
                "old": {"url": "https://x.example/sse", "type": "sse"},
                "off": {"command": "x", "enabled": false},
                "with space": {"command": "x"},
                "relative": {"command": "./x"},
                "odd": {"command": "x", "args": ["${A-b}"]},
                "nothing": {}
              }
            }"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.memory]
                command = "npx"
                args = ["-y", "server", "3"]
                env = { K = "${K}", N = "1" }

                [servers.remote]
                url = "https://x.example/mcp"
                headers = { Authorization = "Bearer ${T}" }

                [servers.old]
                url = "https://x.example/sse"
                ---
                "off": disabled
                "with space": a server's name is made of letters, digits, `.`, `_` and `-`, but character 5 is ' '
                "relative": its program is named by a relative path
                "odd": args: "A-b" is not the name of a variable; `${NAME}` and `${NAME:-default}` are the forms that exist
                "nothing": it has neither `command` nor `url`
            "#]],
        );
    }

    #[test]
    fn a_list_of_servers_is_configured_by_their_names() {
        check(
            r#"{"listen": ":8080", "mcpServers": [
                {"name": "local", "command": "python", "args": ["-m", "s"], "protocol": "stdio",
                 "working_dir": "/srv", "enabled": true},
                {"name": "http", "url": "http://localhost:3001", "protocol": "http", "enabled": true},
                {"name": "quiet", "command": "x", "enabled": false},
                {"name": "new", "command": "x", "enabled": true, "quarantined": true}
            ]}"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.local]
                command = "python"
                args = ["-m", "s"]
                cwd = "/srv"

                [servers.http]
                url = "http://localhost:3001"
                ---
                "quiet": disabled
                "new": quarantined there, until somebody has looked at it
            "#]],
        );
    }

    #[test]
    fn a_profile_is_a_server_with_an_address() {
        check(
            "[quarry]\nurl = \"wss://q.example:8420/mcp\"\nca_cert = \"/home/ada/ca.crt\"\n\
             [quarry.headers]\nAuthorization = \"Bearer x\"\n[other]\nkey = 1\n",
            Grammar::Toml,
            &expect![[r#"
                [servers.quarry]
                url = "wss://q.example:8420/mcp"
                headers = { Authorization = "Bearer x" }
                ca_cert = "/home/ada/ca.crt"
                ---
            "#]],
        );
    }
}
