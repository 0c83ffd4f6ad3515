//! The real servers of the matrix, and what is asked of each.
//!
//! The first step of each server is a call that works and the second one that
//! is refused: clients that make one call per run are given these two.
//! Sessions of one server write only what carries their own mark, so that what a
//! session sees does not depend on what its neighbours did first.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::normalise::Normalisation;
use crate::{
    provision::{Provisioned, Python},
    shell,
};

/// Stands in a plan for what tells one session from another.
pub(crate) const MARK: &str = "MARK";

/// A real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Everything,
    Memory,
    Filesystem,
    SequentialThinking,
    Git,
    Time,
    Sqlite,
}

/// How many processes any number of equal sessions may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// One for all of them.
    One,
    /// One for each: the server declares `tasks`, which cannot be told apart yet.
    PerSession,
}

impl Server {
    pub(crate) const ALL: [Server; 7] = [
        Server::Everything,
        Server::Memory,
        Server::Filesystem,
        Server::SequentialThinking,
        Server::Git,
        Server::Time,
        Server::Sqlite,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Server::Everything => "everything",
            Server::Memory => "memory",
            Server::Filesystem => "filesystem",
            Server::SequentialThinking => "sequential-thinking",
            Server::Git => "git",
            Server::Time => "time",
            Server::Sqlite => "sqlite",
        }
    }

    pub(crate) fn sharing(self) -> Sharing {
        match self {
            Server::Everything => Sharing::PerSession,
            Server::Memory
            | Server::Filesystem
            | Server::SequentialThinking
            | Server::Git
            | Server::Time
            | Server::Sqlite => Sharing::One,
        }
    }

    /// What varies from run to run although nothing is wrong.
    pub(crate) fn normalisations(self) -> &'static [Normalisation] {
        match self {
            Server::Everything | Server::Time => &[Normalisation::Clock],
            Server::SequentialThinking => &[Normalisation::ThoughtCount],
            Server::Memory | Server::Filesystem | Server::Git | Server::Sqlite => &[],
        }
    }

    /// The command line that a user would write into the client's file.
    pub(crate) fn command(self, provisioned: &Provisioned, work: &Path) -> Vec<String> {
        let npm = |name: &str| {
            vec![
                text(&provisioned.node()),
                text(&provisioned.npm_script(name)),
            ]
        };
        let python = |python, name: &str| vec![text(&provisioned.python_program(python, name))];
        let (mut command, arguments) = match self {
            Server::Everything => (npm("mcp-server-everything"), vec![]),
            Server::Memory => (npm("mcp-server-memory"), vec![]),
            Server::Filesystem => (npm("mcp-server-filesystem"), vec![text(work)]),
            Server::SequentialThinking => (npm("mcp-server-sequential-thinking"), vec![]),
            Server::Git => (
                python(Python::Servers, "mcp-server-git"),
                vec!["--repository".into(), text(work)],
            ),
            // A zone of its own: the machine's may be anything.
            Server::Time => (
                python(Python::Servers, "mcp-server-time"),
                vec!["--local-timezone".into(), "UTC".into()],
            ),
            Server::Sqlite => (
                python(Python::Mcp1, "mcp-server-sqlite"),
                vec!["--db-path".into(), text(&work.join("data.sqlite"))],
            ),
        };
        command.extend(arguments);
        command
    }

    /// The variables that a user would write into the client's file.
    pub(crate) fn env(self, work: &Path) -> Vec<(&'static str, String)> {
        match self {
            Server::Memory => vec![("MEMORY_FILE_PATH", text(&work.join("memory.jsonl")))],
            Server::Everything
            | Server::Filesystem
            | Server::SequentialThinking
            | Server::Git
            | Server::Time
            | Server::Sqlite => vec![],
        }
    }

    /// Puts into its folder what the steps need to find there.
    pub(crate) fn prepare(self, work: &Path) -> anyhow::Result<()> {
        match self {
            Server::Memory => {
                let seed = json!({"type": "entity", "name": "seed", "entityType": "thing", "observations": ["was here first"]});
                fs::write(work.join("memory.jsonl"), seed.to_string())?;
            }
            Server::Filesystem => {
                fs::create_dir(work.join("read"))?;
                fs::create_dir(work.join("write"))?;
                fs::write(
                    work.join("read/one.txt"),
                    "first line\nsecond \u{00e9}\u{4e16}\u{1f30d}\n",
                )?;
                fs::write(work.join("read/two.txt"), "x".repeat(100_000))?;
            }
            Server::Git => prepare_repository(work)?,
            Server::Everything | Server::SequentialThinking | Server::Time | Server::Sqlite => {}
        }
        Ok(())
    }

    /// What each session asks, besides the greeting and all lists.
    pub(crate) fn steps(self, work: &Path) -> Vec<Value> {
        let mut steps = match self {
            Server::Everything => everything(),
            Server::Memory => memory(),
            Server::Filesystem => filesystem(work),
            Server::SequentialThinking => sequential_thinking(),
            Server::Git => git(work),
            Server::Time => time(),
            Server::Sqlite => sqlite(),
        };
        steps.push(tool("no-such-tool", &json!({})));
        steps
    }
}

fn everything() -> Vec<Value> {
    vec![
        tool("echo", &json!({"message": MARK})),
        tool("get-sum", &json!({"a": "no number"})),
        tool("get-sum", &json!({"a": 1.5, "b": 2})),
        tool("get-tiny-image", &json!({})),
        tool("get-structured-content", &json!({"location": "New York"})),
        tool(
            "get-annotated-message",
            &json!({"messageType": "error", "includeImage": true}),
        ),
        tool("get-resource-links", &json!({"count": 3})),
        json!({"method": "tools/call", "name": "trigger-long-running-operation",
               "arguments": {"duration": 0.3, "steps": 3}, "progress": true}),
        json!({"method": "prompts/get", "name": "args-prompt", "arguments": {"city": MARK}}),
        json!({"method": "prompts/get", "name": "no-such-prompt", "arguments": {}}),
        json!({"method": "resources/read", "uri": "demo://resource/dynamic/text/1"}),
        json!({"method": "resources/read", "uri": "demo://resource/static/document/architecture.md"}),
        json!({"method": "resources/read", "uri": "demo://no/such/resource"}),
    ]
}

fn memory() -> Vec<Value> {
    vec![
        tool("open_nodes", &json!({"names": ["seed"]})),
        tool("create_entities", &json!({"entities": "none"})),
        tool(
            "create_entities",
            &json!({"entities": [{"name": MARK, "entityType": "session", "observations": ["came"]}]}),
        ),
        tool("search_nodes", &json!({"query": "was here first"})),
    ]
}

fn filesystem(work: &Path) -> Vec<Value> {
    let path = |name: &str| text(&work.join(name));
    vec![
        tool("read_text_file", &json!({"path": path("read/one.txt")})),
        tool("read_text_file", &json!({"path": "/outside"})),
        tool("read_text_file", &json!({"path": path("read/two.txt")})),
        tool("read_text_file", &json!({"path": path("read/none.txt")})),
        tool("list_directory", &json!({"path": path("read")})),
        tool(
            "write_file",
            &json!({"path": path(&format!("write/{MARK}")), "content": MARK}),
        ),
        tool(
            "read_text_file",
            &json!({"path": path(&format!("write/{MARK}"))}),
        ),
        tool("list_allowed_directories", &json!({})),
    ]
}

fn sequential_thinking() -> Vec<Value> {
    let thought = |thought: Value| {
        tool(
            "sequentialthinking",
            &json!({"thought": thought, "nextThoughtNeeded": true, "thoughtNumber": 1, "totalThoughts": 2}),
        )
    };
    vec![
        thought(json!(MARK)),
        thought(json!(5)),
        thought(json!("and then")),
    ]
}

fn git(work: &Path) -> Vec<Value> {
    let repository = text(work);
    vec![
        tool("git_log", &json!({"repo_path": repository, "max_count": 5})),
        tool(
            "git_show",
            &json!({"repo_path": repository, "revision": "no-such-revision"}),
        ),
        tool("git_status", &json!({"repo_path": repository})),
        tool("git_diff_unstaged", &json!({"repo_path": repository})),
        tool(
            "git_create_branch",
            &json!({"repo_path": repository, "branch_name": MARK}),
        ),
        tool(
            "git_show",
            &json!({"repo_path": repository, "revision": MARK}),
        ),
    ]
}

fn time() -> Vec<Value> {
    vec![
        tool("get_current_time", &json!({"timezone": "UTC"})),
        tool("get_current_time", &json!({"timezone": "Mars/Olympus"})),
        tool(
            "convert_time",
            &json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
        ),
        tool("convert_time", &json!({"source_timezone": "UTC"})),
    ]
}

fn sqlite() -> Vec<Value> {
    let query = |name: &str, query: &str| tool(name, &json!({"query": query}));
    vec![
        query(
            "read_query",
            "SELECT 1 AS one, NULL AS nothing, 'caf\u{e9}' AS word",
        ),
        query("read_query", "DELETE FROM visits"),
        query(
            "create_table",
            "CREATE TABLE IF NOT EXISTS visits (who TEXT)",
        ),
        query(
            "write_query",
            &format!("INSERT INTO visits VALUES ('{MARK}')"),
        ),
        query(
            "read_query",
            &format!("SELECT * FROM visits WHERE who = '{MARK}'"),
        ),
        query("read_query", "SELECT * FROM no_such_table"),
        tool("describe_table", &json!({"table_name": "visits"})),
        json!({"method": "prompts/get", "name": "mcp-demo", "arguments": {"topic": MARK}}),
        json!({"method": "resources/read", "uri": "memo://insights"}),
    ]
}

fn tool(name: &str, arguments: &Value) -> Value {
    json!({"method": "tools/call", "name": name, "arguments": arguments})
}

/// A repository whose commits have the same hashes wherever and whenever it is made.
fn prepare_repository(work: &Path) -> anyhow::Result<()> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(work).args(arguments);
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            command.env(name, "Somebody");
        }
        for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
            command.env(name, "somebody@example.org");
        }
        for name in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
            command.env(name, "2026-01-01T00:00:00Z");
        }
        shell::output(&mut command)
            .context("making a repository for the git server (is `git` installed?)")
    };
    git(&["init", "--quiet", "--initial-branch", "main"])?;
    fs::write(work.join("file.txt"), "one\n")?;
    git(&["add", "file.txt"])?;
    git(&["commit", "--quiet", "--message", "Begin"])?;
    fs::write(work.join("file.txt"), "one\ntwo\n")?;
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
