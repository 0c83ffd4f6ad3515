//! The programs that are clients, by what they are called.

use shim::mcp_proxy;

/// Programs and packages, each with what a person calls it. Those that are called like something else,
/// too, matter only where they have servers.
const AGENTS: &[(&str, &[&str])] = &[
    ("Claude Code", &["claude", "@anthropic-ai/claude-code"]),
    ("Claude Desktop", &["Claude", "claude-desktop"]),
    ("Codex", &["codex", "@openai/codex"]),
    ("Gemini CLI", &["gemini", "@google/gemini-cli"]),
    ("Cursor", &["cursor", "Cursor", "cursor-agent"]),
    (
        "VS Code",
        &["code", "code-insiders", "codium", "code-server"],
    ),
    ("Windsurf", &["windsurf"]),
    ("Zed", &["zed", "zed-editor"]),
    ("OpenCode", &["opencode", "opencode-ai"]),
    ("Copilot CLI", &["copilot", "@github/copilot"]),
    ("Cline", &["cline"]),
    ("Continue", &["cn", "@continuedev/cli"]),
    ("Goose", &["goose", "goosed"]),
    ("Kiro", &["kiro", "kiro-cli", "kiro-cli-chat"]),
    ("Amp", &["amp", "@sourcegraph/amp"]),
    ("LM Studio", &["lm-studio", "lmstudio"]),
];

/// What the client is called that a command line is; `None` if it is none.
pub(super) fn name(argv: &[String]) -> Option<&'static str> {
    let program = config::identify(argv)?.name;
    let (name, _) = AGENTS
        .iter()
        .find(|(_, programs)| programs.contains(&program.as_str()))?;
    (!is_serving(argv)).then_some(name)
}

/// Whether a client is here a server for another one: `claude mcp serve`, `codex mcp-server`.
pub(super) fn is_serving(argv: &[String]) -> bool {
    let words: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
    let serves = |words: &[&str]| words == ["mcp", "serve"] || words == ["mcp", "server"];
    words.windows(2).any(serves) || words.contains(&"mcp-server")
}

/// Whether it is `mcpool connect`, which stands before a server.
pub(super) fn is_shim(argv: &[String]) -> bool {
    is_mcpool(argv) && argv.get(1).is_some_and(|verb| verb == "connect")
}

/// Whether a command line of mcp-proxy is a session: no event, and no look at a daemon.
pub(super) fn is_session_of_mcp_proxy(argv: &[String]) -> bool {
    let is_other = |word: &String| {
        ["--health", "--hook"].contains(&word.as_str()) || word.starts_with("--hook=")
    };
    !argv.iter().any(is_other)
}

/// Whether it is called as mcp-proxy is.
pub(super) fn is_called_mcp_proxy(argv: &[String]) -> bool {
    argv.first()
        .is_some_and(|program| base_name(program) == mcp_proxy::NAME)
}

/// Whether it is called as a process of ours, of whatever kind.
pub(super) fn is_of_mcpool(argv: &[String]) -> bool {
    is_mcpool(argv)
}

fn is_mcpool(argv: &[String]) -> bool {
    argv.first()
        .is_some_and(|program| is_program_of_ours(base_name(program)))
}

/// Whether a file of this name is one of our programs.
pub(super) fn is_program_of_ours(name: &str) -> bool {
    matches!(name, "mcpool" | "mcpoold")
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn clients_are_known_by_program_script_and_package() {
        for (line, expected) in [
            ("claude --continue", Some("Claude Code")),
            (
                "node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js",
                Some("Claude Code"),
            ),
            ("node --no-warnings /usr/bin/gemini", Some("Gemini CLI")),
            ("npx -y @google/gemini-cli", Some("Gemini CLI")),
            ("/usr/share/code/code --type=utility", Some("VS Code")),
            ("vim notes-on-claude", None),
            ("bash", None),
            ("claude mcp serve", None),
            ("codex mcp-server", None),
        ] {
            assert_eq!(name(&argv(line)), expected, "{line}");
        }
    }

    #[test]
    fn a_shim_is_told_from_the_daemon_and_from_what_it_stands_before() {
        assert!(is_shim(&argv("/opt/bin/mcpool connect -- npx x")));
        assert!(!is_shim(&argv("mcpoold serve")));
        assert!(is_of_mcpool(&argv("/opt/bin/mcpoold serve")));
        assert!(!is_of_mcpool(&argv("npx mcpool-server")));
    }
}
