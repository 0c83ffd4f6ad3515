//! Servers in the files of other systems: proxies and hubs that start servers as we do.
//!
//! They have the members that clients have, in a map by name or in a list. A file of profiles
//! (a table by name, with a `url`) is read as well.
//!
//! **Invariant:** a server is what it was, or is left out with the reason.

use std::{collections::BTreeMap, slice};

use super::{
    grammar::{Grammar, Unreadable},
    survey::{Reason, is_off, is_ours, says},
    tree::{Node, Value},
};
use crate::{ServerEntry, ServerName, Template, auto_scope::what_starts};

/// One server of such a file: what is to be configured, or why it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its name there.
    pub name: String,
    /// It, as we would configure it.
    pub server: Result<(ServerName, ServerEntry), String>,
}

/// Why a server is left out that would wait for itself, or be shared twice over.
pub const THROUGH_MCPOOL: &str = "it goes through mcpool already";

/// Members that hold servers, the commonest first.
const HOLDERS: [&str; 4] = ["mcpServers", "mcp_servers", "servers", "context_servers"];

/// Members that say what a server is: only one of them does.
const MAIN: [&str; 4] = ["command", "url", "httpUrl", "serverUrl"];

/// Members that change how a server starts or is reached, or what of it is seen, in a way that is
/// not taken over.
const NOT_TAKEN: [&str; 28] = [
    // What it finds in its environment.
    "envFile",
    "env_file",
    "env_vars",
    "env_keys",
    "envs",
    "environment",
    // What it is started in.
    "isolation",
    "sandbox",
    "sandboxEnabled",
    "shell",
    // How its clients prove who they are.
    "apiKey",
    "api_key",
    "auth",
    "authProviderType",
    "authorization_token",
    "bearer_token_env_var",
    "env_http_headers",
    "headersHelper",
    "http_headers",
    "http_headers_helper",
    "oauth",
    "requestOptions",
    // Which of its tools its clients see.
    "disabledTools",
    "disabled_tools",
    "enabled_tools",
    "excludeTools",
    "includeTools",
    "tools",
];

/// The servers of a file, in its order; `None` if it has no place for any.
pub fn foreign(text: &str, grammar: Grammar) -> Result<Option<Vec<Foreign>>, Unreadable> {
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
        Some((holder, Value::Map(_))) => named(holder).collect(),
        Some((_, Value::Text(_) | Value::Other(_) | Value::Half(_))) => return Ok(None),
        None => {
            let profiles: Vec<_> = named(&tree)
                .filter(|(_, node)| node.get("url").is_some())
                .collect();
            if profiles.is_empty() {
                return Ok(None);
            }
            profiles
        }
    };
    let is_twice = |name: &str| entries.iter().filter(|(other, _)| *other == name).count() > 1;
    let found = entries.iter().map(|(name, entry)| Foreign {
        name: (*name).to_owned(),
        server: if is_twice(name) {
            Err(Reason::Twice.to_string())
        } else {
            server(name, entry)
        },
    });
    Ok(Some(found.collect()))
}

fn named(holder: &Node) -> impl Iterator<Item = (&str, &Node)> {
    let members = holder.members().iter();
    members.map(|member| (member.key.as_str(), &member.node))
}

fn server(name: &str, entry: &Node) -> Result<(ServerName, ServerEntry), String> {
    let name: ServerName = name.parse().map_err(|error| format!("{error}"))?;
    if is_off(entry) {
        return Err(Reason::Disabled.to_string());
    }
    if says(entry, "quarantined", "true") {
        return Err("quarantined there, until somebody has looked at it".to_owned());
    }
    let is_on = |node: &Node| !(is_empty(node) || node.is_word("false") || is_off(node));
    let mut not_taken = NOT_TAKEN.into_iter();
    if let Some(key) = not_taken.find(|key| {
        let node = entry.get(key);
        node.is_some_and(|node| is_on(node) && !(*key == "tools" && is_all(node)))
    }) {
        return Err(format!(
            "its `{key}` is not taken over, and it would be another server without; `mcpool add \
             {name}` adds it by hand"
        ));
    }
    let is_said = |key: &&str| entry.get(key).is_some_and(|node| !is_empty(node));
    let main: Vec<&str> = MAIN.into_iter().filter(is_said).collect();
    let server = match main.as_slice() {
        [] => return Err("it has neither `command` nor `url`".to_owned()),
        [one, other, ..] => return Err(format!("it has both `{one}` and `{other}`")),
        ["command"] => program(entry)?,
        [address] => ServerEntry {
            url: text(entry, address)?,
            headers: texts(entry, "headers")?,
            ca_cert: text(entry, "ca_cert")?,
            ..ServerEntry::default()
        },
    };
    Ok((name, server))
}

fn program(entry: &Node) -> Result<ServerEntry, String> {
    let command = text(entry, "command")?.unwrap_or_default();
    let args = list(entry, "args")?;
    let words: Vec<String> = [slice::from_ref(&command), &args].concat();
    if is_ours(&words) || what_starts(&words).is_through_mcpool {
        return Err(THROUGH_MCPOOL.to_owned());
    }
    if command.contains('/') && !command.starts_with(['/', '$', '~']) {
        return Err("its program is named by a relative path".to_owned());
    }
    Ok(ServerEntry {
        command,
        args,
        env: texts(entry, "env")?,
        cwd: match text(entry, "cwd")? {
            Some(cwd) => Some(cwd),
            None => text(entry, "working_dir")?,
        },
        ..ServerEntry::default()
    })
}

/// Whether it says nothing, in any grammar.
fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Map(members) => members.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Text(text) => text.is_empty(),
        Value::Other(raw) => is_null(raw),
        Value::Half(_) => false,
    }
}

/// Whether it is a list that leaves nothing out, as Copilot has it: `["*"]`.
fn is_all(node: &Node) -> bool {
    matches!(&node.value, Value::List(items) if items.iter().any(|item| item.text() == Some("*")))
}

fn is_null(raw: &str) -> bool {
    ["", "~", "null", "Null", "NULL"].contains(&raw)
}

/// A text that we can fill in as they do: `${NAME}`.
fn filled(key: &str, text: &str) -> Result<String, String> {
    Template::parse(text, None).map_err(|error| format!("{key}: {error}"))?;
    // In an argument it is for a shell, if for anybody.
    let has_dollar = key != "args" && has_variable_of_shell(text);
    if has_dollar || has_variable_of_others(text) {
        return Err(format!(
            "{key}: of what is filled in, only `${{NAME}}` is known here"
        ));
    }
    Ok(text.to_owned())
}

/// Whether there is a `$NAME`.
fn has_variable_of_shell(text: &str) -> bool {
    let mut behind = text.split('$').skip(1);
    behind.any(|rest| rest.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_'))
}

/// Whether there is an `{env:NAME}`, a `{file:PATH}` or a `%NAME%`.
fn has_variable_of_others(text: &str) -> bool {
    // Shorter ones may be bytes of an address, as in `%C3%A9`.
    let is_name = |part: &str| {
        part.len() > 2
            && part.starts_with(|it: char| it.is_ascii_uppercase())
            && part
                .bytes()
                .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
    };
    let mut between: Vec<&str> = text.split('%').skip(1).collect();
    between.pop();
    text.contains("{env:") || text.contains("{file:") || between.into_iter().any(is_name)
}

fn text(entry: &Node, key: &str) -> Result<Option<String>, String> {
    let Some(node) = entry.get(key).filter(|node| !is_empty(node)) else {
        return Ok(None);
    };
    let text = node.text().ok_or_else(|| format!("{key} is no text"))?;
    filled(key, text).map(Some)
}

fn list(entry: &Node, key: &str) -> Result<Vec<String>, String> {
    let Some(list) = entry.get(key).filter(|node| !is_empty(node)) else {
        return Ok(Vec::new());
    };
    let error = || format!("{key} is no list of texts");
    let Value::List(items) = &list.value else {
        return Err(error());
    };
    let words = items
        .iter()
        .map(|item| filled(key, scalar(item).ok_or_else(error)?));
    words.collect()
}

fn texts(entry: &Node, key: &str) -> Result<BTreeMap<String, String>, String> {
    let Some(map) = entry.get(key).filter(|node| !is_empty(node)) else {
        return Ok(BTreeMap::new());
    };
    let Value::Map(members) = &map.value else {
        return Err(format!("{key} is no map of texts"));
    };
    let texts = members.iter().map(|member| {
        let key = format!("{key}.{}", member.key);
        let text = scalar(&member.node).ok_or_else(|| format!("{key} is no text"))?;
        Ok((member.key.clone(), filled(&key, text)?))
    });
    texts.collect()
}

/// A text, or what counts as one as it is written: a number, a truth.
fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Other(raw) => Some(raw.as_str()).filter(|raw| !is_null(raw)),
        Value::Map(_) | Value::List(_) | Value::Half(_) => None,
    }
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
        for Foreign { name, server } in foreign(text, grammar).unwrap().unwrap() {
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
    fn what_is_not_taken_over_leaves_a_server_out() {
        check(
            r#"{"mcpServers": {
                "file": {"command": "x", "envFile": "/x/.env"},
                "names": {"command": "x", "env_vars": ["A"]},
                "login": {"url": "https://x.example", "oauth": {"clientId": "c"}},
                "box": {"command": "x", "isolation": {"enabled": true}},
                "off": {"command": "x", "isolation": {"enabled": false}, "envFile": "",
                    "sandboxEnabled": false, "oauth": null, "env_vars": [], "url": ""},
                "line": {"command": "x", "args": "-y s"},
                "nothing": {"command": "x", "args": [null]},
                "list": {"command": "x", "env": ["A=b"]},
                "header": {"url": "https://x.example", "headers": ["A: b"]},
                "null": {"command": "x", "env": {"A": null}},
                "number": {"command": 3},
                "both": {"command": "x", "httpUrl": "https://x.example"}
            }}"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.off]
                command = "x"
                ---
                "file": its `envFile` is not taken over, and it would be another server without; `mcpool add file` adds it by hand
                "names": its `env_vars` is not taken over, and it would be another server without; `mcpool add names` adds it by hand
                "login": its `oauth` is not taken over, and it would be another server without; `mcpool add login` adds it by hand
                "box": its `isolation` is not taken over, and it would be another server without; `mcpool add box` adds it by hand
                "line": args is no list of texts
                "nothing": args is no list of texts
                "list": env is no map of texts
                "header": headers is no map of texts
                "null": env.A is no text
                "number": command is no text
                "both": it has both `command` and `httpUrl`
            "#]],
        );
        check(
            "[mcp_servers.a]\nurl = \"https://x.example\"\nbearer_token_env_var = \"T\"\n\
             [mcp_servers.b]\nurl = \"https://x.example\"\nhttp_headers = { A = \"b\" }\n",
            Grammar::Toml,
            &expect![[r#"
                ---
                "a": its `bearer_token_env_var` is not taken over, and it would be another server without; `mcpool add a` adds it by hand
                "b": its `http_headers` is not taken over, and it would be another server without; `mcpool add b` adds it by hand
            "#]],
        );
        check(
            "mcpServers:\n  a:\n    command: x\n    args:\n    env:\n      A: ~\n  b:\n    command: x\n    args: ~\n",
            Grammar::Yaml,
            &expect![[r#"
                [servers.b]
                command = "x"
                ---
                "a": env.A is no text
            "#]],
        );
    }

    #[test]
    fn a_server_of_which_not_all_tools_are_seen_does_not_come_in_with_all() {
        check(
            r#"{"mcpServers": {
                "gemini": {"command": "x", "includeTools": ["read"]},
                "amp": {"url": "https://x.example", "excludeTools": ["write"]},
                "kiro": {"command": "x", "disabledTools": ["write"]},
                "copilot": {"command": "x", "tools": ["read"]},
                "all": {"command": "x", "tools": ["*"], "includeTools": [], "excludeTools": [],
                    "disabledTools": null},
                "none": {"command": "x", "disabledTools": ["*"]}
            }}"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.all]
                command = "x"
                ---
                "gemini": its `includeTools` is not taken over, and it would be another server without; `mcpool add gemini` adds it by hand
                "amp": its `excludeTools` is not taken over, and it would be another server without; `mcpool add amp` adds it by hand
                "kiro": its `disabledTools` is not taken over, and it would be another server without; `mcpool add kiro` adds it by hand
                "copilot": its `tools` is not taken over, and it would be another server without; `mcpool add copilot` adds it by hand
                "none": its `disabledTools` is not taken over, and it would be another server without; `mcpool add none` adds it by hand
            "#]],
        );
        check(
            "[mcp_servers.a]\ncommand = \"x\"\nenabled_tools = [\"read\"]\n\
             [mcp_servers.b]\ncommand = \"x\"\ndisabled_tools = [\"write\"]\n\
             [mcp_servers.c]\ncommand = \"x\"\ndisabled_tools = []\n",
            Grammar::Toml,
            &expect![[r#"
                [servers.c]
                command = "x"
                ---
                "a": its `enabled_tools` is not taken over, and it would be another server without; `mcpool add a` adds it by hand
                "b": its `disabled_tools` is not taken over, and it would be another server without; `mcpool add b` adds it by hand
            "#]],
        );
    }

    #[test]
    fn what_others_fill_in_is_not_taken_as_it_stands() {
        check(
            r#"{"mcpServers": {
                "braces": {"command": "x", "env": {"A": "{env:B}"}},
                "argument": {"command": "x", "args": ["{file:/b}"]},
                "dollar": {"url": "https://x.example", "headers": {"A": "Bearer $B"}},
                "percent": {"command": "%APPDATA%/x"},
                "shell": {"command": "sh", "args": ["-c", "exec $HOME/x"], "env": {"A": "5$ or 6$", "B": "9% %C3%A9 %"}}
            }}"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.shell]
                command = "sh"
                args = ["-c", "exec $HOME/x"]
                env = { A = "5$ or 6$", B = "9% %C3%A9 %" }
                ---
                "braces": env.A: of what is filled in, only `${NAME}` is known here
                "argument": args: of what is filled in, only `${NAME}` is known here
                "dollar": headers.A: of what is filled in, only `${NAME}` is known here
                "percent": command: of what is filled in, only `${NAME}` is known here
            "#]],
        );
    }

    #[test]
    fn a_name_that_stands_twice_is_nobody_s() {
        let twice = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}, "a": {"command": "z"}}}"#;
        let list = r#"{"mcpServers": [{"name": "a", "command": "x"}, {"name": "b", "command": "y"}, {"name": "a", "command": "z"}]}"#;
        for text in [twice, list] {
            check(
                text,
                Grammar::Jsonc,
                &expect![[r#"
                    [servers.b]
                    command = "y"
                    ---
                    "a": the file has this name twice
                    "a": the file has this name twice
                "#]],
            );
        }
    }

    #[test]
    fn an_address_has_the_name_that_the_client_gives_it() {
        check(
            r#"{"mcpServers": {"gemini": {"httpUrl": "https://x.example/mcp"},
                "windsurf": {"serverUrl": "https://y.example/mcp", "headers": {"A": "b"}}}}"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.gemini]
                url = "https://x.example/mcp"

                [servers.windsurf]
                url = "https://y.example/mcp"
                headers = { A = "b" }
                ---
            "#]],
        );
    }

    #[test]
    fn what_goes_through_mcpool_does_not_come_in() {
        check(
            r#"{"mcpServers": {
                "a": {"command": "/x/mcpool", "args": ["connect", "a"]},
                "b": {"command": "mcpool", "args": ["--home", "/h", "connect", "--", "npx", "b"]},
                "c": {"command": "mcpool", "args": ["sample-server"]},
                "d": {"command": "sh", "args": ["-c", "mcpool connect -- npx b"]}
            }}"#,
            Grammar::Jsonc,
            &expect![[r#"
                [servers.c]
                command = "mcpool"
                args = ["sample-server"]
                ---
                "a": it goes through mcpool already
                "b": it goes through mcpool already
                "d": it goes through mcpool already
            "#]],
        );
    }

    #[test]
    fn a_file_without_a_place_for_servers_is_none() {
        for text in [
            "",
            "{}",
            r#"{"amp.mcpServers": {}}"#,
            r#"{"mcpServers": "x"}"#,
        ] {
            assert_eq!(foreign(text, Grammar::Jsonc).unwrap(), None, "{text}");
        }
        let none = foreign(r#"{"mcpServers": {}}"#, Grammar::Jsonc);
        assert_eq!(none.unwrap(), Some(Vec::new()));
        assert_eq!(foreign("[a]\nkey = 1\n", Grammar::Toml).unwrap(), None);
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
