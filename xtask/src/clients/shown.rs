//! What agents show of their servers, read as a person reads it.

use anyhow::{bail, ensure};

use crate::provision::Agent;

/// The server that they shall reach, under the name that it has with them.
pub(super) const POOLED: &str = "pooled";

/// A server that mcpool does not have: an agent that reaches it, too, proves nothing.
pub(super) const NOBODY: &str = "nobody";

/// A tool that both of our servers have, and that needs no arguments.
pub(super) const TOOL: &str = "test_simple_text";

/// What an agent shows of one server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) is_reached: bool,
    /// Its own words.
    pub(super) text: String,
}

impl Shown {
    pub(super) fn failed(text: &str) -> Shown {
        Shown {
            is_reached: false,
            text: text.to_owned(),
        }
    }
}

/// Whether [`POOLED`] is reached and [`NOBODY`] is not; what is shown of the first.
pub(super) fn reached(shown: impl Fn(&str) -> Option<Shown>) -> anyhow::Result<String> {
    let Some(pooled) = shown(POOLED) else {
        bail!("`{POOLED}` is not shown at all");
    };
    ensure!(pooled.is_reached, "`{POOLED}` is shown as {}", pooled.text);
    let Some(nobody) = shown(NOBODY) else {
        bail!("`{NOBODY}` is not shown at all");
    };
    ensure!(
        !nobody.is_reached,
        "a server that does not exist is shown as {}",
        nobody.text
    );
    Ok(pooled.text)
}

/// What `mcp list` shows of a server, if it shows anything.
pub(super) fn listed(agent: Agent, text: &str, name: &str) -> Option<Shown> {
    let mut lines = text.lines().map(str::trim);
    match agent {
        // `pooled: mcpool connect … - ✔ Connected`
        Agent::ClaudeCode => {
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            let is_reached = line.ends_with(" - ✔ Connected");
            let begin = line.find(" - ✔ ").or_else(|| line.find(" - ✘ "));
            let state = begin.and_then(|begin| line.get(begin..)).unwrap_or(line);
            let text = state.trim_start_matches(" - ").to_owned();
            Some(Shown { is_reached, text })
        }
        // `✓ pooled: mcpool connect … (stdio) - Connected`
        Agent::Gemini => lines.find_map(|line| {
            let (mark, rest) = line.split_once(' ')?;
            let rest = rest.strip_prefix(name)?.strip_prefix(": ")?;
            let (_, state) = rest.rsplit_once(" - ")?;
            Some(Shown {
                is_reached: mark == "✓" && state == "Connected",
                text: format!("{mark} {state}"),
            })
        }),
        // `●  ✓ pooled connected`; below it, what went wrong
        Agent::OpenCode => {
            let words = |line: &str| -> Option<(String, String)> {
                let mut words = line.split_whitespace().skip(1);
                let (mark, server, state) = (words.next()?, words.next()?, words.next()?);
                (server == name).then(|| (mark.to_owned(), state.to_owned()))
            };
            let (mark, state) = lines.find_map(words)?;
            let is_reached = mark == "✓" && state == "connected";
            let below = lines.next().unwrap_or_default();
            let why = below.trim_start_matches('│').trim();
            let text = if is_reached {
                format!("{mark} {state}")
            } else {
                format!("{mark} {state}: {why}")
            };
            Some(Shown { is_reached, text })
        }
        // Their lists say nothing about whether a server is there.
        Agent::Codex | Agent::Copilot => None,
    }
}

/// The text without what only a terminal understands.
pub(super) fn plain(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // `[`, parameters, and one letter.
        let rest = piece.strip_prefix('[').unwrap_or(piece);
        let end = rest.find(|c: char| c.is_ascii_alphabetic());
        let rest = end.and_then(|end| rest.get(end + 1..));
        plain.push_str(rest.unwrap_or_default());
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAUDE_CODE: &str = "Checking MCP server health…\n\n\
        pooled: /a/mcpool connect --home /b - c legacy - ✔ Connected\n\
        web: http://127.0.0.1:37579/mcp/modern (HTTP) - ✔ Connected\n\
        nobody: /a/mcpool connect nobody - ✘ Failed to connect — -32603: no server - none\n\
        asks: http://127.0.0.1:1/mcp (HTTP) - ! Needs authentication\n";

    const GEMINI: &str = "Configured MCP servers:\n\n\
        ✗ nobody: /a/mcpool connect nobody (stdio) - Disconnected\n\
        ✓ pooled: /a/mcpool connect legacy (stdio) - Connected\n\
        ○ off: /a/mcpool connect legacy (stdio) - Disabled\n";

    const OPENCODE: &str = "┌  MCP Servers\n│\n\
        ●  ✗ nobody \u{1b}[90mfailed\n\
        │      MCP error -32603: no server\n\
        │      \u{1b}[90m/a/mcpool connect nobody\n│\n\
        ●  ✓ pooled \u{1b}[90mconnected\n\
        │      \u{1b}[90m/a/mcpool connect legacy\n│\n\
        └  2 server(s)\n";

    fn found(agent: Agent, text: &str, name: &str) -> Option<(bool, String)> {
        let shown = listed(agent, &plain(text), name)?;
        Some((shown.is_reached, shown.text))
    }

    #[test]
    fn claude_code_says_how_each_server_is() {
        let found = |name| found(Agent::ClaudeCode, CLAUDE_CODE, name);
        assert_eq!(found("pooled"), Some((true, "✔ Connected".into())));
        assert_eq!(found("web"), Some((true, "✔ Connected".into())));
        let why = "✘ Failed to connect — -32603: no server - none";
        assert_eq!(found("nobody"), Some((false, why.into())));
        assert!(found("asks").is_some_and(|(is_reached, _)| !is_reached));
        assert_eq!(found("pool"), None);
    }

    #[test]
    fn gemini_cli_says_how_each_server_is() {
        let found = |name| found(Agent::Gemini, GEMINI, name);
        assert_eq!(found("pooled"), Some((true, "✓ Connected".into())));
        assert_eq!(found("nobody"), Some((false, "✗ Disconnected".into())));
        assert_eq!(found("off"), Some((false, "○ Disabled".into())));
        assert_eq!(found("other"), None);
    }

    #[test]
    fn opencode_says_how_each_server_is_and_why() {
        let found = |name| found(Agent::OpenCode, OPENCODE, name);
        assert_eq!(found("pooled"), Some((true, "✓ connected".into())));
        let why = "✗ failed: MCP error -32603: no server";
        assert_eq!(found("nobody"), Some((false, why.into())));
        assert_eq!(found("other"), None);
    }

    #[test]
    fn an_agent_that_reaches_what_is_not_there_proves_nothing() {
        let shown = |is_reached| Shown {
            is_reached,
            text: "so".into(),
        };
        assert!(reached(|name| Some(shown(name == POOLED))).is_ok());
        assert!(reached(|_name| Some(shown(true))).is_err());
        assert!(reached(|_name| Some(shown(false))).is_err());
        assert!(reached(|name| (name == POOLED).then(|| shown(true))).is_err());
        assert!(reached(|_name| None).is_err());
    }
}
