//! The real clients of the matrix, and how each is told what to do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::servers::Server;
use crate::provision::{Provisioned, Python};

/// A real client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Python1,
    Python2,
    TypeScript1,
    TypeScript2,
    Inspector,
}

/// What one run of a client does.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// All steps over one session, which stays open until our side ends it.
    Session(Vec<Value>),
    /// The Inspector's command line: one request, then the session ends.
    OneShot(Vec<String>),
}

/// The command that a client shall start as its server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Client {
    pub(crate) const ALL: [Client; 5] = [
        Client::Python1,
        Client::Python2,
        Client::TypeScript1,
        Client::TypeScript2,
        Client::Inspector,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Python1 => "python-1",
            Client::Python2 => "python-2",
            Client::TypeScript1 => "typescript-1",
            Client::TypeScript2 => "typescript-2",
            Client::Inspector => "inspector",
        }
    }

    /// What its sessions do; the n-th session does the n-th of them, and round again.
    pub(crate) fn scripts(self, server: Server, work: &Path) -> Vec<Script> {
        let steps = server.steps(work);
        match self {
            Client::Python1 | Client::Python2 | Client::TypeScript1 | Client::TypeScript2 => {
                vec![Script::Session(steps)]
            }
            Client::Inspector => {
                let words = |words: &[&str]| {
                    words
                        .iter()
                        .map(|word| (*word).to_owned())
                        .collect::<Vec<_>>()
                };
                let call = |step: &Value| {
                    let mut call = words(&["--method", "tools/call", "--tool-name"]);
                    call.push(step["name"].as_str().unwrap_or_default().to_owned());
                    call.extend(["--tool-args-json".to_owned(), step["arguments"].to_string()]);
                    Script::OneShot(call)
                };
                let list = Script::OneShot(words(&["--method", "tools/list"]));
                let calls = steps.iter().take(2).map(call);
                std::iter::once(list).chain(calls).collect()
            }
        }
    }

    /// The command that runs a script, with its files in `folder`.
    pub(crate) fn command(
        self,
        provisioned: &Provisioned,
        folder: &Path,
        script: &Script,
        target: &Target,
    ) -> anyhow::Result<Command> {
        let (program, driver) = match self {
            Client::Python1 => (
                provisioned.python_program(Python::Mcp1, "python3"),
                "python_1.py",
            ),
            Client::Python2 => (
                provisioned.python_program(Python::Mcp2, "python3"),
                "python_2.py",
            ),
            Client::TypeScript1 => (provisioned.node(), "typescript_1.mjs"),
            Client::TypeScript2 => (provisioned.node(), "typescript_2.mjs"),
            Client::Inspector => (provisioned.node(), ""),
        };
        let mut command = Command::new(program);
        match script {
            Script::Session(steps) => {
                command
                    .arg(provisioned.driver(driver))
                    .arg(write_plan(folder, steps, target)?);
            }
            Script::OneShot(arguments) => {
                command.arg(provisioned.npm_script("mcp-inspector"));
                command
                    .args(["--cli", "--quiet", "--format", "json"])
                    .args(arguments);
                for (name, value) in &target.env {
                    command.arg("-e").arg(format!("{name}={value}"));
                }
                command.arg("--").args(&target.command);
            }
        }
        Ok(command)
    }
}

fn write_plan(folder: &Path, steps: &[Value], target: &Target) -> anyhow::Result<PathBuf> {
    let env: serde_json::Map<String, Value> = target
        .env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
        .collect();
    let plan = json!({
        "command": target.command,
        "env": if env.is_empty() { Value::Null } else { Value::Object(env) },
        "era": "any",
        "steps": steps,
    });
    let path = folder.join("plan.json");
    fs::write(&path, plan.to_string()).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
