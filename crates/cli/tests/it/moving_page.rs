//! The page about moving, followed as it is written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Home, Ran, finish};

/// What a newcomer has whom the page is for.
const CODEX: &str = "\
[mcp_servers.memory]
command = \"npx\"
args = [\"-y\", \"@modelcontextprotocol/server-memory\"]
env = { MEMORY_FILE_PATH = \"/srv/memory.json\" }
";

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/moving.md");
    fs::read_to_string(path).unwrap()
}

/// The blocks of the page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

fn typed(home: &Home, line: &str) -> Ran {
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_mcpool"));
    let path = format!("{}:/usr/bin:/bin", programs.parent().unwrap().display());
    finish(home.command("sh", &["-c", line]).env("PATH", path))
}

#[test]
fn a_newcomer_comes_in_and_out_again_by_what_the_page_says() {
    let home = Home::new();
    let codex = home.keep(".codex/config.toml", CODEX);
    let page = page();
    let commands = blocks(&page, "sh");
    let [look, apply, over_http, undo] = [0, 1, 2, 3].map(|at: usize| commands[at].trim());

    let ran = typed(&home, look);
    assert_eq!(ran.code, Some(5), "{look}: {ran:?}");
    let shown = ran
        .stdout
        .replace(env!("CARGO_BIN_EXE_mcpool"), "/home/ada/.local/bin/mcpool")
        // An installation beside the usual one has its words.
        .replace(&format!("\"--home\", \"{}\", ", home.pool().display()), "");
    let diff = &blocks(&page, "diff")[0];
    assert!(shown.contains(diff.as_str()), "{shown}\n{diff}");
    assert_eq!(fs::read_to_string(&codex).unwrap(), CODEX);

    for way_in in [apply, over_http] {
        home.configure("[http]\nlisten = [\"127.0.0.1:17665\"]\n");
        let ran = typed(&home, way_in);
        assert_eq!(ran.code, Some(0), "{way_in}: {ran:?}");
        let imported = fs::read_to_string(&codex).unwrap();
        let is_at_address = imported.contains("127.0.0.1:17665/mcp/memory");
        assert_eq!(is_at_address, way_in == over_http, "{way_in}: {imported}");
        assert_ne!(imported, CODEX);
        let ran = typed(&home, undo);
        assert_eq!(ran.code, Some(0), "{undo}: {ran:?}");
        assert_eq!(fs::read_to_string(&codex).unwrap(), CODEX, "{way_in}");
    }
}

#[test]
fn each_other_system_that_the_page_names_can_be_come_from() {
    let home = Home::new();
    let page = page();
    let lines = blocks(&page, "sh");
    let lines: Vec<&str> = lines.iter().flat_map(|block| block.lines()).collect();
    let entry = r#"{"mcpServers": {"time": {"command": "uvx", "args": ["mcp-server-time"]}}}"#;
    home.keep(".mcpproxy/mcp_config.json", entry);
    home.keep(".aitkit/lib/mcpproxy/mcp_proxy_config.json", entry);
    home.keep(
        ".punt-labs/mcp-proxy/time.toml",
        "[time]\nurl = \"ws://localhost:8420/mcp\"\n",
    );
    home.keep(".code-intelligence/server.toml", "[server]\nport = 17800\n");
    let project = home.root().join("project");
    fs::write(project.join("mcp_config.json"), entry).unwrap();
    fs::write(project.join("servers.json"), entry).unwrap();
    let from: Vec<&&str> = lines
        .iter()
        .filter(|line| line.contains("--from"))
        .collect();
    assert_eq!(from.len(), 6);
    for line in from {
        let ran = typed(&home, line);
        assert_eq!(ran.code, Some(5), "{line}: {ran:?}");
        assert!(ran.stdout.contains("+[servers."), "{line}: {ran:?}");
    }
}
