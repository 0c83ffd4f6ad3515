//! Where clients keep their files, on every system.

use std::{fmt::Write as _, path::PathBuf};

use expect_test::expect;

use super::{ALL, Client, Kind, Machine, Reason, System, survey};

struct Fake(System);

impl Machine for Fake {
    fn system(&self) -> System {
        self.0
    }

    fn home(&self) -> PathBuf {
        PathBuf::from("~")
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        let is_set = ["OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR"].contains(&name);
        is_set.then(|| PathBuf::from(name))
    }

    fn project(&self) -> Option<PathBuf> {
        Some(PathBuf::from("."))
    }
}

#[test]
fn every_client_s_files_are_where_it_looks_for_them() {
    let mut report = String::new();
    for client in ALL {
        let _ = writeln!(report, "{}", client.id);
        for place in client.forms().flat_map(|form| form.places) {
            for system in [System::Linux, System::Mac, System::Windows] {
                if let Some(path) = place.on_machine(&Fake(system)) {
                    let _ = writeln!(report, "  {system:?} {}", path.display());
                }
            }
        }
    }
    expect![[r#"
        claude-code
          Linux ~/.claude.json
          Mac ~/.claude.json
          Windows ~/.claude.json
          Linux ./.mcp.json
          Mac ./.mcp.json
          Windows ./.mcp.json
        claude-desktop
          Mac ~/Library/Application Support/Claude/claude_desktop_config.json
          Windows ~/AppData/Roaming/Claude/claude_desktop_config.json
          Windows ~/AppData/Local/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json
          Linux ~/.config/Claude/claude_desktop_config.json
        codex
          Linux ~/.codex/config.toml
          Mac ~/.codex/config.toml
          Windows ~/.codex/config.toml
          Linux ./.codex/config.toml
          Mac ./.codex/config.toml
          Windows ./.codex/config.toml
        gemini
          Linux ~/.gemini/settings.json
          Mac ~/.gemini/settings.json
          Windows ~/.gemini/settings.json
          Linux ./.gemini/settings.json
          Mac ./.gemini/settings.json
          Windows ./.gemini/settings.json
        cursor
          Linux ~/.cursor/mcp.json
          Mac ~/.cursor/mcp.json
          Windows ~/.cursor/mcp.json
          Linux ./.cursor/mcp.json
          Mac ./.cursor/mcp.json
          Windows ./.cursor/mcp.json
        vscode
          Linux ~/.config/Code/User/mcp.json
          Linux ~/.config/Code/User/profiles/*/mcp.json
          Mac ~/Library/Application Support/Code/User/mcp.json
          Mac ~/Library/Application Support/Code/User/profiles/*/mcp.json
          Windows ~/AppData/Roaming/Code/User/mcp.json
          Windows ~/AppData/Roaming/Code/User/profiles/*/mcp.json
          Linux ./.vscode/mcp.json
          Mac ./.vscode/mcp.json
          Windows ./.vscode/mcp.json
        windsurf
          Linux ~/.codeium/windsurf/mcp_config.json
          Mac ~/.codeium/windsurf/mcp_config.json
          Windows ~/.codeium/windsurf/mcp_config.json
        zed
          Linux ~/.config/zed/settings.json
          Mac ~/.config/zed/settings.json
          Windows ~/AppData/Roaming/Zed/settings.json
          Linux ./.zed/settings.json
          Mac ./.zed/settings.json
          Windows ./.zed/settings.json
        opencode
          Linux ~/.config/opencode/config.json
          Mac ~/.config/opencode/config.json
          Windows ~/.config/opencode/config.json
          Linux ~/.config/opencode/opencode.json
          Mac ~/.config/opencode/opencode.json
          Windows ~/.config/opencode/opencode.json
          Linux ~/.config/opencode/opencode.jsonc
          Mac ~/.config/opencode/opencode.jsonc
          Windows ~/.config/opencode/opencode.jsonc
          Linux OPENCODE_CONFIG
          Mac OPENCODE_CONFIG
          Windows OPENCODE_CONFIG
          Linux ~/.opencode/opencode.json
          Mac ~/.opencode/opencode.json
          Windows ~/.opencode/opencode.json
          Linux ~/.opencode/opencode.jsonc
          Mac ~/.opencode/opencode.jsonc
          Windows ~/.opencode/opencode.jsonc
          Linux OPENCODE_CONFIG_DIR/opencode.json
          Mac OPENCODE_CONFIG_DIR/opencode.json
          Windows OPENCODE_CONFIG_DIR/opencode.json
          Linux OPENCODE_CONFIG_DIR/opencode.jsonc
          Mac OPENCODE_CONFIG_DIR/opencode.jsonc
          Windows OPENCODE_CONFIG_DIR/opencode.jsonc
          Linux ./opencode.json
          Mac ./opencode.json
          Windows ./opencode.json
          Linux ./opencode.jsonc
          Mac ./opencode.jsonc
          Windows ./opencode.jsonc
          Linux ./.opencode/opencode.json
          Mac ./.opencode/opencode.json
          Windows ./.opencode/opencode.json
          Linux ./.opencode/opencode.jsonc
          Mac ./.opencode/opencode.jsonc
          Windows ./.opencode/opencode.jsonc
        cline
          Linux ~/.cline/mcp.json
          Mac ~/.cline/mcp.json
          Windows ~/.cline/mcp.json
          Linux ~/.cline/data/settings/cline_mcp_settings.json
          Mac ~/.cline/data/settings/cline_mcp_settings.json
          Windows ~/.cline/data/settings/cline_mcp_settings.json
          Linux ~/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json
          Mac ~/Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json
          Windows ~/AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json
        continue
          Linux ~/.continue/config.yaml
          Mac ~/.continue/config.yaml
          Windows ~/.continue/config.yaml
          Linux ~/.continue/mcpServers/*.yaml
          Mac ~/.continue/mcpServers/*.yaml
          Windows ~/.continue/mcpServers/*.yaml
          Linux ~/.continue/mcpServers/*.yml
          Mac ~/.continue/mcpServers/*.yml
          Windows ~/.continue/mcpServers/*.yml
          Linux ./.continue/mcpServers/*.yaml
          Mac ./.continue/mcpServers/*.yaml
          Windows ./.continue/mcpServers/*.yaml
          Linux ./.continue/mcpServers/*.yml
          Mac ./.continue/mcpServers/*.yml
          Windows ./.continue/mcpServers/*.yml
          Linux ~/.continue/mcpServers/*.json
          Mac ~/.continue/mcpServers/*.json
          Windows ~/.continue/mcpServers/*.json
          Linux ./.continue/mcpServers/*.json
          Mac ./.continue/mcpServers/*.json
          Windows ./.continue/mcpServers/*.json
        goose
          Linux ~/.config/goose/config.yaml
          Mac ~/.config/goose/config.yaml
          Windows ~/AppData/Roaming/Block/goose/config/config.yaml
        kiro
          Linux ~/.kiro/settings/mcp.json
          Mac ~/.kiro/settings/mcp.json
          Windows ~/.kiro/settings/mcp.json
          Linux ./.kiro/settings/mcp.json
          Mac ./.kiro/settings/mcp.json
          Windows ./.kiro/settings/mcp.json
        copilot
          Linux ~/.copilot/mcp-config.json
          Mac ~/.copilot/mcp-config.json
          Windows ~/.copilot/mcp-config.json
          Linux ./.github/mcp.json
          Mac ./.github/mcp.json
          Windows ./.github/mcp.json
        amp
          Linux ~/.config/amp/settings.json
          Mac ~/.config/amp/settings.json
          Windows ~/.config/amp/settings.json
          Linux ./.amp/settings.json
          Mac ./.amp/settings.json
          Windows ./.amp/settings.json
    "#]].assert_eq(&report);
}

#[test]
fn every_client_has_a_word_of_its_own() {
    let mut ids: Vec<&str> = ALL.iter().map(|client| client.id).collect();
    assert_eq!(ids.len(), 15);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 15);
}

#[test]
fn a_session_with_mcpool_is_ours_wherever_it_finds_its_home() {
    let client = Client::named("cursor").unwrap();
    for (words, is_ours) in [
        (r#""connect", "a""#, true),
        (r#""--home", "/h", "connect", "--", "x""#, true),
        (r#""--home=/h", "connect", "a""#, true),
        (r#""--home", "connect", "serve""#, false),
        (r#""sample-server""#, false),
        ("", false),
    ] {
        let text =
            format!(r#"{{"mcpServers": {{"a": {{"command": "/x/mcpool", "args": [{words}]}}}}}}"#);
        let found = survey(&text, client).unwrap();
        let is_found = matches!(&found[0].kind, Kind::Ours(_));
        assert_eq!(is_found, is_ours, "{words}: {:?}", found[0].kind);
    }
}

#[test]
fn what_starts_mcpool_in_another_way_than_ours_is_through_it_already() {
    for (line, is_through) in [
        ("npx mcpool connect -- y", true),
        ("npx -y -p mcpool@1 mcpool connect y", true),
        ("uvx --from mcpool mcpool connect -- y", true),
        ("bash -c 'exec /opt/mcpool connect --name x -- npx y'", true),
        ("env X=1 mcpool --home /h connect -- y", true),
        ("cmd /c C:\\bin\\mcpool.exe connect y", true),
        ("mise x -- mcpool connect y", true),
        ("cargo run --bin mcpool -- connect y", true),
        ("npx mcpool connect -- docker run -i x", true),
        ("mcpool hook PostToolUse", true),
        ("sh -c 'mcpool hook PostToolUse'", true),
        ("mcpool sample-server", false),
        ("npx -y mcpool-server connect", false),
        ("server --name mcpool connect", false),
    ] {
        let is_left = left_alone(line) == Some(Reason::ThroughMcpool);
        assert_eq!(is_left, is_through, "{line}");
    }
}

#[test]
fn mcp_proxy_is_a_bridge_by_address_and_by_profile_and_else_has_a_server_behind_it() {
    let client = Client::named("cursor").unwrap();
    for (words, is_bridge) in [
        (r#""--config", "quarry""#, true),
        (r#""--config=quarry""#, true),
        (r#""--config", "quarry", "ws://h/mcp""#, true),
        (r#""ws://h/mcp""#, true),
        (r#""node", "server.js", "--config", "x""#, false),
        (
            r#""--port", "1", "--", "node", "server.js", "--config", "x""#,
            false,
        ),
    ] {
        let text = format!(
            r#"{{"mcpServers": {{"a": {{"command": "/x/mcp-proxy", "args": [{words}]}}}}}}"#
        );
        let found = survey(&text, client).unwrap();
        let is_left = matches!(&found[0].kind, Kind::LeftAlone(Reason::Bridge { .. }));
        assert_eq!(is_left, is_bridge, "{words}: {:?}", found[0].kind);
    }
}

/// Why Cursor's entry with this command line is left alone, if it is. Blanks part words, but in single quotes.
fn left_alone(line: &str) -> Option<Reason> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().collect::<Vec<_>>(),
        _quoted => vec![part],
    });
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    let (program, arguments) = words.split_first().unwrap();
    let text = format!(
        r#"{{"mcpServers": {{"a": {{"command": {program}, "args": [{}]}}}}}}"#,
        arguments.join(", ")
    );
    let found = survey(&text, Client::named("cursor").unwrap()).unwrap();
    match &found[0].kind {
        Kind::LeftAlone(reason) => Some(reason.clone()),
        Kind::Local(_) | Kind::Ours(_) => None,
    }
}

#[test]
fn a_container_is_one_behind_a_launcher_too() {
    for (line, expected) in [
        ("docker run -i --rm mcp/git", Some("docker")),
        ("/usr/bin/podman run -i mcp/git", Some("podman")),
        ("docker compose run git", Some("docker")),
        ("docker mcp gateway run", Some("docker")),
        ("docker-compose run --rm git", Some("docker-compose")),
        ("sh -c 'docker run -i mcp/git'", Some("docker")),
        (
            "bash -lc 'cd /srv && exec docker run -i mcp/git'",
            Some("docker"),
        ),
        ("sudo -u ada docker run -i mcp/git", Some("docker")),
        ("/usr/bin/env A=b docker run -i mcp/git", Some("docker")),
        ("flatpak-spawn --host podman run -i mcp/git", Some("podman")),
        ("op run -- docker run -i mcp/git", Some("docker")),
        ("C:\\Docker\\docker.exe run -i mcp/git", Some("docker")),
        ("cmd /c docker run -i mcp/git", Some("docker")),
        ("DOCKER.EXE run -i mcp/git", Some("docker")),
        ("CMD.exe /c Docker run -i mcp/git", Some("docker")),
        ("wsl docker run -i mcp/git", Some("docker")),
        ("wsl.exe -d Ubuntu -e docker run -i mcp/git", Some("docker")),
        ("WSL.EXE --cd ~ -- docker run -i mcp/git", Some("docker")),
        ("toolbox run -c tools server", Some("toolbox")),
        ("flatpak run org.example.Server", Some("flatpak")),
        ("wsl -u ada npx -y server", None),
        ("flatpak-spawn --host npx -y server", None),
        ("npx -y mcp-server-docker", None),
        ("uvx docker-mcp", None),
        ("npx -y server-filesystem /var/lib/docker", None),
        ("sh -c 'exec npx -y mcp-server-docker'", None),
        ("env DOCKER=docker npx -y server", None),
    ] {
        let expected = expected.map(|program| Reason::Container {
            program: program.to_owned(),
        });
        assert_eq!(left_alone(line), expected, "{line}");
    }
}

#[test]
fn a_bridge_is_one_behind_a_launcher_too_and_mcp_remote_without_an_address_as_well() {
    for (line, expected) in [
        ("npx -y mcp-remote@latest https://h/sse", Some("mcp-remote")),
        ("npx -y mcp-remote ${URL}", Some("mcp-remote")),
        (
            "npx -y -p mcp-remote@0.1 mcp-remote $URL",
            Some("mcp-remote"),
        ),
        (
            "npx --package=mcp-remote mcp-remote https://h",
            Some("mcp-remote"),
        ),
        ("npm exec -- mcp-remote https://h", Some("mcp-remote")),
        ("pnpm dlx mcp-remote https://h", Some("mcp-remote")),
        ("bunx mcp-remote https://h", Some("mcp-remote")),
        (
            "deno run -A npm:mcp-remote@0.1 https://h",
            Some("mcp-remote"),
        ),
        ("sh -c 'npx -y mcp-remote https://h'", Some("mcp-remote")),
        ("env A=b npx mcp-remote https://h", Some("mcp-remote")),
        ("mise x -- npx -y mcp-remote https://h", Some("mcp-remote")),
        (
            "mise x node@22 -- npx -y mcp-remote https://h",
            Some("mcp-remote"),
        ),
        (
            "volta run --node 22 npx mcp-remote https://h",
            Some("mcp-remote"),
        ),
        ("cmd /c npx -y mcp-remote https://h", Some("mcp-remote")),
        (
            "C:\\Programs\\nodejs\\npx.cmd -y mcp-remote https://h",
            Some("mcp-remote"),
        ),
        (
            "node /usr/lib/node_modules/mcp-remote/dist/proxy.js https://h",
            Some("mcp-remote"),
        ),
        (
            "node /srv/mcp-remote/dist/proxy.js https://h",
            Some("mcp-remote"),
        ),
        (
            "uvx mcp-proxy==0.8 --transport sse https://h",
            Some("mcp-proxy"),
        ),
        ("python3 -m mcp_proxy https://h", Some("mcp-proxy")),
        ("npx -y supergateway --sse https://h", Some("supergateway")),
        ("uvx mcp-proxy --port 1 -- server", None),
        ("npx -y supergateway --stdio server", None),
        ("npx -y mcp-remote-files https://h", None),
        ("npx -y server-filesystem /srv/mcp-remote", None),
        ("/srv/mcp-remote/.venv/bin/python /srv/server.py", None),
        ("uvx mcp-server-fetch https://h", None),
    ] {
        assert_eq!(left_alone(line), expected.map(bridge), "{line}");
    }
}

fn bridge(program: &'static str) -> Reason {
    Reason::Bridge {
        program,
        name: "a".to_owned(),
    }
}

#[test]
fn a_bridge_is_one_however_its_name_is_written_and_fastmcp_is_by_what_it_is_told() {
    for (line, expected) in [
        ("npx -y @scope/Mcp-Remote https://h", Some("mcp-remote")),
        ("NPX.CMD -y mcp-remote https://h", Some("mcp-remote")),
        ("wsl.exe -- npx -y mcp-remote https://h", Some("mcp-remote")),
        ("uvx fastmcp proxy https://h", Some("fastmcp")),
        (
            "uvx fastmcp@2 run --transport stdio https://h",
            Some("fastmcp"),
        ),
        ("fastmcp run --no-banner https://h", Some("fastmcp")),
        ("fastmcp run https://h/mcp", Some("fastmcp")),
        (
            "uv run --with fastmcp fastmcp proxy https://h",
            Some("fastmcp"),
        ),
        ("fastmcp run server.py --issuer https://h", None),
        ("uvx --from fastmcp my-server https://h", None),
        (
            "bash -c 'exec npx -y supergateway --sse https://h'",
            Some("supergateway"),
        ),
    ] {
        assert_eq!(left_alone(line), expected.map(bridge), "{line}");
    }
}

#[test]
fn a_command_that_only_a_shell_would_understand_is_left_alone() {
    let client = Client::named("cursor").unwrap();
    for (program, is_left) in [
        ("npx -y server", true),
        ("~/bin/server", true),
        ("/opt/my server/run", false),
        ("C:\\\\Program Files\\\\node.exe", false),
        ("${HOME}/bin/server", false),
        ("server~", false),
    ] {
        let text = format!(r#"{{"mcpServers": {{"a": {{"command": "{program}"}}}}}}"#);
        let found = survey(&text, client).unwrap();
        let is_shell = found[0].kind == Kind::LeftAlone(Reason::Shell);
        assert_eq!(is_shell, is_left, "{program}: {:?}", found[0].kind);
    }
}
